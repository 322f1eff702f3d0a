#include "base/recycler.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace penstock {
namespace {

struct Buffer {
  std::string text;
  void Clear() { text.clear(); }
};

TEST(Recycler, GivesBackWhatCameBackEmptyButWithItsCapacity) {
  Recycler<Buffer> recycler(/*max_idle=*/2);
  auto buffer = recycler.Take();
  buffer->text.assign(1'000, 'x');
  const Buffer* const address = buffer.get();
  buffer.reset();
  buffer = recycler.Take();
  EXPECT_EQ(buffer.get(), address);
  EXPECT_EQ(buffer->text, "");
  EXPECT_GE(buffer->text.capacity(), 1'000u);
  EXPECT_NE(recycler.Take().get(), address) << "two at once are two";
}

TEST(Recycler, KeepsNoMoreThanItsBound) {
  Recycler<Buffer> recycler(/*max_idle=*/1);
  {
    std::vector<Recycler<Buffer>::Ptr> held;
    for (int i = 0; i < 10; ++i) held.push_back(recycler.Take());
  }
  EXPECT_NE(recycler.Take(), nullptr);
}

TEST(Recycler, BuffersComeBackFromOtherThreads) {
  Recycler<Buffer> recycler(/*max_idle=*/8);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) recycler.Take()->text = "x";
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recycler.Take()->text, "");
}

}  // namespace
}  // namespace penstock
