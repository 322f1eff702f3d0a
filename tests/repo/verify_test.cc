#include "repo/verify.h"

#include <gtest/gtest.h>

#include "cbor/writer.h"
#include "fixtures/builder/faults.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using builder::Account;
using builder::CommitFault;
using builder::CommitMessage;
using builder::Write;
using test::ClaimedCommit;
using test::KeyOf;
using test::Outcome;
using test::Post;

constexpr int64_t kNow = builder::kFixtureEpoch;

class CommitVerification : public testing::TestWithParam<builder::Curve> {
 protected:
  std::string Verify(const ClaimedCommit& message) { return Verify(message, KeyOf(account_)); }
  std::string Verify(const ClaimedCommit& message, const crypto::PublicKey& key) {
    return Outcome(verifier_.Verify(message.claim(), key, kNow + builder::kDay, &commit_));
  }
  // Some records, so that the tree has a shape.
  void Fill(size_t records) {
    std::vector<Write> writes;
    for (size_t i = 0; i < records; ++i) writes.push_back(Write::Create(Path(i), Post(std::to_string(i))));
    account_.Commit(writes, kNow);
  }
  static std::string Path(size_t i) { return "app.bsky.feed.post/" + std::to_string(1000 + i); }

  Account account_ = test::MakeAccount(GetParam());
  CommitVerifier verifier_;
  VerifiedCommit commit_;
};
INSTANTIATE_TEST_SUITE_P(Curves, CommitVerification,
                         testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) {
                           return curve.param == builder::Curve::kK256 ? "K256" : "P256";
                         });

TEST_P(CommitVerification, ALifeOfAnAccount) {
  const ClaimedCommit first(account_.Commit({}, kNow));
  ASSERT_EQ(Verify(first), "ok");
  EXPECT_TRUE(commit_.whole) << "nothing was before it";
  const ClaimedCommit second(
      account_.Commit({Write::Create(Path(1), Post("one")), Write::Create(Path(2), Post("two"))}, kNow));
  ASSERT_EQ(Verify(second), "ok");
  EXPECT_FALSE(commit_.whole) << "its `since` says that something was before it";
  EXPECT_EQ(commit_.checked.commit.did.text(), account_.did());
  EXPECT_EQ(commit_.checked.records.size(), 2u);
  const ClaimedCommit third(account_.Commit(
      {Write::Update(Path(1), Post("other")), Write::Delete(Path(2)), Write::Create(Path(3), Post("three"))},
      kNow));
  EXPECT_EQ(Verify(third), "ok");
  const ClaimedCommit empty(account_.Commit({}, kNow));
  EXPECT_EQ(Verify(empty), "ok");
  const ClaimedCommit last(account_.Commit({Write::Delete(Path(1)), Write::Delete(Path(3))}, kNow));
  EXPECT_EQ(Verify(last), "ok");
}

TEST_P(CommitVerification, AFirstCommitMayHoldRecords) {
  const ClaimedCommit first(account_.Commit({Write::Create(Path(1), Post("one"))}, kNow));
  ASSERT_EQ(Verify(first), "ok");
  EXPECT_TRUE(commit_.whole);
}

TEST_P(CommitVerification, DeepTreesAndManyOps) {
  Fill(200);
  Fill(0);
  for (int round = 0; round < 20; ++round) {
    std::vector<Write> writes;
    for (size_t i = 0; i < 10; ++i) {
      const std::string path = "app.bsky.feed.like/" + std::to_string(round * 100 + static_cast<int>(i));
      writes.push_back(Write::Create(path, Post(path)));
    }
    writes.push_back(Write::Delete(Path(static_cast<size_t>(round) * 7)));
    const ClaimedCommit message(account_.Commit(writes, kNow));
    EXPECT_EQ(Verify(message), "ok");
  }
}

// Every fault that the builder knows is refused, for its own reason.
TEST_P(CommitVerification, Faults) {
  Fill(50);
  size_t refused = 0;
#define PENSTOCK_COMMIT_FAULT(name, reject) CommitFault::name,
  for (const CommitFault fault : {PENSTOCK_COMMIT_FAULTS(PENSTOCK_COMMIT_FAULT)}) {
#undef PENSTOCK_COMMIT_FAULT
    CommitMessage spoilt =
        account_.Draft({Write::Create(Path(77), Post("new")), Write::Delete(Path(10))}, kNow);
    Spoil(fault, account_, &spoilt);
    std::string expected = "ok";
    if (const std::optional<Reject> reject = RejectAtCidLevel(fault)) {
      expected = RejectName(*reject);
    } else if (fault == CommitFault::kForeignSignature) {
      expected = "signature_mismatch";
    } else if (fault == CommitFault::kHighS) {
      expected = "signature_high_s";
    } else if (fault == CommitFault::kOpOmitted || fault == CommitFault::kPrevDataWrong) {
      expected = "commit_prev_data_mismatch";
    } else if (fault == CommitFault::kPrevDataMissing) {
      expected = "commit_prev_data_missing";
    }  // kSinceWrong: only who knows the chain can tell
    EXPECT_EQ(Verify(ClaimedCommit(std::move(spoilt))), expected) << CommitFaultName(fault);
    refused += expected != "ok";
  }
  EXPECT_GE(refused, 21u);
  const ClaimedCommit good(account_.Draft({Write::Create(Path(77), Post("new"))}, kNow));
  EXPECT_EQ(Verify(good), "ok") << "and nothing of them stays";
}

