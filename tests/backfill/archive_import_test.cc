#include "backfill/archive_import.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "car/writer.h"
#include "fixtures/builder/fake_time.h"
#include "indexer/row_builder.h"
#include "tests/backfill/import_testing.h"
#include "tests/indexer/store_fixture.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/export_order.h"
#include "tests/support/shared_data.h"

namespace penstock::backfill {
namespace {

using builder::Account;
using builder::Item;
using builder::Write;
using indexer::ChangeSetPtr;
using indexer::Store;
using indexer::StoreOptions;
using repo::Verification;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int64_t kNow = builder::kFixtureEpoch;
constexpr std::string_view kPost = "app.bsky.feed.post";
constexpr std::string_view kLike = "app.bsky.feed.like";

Item Record(std::string_view collection, std::string_view text) {
  return Item::Map({{"$type", collection}, {"text", text}, {"createdAt", "2025-09-01T08:00:00.000Z"}});
}
std::string Path(std::string_view collection, std::string_view rkey) {
  return std::string(collection) + "/" + std::string(rkey);
}
std::string Key(size_t number) { return "key" + std::to_string(100'000 + number); }

indexer::Filter FilterOf(std::vector<std::string> collections) {
  return *indexer::Filter::Make({.collections = std::move(collections), .dids = {}, .exclude_dids = {}, .actions = {}});
}

Account NewAccount(uint64_t seed = 1) { return test::MakeAccount(builder::Curve::kK256, seed); }

// `count` posts, committed.
void Fill(Account* account, size_t count, std::string_view words = "post") {
  std::vector<Write> writes;
  for (size_t i = 0; i < count; ++i) {
    writes.push_back(Write::Create(Path(kPost, Key(i)), Record(kPost, std::string(words) + std::to_string(i))));
    if (writes.size() == 200) {
      account->Commit(writes, kNow);
      writes.clear();
    }
  }
  account->Commit(writes, kNow);
}

class ArchiveImportTest : public test::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    Use(indexer::Filter::Everything());
    auto scan = indexer::MakeAccountScan(Options());
    ASSERT_TRUE(scan.ok()) << scan.status();
    scan_ = *std::move(scan);
  }

  void Use(indexer::Filter filter, ArchiveOptions options = {}) {
    filter_ = std::make_unique<indexer::Filter>(std::move(filter));
    auto import = ArchiveImport::Create(options, filter_.get(), &counters_);
    ASSERT_TRUE(import.ok()) << import.status();
    import_ = *std::move(import);
  }

  // Verifies `car` as `account`'s. The verdict's name: "ok", that of a Reject, or the message.
  std::string Feed(const Account& account, std::string_view car, ArchiveImport::Subject subject = {}) {
    key_.emplace(test::KeyOf(account));
    did_ = account.did();
    if (subject.did.empty()) subject.did = did_;
    if (subject.key == nullptr) subject.key = &*key_;
    if (subject.now_us == 0) subject.now_us = kNow;
    if (subject.host.empty()) subject.host = "https://pds.example:8443";
    status_ = import_->Begin(subject);
    for (Bytes rest = AsBytes(car); status_.ok() && !rest.empty(); rest = rest.subspan(std::min<size_t>(4096, rest.size()))) {
      status_ = import_->Feed(rest.first(std::min<size_t>(4096, rest.size())));
    }
    if (status_.ok()) status_ = import_->EndOfArchive();
    if (status_.ok()) return "ok";
    if (const auto reject = RejectOf(status_)) return std::string(RejectName(*reject));
    return std::string(Message(status_));
  }

  // The whole way, into the test's store; expects success.
  ArchiveImport::Result Import(Account& account, ArchiveImport::Subject subject = {}) {
    return ImportInto(store_.get(), account, subject);
  }
  // `store` may be another if the account is new.
  ArchiveImport::Result ImportInto(Store* store, Account& account, ArchiveImport::Subject subject = {}) {
    EXPECT_EQ(Feed(account, *account.Export(), subject), "ok");
    port_ = std::make_unique<test::StorePort>(store);
    const absl::Status applied = import_->Apply(port_.get(), scan_.get());
    EXPECT_TRUE(applied.ok()) << applied;
    return import_->result();
  }

  // An op as it came live, proven that well.
  void Live(const Account& account, const Write& write, Verification verification = Verification::kFull) {
    Live(account, std::span(&write, 1), verification);
  }
  void Live(const Account& account, std::span<const Write> writes, Verification verification) {
    ChangeSetPtr change = changes_.Take();
    change->source = test::kRelay;
    change->seq = ++seq_;
    change->did = change->arena.Copy(account.did());
    change->rev = change->arena.Copy(account.rev());
    change->commit_cid = "bafycommit";
    change->verification = verification;
    indexer::RowBuilder builder(filter_.get());
    for (const Write& write : writes) {
      repo::RepoOp op;
      op.action = write.action;
      const std::string_view path = write.path;
      op.collection = path.substr(0, path.find('/'));
      op.rkey = path.substr(path.find('/') + 1);
      if (!filter_->WantsOp(op)) continue;
      const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(write.record));
      if (write.action != repo::Action::kDelete) op.cid = cid.view();
      builder.AddImported(op, 0, AsBytes(write.record), change.get());
    }
    change->dead_letters.clear();
    Apply(test::List{std::move(change)});
  }

  // What readers see of the account, and how it was proven.
  std::vector<std::string> Contents(Store* store, const Account& account) {
    return RowsOf(*store, "SELECT collection, rkey, cid, value, cbor, validation, created_at FROM record WHERE did = '" +
                              account.did() + "' AND NOT deleted ORDER BY collection, rkey");
  }
  std::vector<std::string> Proofs() {
    return Rows("SELECT rkey, op, verification, rev FROM record ORDER BY collection, rkey");
  }

