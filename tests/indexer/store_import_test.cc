// Whole repositories in the store: what a change set with an import or a purge does to rows, chain state,
// tasks and coverage, and what an import compares itself with.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/status.h"
#include "indexer/backfill_sql.h"
#include "indexer/readers.h"
#include "indexer/schema.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using sync::RunKind;
using sync::SyncState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr int64_t kSecond = 1'000'000;
constexpr std::string_view kRecords =
    "SELECT did, rkey, rev, verification, deleted, seq, source FROM record ORDER BY did, rkey";
constexpr std::string_view kRepos =
    "SELECT did, sync_state, rev, commit_cid, baseline_rev, reason FROM repo ORDER BY did";
constexpr std::string_view kTaskStates = "SELECT run, did, state, rev FROM backfill_task ORDER BY run, did";

std::string RepoLine(std::string_view did, std::string_view state, int head, int baseline,
                     std::string_view reason = "-") {
  std::string line(did);
  line.append("|").append(state).append("|").append(head == 0 ? "-|-" : Rev(head) + "|" + CommitCid(head));
  line.append("|").append(baseline == 0 ? "-" : Rev(baseline));
  return line.append("|").append(reason);
}

class StoreImportTest : public StoreTest {
 protected:
  // Makes a task in a run of its own.
  int64_t Queue(std::string_view subject, std::initializer_list<std::string_view> dids) {
    return QueueIn(url_, subject, dids, clock_.NowMicros());
  }
  int64_t QueueIn(const std::string& url, std::string_view subject,
                  std::initializer_list<std::string_view> dids, int64_t now_us) {
    StoreOptions options = Options();
    options.url = url;
    const auto queue = *indexer::MakeBackfillStore(options);
    const int64_t run = queue->OpenRun(RunKind::kFilter, subject, now_us, nullptr).value_or(0);
    std::vector<sync::TaskSeed> seeds;
    for (std::string_view did : dids) seeds.push_back({std::string(did), "", ""});
    const absl::Status saved =
        queue->SavePage({.run = run, .host = "h", .method = "listRepos"}, seeds, {}, now_us);
    EXPECT_TRUE(saved.ok()) << saved;
    return run;
  }
  void RefuseBad(const std::string& table, const std::string& column) {
    RunSql(url_, postgres() ? "ALTER TABLE " + table + " ADD CHECK (" + column + " <> 'bad')"
                            : "CREATE TRIGGER bad_" + table + " BEFORE INSERT ON " + table + " WHEN NEW." +
                                  column + " = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END");
  }
  int64_t Now() const { return clock_.NowMicros(); }
};
INSTANTIATE_TEST_SUITE_P(Store, StoreImportTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

// ---- Imports

TEST_P(StoreImportTest, AnImportProvesTheRowsOfAnAnchorAndAgainChangesNothing) {
  Apply(
      List{make_.Chain(make_.Commit(kAlice, 5, {Create("a", "{}"), Create("b", "{}")}, Verification::kCommit),
                       SyncState::kPartial, 5)});
  const int64_t run = Queue("a.*", {kAlice});
  const auto import =
      List{make_.Import(kAlice, 5, {Create("a", "{}"), Delete("b"), Create("c", "{}")}, Now(), {"a.*"})};
  const ApplyResult first = Apply(import);
  EXPECT_EQ(first.rows_written, 3u);
  EXPECT_THAT(Rows(kRecords), ElementsAre(std::string(kAlice) + "|a|" + Rev(5) + "|export|0|-|pds.example",
                                          std::string(kAlice) + "|b|" + Rev(5) + "|export|1|-|pds.example",
                                          std::string(kAlice) + "|c|" + Rev(5) + "|export|0|-|pds.example"));
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "synchronized", 5, 5)));
  EXPECT_THAT(Rows(kTaskStates),
              ElementsAre(std::to_string(run) + "|" + std::string(kAlice) + "|done|" + Rev(5)));
  const auto before = Contents(*store_);
  const auto indexed = Rows("SELECT indexed_at FROM record"), updated = Rows("SELECT updated_at FROM repo"),
             covered = Rows("SELECT covered_at FROM coverage"),
             ended = Rows("SELECT ended_at FROM backfill_task");
  clock_.Advance(kSecond);
  const ApplyResult second = Apply(import);
  EXPECT_EQ(second.rows_written, 0u);
  EXPECT_EQ(second.rows_stale, 3u);
  EXPECT_EQ(Contents(*store_), before);
  EXPECT_EQ(Rows("SELECT indexed_at FROM record"), indexed);
  EXPECT_EQ(Rows("SELECT updated_at FROM repo"), updated);
  EXPECT_EQ(Rows("SELECT covered_at FROM coverage"), covered);
  EXPECT_EQ(Rows("SELECT ended_at FROM backfill_task"), ended);
  // Nor does the anchor's event, should it come again.
  Apply(List{make_.Commit(kAlice, 5, {Create("a", "{}")}, Verification::kCommit)});
  EXPECT_EQ(Contents(*store_), before);
}

