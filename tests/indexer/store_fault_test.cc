// What happens to a store when the way to its database, the database or its own process goes away: nothing is
// lost, nothing is there twice, and only one writes.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/status.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/fault_proxy.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kTruncate[] =
    "TRUNCATE record, record_ref, record_proof, repo, repo_source, identity, held_event, stream_cursor, gap, "
    "quarantine, dead_letter, backfill_run, backfill_listing, backfill_task, coverage";

// Applies until it succeeds, as the writer does. Every failure must be one that a retry may cure.
void ApplyUntilDone(Store& store, const Batch& batch, int* failures = nullptr) {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    ApplyResult result;
    const absl::Status applied = store.Apply(batch, &result);
    if (applied.ok()) return;
    ASSERT_EQ(applied.code(), absl::StatusCode::kUnavailable) << applied;
    if (failures != nullptr) ++*failures;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  FAIL() << "never succeeded";
}

// A store behind a proxy.
class PostgresFaultTest : public StoreTest {
 protected:
  void SetUp() override {
    std::string why_not;
    cluster_ = PostgresCluster::Shared(&why_not);
    if (cluster_ == nullptr) GTEST_SKIP() << why_not;
    direct_url_ = cluster_->CreateDatabase();
    proxy_ = std::make_unique<FaultProxy>(cluster_->socket_path());
    url_ = PostgresCluster::Through(direct_url_, proxy_->port());
    store_ = OpenStore();
  }

  // Something of everything.
  std::vector<ChangeSetPtr> Changes() {
    std::vector<ChangeSetPtr> changes;
    for (int i = 0; i < 60; ++i) {
      const std::string key = std::to_string(i);
      changes.push_back(make_.Commit(
          kAlice, i + 1,
          {Create("a" + key, R"({"text":"some text"})", {"at://" + key}), Delete("gone" + key)}));
    }
    changes.push_back(make_.Commit(kBob, 1, {Create("b", "{}")}));
    changes.push_back(make_.Account(kBob, false, "takendown"));
    changes.push_back(make_.DeadLetter(kCarol, 0, Reject::kRecordFloat, "detail"));
    changes.push_back(
        make_.Chain(make_.Proven(make_.Commit(kCarol, 1, {})), sync::SyncState::kSynchronized, 1));
    for (int i = 1; i <= 5; ++i) changes.push_back(make_.Held(kCarol, i, 1000 + i, std::string(3000, 'x')));
    changes.push_back(make_.HeldDone(kCarol, 2));
    changes.push_back(make_.Identity(kCarol, "carol.example"));
    changes.push_back(make_.Purged(kBob));
    auto control = make_.Control();
    control->gaps.push_back({1, 2, "outdated_cursor", ""});
    control->quarantine.push_back({7, Reject::kFrameBadHeader, "", AsBytes("x"), "sha"});
    changes.push_back(std::move(control));
    return changes;
  }
  std::string Count(std::string_view table) {
    return RunSqlValue(direct_url_, "SELECT count(*) FROM " + std::string(table));
  }

