#include "repo/commit_check.h"

#include <gtest/gtest.h>

#include <deque>

#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::Blocks;
using test::CommitFields;
using test::KeyOfHeight;
using test::NodeBlock;
using test::Outcome;
using test::Tree;

constexpr char kDid[] = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
constexpr char kRev[] = "3jzfcijpj2z2a";
const int64_t kNow = Tid::Parse(kRev)->micros();

const cbor::Cid kOld = cbor::Cid::OfBlock(AsBytes("old"));
const cbor::Cid kRaw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);

// A message with a tree of a few records, where each test then bends one thing.
class CommitCheck : public testing::Test {
 protected:
  CommitCheck() {
    fields_.did = kDid;
    fields_.rev = kRev;
  }

  cbor::Cid AddRecord(std::string_view path, std::string_view block) {
    const cbor::Cid cid = blocks_.Add(block);
    tree_[std::string(path)] = cid;
    return cid;
  }
  // An op as the decoder of frames makes it.
  void Op(Action action, std::string_view path, const cbor::Cid& cid = {}, const cbor::Cid& prev = {}) {
    paths_.emplace_back(path);
    cids_.push_back(cid);
    cids_.push_back(prev);
    RepoOp op{action, paths_.back(), {}, {}, cids_[cids_.size() - 2].view(), cids_.back().view()};
    if (const auto valid = RepoPath::Parse(op.path)) {
      op.collection = valid->collection.text();
      op.rkey = valid->rkey.text();
    }
    ops_.push_back(op);
  }
  void Create(std::string_view path, std::string_view block) {
    Op(Action::kCreate, path, AddRecord(path, block));
  }

  // Puts tree and commit into the CAR, as they stand.
  void Seal() {
    fields_.data = test::AddTree(tree_, &blocks_);
    SealCommit();
  }
  void SealCommit() {
    commit_ = blocks_.Add(CommitBlock(fields_));
    root_ = commit_;
  }
  std::string Check() {
    car_ = blocks_.Car(root_);
    CommitClaim claim;
    claim.did = *Did::Parse(did_);
    claim.rev = rev_;
    claim.since = since_;
    claim.commit = commit_.view();
    claim.blocks = AsBytes(car_);
    claim.ops = ops_;
    return Outcome(checker_.Check(claim, now_us_, &checked_));
  }

  std::string did_ = kDid, rev_ = kRev, since_;
  int64_t now_us_ = kNow;
  CommitFields fields_;
  Tree tree_;
  Blocks blocks_;
  std::deque<std::string> paths_;
  std::deque<cbor::Cid> cids_;
  std::vector<RepoOp> ops_;
  cbor::Cid commit_, root_;
  std::string car_;
  CommitChecker checker_;
  CheckedCommit checked_;
};

TEST_F(CommitCheck, GivesTheCommitAndTheRecordsInOrderOfTheOps) {
  AddRecord("app.test.thing/other", "other");
  Create("app.test.thing/b", "record b");
  Op(Action::kDelete, "app.test.thing/gone", {}, kOld);
  Op(Action::kUpdate, "app.test.thing/a", AddRecord("app.test.thing/a", "record a"), kOld);
  Seal();
  ASSERT_EQ(Check(), "ok");
  EXPECT_EQ(checked_.commit.rev, kRev);
  EXPECT_EQ(checked_.commit.data, fields_.data.view());
  EXPECT_EQ(AsText(checked_.commit_block), CommitBlock(fields_));
  ASSERT_EQ(checked_.records.size(), 3u);
  EXPECT_EQ(AsText(checked_.records[0]), "record b");
  EXPECT_TRUE(checked_.records[1].empty());
  EXPECT_EQ(AsText(checked_.records[2]), "record a");
  EXPECT_EQ(checker_.tree().items().size(), 3u);
  EXPECT_EQ(checker_.blocks().root(), commit_.view());
}

TEST_F(CommitCheck, ACommitMayHaveNoOpsAndAnEmptyTree) {
  Seal();
  EXPECT_EQ(Check(), "ok");
  EXPECT_TRUE(checked_.records.empty());
}

TEST_F(CommitCheck, IsReusable) {
  Create("app.test.thing/a", "record a");
  Seal();
  ASSERT_EQ(Check(), "ok");
  rev_ = "bad";
  ASSERT_EQ(Check(), "syntax_tid");
  rev_ = kRev;
  ASSERT_EQ(Check(), "ok");
  EXPECT_EQ(checked_.records.size(), 1u);
}