TEST_P(StoreImportTest, ALiveRowThatIsNewerStays) {
  Apply(List{make_.Commit(kAlice, 9, {Create("a", R"({"new":1})")})});
  const ApplyResult result =
      Apply(List{make_.Import(kAlice, 5, {Create("a", "{}"), Create("b", "{}")}, Now(), {"a.*"})});
  EXPECT_EQ(result.rows_stale, 1u);
  EXPECT_THAT(Rows("SELECT rkey, rev, verification FROM record ORDER BY rkey"),
              ElementsAre("a|" + Rev(9) + "|full", "b|" + Rev(5) + "|export"));
}

TEST_P(StoreImportTest, ABaselineStaysUntilThereIsAnother) {
  Apply(List{make_.Import(kAlice, 5, {}, Now())});
  Apply(List{make_.Chain(make_.Commit(kAlice, 6, {}), SyncState::kSynchronized, 6)});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "synchronized", 6, 5)));
  Apply(List{make_.Import(kAlice, 7, {}, Now()),
             make_.Chain(make_.Commit(kAlice, 8, {}), SyncState::kDesynchronized, 0, "x")});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "desynchronized", 7, 7, "x")));
}

TEST_P(StoreImportTest, CoverageOnlyGoesForward) {
  Apply(List{make_.Import(kAlice, 5, {}, Now(), {"a.*", "b.*"})});
  Apply(List{make_.Import(kAlice, 4, {}, Now(), {"a.*"}), make_.Import(kAlice, 7, {}, Now(), {"b.*"})});
  EXPECT_THAT(Rows("SELECT rule, rev FROM coverage ORDER BY rule"),
              ElementsAre("a.*|" + Rev(5), "b.*|" + Rev(7)));
}

TEST_P(StoreImportTest, TwoImportsOfAnAccountInABatchEndTasksInTheirOrder) {
  const int64_t first = Queue("a.*", {kAlice});
  const int64_t began = Now();
  clock_.Advance(kSecond);
  const int64_t second = Queue("b.*", {kAlice});
  Apply(List{make_.Import(kAlice, 5, {Create("a", "{}")}, began, {"a.*"}),
             make_.Import(kAlice, 6, {Create("a", "{}")}, Now(), {"a.*", "b.*"})});
  const std::string alice = "|" + std::string(kAlice) + "|done|";
  EXPECT_THAT(Rows(kTaskStates),
              ElementsAre(std::to_string(first) + alice + Rev(5), std::to_string(second) + alice + Rev(6)));
  EXPECT_THAT(Rows("SELECT rule, rev FROM coverage ORDER BY rule"),
              ElementsAre("a.*|" + Rev(6), "b.*|" + Rev(6)));
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "synchronized", 6, 6)));
}

TEST_P(StoreImportTest, WhatNeedsNothingIsDoneWithoutRows) {
  Queue("a.*", {kAlice});
  auto current = make_.Import(kAlice, 5, {}, Now(), {"a.*"});
  current->import->cause = "already_current";
  current->repo.reset();
  Apply(List{std::move(current)});
  EXPECT_EQ(Value("SELECT state, cause FROM backfill_task"), "done|already_current");
  EXPECT_EQ(Value("SELECT count(*) FROM coverage"), "1");
  EXPECT_EQ(Value("SELECT count(*) FROM repo"), "0");
}

// ---- Purges

