// What `inspect commit` and `inspect mst --tree` say of good and of bad bytes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "app/inspect_commit.h"
#include "app/inspect_text.h"
#include "app/inspect_tree.h"
#include "base/status.h"
#include "fixtures/builder/faults.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/tree_testing.h"

namespace penstock::app {
namespace {

using builder::Write;
using test::Post;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kNow = builder::kFixtureEpoch + builder::kDay;

std::string Path(int i) { return "app.bsky.feed.post/" + std::to_string(1000 + i); }

class InspectCommits : public testing::TestWithParam<builder::Curve> {
 protected:
  InspectCommits() {
    std::vector<Write> writes;
    for (int i = 0; i < 30; ++i) writes.push_back(Write::Create(Path(i), Post(std::to_string(i))));
    first_ = account_.Commit(writes, builder::kFixtureEpoch);
    next_ = account_.Commit({Write::Delete(Path(3))}, builder::kFixtureEpoch);
    first_.seq = 6;
    next_.seq = 7;
  }
  bool Inspect(std::string_view input, const CommitKey& key) {
    out_.clear();
    return InspectCommit(AsBytes(input), key, kNow, &out_);
  }
  CommitKey Right() {
    return [key = test::KeyOf(account_)](std::string_view, int64_t) { return key; };
  }
  CommitKey Wrong() {
    return [key = test::KeyOf(test::MakeAccount(GetParam(), 2))](std::string_view, int64_t) { return key; };
  }

