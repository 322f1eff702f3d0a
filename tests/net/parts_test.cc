// The pure parts: backoff, Retry-After, the address rule.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/address.hpp>
#include <chrono>

#include "net/address_rule.h"
#include "net/backoff.h"
#include "net/retry_after.h"

namespace penstock::net {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::Ge;
using testing::Le;

TEST(Backoff, CeilingDoublesAndFallsBack) {
  Backoff backoff(seconds(1), seconds(60), 42);
  microseconds ceiling = seconds(1), sum{};
  for (int i = 0; i < 20; ++i) {
    const microseconds wait = backoff.Next();
    EXPECT_THAT(wait, AllOf(Ge(microseconds(0)), Le(ceiling)));
    sum += wait;
    ceiling = std::min<microseconds>(seconds(60), ceiling * 2);
  }
  EXPECT_EQ(backoff.ceiling(), seconds(60));
  EXPECT_GT(sum, seconds(200)) << "jitter, not nothing";
  backoff.Reset();
  EXPECT_LE(backoff.Next(), seconds(1));
}

TEST(Backoff, TheSeedDecides) {
  Backoff a(seconds(1), seconds(60), 7), b(seconds(1), seconds(60), 7), c(seconds(1), seconds(60), 8);
  const microseconds first = a.Next();
  EXPECT_EQ(first, b.Next());
  EXPECT_NE(first, c.Next());
}

TEST(RetryAfter, ReadsAllForms) {
  const int64_t now = 784'111'777'000'000;  // Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110
  EXPECT_EQ(ParseRetryAfter("120", now), seconds(120));
  EXPECT_EQ(ParseRetryAfter(" 0 ", now), seconds(0));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:50:37 GMT", now), seconds(60));
  EXPECT_EQ(ParseRetryAfter("Sunday, 06-Nov-94 08:50:37 GMT", now), seconds(60));
  EXPECT_EQ(ParseRetryAfter("Sun Nov  6 08:50:37 1994", now), seconds(60));
  EXPECT_EQ(ParseRetryAfter("Sun, 06 Nov 1994 08:00:00 GMT", now), seconds(0)) << "in the past";
  EXPECT_EQ(ParseRetryAfter("99999999999999999999999", now), seconds::max());
  for (const char* text : {"", " ", "-5", "1.5", "soon", "12 s", "Sun, 06 Nov 1994 08:50:37 CET"}) {
    EXPECT_EQ(ParseRetryAfter(text, now), std::nullopt) << text;
  }
}

TEST(AddressRule, KnowsWhatIsPublic) {
  const auto is_public = [](const char* text) {
    return IsPublicAddress(boost::asio::ip::make_address(text));
  };
  for (const char* text : {"8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111",
                           "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"}) {
    EXPECT_TRUE(is_public(text)) << text;
  }
  for (const char* text : {"127.0.0.1",
                           "127.255.255.255",
                           "0.0.0.0",
                           "10.1.2.3",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "169.254.169.254",
                           "100.64.0.1",
                           "224.0.0.1",
                           "239.1.1.1",
                           "240.0.0.1",
                           "255.255.255.255",
                           "192.0.2.1",
                           "198.18.0.1",
                           "198.51.100.7",
                           "203.0.113.9",
                           "::",
                           "::1",
                           "::7f00:1",
                           "::ffff:127.0.0.1",
                           "::ffff:10.0.0.1",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "2001:db8::1",
                           "2001::1",
                           "2002:7f00:1::1",
                           "64:ff9b::127.0.0.1",
                           "64:ff9b:1::1",
                           "fec0::1",
                           "4000::1"}) {
    EXPECT_FALSE(is_public(text)) << text;
  }
}

}  // namespace
}  // namespace penstock::net