TEST_P(StoreImportTest, APurgeRemovesRowsPieceByPieceWithoutATrace) {
  std::vector<TestRow> rows;
  for (const char* rkey : {"a", "b", "c", "d", "e"}) rows.push_back(Create(rkey, "{}", {"at://x"}));
  rows.push_back(Delete("f"));
  Apply(List{make_.Proven(make_.Import(kAlice, 5, rows, Now(), {"a.*"})),
             make_.Proven(make_.Import(kBob, 5, {Create("a", "{}", {"at://x"})}, Now(), {"a.*"}))});
  Apply(List{make_.Purge(kAlice, 4)});
  const std::string of_alice = " WHERE did = '" + std::string(kAlice) + "'";
  EXPECT_THAT(Rows("SELECT rkey FROM record" + of_alice + " ORDER BY rkey"), ElementsAre("e", "f"));
  EXPECT_THAT(Rows("SELECT rkey FROM record_ref" + of_alice), ElementsAre("e"));
  EXPECT_THAT(Rows("SELECT rkey FROM record_proof" + of_alice), ElementsAre("e"));
  EXPECT_THAT(Rows("SELECT did FROM coverage"), ElementsAre(kBob));
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "desynchronized", 0, 0, "purged"),
                                        RepoLine(kBob, "synchronized", 5, 5)));
  const std::string updated = Value("SELECT updated_at FROM repo" + of_alice);
  clock_.Advance(kSecond);
  Apply(List{make_.Purge(kAlice, 4)});
  Apply(List{make_.Purge(kAlice, 4)});
  EXPECT_EQ(Value("SELECT count(*) FROM record" + of_alice), "0");
  EXPECT_EQ(Value("SELECT updated_at FROM repo" + of_alice), updated);
  for (const char* table : {"record", "record_ref", "record_proof", "coverage"}) {
    EXPECT_THAT(Rows("SELECT did FROM " + std::string(table)), ElementsAre(kBob)) << table;
  }
}

TEST_P(StoreImportTest, ABatchWithImportsAndPurgesActsAsItsChangesOneByOne) {
  const auto queue = [&](const std::string& url) {
    QueueIn(url, "a.*", {kAlice, kBob, kCarol}, Now() - 1);
    QueueIn(url, "b.*", {kAlice, kBob}, Now() + 1);
  };
  queue(url_);
  const auto changes = List{
      make_.Chain(
          make_.Commit(kAlice, 2, {Create("a", "{}", {"at://1"}), Create("b", "{}")}, Verification::kCommit),
          SyncState::kPartial, 2),
      make_.Proven(
          make_.Import(kAlice, 2, {Create("a", "{}", {"at://2"}), Create("c", "{}")}, Now(), {"a.*"})),
      make_.Commit(kBob, 1, {Create("a", "{}")}),
      make_.Purge(kAlice, 2),
      make_.Import(kAlice, 3, {Create("a", "{}", {"at://3"})}, Now() + 2, {"b.*"}),
      make_.Chain(make_.Commit(kAlice, 4, {Update("a", "{}")}), SyncState::kSynchronized, 4),
      make_.Import(kBob, 2, {Create("b", "{}")}, Now(), {"a.*"}),
      make_.Import(kBob, 3, {Create("b", "{}")}, Now() + 1, {"a.*"}),
      make_.Account(kCarol, false, "deleted"),
      make_.Purge(kCarol, 10),
      make_.Purge(kBob, 1),
      make_.Commit(kBob, 4, {Create("d", "{}")}),
  };
  Apply(changes);
  const auto together = Contents(*store_);
  EXPECT_THAT(Rows(kRecords), Not(IsEmpty()));

  url_ = NewDatabase();
  const std::unique_ptr<Store> second = OpenStore();
  queue(url_);
  for (const ChangeSetPtr& change : changes) {
    ApplyResult ignored;
    ASSERT_TRUE(second->Apply({std::span(&change, 1), {}}, &ignored).ok());
  }
  EXPECT_EQ(Contents(*second), together);
}

// ---- Refusals

