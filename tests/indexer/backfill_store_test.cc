// The queue of whole repositories: runs, listings, and the life of a task, in both stores.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>

#include "base/status.h"
#include "indexer/readers.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using sync::BackfillRun;
using sync::BackfillTask;
using sync::Listing;
using sync::RunKind;
using sync::RunState;
using sync::SyncState;
using sync::TaskOutcome;
using sync::TaskSeed;
using sync::TaskState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

constexpr int64_t kSecond = 1'000'000;
constexpr std::string_view kTasks =
    "SELECT run, did, state, owner, attempts, cause FROM backfill_task ORDER BY run, did";

class BackfillStoreTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    queue_ = NewQueue();
  }

  int64_t Now() const { return clock_.NowMicros(); }
  int64_t Open(RunKind kind, std::string_view subject, bool* made = nullptr) {
    const absl::StatusOr<int64_t> run = queue_->OpenRun(kind, subject, Now(), made);
    EXPECT_TRUE(run.ok()) << run.status();
    return run.value_or(0);
  }
  static Listing ListRepos(int64_t run, std::string host = "https://relay.example") {
    return {.run = run, .host = std::move(host), .method = "listRepos"};
  }
  // A page that is the listing's last.
  void Save(int64_t run, const std::vector<TaskSeed>& tasks) {
    Listing listing = ListRepos(run);
    listing.done = true;
    const absl::Status saved = queue_->SavePage(listing, tasks, {}, Now());
    EXPECT_TRUE(saved.ok()) << saved;
  }
  void Save(int64_t run, std::initializer_list<std::string_view> dids) {
    std::vector<TaskSeed> tasks;
    for (std::string_view did : dids) tasks.push_back({std::string(did), "", ""});
    Save(run, tasks);
  }
  std::vector<BackfillTask> Claim(std::string_view owner = "a#1", size_t limit = 100) {
    std::vector<BackfillTask> tasks;
    const absl::Status claimed = queue_->Claim(owner, Now(), Now() + 60 * kSecond, limit, &tasks);
    EXPECT_TRUE(claimed.ok()) << claimed;
    return tasks;
  }
  static std::vector<std::string> Dids(const std::vector<BackfillTask>& tasks) {
    std::vector<std::string> dids;
    for (const BackfillTask& task : tasks) dids.push_back(task.did);
    return dids;
  }
  void End(const BackfillTask& task, TaskState state, std::string cause = "", int64_t not_before = 0,
           std::string_view owner = "a#1") {
    const absl::Status set =
        queue_->SetOutcome(task, owner, {state, std::move(cause), "", not_before, true}, Now());
    EXPECT_TRUE(set.ok()) << set;
  }
  std::vector<BackfillRun> EndFinished() {
    std::vector<BackfillRun> ended;
    const absl::Status status = queue_->EndFinishedRuns(Now(), &ended);
    EXPECT_TRUE(status.ok()) << status;
    return ended;
  }
  std::vector<Listing> Listings(size_t limit = 100) {
    std::vector<Listing> listings;
    const absl::Status status = queue_->LoadListings(Now(), limit, &listings);
    EXPECT_TRUE(status.ok()) << status;
    return listings;
  }
  sync::RunTotals Totals(int64_t run) {
    sync::RunTotals totals;
    const absl::Status status = queue_->LoadTotals(run, &totals);
    EXPECT_TRUE(status.ok()) << status;
    return totals;
  }
  std::optional<int64_t> NextDue() {
    const auto due = queue_->NextDue();
    EXPECT_TRUE(due.ok()) << due.status();
    return due.value_or(std::nullopt);
  }
  size_t QueueUnsettled(size_t limit = 100) {
    const auto queued = queue_->QueueUnsettled(throttle_, Now(), limit);
    EXPECT_TRUE(queued.ok()) << queued.status();
    return queued.value_or(0);
  }
  std::string TaskLine(int64_t run, std::string_view did, std::string_view rest) {
    return std::to_string(run) + "|" + std::string(did) + "|" + std::string(rest);
  }

  sync::BackfillStore::Throttle throttle_;
  std::unique_ptr<sync::BackfillStore> queue_;
};
INSTANTIATE_TEST_SUITE_P(Store, BackfillStoreTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

// ---- Runs

TEST_P(BackfillStoreTest, ARunOfAKindAndSubjectIsOpenOnce) {
  bool made = false;
  const int64_t first = Open(RunKind::kFilter, "space.atbb.*", &made);
  EXPECT_TRUE(made);
  EXPECT_EQ(Open(RunKind::kFilter, "space.atbb.*", &made), first);
  EXPECT_FALSE(made);
  const int64_t second = Open(RunKind::kManual, "space.atbb.*", &made);
  EXPECT_NE(second, first);
  EXPECT_TRUE(made);

  ASSERT_TRUE(queue_->CancelRun(first, Now() + 5).ok());
  const int64_t third = Open(RunKind::kFilter, "space.atbb.*", &made);
  EXPECT_NE(third, first);
  EXPECT_TRUE(made);
  std::vector<BackfillRun> runs;
  ASSERT_TRUE(queue_->LoadRuns(/*open_only=*/false, &runs).ok());
  ASSERT_THAT(runs, SizeIs(3));
  EXPECT_EQ(runs[0].id, third);
  EXPECT_EQ(runs[0].state, RunState::kOpen);
  EXPECT_EQ(runs[0].started_at, Now());
  EXPECT_EQ(runs[0].ended_at, 0);
  EXPECT_EQ(runs[1].kind, RunKind::kManual);
  EXPECT_EQ(runs[2].state, RunState::kCancelled);
  EXPECT_EQ(runs[2].subject, "space.atbb.*");
  EXPECT_EQ(runs[2].ended_at, Now() + 5);
  ASSERT_TRUE(queue_->LoadRuns(/*open_only=*/true, &runs).ok());
  EXPECT_THAT(runs, SizeIs(2));
}

TEST_P(BackfillStoreTest, ARunIsDoneWhenNothingOfItIsOpen) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  const int64_t standing = Open(RunKind::kResync, "");
  Save(standing, {});
  EXPECT_THAT(EndFinished(), IsEmpty()) << "it has only begun";
  ASSERT_TRUE(queue_->AddListings(std::vector{ListRepos(run)}).ok());
  EXPECT_THAT(EndFinished(), IsEmpty()) << "a listing is open";
  Save(run, {kAlice, kBob});
  EXPECT_THAT(EndFinished(), IsEmpty()) << "tasks are queued";
  const std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(2));
  End(tasks[0], TaskState::kDone);
  EXPECT_THAT(EndFinished(), IsEmpty()) << "a task is running";
  End(tasks[1], TaskState::kFailed, "repo_not_found");
  clock_.Advance(kSecond);
  const std::vector<BackfillRun> ended = EndFinished();
  ASSERT_THAT(ended, SizeIs(1));
  EXPECT_EQ(ended[0].id, run);
  EXPECT_EQ(ended[0].subject, "a.*");
  EXPECT_EQ(ended[0].state, RunState::kDone);
  EXPECT_EQ(ended[0].ended_at, Now());
  EXPECT_THAT(EndFinished(), IsEmpty());
}

