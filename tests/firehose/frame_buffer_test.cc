#include "firehose/frame_buffer.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "firehose/delivery.h"
#include "tests/firehose/allocation_count.h"

namespace penstock::firehose {
namespace {

using penstock::test::AllocationCount;

TEST(FrameBuffer, GrowsAndKeepsItsContents) {
  FrameBufferPool pool;
  FrameBuffer buffer = pool.Take();
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_EQ(buffer.arrival_us, 0);
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    const std::string piece(static_cast<size_t>(i), static_cast<char>('a' + i % 26));
    buffer.Append(AsBytes(piece));
    expected += piece;
  }
  EXPECT_EQ(AsText(buffer.bytes()), expected);
  EXPECT_GE(buffer.Prepare(3'000'000).size(), 3'000'000u);
  EXPECT_EQ(AsText(buffer.bytes()), expected);
  buffer.Clear();
  EXPECT_EQ(buffer.size(), 0u);
  EXPECT_GT(buffer.capacity(), 3'000'000u);
}

TEST(FrameBuffer, PrepareThenCommitPart) {
  FrameBuffer buffer;  // without a pool its storage is freed
  std::span<uint8_t> room = buffer.Prepare(10);
  ASSERT_GE(room.size(), 10u);
  room[0] = 'x';
  room[1] = 'y';
  buffer.Commit(2);
  EXPECT_EQ(AsText(buffer.bytes()), "xy");
  buffer.Append(Bytes());
  EXPECT_EQ(buffer.size(), 2u);
}

TEST(FrameBuffer, MovesWithItsArrivalTime) {
  FrameBufferPool pool;
  FrameBuffer a = pool.Take();
  a.Append(AsBytes("frame"));
  a.arrival_us = 42;
  FrameBuffer b = std::move(a);
  EXPECT_EQ(AsText(b.bytes()), "frame");
  EXPECT_EQ(b.arrival_us, 42);
  FrameBuffer c = pool.Take();
  c.Append(AsBytes("other"));
  c = std::move(b);
  EXPECT_EQ(AsText(c.bytes()), "frame");
  EXPECT_EQ(c.arrival_us, 42);
}

TEST(FrameBufferPool, GivesTheSameStorageAgain) {
  FrameBufferPool pool;
  const uint8_t* storage = nullptr;
  {
    FrameBuffer buffer = pool.Take();
    buffer.Append(AsBytes("first"));
    buffer.arrival_us = 7;
    storage = buffer.bytes().data();
  }
  FrameBuffer again = pool.Take();
  EXPECT_EQ(again.size(), 0u);
  EXPECT_EQ(again.arrival_us, 0);
  again.Append(AsBytes("second"));
  EXPECT_EQ(again.bytes().data(), storage);
}

TEST(FrameBufferPool, KeepsNoLargeBufferAndNoMoreThanItsBound) {
  FrameBufferPool pool(100 * 1024);
  {
    FrameBuffer large = pool.Take();
    (void)large.Prepare(FrameBufferPool::kKeepBytes + 1);
  }
  EXPECT_EQ(pool.Take().capacity(), 0u);

  std::vector<FrameBuffer> many;
  for (int i = 0; i < 10; ++i) {
    many.push_back(pool.Take());
    (void)many.back().Prepare(40 * 1024);
  }
  many.clear();
  size_t kept = 0;
  for (int i = 0; i < 10; ++i) {
    many.push_back(pool.Take());
    kept += many.back().capacity();
  }
  EXPECT_EQ(kept, 80u * 1024);
}

TEST(FrameBufferPool, SteadyStateAllocatesNothing) {
  FrameBufferPool pool;
  DeliveryRecycler recycler(8);
  const std::string frame(4600, 'f');
  auto deliver = [&] {
    DeliveryPtr delivery = recycler.Take();
    delivery->buffer = pool.Take();
    delivery->buffer.Append(AsBytes(frame));
  };
  for (int i = 0; i < 10; ++i) deliver();
  const uint64_t before = AllocationCount();
  for (int i = 0; i < 1000; ++i) deliver();
  EXPECT_EQ(AllocationCount() - before, 0u);
}

TEST(FrameBufferPool, BuffersComeBackFromOtherThreads) {
  FrameBufferPool pool;
  for (int round = 0; round < 50; ++round) {
    std::vector<FrameBuffer> buffers;
    for (int i = 0; i < 16; ++i) {
      buffers.push_back(pool.Take());
      buffers.back().Append(AsBytes("frame"));
    }
    std::thread other([moved = std::move(buffers)]() mutable { moved.clear(); });
    FrameBuffer mine = pool.Take();
    mine.Append(AsBytes("mine"));
    other.join();
    EXPECT_EQ(AsText(mine.bytes()), "mine");
  }
}

}  // namespace
}  // namespace penstock::firehose
