// Hosts that are dead, slow, limited or lie, and what they serve: each fault is seen under its cause and healed, and everybody else
// goes on meanwhile.

#include "backfill/coordinator.h"

#include "base/status.h"
#include "tests/backfill/coordinator_testing.h"

namespace penstock::backfill {
namespace {

using builder::kHour;
using builder::kMinute;
using sync::RunKind;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class CoordinatorHostsTest : public CoordinatorFixture {};

// ---- Hosts

TEST_P(CoordinatorHostsTest, ADeadAndASlowHostKeepNobodyElseWaiting) {
  Host dead, slow, good;
  client_options_.gate.backoff_first = std::chrono::seconds(2);
  client_options_.gate.backoff_max = std::chrono::seconds(2);
  coordinator_options_.threads = 5;
  coordinator_options_.per_host = 2;
  coordinator_options_.claim = 8;
  coordinator_options_.retry.first_us = kHour;
  std::vector<Account> accounts;
  std::vector<sync::TaskSeed> seeds;
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    Host& host = seed <= 10 ? dead : seed <= 20 ? slow : good;
    accounts.push_back(Resident(seed, host));
    seeds.push_back({accounts.back().did(), "", ""});
  }
  dead.server().SetDown(true);
  slow.Fails(HostingFault::Slow(1'000));
  Begin();
  const auto begun = std::chrono::steady_clock::now();
  Want(std::move(seeds));
  for (size_t i = 20; i < 30; ++i) ASSERT_TRUE(BecomesTask(accounts[i], "done - 0"));
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
  for (size_t i = 0; i < 10; ++i) EXPECT_NE(TaskState(accounts[i]), "done");
  EXPECT_LE(slow.server().most_at_once(), 2u);
  EXPECT_LE(good.server().most_at_once(), 2u);
  EXPECT_GE(Count("backfill_host_unavailable"), 1u);
  // Nobody is lost: when both are well again, all come in.
  dead.server().SetDown(false);
  slow.hosting().ClearFaults();
  for (const Account& account : accounts) ASSERT_TRUE(BecomesDone(account, 20 * kMinute));
  for (Account& account : accounts) ExpectWhole(account);
}

TEST_P(CoordinatorHostsTest, AHostThatIsAwayIsWaitedForWithoutCountingAttempts) {
  Host pds;
  Account ann = Resident(1, pds);
  coordinator_options_.retry.max_attempts = 2;
  pds.Fails(HostingFault::Status(503));
  Begin();
  Want({&ann});
  for (size_t tries = 1; tries <= 5; ++tries) {
    ASSERT_TRUE(Eventually([&] { return Count("backfill_host_unavailable") >= tries; }));
    ASSERT_TRUE(Eventually([&] { return TaskState(ann) == "queued"; }));
    EXPECT_EQ(Task(ann), "queued host_unavailable 0");
    clock_.Advance(2 * kHour);
    coordinator_->Wake();
  }
  pds.hosting().ClearFaults();
  ASSERT_TRUE(BecomesDone(ann));
  ExpectWhole(ann);
}

TEST_P(CoordinatorHostsTest, A429StormIsWaitedOut) {
  Host pds;
  std::vector<Account> accounts;
  std::vector<sync::TaskSeed> seeds;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    accounts.push_back(Resident(seed, pds));
    seeds.push_back({accounts.back().did(), "", ""});
  }
  const int storm = pds.Fails(HostingFault::Limited("1"));
  Begin();
  Want(std::move(seeds));
  ASSERT_TRUE(Eventually([&] { return Count("backfill_host_limited") >= 1; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_LE(pds.Asked("getRepo"), 4u) << "told once, it is left alone";
  for (const Account& account : accounts) {
    EXPECT_THAT(Task(account), testing::AnyOf("queued host_limited 0", "running - 0"));
  }
  pds.hosting().RemoveFault(storm);
  for (const Account& account : accounts) ASSERT_TRUE(BecomesDone(account, kSecond));
  EXPECT_EQ(Count("backfill_failed"), 0u);
}

// What we refuse ourselves, for the host's sake, is no outage.
TEST_P(CoordinatorHostsTest, OurOwnLimitsForAHostAreNoFaultOfIts) {
  Host pds;
  client_options_.gate.per_second = 20;
  client_options_.gate.burst = 1;
  client_options_.gate.max_wait = std::chrono::milliseconds(1);
  std::vector<Account> accounts;
  std::vector<sync::TaskSeed> seeds;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    accounts.push_back(Resident(seed, pds));
    seeds.push_back({accounts.back().did(), "", ""});
  }
  Begin();
  Want(std::move(seeds));
  for (const Account& account : accounts) ASSERT_TRUE(BecomesDone(account, kSecond));
  EXPECT_GE(Count("backfill_host_limited"), 1u);
  EXPECT_EQ(Count("backfill_host_unavailable"), 0u);
  EXPECT_EQ(pds.Asked("getRepo"), 10u);
}

TEST_P(CoordinatorHostsTest, TooSlowIsLeftForLater) {
  Host pds;
  Account ann = Resident(1, pds, 100);
  coordinator_options_.min_bytes_per_second = 100'000;
  coordinator_options_.slow_window_us = 300'000;
  const int slow = pds.Fails(HostingFault::Slow(2'000));
  Begin();
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return Count("backfill_too_slow") == 1; }));
  ASSERT_TRUE(BecomesTask(ann, "queued too_slow 0"));
  pds.hosting().RemoveFault(slow);
  ASSERT_TRUE(BecomesDone(ann));
  ExpectWhole(ann);
}

TEST_P(CoordinatorHostsTest, TooLongIsTooSlow) {
  Host pds;
  Account ann = Resident(1, pds, 100);
  coordinator_options_.max_download_us = 300'000;
  pds.Fails(HostingFault::Slow(2'000));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued too_slow 0"));
}

TEST_P(CoordinatorHostsTest, TheUpstreamHasWhatAHostThatIsAwayHasNot) {
  Host pds, relay;
  Account ann = Resident(1, pds), bob = Resident(2, pds), eve = Resident(3, pds);
  for (Account* account : {&ann, &bob, &eve}) relay.Has(*account);
  Moves(bob, "");  // no PDS in its document
  Moves(eve, "");
  coordinator_options_.upstreams = {relay.url()};
  pds.server().SetDown(true);
  Begin();
  Want({{ann.did(), "", ""}, {bob.did(), "", ""}, {eve.did(), "", relay.url()}});
  for (Account* account : {&ann, &bob, &eve}) {
    ASSERT_TRUE(BecomesTask(*account, "done - 0"));
    ExpectWhole(*account);
  }
  EXPECT_EQ(relay.Asked("getRepo"), 3u);
}

TEST_P(CoordinatorHostsTest, ARelayMayRedirect) {
  Host pds, relay;
  Account ann = Resident(1, pds);
  Moves(ann, "");
  HostedRepo elsewhere = *HostedRepo::FromAccount(ann);
  elsewhere.redirect = pds.url();
  relay.hosting().SetRepo("", std::move(elsewhere));
  Begin();
  Want({{ann.did(), "", relay.url()}});
  ASSERT_TRUE(BecomesTask(ann, "done - 0"));
  ExpectWhole(ann);
  EXPECT_EQ(pds.Asked("getRepo"), 1u);
}

TEST_P(CoordinatorHostsTest, NobodyIsKnownToServeIt) {
  Host pds;
  Account ann = Resident(1, pds);
  Moves(ann, "");
  coordinator_options_.retry.max_attempts = 2;
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued no_host 1"));
  clock_.Advance(2 * kMinute);
  ASSERT_TRUE(BecomesTask(ann, "failed no_host 2"));
  EXPECT_TRUE(Eventually([&] { return Count("backfill_runs_done") == 1; })) << "a failure is an end";
  EXPECT_THAT(Log(), Contains(AllOf(HasSubstr("1 failed"), HasSubstr("1 no_host"))));
}

TEST_P(CoordinatorHostsTest, AHostThatRefusesIsAskedTwelveTimes) {
  Host pds;
  Account ann = Resident(1, pds);
  coordinator_options_.retry.max_attempts = 3;
  pds.Fails(HostingFault::Status(403, "AuthRequired"));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued host_refused 1"));
  clock_.Advance(2 * kMinute);
  ASSERT_TRUE(BecomesTask(ann, "queued host_refused 2"));
  clock_.Advance(4 * kMinute);
  ASSERT_TRUE(BecomesTask(ann, "failed host_refused 3"));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
}

// ---- Archives

TEST_P(CoordinatorHostsTest, BadArchivesAreNamedAndTriedAgain) {
  Host pds;
  Account ann = Resident(1, pds, 30), bob = Resident(2, pds, 30), eve = Resident(3, pds, 30), dan = Resident(4, pds, 30);
  const std::string whole = *ann.Export();
  pds.Fails(HostingFault::OldCopy(whole.substr(0, whole.size() / 2)).Of(ann.did()).Times(1));  // and a good end of HTTP
  pds.Fails(HostingFault::FlipAt(bob.Export()->size() - 10).Of(bob.did()).Times(1));
  pds.Fails(HostingFault::CutAt(whole.size() / 2).Of(eve.did()).Times(1));
  pds.Fails(HostingFault::Page().Of(dan.did()).Times(1));
  Begin();
  Want({&ann, &bob, &eve, &dan});
  ASSERT_TRUE(BecomesTask(ann, "queued car_truncated 1"));
  ASSERT_TRUE(BecomesTask(bob, "queued car_block_cid_mismatch 1"));
  ASSERT_TRUE(BecomesTask(eve, "queued host_unavailable 0"));
  ASSERT_TRUE(BecomesTask(dan, "queued host_refused 1"));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record"), "0") << "nothing of them is seen";
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
  EXPECT_THAT(Value("SELECT detail FROM backfill_task WHERE did = '" + ann.did() + "'"), testing::Not(IsEmpty()));
  for (Account* account : {&ann, &bob, &eve, &dan}) {
    ASSERT_TRUE(BecomesDone(*account));
    ExpectWhole(*account);
  }
}

TEST_P(CoordinatorHostsTest, AnArchiveBeyondTheLimitIsRefusedForGood) {
  Host pds;
  Account ann = Resident(1, pds, 100);
  coordinator_options_.archive.max_bytes = 5'000;
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "failed archive_too_large 1"));
  EXPECT_EQ(pds.Asked("getRepo"), 1u);
}

TEST_P(CoordinatorHostsTest, AnOldCopyChangesNothing) {
  Host pds;
  Account ann = Resident(1, pds);
  const std::string old = *ann.Export();
  Publish(ann, 5, 50);
  pds.Has(ann);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  const int mirror = pds.Fails(HostingFault::OldCopy(old));
  Want({&ann}, RunKind::kResync);
  ASSERT_TRUE(BecomesTask(ann, "done already_current 0")) << "its chain is whole";
  Want({{ann.did(), "", ""}}, RunKind::kGap, "gap");
  ASSERT_TRUE(Eventually([&] { return Count("backfill_stale_export") == 1; }));
  ExpectWhole(ann);
  pds.hosting().RemoveFault(mirror);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(30 * kSecond);
    return Value("SELECT COUNT(*) FROM backfill_task WHERE state <> 'done'") == "0";
  }));
  ExpectWhole(ann);
}