TEST_P(StoreImportTest, AnImportWithARefusedRowIsComplete) {
  RefuseBad("record", "rkey");
  Queue("a.*", {kAlice, kBob});
  auto import =
      make_.Import(kAlice, 5, {Create("a", "{}"), Create("bad", "{}"), Create("c", "{}")}, Now(), {"a.*"});
  import->letter_source = "getRepo:https://pds.example did:plc:alice";
  import->letter_seq = 5;
  const auto changes = List{make_.Purge(kAlice, 3), std::move(import),
                            make_.Import(kBob, 2, {Create("b", "{}")}, Now(), {"a.*"})};
  const ApplyResult result = Apply(changes, {{std::string(kRelay), 7}});
  EXPECT_EQ(result.rows_refused, 1u);
  EXPECT_EQ(result.rows_written, 3u);
  EXPECT_THAT(Rows("SELECT rkey FROM record ORDER BY rkey"), ElementsAre("a", "b", "c"));
  EXPECT_THAT(Rows("SELECT source, seq, op, did, rkey, reject FROM dead_letter"),
              ElementsAre("getRepo:https://pds.example did:plc:alice|5|1|" + std::string(kAlice) +
                          "|bad|store_refused"));
  EXPECT_THAT(Rows("SELECT did, state FROM backfill_task ORDER BY did"),
              ElementsAre(std::string(kAlice) + "|done", std::string(kBob) + "|done"));
  EXPECT_THAT(Rows("SELECT did FROM coverage ORDER BY did"), ElementsAre(kAlice, kBob));
  EXPECT_THAT(Rows(kRepos),
              ElementsAre(RepoLine(kAlice, "synchronized", 5, 5), RepoLine(kBob, "synchronized", 2, 2)));
}

TEST_P(StoreImportTest, WhatIsRefusedOfAnImportIsALetterAndTheRowsStay) {
  RefuseBad("coverage", "rule");
  RefuseBad("repo", "reason");
  auto import = make_.Import(kAlice, 5, {Create("a", "{}")}, Now(), {"bad"});
  auto other = make_.Import(kBob, 5, {Create("a", "{}")}, Now(), {"a.*"});
  other->repo->reason = "bad";
  const ApplyResult result = Apply(List{std::move(import), std::move(other)});
  EXPECT_EQ(result.rows_written, 2u);
  EXPECT_EQ(result.rows_refused, 2u);
  EXPECT_THAT(Rows("SELECT did, rule FROM coverage"), ElementsAre(std::string(kBob) + "|a.*"));
  EXPECT_EQ(Value("SELECT sync_state, rev FROM repo WHERE did = '" + std::string(kAlice) + "'"),
            "synchronized|" + Rev(5));
  EXPECT_THAT(Value("SELECT detail FROM dead_letter"), HasSubstr("chain state"));
}

TEST_P(StoreImportTest, ARefusedPurgeCostsNothingElse) {
  Apply(List{make_.Import(kAlice, 5, {Create("a", "{}")}, Now())});
  RunSql(
      url_,
      postgres()
          ? "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'; "
            "CREATE TRIGGER no BEFORE DELETE ON record FOR EACH ROW EXECUTE FUNCTION no()"
          : "CREATE TRIGGER no BEFORE DELETE ON record BEGIN SELECT RAISE(ABORT, 'no'); END");
  const ApplyResult result = Apply(List{make_.Purge(kAlice, 5), make_.Commit(kBob, 1, {Create("b", "{}")})});
  EXPECT_EQ(result.rows_refused, 1u);
  EXPECT_EQ(result.rows_written, 1u);
  EXPECT_THAT(Value("SELECT detail FROM dead_letter"), HasSubstr("removal"));
  EXPECT_EQ(Value("SELECT sync_state FROM repo WHERE did = '" + std::string(kAlice) + "'"), "desynchronized");
}

// ---- Starting

TEST_P(StoreImportTest, WhatWasInProgressWhenWeEndedIsDesynchronized) {
  Apply(List{make_.Chain(make_.Commit(kAlice, 3, {}), SyncState::kInProgress, 3),
             make_.Chain(make_.Commit(kBob, 3, {}), SyncState::kPartial, 3)});
  clock_.Advance(kSecond);
  store_->Close();
  store_ = OpenStore();
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "desynchronized", 3, 0, "resync_interrupted"),
                                        RepoLine(kBob, "partial", 3, 0)));
  EXPECT_THAT(Rows("SELECT updated_at FROM repo ORDER BY did"),
              ElementsAre(std::to_string(Now()), std::to_string(Now() - kSecond)));
}

