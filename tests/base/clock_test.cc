#include "base/clock.h"

#include <gtest/gtest.h>

namespace penstock {
namespace {

TEST(Clock, FixedStandsStillUntilToldOtherwise) {
  FixedClock clock(1'000);
  EXPECT_EQ(clock.NowMicros(), 1'000);
  EXPECT_EQ(clock.NowMicros(), 1'000);
  clock.Advance(5);
  EXPECT_EQ(clock.NowMicros(), 1'005);
  clock.Set(7);
  EXPECT_EQ(clock.NowMicros(), 7);
}

TEST(Clock, TheSystemsIsInMicrosecondsSinceTheEpoch) {
  const int64_t now = SystemClock().NowMicros();
  EXPECT_GT(now, int64_t{1'600'000'000} * 1'000'000);  // 2020
  EXPECT_LT(now, int64_t{4'100'000'000} * 1'000'000);  // 2099
}

}  // namespace
}  // namespace penstock
