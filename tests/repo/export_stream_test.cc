#include "repo/export_stream.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>

#include "base/file_spill.h"
#include "base/status.h"
#include "fixtures/builder/large_repository.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/export_order.h"
#include "tests/repo/streamed_export.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

using builder::Account;
using builder::Write;
using test::Blocks;
using test::ExportOrder;
using test::Found;
using test::MemorySpill;
using test::Stream;
using test::Verify;

constexpr int64_t kNow = builder::kFixtureEpoch;
constexpr size_t kAtOnce = SIZE_MAX;

// `records` posts, every fourth like another.
std::string ExportOf(size_t records, Account* account) {
  std::vector<Write> writes;
  account->Commit({}, kNow);
  for (size_t i = 0; i < records; ++i) {
    const std::string text = i % 4 == 3 ? "again" : "post " + std::to_string(i);
    writes.push_back(Write::Create("app.bsky.feed.post/" + std::to_string(100'000 + i), test::Post(text)));
    if (writes.size() < 200 && i + 1 < records) continue;
    account->Commit(writes, kNow);
    writes.clear();
  }
  return *account->Export();
}
std::string ExportOf(size_t records) {
  Account account = test::MakeAccount(builder::Curve::kK256);
  return ExportOf(records, &account);
}

class ExportStreamTest : public testing::Test {
 protected:
  MemorySpill spill_;
  ExportStream stream_{&spill_};
};

TEST_F(ExportStreamTest, EveryOrderGivesWhatTheWholeFileGives) {
  for (const size_t records : {0, 1, 2, 3, 5, 10, 33, 100, 400, 1500}) {
    const std::string car = ExportOf(records);
    const Found expected = Verify(car);
    ASSERT_EQ(expected.outcome, "ok");
    ASSERT_EQ(expected.records.size(), records);
    const ExportOrder order(car);
    std::vector<std::string> cars = {car, order.InTreeOrder(), order.Reversed()};
    for (uint64_t seed = 0; seed < 5; ++seed) cars.push_back(order.Shuffled(seed));
    for (size_t i = 0; i < cars.size(); ++i) {
      for (const size_t piece : {size_t{7}, size_t{1000}, kAtOnce}) {
        EXPECT_EQ(Stream(stream_, cars[i], piece), expected) << records << " records, order " << i << ", piece " << piece;
      }
    }
  }
}

TEST_F(ExportStreamTest, ThroughAFile) {
  const std::string car = ExportOf(1000);
  FileSpill spill(std::filesystem::temp_directory_path(), 10'000);
  ExportStream stream(&spill);
  const Found expected = Verify(car);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    EXPECT_EQ(Stream(stream, ExportOrder(car).Shuffled(seed), 4096), expected);
    EXPECT_TRUE(spill.on_disk());
  }
}

// In tree order a record is given out with its last byte.
TEST_F(ExportStreamTest, RecordsComeWhileTheArchiveIsStillComing) {
  const std::string car = ExportOrder(ExportOf(300)).InTreeOrder();
  const Found expected = Verify(car);
  test::Collector collector;
  ASSERT_TRUE(stream_.Begin({}, &collector).ok());
  size_t blocks_seen = 0;
  for (size_t at = 0; at < car.size(); ++at) {
    ASSERT_TRUE(stream_.Feed(AsBytes(car).subspan(at, 1)).ok());
    if (stream_.block_count() == blocks_seen) continue;
    blocks_seen = stream_.block_count();
    // All blocks so far are the commit, nodes and records that have been used; like records come once.
    std::set<std::string> used;
    for (const auto& record : collector.found.records) used.insert(std::get<1>(record));
    EXPECT_EQ(blocks_seen, 1 + stream_.node_count() + used.size());
    EXPECT_EQ(stream_.tree_is_complete(), at + 1 == car.size());
  }
  EXPECT_EQ(collector.found.records, expected.records);
  EXPECT_TRUE(stream_.Finish().ok());
}

TEST_F(ExportStreamTest, SignatureOwnerAndTime) {
  for (const builder::Curve curve : {builder::Curve::kK256, builder::Curve::kP256}) {
    Account account = test::MakeAccount(curve);
    const std::string car = ExportOf(20, &account);
    const crypto::PublicKey key = test::KeyOf(account), other = test::KeyOf(test::MakeAccount(curve, 2));
    ExportStreamOptions options;
    options.key = &key;
    options.did = Did::Parse(account.did());
    options.now_us = kNow;
    const Found found = Stream(stream_, car, 100, options);
    EXPECT_EQ(found.outcome, "ok");
    EXPECT_EQ(found.rev, account.rev());
    EXPECT_EQ(stream_.commit().did.text(), account.did());
    const auto refused = [&](const ExportStreamOptions& with) {
      const Found nothing = Stream(stream_, car, 100, with);
      EXPECT_TRUE(nothing.commit.empty() && nothing.records.empty()) << "nothing comes before the commit is good";
      EXPECT_EQ(nothing.outcome, Verify(car, with).outcome);
      EXPECT_EQ(stream_.failed_at(), ExportStep::kCommit);
      return nothing.outcome;
    };
    options.key = &other;
    EXPECT_EQ(refused(options), "signature_mismatch");
    // What was checked by the key of its time needs no key now, and nothing else is let through with it.
    options.proven_commit = account.data();
    EXPECT_EQ(refused(options), "signature_mismatch");
    options.proven_commit = cbor::Cid(stream_.commit_cid());
    EXPECT_EQ(Stream(stream_, car, 100, options), found);
    options.proven_commit.reset();
    options.key = nullptr;
    options.did = Did::Parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
    EXPECT_EQ(refused(options), "commit_did_mismatch");
    options.did.reset();
    options.now_us = kNow - builder::kDay;
    EXPECT_EQ(refused(options), "commit_future_rev");
  }
}

TEST_F(ExportStreamTest, EveryTruncationIsRefused) {
  const std::string car = ExportOf(12);
  const Found whole = Verify(car);
  for (const std::string& archive : {car, ExportOrder(car).InTreeOrder(), ExportOrder(car).Shuffled(1)}) {
    for (size_t size = 0; size < archive.size(); ++size) {
      const std::string_view cut = std::string_view(archive).substr(0, size);
      const Found found = Stream(stream_, cut, 50);
      ASSERT_EQ(found.outcome, Verify(cut).outcome) << size;
      ASSERT_NE(found.outcome, "ok") << size;
      // What came before is true, though not all.
      ASSERT_LE(found.records.size(), whole.records.size());
      ASSERT_TRUE(std::equal(found.records.begin(), found.records.end(), whole.records.begin()));
    }
  }
}

TEST_F(ExportStreamTest, EveryBitCounts) {
  Account account = test::MakeAccount(builder::Curve::kK256);
  const std::string car = ExportOf(6, &account);
  const crypto::PublicKey key = test::KeyOf(account);
  ExportStreamOptions options;
  options.key = &key;
  const Found whole = Verify(car);
  std::map<std::string, size_t> outcomes;
  for (const std::string& archive : {car, ExportOrder(car).InTreeOrder(), ExportOrder(car).Shuffled(1)}) {
    for (size_t bit = 0; bit < archive.size() * 8; ++bit) {
      std::string changed = archive;
      changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
      const Found found = Stream(stream_, changed, 1000, options);
      ASSERT_NE(found.outcome, "ok") << bit;
      ASSERT_NE(Verify(changed, options).outcome, "ok") << bit;
      ASSERT_TRUE(std::equal(found.records.begin(), found.records.end(), whole.records.begin())) << bit;
      ++outcomes[found.outcome];
    }
  }
  EXPECT_GT(outcomes["car_block_cid_mismatch"], 1000u);
}

TEST_F(ExportStreamTest, EveryBlockIsNeeded) {
  const std::string car = ExportOf(60);
  for (const std::string& archive : {ExportOrder(car).InTreeOrder(), ExportOrder(car).Shuffled(3)}) {
    const ExportOrder order(archive);
    std::map<std::string, size_t> outcomes;
    for (size_t i = 0; i < order.All().size(); ++i) {
      std::vector<cbor::CidView> less = order.All();
      less.erase(less.begin() + static_cast<ptrdiff_t>(i));
      const std::string incomplete = order.Write(less);
      const Found found = Stream(stream_, incomplete, 512);
      EXPECT_EQ(found.outcome, Verify(incomplete).outcome) << i;
      ++outcomes[found.outcome];
    }
    EXPECT_EQ(outcomes.size(), 2u);
    EXPECT_EQ(outcomes["car_missing_block"], 46u + 2) << "each record, the tree's root and the commit";
  }
}

// The verdict does not depend on which of the missing blocks the walk meets first.
TEST_F(ExportStreamTest, SeveralMissingBlocks) {
  const ExportOrder order(ExportOf(60));
  std::mt19937_64 random(1);
  std::map<std::string, size_t> outcomes;
  for (int round = 0; round < 300; ++round) {
    std::vector<cbor::CidView> less = order.All();
    std::shuffle(less.begin(), less.end(), random);
    less.resize(less.size() - random() % 10);
    const std::string incomplete = order.Write(less);
    const std::string outcome = Stream(stream_, incomplete, 512).outcome;
    EXPECT_EQ(outcome, Verify(incomplete).outcome);
    ++outcomes[outcome];
  }
  EXPECT_EQ(outcomes.size(), 3u);
}

TEST_F(ExportStreamTest, BlocksThatNobodyNeedsAndRepeatedOnes) {
  const std::string car = ExportOf(40);
  const Found expected = Verify(car);
  const ExportOrder order(car);
  // Every block twice, in some order, between blocks that nothing links to and that cannot be checked.
  std::string blake(36, 'h');
  blake.replace(0, 4, "\x01\x71\x1e\x20");
  for (uint64_t seed = 0; seed < 5; ++seed) {
    std::vector<cbor::CidView> twice = order.All();
    for (const cbor::CidView& cid : order.All()) twice.push_back(cid);
    std::mt19937_64 random(seed);
    std::shuffle(twice.begin(), twice.end(), random);
    std::string archive = order.Write({});
    car::Writer writer(&archive);
    for (size_t i = 0; i < twice.size(); ++i) {
      const std::string extra = "extra " + std::to_string(i);
      const uint64_t codec = i % 2 == 0 ? cbor::kCodecRaw : cbor::kCodecDagCbor;
      writer.Block(cbor::Cid::OfBlock(AsBytes(extra), codec).view(), AsBytes(extra));
      cbor::CidView odd;
      ASSERT_TRUE(cbor::CidView::Parse(AsBytes(blake), &odd));
      writer.Block(odd, AsBytes("odd"));
      writer.Block(twice[i], *order.index().Find(twice[i]));
    }
    EXPECT_EQ(Verify(archive), expected);
    EXPECT_EQ(Stream(stream_, archive, 100), expected);
  }
}

TEST_F(ExportStreamTest, NothingIsPutAwayOnceTheTreeIsComplete) {
  std::string car = ExportOrder(ExportOf(40)).InTreeOrder();
  EXPECT_EQ(Stream(stream_, car, 100).outcome, "ok");
  const uint64_t bytes = spill_.bytes();
  EXPECT_LT(bytes, car.size());
  car::Writer writer(&car);
  const std::string extra(100'000, 'x');
  writer.Block(cbor::Cid::OfBlock(AsBytes(extra)).view(), AsBytes(extra));
  EXPECT_EQ(Stream(stream_, car, 100).outcome, "ok");
  EXPECT_EQ(spill_.bytes(), bytes);
  // It is checked all the same.
  car.back() = 'y';
  EXPECT_EQ(Stream(stream_, car, 100).outcome, "car_block_cid_mismatch");
}

TEST_F(ExportStreamTest, LimitsHold) {
  const std::string car = ExportOf(60);
  ExportStreamOptions options;
  options.max_blocks = 20;
  EXPECT_EQ(Stream(stream_, car, 100, options).outcome, "car_too_many_blocks");
  options = {};
  options.max_bytes = car.size() - 1;
  EXPECT_EQ(Stream(stream_, car, 100, options).outcome, "car_too_large");
  EXPECT_EQ(stream_.failed_at(), ExportStep::kBlocks);
  options = {};
  options.max_section_bytes = 100;
  EXPECT_EQ(Stream(stream_, car, 100, options).outcome, "car_section_too_long");
}

TEST_F(ExportStreamTest, AVisitorMayStop) {
  class Stopping : public test::Collector {
   public:
    absl::Status OnCommit(const CommitObject& commit, const cbor::CidView& cid, Bytes block) override {
      if (after == 0) return FailedPreconditionError("we have this rev");
      return Collector::OnCommit(commit, cid, block);
    }
    absl::Status OnRecord(const ExportedRecord& record) override {
      if (found.records.size() == after) return UnavailableError("the store is away");
      return Collector::OnRecord(record);
    }
    size_t after = 0;
  };
  const std::string car = ExportOf(60);
  for (const size_t after : {0, 1, 30}) {
    Stopping visitor;
    visitor.after = after;
    ASSERT_TRUE(stream_.Begin({}, &visitor).ok());
    const absl::Status stopped = stream_.Feed(AsBytes(car));
    EXPECT_EQ(IsTransient(stopped), after != 0);
    EXPECT_EQ(visitor.found.records.size(), after);
    EXPECT_EQ(stream_.Feed(AsBytes(car)), stopped);
    EXPECT_EQ(stream_.Finish(), stopped);
  }
}

TEST_F(ExportStreamTest, TroubleWithTheSpillIsNotThePeersFault) {
  const std::string car = ExportOrder(ExportOf(60)).Shuffled(1);
  for (uint64_t left = 0; left < 60; ++left) {
    spill_.appends_left = left;
    spill_.reads_left = UINT64_MAX;
    EXPECT_EQ(Stream(stream_, car, 100).outcome, "no room") << left;
  }
  spill_.appends_left = UINT64_MAX;
  for (uint64_t left = 0; left < 60; ++left) {
    spill_.reads_left = left;
    EXPECT_EQ(Stream(stream_, car, 100).outcome, "no disk") << left;
  }
  spill_.reads_left = UINT64_MAX;
  EXPECT_EQ(Stream(stream_, car, 100).outcome, "ok") << "and then it goes on";
}

// The one of bench/export_bench, scaled down: memory follows the number of blocks, not their bytes.
TEST(LargeRepository, ThroughAFileInBoundedMemory) {
  namespace fs = std::filesystem;
  const std::string path = (fs::temp_directory_path() / ("penstock-large-" + std::to_string(getpid()) + ".car")).string();
  std::vector<Found> all;
  for (const builder::BlockOrder order : {builder::BlockOrder::kTree, builder::BlockOrder::kShuffled}) {
    builder::LargeRepositoryOptions made;
    made.records = 30'000;
    made.order = order;
    made.directory = fs::temp_directory_path();
    const auto repository = WriteLargeRepository(made, path);
    ASSERT_TRUE(repository.ok()) << Message(repository.status());
    EXPECT_EQ(fs::file_size(path), repository->bytes);
    EXPECT_GT(repository->bytes, 10'000'000u);

    const crypto::PublicKey key = *crypto::PublicKey::FromDidKey(repository->did_key);
    ExportStreamOptions options;
    options.key = &key;
    options.did = Did::Parse(repository->did);
    options.now_us = kNow;
    FileSpill spill(made.directory);
    ExportStream stream(&spill);
    test::Collector collector;
    ASSERT_TRUE(stream.Begin(options, &collector).ok());
    std::ifstream file(path, std::ios::binary);
    std::vector<char> piece(64 * 1024);
    size_t most = 0;
    while (file.read(piece.data(), static_cast<std::streamsize>(piece.size())), file.gcount() > 0) {
      const size_t count = static_cast<size_t>(file.gcount());
      ASSERT_TRUE(stream.Feed(AsBytes(std::string_view(piece.data(), count))).ok());
      most = std::max(most, stream.memory());
    }
    ASSERT_EQ(test::Outcome(stream.Finish()), "ok");
    EXPECT_TRUE(spill.on_disk());
    EXPECT_EQ(stream.record_count(), made.records);
    EXPECT_EQ(stream.node_count(), repository->nodes);
    EXPECT_LT(most, stream.block_count() * 43 + 100'000);
    const size_t part = made.records * 7 / 10;
    EXPECT_EQ(std::get<0>(collector.found.records[part - 1]), builder::LargeRepositoryKey(part - 1, made.records));
    EXPECT_EQ(std::get<2>(collector.found.records[part]), builder::LargeRepositoryRecord(part, made.records));
    all.push_back(Verify(test::ReadFileText(path), options));
    collector.found.outcome = "ok";
    collector.found.nodes = stream.node_count();
    all.push_back(std::move(collector.found));
    fs::remove(path);
  }
  EXPECT_EQ(all[0].outcome, "ok");
  for (const Found& found : all) EXPECT_TRUE(found == all[0]);
}

// A repository that is put together by hand: no signature is asked for.
class HandMadeStream : public ExportStreamTest {
 protected:
  // The outcome of the tree under `data`, the same for the stream, in two orders, and the whole file.
  std::string OutcomeOf(const cbor::Cid& data) {
    fields_.data = data;
    const cbor::Cid commit = blocks_.Add(test::CommitBlock(fields_));
    const std::string car = blocks_.Car(commit);
    const Found expected = Verify(car);
    for (const std::string& archive : {car, ExportOrder(car).Shuffled(1), ExportOrder(car).Reversed()}) {
      found_ = Stream(stream_, archive, 100);
      EXPECT_EQ(found_.outcome, expected.outcome);
      if (expected.outcome != "ok") continue;
      EXPECT_EQ(found_, expected);
    }
    return found_.outcome;
  }
  MstEntry Entry(std::string_view key, const cbor::CidView& right = {}, uint64_t prefix = 0) {
    return MstEntry{prefix, key, record_.view(), right};
  }
  cbor::Cid Node(const cbor::CidView& left, const std::vector<MstEntry>& entries) {
    return blocks_.Add(test::NodeBlock(left, entries));
  }

  test::CommitFields fields_;
  Blocks blocks_;
  const cbor::Cid record_ = blocks_.Add("record");
  Found found_;
};

TEST_F(HandMadeStream, RecordsThatCannotBeGivenOut) {
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  const test::Tree tree = {{"app.test.thing/a", record_},   {"app.test.thing/b", raw}, {"app.test.thing/c/d", record_},
                           {"no path at all", record_},     {"app.test.thing/..", record_},
                           {"app.test.thing/z", record_},   {"app.test.thing/\xff", record_}};
  EXPECT_EQ(OutcomeOf(test::AddTree(tree, &blocks_)), "ok");
  EXPECT_EQ(found_.records.size(), 2u);
  EXPECT_EQ(found_.unusable.size(), 5u);
}

TEST_F(HandMadeStream, EachCheckOfANode) {
  const std::string low = test::KeyOfHeight(0), low2 = test::KeyOfHeight(0, 1), high = test::KeyOfHeight(1, 1),
                    high2 = test::KeyOfHeight(1, 2);
  const auto prefix_of = [](const std::string& a, const std::string& b) { return CommonPrefix(a, b); };
  const uint64_t shared = prefix_of(low, low2);
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low), Entry(low2.substr(shared), {}, shared)})), "ok");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low), Entry(low2)})), "mst_bad_prefix") << "not maximal";
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low, {}, 1)})), "mst_bad_prefix");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry("")})), "mst_bad_key");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low2), Entry(low.substr(shared), {}, shared)})), "mst_key_order");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low), Entry("", {}, low.size())})), "mst_key_order");
  const std::string next = test::KeyOfHeight(1, 0, low + "/");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(low), Entry(next.substr(low.size()), {}, low.size())})), "mst_wrong_height");
  const cbor::Cid leaf = Node({}, {Entry(low)});
  EXPECT_EQ(OutcomeOf(Node(leaf.view(), {Entry(low2)})), "mst_too_deep");
  EXPECT_EQ(OutcomeOf(Node(leaf.view(), {})), "mst_root_without_key");
  const cbor::Cid empty = Node({}, {});
  EXPECT_EQ(OutcomeOf(empty), "ok");
  EXPECT_EQ(OutcomeOf(Node(empty.view(), {Entry(high)})), "mst_empty_node");
  EXPECT_EQ(OutcomeOf(Node({}, {Entry(high, leaf.view())})), "mst_key_order") << "outside of the parent's range";
  const uint64_t high_shared = prefix_of(high, high2);
  EXPECT_EQ(OutcomeOf(Node(leaf.view(), {Entry(high, leaf.view()), Entry(high2.substr(high_shared), {}, high_shared)})),
            "mst_key_order")
      << "linked twice";
  EXPECT_EQ(OutcomeOf(blocks_.Add("\xa0")), "mst_bad_node");
  EXPECT_EQ(OutcomeOf(blocks_.Add("\xa2\x61" "e")), "cbor_truncated");
}

