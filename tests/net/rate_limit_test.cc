// What hosts say of their limits.

#include "net/rate_limit.h"

#include <gtest/gtest.h>

namespace penstock::net {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr int64_t kNow = 1'700'000'000'000'000;

TEST(RateLimit, RemainingUntilTheReset) {
  const RateLimit limit = ReadRateLimit({"", "2998", "1700000300", "3000;w=300"}, kNow);
  EXPECT_EQ(limit.remaining, 2998u);
  EXPECT_EQ(limit.reset, seconds(300));
  EXPECT_DOUBLE_EQ(limit.per_second, 10);
  EXPECT_EQ(ReadRateLimit({"", "5", "30", ""}, kNow).reset, seconds(30)) << "as the drafts have it";
}

TEST(RateLimit, NonsenseIsAsIfItWereAbsent) {
  EXPECT_FALSE(ReadRateLimit({}, kNow).remaining.has_value());
  EXPECT_FALSE(ReadRateLimit({"", "5", "", ""}, kNow).remaining.has_value()) << "until when?";
  EXPECT_FALSE(ReadRateLimit({"", "5", "1600000000", ""}, kNow).remaining.has_value()) << "it is over";
  EXPECT_FALSE(ReadRateLimit({"", "-5", "30", ""}, kNow).remaining.has_value());
  EXPECT_FALSE(ReadRateLimit({"", "five", "30", ""}, kNow).remaining.has_value());
  EXPECT_FALSE(ReadRateLimit({"", "5", "99999999999999999999999", ""}, kNow).remaining.has_value());
  EXPECT_EQ(ReadRateLimit({"", "5", "9999999999", ""}, kNow).reset, seconds(86'400)) << "bounded to a day";
}

TEST(RateLimit, TheSlowestPolicyCounts) {
  const auto rate = [](std::string policy) { return ReadRateLimit({"", "", "", std::move(policy)}, kNow).per_second; };
  EXPECT_DOUBLE_EQ(rate("100;w=10, 600;w=120"), 5);
  EXPECT_DOUBLE_EQ(rate("\"burst\";q=20;w=10"), 2);
  EXPECT_DOUBLE_EQ(rate(" 100 ; w=50 ; comment=\"x\" "), 2);
  for (const char* none : {"", "100", "100;w=0", "0;w=10", ";;;", ",,,", "w=10", "x;w=y", "-3;w=3"}) {
    EXPECT_EQ(rate(none), 0) << none;
  }
}

TEST(RateLimit, Pauses) {
  EXPECT_EQ(ReadPause({"7", "", "", ""}, kNow), seconds(7));
  EXPECT_EQ(ReadPause({"", "0", "1700000042", ""}, kNow), seconds(42));
  EXPECT_EQ(ReadPause({"", "1", "1700000042", ""}, kNow), microseconds(0));
  EXPECT_EQ(ReadPause({"0", "", "", ""}, kNow), microseconds(0));
  EXPECT_EQ(ReadPause({"99999999999999999999", "", "", ""}, kNow), seconds(86'400));
}

}  // namespace
}  // namespace penstock::net