  std::unique_ptr<indexer::Filter> filter_;
  std::unique_ptr<ArchiveImport> import_;
  std::unique_ptr<indexer::AccountScan> scan_;
  std::unique_ptr<test::StorePort> port_;
  std::optional<crypto::PublicKey> key_;
  std::string did_;
  absl::Status status_;
  indexer::ChangeSetRecycler changes_{4};
  int64_t seq_ = 0;
};

INSTANTIATE_TEST_SUITE_P(Databases, ArchiveImportTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& chosen) { return chosen.param; });

// ---- Differences

TEST_P(ArchiveImportTest, ANewRepositoryIsTakenInWhole) {
  Account account = NewAccount();
  const Item post = Record(kPost, "hello");
  account.Commit({Write::Create(Path(kPost, "a"), post), Write::Create(Path(kLike, "b"), Record(kLike, "x"))}, kNow);
  const std::vector<std::string> rules = {"app.bsky.*", "*"};
  const ArchiveImport::Result result = Import(account, {.rules = rules, .is_new = true});
  EXPECT_EQ(result.records, 2u);
  EXPECT_EQ(result.wanted, 2u);
  EXPECT_EQ(result.created, 2u);
  EXPECT_EQ(result.updated + result.deleted + result.unchanged + result.unusable + result.invalid, 0u);
  EXPECT_FALSE(result.large);
  EXPECT_THAT(port_->begun, ElementsAre("short"));
  EXPECT_EQ(port_->begun_rev, account.rev());
  EXPECT_EQ(import_->rev(), account.rev());
  EXPECT_TRUE(port_->was_tracked);
  EXPECT_THAT(port_->import_rules, ElementsAre("app.bsky.*", "*"));
  EXPECT_EQ(port_->import_host, "https://pds.example:8443");
  EXPECT_EQ(port_->import_records, 2u);
  EXPECT_EQ(import_->Apply(port_.get(), scan_.get()).code(), absl::StatusCode::kInternal) << "once";
  EXPECT_THAT(
      Rows(
          "SELECT collection, rkey, cid, rev, COALESCE(seq, 0), source, op, verification, validation, created_at FROM record "
          "WHERE rkey = 'a'"),
      ElementsAre("app.bsky.feed.post|a|" + cbor::Cid::OfBlock(AsBytes(post.bytes())).ToString() + "|" + account.rev() +
                  "|0|getRepo:pds.example:8443|create|export|unknown|2025-09-01T08:00:00.000Z"));
  EXPECT_EQ(Value("SELECT count(*) FROM record WHERE commit_cid IS NULL"), "0");
  EXPECT_THAT(Rows("SELECT did, rev, sync_state FROM repo"),
              ElementsAre(account.did() + "|" + account.rev() + "|synchronized"));
}

TEST_P(ArchiveImportTest, EveryDifference) {
  Account account = NewAccount();
  const auto create = [](std::string_view rkey, std::string_view text) {
    return Write::Create(Path(kPost, rkey), Record(kPost, text));
  };
  std::vector<Write> seen;
  for (const char* rkey : {"changed", "gone", "same", "weak", "weakchanged", "weakgone"}) seen.push_back(create(rkey, rkey));
  account.Commit(seen, kNow);
  Live(account, std::span(seen).first(3), Verification::kFull);
  const std::string first = account.rev();
  Live(account, std::span(seen).subspan(3), Verification::kSignature);
  // Not seen.
  account.Commit({Write::Update(Path(kPost, "changed"), Record(kPost, "other")), Write::Delete(Path(kPost, "gone")),
                  Write::Update(Path(kPost, "weakchanged"), Record(kPost, "other")), Write::Delete(Path(kPost, "weakgone")),
                  create("missing", "m"), create("anew", "first")},
                 kNow);
  // Seen as deleted, and written again.
  account.Commit({Write::Delete(Path(kPost, "anew"))}, kNow);
  Live(account, Write::Delete(Path(kPost, "anew")));
  account.Commit({create("anew", "second")}, kNow);

  const ArchiveImport::Result result = Import(account);
  EXPECT_EQ(result.created, 2u);   // missing, anew
  EXPECT_EQ(result.updated, 3u);   // changed, weakchanged, weak
  EXPECT_EQ(result.deleted, 2u);   // gone, weakgone
  EXPECT_EQ(result.unchanged, 1u);
  const std::string rev = account.rev();
  EXPECT_THAT(Proofs(), ElementsAre("anew|create|export|" + rev, "changed|update|export|" + rev, "gone|delete|export|" + rev,
                                    "missing|create|export|" + rev, "same|create|full|" + first, "weak|create|export|" + rev,
                                    "weakchanged|update|export|" + rev, "weakgone|delete|export|" + rev));
  // Once more: nothing is left to do.
  const ArchiveImport::Result again = Import(account);
  EXPECT_EQ(again.created + again.updated + again.deleted, 0u);
  EXPECT_EQ(again.unchanged, 6u);
  EXPECT_EQ(port_->rows_written, 0u);
}

// An account that was met with the very commit that the archive is of.
TEST_P(ArchiveImportTest, AnAnchorOfTheSameRevIsProven) {
  Account account = NewAccount();
  const Write write = Write::Create(Path(kPost, "a"), Record(kPost, "a"));
  account.Commit({write}, kNow);
  Live(account, write, Verification::kCommit);
  EXPECT_EQ(Import(account).updated, 1u);
  EXPECT_THAT(Proofs(), ElementsAre("a|create|export|" + account.rev()));
  EXPECT_EQ(Import(account).updated, 0u);
}