TEST_F(CommitCheck, Sizes) {
  Seal();
  car_ = blocks_.Car(root_);
  // Structure comes after the size: the bytes beyond it are not even looked at.
  std::string large(kMaxBlocksBytes + 1, '\0');
  CommitClaim claim;
  claim.did = *Did::Parse(did_);
  claim.rev = rev_;
  claim.commit = commit_.view();
  claim.blocks = AsBytes(large);
  EXPECT_EQ(Outcome(checker_.Check(claim, now_us_, &checked_)), "commit_blocks_too_large");
  claim.blocks = claim.blocks.first(kMaxBlocksBytes);
  EXPECT_EQ(Outcome(checker_.Check(claim, now_us_, &checked_)), "car_bad_header");
}

TEST_F(CommitCheck, ALargeRecordIsNotTheCommitsFault) {
  Create("app.test.thing/a", std::string(1'500'000, 'x'));
  Seal();
  EXPECT_EQ(Check(), "ok");
}

TEST_F(CommitCheck, NumberOfOps) {
  for (size_t i = 0; i < kMaxOps; ++i) {
    Create("app.test.thing/" + std::to_string(i), "record " + std::to_string(i));
  }
  Seal();
  EXPECT_EQ(Check(), "ok");
  Op(Action::kDelete, "app.test.thing/gone", {}, kOld);
  EXPECT_EQ(Check(), "commit_too_many_ops");
}

TEST_F(CommitCheck, Revs) {
  Seal();
  for (const char* bad : {"", "3jzfcijpj2z2", "zzzzzzzzzzzzz", "3jzfcijpj2z2a\n"}) {
    rev_ = bad;
    EXPECT_EQ(Check(), "syntax_tid") << bad;
  }
  rev_ = "3jzfcijpj2z2b";
  EXPECT_EQ(Check(), "commit_rev_mismatch");
  rev_ = kRev;
  since_ = "yesterday";
  EXPECT_EQ(Check(), "syntax_tid");
  since_ = "3jzfcijpj2z22";
  EXPECT_EQ(Check(), "ok");
}

TEST_F(CommitCheck, FutureRevs) {
  Seal();
  now_us_ = kNow - kMaxFutureUs;
  EXPECT_EQ(Check(), "ok");
  now_us_ = kNow - kMaxFutureUs - 1;
  EXPECT_EQ(Check(), "commit_future_rev");
}

TEST_F(CommitCheck, PathsOfOps) {
  Seal();
  for (const char* path : {"", "/", "app.test.thing", "app.test.thing/", "/app.test.thing/a",
                           "app.test.thing/a/b", "app.test.thing/..", "app.test/a", "app.test.thing/a\n"}) {
    ops_.clear();
    Op(Action::kDelete, path, {}, kOld);
    EXPECT_EQ(Check(), "syntax_repo_path") << path;
  }
}

TEST_F(CommitCheck, CidAndPrevFitTheAction) {
  const std::string path = "app.test.thing/a";
  const cbor::Cid cid = AddRecord(path, "record");
  Seal();
  struct Case {
    Action action;
    cbor::Cid cid, prev;
    const char* expect;
  };
  for (const Case& c : std::vector<Case>{
           {Action::kCreate, cid, {}, "ok"},
           {Action::kCreate, {}, {}, "commit_bad_op"},
           {Action::kCreate, cid, kOld, "commit_bad_op"},
           {Action::kUpdate, cid, kOld, "ok"},
           {Action::kUpdate, cid, {}, "ok"},  // older than Sync v1.1
           {Action::kUpdate, {}, kOld, "commit_bad_op"},
           {Action::kUpdate, cid, cid, "commit_bad_op"},
           {Action::kDelete, cid, {}, "commit_bad_op"},
           {Action::kDelete, cid, kOld, "commit_bad_op"},
           {Action::kDelete, {}, kOld, "commit_op_still_in_tree"},
       }) {
    ops_.clear();
    Op(c.action, path, c.cid, c.prev);
    EXPECT_EQ(Check(), c.expect) << ActionName(c.action);
  }
  ops_.clear();
  Op(Action::kDelete, "app.test.thing/gone");
  EXPECT_EQ(Check(), "ok") << "a delete without prev, older than Sync v1.1";
}

TEST_F(CommitCheck, APathComesOnce) {
  Create("app.test.thing/a", "record a");
  Create("app.test.thing/b", "record b");
  Create("app.test.thing/c", "record c");
  Seal();
  ASSERT_EQ(Check(), "ok");
  Op(Action::kDelete, "app.test.thing/a", {}, kOld);
  EXPECT_EQ(Check(), "commit_duplicate_path");
}

TEST_F(CommitCheck, TheCarIsRead) {
  Seal();
  for (size_t size = 0; size < blocks_.Car(root_).size(); size += 7) {
    const std::string cut = blocks_.Car(root_).substr(0, size);
    CommitClaim claim;
    claim.did = *Did::Parse(did_);
    claim.rev = rev_;
    claim.commit = commit_.view();
    claim.blocks = AsBytes(cut);
    EXPECT_NE(Outcome(checker_.Check(claim, now_us_, &checked_)), "ok") << "cut at " << size;
  }
}

