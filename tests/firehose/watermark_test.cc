#include "firehose/watermark.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/firehose/allocation_count.h"

namespace penstock::firehose {
namespace {

using penstock::test::AllocationCount;

TEST(Watermark, StartsAtTheDurableCursor) {
  EXPECT_EQ(Watermark(std::nullopt).Low(), std::nullopt);
  EXPECT_EQ(Watermark(std::nullopt).High(), std::nullopt);
  EXPECT_EQ(Watermark(0).Low(), 0);  // which is not "none" (protocol 1.5)
  EXPECT_EQ(Watermark(41).Low(), 41);
}

TEST(Watermark, NeverPassesAnEventInFlight) {
  Watermark mark(10);
  const auto a = mark.Enter(11), b = mark.Enter(15), c = mark.Enter(16);
  EXPECT_EQ(mark.Low(), 10);
  EXPECT_EQ(mark.High(), 16);
  EXPECT_EQ(mark.in_flight(), 3u);
  mark.Settle(b);
  EXPECT_EQ(mark.Low(), 10);
  mark.Settle(a);
  EXPECT_EQ(mark.Low(), 15);
  mark.Settle(c);
  EXPECT_EQ(mark.Low(), 16);
  EXPECT_EQ(mark.in_flight(), 0u);
}

TEST(Watermark, WhatPassesWaitsForWhatIsBefore) {
  Watermark mark(std::nullopt);
  mark.Pass(1);
  EXPECT_EQ(mark.Low(), 1);
  const auto a = mark.Enter(2);
  mark.Pass(3);
  const auto b = mark.Enter(4);
  mark.Pass(5);
  mark.Pass(6);
  EXPECT_EQ(mark.Low(), 1);
  EXPECT_EQ(mark.High(), 6);
  mark.Settle(a);
  EXPECT_EQ(mark.Low(), 3);
  mark.Settle(b);
  EXPECT_EQ(mark.Low(), 6);
}

TEST(Watermark, ATicketCountsOnce) {
  Watermark mark(std::nullopt);
  const auto a = mark.Enter(1);
  mark.Settle(a);
  const auto b = mark.Enter(2);  // in the slot that a had
  mark.Settle(a);
  EXPECT_EQ(mark.Low(), 1);
  EXPECT_EQ(mark.in_flight(), 1u);
  mark.Settle(b);
  EXPECT_EQ(mark.Low(), 2);
  mark.Settle(12345);
  EXPECT_EQ(mark.in_flight(), 0u);
}

TEST(Watermark, AgreesWithAModelInAnyOrder) {
  const char* given = std::getenv("PENSTOCK_TEST_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
  SCOPED_TRACE("PENSTOCK_TEST_SEED=" + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    Watermark mark(std::nullopt);
    std::map<int64_t, bool> model;  // seq -> settled
    std::vector<std::pair<int64_t, Watermark::Ticket>> flying;
    int64_t seq = 0;
    for (int step = 0; step < 500; ++step) {
      const unsigned what = random() % 4;
      if (what == 0) {
        seq += 1 + random() % 3;
        mark.Pass(seq);
        model[seq] = true;
      } else if (what == 1 || flying.empty()) {
        seq += 1 + random() % 3;
        flying.emplace_back(seq, mark.Enter(seq));
        model[seq] = false;
      } else {
        std::swap(flying[random() % flying.size()], flying.back());
        model[flying.back().first] = true;
        mark.Settle(flying.back().second);
        flying.pop_back();
      }
      std::optional<int64_t> low;
      for (const auto& [at, settled] : model) {
        if (!settled) break;
        low = at;
      }
      ASSERT_EQ(mark.Low(), low);
      ASSERT_EQ(mark.High(), seq);
      ASSERT_EQ(mark.in_flight(), flying.size());
    }
  }
}

TEST(Watermark, MemoryIsThatOfWhatIsInFlight) {
  Watermark mark(std::nullopt);
  const auto oldest = mark.Enter(1);  // stays for the whole test
  std::vector<Watermark::Ticket> flying;
  flying.reserve(64);
  int64_t seq = 1;
  auto round = [&] {
    flying.clear();
    for (int i = 0; i < 64; ++i) {
      flying.push_back(mark.Enter(++seq));
      mark.Pass(++seq);
    }
    for (auto ticket : flying) mark.Settle(ticket);
  };
  round();
  const uint64_t before = AllocationCount();
  for (int i = 0; i < 1000; ++i) round();
  EXPECT_EQ(AllocationCount() - before, 0u);
  EXPECT_EQ(mark.Low(), std::nullopt);
  mark.Settle(oldest);
  EXPECT_EQ(mark.Low(), seq);
}

TEST(Watermark, SettlesFromManyThreads) {
  Watermark mark(std::nullopt);
  constexpr int kThreads = 4, kEach = 2000;
  std::vector<std::vector<Watermark::Ticket>> tickets(kThreads);
  for (int i = 0; i < kThreads * kEach; ++i)
    tickets[static_cast<size_t>(i % kThreads)].push_back(mark.Enter(i + 1));
  std::vector<std::thread> threads;
  for (auto& mine : tickets) {
    threads.emplace_back([&mark, &mine] {
      for (auto ticket : mine) mark.Settle(ticket);
    });
  }
  int64_t last = 0;
  while (last < kThreads * kEach) {
    const int64_t low = mark.Low().value_or(0);
    ASSERT_GE(low, last);
    last = low;
    std::this_thread::yield();
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(mark.in_flight(), 0u);
}

}  // namespace
}  // namespace penstock::firehose