// More rows than are in memory at once, in three collections.
TEST_P(ArchiveImportTest, OurRowsComeInPages) {
  Account account = NewAccount();
  const std::vector<std::string> collections = {"a.b.c", "a.b.d", "a.b.e"};
  for (const std::string& collection : collections) {
    const size_t count = collection == "a.b.d" ? 1000 : 2500;
    for (size_t at = 0; at < count;) {
      std::vector<Write> writes;
      for (; writes.size() < 200 && at < count; ++at) {
        writes.push_back(Write::Create(Path(collection, Key(at)), Record(collection, std::to_string(at))));
      }
      account.Commit(writes, kNow);
    }
  }
  EXPECT_EQ(Import(account, {.is_new = true}).created, 6000u);
  EXPECT_EQ(Import(account).unchanged, 6000u);
  std::vector<Write> writes;
  for (size_t at = 7; at < 2500; at += 50) writes.push_back(Write::Delete(Path("a.b.e", Key(at))));
  for (size_t at = 8; at < 2500; at += 50) writes.push_back(Write::Update(Path("a.b.c", Key(at)), Record("a.b.c", "new")));
  writes.push_back(Write::Delete(Path("a.b.c", Key(999))));
  writes.push_back(Write::Delete(Path("a.b.c", Key(1000))));
  writes.push_back(Write::Create(Path("a.b.c", Key(999) + "a"), Record("a.b.c", "between two pages")));
  writes.push_back(Write::Create(Path("a.b.d", Key(5000)), Record("a.b.d", "behind a full page")));
  account.Commit(writes, kNow);
  const ArchiveImport::Result result = Import(account);
  EXPECT_EQ(result.created, 2u);
  EXPECT_EQ(result.updated, 50u);
  EXPECT_EQ(result.deleted, 52u);
  EXPECT_EQ(result.unchanged, 6000u - 102u);
  EXPECT_FALSE(result.large) << "large is the difference, not the repository";
}

// An NSID that another one begins with: '-' and '.' sort before '/'.
TEST_P(ArchiveImportTest, CollectionsWhoseNamesBeginAlike) {
  const std::vector<std::string> collections = {"a.b.c", "a.b.c-d.e", "a.b.c.d", "a.b.cd", "a.b-x.c", "a.b.c0"};
  Account account = NewAccount();
  std::vector<Write> writes;
  for (const std::string& collection : collections) {
    for (const char* rkey : {"-", ".x", "0", "_", "~", "k1", "k2"}) {
      writes.push_back(Write::Create(Path(collection, rkey), Record(collection, rkey)));
    }
  }
  account.Commit(writes, kNow);
  EXPECT_EQ(Import(account).created, writes.size());
  // One of each goes, one of each comes, and one collection goes as a whole.
  std::vector<Write> changes;
  for (const std::string& collection : collections) {
    const bool whole = collection == "a.b.c";
    for (const char* rkey : {"-", ".x", "0", "_", "~", "k1", "k2"}) {
      if (whole || std::string_view(rkey) == "0") changes.push_back(Write::Delete(Path(collection, rkey)));
    }
    if (!whole) changes.push_back(Write::Create(Path(collection, "k11"), Record(collection, "new")));
  }
  account.Commit(changes, kNow);
  const ArchiveImport::Result result = Import(account);
  EXPECT_EQ(result.created, 5u);
  EXPECT_EQ(result.deleted, 12u);
  EXPECT_EQ(result.updated, 0u);
  std::set<std::string> held, truth;
  for (const std::string& row : Rows("SELECT collection, rkey FROM record WHERE NOT deleted")) held.insert(row);
  for (const Write& write : writes) truth.insert(write.path);
  for (const Write& write : changes) {
    if (write.action == repo::Action::kDelete) truth.erase(write.path);
    if (write.action == repo::Action::kCreate) truth.insert(write.path);
  }
  std::set<std::string> paths;
  for (std::string row : held) paths.insert(row.replace(row.find('|'), 1, "/"));
  EXPECT_EQ(paths, truth);
}

TEST_P(ArchiveImportTest, AnEmptyRepositoryEmptiesOurs) {
  Account account = NewAccount();
  const Write a = Write::Create(Path(kPost, "a"), Record(kPost, "a")), b = Write::Create(Path(kLike, "b"), Record(kLike, "b"));
  account.Commit({a, b}, kNow);
  Live(account, a);
  Live(account, b, Verification::kCid);
  account.Commit({Write::Delete(a.path), Write::Delete(b.path)}, kNow);
  const ArchiveImport::Result result = Import(account);
  EXPECT_EQ(result.records, 0u);
  EXPECT_EQ(result.deleted, 2u);
  EXPECT_EQ(Value("SELECT count(*) FROM record WHERE NOT deleted"), "0");
  EXPECT_TRUE(port_->was_tracked);
}

// A delete that came before the account was followed: that the record is not there is proven now.
TEST_P(ArchiveImportTest, ATombstoneIsProvenAsWell) {
  Account account = NewAccount();
  account.Commit({Write::Create(Path(kPost, "a"), Record(kPost, "a")), Write::Create(Path(kLike, "b"), Record(kLike, "b"))},
                 kNow);
  account.Commit({Write::Delete(Path(kLike, "b"))}, kNow);
  Live(account, Write::Delete(Path(kLike, "b")), Verification::kCommit);
  EXPECT_THAT(Proofs(), ElementsAre("b|delete|commit|" + account.rev()));
  Import(account);
  EXPECT_THAT(Proofs(), ElementsAre("b|delete|export|" + account.rev(), "a|create|export|" + account.rev()));
  // Once more: nothing is left to do.
  Import(account);
  EXPECT_EQ(port_->rows_written, 0u);
}

