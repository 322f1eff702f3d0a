// What becomes of a task after each fault that there is: done, failed, or once more and when.

#include "backfill/policy.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "backfill/host_outages.h"
#include "base/reject.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

using sync::TaskOutcome;
using sync::TaskState;

constexpr int64_t kNow = 1'700'000'000'000'000;
constexpr int64_t kSecond = 1'000'000, kMinute = 60 * kSecond, kHour = 60 * kMinute;
constexpr uint64_t kMostRandom = ~uint64_t{0};

TaskOutcome Decide(std::string_view cause, int64_t attempts = 0, int64_t retry_after_us = 0, uint64_t random = 0) {
  return DecideOutcome(cause, UnavailableError("what happened"), attempts, retry_after_us, kNow, random, RetryPolicy());
}

TEST(Policy, EveryCauseHasItsClass) {
  const std::map<std::string_view, FaultClass> expected = {
      {kCauseAlreadyCurrent, FaultClass::kSettled},
      {kCauseAccountInactive, FaultClass::kSettled},
      {kCauseNotWanted, FaultClass::kSettled},
      {kCauseRepoNotFound, FaultClass::kConclusive},
      {kCauseArchiveTooLarge, FaultClass::kConclusive},
      {kCauseStaleExport, FaultClass::kBadData},
      {kCauseNoHost, FaultClass::kBadData},
      {kCauseHostRefused, FaultClass::kBadData},
      {kCauseHostUnavailable, FaultClass::kSlowWorld},
      {kCauseHostLimited, FaultClass::kSlowWorld},
      {kCauseTooSlow, FaultClass::kSlowWorld},
      {kCauseIdentityUnavailable, FaultClass::kSlowWorld},
      {kCauseHeldOverflow, FaultClass::kSlowWorld},
      {kCauseStoreUnavailable, FaultClass::kSlowWorld},
      {kCauseInProgress, FaultClass::kSlowWorld},
  };
  for (const auto& [cause, fault_class] : expected) EXPECT_EQ(ClassOf(cause), fault_class) << cause;
}