TEST_P(BackfillStoreTest, ARunThatIsAddedToIsOpenAgainUnlessItWasCancelled) {
  const int64_t done = Open(RunKind::kManual, "one"), cancelled = Open(RunKind::kManual, "two");
  Save(done, {});
  ASSERT_THAT(EndFinished(), SizeIs(1));
  ASSERT_TRUE(queue_->CancelRun(cancelled, Now()).ok());
  ASSERT_TRUE(
      queue_->AddListings(std::vector{ListRepos(done, "https://b"), ListRepos(cancelled, "https://b")}).ok());
  Save(cancelled, {kAlice});
  EXPECT_THAT(Rows("SELECT id, state, ended_at FROM backfill_run ORDER BY id"),
              ElementsAre(std::to_string(done) + "|open|-",
                          std::to_string(cancelled) + "|cancelled|" + std::to_string(Now())));
  EXPECT_THAT(Listings(), SizeIs(1));
  EXPECT_THAT(Rows(kTasks), IsEmpty());
  // To nothing that is there nothing can be added.
  EXPECT_EQ(queue_->AddListings(std::vector{ListRepos(77)}).code(), absl::StatusCode::kInternal);
}

TEST_P(BackfillStoreTest, ACancelledRunTakesWhatIsQueuedAndCoveredWithIt) {
  const int64_t run = Open(RunKind::kFilter, "a.*"), other = Open(RunKind::kFilter, "b.*");
  Save(other, {kCarol});
  Save(run, {kAlice, kBob});
  ASSERT_TRUE(queue_->AddListings(std::vector{ListRepos(run, "https://b")}).ok());
  std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(Dids(tasks), UnorderedElementsAre(kAlice, kBob, kCarol));
  std::erase_if(tasks, [](const BackfillTask& task) { return task.did != kBob; });
  Apply(List{make_.Import(kAlice, 1, {}, Now(), {"a.*", "b.*"})});
  clock_.Advance(kSecond);
  Save(run, {kCarol});
  ASSERT_TRUE(queue_->CancelRun(run, Now()).ok());
  EXPECT_THAT(Listings(), IsEmpty());
  EXPECT_THAT(Rows("SELECT did, rule FROM coverage"), ElementsAre(std::string(kAlice) + "|b.*"));
  EXPECT_THAT(
      Rows("SELECT did, state FROM backfill_task WHERE run = " + std::to_string(run) + " ORDER BY did"),
      ElementsAre(std::string(kAlice) + "|done", std::string(kBob) + "|running"));
  // Who is at work on it ends as ever, but is not queued again.
  End(tasks[0], TaskState::kQueued, "host_unavailable", Now() + kSecond);
  EXPECT_EQ(NextDue(), std::nullopt);
  // Again, and when it was done: the same.
  ASSERT_TRUE(queue_->CancelRun(run, Now()).ok());
}