  builder::Account account_ = test::MakeAccount(GetParam());
  builder::CommitMessage first_, next_;
  std::string out_;
};
INSTANTIATE_TEST_SUITE_P(Curves, InspectCommits, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) { return curve.param == builder::Curve::kK256 ? "K256" : "P256"; });

TEST_P(InspectCommits, AMessage) {
  EXPECT_TRUE(Inspect(Encode(next_), Right())) << out_;
  EXPECT_THAT(out_, HasSubstr(account_.did()));
  EXPECT_THAT(out_, HasSubstr(account_.rev()));
  EXPECT_THAT(out_, HasSubstr(account_.key().DidKey()));
  EXPECT_THAT(out_, ContainsRegex("unsigned +118 bytes, SHA-256 [0-9a-f]{64}\n"));
  EXPECT_THAT(out_, HasSubstr("check      holds: hashes, tree and 1 op\n"));
  EXPECT_THAT(out_, HasSubstr("signature  holds\n"));
  EXPECT_THAT(out_, HasSubstr("gives prevData " + next_.prev_data->ToString()));
  EXPECT_TRUE(Inspect(Encode(first_), Right())) << out_;
  EXPECT_THAT(out_, HasSubstr("the whole repository"));
}

TEST_P(InspectCommits, WithoutAKeyTheRestIsJudged) {
  EXPECT_TRUE(Inspect(Encode(next_), nullptr)) << out_;
  EXPECT_THAT(out_, HasSubstr("signature  not judged"));
  EXPECT_THAT(out_, HasSubstr("inversion  gives prevData"));
}

TEST_P(InspectCommits, ByAnotherKeyAndByNone) {
  EXPECT_FALSE(Inspect(Encode(next_), Wrong()));
  EXPECT_THAT(out_, HasSubstr("signature_mismatch"));
  EXPECT_THAT(out_, HasSubstr("inversion  gives prevData")) << "each stage is judged by itself";
  int64_t asked_for = 0;
  EXPECT_FALSE(Inspect(Encode(next_), [&](std::string_view, int64_t seq) -> absl::StatusOr<crypto::PublicKey> {
    asked_for = seq;
    return RejectError(Reject::kDidNoKey);
  }));
  EXPECT_THAT(out_, HasSubstr("did_no_key"));
  EXPECT_EQ(asked_for, 7);
}

TEST_P(InspectCommits, ASyncAndAnExport) {
  builder::SyncMessage sync = account_.Sync(builder::kFixtureEpoch);
  sync.seq = 8;
  EXPECT_TRUE(Inspect(Encode(sync), Right())) << out_;
  EXPECT_THAT(out_, HasSubstr("signature  holds"));
  EXPECT_TRUE(Inspect(*account_.Export(), Right())) << out_;
  EXPECT_FALSE(Inspect(*account_.Export(), Wrong()));
}

TEST_P(InspectCommits, FaultsByTheirNames) {
  for (const auto& [fault, name] : std::map<builder::CommitFault, std::string>{
           {builder::CommitFault::kHighS, "signature_high_s"},
           {builder::CommitFault::kOpOmitted, "commit_prev_data_mismatch"},
           {builder::CommitFault::kPrevDataMissing, "commit_prev_data_missing"},
           {builder::CommitFault::kOpCid, "commit_op_not_in_tree"},
           {builder::CommitFault::kBlockBytes, "car_block_cid_mismatch"}}) {
    builder::CommitMessage message = account_.Draft({Write::Create(Path(50), Post("x"))}, builder::kFixtureEpoch);
    Spoil(fault, account_, &message);
    message.seq = 8;
    EXPECT_FALSE(Inspect(Encode(message), Right()));
    EXPECT_THAT(out_, HasSubstr(name)) << CommitFaultName(fault);
  }
}

TEST_P(InspectCommits, WhatCarriesNone) {
  EXPECT_FALSE(Inspect(Encode(builder::InfoMessage{"OutdatedCursor", std::nullopt}), Right()));
  EXPECT_THAT(out_, HasSubstr("carries no commit"));
  EXPECT_FALSE(Inspect("", Right()));
  EXPECT_FALSE(Inspect("\xff\xff", Right()));
  EXPECT_THAT(out_, HasSubstr("REFUSED"));
}

TEST(InspectTree, NodesUnderTheirParents) {
  builder::Account account = test::MakeAccount(builder::Curve::kK256);
  std::vector<Write> writes;
  for (int i = 0; i < 60; ++i) writes.push_back(Write::Create(Path(i), Post(std::to_string(i))));
  account.Commit(writes, builder::kFixtureEpoch);
  std::string out;
  EXPECT_TRUE(InspectTree(AsBytes(*account.Export()), &out)) << out;
  EXPECT_THAT(out, HasSubstr("\nnode " + account.data().ToString() + "  level "));
  EXPECT_THAT(out, HasSubstr(" 60 keys, 0 subtrees not here\n"));
  EXPECT_THAT(out, Not(HasSubstr("REFUSED")));
  for (int i = 0; i < 60; ++i) EXPECT_THAT(out, HasSubstr("  " + Path(i) + " -> bafyrei"));

  const builder::CommitMessage slice = account.Commit({Write::Create(Path(99), Post("x"))}, builder::kFixtureEpoch);
  out.clear();
  EXPECT_TRUE(InspectTree(AsBytes(EncodeCar(slice.root, slice.blocks)), &out)) << out;
  EXPECT_THAT(out, ContainsRegex("\n +node bafyrei[a-z2-7]+  level [0-9]+  NOT HERE\n"));
}

TEST(InspectTree, ShowsWhatIsWrongInItsPlace) {
  const cbor::Cid value = cbor::Cid::OfBlock(AsBytes("value"));
  const std::string low = test::KeyOfHeight(0), high = test::KeyOfHeight(2);
  test::Blocks blocks;
  const cbor::Cid bad = blocks.Add("\xa0");
  const cbor::Cid child = blocks.Add(test::NodeBlock({}, {{0, low, value.view(), {}}}));
  const cbor::Cid twice = blocks.Add(test::NodeBlock(child.view(), {{0, high, value.view(), child.view()}}));
  const auto inspect = [&](const cbor::Cid& root) {
    std::string out;
    EXPECT_FALSE(InspectTree(AsBytes(blocks.Car(root)), &out));
    return out;
  };
  std::string out = inspect(twice);
  EXPECT_THAT(out, HasSubstr("REFUSED: its height is 0"));
  EXPECT_THAT(out, HasSubstr("REFUSED: linked twice"));
  EXPECT_THAT(out, HasSubstr("REFUSED    mst_"));
  out = inspect(blocks.Add(test::NodeBlock(bad.view(), {{0, high, value.view(), {}}})));
  EXPECT_THAT(out, HasSubstr("REFUSED: mst_bad_node"));
  out = inspect(blocks.Add(test::NodeBlock({}, {{0, high, value.view(), {}}, {200, "x", value.view(), {}}})));
  EXPECT_THAT(out, HasSubstr("shares 200 bytes"));
}

// Far deeper than a tree can be, and than the stack is.
TEST(InspectTree, ChainsOfNodesEnd) {
  test::Blocks blocks;
  cbor::Cid at;
  for (int i = 0; i < 60'000; ++i) at = blocks.Add(test::NodeBlock(at.view(), {}));
  std::string out;
  EXPECT_FALSE(InspectTree(AsBytes(blocks.Car(at)), &out));
  EXPECT_THAT(out, HasSubstr("deeper than a tree can be"));
  EXPECT_LT(out.size(), 100'000u);
}

TEST(InspectText, LeavesNothingForTheTerminal) {
  EXPECT_EQ(Printable("app.test/a~_:."), "app.test/a~_:.");
  EXPECT_EQ(Printable("\x1b[2J\n\\\xc3\xa9"), "\\x1b[2J\\x0a\\\\\\xc3\\xa9");
}

}  // namespace
}  // namespace penstock::app