TEST(Policy, EveryRejectHasItsClass) {
  const std::map<std::string_view, FaultClass> special = {
      {"did_not_found", FaultClass::kConclusive},
      {"did_tombstoned", FaultClass::kConclusive},
      {"unsupported_did_method", FaultClass::kConclusive},
      {"syntax_did", FaultClass::kConclusive},
      {"account_inactive", FaultClass::kSettled},  // the same word as the cause, and the same meaning
      {"held_overflow", FaultClass::kSlowWorld},
  };
  size_t met = 0;
  for (size_t i = 0; i < kRejectCount; ++i) {
    const std::string_view name = RejectName(static_cast<Reject>(i));
    const auto found = special.find(name);
    met += found != special.end();
    EXPECT_EQ(ClassOf(name), found == special.end() ? FaultClass::kBadData : found->second) << name;
    const TaskOutcome first = Decide(name);
    switch (ClassOf(name)) {
      case FaultClass::kSettled:
        EXPECT_EQ(first.state, TaskState::kDone) << name;
        break;
      case FaultClass::kConclusive:
        EXPECT_EQ(first.state, TaskState::kFailed) << name;
        break;
      case FaultClass::kBadData:
        EXPECT_EQ(first.state, TaskState::kQueued) << name;
        EXPECT_EQ(Decide(name, 1'000).state, TaskState::kFailed) << name;
        EXPECT_TRUE(first.counts) << name;
        break;
      case FaultClass::kSlowWorld:
        EXPECT_EQ(first.state, TaskState::kQueued) << name;
        EXPECT_EQ(Decide(name, 1'000).state, TaskState::kQueued) << name;
        EXPECT_FALSE(first.counts) << name << " says nothing of the account";
        break;
    }
    EXPECT_EQ(first.cause, name);
  }
  EXPECT_EQ(met, special.size());
}

TEST(Policy, AWordThatNobodyKnowsIsBadData) { EXPECT_EQ(ClassOf("a_new_fault"), FaultClass::kBadData); }

// Protocol 3.5: one minute, doubling, to an hour.
TEST(Policy, WaitsDoubleFromAMinuteToAnHour) {
  const std::vector<int64_t> minutes = {1, 2, 4, 8, 16, 32, 60, 60, 60};
  for (size_t attempts = 0; attempts < minutes.size(); ++attempts) {
    const int64_t whole = minutes[attempts] * kMinute;
    for (const std::string_view cause : {std::string_view("mst_partial"), kCauseHostUnavailable}) {
      int64_t least = whole * 2, most = 0;
      for (uint64_t random = 0; random < 200; ++random) {
        const uint64_t spread = random * 0x9e3779b97f4a7c15;
        const int64_t wait = Decide(cause, static_cast<int64_t>(attempts), 0, spread).not_before - kNow;
        least = std::min(least, wait);
        most = std::max(most, wait);
      }
      EXPECT_GE(least, whole / 2);
      EXPECT_LT(least, whole * 6 / 10) << "jitter";
      EXPECT_LE(most, whole);
      EXPECT_GT(most, whole * 9 / 10) << "jitter";
    }
  }
}

TEST(Policy, WaitsStayWithinAnHourWhateverTheNumbers) {
  for (const int64_t attempts : {int64_t{63}, int64_t{64}, int64_t{1'000'000'000'000}}) {
    const TaskOutcome outcome = Decide(kCauseHostUnavailable, attempts, 0, kMostRandom);
    EXPECT_EQ(outcome.state, TaskState::kQueued);
    EXPECT_GE(outcome.not_before - kNow, kHour / 2);
    EXPECT_LE(outcome.not_before - kNow, kHour);
  }
}

TEST(Policy, BadDataIsTriedTwelveTimes) {
  EXPECT_EQ(Decide("signature_mismatch", 10).state, TaskState::kQueued);
  EXPECT_EQ(Decide("signature_mismatch", 11).state, TaskState::kFailed) << "the twelfth";
  EXPECT_EQ(Decide("signature_mismatch", 11).not_before, 0);
}

TEST(Policy, RetryAfterIsRespected) {
  for (const std::string_view cause : {kCauseHostUnavailable, kCauseHostLimited, kCauseIdentityUnavailable, kCauseHostRefused}) {
    for (const uint64_t random : {uint64_t{0}, uint64_t{12'345'678'901}, kMostRandom}) {
      EXPECT_GE(Decide(cause, 0, 10 * kMinute, random).not_before, kNow + 10 * kMinute) << cause;
      EXPECT_GE(Decide(cause, 0, -5, random).not_before, kNow + kMinute / 2) << cause;
      EXPECT_LE(Decide(cause, 0, 400 * 24 * kHour, random).not_before, kNow + 36 * kHour) << cause << ": not for ever";
    }
  }
}

TEST(Policy, AHostThatSaysWhenIsTakenAtItsWord) {
  for (uint64_t random = 0; random < 100; ++random) {
    const int64_t wait = Decide(kCauseHostLimited, 9, 4 * kSecond, random * 0x9e3779b97f4a7c15).not_before - kNow;
    EXPECT_GE(wait, 4 * kSecond);
    EXPECT_LE(wait, 6 * kSecond);
  }
  EXPECT_GE(Decide(kCauseHostLimited).not_before, kNow + kMinute / 2) << "it did not say";
}

TEST(Policy, DetailsAreBoundedAndStayText) {
  const auto detail = [](std::string text) {
    return DecideOutcome("mst_partial", InternalError(text), 0, 0, kNow, 0, RetryPolicy()).detail;
  };
  EXPECT_EQ(detail("node bafy…"), "node bafy…");
  EXPECT_EQ(detail(std::string(240, 'x')).size(), 240u);
  std::string long_text(239, 'x');
  for (int i = 0; i < 50; ++i) long_text += "ü";
  EXPECT_EQ(detail(long_text), std::string(239, 'x') + "…") << "no half of a character";
}

TEST(HostOutages, TheNextWaitIsAsLongAsTheOutage) {
  HostOutages outages;
  EXPECT_EQ(outages.Waits("a", kNow, kMinute), 0);
  outages.Failed("a", kNow);
  for (int i = 0; i < 100; ++i) outages.Failed("a", kNow + i);  // its other accounts
  EXPECT_TRUE(outages.IsOut("a"));
  EXPECT_EQ(outages.Waits("a", kNow + kSecond, kMinute), 0);
  EXPECT_EQ(outages.Waits("a", kNow + kMinute, kMinute), 1);
  EXPECT_EQ(outages.Waits("a", kNow + 2 * kMinute, kMinute), 1);
  EXPECT_EQ(outages.Waits("a", kNow + 3 * kMinute, kMinute), 2);
  EXPECT_EQ(outages.Waits("a", kNow + 7 * kMinute, kMinute), 3);
  EXPECT_EQ(outages.Waits("a", kNow + 1'000 * 24 * kHour, 1), 40) << "bounded";
  EXPECT_EQ(outages.Waits("a", kNow - kHour, kMinute), 0) << "a clock that was set back";
  EXPECT_EQ(outages.Waits("b", kNow + kHour, kMinute), 0);
  outages.Answered("a");
  EXPECT_FALSE(outages.IsOut("a"));
  EXPECT_EQ(outages.Waits("a", kNow + kHour, kMinute), 0);
}

TEST(HostOutages, RemembersOnlySoMany) {
  HostOutages outages(3);
  for (const char* host : {"a", "b", "c"}) outages.Failed(host, kNow);
  outages.Failed("c", kNow);
  EXPECT_TRUE(outages.IsOut("a"));
  outages.Failed("d", kNow);
  EXPECT_FALSE(outages.IsOut("a"));
  EXPECT_TRUE(outages.IsOut("d"));
}

}  // namespace
}  // namespace penstock::backfill