TEST_P(BackfillStoreTest, WhatACancelledRunLeavesIsRemovedPieceByPieceAndAfterACrash) {
  const int64_t run = Open(RunKind::kManual, "all");
  std::vector<TaskSeed> tasks;
  for (int i = 0; i < 12'000; ++i) tasks.push_back({"did:plc:" + std::to_string(i), "", ""});
  Save(run, tasks);
  // As a process leaves it that ends after the first piece.
  RunSql(url_, "UPDATE backfill_run SET state = 'cancelled', ended_at = 1");
  EXPECT_THAT(Claim(), IsEmpty());
  ASSERT_TRUE(queue_->Recover("", "a#1", Now()).ok());
  EXPECT_EQ(Value("SELECT count(*) FROM backfill_task"), "0");

  const int64_t next = Open(RunKind::kManual, "all");
  Save(next, tasks);
  ASSERT_TRUE(queue_->CancelRun(next, Now()).ok());
  EXPECT_EQ(Value("SELECT count(*) FROM backfill_task"), "0");
}

TEST_P(BackfillStoreTest, ADoneGapRunClosesItsGap) {
  auto change = make_.Control();
  change->gaps.push_back({10, 20, "outdated_cursor", ""});
  change->gaps.push_back({30, 40, "outdated_cursor", ""});
  Apply(List{std::move(change)});
  std::vector<sync::OpenGap> gaps;
  ASSERT_TRUE(queue_->LoadOpenGaps(&gaps).ok());
  ASSERT_THAT(gaps, SizeIs(2));
  EXPECT_EQ(gaps[0].Text(), "relay.example 0/1 10 outdated_cursor " + std::to_string(Now()));
  for (const sync::OpenGap& gap : gaps) Save(Open(RunKind::kGap, gap.Text()), {});
  // Widened before its run is done: what came on top has not been looked at.
  clock_.Advance(kSecond);
  auto wider = make_.Control();
  wider->gaps.push_back({30, 50, "outdated_cursor", ""});
  Apply(List{std::move(wider)});
  clock_.Advance(kSecond);
  EXPECT_THAT(EndFinished(), SizeIs(2));
  EXPECT_THAT(Rows("SELECT opened_seq, to_seq, closed_at FROM gap ORDER BY opened_seq"),
              ElementsAre("10|20|" + std::to_string(Now()), "30|50|-"));
  ASSERT_TRUE(queue_->LoadOpenGaps(&gaps).ok());
  ASSERT_THAT(gaps, SizeIs(1));
  Save(Open(RunKind::kGap, gaps[0].Text()), {});
  EndFinished();
  EXPECT_EQ(Value("SELECT count(*) FROM gap WHERE closed_at IS NULL"), "0");
}

TEST_P(BackfillStoreTest, TotalsSayWhatARunHasComeTo) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {"did:1", "did:2", "did:3", "did:4", "did:5", "did:6", "did:7"});
  ASSERT_TRUE(queue_->AddListings(std::vector{ListRepos(run, "https://b")}).ok());
  const std::vector<BackfillTask> tasks = Claim("a#1", 6);
  ASSERT_THAT(tasks, SizeIs(6));
  End(tasks[0], TaskState::kFailed, "repo_not_found");
  End(tasks[1], TaskState::kQueued, "host_unavailable", Now());
  End(tasks[2], TaskState::kQueued, "host_unavailable", Now());
  End(tasks[3], TaskState::kFailed, "host_unavailable");
  Apply(List{make_.Import(tasks[4].did, 1, {Create("a", "{}"), Create("b", "{}")}, Now())});
  const sync::RunTotals totals = Totals(run);
  EXPECT_EQ(totals.queued, 3u);
  EXPECT_EQ(totals.running, 1u);
  EXPECT_EQ(totals.done, 1u);
  EXPECT_EQ(totals.failed, 2u);
  EXPECT_EQ(totals.records, 2u);
  EXPECT_EQ(totals.bytes, 1001u);
  EXPECT_EQ(totals.open_listings, 1u);
  ASSERT_THAT(totals.causes, SizeIs(2));
  EXPECT_EQ(totals.causes[0].cause, "host_unavailable");
  EXPECT_EQ(totals.causes[0].tasks, 3u);
  EXPECT_EQ(totals.causes[1].cause, "repo_not_found");
  EXPECT_EQ(Totals(99).queued, 0u);
}

// ---- Listings

