#include "repo/export.h"

#include <gtest/gtest.h>

#include <map>

#include "base/status.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using builder::Account;
using builder::Write;
using test::Blocks;
using test::KeyOf;
using test::Outcome;
using test::Post;

constexpr int64_t kNow = builder::kFixtureEpoch;

class Export : public testing::TestWithParam<builder::Curve> {
 protected:
  Export() {
    std::vector<Write> writes;
    for (int i = 0; i < 60; ++i) {
      records_["app.bsky.feed.post/" + std::to_string(1000 + i)] =
          Post(std::to_string(i % 50)).bytes();  // some alike
    }
    for (const auto& [path, record] : records_) writes.push_back({Action::kCreate, path, record});
    account_.Commit(writes, kNow);
    car_ = *account_.Export();
  }
  std::string Verify(std::string_view car, const ExportOptions& options) {
    return Outcome(verifier_.Verify(AsBytes(car), options));
  }
  // Blocks of the export, to be put together otherwise.
  Blocks BlocksOfCar() {
    car::BlockIndex index;
    EXPECT_EQ(Outcome(index.Load(AsBytes(car_))), "ok");
    Blocks blocks;
    for (const car::Block& block : index.blocks()) blocks.Add(AsText(block.data));
    commit_ = cbor::Cid(index.root());
    return blocks;
  }

  Account account_ = test::MakeAccount(GetParam());
  const crypto::PublicKey key_ = KeyOf(account_);
  std::map<std::string, std::string> records_;
  std::string car_;
  cbor::Cid commit_;
  ExportVerifier verifier_;
};
INSTANTIATE_TEST_SUITE_P(Curves, Export, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         [](const auto& curve) {
                           return curve.param == builder::Curve::kK256 ? "K256" : "P256";
                         });