TEST_P(CoordinatorHostsTest, AnArchiveOlderThanWhatWasListedIsOld) {
  Host pds;
  Account ann = Resident(1, pds);
  const std::string old = *ann.Export();
  Publish(ann, 5, 50);
  pds.Has(ann);
  const int mirror = pds.Fails(HostingFault::OldCopy(old));
  coordinator_options_.retry.max_attempts = 3;
  Begin();
  Want({{ann.did(), ann.rev(), ""}});
  ASSERT_TRUE(BecomesTask(ann, "queued stale_export 1"));
  clock_.Advance(2 * kMinute);
  ASSERT_TRUE(BecomesTask(ann, "queued stale_export 2"));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record"), "0");
  // What nobody serves is not insisted on for ever: the listing is no proof.
  clock_.Advance(4 * kMinute);
  ASSERT_TRUE(BecomesTask(ann, "done - 2"));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record"), "3");
  pds.hosting().RemoveFault(mirror);
  // A rev that cannot be is not insisted on at all.
  Account bob = Resident(2, pds);
  Want({{bob.did(), "3zzzzzzzzzzzz", ""}}, RunKind::kManual, "future");
  ASSERT_TRUE(BecomesTask(bob, "done - 0"));
}

INSTANTIATE_TEST_SUITE_P(Databases, CoordinatorHostsTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::backfill