TEST_P(BackfillStoreTest, AListingGoesOnWhereItsLastPageEnded) {
  const int64_t first = Open(RunKind::kFilter, "a.*"), second = Open(RunKind::kFilter, "b.*");
  Listing late = ListRepos(first, "https://late");
  late.not_before = Now() + kSecond;
  Listing by_collection{.run = second,
                        .host = "https://relay.example",
                        .method = "listReposByCollection",
                        .argument = "b.c",
                        .trusted = true};
  ASSERT_TRUE(queue_->AddListings(std::vector{by_collection, ListRepos(first), late}).ok());
  std::vector<Listing> due = Listings();
  ASSERT_THAT(due, SizeIs(2));
  EXPECT_EQ(due[0].run, first);
  EXPECT_EQ(due[0].host, "https://relay.example");
  EXPECT_EQ(due[1].argument, "b.c");
  EXPECT_TRUE(due[1].trusted);
  EXPECT_FALSE(due[0].trusted);
  EXPECT_THAT(Listings(1), SizeIs(1));

  // A page with its accounts, and listings that it leads to.
  Listing page = due[0];
  page.cursor = "page 2";
  ASSERT_TRUE(queue_
                  ->SavePage(page,
                             std::vector<TaskSeed>{{std::string(kAlice), Rev(3), "https://pds.example"}},
                             std::vector{ListRepos(first, "https://found"), ListRepos(first)}, Now())
                  .ok());
  page.found = 1;
  page.attempts = 2;
  page.cause = "host_unavailable";
  page.not_before = Now() + 5;
  ASSERT_TRUE(
      queue_
          ->SavePage(page, std::vector<TaskSeed>{{std::string(kBob), "", ""}, {std::string(kAlice), "", ""}},
                     {}, Now())
          .ok());
  EXPECT_THAT(
      Rows("SELECT host, cursor, done, found, attempts, not_before - " + std::to_string(Now()) +
           ", cause FROM backfill_listing WHERE run = " + std::to_string(first) + " ORDER BY host"),
      ElementsAre("https://found|-|0|0|0|-" + std::to_string(Now()) + "|-", "https://late|-|0|0|0|1000000|-",
                  "https://relay.example|page 2|0|2|2|5|host_unavailable"));
  // Added again it stays as it is.
  ASSERT_TRUE(queue_->AddListings(std::vector{ListRepos(first)}).ok());
  clock_.Advance(5);
  due = Listings();
  ASSERT_THAT(due, SizeIs(3));
  EXPECT_EQ(due[1].cursor, "page 2");
  EXPECT_EQ(due[1].found, 2u);
  EXPECT_EQ(due[1].attempts, 2);
  EXPECT_EQ(due[1].cause, "host_unavailable");
  page = due[1];
  page.done = true;
  ASSERT_TRUE(queue_->SavePage(page, {}, {}, Now()).ok());
  EXPECT_THAT(Listings(), SizeIs(2));
}

TEST_P(BackfillStoreTest, ATaskStaysAsItIsUnlessItIsDoneAndTheAccountHasGoneOn) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  const auto seed = [&](int rev) {
    Save(run, std::vector<TaskSeed>{{std::string(kAlice), rev == 0 ? "" : Rev(rev), "h"}});
  };
  const auto state = [&] { return Value("SELECT state, rev FROM backfill_task"); };
  seed(3);
  EXPECT_EQ(state(), "queued|" + Rev(3));
  seed(4);
  EXPECT_EQ(state(), "queued|" + Rev(3)) << "what is fetched will be the newest anyway";
  ASSERT_THAT(Claim(), SizeIs(1));
  seed(5);
  EXPECT_EQ(state(), "running|" + Rev(3));
  Apply(List{make_.Import(kAlice, 6, {}, Now())});
  for (const int rev : {0, 5, 6}) seed(rev);
  EXPECT_EQ(state(), "done|" + Rev(6));
  clock_.Advance(kSecond);
  seed(7);
  EXPECT_EQ(state(), "queued|" + Rev(7));
  EXPECT_EQ(Value("SELECT created_at, attempts, imports FROM backfill_task"), std::to_string(Now()) + "|0|1");
  std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_EQ(tasks[0].rev, Rev(7));
  EXPECT_EQ(tasks[0].host, "h");
  End(tasks[0], TaskState::kFailed, "repo_not_found");
  seed(9);
  EXPECT_EQ(state(), "failed|" + Rev(7));
}

TEST_P(BackfillStoreTest, APageMayNameAnAccountTwice) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, std::vector<TaskSeed>{{std::string(kBob), "", ""},
                                  {std::string(kAlice), Rev(2), ""},
                                  {std::string(kBob), Rev(1), ""},
                                  {std::string(kAlice), Rev(4), ""}});
  EXPECT_THAT(Rows("SELECT did, rev FROM backfill_task ORDER BY did"),
              ElementsAre(std::string(kAlice) + "|" + Rev(4), std::string(kBob) + "|" + Rev(1)));
  EXPECT_EQ(Value("SELECT found FROM backfill_listing"), "2");
}

TEST_P(BackfillStoreTest, WordsOfAPeerNeverStopTheQueue) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Listing page = ListRepos(run);
  page.cursor = std::string("nul \0 and \xff", 11);
  page.cause = page.cursor;
  ASSERT_TRUE(
      queue_
          ->SavePage(page, std::vector<TaskSeed>{{std::string(kAlice), page.cursor, page.cursor}}, {}, Now())
          .ok());
  EXPECT_EQ(Listings().at(0).cursor, "nul \xEF\xBF\xBD and \xEF\xBF\xBD");
  const std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(1));
  const TaskOutcome outcome{TaskState::kFailed, page.cursor, page.cursor + std::string(5000, 'x'), 0, true};
  ASSERT_TRUE(queue_->SetOutcome(tasks[0], "a#1", outcome, Now()).ok());
  EXPECT_LT(Value("SELECT detail FROM backfill_task").size(), 1100u);
}

// ---- The life of a task

