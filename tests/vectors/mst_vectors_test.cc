// Trees of others: key heights, whole repositories, slices, and two real commits.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <string>

#include "base/encoding.h"
#include "car/block_index.h"
#include "cbor/reader.h"
#include "repo/commit.h"
#include "repo/commit_check.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"
#include "tests/repo/tree_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

namespace fs = std::filesystem;
using test::Outcome;

std::string_view TextOf(const boost::json::value& value) { return std::string_view(value.as_string()); }

std::vector<fs::path> CarsIn(const fs::path& folder) {
  std::vector<fs::path> cars;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() == ".car") cars.push_back(entry.path());
  }
  std::sort(cars.begin(), cars.end());
  return cars;
}

// A repository's CAR, read as far as it goes.
struct Repository {
  std::vector<uint8_t> car;
  car::BlockIndex blocks;
  CommitObject commit;
  PartialTree tree;
  size_t records = 0;
  size_t records_present = 0;

  // The first root is a commit (either version).
  void LoadRepo(const fs::path& file) {
    LoadBlocks(file);
    const std::optional<Bytes> block = blocks.Find(blocks.root());
    ASSERT_TRUE(block.has_value()) << file;
    const auto decoded = DecodeCommit(*block, CommitVersions::kAlsoV2);
    ASSERT_EQ(Outcome(decoded.status()), "ok") << file;
    commit = *decoded;
    LoadTree(commit.data);
  }
  void LoadBlocks(const fs::path& file) {
    car = test::ReadFileBytes(file);
    ASSERT_EQ(Outcome(blocks.Load(car)), "ok") << file;
  }
  void LoadTree(const cbor::CidView& root) {
    ASSERT_EQ(Outcome(tree.Load(blocks, root)), "ok");
    for (const PartialTree::Item& item : tree.items()) {
      if (item.opaque()) continue;
      ++records;
      const std::optional<Bytes> record = blocks.Find(item.value);
      if (!record) continue;
      ++records_present;
      EXPECT_EQ(Outcome(cbor::CheckItem(*record)), "ok") << item.key;
    }
  }
  // The tree is a function of its contents: built again, it has the same root.
  void CheckRebuild(const cbor::CidView& root) const {
    test::Tree contents;
    for (const PartialTree::Item& item : tree.items()) {
      contents[std::string(item.key)] = cbor::Cid(item.value);
    }
    test::Blocks rebuilt;
    EXPECT_EQ(test::AddTree(contents, &rebuilt).ToString(), root.ToString());
  }
};

TEST(MstVectors, KeyHeights) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const auto cases =
      boost::json::parse(test::ReadFileText(*folder / "atproto-interop-tests/mst/key_heights.json"));
  for (const boost::json::value& c : cases.as_array()) {
    EXPECT_EQ(KeyHeight(TextOf(c.at("key"))), c.at("height").to_number<int>()) << TextOf(c.at("key"));
  }
  EXPECT_GT(cases.as_array().size(), 0u);
  std::printf("atproto-interop-tests/mst/key_heights: %zu cases\n", cases.as_array().size());
}

TEST(MstVectors, CommonPrefixes) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const auto cases =
      boost::json::parse(test::ReadFileText(*folder / "atproto-interop-tests/mst/common_prefix.json"));
  const cbor::Cid value = cbor::Cid::OfBlock({});
  for (const boost::json::value& c : cases.as_array()) {
    // What the encoder of nodes leaves out of the second key.
    const std::string_view left = TextOf(c.at("left")), right = TextOf(c.at("right"));
    const std::vector<MstKeyEntry> entries = {{left, value.view(), {}}, {right, value.view(), {}}};
    std::string block;
    EncodeMstNode({}, entries, &block);
    MstNode node;
    ASSERT_EQ(Outcome(node.Decode(AsBytes(block))), "ok");
    EXPECT_EQ(node.entries[1].prefix, c.at("len").to_number<uint64_t>()) << left << " | " << right;
    EXPECT_EQ(node.entries[1].suffix, right.substr(node.entries[1].prefix));
  }
  EXPECT_GT(cases.as_array().size(), 0u);
  std::printf("atproto-interop-tests/mst/common_prefix: %zu cases\n", cases.as_array().size());
}

