#include "repo/record_proof.h"

#include <gtest/gtest.h>

#include "repo/commit_check.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using builder::Account;
using builder::Write;
using test::Blocks;
using test::ClaimedCommit;
using test::KeyOf;
using test::Outcome;
using test::Post;

constexpr int64_t kNow = builder::kFixtureEpoch;

std::string Path(int i) { return "app.bsky.feed.post/" + std::to_string(1000 + i); }

class RecordProofs : public testing::TestWithParam<builder::Curve> {
 protected:
  RecordProofs() {
    std::vector<Write> writes;
    for (int i = 0; i < 150; ++i) writes.push_back(Write::Create(Path(i), Post(std::to_string(i))));
    account_.Commit(writes, kNow);
  }
  std::string Verify(std::string_view car, std::string_view path) {
    return Verify(car, path, key_, account_.did());
  }
  std::string Verify(std::string_view car, std::string_view path, const crypto::PublicKey& key,
                     std::string_view did) {
    return Outcome(verifier_.Verify(AsBytes(car), *Did::Parse(did), path, &key, &proof_));
  }
  // A commit that was checked, with its tables.
  void Check(const ClaimedCommit& message) {
    ASSERT_EQ(Outcome(checker_.Check(message.claim(), kNow + builder::kDay, &checked_)), "ok");
  }
  std::string ProofOf(std::string_view path) {
    std::string car;
    EXPECT_EQ(Outcome(writer_.Append(checked_, checker_.blocks(), path, &car)), "ok");
    return car;
  }

  Account account_ = test::MakeAccount(GetParam());
  const crypto::PublicKey key_ = KeyOf(account_);
  CommitChecker checker_;
  CheckedCommit checked_;
  RecordProofWriter writer_;
  RecordProofVerifier verifier_;
  RecordProof proof_;
};
INSTANTIATE_TEST_SUITE_P(Curves, RecordProofs, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) {
                           return curve.param == builder::Curve::kK256 ? "K256" : "P256";
                         });

// Each op's path is proven by what is cut out of its commit, and by nothing less.
TEST_P(RecordProofs, CutOutOfACommit) {
  const ClaimedCommit message(
      account_.Commit({Write::Create(Path(500), Post("new")), Write::Update(Path(20), Post("changed")),
                       Write::Delete(Path(30)), Write::Delete(Path(99))},
                      kNow));
  Check(message);
  for (const RepoOp& op : message.claim().ops) {
    const std::string car = ProofOf(op.path);
    ASSERT_EQ(Verify(car, op.path), "ok") << op.path;
    EXPECT_EQ(proof_.included, op.action != Action::kDelete);
    EXPECT_EQ(proof_.cid, op.cid);
    EXPECT_TRUE(proof_.record.empty()) << "the slice goes without it";
    EXPECT_EQ(proof_.commit.rev, account_.rev());

    car::BlockIndex index;
    ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
    EXPECT_LT(index.blocks().size(), checker_.blocks().blocks().size());
    Blocks all;
    for (const car::Block& block : index.blocks()) all.Add(AsText(block.data));
    EXPECT_EQ(all.all().size(), index.blocks().size()) << "no block twice";
    for (const auto& [cid, block] : all.all()) {
      Blocks less = all;
      less.Drop(cid);
      const std::string outcome = Verify(less.Car(message.message().commit), op.path);
      EXPECT_TRUE(outcome == "mst_partial" || outcome == "car_missing_block") << outcome;
    }
  }
}

TEST_P(RecordProofs, OfATreeOfOneNodeAndOfNone) {
  Account account = test::MakeAccount(GetParam(), 3);
  const crypto::PublicKey key = KeyOf(account);
  const ClaimedCommit one(account.Commit({Write::Create(Path(1), Post("one"))}, kNow));
  Check(one);
  ASSERT_EQ(Verify(ProofOf(Path(1)), Path(1), key, account.did()), "ok");
  EXPECT_TRUE(proof_.included);
  const ClaimedCommit none(account.Commit({Write::Delete(Path(1))}, kNow));
  Check(none);
  ASSERT_EQ(Verify(ProofOf(Path(1)), Path(1), key, account.did()), "ok");
  EXPECT_FALSE(proof_.included);
}

TEST_P(RecordProofs, WithTheRecord) {
  const ClaimedCommit message(account_.Commit({Write::Create(Path(500), Post("new"))}, kNow));
  ASSERT_EQ(Verify(message.car(), Path(500)), "ok");
  EXPECT_TRUE(proof_.included);
  EXPECT_EQ(AsText(proof_.record), Post("new").bytes());
  EXPECT_TRUE(cbor::BlockMatches(proof_.cid, proof_.record));
}

TEST_P(RecordProofs, SeveralInOneBuffer) {
  const ClaimedCommit message(
      account_.Commit({Write::Create(Path(500), Post("new")), Write::Delete(Path(3))}, kNow));
  Check(message);
  std::string both;
  ASSERT_EQ(Outcome(writer_.Append(checked_, checker_.blocks(), Path(500), &both)), "ok");
  const size_t first = both.size();
  ASSERT_EQ(Outcome(writer_.Append(checked_, checker_.blocks(), Path(3), &both)), "ok");
  EXPECT_EQ(both.substr(0, first), ProofOf(Path(500)));
  EXPECT_EQ(both.substr(first), ProofOf(Path(3)));
}

TEST_P(RecordProofs, APathThatTheCommitSaysNothingOf) {
  const ClaimedCommit message(account_.Commit({Write::Create(Path(500), Post("new"))}, kNow));
  Check(message);
  size_t partial = 0;
  for (int i = 0; i < 150; ++i) {
    std::string car = "before";
    const std::string outcome = Outcome(writer_.Append(checked_, checker_.blocks(), Path(i), &car));
    partial += outcome == "mst_partial";
    if (outcome != "ok") {
      EXPECT_EQ(car, "before") << "nothing is left of a failure";
    }
  }
  EXPECT_GT(partial, 100u);
  EXPECT_EQ(Verify(message.car(), Path(3)), "mst_partial");
}

TEST_P(RecordProofs, Lies) {
  const ClaimedCommit message(account_.Commit({Write::Create(Path(500), Post("new"))}, kNow));
  Check(message);
  const std::string car = ProofOf(Path(500));
  EXPECT_EQ(Verify(car, Path(500), KeyOf(test::MakeAccount(GetParam(), 2)), account_.did()),
            "signature_mismatch");
  EXPECT_EQ(Verify(car, Path(500), key_, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"), "commit_did_mismatch");
  EXPECT_FALSE(proof_.included);
  EXPECT_TRUE(proof_.cid.empty());
  for (size_t at = 0; at < car.size(); ++at) {
    std::string changed = car;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_NE(Verify(changed, Path(500)), "ok") << at;
  }
  EXPECT_EQ(Outcome(verifier_.Verify(AsBytes(car), *Did::Parse(account_.did()), Path(500), nullptr, &proof_)),
            "ok")
      << "without a key nothing is asked of the signature";
}

}  // namespace
}  // namespace penstock::repo
