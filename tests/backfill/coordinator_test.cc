// The queue at work: what becomes of an account's task when its host, its document, its archive or the account itself are not as
// they should be; and that everybody else goes on meanwhile.

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
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;

class CoordinatorTest : public CoordinatorFixture {};

// ---- The good way

TEST_P(CoordinatorTest, TakesAccountsInAndEndsTheRun) {
  Host pds;
  Account ann = Resident(1, pds), bob = Resident(2, pds, 40);
  Begin();
  Want({&ann, &bob});
  ASSERT_TRUE(BecomesTask(ann, "done - 0"));
  ASSERT_TRUE(BecomesTask(bob, "done - 0"));
  ExpectWhole(ann);
  ExpectWhole(bob);
  EXPECT_THAT(Rows("SELECT DISTINCT verification FROM record"), ElementsAre("export"));
  EXPECT_THAT(Rows("SELECT did, rule FROM coverage ORDER BY did"), testing::SizeIs(2));
  EXPECT_TRUE(Eventually([&] { return Count("backfill_runs_done") == 1; }));
  EXPECT_THAT(Log(), Contains(HasSubstr("run 1 (manual test 1) done: 2 accounts, 43 records")));
  EXPECT_EQ(Value("SELECT state FROM backfill_run"), "done");
  EXPECT_TRUE(Eventually([&] { return coordinator_->stats().idle; }));
  const Coordinator::Stats stats = coordinator_->stats();
  EXPECT_EQ(stats.accounts, 2u);
  EXPECT_EQ(stats.records, 43u);
  EXPECT_GT(stats.bytes, 0u);
  EXPECT_EQ(stats.claimed, 0u);
  EXPECT_EQ(Count("backfill_tasks_done"), 2u);
  EXPECT_EQ(Count("backfill_records"), 43u);
  EXPECT_EQ(Count("backfill_retried"), 0u);
  EXPECT_EQ(pds.Asked("getRepo"), 2u);
}

TEST_P(CoordinatorTest, AskedForOnceIsEnough) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kFilter, "test.lantern.*");
  ASSERT_TRUE(BecomesDone(ann));
  // The chain is whole and the rules are covered: nobody is asked.
  Want({{ann.did(), "", ""}}, RunKind::kFilter, "test.lantern.note");
  ASSERT_TRUE(BecomesTask(ann, "done already_current 0"));
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kGap, "somewhere");
  ASSERT_TRUE(Eventually([&] { return Count("backfill_already_current") == 2; }));
  EXPECT_EQ(pds.Asked("getRepo"), 1u);
  EXPECT_EQ(coordinator_->stats().already_current, 2u);
  // An operator's word is no listing: all of it is compared again.
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().accounts == 2; }));
  EXPECT_EQ(pds.Asked("getRepo"), 2u);
}

TEST_P(CoordinatorTest, AGapIsClosedByComparingRevs) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  const std::string before = ann.rev();
  Publish(ann, 2, 77);
  now_ += kSecond;
  ann.Commit({Write::Delete(std::string(kNote) + "/n1-1000")}, now_);
  pds.Has(ann);
  // Nobody said which rev there is: asked, and only then known to be newer.
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kGap, "one");
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().accounts == 2; }));
  ASSERT_TRUE(Eventually([&] { return Value("SELECT rev FROM repo") == ann.rev(); }));
  ExpectWhole(ann);
  Want({{ann.did(), "", ""}}, RunKind::kGap, "two");
  ASSERT_TRUE(Eventually([&] { return Count("backfill_already_current") == 1; }));
  EXPECT_EQ(pds.Asked("getRepo"), 3u) << "its commit said that it is the one that we have";
}

TEST_P(CoordinatorTest, AnAccountThatTheFilterExcludesIsNotAsked) {
  Host pds;
  Account ann = Resident(1, pds);
  filter_ = *indexer::Filter::Make(
      {.collections = {"test.lantern.*"}, .dids = {}, .exclude_dids = {ann.did()}, .actions = {}});
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done not_wanted 0"));
  EXPECT_EQ(pds.Asked("getRepo"), 0u);
  EXPECT_EQ(port_.prepared, 0);
}