TEST_P(CommitVerification, ByAnotherKey) {
  Fill(3);
  const ClaimedCommit message(account_.Commit({Write::Create(Path(9), Post("x"))}, kNow));
  EXPECT_EQ(Verify(message, KeyOf(test::MakeAccount(GetParam(), 2))), "signature_mismatch");
  const builder::Curve other =
      GetParam() == builder::Curve::kK256 ? builder::Curve::kP256 : builder::Curve::kK256;
  const std::string outcome = Verify(message, KeyOf(test::MakeAccount(other)));
  // A low S of one curve may be a high one of the other.
  EXPECT_TRUE(outcome == "signature_mismatch" || outcome == "signature_high_s") << outcome;
  const crypto::PublicKey old_key = KeyOf(account_);
  account_.RotateKey();
  const ClaimedCommit rotated(account_.Commit({}, kNow));
  EXPECT_EQ(Verify(rotated, old_key), "signature_mismatch");
  EXPECT_EQ(Verify(rotated), "ok");
}

// Changes the commit object of a draft by its bytes, and says what the verifier thinks.
class ChangedCommit : public CommitVerification {
 protected:
  // `fields` besides `sig`, which signs them and gets `signature_size` bytes.
  std::string VerifyCommit(const std::function<void(cbor::MapWriter*)>& extra, size_t signature_size = 64) {
    if (account_.rev().empty()) Fill(3);
    CommitMessage message = account_.Draft({Write::Create(Path(9), Post("x"))}, kNow);
    const auto encode = [&](const std::string* signature) {
      cbor::MapWriter map;
      map.Key("did").Text(message.did);
      map.Key("rev").Text(message.rev);
      map.Key("data").Link(message.data);
      map.Key("prev").Null();
      map.Key("version").Int(3);
      extra(&map);
      if (signature != nullptr) map.Key("sig").ByteString(AsBytes(*signature));
      std::string block;
      map.Finish(&block);
      return block;
    };
    const builder::Signature made = account_.key().Sign(crypto::Sha256(AsBytes(encode(nullptr))));
    std::string signature(made.begin(), made.end());
    signature.resize(signature_size, '\0');
    const std::string block = encode(&signature);
    message.blocks.front() = {cbor::Cid::OfBlock(AsBytes(block)), block};
    message.commit = message.root = message.blocks.front().cid;
    return Verify(ClaimedCommit(std::move(message)));
  }
};
INSTANTIATE_TEST_SUITE_P(Curves, ChangedCommit, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) {
                           return curve.param == builder::Curve::kK256 ? "K256" : "P256";
                         });

TEST_P(ChangedCommit, UnknownFieldsAreSigned) {
  EXPECT_EQ(VerifyCommit([](cbor::MapWriter*) {}), "ok");
  EXPECT_EQ(VerifyCommit([](cbor::MapWriter* map) { map->Key("a").Int(1); }), "ok");
  EXPECT_EQ(VerifyCommit([](cbor::MapWriter* map) {
              map->Key("sia").Text("just before sig");
              map->Key("sih").Text("just after sig");
              map->Key("something longer than all").ByteString(AsBytes(std::string(300, 'x')));
            }),
            "ok");
}

// The head of the map may get shorter by the loss of one pair.
TEST_P(ChangedCommit, MapsWhoseHeadShrinks) {
  for (const int more : {17, 18, 19, 249, 250, 251}) {  // with the six: 23, 24, 25, 255, 256, 257
    EXPECT_EQ(VerifyCommit([more](cbor::MapWriter* map) {
                for (int i = 0; i < more; ++i) map->Key("field " + std::to_string(i)).Int(i);
              }),
              "ok")
        << more;
  }
}