TEST_P(StoreImportTest, AStoreOfTheSecondVersionIsTakenOver) {
  store_->Close();
  url_ = NewDatabase();
  if (url_.starts_with("sqlite:")) std::ofstream(url_.substr(7)).flush();
  using indexer::Dialect;
  const Dialect dialect = postgres() ? Dialect::kPostgres : Dialect::kSqlite;
  RunSql(url_, indexer::CreateMigrationTableSql(dialect));
  for (int i = 0; i < 2; ++i) {
    for (const std::string& sql : indexer::RenderMigration(indexer::Migrations()[i], dialect))
      RunSql(url_, sql);
  }
  RunSql(url_,
         "INSERT INTO schema_migration (version, name, applied_at) VALUES (1, 'base tables', 5), (2, "
         "'verification', 5);"
         "INSERT INTO record (did, collection, rkey, rev, source, op, deleted, verification, validation, "
         "value_lossy, indexed_at) VALUES ('did:plc:gone', 'a.b.c', 'x', '3k', 's', 'create', FALSE, 'full', "
         "'ok', "
         "FALSE, 1);"
         "INSERT INTO repo (did, sync_state, active, status, updated_at) VALUES "
         "('did:plc:gone', 'synchronized', FALSE, 'deleted', 1), ('did:plc:part', 'partial', TRUE, NULL, 1);"
         "INSERT INTO gap (source, shard, opened_seq, reason, opened_at) VALUES ('s', '0/1', 7, "
         "'outdated_cursor', 9)");
  store_ = OpenStore();
  EXPECT_THAT(Rows("SELECT version, name FROM schema_migration ORDER BY version"),
              ElementsAre("1|base tables", "2|verification", "3|backfill"));
  EXPECT_THAT(Rows("SELECT did, status_at FROM repo ORDER BY did"),
              ElementsAre("did:plc:gone|-", "did:plc:part|-"));
  const auto queue = NewQueue();
  EXPECT_EQ(*queue->QueueUnsettled({}, Now(), 10), 1u);
  // Nobody knows since when; it is not before the row was written last.
  std::vector<std::string> dids;
  ASSERT_TRUE(queue->LoadToPurge(2, 10, &dids).ok());
  EXPECT_THAT(dids, ElementsAre("did:plc:gone"));
  std::vector<sync::OpenGap> gaps;
  ASSERT_TRUE(queue->LoadOpenGaps(&gaps).ok());
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0].Text(), "s 0/1 7 outdated_cursor 9");
  Apply(List{make_.Import("did:plc:part", 1, {Create("a", "{}")}, Now(), {"a.*"})});
  EXPECT_EQ(Value("SELECT state FROM backfill_task"), "done");
}

// ---- What an import compares with