TEST_P(CoordinatorTest, AnAccountThatBreaksIsQueuedByItsState) {
  Host pds;
  Account ann = Resident(1, pds);
  coordinator_options_.throttle = {.first_us = 1'000'000, .most_us = 2'000'000, .calm_us = kHour};
  Begin();
  // Met in mid-life: an anchor, and a repository to fetch.
  Offer(Message(ann, "live"));
  paths_[ann.did()].insert(std::string(kNote) + "/live");
  pds.Has(ann);
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([&] { return State(ann) == "synchronized"; }));
  ExpectWhole(ann);
  EXPECT_EQ(Count("backfill_unsettled"), 1u);
  EXPECT_EQ(Value("SELECT kind FROM backfill_run"), "resync");
  // A commit that never came breaks the chain.
  const auto lost = Message(ann, "lost");
  const auto next = Message(ann, "next");
  for (const char* rkey : {"lost", "next"}) paths_[ann.did()].insert(std::string(kNote) + "/" + rkey);
  pds.Has(ann);
  Offer(next);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(kSecond);
    return Value("SELECT rev FROM repo") == ann.rev() && State(ann) == "synchronized";
  }));
  ExpectWhole(ann);
}

// ---- Hosts

TEST_P(CoordinatorTest, ADeadAndASlowHostKeepNobodyElseWaiting) {
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

TEST_P(CoordinatorTest, AHostThatIsAwayIsWaitedForWithoutCountingAttempts) {
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

TEST_P(CoordinatorTest, A429StormIsWaitedOut) {
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
TEST_P(CoordinatorTest, OurOwnLimitsForAHostAreNoFaultOfIts) {
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

TEST_P(CoordinatorTest, TooSlowIsLeftForLater) {
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

TEST_P(CoordinatorTest, TooLongIsTooSlow) {
  Host pds;
  Account ann = Resident(1, pds, 100);
  coordinator_options_.max_download_us = 300'000;
  pds.Fails(HostingFault::Slow(2'000));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued too_slow 0"));
}

TEST_P(CoordinatorTest, TheUpstreamHasWhatAHostThatIsAwayHasNot) {
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

TEST_P(CoordinatorTest, ARelayMayRedirect) {
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

TEST_P(CoordinatorTest, NobodyIsKnownToServeIt) {
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

TEST_P(CoordinatorTest, AHostThatRefusesIsAskedTwelveTimes) {
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

TEST_P(CoordinatorTest, BadArchivesAreNamedAndTriedAgain) {
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

TEST_P(CoordinatorTest, AnArchiveBeyondTheLimitIsRefusedForGood) {
  Host pds;
  Account ann = Resident(1, pds, 100);
  coordinator_options_.archive.max_bytes = 5'000;
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "failed archive_too_large 1"));
  EXPECT_EQ(pds.Asked("getRepo"), 1u);
}

TEST_P(CoordinatorTest, AnOldCopyChangesNothing) {
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

TEST_P(CoordinatorTest, AnArchiveOlderThanWhatWasListedIsOld) {
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

// ---- Identities

TEST_P(CoordinatorTest, AKeyThatChangedIsLearntAtOnce) {
  Host pds;
  Account ann = Resident(1, pds);
  const Account other({.seed = 99, .handle = "other.test"});
  auto stale = std::make_shared<identity::Identity>(*IdentityAt(ann, pds.url()));
  stale->key = IdentityAt(other, pds.url())->key;
  resolver_.Serve(ann.did(), stale);
  front_.ServeRefreshed(ann.did(), IdentityAt(ann, pds.url()));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done - 0"));
  ExpectWhole(ann);
  EXPECT_EQ(resolver_.refreshed(), 1u);
  EXPECT_EQ(pds.Asked("getRepo"), 2u);
}

TEST_P(CoordinatorTest, AWrongSignatureStaysOne) {
  Host pds;
  Account ann = Resident(1, pds);
  const Account other({.seed = 99, .handle = "other.test"});
  auto wrong = std::make_shared<identity::Identity>(*IdentityAt(ann, pds.url()));
  wrong->key = IdentityAt(other, pds.url())->key;
  resolver_.Serve(ann.did(), wrong);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued signature_mismatch 1"));
  EXPECT_EQ(resolver_.refreshed(), 1u);
  EXPECT_EQ(pds.Asked("getRepo"), 1u) << "the key is the same: the same archive would fail again";
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
}

TEST_P(CoordinatorTest, ADirectoryThatIsDownIsWaitedFor) {
  Host pds;
  Account ann = Resident(1, pds);
  resolver_.SetDown(true);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued identity_unavailable 0"));
  resolver_.SetDown(false);
  ASSERT_TRUE(BecomesDone(ann));
  ExpectWhole(ann);
}

TEST_P(CoordinatorTest, DocumentsThatProveNothing) {
  Host pds;
  Account gone = Resident(1, pds), tombstone = Resident(2, pds), known = Resident(3, pds), keyless = Resident(4, pds);
  Begin();
  Want({&known});
  ASSERT_TRUE(BecomesDone(known));
  for (const auto& [account, fault] : std::map<Account*, Reject>{{&gone, Reject::kDidNotFound},
                                                                 {&tombstone, Reject::kDidTombstoned},
                                                                 {&known, Reject::kDidTombstoned},
                                                                 {&keyless, Reject::kDidNoKey}}) {
    resolver_.Serve(account->did(), test::FaultyIdentity(account->did(), fault));
  }
  Want({&gone, &tombstone, &known, &keyless});
  ASSERT_TRUE(BecomesTask(gone, "failed did_not_found 1"));
  ASSERT_TRUE(BecomesTask(tombstone, "failed did_tombstoned 1"));
  ASSERT_TRUE(BecomesTask(known, "failed did_tombstoned 1"));
  ASSERT_TRUE(BecomesTask(keyless, "queued did_no_key 1"));
  ASSERT_TRUE(Eventually([&] { return Status(known) == "deleted"; })) << "protocol 3.6: a tombstone is a deletion";
  EXPECT_EQ(Status(tombstone), "unknown");
}

// ---- Accounts that moved, are silent, or are gone

TEST_P(CoordinatorTest, AnAccountThatMovedIsFoundAtItsNewHost) {
  Host before, after;
  Account ann = Resident(1, after);
  auto old_document = IdentityAt(ann, before.url());
  resolver_.Serve(ann.did(), old_document);
  front_.ServePurged(ann.did(), IdentityAt(ann, after.url()));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done - 0"));
  ExpectWhole(ann);
  EXPECT_EQ(before.Asked("getRepo"), 1u);
  EXPECT_EQ(resolver_.purged(), 1u);
}

// The old host is believed about an account only if the document still names it.
TEST_P(CoordinatorTest, AnAccountThatMovedIsNotSilentBecauseItsOldHostSaysSo) {
  Host before, after;
  Account ann = Resident(1, before);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  Publish(ann, 2, 20);
  after.Has(ann);
  before.hosting().SetStatus("", ann.did(), false, "deactivated");
  front_.ServePurged(ann.did(), IdentityAt(ann, after.url()));
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kGap);
  ASSERT_TRUE(BecomesDone(ann));
  ASSERT_TRUE(Eventually([&] { return Value("SELECT rev FROM repo") == ann.rev(); }));
  ExpectWhole(ann);
  EXPECT_EQ(Status(ann), "active");
}

TEST_P(CoordinatorTest, AnAccountThatWeFollowAndItsHostDoesNotHaveWasDeleted) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  pds.hosting().RemoveRepo("", ann.did());
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done account_inactive 0"));
  EXPECT_TRUE(Eventually([&] { return Status(ann) == "deleted"; })) << Status(ann);
  EXPECT_EQ(resolver_.purged(), 1u);
}

TEST_P(CoordinatorTest, AnAccountThatItsHostDoesNotHave) {
  Host pds, relay;
  Account ann = Resident(1, pds), bob = Resident(2, pds);
  pds.hosting().RemoveRepo("", ann.did());
  pds.hosting().RemoveRepo("", bob.did());
  relay.Has(bob);
  coordinator_options_.upstreams = {relay.url()};
  Begin();
  Want({&ann, &bob});
  ASSERT_TRUE(BecomesTask(ann, "failed repo_not_found 1"));
  EXPECT_EQ(relay.Asked("getRepo", ann.did()), 1u);
  EXPECT_EQ(Status(ann), "unknown") << "nobody said that it was deleted";
  ASSERT_TRUE(BecomesTask(bob, "done - 0"));
  ExpectWhole(bob);
}

TEST_P(CoordinatorTest, SilentAccountsAreHiddenAndDone) {
  Host pds;
  Account ann = Resident(1, pds), bob = Resident(2, pds), eve = Resident(3, pds);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  pds.hosting().SetStatus("", ann.did(), false, "takendown");
  pds.hosting().SetStatus("", bob.did(), false, "deactivated");
  pds.hosting().SetStatus("", eve.did(), false, "deleted");  // RepoNotFound
  Want({&ann, &bob, &eve});
  for (const Account* account : {&ann, &bob, &eve}) ASSERT_TRUE(BecomesTask(*account, "done account_inactive 0"));
  EXPECT_TRUE(Eventually([&] {
    return Status(ann) == "takendown" && Status(bob) == "deactivated" && Status(eve) == "deleted";
  })) << Status(ann) << ", " << Status(bob) << ", " << Status(eve);
  EXPECT_EQ(Value("SELECT COUNT(*) FROM visible_record"), "0");
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record WHERE NOT deleted"), "3") << "hidden, not gone";
  // Back again.
  pds.hosting().SetStatus("", ann.did(), true);
  pds.hosting().SetStatus("", bob.did(), true);
  Publish(ann, 2, 60);
  pds.Has(ann);
  Want({&ann, &bob}, RunKind::kGap);
  ASSERT_TRUE(BecomesDone(ann));
  ASSERT_TRUE(BecomesDone(bob));
  ASSERT_TRUE(Eventually([&] { return Value("SELECT COUNT(*) FROM visible_record") == "8"; }));
  ExpectWhole(ann);
  ExpectWhole(bob);
}

TEST_P(CoordinatorTest, AHostThatRefusesWithoutSayingWhatTheStatusIs) {
  Host pds;
  Account ann = Resident(1, pds);
  pds.Fails(HostingFault::Status(400, "RepoSuspended").On("getRepo"));
  pds.Fails(HostingFault::NotServed().On("getRepoStatus"));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done account_inactive 0"));
  EXPECT_TRUE(Eventually([&] { return Status(ann) == "suspended"; }));
}

TEST_P(CoordinatorTest, AHostThatContradictsItselfIsAskedAgain) {
  Host pds;
  Account ann = Resident(1, pds);
  pds.Fails(HostingFault::Status(400, "RepoTakendown").On("getRepo").Times(1));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued host_refused 1"));
  ASSERT_TRUE(BecomesDone(ann));
  ExpectWhole(ann);
}

TEST_P(CoordinatorTest, WhatARelaySaysOfAnAccountIsNotItsHosts) {
  Host pds, relay;
  Account ann = Resident(1, pds);
  relay.Has(ann);
  relay.hosting().SetStatus("", ann.did(), false, "takendown");
  pds.server().SetDown(true);
  coordinator_options_.upstreams = {relay.url()};
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued host_unavailable 0"));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
  EXPECT_EQ(Count("backfill_upstream_account_inactive"), 1u);
}

TEST_P(CoordinatorTest, RowsOfDeletedAccountsGoWhenTheirHostConfirmsIt) {
  Host pds;
  Account gone = Resident(1, pds, 12), back = Resident(2, pds, 5), tombstone = Resident(3, pds, 5);
  coordinator_options_.purge_after_us = kHour;
  coordinator_options_.purge_poll_us = 20'000;
  Begin();
  Want({&gone, &back, &tombstone});
  for (const Account* account : {&gone, &back, &tombstone}) ASSERT_TRUE(BecomesDone(*account));
  for (const Account* account : {&gone, &back, &tombstone}) {
    builder::AccountMessage message;
    message.seq = ++seq_;
    message.did = account->did();
    message.time = builder::FormatTime(now_);
    message.active = false;
    message.status = "deleted";
    OfferBytes(builder::Encode(message), pipeline::kRelay);
  }
  ASSERT_TRUE(Settled());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record"), "22") << "not yet";
  pds.hosting().RemoveRepo("", gone.did());
  resolver_.Serve(tombstone.did(), test::FaultyIdentity(tombstone.did(), Reject::kDidTombstoned));
  clock_.Advance(2 * kHour);
  ASSERT_TRUE(Eventually([&] { return Value("SELECT COUNT(*) FROM record") == "5"; })) << Value("SELECT COUNT(*) FROM record");
  EXPECT_TRUE(Eventually([&] { return Count("backfill_purged") >= 2; }));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM record WHERE did = '" + back.did() + "'"), "5") << "its host has it";
  EXPECT_EQ(Status(back), "active") << "so it is back";
  EXPECT_EQ(State(gone), "desynchronized");
  EXPECT_EQ(Value("SELECT COALESCE(rev, '-') FROM repo WHERE did = '" + gone.did() + "'"), "-");
}

// ---- Ends

TEST_P(CoordinatorTest, EndsWithinASecondWhateverIsUnderWay) {
  Host pds;
  std::vector<Account> accounts;
  std::vector<sync::TaskSeed> seeds;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    accounts.push_back(Resident(seed, pds, 50));
    seeds.push_back({accounts.back().did(), "", ""});
  }
  pds.Fails(HostingFault::Slow(1'000));
  Begin();
  Want(std::move(seeds));
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().downloading == 2; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begun = std::chrono::steady_clock::now();
  EndCoordinator();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(1));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
  // What it held is anybody's at once, whoever that is.
  pds.hosting().ClearFaults();
  coordinator_options_.owner_prefix = "somebody else#";
  BeginCoordinator();
  for (Account& account : accounts) ASSERT_TRUE(BecomesDone(account));
  for (Account& account : accounts) ExpectWhole(account);
}

TEST_P(CoordinatorTest, EndsWhileTheDirectorySaysNothing) {
  Host pds;
  Account ann = Resident(1, pds);
  resolver_.SetHold(true);
  Begin();
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().claimed == 1; }));
  EXPECT_FALSE(coordinator_->stats().idle);
  EndCoordinator();
  resolver_.SetHold(false);  // its answer comes when nobody is there any more
  BeginCoordinator();
  ASSERT_TRUE(BecomesDone(ann));
}

TEST_P(CoordinatorTest, AFailureOfOurOwnEndsIt) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  EndCoordinator();
  fault_.KillAt(0);
  struct Broken final : pipeline::ImportPort {
    absl::StatusOr<pipeline::AccountView> Prepare(std::string_view) override { return InternalError("a worker lost its mind"); }
    absl::Status Begin(std::string_view, const sync::Head&, bool, bool*) override { return absl::OkStatus(); }
    indexer::ChangeSetPtr NewChange() override { return nullptr; }
    absl::Status Write(indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status WaitDurable() override { return absl::OkStatus(); }
    absl::Status Finish(std::string_view, const sync::Head&, bool, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status Abandon(std::string_view) override { return absl::OkStatus(); }
    absl::Status SetStatus(std::string_view, const sync::HostStatus&, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status Purge(std::string_view, uint64_t) override { return absl::OkStatus(); }
  } broken;
  BeginCoordinator();
  port_.Lead(&broken);
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return Failures().size() == 1; }));
  EXPECT_TRUE(absl::IsInternal(Failures()[0]));
  Want({&ann}, RunKind::kGap);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(Failures().size(), 1u) << "once";
  EndCoordinator();
}

INSTANTIATE_TEST_SUITE_P(Databases, CoordinatorTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::backfill
