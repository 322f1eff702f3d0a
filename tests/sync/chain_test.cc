// Steps 3 and 12 of protocol 3.2 and 2-5 of 3.4, row by row.

#include "sync/chain.h"

#include <gtest/gtest.h>

#include "base/bytes.h"

namespace penstock::sync {
namespace {

using repo::Verification;

const cbor::Cid kA = cbor::Cid::OfBlock(AsBytes("a"));
const cbor::Cid kB = cbor::Cid::OfBlock(AsBytes("b"));
const cbor::Cid kC = cbor::Cid::OfBlock(AsBytes("c"));
constexpr char kRev1[] = "3jzfcijpj2z2a";
constexpr char kRev2[] = "3jzfcijpj2z2b";
constexpr char kRev3[] = "3jzfcijpj2z2c";

AccountState At(const char* rev, const cbor::Cid& data, SyncState sync = SyncState::kSynchronized) {
  AccountState state;
  state.sync_state = sync;
  state.head = Head{rev, data, kC};
  return state;
}

TEST(Chain, StaleIsWhatIsNotNewer) {
  EXPECT_FALSE(IsStale({}, kRev1));
  EXPECT_TRUE(IsStale(At(kRev2, kA), kRev1));
  EXPECT_TRUE(IsStale(At(kRev2, kA), kRev2));
  EXPECT_FALSE(IsStale(At(kRev2, kA), kRev3));
}

TEST(Chain, WholeRepositoryAtFirstSight) {
  const Step step = FollowCommit({}, {kRev1, "", {}, kA.view(), true}, {});
  EXPECT_EQ(step.course, Course::kApply);
  EXPECT_EQ(step.level, Verification::kFull);
  EXPECT_EQ(step.next, SyncState::kSynchronized);
}

TEST(Chain, FirstSightInMidLifeAnchors) {
  const Step step = FollowCommit({}, {kRev2, kRev1, kA.view(), kB.view(), false}, {});
  EXPECT_EQ(step.course, Course::kApply);
  EXPECT_EQ(step.level, Verification::kCommit);
  EXPECT_EQ(step.next, SyncState::kPartial);
}

TEST(Chain, ContinuesOnBothFields) {
  for (SyncState sync : {SyncState::kSynchronized, SyncState::kPartial}) {
    const Step step = FollowCommit(At(kRev1, kA, sync), {kRev2, kRev1, kA.view(), kB.view(), false}, {});
    EXPECT_EQ(step.course, Course::kApply);
    EXPECT_EQ(step.level, Verification::kFull);
    EXPECT_EQ(step.next, sync) << "an anchored account stays partial until it was fetched";
  }
}

TEST(Chain, BreaksOnEitherField) {
  const AccountState state = At(kRev1, kA);
  const ChainClaim claims[] = {
      {kRev3, kRev2, kB.view(), kC.view(), false},  // both
      {kRev3, kRev1, kB.view(), kC.view(), false},  // prevData lies
      {kRev3, kRev2, kA.view(), kC.view(), false},  // since alone
      {kRev3, "", {}, kC.view(), true},             // as if it were new
      {kRev3, "", kA.view(), kC.view(), false},     // since null though we hold something
  };
  for (const ChainClaim& claim : claims) {
    const Step step = FollowCommit(state, claim, {});
    EXPECT_EQ(step.course, Course::kDesync);
    EXPECT_EQ(step.why, Reject::kChainBroken);
    EXPECT_EQ(step.next, SyncState::kDesynchronized);
  }
}

TEST(Chain, SinceAloneMayBeAllowed) {
  const auto policies = Policies::Make({"since-mismatch"});
  ASSERT_TRUE(policies.ok());
  const Step step = FollowCommit(At(kRev1, kA), {kRev3, kRev2, kA.view(), kC.view(), false}, *policies);
  EXPECT_EQ(step.course, Course::kApply);
  EXPECT_EQ(step.level, Verification::kSignature) << "a relaxation never gives a strong row";
  EXPECT_EQ(step.allowed, Allow::kSinceMismatch);
  EXPECT_EQ(FollowCommit(At(kRev1, kA), {kRev3, kRev2, kB.view(), kC.view(), false}, *policies).course, Course::kDesync);
}

TEST(Chain, SyncSteps) {
  const AccountState state = At(kRev2, kA);
  EXPECT_EQ(FollowSync(state, kRev1, kB.view()).course, Course::kIgnore);
  EXPECT_EQ(FollowSync(state, kRev2, kA.view()).course, Course::kIgnore);
  const Step conflict = FollowSync(state, kRev2, kB.view());
  EXPECT_EQ(conflict.course, Course::kDesync);
  EXPECT_EQ(conflict.why, Reject::kChainConflict);
  const Step same = FollowSync(state, kRev3, kA.view());
  EXPECT_EQ(same.course, Course::kApply) << "the rev is stored, or the next since would not fit";
  EXPECT_EQ(same.next, SyncState::kSynchronized);
  EXPECT_EQ(FollowSync(state, kRev3, kB.view()).course, Course::kDesync);
  EXPECT_EQ(FollowSync({}, kRev1, kA.view()).next, SyncState::kPartial);
}

TEST(Policies, NamesWhatExists) {
  EXPECT_TRUE(Policies::Make({"legacy-commits", "partial-proofs"}).ok());
  const auto wrong = Policies::Make({"anything"});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.status().message().find("legacy-commits"), absl::string_view::npos);
}

}  // namespace
}  // namespace penstock::sync