TEST_P(Export, GivesEveryRecord) {
  ExportOptions options;
  options.key = &key_;
  options.did = Did::Parse(account_.did());
  options.now_us = kNow;
  ASSERT_EQ(Verify(car_, options), "ok");
  EXPECT_EQ(verifier_.commit().rev, account_.rev());
  EXPECT_EQ(verifier_.record_count(), records_.size());
  EXPECT_TRUE(verifier_.unusable().empty());
  auto expected = records_.begin();
  EXPECT_TRUE(verifier_
                  .VisitRecords([&](const ExportedRecord& record) {
                    EXPECT_EQ(record.key, expected->first);
                    EXPECT_EQ(std::string(record.path.collection.text()) + "/" +
                                  std::string(record.path.rkey.text()),
                              expected->first);
                    EXPECT_EQ(AsText(record.block), expected->second);
                    EXPECT_EQ(record.cid, cbor::Cid::OfBlock(AsBytes(expected->second)).view());
                    ++expected;
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(expected, records_.end());
}

TEST_P(Export, TheVisitorMayStop) {
  ASSERT_EQ(Verify(car_, {}), "ok");
  size_t visited = 0;
  const absl::Status status = verifier_.VisitRecords([&](const ExportedRecord&) {
    return ++visited == 3 ? UnavailableError("the store is away") : absl::OkStatus();
  });
  EXPECT_TRUE(IsTransient(status));
  EXPECT_EQ(visited, 3u);
}

TEST_P(Export, AnEmptyRepository) {
  Account empty = test::MakeAccount(GetParam(), 5);
  empty.Commit({}, kNow);
  const crypto::PublicKey key = KeyOf(empty);
  ExportOptions options;
  options.key = &key;
  ASSERT_EQ(Verify(*empty.Export(), options), "ok");
  EXPECT_EQ(verifier_.record_count(), 0u);
}

TEST_P(Export, AnotherKeyAnotherAccountAnotherTime) {
  const crypto::PublicKey other = KeyOf(test::MakeAccount(GetParam(), 2));
  ExportOptions options;
  options.key = &other;
  EXPECT_EQ(Verify(car_, options), "signature_mismatch");
  EXPECT_TRUE(
      verifier_.VisitRecords([](const ExportedRecord&) { return InternalError("nothing was verified"); })
          .ok());
  options.key = nullptr;
  EXPECT_EQ(Verify(car_, options), "ok");
  options.did = Did::Parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(Verify(car_, options), "commit_did_mismatch");
  options.did.reset();
  options.now_us = kNow - builder::kDay;
  EXPECT_EQ(Verify(car_, options), "commit_future_rev");
}

TEST_P(Export, EveryBlockIsNeeded) {
  const Blocks all = BlocksOfCar();
  std::map<std::string, size_t> outcomes;
  for (const auto& [cid, block] : all.all()) {
    Blocks less = all;
    less.Drop(cid);
    ++outcomes[Verify(less.Car(commit_), {})];
  }
  EXPECT_EQ(outcomes.size(), 2u);
  EXPECT_EQ(outcomes["car_missing_block"], 50u + 2) << "each record, the tree's root and the commit";
  EXPECT_EQ(outcomes["mst_partial"], all.all().size() - 52) << "each other node";
  Blocks more = all;
  more.Add("\xa1\x61x\x01");
  EXPECT_EQ(Verify(more.Car(commit_), {}), "ok") << "what nothing links to is passed over";
}

TEST_P(Export, EveryBitCounts) {
  for (size_t at = 0; at < car_.size(); at += 97) {
    std::string changed = car_;
    changed[at] = static_cast<char>(changed[at] ^ (1 << (at % 8)));
    ExportOptions options;
    options.key = &key_;
    EXPECT_NE(Verify(changed, options), "ok") << at;
  }
  for (size_t size = 0; size < car_.size(); size += 211) {
    EXPECT_NE(Verify(std::string_view(car_).substr(0, size), {}), "ok") << size;
  }
}

TEST_P(Export, BoundsTheNumberOfBlocks) {
  ExportOptions options;
  options.max_blocks = 20;
  EXPECT_EQ(Verify(car_, options), "car_too_many_blocks");
}

// A repository that is put together by hand: no signature is asked for.
class HandMade : public testing::Test {
 protected:
  std::string Verify(const ExportOptions& options = {}) {
    fields_.data = test::AddTree(tree_, &blocks_);
    const cbor::Cid commit = blocks_.Add(test::CommitBlock(fields_));
    car_ = blocks_.Car(commit);
    return Outcome(verifier_.Verify(AsBytes(car_), options));
  }
  std::vector<std::string> Records() const {
    std::vector<std::string> keys;
    EXPECT_TRUE(verifier_
                    .VisitRecords([&](const ExportedRecord& record) {
                      keys.emplace_back(record.key);
                      return absl::OkStatus();
                    })
                    .ok());
    return keys;
  }

  test::CommitFields fields_;
  test::Tree tree_;
  Blocks blocks_;
  std::string car_;
  ExportVerifier verifier_;
};

TEST_F(HandMade, RecordsThatCannotBeGivenOut) {
  const cbor::Cid good = blocks_.Add("record"), raw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  tree_ = {{"app.test.thing/a", good},   {"app.test.thing/b", raw},   {"app.test.thing/c/d", good},
           {"no path at all", good},     {"app.test.thing/..", good}, {"app.test.thing/z", good},
           {"app.test.thing/\xff", good}};
  ASSERT_EQ(Verify(), "ok");
  EXPECT_EQ(Records(), (std::vector<std::string>{"app.test.thing/a", "app.test.thing/z"}));
  EXPECT_EQ(verifier_.record_count(), 2u);
  std::map<std::string, std::string> unusable;
  for (const UnusableRecord& record : verifier_.unusable()) {
    unusable[std::string(record.key)] = RejectName(record.reject);
  }
  EXPECT_EQ(unusable, (std::map<std::string, std::string>{{"app.test.thing/b", "record_unverifiable"},
                                                          {"app.test.thing/c/d", "syntax_repo_path"},
                                                          {"no path at all", "syntax_repo_path"},
                                                          {"app.test.thing/..", "syntax_repo_path"},
                                                          {"app.test.thing/\xff", "syntax_repo_path"}}));
}

TEST_F(HandMade, Version2OnlyWhenAskedFor) {
  tree_ = {{"app.test.thing/a", blocks_.Add("record")}};
  fields_.version = 2;
  EXPECT_EQ(Verify(), "commit_bad_version");
  ExportOptions options;
  options.versions = CommitVersions::kAlsoV2;
  EXPECT_EQ(Verify(options), "ok");
  EXPECT_EQ(verifier_.commit().version, 2);
  fields_.version = 4;
  EXPECT_EQ(Verify(options), "commit_bad_version");
}

// A node may hold more than a slice's may: of a whole repository its block's size is the bound.
TEST_F(HandMade, NodesOfManyEntries) {
  const cbor::Cid record = blocks_.Add("record");
  for (int n = 0; tree_.size() < 5000; ++n) {
    const std::string key = "app.test.thing/" + std::to_string(1'000'000 + n);
    if (KeyHeight(key) == 0) tree_[key] = record;
  }
  EXPECT_EQ(Verify(), "ok");
  EXPECT_EQ(verifier_.record_count(), 5000u);
  EXPECT_EQ(verifier_.tree().node_count(), 1u);
}

TEST_F(HandMade, ACommitThatIsNone) {
  const cbor::Cid record = blocks_.Add("\xa0");
  const std::string car = blocks_.Car(record);
  EXPECT_EQ(Outcome(verifier_.Verify(AsBytes(car), {})), "commit_bad_object");
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  std::string other;
  car::Writer writer(&other);
  writer.Header(std::span(&raw, 1));
  writer.Block(raw.view(), AsBytes("raw"));
  EXPECT_EQ(Outcome(verifier_.Verify(AsBytes(other), {})), "cid_unsupported");
}

}  // namespace
}  // namespace penstock::repo
