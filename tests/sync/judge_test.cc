// One event at a time: what the judge says, for whom it waits, and that nothing weaker than asked for gets through.

#include "sync/judge.h"

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/faults.h"
#include "tests/support/identity/scripted_resolver.h"

namespace penstock::sync {
namespace {

using builder::Curve;
using builder::kFixtureEpoch;
using builder::kSecond;
using builder::Write;
using repo::Verification;
using Kind = Verdict::Kind;

constexpr int64_t kArrived = 1000;  // monotonic; the scripted identities are asked for at 1

class JudgeTest : public testing::TestWithParam<Curve> {
 protected:
  JudgeTest() : account_({.seed = 7, .handle = "reed.test", .curve = GetParam()}), clock_(kFixtureEpoch + builder::kHour) {
    options_.clock = &clock_;
    options_.resolver = &resolver_;
    resolver_.Know(account_.did(), test::IdentityOf(account_));
    how_.position = {"relay.test", 1};
    how_.arrived_us = kArrived;
  }

  static builder::Item Note(const char* text) {
    return builder::Item::Map({{"$type", "test.lantern.note"}, {"text", text}});
  }
  builder::CommitMessage Commit(std::initializer_list<Write> writes) {
    now_ += kSecond;
    return account_.Commit(writes, now_);
  }
  builder::CommitMessage First() { return Commit({}); }
  builder::CommitMessage Next(const char* key) { return Commit({Write::Create(std::string("test.lantern.note/") + key, Note(key))}); }

  template <typename Message>
  const firehose::Frame& Decode(const Message& message) {
    bytes_ = builder::Encode(message);
    EXPECT_TRUE(firehose::DecodeFrame(AsBytes(bytes_), &frame_).ok());
    return frame_;
  }
  Verdict JudgeCommit(const builder::CommitMessage& message) {
    Judge judge(options_);
    builder::CommitMessage numbered = message;
    numbered.seq = 1;
    return Copy(judge.Commit(state_, Decode(numbered), how_));
  }
  Verdict JudgeSync(builder::SyncMessage message) {
    Judge judge(options_);
    message.seq = 1;
    return Copy(judge.Sync(state_, Decode(message), how_));
  }
  // Without the views, which end with the judge.
  static Verdict Copy(Verdict verdict) {
    verdict.commit = {};
    return verdict;
  }
  // As the worker does.
  void Take(const Verdict& verdict) {
    ASSERT_EQ(verdict.kind, Kind::kApply) << verdict.reject;
    state_.sync_state = verdict.next;
    state_.head = verdict.head;
  }
  static std::optional<Reject> RejectIn(const Verdict& verdict) { return RejectOf(verdict.reject); }