TEST_F(CommitCheck, TheCommitIsTheFirstRootAndIsThere) {
  Create("app.test.thing/a", "record a");
  Seal();
  root_ = fields_.data;
  EXPECT_EQ(Check(), "commit_cid_not_root");
  root_ = commit_;
  blocks_.Drop(commit_);
  EXPECT_EQ(Check(), "car_missing_block");
  commit_ = root_ = kRaw;
  EXPECT_EQ(Check(), "cid_unsupported");
}

TEST_F(CommitCheck, TheCommitObjectFitsTheMessage) {
  Seal();
  did_ = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb";
  EXPECT_EQ(Check(), "commit_did_mismatch");
  did_ = kDid;
  fields_.version = 2;
  SealCommit();
  EXPECT_EQ(Check(), "commit_bad_version");
  commit_ = root_ = blocks_.Add("\xa0");
  EXPECT_EQ(Check(), "commit_bad_object");
}

TEST_F(CommitCheck, TheTreeIsChecked) {
  Create("app.test.thing/a", "record a");
  Seal();
  blocks_.Drop(fields_.data);
  EXPECT_EQ(Check(), "car_missing_block");
  const std::string low = KeyOfHeight(0, 0, "a/"), high = KeyOfHeight(1, 0, "b/");
  fields_.data = blocks_.Add(NodeBlock({}, {{0, low, kOld.view(), {}}, {0, high, kOld.view(), {}}}));
  SealCommit();
  EXPECT_EQ(Check(), "mst_wrong_height");
}

TEST_F(CommitCheck, TheTreeHoldsWhatTheOpsSay) {
  const cbor::Cid in_tree = AddRecord("app.test.thing/a", "in the tree");
  const cbor::Cid other = blocks_.Add("another");
  Seal();
  Op(Action::kCreate, "app.test.thing/a", other);
  EXPECT_EQ(Check(), "commit_op_not_in_tree") << "another value";
  ops_.clear();
  Op(Action::kUpdate, "app.test.thing/b", in_tree, kOld);
  EXPECT_EQ(Check(), "commit_op_not_in_tree") << "another path";
  ops_.clear();
  Op(Action::kDelete, "app.test.thing/a", {}, in_tree);
  EXPECT_EQ(Check(), "commit_op_still_in_tree");
}

TEST_F(CommitCheck, WhatTheSliceDoesNotShowIsNotBelieved) {
  // A root with a missing subtree where the paths of the ops would be.
  const std::string top = KeyOfHeight(2, 0, "app.test.thing/m");
  const cbor::Cid missing = cbor::Cid::OfBlock(AsBytes("missing")), record = blocks_.Add("record");
  fields_.data = blocks_.Add(NodeBlock({}, {{0, top, kOld.view(), missing.view()}}));
  SealCommit();
  Op(Action::kDelete, KeyOfHeight(0, 0, "app.test.thing/z"), {}, kOld);
  EXPECT_EQ(Check(), "mst_partial");
  ops_.clear();
  Op(Action::kCreate, KeyOfHeight(0, 0, "app.test.thing/z"), record);
  EXPECT_EQ(Check(), "mst_partial");
  ops_.clear();
  Op(Action::kDelete, KeyOfHeight(2, 0, "app.test.thing/z"), {}, kOld);
  EXPECT_EQ(Check(), "ok") << "too high to be in there";
  ops_.clear();
  Op(Action::kDelete, KeyOfHeight(0, 0, "app.test.thing/a"), {}, kOld);
  EXPECT_EQ(Check(), "ok") << "on the side where nothing is missing";
}

TEST_F(CommitCheck, TheRecordsBlockIsThere) {
  Create("app.test.thing/a", "record a");
  Seal();
  blocks_.Drop(cbor::Cid::OfBlock(AsBytes("record a")));
  EXPECT_EQ(Check(), "commit_missing_record");
}

TEST_F(CommitCheck, ARecordOfAForeignKindIsUnverifiableButTheCommitStands) {
  Create("app.test.thing/a", "record a");
  tree_["app.test.thing/raw"] = kRaw;
  Op(Action::kCreate, "app.test.thing/raw", kRaw);
  Seal();
  ASSERT_EQ(Check(), "ok");
  EXPECT_EQ(AsText(checked_.records[0]), "record a");
  EXPECT_TRUE(checked_.records[1].empty());
}

TEST_F(CommitCheck, ExtraBlocksAreIgnored) {
  Create("app.test.thing/a", "record a");
  Seal();
  blocks_.Add("nobody links here");
  EXPECT_EQ(Check(), "ok");
}

}  // namespace
}  // namespace penstock::repo