TEST_P(ArchiveImportTest, AnEmptyRepositoryThatNobodyKnew) {
  Account account = NewAccount();
  account.Commit({}, kNow);
  const ArchiveImport::Result result = Import(account, {.is_new = true});
  EXPECT_EQ(result.records, 0u);
  EXPECT_TRUE(port_->finished);
  EXPECT_FALSE(port_->was_tracked);
}

TEST_P(ArchiveImportTest, OneBlockUnderManyKeys) {
  Account account = NewAccount();
  const Item same = Record(kPost, "again");
  std::vector<Write> writes;
  for (size_t i = 0; i < 20; ++i) writes.push_back(Write::Create(Path(kPost, Key(i)), same));
  account.Commit(writes, kNow);
  EXPECT_EQ(Import(account, {.is_new = true}).created, 20u);
  EXPECT_EQ(Value("SELECT count(DISTINCT cid) FROM record"), "1");
  EXPECT_EQ(Value("SELECT count(DISTINCT rkey) FROM record"), "20");
}

// ---- The filter

TEST_P(ArchiveImportTest, OnlyWhatTheFilterWants) {
  Account account = NewAccount();
  const Write post = Write::Create(Path(kPost, "a"), Record(kPost, "a")),
              like = Write::Create(Path(kLike, "a"), Record(kLike, "a"));
  account.Commit({post, like}, kNow);
  // A row from a time when likes were wanted.
  Live(account, Write::Create(Path(kLike, "old"), Record(kLike, "old")));
  Use(FilterOf({std::string(kPost)}));
  const ArchiveImport::Result result = Import(account);
  EXPECT_EQ(result.records, 2u);
  EXPECT_EQ(result.wanted, 1u);
  EXPECT_EQ(result.created, 1u);
  EXPECT_EQ(result.deleted, 0u);
  EXPECT_THAT(Rows("SELECT collection, rkey, verification FROM record ORDER BY collection"),
              ElementsAre("app.bsky.feed.like|old|full", "app.bsky.feed.post|a|export"));
}

TEST_P(ArchiveImportTest, NothingIsWanted) {
  Account account = NewAccount();
  account.Commit({Write::Create(Path(kPost, "a"), Record(kPost, "a"))}, kNow);
  for (const bool by_account : {false, true}) {
    Use(by_account ? *indexer::Filter::Make(
                         {.collections = {"*"}, .dids = {std::string(test::kBob)}, .exclude_dids = {}, .actions = {}})
                   : FilterOf({"space.atbb.*"}));
    const ArchiveImport::Result result = Import(account, {.is_new = true});
    EXPECT_EQ(result.records, 1u);
    EXPECT_EQ(result.wanted, 0u);
    EXPECT_FALSE(port_->was_tracked);
    EXPECT_EQ(Value("SELECT count(*) FROM record"), "0");
    // Known before: it stays followed, as its chain is of use.
    Import(account);
    EXPECT_TRUE(port_->was_tracked);
  }
}

TEST_P(ArchiveImportTest, MasksAskForEachDifferenceAsForAnOp) {
  struct Case {
    const char* actions;
    std::vector<std::string> rows;
  };
  const std::vector<Case> cases = {
      {"create", {"changed|1|full", "gone|1|full", "missing|2|export"}},
      {"update", {"changed|2|export", "gone|1|full"}},
      {"delete", {"changed|1|full", "gone|-|export"}},
      {"create,delete", {"changed|1|full", "gone|-|export", "missing|2|export"}},
      {"update,delete", {"changed|2|export", "gone|-|export"}},
  };
  uint64_t seed = 1;
  for (const Case& each : cases) {
    Account account = NewAccount(seed++);
    const std::vector<Write> seen = {Write::Create(Path(kPost, "changed"), Record(kPost, "1")),
                                     Write::Create(Path(kPost, "gone"), Record(kPost, "1"))};
    account.Commit(seen, kNow);
    Use(indexer::Filter::Everything());
    Live(account, seen, Verification::kFull);
    account.Commit({Write::Update(Path(kPost, "changed"), Record(kPost, "2")), Write::Delete(Path(kPost, "gone")),
                    Write::Create(Path(kPost, "missing"), Record(kPost, "2"))},
                   kNow);
    Use(FilterOf({"app.bsky.*:" + std::string(each.actions)}));
    Import(account);
    const std::string text = postgres() ? "value->>'text'" : "json_extract(value, '$.text')";
    EXPECT_EQ(Rows("SELECT rkey, " + text + ", verification FROM record WHERE did = '" + account.did() + "' ORDER BY rkey"),
              each.rows)
        << each.actions;
    EXPECT_EQ(import_->result().wanted, std::string_view(each.actions) == "delete" ? 0u : 2u);
  }
}

// ---- Records that are no records