TEST(MstVectors, ExampleKeys) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const auto keys = test::ReadFileLines(*folder / "atproto-interop-tests/mst/example_keys.txt");
  std::mt19937_64 random(4);
  for (int round = 0; round < 50; ++round) {
    test::Tree subset;
    for (const std::string& key : keys) {
      if (round == 0 || random() % 2 == 0) subset[key] = cbor::Cid::OfBlock(AsBytes(key));
    }
    test::Blocks blocks;
    const cbor::Cid root = test::AddTree(subset, &blocks);
    const std::string car = blocks.Car(root);
    car::BlockIndex index;
    PartialTree tree;
    ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
    ASSERT_EQ(Outcome(tree.Load(index, root.view())), "ok");
    EXPECT_TRUE(tree.complete());
    EXPECT_EQ(tree.items().size(), subset.size());
  }
  std::printf("atproto-interop-tests/mst/example_keys: %zu keys, 50 subsets\n", keys.size());
}

TEST(MstVectors, JetstreamCorpusRepo) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  Repository repository;
  repository.LoadRepo(*folder / "jetstream-corpus/repo.car");
  ASSERT_FALSE(HasFatalFailure());
  std::map<std::string, std::string> expected_commit;
  for (const std::string& line : test::ReadFileLines(*folder / "jetstream-corpus/car_expected_commit.txt")) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos) expected_commit[line.substr(0, colon)] = line.substr(colon + 2);
  }
  EXPECT_EQ(std::to_string(repository.commit.version), expected_commit["ATProto Repo Spec Version"]);
  EXPECT_EQ(repository.commit.did.text(), expected_commit["DID"]);
  EXPECT_EQ(repository.commit.data.ToString(), expected_commit["Data CID"]);
  EXPECT_EQ(repository.commit.rev, expected_commit["Revision"]);
  EXPECT_EQ(repository.commit.prev.empty(), expected_commit["Prev CID"] == "<nil>");

  EXPECT_TRUE(repository.tree.complete());
  std::vector<std::string> records;
  for (const PartialTree::Item& item : repository.tree.items()) {
    records.push_back(std::string(item.key) + "\t" + item.value.ToString());
  }
  EXPECT_EQ(records, test::ReadFileLines(*folder / "jetstream-corpus/car_expected_records.tsv"));
  EXPECT_EQ(repository.records_present, records.size());
  repository.CheckRebuild(repository.commit.data);
  std::printf("jetstream-corpus/repo.car: %zu records\n", records.size());
}

// Whole repositories (v2 ones included), by what is known of them.
TEST(MstVectors, Repositories) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  struct Known {
    int64_t version;
    size_t records;
    bool complete;
  };
  const std::map<std::string, Known> known = {
      {"snarfed2.car", {3, 5, true}},
      {"empty.car", {3, 0, true}},
      {"tiny.car", {3, 8, true}},
      {"paul_staging.repo.car", {2, 185, true}},
      {"greenground.repo.car", {3, 2, true}},
      {"repo_slice.car", {2, 0, false}},
  };
  size_t met = 0;
  for (const char* source : {"arroba", "repo-stream", "indigo/repos"}) {
    size_t ran = 0;
    for (const fs::path& file : CarsIn(*folder / source)) {
      SCOPED_TRACE(file.string());
      Repository repository;
      repository.LoadRepo(file);
      if (HasFatalFailure()) return;
      ++ran;
      const CommitObject& commit = repository.commit;
      std::printf("%s/%s: version %d, %zu records, %zu nodes, %s\n", source, file.filename().c_str(),
                  static_cast<int>(commit.version), repository.records, repository.tree.node_count(),
                  repository.tree.complete() ? "complete" : "incomplete");
      if (repository.tree.complete()) {
        repository.CheckRebuild(commit.data);
        EXPECT_EQ(repository.records_present, repository.records);
      }
      // The stream's own path takes version 3 only.
      EXPECT_EQ(Outcome(DecodeCommit(*repository.blocks.Find(repository.blocks.root())).status()),
                commit.version == 3 ? "ok" : "commit_bad_version");
      const auto expect = known.find(file.filename().string());
      if (expect == known.end()) continue;
      ++met;
      EXPECT_EQ(commit.version, expect->second.version);
      EXPECT_EQ(repository.tree.complete(), expect->second.complete);
      if (expect->second.complete) {
        EXPECT_EQ(repository.records, expect->second.records);
      }
    }
    EXPECT_GT(ran, 0u) << source;
    std::printf("%s: %zu repositories\n", source, ran);
  }
  EXPECT_EQ(met, known.size());
}