TEST_P(BackfillStoreTest, TasksAreTakenByKindThenByAge) {
  const auto seed = [&](RunKind kind, std::string_view did) {
    Save(Open(kind, "s"), {did});
    clock_.Advance(kSecond);
  };
  seed(RunKind::kFilter, "did:filter");
  seed(RunKind::kManual, "did:manual");
  seed(RunKind::kGap, "did:gap 1");
  seed(RunKind::kGap, "did:gap 0");
  seed(RunKind::kResync, "did:resync");
  const std::vector<BackfillTask> two = Claim("a#1", 2);
  EXPECT_THAT(Dids(two), ElementsAre("did:resync", "did:gap 1"));
  EXPECT_EQ(two[0].kind, RunKind::kResync);
  EXPECT_EQ(two[1].kind, RunKind::kGap);
  EXPECT_THAT(Dids(Claim()), ElementsAre("did:gap 0", "did:manual", "did:filter"));
  EXPECT_THAT(Claim(), IsEmpty());
}

TEST_P(BackfillStoreTest, AnAccountIsGivenOutOnceHoweverManyRunsWantIt) {
  const int64_t first = Open(RunKind::kFilter, "a.*"), second = Open(RunKind::kFilter, "b.*"),
                third = Open(RunKind::kGap, "g");
  for (const int64_t run : {second, first, third}) Save(run, {kAlice, kBob});
  const std::vector<BackfillTask> tasks = Claim();
  EXPECT_THAT(Dids(tasks), UnorderedElementsAre(kAlice, kBob));
  for (const BackfillTask& task : tasks) EXPECT_EQ(task.run, third);
  EXPECT_THAT(Claim("b#1"), IsEmpty());
  // Once it is given back the next one may have it, from whichever run is first.
  End(tasks[0], TaskState::kDone);
  const std::vector<BackfillTask> next = Claim("b#1");
  ASSERT_THAT(next, SizeIs(1));
  EXPECT_EQ(next[0].did, tasks[0].did);
  EXPECT_EQ(next[0].run, first);
}

TEST_P(BackfillStoreTest, FromQueuedToRunningToDoneByAnImport) {
  const int64_t run = Open(RunKind::kFilter, "a.*"), other = Open(RunKind::kManual, "m");
  Save(run, {kAlice, kBob});
  EXPECT_THAT(Rows(kTasks),
              ElementsAre(TaskLine(run, kAlice, "queued|-|0|-"), TaskLine(run, kBob, "queued|-|0|-")));
  ASSERT_THAT(Claim("a#1", 1), SizeIs(1));
  EXPECT_EQ(Value("SELECT lease_until FROM backfill_task WHERE state = 'running'"),
            std::to_string(Now() + 60 * kSecond));
  const int64_t started_at = Now();
  Save(other, {kAlice});  // before the fetch began, or at least not after
  clock_.Advance(kSecond);
  const int64_t late = Open(RunKind::kGap, "g");
  Save(late, {kAlice});  // while it was under way: what made it may be newer than what is fetched
  Apply(List{make_.Import(kAlice, 3, {Create("a", "{}")}, started_at, {"a.*", "b.*", "a.*"})});
  EXPECT_THAT(Rows(kTasks),
              ElementsAre(TaskLine(run, kAlice, "done|-|0|-"), TaskLine(run, kBob, "queued|-|0|-"),
                          TaskLine(other, kAlice, "done|-|0|-"), TaskLine(late, kAlice, "queued|-|0|-")));
  EXPECT_THAT(
      Rows(
          "SELECT rev, host, records, bytes, imports, ended_at, lease_until FROM backfill_task WHERE run = " +
          std::to_string(run) + " AND state = 'done'"),
      ElementsAre(Rev(3) + "|https://pds.example|1|1003|1|" + std::to_string(Now()) + "|-"));
  EXPECT_THAT(Rows("SELECT rule, rev FROM coverage ORDER BY rule"),
              ElementsAre("a.*|" + Rev(3), "b.*|" + Rev(3)));
  EXPECT_TRUE(*queue_->HasCoverage(kAlice, "a.*"));
  EXPECT_FALSE(*queue_->HasCoverage(kAlice, "c.*"));
  EXPECT_FALSE(*queue_->HasCoverage(kBob, "a.*"));
}

TEST_P(BackfillStoreTest, FromRunningBackToQueuedWithItsAttempts) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {kAlice});
  std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(1));
  const int64_t later = Now() + 30 * kSecond;
  End(tasks[0], TaskState::kQueued, "host_unavailable", later);
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "queued|-|1|host_unavailable"));
  EXPECT_THAT(Claim(), IsEmpty());
  EXPECT_EQ(NextDue(), later);
  clock_.Advance(30 * kSecond);
  tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(1));
  EXPECT_EQ(tasks[0].attempts, 1);
  EXPECT_EQ(NextDue(), std::nullopt);
  // Put off without having been tried.
  const TaskOutcome put_off{TaskState::kQueued, "host_limited", "", Now(), false};
  ASSERT_TRUE(queue_->SetOutcome(tasks[0], "a#1", put_off, Now()).ok());
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "queued|-|1|host_limited"));
  tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(1));
  End(tasks[0], TaskState::kFailed, "repo_not_found");
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "failed|-|2|repo_not_found"));
  EXPECT_EQ(Value("SELECT imports, ended_at FROM backfill_task"), "0|" + std::to_string(Now()));
  EXPECT_THAT(Claim(), IsEmpty());
}