TEST_P(ChangedCommit, SignaturesOfOtherSizes) {
  for (const size_t size :
       {size_t{0}, size_t{23}, size_t{24}, size_t{63}, size_t{65}, size_t{72}, size_t{300}, size_t{70'000}}) {
    EXPECT_EQ(VerifyCommit([](cbor::MapWriter*) {}, size), "signature_length") << size;
  }
}

TEST_P(CommitVerification, PrevData) {
  Fill(20);
  const std::vector<Write> writes = {Write::Create(Path(77), Post("new"))};
  CommitMessage message = account_.Draft(writes, kNow);
  message.prev_data = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  EXPECT_EQ(Verify(ClaimedCommit(message)), "commit_prev_data_mismatch");
  message.prev_data.reset();
  EXPECT_EQ(Verify(ClaimedCommit(message)), "commit_prev_data_missing");
  message.since.reset();
  EXPECT_EQ(Verify(ClaimedCommit(message)), "commit_prev_data_missing") << "the tree was not empty before";
  message.prev_data = account_.data();
  EXPECT_EQ(Verify(ClaimedCommit(message)), "ok");
  EXPECT_FALSE(commit_.whole);
}

TEST_P(CommitVerification, AWholeRepositoryMaySayThatItBeganEmpty) {
  CommitMessage message = account_.Commit({Write::Create(Path(1), Post("one"))}, kNow);
  message.prev_data = EmptyTreeRoot();
  EXPECT_EQ(Verify(ClaimedCommit(message)), "ok");
  EXPECT_TRUE(commit_.whole);
  message.since = "3jzfcijpj2z2a";
  EXPECT_EQ(Verify(ClaimedCommit(message)), "ok");
  EXPECT_FALSE(commit_.whole) << "it was emptied, not new";
}

TEST_P(CommitVerification, OpsThatLieAboutBefore) {
  Fill(20);
  CommitMessage message = account_.Draft({Write::Update(Path(3), Post("new")), Write::Delete(Path(5))}, kNow);
  CommitMessage lie = message;
  lie.ops[0].prev = cbor::Cid::OfBlock(AsBytes("something else"));
  EXPECT_EQ(Verify(ClaimedCommit(lie)), "commit_prev_data_mismatch");
  lie = message;
  lie.ops[1].prev = cbor::Cid::OfBlock(AsBytes("something else"));
  EXPECT_EQ(Verify(ClaimedCommit(lie)), "commit_prev_data_mismatch");
  lie = message;
  lie.ops[0].prev.reset();
  EXPECT_EQ(Verify(ClaimedCommit(lie)), "commit_op_without_prev");
  lie = message;
  lie.ops[0] = {Action::kCreate, lie.ops[0].path, lie.ops[0].cid, std::nullopt};
  EXPECT_EQ(Verify(ClaimedCommit(lie)), "commit_prev_data_mismatch") << "an update is no create";
  EXPECT_EQ(Verify(ClaimedCommit(message)), "ok");
}

// Nodes that inversion needs are left out: the check of level `cid` may still hold.
TEST_P(CommitVerification, TooSmallAProof) {
  Fill(120);
  size_t partial = 0;
  for (size_t i = 0; i < 40; ++i) {
    const CommitMessage message = account_.Draft({Write::Delete(Path(i))}, kNow);
    for (size_t drop = 2; drop < message.blocks.size(); ++drop) {
      CommitMessage less = message;
      less.blocks.erase(less.blocks.begin() + static_cast<ptrdiff_t>(drop));
      const std::string outcome = Verify(ClaimedCommit(std::move(less)));
      EXPECT_TRUE(outcome == "mst_partial" || outcome == "ok") << outcome;
      partial += outcome == "mst_partial";
    }
  }
  EXPECT_GT(partial, 40u);
}

TEST_P(CommitVerification, StageByStage) {
  Fill(20);
  const ClaimedCommit message(account_.Commit({Write::Create(Path(77), Post("new"))}, kNow));
  ASSERT_EQ(Outcome(verifier_.Check(message.claim(), kNow, &commit_)), "ok");
  EXPECT_EQ(Outcome(verifier_.CheckSignature(KeyOf(test::MakeAccount(GetParam(), 9)), commit_)),
            "signature_mismatch");
  EXPECT_EQ(Outcome(verifier_.CheckSignature(KeyOf(account_), commit_)), "ok")
      << "asked again with another key";
  EXPECT_EQ(Outcome(verifier_.Invert(message.claim(), &commit_)), "ok");
  EXPECT_EQ(Outcome(verifier_.Invert(message.claim(), &commit_)), "ok") << "it changes nothing";
}

TEST_P(CommitVerification, TheSignatureOfASync) {
  Fill(3);
  const builder::SyncMessage sync = account_.Sync(kNow);
  const auto commit = DecodeCommit(AsBytes(sync.commit.data));
  ASSERT_EQ(Outcome(commit.status()), "ok");
  std::string scratch;
  EXPECT_EQ(Outcome(CheckCommitSignature(KeyOf(account_), AsBytes(sync.commit.data), *commit, &scratch)),
            "ok");
  account_.RotateKey();
  EXPECT_EQ(Outcome(CheckCommitSignature(KeyOf(account_), AsBytes(sync.commit.data), *commit, &scratch)),
            "signature_mismatch");
}

TEST(EmptyTree, HasTheRootOfTheSpecification) {
  EXPECT_EQ(EmptyTreeRoot().ToString(), "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
}

}  // namespace
}  // namespace penstock::repo