TEST_P(ArchiveImportTest, InvalidDataIsKeptOutOfViewAndFiled) {
  Account account = NewAccount(), other = NewAccount(2);
  const Item untyped = Item::Map({{"text", "no type"}});
  for (Account* each : {&account, &other}) {
    each->Commit({Write::Create(Path(kPost, "bad"), untyped), Write::Create(Path(kPost, "good"), Record(kPost, "x")),
                  Write::Create(Path(kPost, "worse"), Item::Map({{"$type", kPost}, {"f", Item::Float(1.5)}}))},
                 kNow);
    const ArchiveImport::Result result = Import(*each, {.is_new = true});
    EXPECT_EQ(result.created, 3u);
    EXPECT_EQ(result.invalid, 2u);
  }
  EXPECT_EQ(Value("SELECT count(*) FROM record WHERE validation = 'invalid' AND value IS NULL AND cbor IS NOT NULL"), "4");
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "2");
  const std::string seq = std::to_string(repo::Tid::Parse(account.rev())->value());
  EXPECT_THAT(Rows("SELECT source, seq, op, did, collection, rkey, reject FROM dead_letter WHERE did = '" + account.did() +
                   "' ORDER BY op"),
              ElementsAre("getRepo:pds.example:8443 " + account.did() + "|" + seq + "|0|" + account.did() +
                              "|app.bsky.feed.post|bad|record_bad_type",
                          "getRepo:pds.example:8443 " + account.did() + "|" + seq + "|2|" + account.did() +
                              "|app.bsky.feed.post|worse|record_float"));
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter WHERE frame IS NOT NULL"), "4");
  // Once more: the rows are there, so nothing is said again.
  EXPECT_EQ(Import(account).invalid, 0u);
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter"), "4");
}

TEST_P(ArchiveImportTest, KeysThatAreNoRecords) {
  Account account = NewAccount();
  builder::Tree tree;
  const std::string good = Record(kPost, "good").bytes();
  const cbor::Cid good_cid = cbor::Cid::OfBlock(AsBytes(good));
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw);
  tree.Set(Path(kPost, "good"), good_cid);
  tree.Set(Path(kPost, "raw"), raw);
  tree.Set("no-path", good_cid);
  const builder::Block commit = SignCommit({account.did(), builder::FormatTid(kNow, 1), tree.Root()}, account.key());
  std::string car;
  car::Writer writer(&car);
  writer.Header(std::span(&commit.cid, 1));
  writer.Block(commit.cid.view(), AsBytes(commit.data));
  for (const builder::Tree::NodeView& node : tree.TakeSlice()) writer.Block(node.cid->view(), AsBytes(node.block));
  writer.Block(good_cid.view(), AsBytes(good));
  ASSERT_EQ(Feed(account, car), "ok") << status_;
  test::StorePort port(store_.get());
  ASSERT_TRUE(import_->Apply(&port, scan_.get()).ok());
  EXPECT_EQ(import_->result().records, 1u);
  EXPECT_EQ(import_->result().unusable, 2u);
  EXPECT_EQ(import_->result().created, 2u);
  EXPECT_EQ(counters_.Of(Reject::kSyntaxRepoPath), 1u);
  EXPECT_THAT(
      Rows("SELECT rkey, cid, validation, CASE WHEN cbor IS NULL THEN 'none' ELSE 'some' END FROM record ORDER BY rkey"),
      ElementsAre("good|" + good_cid.ToString() + "|unknown|some", "raw|" + raw.ToString() + "|invalid|none"));
  EXPECT_THAT(Rows("SELECT op, rkey, reject FROM dead_letter"), ElementsAre("1|raw|record_unverifiable"));
}

// ---- Large ones

ArchiveOptions Small() {
  ArchiveOptions options;
  options.rows_at_once = 50;
  options.chunk_rows = 20;
  options.memory_bytes = 1000;  // the rest goes through a file
  return options;
}

TEST_P(ArchiveImportTest, ALargeRepositoryComesInChunks) {
  Use(indexer::Filter::Everything(), Small());
  Account account = NewAccount();
  Fill(&account, 110);
  const ArchiveImport::Result result = Import(account, {.is_new = true});
  EXPECT_TRUE(result.large);
  EXPECT_EQ(result.created, 110u);
  EXPECT_THAT(port_->begun, ElementsAre("long")) << "there was nothing to compare with";
  EXPECT_THAT(port_->parts, ElementsAre(20, 20, 20, 20, 20, 10, 0));
  EXPECT_EQ(Value("SELECT count(*) FROM record WHERE verification = 'export'"), "110");
}

TEST_P(ArchiveImportTest, ALargeDifferenceIsMetOnTheWay) {
  Use(indexer::Filter::Everything(), Small());
  Account account = NewAccount();
  Fill(&account, 90);
  Import(account, {.is_new = true});
  std::vector<Write> writes;
  for (size_t i = 0; i < 60; ++i) writes.push_back(Write::Delete(Path(kPost, Key(i))));
  for (size_t i = 60; i < 80; ++i) writes.push_back(Write::Update(Path(kPost, Key(i)), Record(kPost, "new")));
  account.Commit(writes, kNow);
  const ArchiveImport::Result result = Import(account);
  EXPECT_TRUE(result.large);
  EXPECT_EQ(result.created, 0u);
  EXPECT_EQ(result.updated, 20u);
  EXPECT_EQ(result.deleted, 60u);
  EXPECT_EQ(result.unchanged, 10u);
  EXPECT_THAT(port_->begun, ElementsAre("short", "long"));
  EXPECT_THAT(port_->parts, ElementsAre(20, 20, 20, 20));
  EXPECT_THAT(port_->deletes_of_parts, ElementsAre(0, 20, 20)) << "nothing goes before all that comes is there";
  EXPECT_EQ(Value("SELECT count(*) FROM record WHERE NOT deleted"), "30");
}