// A few nodes that are linked again and again would be a very long walk.
TEST_F(HandMadeStream, NodesLinkedIntoALongWalk) {
  const std::string top = test::KeyOfHeight(6);
  cbor::Cid below = Node({}, {Entry(test::KeyOfHeight(0))});
  for (int level = 1; level < 6; ++level) {
    below = Node(below.view(), {Entry(test::KeyOfHeight(level), below.view())});
  }
  EXPECT_EQ(OutcomeOf(Node(below.view(), {Entry(top, below.view())})), "mst_key_order");
  EXPECT_LT(found_.nodes, 10u);
}

TEST_F(HandMadeStream, ADeepTree) {
  // One key of height 8 and one of height 0: seven nodes without keys between them.
  const test::Tree tree = {{"app.bsky.feed.post/9adeb165882c", record_}, {test::KeyOfHeight(0), record_}};
  EXPECT_EQ(OutcomeOf(test::AddTree(tree, &blocks_)), "ok");
  EXPECT_EQ(found_.nodes, 9u);
  EXPECT_EQ(found_.records.size(), 2u);
}

// Hostile: as high as a key may claim to be, which its hash does not bear out.
TEST_F(HandMadeStream, ATreeThatIsTooDeep) {
  cbor::Cid below = Node({}, {Entry(test::KeyOfHeight(0))});
  for (int level = 0; level < 300; ++level) below = Node(below.view(), {});
  EXPECT_EQ(OutcomeOf(Node(below.view(), {Entry("app.bsky.feed.post/9adeb165882c")})), "mst_too_deep");
}