TEST(MstVectors, MstTestSuiteTrees) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  size_t ran = 0, keys = 0;
  for (const fs::path& file : CarsIn(*folder / "mst-test-suite/cars")) {
    SCOPED_TRACE(file.string());
    Repository repository;  // without a commit: the root is a node
    repository.LoadBlocks(file);
    repository.LoadTree(repository.blocks.root());
    if (HasFatalFailure()) return;
    EXPECT_TRUE(repository.tree.complete());
    repository.CheckRebuild(repository.blocks.root());
    ++ran;
    keys += repository.records;
  }
  EXPECT_GE(ran, 128u);
  std::printf("mst-test-suite/cars: %zu trees, %zu keys\n", ran, keys);
}

// From before Sync v1.1: the forward checks hold; without prevData there is nothing to invert to.
TEST(MstVectors, IndigoFirehoseCommits) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  size_t ran = 0;
  for (const auto& entry : fs::directory_iterator(*folder / "indigo/firehose-commits")) {
    SCOPED_TRACE(entry.path().string());
    const boost::json::value body = boost::json::parse(test::ReadFileText(entry.path()));
    const auto cid_of = [](const boost::json::value& value) {
      return value.is_null() ? cbor::Cid() : *cbor::Cid::FromString(TextOf(value.at("$link")));
    };
    const std::vector<uint8_t> blocks = *FromBase64(TextOf(body.at("blocks").at("$bytes")));
    const cbor::Cid commit = cid_of(body.at("commit"));
    std::vector<cbor::Cid> cids;
    cids.reserve(body.at("ops").as_array().size());
    std::vector<RepoOp> ops;
    for (const boost::json::value& op : body.at("ops").as_array()) {
      const std::string_view path = TextOf(op.at("path"));
      const auto valid = RepoPath::Parse(path);
      ASSERT_TRUE(valid.has_value()) << path;
      cids.push_back(cid_of(op.at("cid")));
      ops.push_back(RepoOp{*ActionFromName(TextOf(op.at("action"))),
                           path,
                           valid->collection.text(),
                           valid->rkey.text(),
                           cids.back().view(),
                           {}});
    }
    CommitClaim claim;
    claim.did = *Did::Parse(TextOf(body.at("repo")));
    claim.rev = TextOf(body.at("rev"));
    claim.since = body.at("since").is_null() ? std::string_view() : TextOf(body.at("since"));
    claim.commit = commit.view();
    claim.blocks = blocks;
    claim.ops = ops;
    const int64_t now = Datetime::Parse(TextOf(body.at("time")))->micros;
    CommitChecker checker;
    CheckedCommit checked;
    EXPECT_EQ(Outcome(checker.Check(claim, now, &checked)), "ok");
    EXPECT_EQ(checked.records.size(), ops.size());
    EXPECT_FALSE(checker.tree().complete());
    ++ran;
  }
  EXPECT_GE(ran, 2u);
  std::printf("indigo/firehose-commits: %zu commits\n", ran);
}

}  // namespace
}  // namespace penstock::repo