TEST_P(ArchiveImportTest, BytesCountAsWellAsRows) {
  ArchiveOptions options;
  options.bytes_at_once = 100'000;
  options.chunk_bytes = 30'000;
  Use(indexer::Filter::Everything(), options);
  Account account = NewAccount();
  Fill(&account, 30, std::string(10'000, 'x'));
  const ArchiveImport::Result result = Import(account);
  EXPECT_TRUE(result.large);
  EXPECT_EQ(result.created, 30u);
  EXPECT_THAT(port_->begun, ElementsAre("short", "long"));
  EXPECT_GT(port_->parts.size(), 10u);
}

TEST_P(ArchiveImportTest, ExactlyAtTheLimit) {
  Use(indexer::Filter::Everything(), Small());
  Account account = NewAccount();
  Fill(&account, 50);
  EXPECT_FALSE(Import(account, {.is_new = true}).large);
  EXPECT_THAT(port_->parts, ElementsAre(50));
}

TEST_P(ArchiveImportTest, KilledAnywhereItGoesOn) {
  const auto history = [](Account* account) {
    Fill(account, 80);
    std::vector<Write> writes;
    for (size_t i = 0; i < 30; ++i) writes.push_back(Write::Delete(Path(kPost, Key(i))));
    for (size_t i = 30; i < 60; ++i) writes.push_back(Write::Update(Path(kPost, Key(i)), Record(kPost, "new")));
    for (size_t i = 0; i < 45; ++i) writes.push_back(Write::Create(Path(kLike, Key(i)), Record(kLike, "x")));
    account->Commit(writes, kNow);
  };
  for (uint64_t steps = 0;; ++steps) {
    Account account = NewAccount(steps + 1);
    Use(indexer::Filter::Everything(), Small());
    Fill(&account, 0);
    Account before = NewAccount(steps + 1);
    Fill(&before, 80);
    Import(before, {.is_new = true});
    history(&account);
    const size_t differences = 30 + 30 + 45;

    ASSERT_EQ(Feed(account, *account.Export()), "ok");
    test::StorePort killed(store_.get());
    killed.steps_left = steps;
    const absl::Status status = import_->Apply(&killed, scan_.get());
    if (status.ok()) {
      EXPECT_GT(steps, 8u) << "all steps have been tried";
      break;
    }
    EXPECT_EQ(Message(status), "killed");
    EXPECT_FALSE(killed.finished);
    EXPECT_EQ(Value("SELECT rev FROM repo WHERE did = '" + account.did() + "'"), before.rev()) << "the head comes last";

    Import(account);
    EXPECT_EQ(killed.rows_written + port_->rows_written, differences) << "nothing is written twice";
    EXPECT_EQ(Value("SELECT rev FROM repo WHERE did = '" + account.did() + "'"), account.rev());
    EXPECT_EQ(Value("SELECT count(*) FROM record WHERE NOT deleted AND did = '" + account.did() + "'"), "95");
  }
}

TEST_P(ArchiveImportTest, WhatTheStoreSaysOfItsFaultComesBack) {
  Account account = NewAccount();
  Fill(&account, 5);
  Import(account);
  account.Commit({Write::Delete(Path(kPost, Key(1)))}, kNow);
  ASSERT_EQ(Feed(account, *account.Export()), "ok");
  test::StorePort port(store_.get());
  test::FaultyScan scan(scan_.get());
  scan.reads_left = 0;
  EXPECT_EQ(import_->Apply(&port, &scan).code(), absl::StatusCode::kUnavailable);
  EXPECT_FALSE(port.finished);

  port.begin_answer = FailedPreconditionError("stale_export");
  scan.reads_left = 100;
  EXPECT_EQ(import_->Apply(&port, &scan), port.begin_answer);
  EXPECT_EQ(port.rows_written, 0u);
}

// ---- Archives that are not taken in

class ArchiveFaultTest : public ArchiveImportTest {
 protected:
  void SetUp() override {
    ArchiveImportTest::SetUp();
    if (IsSkipped()) return;
    Fill(&account_, 40);
    car_ = *account_.Export();
    before_ = test::Contents(*store_);
  }
  void TearDown() override {
    if (store_ == nullptr) return;
    test::StorePort port(store_.get());
    EXPECT_EQ(import_->Apply(&port, scan_.get()).code(), absl::StatusCode::kInternal) << "what is not proven cannot be applied";
    EXPECT_THAT(port.begun, IsEmpty());
    EXPECT_EQ(test::Contents(*store_), before_);
  }

  Account account_ = NewAccount();
  std::string car_;
  std::map<std::string, std::vector<std::string>> before_;
};

INSTANTIATE_TEST_SUITE_P(Databases, ArchiveFaultTest, testing::Values("sqlite"),
                         [](const auto& chosen) { return chosen.param; });

TEST_P(ArchiveFaultTest, Truncated) {
  for (size_t size = 0; size < car_.size(); size += 1 + size % 97) {
    const std::string verdict = Feed(account_, std::string_view(car_).substr(0, size));
    EXPECT_TRUE(verdict == "car_truncated" || verdict == "car_missing_block" || verdict == "mst_partial") << size << verdict;
  }
}

TEST_P(ArchiveFaultTest, FlippedBytes) {
  std::map<std::string, size_t> verdicts;
  for (size_t at = 0; at < car_.size(); at += 13) {
    std::string spoilt = car_;
    spoilt[at] = static_cast<char>(spoilt[at] ^ (1 << at % 8));
    const std::string verdict = Feed(account_, spoilt);
    EXPECT_TRUE(RejectFromName(verdict).has_value()) << at << " " << verdict;
    ++verdicts[verdict];
  }
  EXPECT_GT(verdicts["car_block_cid_mismatch"], 100u);
}

TEST_P(ArchiveFaultTest, MissingBlocks) {
  const test::ExportOrder order(car_);
  std::set<std::string> verdicts;
  for (size_t i = 0; i < order.All().size(); ++i) {
    std::vector<cbor::CidView> less = order.All();
    less.erase(less.begin() + static_cast<ptrdiff_t>(i));
    verdicts.insert(Feed(account_, order.Write(less)));
  }
  EXPECT_THAT(verdicts, ElementsAre("car_missing_block", "mst_partial"));
}

TEST_P(ArchiveFaultTest, OfSomebodyElse) {
  const Account other = NewAccount(2);
  const crypto::PublicKey other_key = test::KeyOf(other);
  EXPECT_EQ(Feed(account_, car_, {.key = &other_key}), "signature_mismatch");
  EXPECT_EQ(Feed(account_, car_, {.did = other.did()}), "commit_did_mismatch");
  EXPECT_EQ(Feed(account_, car_, {.now_us = kNow - builder::kDay}), "commit_future_rev");
  EXPECT_EQ(Feed(account_, car_, {.did = "did:example:nobody"}), "unsupported_did_method");
  EXPECT_EQ(Feed(account_, car_, {.did = "nobody"}), "syntax_did");
  EXPECT_FALSE(import_->Feed(AsBytes(car_)).ok()) << "nothing was begun";
  EXPECT_FALSE(import_->EndOfArchive().ok());
}

TEST_P(ArchiveFaultTest, TooLarge) {
  ArchiveOptions options;
  options.max_bytes = car_.size() - 1;
  Use(indexer::Filter::Everything(), options);
  EXPECT_EQ(Feed(account_, car_), "car_too_large");
  options.max_bytes = 4 << 20;
  options.max_blocks = 10;
  Use(indexer::Filter::Everything(), options);
  EXPECT_EQ(Feed(account_, car_), "car_too_many_blocks");
}

// A small archive whose records are many: the same large block under all keys.
TEST_P(ArchiveFaultTest, LargerThanItLooks) {
  const Item large = Record(kPost, std::string(100'000, 'x'));
  std::vector<Write> writes;
  for (size_t i = 0; i < 100; ++i) writes.push_back(Write::Create(Path(kLike, Key(i)), large));
  account_.Commit(writes, kNow);
  ArchiveOptions options;
  options.max_bytes = 5'000'000;
  Use(indexer::Filter::Everything(), options);
  const std::string car = *account_.Export();
  EXPECT_LT(car.size(), 500'000u);
  EXPECT_EQ(Feed(account_, car), "car_too_large");
  EXPECT_THAT(std::string(Message(status_)), HasSubstr("its records"));
}

TEST_P(ArchiveFaultTest, NoRoomForFiles) {
  ArchiveOptions options;
  options.memory_bytes = 0;
  Use(indexer::Filter::Everything(), options);
  Account account = NewAccount(3);
  Fill(&account, 200, std::string(5'000, 'x'));  // more than what stays in memory of the blocks
  const std::string car = *account.Export();
  const auto before = std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  for (const rlim_t most : {rlim_t{0}, rlim_t{100'000}, rlim_t{700'000}}) {
    const rlimit small{most, limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const std::string verdict = Feed(account, car);
    setrlimit(RLIMIT_FSIZE, &limit);
    EXPECT_EQ(status_.code(), absl::StatusCode::kUnavailable) << most << " " << verdict;
    EXPECT_THAT(verdict, HasSubstr("temporary file"));
  }
  std::signal(SIGXFSZ, before);
  EXPECT_EQ(Feed(account, car), "ok") << "with room it goes on";
  EXPECT_NE(Feed(account, car.substr(0, 100)), "ok");
  options.folder = "/nonexistent";
  EXPECT_EQ(ArchiveImport::Create(options, filter_.get(), &counters_).status().code(), absl::StatusCode::kUnavailable);
}

TEST_P(ArchiveFaultTest, StaleAndCurrentEndAtTheCommit) {
  const std::string rev = account_.rev();
  EXPECT_EQ(Feed(account_, car_, {.have_rev = rev, .current_is_enough = true}), "already_current");
  EXPECT_EQ(status_.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(import_->rev(), "");
  // The first bytes are enough to know.
  ArchiveImport::Subject subject{.did = did_, .key = &*key_, .now_us = kNow, .have_rev = "3zzzzzzzzzzz2"};
  ASSERT_TRUE(import_->Begin(subject).ok());
  const absl::Status stale = import_->Feed(AsBytes(car_).first(400));
  EXPECT_EQ(stale, FailedPreconditionError("stale_export"));
  EXPECT_EQ(import_->Feed(AsBytes(car_).subspan(400)), stale);
  EXPECT_EQ(import_->EndOfArchive(), stale);
  EXPECT_EQ(import_->EndOfArchive(), stale);
  // Whose key is wrong is told that, and not what we have.
  const crypto::PublicKey other = test::KeyOf(NewAccount(2));
  EXPECT_EQ(Feed(account_, car_, {.key = &other, .have_rev = "3zzzzzzzzzzz2"}), "signature_mismatch");
}

TEST_P(ArchiveImportTest, TheSameRevIsComparedUnlessThatIsEnough) {
  Account account = NewAccount();
  Fill(&account, 10);
  EXPECT_EQ(Import(account, {.have_rev = account.rev()}).created, 10u);
}

// ---- Others' repositories

// What com.atproto.sync.getRepo of the reference PDS gave, with the key that was current.
TEST_P(ArchiveImportTest, CapturedRepositories) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  namespace json = boost::json;
  const auto text = [](const json::value& value) { return std::string(value.as_string()); };
  std::map<std::string, std::string> keys;  // the newest
  for (const std::string& line : test::ReadFileLines(*folder / "pds-small.dids.ndjson")) {
    if (line.empty()) continue;
    const json::object version = json::parse(line).as_object();
    keys[text(version.at("did"))] = text(version.at("did_key"));
  }
  uint64_t repositories = 0, records = 0;
  const json::value counts = json::parse(test::ReadFileText(*folder / "pds-small.counts.json"));
  for (const json::value& info : counts.at("cars").as_array()) {
    const std::string did = text(info.at("did"));
    SCOPED_TRACE(did);
    const crypto::PublicKey key = *crypto::PublicKey::FromDidKey(keys.at(did));
    const std::vector<uint8_t> car = test::ReadFileBytes(*folder / text(info.at("file")));
    ArchiveImport::Subject subject{.did = did, .key = &key, .is_new = true};
    subject.now_us = repo::Tid::Parse(text(info.at("rev")))->micros();
    ASSERT_TRUE(import_->Begin(subject).ok());
    ASSERT_TRUE(import_->Feed(car).ok());
    ASSERT_TRUE(import_->EndOfArchive().ok());
    test::StorePort port(store_.get());
    ASSERT_TRUE(import_->Apply(&port, nullptr).ok());
    const auto expected = static_cast<uint64_t>(info.at("records").as_int64());
    EXPECT_EQ(import_->result().created, expected);
    EXPECT_EQ(import_->result().bytes, car.size());
    EXPECT_EQ(Value("SELECT count(*) FROM record WHERE did = '" + did + "' AND verification = 'export' AND rev = '" +
                    text(info.at("rev")) + "'"),
              std::to_string(expected));
    ++repositories;
    records += expected;
  }
  EXPECT_GT(repositories, 5u);
  std::printf("%llu repositories, %llu records\n", static_cast<unsigned long long>(repositories),
              static_cast<unsigned long long>(records));
}

// ---- Random histories

TEST_P(ArchiveImportTest, RandomHistoriesEndAsAFreshIndex) {
  StoreOptions fresh_options = Options("fresh");
  fresh_options.url = NewDatabase();
  const std::unique_ptr<Store> fresh = NewStore(fresh_options);
  ASSERT_TRUE(fresh->Open().ok());
  const size_t histories = postgres() ? 200 : 1000;
  const std::vector<std::string> collections = {"app.b.c", "app.b.c-d", "app.b.c.d", "app.b.d"};
  const std::vector<std::vector<std::string>> filters = {{"*"}, {"app.b.c.*"}, {"app.b.c", "app.b.d"}, {"*", "-app.b.c"}};
  uint64_t differences = 0, large = 0;
  for (size_t seed = 1; seed <= histories; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    const auto below = [&random](size_t n) { return static_cast<size_t>(random() % n); };
    ArchiveOptions options;
    options.rows_at_once = 1 + below(60);
    options.chunk_rows = 1 + below(20);
    options.memory_bytes = below(3) * 1000;
    Use(FilterOf(filters[below(filters.size())]), options);
    Account account = NewAccount(seed);
    account.Commit({}, kNow);
    std::set<std::string> there;
    const size_t commits = below(12);
    for (size_t c = 0; c < commits; ++c) {
      std::map<std::string, Write> writes;
      for (size_t w = 1 + below(15); w > 0; --w) {
        const std::string& collection = collections[below(collections.size())];
        const std::string path = Path(collection, Key(below(20)));
        if (writes.contains(path)) continue;
        const Item record = below(20) == 0 ? Item::Map({{"text", c}})
                                           : Record(collection, std::to_string(c) + "/" + std::to_string(below(3)));
        if (!there.contains(path)) {
          writes.emplace(path, Write::Create(path, record));
          there.insert(path);
        } else if (below(2) == 0) {
          writes.emplace(path, Write::Delete(path));
          there.erase(path);
        } else {
          writes.emplace(path, Write::Update(path, record));
        }
      }
      std::vector<Write> list;
      for (auto& [path, write] : writes) list.push_back(write);
      account.Commit(list, kNow);
      // Some commits are missed, some are proven less well.
      const Verification levels[] = {Verification::kCid, Verification::kSignature, Verification::kCommit, Verification::kFull,
                                     Verification::kExport};
      if (below(3) != 0) Live(account, list, levels[below(5)]);
      if (below(6) == 0) Import(account);
    }
    // A newer commit than all that was seen, so that what a missed one left is older than the export.
    account.Commit({}, kNow);
    const std::vector<std::string> live = Contents(store_.get(), account);
    const ArchiveImport::Result result = Import(account, {.is_new = live.empty() && commits == 0});
    differences += result.created + result.updated + result.deleted;
    large += result.large;
    EXPECT_EQ(result.created + result.updated + result.unchanged, result.wanted);
    ImportInto(fresh.get(), account, {.is_new = true});
    ASSERT_EQ(Contents(store_.get(), account), Contents(fresh.get(), account));
    EXPECT_EQ(
        Value("SELECT count(*) FROM record WHERE verification NOT IN ('full', 'export') AND did = '" + account.did() + "'"),
        "0");
    const ArchiveImport::Result again = Import(account);
    EXPECT_EQ(again.created + again.updated + again.deleted, 0u);
    if (HasFailure()) break;
  }
  EXPECT_GT(differences, histories * 5);
  EXPECT_GT(large, histories / 20);
}

}  // namespace
}  // namespace penstock::backfill