  builder::Account account_;
  FixedClock clock_;
  test::ScriptedResolver resolver_;
  JudgeOptions options_;
  AccountState state_;
  Circumstances how_;
  int64_t now_ = kFixtureEpoch;
  std::string bytes_;
  firehose::Frame frame_;
};

TEST_P(JudgeTest, FollowsAnAccountFromItsFirstCommit) {
  const Verdict first = JudgeCommit(First());
  Take(first);
  EXPECT_EQ(first.level, Verification::kFull);
  EXPECT_EQ(first.next, SyncState::kSynchronized);
  for (const char* key : {"a", "b", "c"}) {
    const Verdict verdict = JudgeCommit(Next(key));
    Take(verdict);
    EXPECT_EQ(verdict.level, Verification::kFull);
    EXPECT_EQ(state_.head->rev, account_.rev());
    EXPECT_EQ(state_.head->data, account_.data());
  }
}

TEST_P(JudgeTest, AnchorsInMidLifeAndGoesOnFromThere) {
  First();
  Next("a");
  const Verdict anchor = JudgeCommit(Next("b"));
  Take(anchor);
  EXPECT_EQ(anchor.level, Verification::kCommit);
  EXPECT_EQ(anchor.next, SyncState::kPartial);
  const Verdict next = JudgeCommit(Next("c"));
  EXPECT_EQ(next.level, Verification::kFull);
  EXPECT_EQ(next.next, SyncState::kPartial);
}

TEST_P(JudgeTest, AnUntrackedAccountThatNothingMatchesCostsNoKey) {
  First();
  how_.wanted = false;
  EXPECT_EQ(JudgeCommit(Next("a")).kind, Kind::kIgnore);
  EXPECT_EQ(resolver_.asked(), 0u);
}

TEST_P(JudgeTest, StaleIsIgnoredAndAGapDesynchronizes) {
  Take(JudgeCommit(First()));
  const builder::CommitMessage a = Next("a");
  Take(JudgeCommit(a));
  EXPECT_EQ(JudgeCommit(a).kind, Kind::kIgnore);
  EXPECT_EQ(JudgeCommit(a).ignored, "stale_rev");
  Next("missed");
  const Verdict verdict = JudgeCommit(Next("c"));
  EXPECT_EQ(verdict.kind, Kind::kDesync);
  EXPECT_EQ(RejectIn(verdict), Reject::kChainBroken);
  state_.sync_state = SyncState::kDesynchronized;
  const Verdict later = JudgeCommit(Next("d"));
  EXPECT_EQ(later.kind, Kind::kWait);
  EXPECT_EQ(later.wait, Wait::kDesynchronized);
}

TEST_P(JudgeTest, WaitsForAnIdentityThatIsNotKnown) {
  resolver_.Know(account_.did(), nullptr);
  const Verdict verdict = JudgeCommit(First());
  EXPECT_EQ(verdict.kind, Kind::kWait);
  EXPECT_EQ(verdict.wait, Wait::kIdentity);
  how_.answer = test::IdentityOf(account_);
  EXPECT_EQ(JudgeCommit(account_.Commit({}, now_ + kSecond)).kind, Kind::kApply) << "an answer needs no memory";
}

TEST_P(JudgeTest, AnAccountWithoutAKeyIsRefusedOnceTheAnswerIsNewEnough) {
  how_.answer = test::FaultyIdentity(account_.did(), Reject::kDidNotFound);
  const builder::CommitMessage first = First();
  EXPECT_EQ(JudgeCommit(first).wait, Wait::kRefresh);
  how_.answer = test::FaultyIdentity(account_.did(), Reject::kDidNotFound, kArrived + 1);
  const Verdict verdict = JudgeCommit(first);
  EXPECT_EQ(verdict.kind, Kind::kDrop);
  EXPECT_EQ(RejectIn(verdict), Reject::kDidNotFound);
  EXPECT_EQ(verdict.next, SyncState::kUntracked) << "it changes nothing";
}

TEST_P(JudgeTest, ARotatedKeyIsFoundByOneRefresh) {
  Take(JudgeCommit(First()));
  account_.RotateKey();
  const builder::CommitMessage signed_anew = Next("a");
  EXPECT_EQ(JudgeCommit(signed_anew).wait, Wait::kRefresh);
  how_.answer = test::IdentityOf(account_, kArrived + 1);
  Take(JudgeCommit(signed_anew));
}

TEST_P(JudgeTest, ABadSignatureChangesNothing) {
  Take(JudgeCommit(First()));
  builder::CommitMessage forged = account_.Draft({Write::Create("test.lantern.note/x", Note("x"))}, now_ + kSecond);
  builder::Spoil(builder::CommitFault::kForeignSignature, account_, &forged);
  how_.answer = test::IdentityOf(account_, kArrived + 1);
  const Verdict verdict = JudgeCommit(forged);
  EXPECT_EQ(verdict.kind, Kind::kDrop);
  EXPECT_EQ(RejectIn(verdict), Reject::kSignatureMismatch);
  EXPECT_EQ(verdict.next, SyncState::kUntracked);
}

// What each fault of the builder comes to for an account whose chain is whole.
TEST_P(JudgeTest, EveryFaultHasItsName) {
  Take(JudgeCommit(First()));
  Take(JudgeCommit(Next("a")));
  how_.answer = test::IdentityOf(account_, kArrived + 1);
  using builder::CommitFault;
  const std::map<CommitFault, Reject> higher = {
      {CommitFault::kForeignSignature, Reject::kSignatureMismatch},
      {CommitFault::kHighS, Reject::kSignatureHighS},
      {CommitFault::kOpOmitted, Reject::kCommitPrevDataMismatch},
      {CommitFault::kPrevDataWrong, Reject::kCommitPrevDataMismatch},
      {CommitFault::kPrevDataMissing, Reject::kCommitPrevDataMissing},
      {CommitFault::kSinceWrong, Reject::kChainBroken},
  };
#define PENSTOCK_EACH_FAULT(name, reject) CommitFault::name,
  for (const CommitFault fault : {PENSTOCK_COMMIT_FAULTS(PENSTOCK_EACH_FAULT)}) {
#undef PENSTOCK_EACH_FAULT
    builder::CommitMessage spoilt = account_.Draft({Write::Create("test.lantern.note/x", Note("x"))}, now_ + kSecond);
    builder::Spoil(fault, account_, &spoilt);
    const Verdict verdict = JudgeCommit(spoilt);
    const std::optional<Reject> expected =
        higher.contains(fault) ? std::optional<Reject>(higher.at(fault)) : builder::RejectAtCidLevel(fault);
    EXPECT_EQ(RejectIn(verdict), expected) << builder::CommitFaultName(fault) << ": " << verdict.reject;
    EXPECT_NE(verdict.kind, Kind::kApply) << builder::CommitFaultName(fault);
  }
}

TEST_P(JudgeTest, ARelaxationNeverGivesAStrongRow) {
  Take(JudgeCommit(First()));
  builder::CommitMessage legacy = Next("a");
  legacy.prev_data.reset();
  const Verdict strict = JudgeCommit(legacy);
  EXPECT_EQ(strict.kind, Kind::kDrop);
  EXPECT_EQ(strict.next, SyncState::kDesynchronized) << "the signature is good, so we are behind";
  options_.policies.Add(Allow::kLegacyCommits);
  const Verdict lenient = JudgeCommit(legacy);
  EXPECT_EQ(lenient.kind, Kind::kApply);
  EXPECT_EQ(lenient.level, Verification::kSignature);
  EXPECT_EQ(lenient.allowed, Allow::kLegacyCommits);
}

TEST_P(JudgeTest, AnAccountWhoseFirstSightCannotBeUndoneIsBehindToo) {
  First();
  builder::CommitMessage legacy = Next("a");
  legacy.prev_data.reset();
  const Verdict verdict = JudgeCommit(legacy);
  EXPECT_EQ(verdict.kind, Kind::kDrop);
  EXPECT_EQ(RejectIn(verdict), Reject::kCommitPrevDataMissing);
  EXPECT_EQ(verdict.next, SyncState::kDesynchronized);
  how_.wanted = false;
  EXPECT_EQ(JudgeCommit(legacy).kind, Kind::kIgnore) << "nobody asked for anything of it";
}

TEST_P(JudgeTest, SignatureLevelKeepsNoChain) {
  options_.level = Verification::kSignature;
  First();
  Next("missed");
  const Verdict verdict = JudgeCommit(Next("b"));
  EXPECT_EQ(verdict.kind, Kind::kApply);
  EXPECT_EQ(verdict.level, Verification::kSignature);
  EXPECT_FALSE(verdict.has_head);
}

TEST_P(JudgeTest, SilentAccountsHaveToBeAskedAfter) {
  Take(JudgeCommit(First()));
  state_.active = false;
  const builder::CommitMessage a = Next("a");
  EXPECT_EQ(JudgeCommit(a).wait, Wait::kStatus);
  how_.gated = true;  // it was active when this arrived
  EXPECT_EQ(JudgeCommit(a).kind, Kind::kApply);
}

TEST_P(JudgeTest, SyncAfterAMigrationIsDroppedAndTheNextCommitGoesOn) {
  Take(JudgeCommit(First()));
  Take(JudgeCommit(Next("a")));
  builder::SyncMessage sync = account_.Sync(now_ + kSecond);  // the old key's commit, …
  account_.RotateKey();                                       // … while the document has the new one already
  how_.answer = test::IdentityOf(account_, kArrived + 1);
  const Verdict dropped = JudgeSync(sync);
  EXPECT_EQ(dropped.kind, Kind::kDrop);
  EXPECT_EQ(RejectIn(dropped), Reject::kSignatureMismatch);
  EXPECT_EQ(dropped.next, SyncState::kUntracked);
  const Verdict next = JudgeCommit(Next("b"));
  EXPECT_EQ(next.kind, Kind::kApply);
  EXPECT_EQ(next.level, Verification::kFull);
}

TEST_P(JudgeTest, SyncWithOurOwnHeadPassesWithoutEffect) {
  Take(JudgeCommit(First()));
  const Verdict verdict = JudgeSync(account_.Sync(now_));
  EXPECT_EQ(verdict.kind, Kind::kIgnore);
  EXPECT_EQ(verdict.ignored, "");
}

TEST_P(JudgeTest, SyncWithTheSameContentsMovesTheRev) {
  Take(JudgeCommit(First()));
  Take(JudgeCommit(Next("a")));
  Commit({});  // never sent: an empty commit by a rotated key, say
  const Verdict moved = JudgeSync(account_.Sync(now_));
  Take(moved);
  EXPECT_EQ(JudgeCommit(Next("b")).level, Verification::kFull);
}

TEST_P(JudgeTest, APdsSpeaksForItsOwnAccountsOnly) {
  const builder::CommitMessage first = First();
  how_.authority = "pds.lantern.test";
  EXPECT_EQ(JudgeCommit(first).kind, Kind::kApply);
  how_.authority = "pds.elsewhere.test";
  EXPECT_EQ(JudgeCommit(first).wait, Wait::kRefresh) << "it may have moved: one look before it is refused";
  how_.answer = test::IdentityOf(account_, kArrived + 1);
  const Verdict verdict = JudgeCommit(first);
  EXPECT_EQ(verdict.kind, Kind::kDrop);
  EXPECT_EQ(RejectIn(verdict), Reject::kAccountWrongHost);

  Judge judge(options_);
  builder::AccountMessage gone;
  gone.seq = 2;
  gone.did = account_.did();
  gone.time = "2026-01-01T00:00:00Z";
  gone.active = false;
  EXPECT_EQ(judge.Account(Decode(gone), how_).kind, Kind::kDrop);
  how_.authority = "pds.lantern.test";
  EXPECT_EQ(judge.Account(Decode(gone), how_).kind, Kind::kApply);
}

INSTANTIATE_TEST_SUITE_P(Curves, JudgeTest, testing::Values(Curve::kK256, Curve::kP256),
                         [](const auto& curve) { return curve.param == Curve::kK256 ? "K256" : "P256"; });

}  // namespace
}  // namespace penstock::sync