  PostgresCluster* cluster_ = nullptr;
  std::string direct_url_;
  std::unique_ptr<FaultProxy> proxy_;
};
INSTANTIATE_TEST_SUITE_P(Store, PostgresFaultTest, testing::Values("postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(PostgresFaultTest, AConnectionCutAnywhereInABatchLeavesAllOrNothing) {
  const auto changes = Changes();
  const Batch batch = {changes, {{std::string(kRelay), 170}}};
  using enum FaultProxy::Direction;
  const uint64_t sent = proxy_->bytes(kToServer), received = proxy_->bytes(kToClient);
  ApplyUntilDone(*store_, batch);
  const uint64_t to_server = proxy_->bytes(kToServer) - sent, to_client = proxy_->bytes(kToClient) - received;
  const auto undisturbed = Contents(*store_);

  int cuts = 0, done_all_the_same = 0;
  for (const auto& [direction, bytes] : {std::pair(kToServer, to_server), std::pair(kToClient, to_client)}) {
    for (uint64_t step = 0; step < 30; ++step) {
      RunSql(direct_url_, kTruncate);
      ASSERT_TRUE(store_->Open().ok());
      const uint64_t at = bytes * step / 30;
      proxy_->CutAfter(direction, at);
      ApplyResult result;
      const absl::Status applied = store_->Apply(batch, &result);
      ASSERT_EQ(applied.code(), absl::StatusCode::kUnavailable) << "cut after " << at << ": " << applied;
      ++cuts;
      proxy_->CutAfter(direction, std::nullopt);
      // All of it or nothing of it, whatever we were told. (The server may still be at it: its locks make
      // this wait.)
      const std::string cursors =
          RunSqlValue(direct_url_, "LOCK TABLE record; SELECT count(*) FROM stream_cursor");
      EXPECT_EQ(Count("record"), cursors == "1" ? "121" : "0");
      done_all_the_same += cursors == "1";
      ApplyUntilDone(*store_, batch);
      EXPECT_EQ(Contents(*store_), undisturbed) << "cut after " << at;
    }
  }
  EXPECT_EQ(cuts, 60);
  EXPECT_EQ(counters_.Of("store_reconnect"), 60u);
  std::printf("%d cuts, %d of them after the commit had been made\n", cuts, done_all_the_same);
}

TEST_P(PostgresFaultTest, ARefusedRowAndACutTogetherStillEndAsUndisturbed) {
  RunSql(direct_url_, "ALTER TABLE record ADD CHECK (rkey <> 'a30')");
  const auto changes = Changes();
  const Batch batch = {changes, {{std::string(kRelay), 170}}};
  using enum FaultProxy::Direction;
  const uint64_t sent = proxy_->bytes(kToServer);
  ApplyUntilDone(*store_, batch);
  const uint64_t to_server = proxy_->bytes(kToServer) - sent;
  const auto undisturbed = Contents(*store_);
  EXPECT_EQ(undisturbed.at("dead_letter").size(), 2u);
  for (uint64_t step = 0; step < 15; ++step) {
    RunSql(direct_url_, kTruncate);
    ASSERT_TRUE(store_->Open().ok());
    proxy_->CutAfter(kToServer, to_server * step / 15);
    ApplyUntilDone(*store_, batch);
    EXPECT_EQ(Contents(*store_), undisturbed);
  }
}

TEST_P(PostgresFaultTest, AServerThatCrashesInMidBatchIsWaitedFor) {
  const auto changes = Changes();
  const Batch batch = {changes, {{std::string(kRelay), 170}}};
  ApplyUntilDone(*store_, batch);
  const auto undisturbed = Contents(*store_);
  // Each row takes 20 ms, so that the crash meets the batch at work.
  RunSql(direct_url_,
         std::string(kTruncate) +
             "; CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); "
             "RETURN NEW; END'"
             "; CREATE TRIGGER slow BEFORE INSERT ON record FOR EACH ROW EXECUTE FUNCTION slow()");
  ASSERT_TRUE(store_->Open().ok());
  std::thread crash([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    cluster_->Restart(PostgresCluster::StopMode::kImmediate);
    RunSql(direct_url_, "DROP TRIGGER slow ON record");
  });
  int failures = 0;
  ApplyUntilDone(*store_, batch, &failures);
  crash.join();
  EXPECT_GT(failures, 0);
  EXPECT_EQ(Contents(*store_), undisturbed);
}

TEST_P(PostgresFaultTest, AServerThatIsDownIsUnavailableUntilItIsBack) {
  const auto changes = Changes();
  const Batch batch = {changes, {{std::string(kRelay), 170}}};
  cluster_->Stop(PostgresCluster::StopMode::kFast);
  ApplyResult result;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(store_->Apply(batch, &result).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->LoadCursors().status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(store_->SetCursor(kRelay, 1).code(), absl::StatusCode::kUnavailable);
  const std::unique_ptr<Store> other = NewStore(Options("second"));
  EXPECT_EQ(other->Open().code(), absl::StatusCode::kUnavailable);
  cluster_->Resume();
  ApplyUntilDone(*store_, batch);
  EXPECT_EQ(Count("record"), "121");
}

TEST_P(PostgresFaultTest, AnAdministratorsTerminateIsSurvived) {
  RunSql(direct_url_,
         "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'penstock writer "
         "0/1'");
  int failures = 0;
  const auto changes = Changes();
  ApplyUntilDone(*store_, {changes, {}}, &failures);
  EXPECT_EQ(failures, 1);
  EXPECT_EQ(Count("record"), "121");
}

TEST_P(PostgresFaultTest, WhoLostItsConnectionAndTheLeaseNeverWritesAgain) {
  proxy_->Refuse(true);
  proxy_->CutAll();
  StoreOptions options = Options("second");
  options.url = direct_url_;
  options.lease_wait_us = 10'000'000;
  const std::unique_ptr<Store> second = NewStore(options);
  ASSERT_TRUE(second->Open().ok());
  EXPECT_EQ(second->epoch(), 2);
  const auto changes = Changes();
  ApplyResult result;
  EXPECT_EQ(store_->Apply({changes, {}}, &result).code(), absl::StatusCode::kUnavailable);
  proxy_->Refuse(false);
  // While the second one holds the lease, and after it has given it back.
  EXPECT_EQ(store_->Apply({changes, {}}, &result).code(), absl::StatusCode::kFailedPrecondition);
  second->Close();
  EXPECT_EQ(store_->Apply({changes, {}}, &result).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Count("record"), "0");
}

TEST_P(PostgresFaultTest, ASilentServerCountsAsGone) {
  store_->Close();
  StoreOptions options = Options();
  options.statement_timeout_us = 300'000;
  const std::unique_ptr<Store> store = NewStore(options);
  ASSERT_TRUE(store->Open().ok());
  proxy_->Stall(true);
  const auto begin = std::chrono::steady_clock::now();
  const auto changes = Changes();
  ApplyResult result;
  const absl::Status applied = store->Apply({changes, {}}, &result);
  EXPECT_EQ(applied.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Message(applied)), HasSubstr("no answer within 300 ms"));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  proxy_->Stall(false);
  ApplyUntilDone(*store, {changes, {}});
  EXPECT_EQ(Count("record"), "121");
}

TEST_P(PostgresFaultTest, AFormerSessionThatTheServerStillKeepsIsEnded) {
  // The server must be in the middle of our transaction, with its locks held, when the way to it goes silent.
  RunSql(direct_url_,
         "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.1); RETURN "
         "NEW; END'; "
         "CREATE TRIGGER slow BEFORE INSERT ON record FOR EACH ROW WHEN (NEW.rkey LIKE 'a%') EXECUTE "
         "FUNCTION slow()");
  store_->Close();
  StoreOptions options = Options();
  options.statement_timeout_us = 1'000'000;
  const std::unique_ptr<Store> store = NewStore(options);
  ASSERT_TRUE(store->Open().ok());
  const auto changes = Changes();
  std::thread freeze([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    proxy_->FreezeAll();
  });
  ApplyResult result;
  EXPECT_EQ(store->Apply({changes, {}}, &result).code(), absl::StatusCode::kUnavailable);
  freeze.join();
  EXPECT_EQ(
      RunSqlValue(direct_url_,
                  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock writer 0/1'"),
      "1");
  ASSERT_TRUE(store->SetCursor(kRelay, 5).ok());
  EXPECT_EQ(
      RunSqlValue(direct_url_,
                  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock writer 0/1'"),
      "1");
  EXPECT_EQ(Count("record"), "0");
  EXPECT_EQ(store->epoch(), 2);
}

TEST_P(PostgresFaultTest, ASlowWayIsOnlySlow) {
  proxy_->Delay(std::chrono::milliseconds(5));
  const auto changes = Changes();
  Apply(changes, {{std::string(kRelay), 170}});
  EXPECT_EQ(Count("record"), "121");
}

// ---- A process that is killed: both stores

class StoreCrashTest : public StoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, StoreCrashTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(StoreCrashTest, AProcessKilledAnywhereLeavesRowsAndCursorTogether) {
  store_->Close();
  int64_t position = 0;
  for (int kill = 0; kill < 12; ++kill) {
    const pid_t child = fork();
    if (child == 0) {
      // One commit a seq, ten a batch, until killed. _exit: nothing of the parent's is ours to clean up.
      StoreOptions options = Options("child");
      options.lease_wait_us = 20'000'000;
      auto store = *indexer::MakeStore(options);
      if (!store->Open().ok()) _exit(1);
      make_.seq = position;
      for (;;) {
        std::vector<ChangeSetPtr> changes;
        for (int i = 0; i < 10; ++i) {
          const std::string rkey = "r" + std::to_string(make_.seq);
          changes.push_back(
              make_.Commit(kAlice, static_cast<int>(make_.seq) + 1, {Create(rkey, "{}", {"at://x"})}));
        }
        ApplyResult result;
        if (!store->Apply({changes, {{std::string(kRelay), make_.seq}}}, &result).ok()) _exit(1);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(80 + 13 * kill));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";

    // The successor starts at once: the lease went with the process (with its connection, once the server has
    // seen that).
    StoreOptions options = Options("successor");
    options.lease_wait_us = 20'000'000;
    const std::unique_ptr<Store> store = NewStore(options);
    ASSERT_TRUE(store->Open().ok());
    const auto cursors = *store->LoadCursors();
    position = cursors.empty() ? 0 : cursors[0].position;
    EXPECT_THAT(
        RowsOf(*store, "SELECT count(*), count(DISTINCT rkey), coalesce(max(seq) + 1, 0) FROM record"),
        ElementsAre(std::to_string(position) + "|" + std::to_string(position) + "|" +
                    std::to_string(position)));
    EXPECT_THAT(RowsOf(*store, "SELECT count(*) FROM record_ref"), ElementsAre(std::to_string(position)));
  }
  EXPECT_GT(position, 0);
}

TEST_P(StoreCrashTest, AProcessKilledAnywhereLeavesHeldEventsChainAndCursorTogether) {
  store_->Close();
  int64_t position = 0;
  for (int kill = 0; kill < 8; ++kill) {
    const pid_t child = fork();
    if (child == 0) {
      StoreOptions options = Options("child");
      options.lease_wait_us = 20'000'000;
      auto store = *indexer::MakeStore(options);
      if (!store->Open().ok()) _exit(1);
      for (int64_t seq = position;;) {
        // Ten events are held, those of two batches before are done, and the chain says how far it is.
        std::vector<ChangeSetPtr> changes;
        for (int i = 0; i < 10; ++i, ++seq) {
          changes.push_back(make_.Chain(make_.Held(kAlice, seq + 1, seq), sync::SyncState::kDesynchronized,
                                        static_cast<int>(seq) + 1));
        }
        changes.push_back(make_.HeldDone(kAlice, seq - 20));
        ApplyResult result;
        if (!store->Apply({changes, {{std::string(kRelay), seq}}}, &result).ok()) _exit(1);
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(80 + 13 * kill));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";

    StoreOptions options = Options("successor");
    options.lease_wait_us = 20'000'000;
    const std::unique_ptr<Store> store = NewStore(options);
    ASSERT_TRUE(store->Open().ok());
    const auto cursors = *store->LoadCursors();
    position = cursors.empty() ? 0 : cursors[0].position;
    if (position == 0) continue;
    const int64_t held = std::min<int64_t>(position, 20);
    EXPECT_THAT(RowsOf(*store, "SELECT count(*), min(ordinal), max(ordinal) FROM held_event"),
                ElementsAre(std::to_string(held) + "|" + std::to_string(position - held + 1) + "|" +
                            std::to_string(position)));
    EXPECT_THAT(RowsOf(*store, "SELECT rev FROM repo"), ElementsAre(Rev(static_cast<int>(position))));
  }
  EXPECT_GT(position, 0);
}

// ---- SQLite

class SqliteFaultTest : public StoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, SqliteFaultTest, testing::Values("sqlite"),
                         [](const auto& param) { return param.param; });

TEST_P(SqliteFaultTest, AFullDiskIsUnavailableUntilThereIsRoom) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})});
  const auto before = Contents(*store_);
  std::vector<ChangeSetPtr> changes;
  for (int i = 0; i < 50; ++i)
    changes.push_back(
        make_.Commit(kBob, i + 1, {Create("r" + std::to_string(i), std::string(20'000, ' ') + "{}")}));
  // A file that may not grow further looks the same to SQLite.
  signal(SIGXFSZ, SIG_IGN);
  rlimit old{}, low{};
  getrlimit(RLIMIT_FSIZE, &old);
  low = old;
  low.rlim_cur = 600'000;
  setrlimit(RLIMIT_FSIZE, &low);
  ApplyResult result;
  const absl::Status applied = store_->Apply({changes, {{std::string(kRelay), 5}}}, &result);
  const auto during = Contents(*store_);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(applied.code(), absl::StatusCode::kUnavailable) << applied;
  EXPECT_EQ(during, before);
  EXPECT_EQ(Apply(changes, {{std::string(kRelay), 5}}).rows_written, 50u);
}

TEST_P(SqliteFaultTest, SomebodyElsesWriteIsWaitedForThenReported) {
  store_->Close();
  StoreOptions options = Options();
  options.statement_timeout_us = 200'000;
  const std::unique_ptr<Store> store = NewStore(options);
  ASSERT_TRUE(store->Open().ok());
  const auto changes = List{make_.Commit(kAlice, 1, {Create("a", "{}")})};
  std::thread other([&] {
    // Holds the write lock for a while: as long as the recursion counts.
    RunSql(
        url_,
        "BEGIN IMMEDIATE; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) "
        "SELECT count(*) FROM n; COMMIT");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  int failures = 0;
  ApplyUntilDone(*store, {changes, {}}, &failures);
  other.join();
  EXPECT_GT(failures, 0);
  EXPECT_THAT(RowsOf(*store, "SELECT count(*) FROM record"), ElementsAre("1"));
}

TEST_P(SqliteFaultTest, AFileThatIsNoDatabaseIsDataLoss) {
  store_->Close();
  url_ = NewDatabase();
  FILE* file = std::fopen(url_.substr(7).c_str(), "w");
  for (int i = 0; i < 200; ++i) std::fputs("this is not a database\n", file);
  std::fclose(file);
  EXPECT_EQ(NewStore(Options())->Open().code(), absl::StatusCode::kDataLoss);
}

TEST_P(SqliteFaultTest, AFolderThatIsNotThereIsSaid) {
  url_ = "sqlite:/nowhere/at/all.db";
  const absl::Status opened = NewStore(Options())->Open();
  EXPECT_EQ(opened.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(Message(opened)), HasSubstr("/nowhere/at/all.db"));
}

}  // namespace
}  // namespace penstock::test