class AccountScanTest : public StoreImportTest {
 protected:
  std::unique_ptr<indexer::AccountScan> Scan() { return *indexer::MakeAccountScan(Options()); }
  static std::vector<std::string> ReadAll(indexer::AccountScan& scan, std::string_view did,
                                          std::string_view collection, std::string after, size_t page) {
    std::vector<std::string> lines;
    for (;;) {
      const absl::StatusOr<size_t> count =
          scan.Read(did, collection, after, page, [&](const indexer::RecordDigest& digest) {
            after = digest.rkey;
            lines.push_back(std::string(digest.rkey) + " " + std::string(digest.cid) + " " +
                            std::string(digest.rev) + " " +
                            std::string(VerificationName(digest.verification)) +
                            (digest.deleted ? " deleted" : ""));
          });
      EXPECT_TRUE(count.ok()) << count.status();
      if (count.value_or(0) < page) return lines;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Store, AccountScanTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(AccountScanTest, CollectionsAreThoseWithRowsInTheOrderOfTheirBytes) {
  const auto row = [](std::string collection, std::string rkey, bool is_delete = false) {
    TestRow made = is_delete ? Delete(std::move(rkey)) : Create(std::move(rkey), "{}");
    made.collection = std::move(collection);
    return made;
  };
  std::vector<TestRow> rows = {row("b.c", "1"),   row("b.c.d", "1"),        row("B.c", "1"),
                               row("b.c-d", "1"), row("a.gone", "1", true), row("c.some", "1", true),
                               row("c.some", "2")};
  for (int i = 0; i < 3000; ++i) rows.push_back(row("b.many", std::to_string(i)));
  Apply(List{make_.Commit(kAlice, 1, rows), make_.Commit(kBob, 1, {row("other", "1")})});
  const auto scan = Scan();
  std::vector<std::string> collections = {"what was there before"};
  ASSERT_TRUE(scan->LoadCollections(kAlice, &collections).ok());
  EXPECT_THAT(collections, ElementsAre("B.c", "a.gone", "b.c", "b.c-d", "b.c.d", "b.many", "c.some"));
  ASSERT_TRUE(scan->LoadCollections(kCarol, &collections).ok());
  EXPECT_THAT(collections, IsEmpty());
}

TEST_P(AccountScanTest, RowsComeInTheOrderOfTheirKeysTombstonesToo) {
  Apply(List{make_.Commit(kAlice, 1, {Create("b", "{}"), Create("B", "{}"), Create("-", "{}")},
                          Verification::kCommit),
             make_.Commit(kAlice, 2, {Create("c", "{}"), Delete("a")}),
             make_.Commit(kBob, 1, {Create("x", "{}")})});
  const auto scan = Scan();
  for (const size_t page : {1, 2, 100}) {
    EXPECT_THAT(ReadAll(*scan, kAlice, kPost, "", page),
                ElementsAre("- bafy-1 " + Rev(1) + " commit", "B bafyB1 " + Rev(1) + " commit",
                            "a  " + Rev(2) + " full deleted", "b bafyb1 " + Rev(1) + " commit",
                            "c bafyc2 " + Rev(2) + " full"));
  }
  EXPECT_THAT(ReadAll(*scan, kAlice, kPost, "a", 100),
              ElementsAre("b bafyb1 " + Rev(1) + " commit", "c bafyc2 " + Rev(2) + " full"));
  EXPECT_THAT(ReadAll(*scan, kAlice, "space.atbb", "", 100), IsEmpty());
  EXPECT_THAT(ReadAll(*scan, kCarol, kPost, "", 100), IsEmpty());
}

TEST_P(AccountScanTest, WhatWeNeverWriteIsDataLoss) {
  Apply(List{make_.Commit(kAlice, 1, {Create("b", "{}")})});
  RunSql(url_, "UPDATE record SET verification = 'hearsay'");
  const auto read = Scan()->Read(kAlice, kPost, "", 10, [](const indexer::RecordDigest&) {});
  EXPECT_EQ(read.status().code(), absl::StatusCode::kDataLoss);
}

// ---- Plans

class QueuePlanTest : public StoreImportTest {};
INSTANTIATE_TEST_SUITE_P(Store, QueuePlanTest, testing::Values("sqlite"),
                         [](const auto& param) { return param.param; });

// A million tasks, accounts or records must not be looked through for the few that matter. (`backfill_run`
// and `gap` are short.)
TEST_P(QueuePlanTest, NoStatementOfTheQueueScansALongTable) {
  for (size_t i = 0; i < static_cast<size_t>(indexer::QueueSql::kCount); ++i) {
    const std::string sql =
        indexer::RenderQueueSql(static_cast<indexer::QueueSql>(i), indexer::Dialect::kSqlite);
    for (const auto& row : RunSql(url_, "EXPLAIN QUERY PLAN " + sql).rows) {
      const std::string step = row[3].value_or("");
      // Of what is running there is little.
      if (step == "SCAN backfill_task USING INDEX backfill_task_running") continue;
      for (const char* table : {"backfill_task", "backfill_listing", "coverage", "repo", "record"}) {
        EXPECT_THAT(step + " ", Not(HasSubstr("SCAN " + std::string(table) + " "))) << sql;
        // By its run alone it would be all of the run's tasks.
        EXPECT_NE(step, "SEARCH backfill_task USING INDEX sqlite_autoindex_backfill_task_1 (run=?)") << sql;
      }
    }
  }
}

}  // namespace
}  // namespace penstock::test