// The one thing that a file in memory may have and a stream may not: large nodes one below the other, which
// only somebody who tries out keys for them can make.
TEST_F(HandMadeStream, LargeNodesBelowEachOther) {
  test::Tree tree;
  for (int level = 0; level < 3; ++level) {
    for (int n = 0, found = 0; found < 3000; ++n) {
      std::string key = std::string(1, static_cast<char>('a' + level)) + std::to_string(n + 10'000'000) + std::string(1000, 'x');
      if (KeyHeight(key) != level) continue;
      tree[key] = record_;
      ++found;
    }
  }
  fields_.data = test::AddTree(tree, &blocks_);
  const std::string car = blocks_.Car(blocks_.Add(test::CommitBlock(fields_)));
  EXPECT_GT(car.size(), 9'000'000u);
  EXPECT_EQ(Stream(stream_, car, 65'536).outcome, "mst_bad_node");
  EXPECT_LT(stream_.memory(), 20'000'000u);
  EXPECT_EQ(Stream(stream_, blocks_.Car(record_), 10).outcome, "commit_bad_object");
  EXPECT_LT(stream_.memory(), 200'000u) << "given back";
}

TEST_F(HandMadeStream, ALargeNode) {
  test::Tree tree;
  for (int n = 0; tree.size() < 5000; ++n) {
    const std::string key = "app.test.thing/" + std::to_string(1'000'000 + n);
    if (KeyHeight(key) == 0) tree[key] = record_;
  }
  EXPECT_EQ(OutcomeOf(test::AddTree(tree, &blocks_)), "ok");
  EXPECT_EQ(found_.records.size(), 5000u);
}

TEST_F(HandMadeStream, ARecordThatIsANode) {
  // Nothing forbids it: the node's bytes are the record's.
  const cbor::Cid leaf = Node({}, {Entry(test::KeyOfHeight(0))});
  const std::string key = test::KeyOfHeight(1, 1);
  MstEntry entry = Entry(key);
  entry.value = leaf.view();
  const cbor::Cid root = Node(leaf.view(), {entry});
  EXPECT_EQ(OutcomeOf(root), "ok");
  EXPECT_EQ(found_.records.size(), 2u);
}

TEST_F(HandMadeStream, CommitsThatAreNone) {
  EXPECT_EQ(Stream(stream_, blocks_.Car(record_), 10).outcome, Verify(blocks_.Car(record_)).outcome);
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  std::string other;
  car::Writer writer(&other);
  writer.Header(std::span(&raw, 1));
  EXPECT_EQ(Stream(stream_, other, 10).outcome, "car_missing_block");
  writer.Block(raw.view(), AsBytes("raw"));
  EXPECT_EQ(Stream(stream_, other, 10).outcome, "cid_unsupported");
  EXPECT_EQ(Verify(other).outcome, "cid_unsupported");
}

}  // namespace
}  // namespace penstock::repo