TEST_P(BackfillStoreTest, OnlyWhoHoldsATaskMayEndIt) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {kAlice});
  const std::vector<BackfillTask> tasks = Claim("a#1");
  ASSERT_THAT(tasks, SizeIs(1));
  End(tasks[0], TaskState::kFailed, "x", 0, "b#1");
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "running|a#1|0|-"));
  End(tasks[0], TaskState::kDone, "already_current");
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "done|-|0|already_current"));
  End(tasks[0], TaskState::kFailed, "x");
  EXPECT_EQ(Value(kTasks), TaskLine(run, kAlice, "done|-|0|already_current"));
}

TEST_P(BackfillStoreTest, ALeaseThatIsOverIsTakenBackAndOneThatIsRenewedIsNot) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {kAlice});
  Save(run, {kBob});
  ASSERT_THAT(Claim("a#1", 1), SizeIs(1));
  ASSERT_THAT(Claim("b#7", 1), SizeIs(1));
  ASSERT_TRUE(queue_->Renew("b#7", Now() + 90 * kSecond).ok());
  clock_.Advance(60 * kSecond);
  ASSERT_TRUE(queue_->Recover("c#", "c#1", Now()).ok());
  const std::vector<BackfillTask> again = Claim("c#1");
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(Value("SELECT owner FROM backfill_task WHERE did <> '" + again[0].did + "'"), "b#7");
  // Who had lost it says nothing any more.
  End(again[0], TaskState::kFailed, "x", 0, "a#1");
  EXPECT_EQ(Value("SELECT count(*) FROM backfill_task WHERE state = 'running'"), "2");
}

TEST_P(BackfillStoreTest, AfterACrashTheLeasesOfOurOwnPastAreTakenBackAtOnce) {
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {"did:1"});
  Save(run, {"did:2"});
  Save(run, {"did:3"});
  ASSERT_THAT(Claim("0/2#4", 1), SizeIs(1));
  ASSERT_THAT(Claim("0/2#5", 1), SizeIs(1));
  ASSERT_THAT(Claim("1/2#4", 1), SizeIs(1));
  ASSERT_TRUE(queue_->Recover("0/2#", "0/2#5", Now()).ok());
  EXPECT_THAT(Rows("SELECT owner FROM backfill_task WHERE state = 'running' ORDER BY owner"),
              ElementsAre("0/2#5", "1/2#4"));
  EXPECT_EQ(Value("SELECT attempts, lease_until FROM backfill_task WHERE state = 'queued'"), "0|-");
}

