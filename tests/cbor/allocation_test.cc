// The hot path allocates nothing: counted, not guessed. This file replaces the global operator new of the
// test program.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"

namespace {

std::atomic<size_t> g_allocations = 0;

void* Allocate(size_t size) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* const memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}

}  // namespace

void* operator new(size_t size) { return Allocate(size); }
void* operator new[](size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }

namespace penstock::cbor {
namespace {

template <typename Work>
size_t AllocationsOf(Work work) {
  const size_t before = g_allocations.load();
  work();
  return g_allocations.load() - before;
}

std::string BigRecord() {
  MapWriter map;
  map.Key("$type").Text("space.atbb.post");
  map.Key("text").Text(std::string(2'000, 'x') + "é\n");
  map.Key("list").Raw(AsBytes(std::string("\x83\x01\x20\xf5")));
  map.Key("link").Link(Cid::OfBlock(AsBytes("x")));
  map.Key("bytes").ByteString(AsBytes("0123456789"));
  std::string block;
  map.Finish(&block);
  return block;
}

TEST(Allocations, TheCountIsReal) {
  EXPECT_GE(AllocationsOf([] { delete new std::string(1'000, 'x'); }), 1u);
}

TEST(Allocations, CheckingAnItemOrARecordTakesNone) {
  const std::string block = BigRecord();
  RecordReport report;
  EXPECT_EQ(AllocationsOf([&] {
              if (!CheckItem(AsBytes(block)).ok()) std::abort();
              if (!CheckRecord(AsBytes(block), "space.atbb.post", &report).ok()) std::abort();
            }),
            0u);
}

TEST(Allocations, AHostileItemTakesNoMoreThanItsError) {
  const std::string nested(1'000'000, '\x81');
  Reader reader(AsBytes(nested));
  EXPECT_EQ(AllocationsOf([&] { (void)!reader.Skip(); }), 0u);
  EXPECT_EQ(reader.error(), Reject::kCborTooDeep);
  const std::vector<uint8_t> huge = test::Hex("9b ffffffffffffffff");
  Reader lie(huge);
  EXPECT_EQ(AllocationsOf([&] { (void)!lie.Skip(); }), 0u);
}

TEST(Allocations, JsonIntoAReusedBufferTakesNone) {
  const std::string block = BigRecord();
  std::string out;
  ASSERT_TRUE(AppendJson(AsBytes(block), {}, &out).ok());
  out.clear();
  EXPECT_EQ(AllocationsOf([&] {
              bool lossy;
              if (!AppendJson(AsBytes(block), {.replace_nul = true}, &out, &lossy).ok()) std::abort();
            }),
            0u);
}

TEST(Allocations, WritingIntoAReusedBufferTakesNone) {
  std::string out;
  out.reserve(1'000);
  const Cid cid = Cid::OfBlock(AsBytes("x"));
  EXPECT_EQ(AllocationsOf([&] {
              Writer writer(&out);
              writer.MapHeader(2);
              writer.Text("a");
              writer.Link(cid);
              writer.Text("b");
              writer.Int(INT64_MIN);
            }),
            0u);
}

}  // namespace
}  // namespace penstock::cbor
