#include "base/arena.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace penstock {
namespace {

TEST(Arena, CopiesStayWhereTheyAre) {
  Arena arena;
  std::vector<std::string_view> copies;
  for (int i = 0; i < 5'000; ++i) copies.push_back(arena.Copy(std::string_view(std::to_string(i))));
  for (int i = 0; i < 5'000; ++i) EXPECT_EQ(copies[static_cast<size_t>(i)], std::to_string(i));
}

TEST(Arena, AnEmptyCopyIsNotNull) {
  Arena arena;
  EXPECT_NE(arena.Copy(std::string_view()).data(), nullptr);
  EXPECT_EQ(arena.Copy(std::string_view()).size(), 0u);
  EXPECT_EQ(arena.bytes(), 0u);
}

TEST(Arena, ArraysAreAlignedAndInitialised) {
  struct Pair {
    uint64_t number = 7;
    std::string_view text = "x";
  };
  Arena arena;
  for (size_t odd = 1; odd < 20; ++odd) {
    (void)arena.Allocate(odd);
    const std::span<Pair> pairs = arena.Array<Pair>(3);
    ASSERT_EQ(reinterpret_cast<uintptr_t>(pairs.data()) % alignof(Pair), 0u);
    for (const Pair& pair : pairs) {
      EXPECT_EQ(pair.number, 7u);
      EXPECT_EQ(pair.text, "x");
    }
  }
  EXPECT_TRUE(arena.Array<Pair>(0).empty());
}

TEST(Arena, LargePiecesGetTheirOwnChunk) {
  Arena arena;
  const std::string large(10 * Arena::kChunkBytes, 'x');
  const std::string_view before = arena.Copy(std::string_view("before"));
  const std::string_view copy = arena.Copy(std::string_view(large));
  const std::string_view after = arena.Copy(std::string_view("after"));
  EXPECT_EQ(before, "before");
  EXPECT_EQ(copy, large);
  EXPECT_EQ(after, "after");
  EXPECT_EQ(arena.bytes(), large.size() + 11);
}

TEST(Arena, ResetKeepsOneChunkForReuse) {
  Arena arena;
  const char* const first = arena.Allocate(100);
  arena.Reset();
  EXPECT_EQ(arena.bytes(), 0u);
  EXPECT_EQ(arena.Allocate(100), first) << "the same memory again";
  (void)arena.Allocate(Arena::kChunkBytes);  // another chunk
  arena.Reset();
  EXPECT_EQ(arena.Allocate(100), first) << "the first chunk was kept, the others freed";
  Arena large_first;
  (void)large_first.Allocate(10 * Arena::kChunkBytes);
  large_first.Reset();
  EXPECT_NE(large_first.Allocate(10), nullptr);
  Arena never_used;
  never_used.Reset();
  EXPECT_NE(never_used.Allocate(1), nullptr);
}

}  // namespace
}  // namespace penstock