TEST_P(BackfillStoreTest, TwoOwnersAtOnceNeverGetTheSameAccount) {
  constexpr int kAccounts = 400;
  const int64_t first = Open(RunKind::kFilter, "a.*"), second = Open(RunKind::kFilter, "b.*"),
                third = Open(RunKind::kManual, "m");
  std::vector<TaskSeed> seeds;
  for (int i = 0; i < kAccounts; ++i) seeds.push_back({"did:plc:" + std::to_string(i), "", ""});
  for (const int64_t run : {first, second, third}) Save(run, seeds);
  std::vector<std::string> claimed[3];
  std::vector<std::thread> threads;
  for (int n = 0; n < 3; ++n) {
    threads.emplace_back([&, n] {
      const std::unique_ptr<sync::BackfillStore> queue = NewQueue();
      for (;;) {
        std::vector<BackfillTask> tasks;
        const absl::Status status =
            queue->Claim("owner " + std::to_string(n), Now(), Now() + kSecond, 7, &tasks);
        ASSERT_TRUE(status.ok()) << status;
        if (tasks.empty()) return;
        for (const BackfillTask& task : tasks) claimed[n].push_back(task.did);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::set<std::string> all;
  size_t count = 0;
  for (const auto& dids : claimed) {
    all.insert(dids.begin(), dids.end());
    count += dids.size();
  }
  EXPECT_EQ(count, size_t{kAccounts});
  EXPECT_THAT(all, SizeIs(kAccounts));
}

// ---- Unsettled accounts

TEST_P(BackfillStoreTest, UnsettledAccountsWithoutAnOpenTaskAreQueued) {
  const auto state = [&](std::string_view did, SyncState sync_state) {
    Apply(List{make_.Chain(make_.Commit(did, 1, {}), sync_state, 1)});
  };
  state("did:1", SyncState::kPartial);
  state("did:2", SyncState::kSynchronized);
  state("did:3", SyncState::kDesynchronized);
  state("did:4", SyncState::kInProgress);
  state("did:5", SyncState::kPartial);
  state("did:6", SyncState::kPartial);
  Apply(List{make_.Account("did:5", false, "deactivated")});
  Save(Open(RunKind::kFilter, "a.*"), {"did:6"});
  EXPECT_EQ(QueueUnsettled(2), 2u);
  EXPECT_EQ(QueueUnsettled(2), 1u);
  EXPECT_EQ(QueueUnsettled(), 0u);
  EXPECT_EQ(QueueUnsettled(), 0u);
  const std::vector<BackfillTask> tasks = Claim("a#1", 3);
  EXPECT_THAT(Dids(tasks), ElementsAre("did:1", "did:3", "did:4"));
  for (const BackfillTask& task : tasks) EXPECT_EQ(task.kind, RunKind::kResync);
  // The account is back.
  Apply(List{make_.Account("did:5", true)});
  EXPECT_EQ(QueueUnsettled(), 1u);
}

TEST_P(BackfillStoreTest, AnAccountThatBreaksAgainAndAgainWaitsLongerEachTime) {
  throttle_ = {.first_us = 60 * kSecond, .most_us = 200 * kSecond, .calm_us = 1000 * kSecond};
  const auto broken = [&] {
    Apply(List{make_.Chain(make_.Commit(kAlice, 1, {}), SyncState::kDesynchronized, 0, "chain_broken")});
  };
  broken();
  for (const int64_t wait : {0, 60, 120, 200, 200}) {
    EXPECT_EQ(QueueUnsettled(), 1u);
    EXPECT_EQ(NextDue(), Now() + wait * kSecond);
    clock_.Advance(wait * kSecond);
    ASSERT_THAT(Claim(), SizeIs(1));
    Apply(List{make_.Import(kAlice, 1, {}, Now())});
    EXPECT_EQ(QueueUnsettled(), 0u);
    broken();
  }
  // What it waited for in peace counts.
  clock_.Advance(150 * kSecond);
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_EQ(NextDue(), Now() + 50 * kSecond);
  clock_.Advance(50 * kSecond);
  ASSERT_THAT(Claim(), SizeIs(1));
  Apply(List{make_.Import(kAlice, 1, {}, Now())});
  // It was calm for long enough: as if it were the first time.
  clock_.Advance(1000 * kSecond);
  broken();
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_EQ(NextDue(), Now());
  EXPECT_EQ(Value("SELECT imports FROM backfill_task"), "0");
}

TEST_P(BackfillStoreTest, WhatAnotherRunTookInCountsForTheThrottleAndAFailureWaitsForCalm) {
  throttle_ = {.first_us = 60 * kSecond, .most_us = 200 * kSecond, .calm_us = 1000 * kSecond};
  const int64_t run = Open(RunKind::kFilter, "a.*");
  Save(run, {kAlice, kBob});
  std::vector<BackfillTask> tasks = Claim();
  ASSERT_THAT(tasks, SizeIs(2));
  Apply(List{make_.Import(kAlice, 1, {}, Now())});
  for (const BackfillTask& task : tasks) {
    if (task.did == kBob) End(task, TaskState::kFailed, "repo_not_found");
  }
  Apply(List{make_.Chain(make_.Commit(kAlice, 2, {}), SyncState::kDesynchronized),
             make_.Chain(make_.Commit(kBob, 2, {}), SyncState::kPartial, 2)});
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_EQ(NextDue(), Now() + 60 * kSecond);
  clock_.Advance(999 * kSecond);
  EXPECT_EQ(QueueUnsettled(), 0u);
  clock_.Advance(kSecond);
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_THAT(Dids(Claim()), UnorderedElementsAre(kAlice, kBob));
}

TEST_P(BackfillStoreTest, WhatCameToNothingIsAskedAgainAtOnceOnlyIfSomethingHappened) {
  throttle_ = {.first_us = 60 * kSecond, .most_us = 200 * kSecond, .calm_us = 1000 * kSecond};
  const auto state = [&](std::string_view did) {
    Apply(List{make_.Chain(make_.Commit(did, 1, {}), SyncState::kDesynchronized, 0, "chain_broken")});
  };
  state(kAlice);
  state(kBob);
  state(kCarol);
  EXPECT_EQ(QueueUnsettled(), 3u);
  for (const BackfillTask& task : Claim()) {
    if (task.did == kCarol) End(task, TaskState::kFailed, "repo_not_found");
    if (task.did == kAlice) End(task, TaskState::kDone, "not_wanted");
  }
  // Its host says that it is not active: not taken in, but settled for now.
  auto inactive = make_.Import(kBob, 1, {}, Now());
  inactive->import->cause = "account_inactive";
  inactive->repo.reset();
  Apply(List{std::move(inactive), make_.Account(kBob, false, "deactivated")});
  EXPECT_EQ(Value("SELECT imports, imported_at FROM backfill_task WHERE did = '" + std::string(kBob) + "'"),
            "0|-");
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_EQ(NextDue(), Now() + 60 * kSecond);
  clock_.Advance(kSecond);
  Apply(List{make_.Account(kBob, true), make_.Account(kCarol, false, "suspended")});
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_THAT(Dids(Claim()), ElementsAre(kBob));
  Apply(List{make_.Account(kCarol, true)});
  EXPECT_EQ(QueueUnsettled(), 1u);
  EXPECT_EQ(NextDue(), Now());
}

TEST_P(BackfillStoreTest, ManyUnsettledAccountsAreLookedThroughInPieces) {
  // More than one call looks at, all but the last with a task already.
  RunSql(
      url_,
      postgres()
          ? "INSERT INTO repo (did, sync_state, active, updated_at) SELECT 'did:' || lpad(i::text, 6, '0'), "
            "'partial', TRUE, 1 FROM generate_series(1, 12000) i"
          : "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
            "INSERT INTO repo (did, sync_state, active, updated_at) SELECT 'did:' || printf('%06d', i), "
            "'partial', TRUE, 1 FROM n");
  RunSql(url_,
         "INSERT INTO backfill_run VALUES (5, 'filter', 'a.*', 'open', 1, NULL);"
         "INSERT INTO backfill_task (run, did, priority, state, attempts, not_before, created_at, imports) "
         "SELECT 5, did, 3, 'queued', 0, 1, 1, 0 FROM repo WHERE did < 'did:012000'");
  size_t queued = 0, calls = 0;
  while (queued == 0 && calls < 10) {
    queued += QueueUnsettled();
    ++calls;
  }
  EXPECT_EQ(queued, 1u);
  EXPECT_EQ(calls, 3u);
  EXPECT_THAT(Dids(Claim("a#1", 1)), ElementsAre("did:012000"));
}

// ---- What decisions are made from

TEST_P(BackfillStoreTest, KnownAccountsComeInOrderWithWhatIsKeptOfThem) {
  Apply(List{make_.Chain(make_.Commit(kBob, 4, {}), SyncState::kSynchronized, 4),
             make_.Commit(kAlice, 1, {Create("a", "{}")}), make_.Account(kCarol, false, "takendown"),
             make_.Identity(kBob), make_.Identity(kCarol), make_.Purged(kCarol)});
  std::vector<sync::KnownAccount> known;
  ASSERT_TRUE(queue_->LoadKnown("", 2, &known).ok());
  ASSERT_THAT(known, SizeIs(2));
  EXPECT_EQ(known[0].did, kAlice);
  EXPECT_EQ(known[0].sync_state, SyncState::kUntracked);
  EXPECT_EQ(known[0].rev, "");
  EXPECT_EQ(known[0].pds, "");
  EXPECT_EQ(known[1].did, kBob);
  EXPECT_EQ(known[1].sync_state, SyncState::kSynchronized);
  EXPECT_EQ(known[1].rev, Rev(4));
  EXPECT_TRUE(known[1].active);
  EXPECT_EQ(known[1].pds, "https://pds.example");
  ASSERT_TRUE(queue_->LoadKnown(kBob, 2, &known).ok());
  ASSERT_THAT(known, SizeIs(1));
  EXPECT_EQ(known[0].did, kCarol);
  EXPECT_FALSE(known[0].active);
  EXPECT_EQ(known[0].status, "takendown");
  EXPECT_EQ(known[0].pds, "") << "it must not be used again";
  EXPECT_EQ(queue_->FindKnown(kBob)->rev, Rev(4));
  EXPECT_EQ(queue_->FindKnown("did:nobody").status().code(), absl::StatusCode::kNotFound);
}

TEST_P(BackfillStoreTest, DeletedAccountsWithRowsAreFoundOnceTheyAreDueAndGoneForLong) {
  const auto to_purge = [&](int64_t before) {
    std::vector<std::string> dids;
    EXPECT_TRUE(queue_->LoadToPurge(before, 10, &dids).ok());
    return dids;
  };
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}), make_.Commit(kBob, 1, {Create("a", "{}")}),
             make_.Account(kAlice, false, "deleted"), make_.Account(kBob, false, "takendown"),
             make_.Account(kCarol, false, "deleted")});
  const int64_t deleted_at = Now();
  EXPECT_EQ(Value("SELECT status_at FROM repo WHERE did = '" + std::string(kAlice) + "'"),
            std::to_string(deleted_at));
  clock_.Advance(kSecond);
  // Said again, it is the same status since then.
  Apply(List{make_.Account(kAlice, false, "deleted"), make_.Account(kBob, false, "deleted")});
  EXPECT_THAT(to_purge(deleted_at), IsEmpty());
  EXPECT_THAT(to_purge(deleted_at + 1), ElementsAre(kAlice));
  EXPECT_THAT(to_purge(Now() + 1), ElementsAre(kAlice, kBob));
  Apply(List{make_.Purge(kAlice, 100)});
  EXPECT_THAT(to_purge(Now() + 1), ElementsAre(kBob));
  Apply(List{make_.Account(kBob, true)});
  EXPECT_THAT(to_purge(Now() + 1), IsEmpty());
}

// ---- The database

TEST_P(BackfillStoreTest, AnOlderSchemaIsNotTouched) {
  store_->Close();
  url_ = NewDatabase();
  if (postgres()) {
    EXPECT_EQ(NewQueue()->NextDue().status().code(), absl::StatusCode::kFailedPrecondition);
  } else {
    // Nor is a file made where there is none.
    EXPECT_EQ(NewQueue()->NextDue().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_EQ(NewQueue()->NextDue().status().code(), absl::StatusCode::kUnavailable);
  }
  store_ = OpenStore();
  const auto queue = NewQueue();
  EXPECT_TRUE(queue->NextDue().ok());
  RunSql(url_, "DELETE FROM schema_migration WHERE version = 3");
  EXPECT_EQ(NewQueue()->NextDue().status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace penstock::test
