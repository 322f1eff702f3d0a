// The queue of whole repositories when the way to its database, the database or its own process goes away: no
// account is lost, none is done that was not taken in.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <thread>

#include "base/status.h"
#include "indexer/readers.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/fault_proxy.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using sync::BackfillTask;
using sync::RunKind;
using sync::SyncState;
using sync::TaskSeed;
using sync::TaskState;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kSecond = 1'000'000;

std::vector<TaskSeed> Seeds(int count) {
  std::vector<TaskSeed> seeds;
  for (int i = 0; i < count; ++i) seeds.push_back({"did:plc:" + std::to_string(1000 + i), "", ""});
  return seeds;
}

// Calls until it succeeds. Every failure must be one that a retry may cure.
template <typename Call>
void UntilDone(const Call& call, int* failures = nullptr) {
  for (int attempt = 0; attempt < 2000; ++attempt) {
    const absl::Status status = call();
    if (status.ok()) return;
    ASSERT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
    if (failures != nullptr) ++*failures;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  FAIL() << "never succeeded";
}

// ---- A way that is cut

class QueueFaultTest : public StoreTest {
 protected:
  void SetUp() override {
    std::string why_not;
    cluster_ = PostgresCluster::Shared(&why_not);
    if (cluster_ == nullptr) GTEST_SKIP() << why_not;
    url_ = cluster_->CreateDatabase();
    store_ = OpenStore();
    proxy_ = std::make_unique<FaultProxy>(cluster_->socket_path());
    StoreOptions options = Options();
    options.url = PostgresCluster::Through(url_, proxy_->port());
    queue_ = *indexer::MakeBackfillStore(options);
  }

  // One life of the queue: accounts are found, some of them cannot be had at first, all are ended.
  void Live() {
    int64_t run = 0;
    UntilDone([&] {
      const absl::StatusOr<int64_t> opened = queue_->OpenRun(RunKind::kFilter, "a.*", 1, nullptr);
      if (opened.ok()) run = *opened;
      return opened.status();
    });
    sync::Listing listing{.run = run, .host = "h", .method = "listRepos"};
    UntilDone([&] { return queue_->AddListings(std::span(&listing, 1)); });
    const std::vector<TaskSeed> seeds = Seeds(40);
    listing.done = true;
    UntilDone([&] { return queue_->SavePage(listing, seeds, {}, 1); });
    size_t ended = 0;
    for (int round = 0; ended < seeds.size() && round < 100; ++round) {
      std::vector<BackfillTask> tasks;
      UntilDone([&] { return queue_->Claim("a#1", 10 + round, 1000, 7, &tasks); });
      UntilDone([&] { return queue_->Renew("a#1", 2000); });
      for (const BackfillTask& task : tasks) {
        const bool again = task.attempts == 0 && task.did.back() == '3';
        const sync::TaskOutcome outcome = {again ? TaskState::kQueued : TaskState::kDone,
                                           again ? "host_unavailable" : "", "", 10 + round, true};
        UntilDone([&] { return queue_->SetOutcome(task, "a#1", outcome, 10 + round); });
        ended += again ? 0 : 1;
      }
    }
    EXPECT_EQ(ended, seeds.size());
    std::vector<sync::BackfillRun> runs;
    UntilDone([&] { return queue_->EndFinishedRuns(500, &runs); });
  }

  PostgresCluster* cluster_ = nullptr;
  std::unique_ptr<FaultProxy> proxy_;
  std::unique_ptr<sync::BackfillStore> queue_;
};
INSTANTIATE_TEST_SUITE_P(Store, QueueFaultTest, testing::Values("postgresql"),
                         [](const auto& param) { return param.param; });

constexpr char kEnd[] =
    "SELECT state, count(*), sum(attempts) FROM backfill_task GROUP BY state ORDER BY state";

TEST_P(QueueFaultTest, AConnectionCutAnywhereLosesNoAccountAndEndsNoneTwice) {
  using enum FaultProxy::Direction;
  const uint64_t sent = proxy_->bytes(kToServer), received = proxy_->bytes(kToClient);
  Live();
  const uint64_t to_server = proxy_->bytes(kToServer) - sent, to_client = proxy_->bytes(kToClient) - received;
  EXPECT_THAT(Rows(kEnd), ElementsAre("done|40|4"));
  for (const auto& [direction, bytes] : {std::pair(kToServer, to_server), std::pair(kToClient, to_client)}) {
    for (uint64_t step = 0; step < 40; ++step) {
      RunSql(url_, "TRUNCATE backfill_run, backfill_listing, backfill_task");
      // Once for each cut the way is open again: CutAfter ends with the cut.
      proxy_->CutAfter(direction, bytes * step / 40);
      Live();
      proxy_->CutAfter(direction, std::nullopt);
      EXPECT_THAT(Rows("SELECT state, count(*) FROM backfill_task GROUP BY state"), ElementsAre("done|40"));
      EXPECT_EQ(Value("SELECT count(*) FROM backfill_run"), "1");
      EXPECT_EQ(Value("SELECT state FROM backfill_run"), "done");
    }
  }
}

TEST_P(QueueFaultTest, AClaimWhoseAnswerIsLostIsGivenOutAgain) {
  const int64_t run = *queue_->OpenRun(RunKind::kFilter, "a.*", 1, nullptr);
  const std::vector<TaskSeed> seeds = Seeds(20);
  ASSERT_TRUE(queue_->SavePage({.run = run, .host = "h", .method = "listRepos"}, seeds, {}, 1).ok());
  using enum FaultProxy::Direction;
  std::vector<BackfillTask> tasks;
  int made_all_the_same = 0;
  // The last bytes that come back are those that say the claim was made.
  const uint64_t before = proxy_->bytes(kToClient);
  ASSERT_TRUE(queue_->Claim("a#1", 2, 100, 5, &tasks).ok());
  const uint64_t answer = proxy_->bytes(kToClient) - before;
  ASSERT_TRUE(queue_->Recover("a#", "a#2", 3).ok());
  for (uint64_t missing = 1; missing < 40; missing += 3) {
    proxy_->CutAfter(kToClient, answer - missing);
    int failures = 0;
    UntilDone([&] { return queue_->Claim("a#1", 5, 100, 5, &tasks); }, &failures);
    proxy_->CutAfter(kToClient, std::nullopt);
    made_all_the_same += failures;
    EXPECT_EQ(tasks.size(), 5u);
    EXPECT_EQ(Value("SELECT count(*) FROM backfill_task WHERE state = 'running'"), "5") << missing;
    ASSERT_TRUE(queue_->Recover("a#", "a#2", 3).ok());
  }
  EXPECT_GT(made_all_the_same, 5);
}

TEST_P(QueueFaultTest, AServerThatIsDownIsUnavailableUntilItIsBack) {
  const int64_t run = *queue_->OpenRun(RunKind::kFilter, "a.*", 1, nullptr);
  const std::vector<TaskSeed> seeds = Seeds(3);
  cluster_->Stop(PostgresCluster::StopMode::kImmediate);
  std::vector<BackfillTask> tasks;
  const sync::Listing listing{.run = run, .host = "h", .method = "listRepos"};
  EXPECT_EQ(queue_->SavePage(listing, seeds, {}, 1).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(queue_->Claim("a#1", 2, 100, 5, &tasks).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(queue_->NextDue().status().code(), absl::StatusCode::kUnavailable);
  cluster_->Resume();
  UntilDone([&] { return queue_->SavePage(listing, seeds, {}, 1); });
  UntilDone([&] { return queue_->Claim("a#1", 2, 100, 5, &tasks); });
  EXPECT_EQ(tasks.size(), 3u);
}

// ---- Somebody else's write

class QueueBusyTest : public StoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, QueueBusyTest, testing::Values("sqlite"),
                         [](const auto& param) { return param.param; });

TEST_P(QueueBusyTest, AWriterAtWorkIsWaitedForThenReported) {
  StoreOptions options = Options();
  options.statement_timeout_us = 100'000;
  const auto queue = *indexer::MakeBackfillStore(options);
  const int64_t run = *queue->OpenRun(RunKind::kFilter, "a.*", 1, nullptr);
  const std::vector<TaskSeed> seeds = Seeds(3);
  std::thread other([&] {
    RunSql(
        url_,
        "BEGIN IMMEDIATE; WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000000) "
        "SELECT count(*) FROM n; COMMIT");
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  int failures = 0;
  UntilDone([&] { return queue->SavePage({.run = run, .host = "h", .method = "listRepos"}, seeds, {}, 1); },
            &failures);
  other.join();
  EXPECT_GT(failures, 0);
  std::vector<BackfillTask> tasks;
  ASSERT_TRUE(queue->Claim("a#1", 2, 100, 5, &tasks).ok());
  EXPECT_EQ(tasks.size(), 3u);
}

// ---- A process that is killed: both stores

class QueueCrashTest : public StoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, QueueCrashTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(QueueCrashTest, AProcessKilledAnywhereLeavesEachAccountWholeOrToBeDone) {
  constexpr int kAccounts = 1500, kRows = 3;
  {
    const auto queue = NewQueue();
    const int64_t run = *queue->OpenRun(RunKind::kFilter, "a.*", 1, nullptr);
    const std::vector<TaskSeed> seeds = Seeds(kAccounts);
    ASSERT_TRUE(
        queue->SavePage({.run = run, .host = "h", .method = "listRepos", .done = true}, seeds, {}, 1).ok());
  }
  store_->Close();
  const std::string whole = std::to_string(kRows);
  int kills = 0;
  bool all_done = false;
  for (; !all_done && kills < 200; ++kills) {
    const pid_t child = fork();
    if (child == 0) {
      // Takes tasks, says that it is at work, brings the rows in two parts and the state with the last.
      // _exit: nothing of the parent's is ours to clean up.
      StoreOptions options = Options("child");
      options.lease_wait_us = 20'000'000;
      auto store = *indexer::MakeStore(options);
      if (!store->Open().ok()) _exit(1);
      auto queue = *indexer::MakeBackfillStore(options);
      const std::string owner = "0/1#" + std::to_string(store->epoch());
      if (!queue->Recover("0/1#", owner, 2).ok()) _exit(1);
      for (;;) {
        std::vector<BackfillTask> tasks;
        absl::Status claimed;
        do {
          claimed = queue->Claim(owner, 10, 1'000'000, 8, &tasks);
        } while (claimed.code() == absl::StatusCode::kUnavailable);
        if (!claimed.ok()) _exit(1);
        if (tasks.empty()) {
          sleep(10);
          continue;
        }
        for (const BackfillTask& task : tasks) {
          const auto first = List{make_.Chain(
              make_.Commit(task.did, 5, {Create("a", "{}")}, Verification::kExport), SyncState::kInProgress)};
          const auto last =
              List{make_.Import(task.did, 5, {Create("b", "{}"), Create("c", "{}")}, 10, {"a.*"})};
          ApplyResult result;
          if (!store->Apply({first, {}}, &result).ok()) _exit(1);
          if (!store->Apply({last, {}}, &result).ok()) _exit(1);
        }
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(60 + 7 * (kills % 20)));
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";

    StoreOptions options = Options("successor");
    options.lease_wait_us = 20'000'000;
    const std::unique_ptr<Store> store = NewStore(options);
    ASSERT_TRUE(store->Open().ok());
    // Done: all rows, whole, covered. Not done: whatever was begun is to be done again.
    EXPECT_THAT(
        RowsOf(
            *store,
            "SELECT t.did FROM backfill_task t WHERE t.state = 'done' AND ("
            "(SELECT count(*) FROM record r WHERE r.did = t.did) <> " +
                whole +
                " OR NOT EXISTS (SELECT 1 FROM coverage c WHERE c.did = t.did AND c.rule = 'a.*') "
                "OR NOT EXISTS (SELECT 1 FROM repo p WHERE p.did = t.did AND p.sync_state = 'synchronized' "
                "AND p.baseline_rev IS NOT NULL))"),
        IsEmpty());
    EXPECT_THAT(
        RowsOf(*store,
               "SELECT t.did FROM backfill_task t WHERE t.state <> 'done' AND ("
               "EXISTS (SELECT 1 FROM coverage c WHERE c.did = t.did) OR EXISTS (SELECT 1 FROM repo p "
               "WHERE p.did = t.did AND (p.sync_state <> 'desynchronized' OR p.reason <> "
               "'resync_interrupted')))"),
        IsEmpty());
    EXPECT_THAT(RowsOf(*store, "SELECT count(*) FROM backfill_task"), ElementsAre(std::to_string(kAccounts)));
    all_done = RowsOf(*store, "SELECT count(*) FROM backfill_task WHERE state <> 'done'")[0] == "0";
  }
  EXPECT_TRUE(all_done);
  EXPECT_GT(kills, 2);
  std::printf("done after %d kills\n", kills);
}

}  // namespace
}  // namespace penstock::test
