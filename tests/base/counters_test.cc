#include "base/counters.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace penstock {
namespace {

TEST(Counters, CountByName) {
  Counters counters;
  EXPECT_TRUE(counters.Snapshot().empty());
  counters.Count(Reject::kCborTruncated);
  counters.Count(Reject::kCborTruncated, 2);
  counters.Count("reconnect_timeout");
  EXPECT_EQ(counters.Of(Reject::kCborTruncated), 3u);
  EXPECT_EQ(counters.Of(Reject::kCborBadUtf8), 0u);
  EXPECT_EQ(counters.Of("reconnect_timeout"), 1u);
  EXPECT_EQ(counters.Of("never"), 0u);
  const std::map<std::string, uint64_t> all = {{"reject_cbor_truncated", 3}, {"reconnect_timeout", 1}};
  EXPECT_EQ(counters.Snapshot(), all);
}

TEST(Counters, ThreadsLoseNothing) {
  Counters counters;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1'000; ++i) {
        counters.Count(Reject::kMstPartial);
        counters.Count("event");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counters.Of(Reject::kMstPartial), 4'000u);
  EXPECT_EQ(counters.Of("event"), 4'000u);
}

}  // namespace
}  // namespace penstock
