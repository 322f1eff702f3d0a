// Accounts whose document, key, host or status is not what it was.

#include "backfill/coordinator.h"

#include "base/status.h"
#include "tests/backfill/coordinator_testing.h"

namespace penstock::backfill {
namespace {

using builder::kHour;
using sync::RunKind;

class CoordinatorAccountsTest : public CoordinatorFixture {};

// ---- Identities

TEST_P(CoordinatorAccountsTest, AKeyThatChangedIsLearntAtOnce) {
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

TEST_P(CoordinatorAccountsTest, AWrongSignatureStaysOne) {
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

TEST_P(CoordinatorAccountsTest, ADirectoryThatIsDownIsWaitedFor) {
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

TEST_P(CoordinatorAccountsTest, DocumentsThatProveNothing) {
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

TEST_P(CoordinatorAccountsTest, AnAccountThatMovedIsFoundAtItsNewHost) {
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
TEST_P(CoordinatorAccountsTest, AnAccountThatMovedIsNotSilentBecauseItsOldHostSaysSo) {
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

TEST_P(CoordinatorAccountsTest, AnAccountThatWeFollowAndItsHostDoesNotHaveWasDeleted) {
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

TEST_P(CoordinatorAccountsTest, AnAccountThatItsHostDoesNotHave) {
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

TEST_P(CoordinatorAccountsTest, SilentAccountsAreHiddenAndDone) {
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

TEST_P(CoordinatorAccountsTest, AHostThatRefusesWithoutSayingWhatTheStatusIs) {
  Host pds;
  Account ann = Resident(1, pds);
  pds.Fails(HostingFault::Status(400, "RepoSuspended").On("getRepo"));
  pds.Fails(HostingFault::NotServed().On("getRepoStatus"));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done account_inactive 0"));
  EXPECT_TRUE(Eventually([&] { return Status(ann) == "suspended"; }));
}

TEST_P(CoordinatorAccountsTest, AHostThatContradictsItselfIsAskedAgain) {
  Host pds;
  Account ann = Resident(1, pds);
  pds.Fails(HostingFault::Status(400, "RepoTakendown").On("getRepo").Times(1));
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "queued host_refused 1"));
  ASSERT_TRUE(BecomesDone(ann));
  ExpectWhole(ann);
}

TEST_P(CoordinatorAccountsTest, WhatARelaySaysOfAnAccountIsNotItsHosts) {
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

TEST_P(CoordinatorAccountsTest, RowsOfDeletedAccountsGoWhenTheirHostConfirmsIt) {
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

INSTANTIATE_TEST_SUITE_P(Databases, CoordinatorAccountsTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::backfill
