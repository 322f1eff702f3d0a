#include "identity/resolver/identity_cache.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace penstock::identity {
namespace {

using Age = IdentityCache::Age;
constexpr int64_t kSecond = 1'000'000, kHour = 3600 * kSecond, kStart = 1'000'000 * kHour;

std::string Did(int n) {
  std::string did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
  for (size_t at = did.size(); n > 0; n /= 26) did[--at] = static_cast<char>('a' + n % 26);
  return did;
}

IdentityPtr Make(std::string did, int64_t fetched_us, std::optional<Reject> fault = {}, size_t document = 0) {
  auto identity = std::make_shared<Identity>();
  identity->did = std::move(did);
  identity->fetched_us = fetched_us;
  identity->fault = fault;
  identity->document = std::string(document, 'x');
  return identity;
}

TEST(IdentityCache, AgesFromFreshToStaleToAbsent) {
  IdentityCache cache({});
  EXPECT_EQ(cache.Find(Did(1), kStart).age, Age::kAbsent);
  const IdentityPtr identity = Make(Did(1), kStart);
  cache.Put(identity);
  EXPECT_EQ(cache.Find(Did(1), kStart).identity, identity);
  EXPECT_EQ(cache.Find(Did(1), kStart + 24 * kHour - 1).age, Age::kFresh);
  EXPECT_EQ(cache.Find(Did(1), kStart + 24 * kHour).age, Age::kStale);
  EXPECT_EQ(cache.Find(Did(1), kStart + 7 * 24 * kHour - 1).age, Age::kStale);
  EXPECT_EQ(cache.Find(Did(1), kStart + 7 * 24 * kHour).age, Age::kAbsent);
  EXPECT_EQ(cache.Find(Did(1), kStart + 7 * 24 * kHour).identity, nullptr);
  EXPECT_EQ(cache.Find(Did(1), kStart - kHour).age, Age::kFresh) << "the clock was set back a little";
  EXPECT_EQ(cache.Find(Did(1), kStart - 30 * kHour).age, Age::kStale) << "or a lot";
}

TEST(IdentityCache, FaultsAreBelievedBriefly) {
  IdentityCache cache({});
  cache.Put(Make(Did(1), kStart, Reject::kDidNotFound));
  EXPECT_EQ(cache.Find(Did(1), kStart + 119 * kSecond).age, Age::kFresh);
  EXPECT_EQ(cache.Find(Did(1), kStart + 120 * kSecond).age, Age::kAbsent) << "never stale";
}

TEST(IdentityCache, TheLeastRecentlyUsedGoesFirst) {
  CacheOptions options;
  options.max_entries = 3;
  IdentityCache cache(options);
  for (int i = 0; i < 3; ++i) cache.Put(Make(Did(i), kStart));
  EXPECT_NE(cache.Find(Did(0), kStart).identity, nullptr);
  cache.Put(Make(Did(3), kStart));
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_EQ(cache.Find(Did(1), kStart).identity, nullptr);
  EXPECT_NE(cache.Find(Did(0), kStart).identity, nullptr);
}

TEST(IdentityCache, BytesAreBoundedWhateverDocumentsHold) {
  CacheOptions options;
  options.max_bytes = 1'000'000;
  IdentityCache cache(options);
  for (int i = 0; i < 1000; ++i) {
    cache.Put(Make(Did(i), kStart, {}, 60'000));
    ASSERT_LE(cache.bytes(), 1'000'000u);
  }
  EXPECT_GT(cache.size(), 10u);
  for (int i = 0; i < 1000; ++i) cache.Purge(Did(i), kStart);
  EXPECT_LT(cache.bytes(), 100'000u) << "only what paces the DIDs stays";
}

TEST(IdentityCache, KeepsWhatIsNewer) {
  IdentityCache cache({});
  EXPECT_TRUE(cache.Keep(Make(Did(1), kStart)));
  EXPECT_FALSE(cache.Keep(Make(Did(1), kStart - 1)));
  EXPECT_FALSE(cache.Keep(Make(Did(1), kStart)));
  EXPECT_TRUE(cache.Keep(Make(Did(1), kStart + 1)));
  EXPECT_EQ(cache.Find(Did(1), kStart).identity->fetched_us, kStart + 1);
}

TEST(IdentityCache, WhatWasPurgedDoesNotComeBack) {
  IdentityCache cache({});
  cache.Put(Make(Did(1), kStart));
  cache.Purge(Did(1), kStart + 10);
  EXPECT_EQ(cache.Find(Did(1), kStart + 10).identity, nullptr);
  EXPECT_FALSE(cache.Keep(Make(Did(1), kStart + 10)));
  EXPECT_EQ(cache.Find(Did(1), kStart + 10).identity, nullptr);
  EXPECT_TRUE(cache.Keep(Make(Did(1), kStart + 11)));
  EXPECT_TRUE(cache.Keep(Make(Did(2), kStart))) << "another account";
  // Also when nothing was known of it.
  cache.Purge(Did(3), kStart);
  EXPECT_FALSE(cache.Keep(Make(Did(3), kStart - 1)));
  // And when a newer one was there in between.
  cache.Put(Make(Did(3), kStart + 1));
  cache.Purge(Did(3), kStart + 2);
  EXPECT_FALSE(cache.Keep(Make(Did(3), kStart + 1)));
}

TEST(IdentityCache, AFloodOfPurgesForgetsNone) {
  CacheOptions options;
  options.max_purges = 100;
  IdentityCache cache(options);
  cache.Purge(Did(0), kStart);
  for (int i = 1; i < 1000; ++i) cache.Purge(Did(i), kStart + i);
  EXPECT_FALSE(cache.Keep(Make(Did(0), kStart))) << "its mark is gone, so everything of that time is refused";
  EXPECT_FALSE(cache.Keep(Make(Did(5000), kStart + 500)));
  EXPECT_TRUE(cache.Keep(Make(Did(5000), kStart + 2000)));
  // Old marks go without a trace.
  IdentityCache calm(options);
  calm.Purge(Did(0), kStart);
  calm.Purge(Did(1), kStart + 2 * kHour);
  EXPECT_TRUE(calm.Keep(Make(Did(7), kStart)));
}

TEST(IdentityCache, ReplacesOnlyWhatIsStillThere) {
  IdentityCache cache({});
  const IdentityPtr first = Make(Did(1), kStart), second = Make(Did(1), kStart + 1),
                    third = Make(Did(1), kStart + 2);
  cache.Put(first);
  EXPECT_TRUE(cache.Replace(first, second));
  EXPECT_FALSE(cache.Replace(first, third));
  EXPECT_EQ(cache.Find(Did(1), kStart).identity, second);
  cache.Purge(Did(1), kStart + 3);
  EXPECT_FALSE(cache.Replace(second, third));
  EXPECT_FALSE(cache.Replace(Make(Did(9), kStart), third));
}

TEST(IdentityCache, PaceOutlivesAPurge) {
  IdentityCache cache({});
  cache.Put(Make(Did(1), kStart));
  cache.PaceOf(Did(1))->tokens = 3;
  cache.Purge(Did(1), kStart);
  cache.Put(Make(Did(1), kStart + 1));
  EXPECT_EQ(cache.PaceOf(Did(1))->tokens, 3);
}

}  // namespace
}  // namespace penstock::identity
