// The queue at work: accounts come in, their runs end, and so does the program, whatever is under way.

#include "backfill/coordinator.h"

#include "base/status.h"
#include "tests/backfill/coordinator_testing.h"

namespace penstock::backfill {
namespace {

using builder::kHour;
using sync::RunKind;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class CoordinatorTest : public CoordinatorFixture {};

// ---- The good way

TEST_P(CoordinatorTest, TakesAccountsInAndEndsTheRun) {
  Host pds;
  Account ann = Resident(1, pds), bob = Resident(2, pds, 40);
  Begin();
  Want({&ann, &bob});
  ASSERT_TRUE(BecomesTask(ann, "done - 0"));
  ASSERT_TRUE(BecomesTask(bob, "done - 0"));
  ExpectWhole(ann);
  ExpectWhole(bob);
  EXPECT_THAT(Rows("SELECT DISTINCT verification FROM record"), ElementsAre("export"));
  EXPECT_THAT(Rows("SELECT did, rule FROM coverage ORDER BY did"), testing::SizeIs(2));
  EXPECT_TRUE(Eventually([&] { return Count("backfill_runs_done") == 1; }));
  EXPECT_THAT(Log(), Contains(HasSubstr("run 1 (manual test 1) done: 2 accounts, 43 records")));
  EXPECT_EQ(Value("SELECT state FROM backfill_run"), "done");
  EXPECT_TRUE(Eventually([&] { return coordinator_->stats().idle; }));
  const Coordinator::Stats stats = coordinator_->stats();
  EXPECT_EQ(stats.accounts, 2u);
  EXPECT_EQ(stats.records, 43u);
  EXPECT_GT(stats.bytes, 0u);
  EXPECT_EQ(stats.claimed, 0u);
  EXPECT_EQ(Count("backfill_tasks_done"), 2u);
  EXPECT_EQ(Count("backfill_records"), 43u);
  EXPECT_EQ(Count("backfill_retried"), 0u);
  EXPECT_EQ(pds.Asked("getRepo"), 2u);
}

TEST_P(CoordinatorTest, AskedForOnceIsEnough) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kFilter, "test.lantern.*");
  ASSERT_TRUE(BecomesDone(ann));
  // The chain is whole and the rules are covered: nobody is asked.
  Want({{ann.did(), "", ""}}, RunKind::kFilter, "test.lantern.note");
  ASSERT_TRUE(BecomesTask(ann, "done already_current 0"));
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kGap, "somewhere");
  ASSERT_TRUE(Eventually([&] { return Count("backfill_already_current") == 2; }));
  EXPECT_EQ(pds.Asked("getRepo"), 1u);
  EXPECT_EQ(coordinator_->stats().already_current, 2u);
  // An operator's word is no listing: all of it is compared again.
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().accounts == 2; }));
  EXPECT_EQ(pds.Asked("getRepo"), 2u);
}

TEST_P(CoordinatorTest, AGapIsClosedByComparingRevs) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesDone(ann));
  const std::string before = ann.rev();
  Publish(ann, 2, 77);
  now_ += kSecond;
  ann.Commit({Write::Delete(std::string(kNote) + "/n1-1000")}, now_);
  pds.Has(ann);
  // Nobody said which rev there is: asked, and only then known to be newer.
  Want({{ann.did(), ann.rev(), ""}}, RunKind::kGap, "one");
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().accounts == 2; }));
  ASSERT_TRUE(Eventually([&] { return Value("SELECT rev FROM repo") == ann.rev(); }));
  ExpectWhole(ann);
  Want({{ann.did(), "", ""}}, RunKind::kGap, "two");
  ASSERT_TRUE(Eventually([&] { return Count("backfill_already_current") == 1; }));
  EXPECT_EQ(pds.Asked("getRepo"), 3u) << "its commit said that it is the one that we have";
}

TEST_P(CoordinatorTest, AnAccountThatTheFilterExcludesIsNotAsked) {
  Host pds;
  Account ann = Resident(1, pds);
  filter_ = *indexer::Filter::Make(
      {.collections = {"test.lantern.*"}, .dids = {}, .exclude_dids = {ann.did()}, .actions = {}});
  Begin();
  Want({&ann});
  ASSERT_TRUE(BecomesTask(ann, "done not_wanted 0"));
  EXPECT_EQ(pds.Asked("getRepo"), 0u);
  EXPECT_EQ(port_.prepared, 0);
}

TEST_P(CoordinatorTest, AnAccountThatBreaksIsQueuedByItsState) {
  Host pds;
  Account ann = Resident(1, pds);
  coordinator_options_.throttle = {.first_us = 1'000'000, .most_us = 2'000'000, .calm_us = kHour};
  Begin();
  // Met in mid-life: an anchor, and a repository to fetch.
  Offer(Message(ann, "live"));
  paths_[ann.did()].insert(std::string(kNote) + "/live");
  pds.Has(ann);
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([&] { return State(ann) == "synchronized"; }));
  ExpectWhole(ann);
  EXPECT_EQ(Count("backfill_unsettled"), 1u);
  EXPECT_EQ(Value("SELECT kind FROM backfill_run"), "resync");
  // A commit that never came breaks the chain.
  const auto lost = Message(ann, "lost");
  const auto next = Message(ann, "next");
  for (const char* rkey : {"lost", "next"}) paths_[ann.did()].insert(std::string(kNote) + "/" + rkey);
  pds.Has(ann);
  Offer(next);
  ASSERT_TRUE(Eventually([&] {
    clock_.Advance(kSecond);
    return Value("SELECT rev FROM repo") == ann.rev() && State(ann) == "synchronized";
  }));
  ExpectWhole(ann);
}

// ---- Ends

TEST_P(CoordinatorTest, EndsWithinASecondWhateverIsUnderWay) {
  Host pds;
  std::vector<Account> accounts;
  std::vector<sync::TaskSeed> seeds;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    accounts.push_back(Resident(seed, pds, 50));
    seeds.push_back({accounts.back().did(), "", ""});
  }
  pds.Fails(HostingFault::Slow(1'000));
  Begin();
  Want(std::move(seeds));
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().downloading == 2; }));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto begun = std::chrono::steady_clock::now();
  EndCoordinator();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(1));
  EXPECT_EQ(Value("SELECT COUNT(*) FROM repo"), "0");
  // What it held is anybody's at once, whoever that is.
  pds.hosting().ClearFaults();
  coordinator_options_.owner_prefix = "somebody else#";
  BeginCoordinator();
  for (Account& account : accounts) ASSERT_TRUE(BecomesDone(account));
  for (Account& account : accounts) ExpectWhole(account);
}

TEST_P(CoordinatorTest, EndsWhileTheDirectorySaysNothing) {
  Host pds;
  Account ann = Resident(1, pds);
  resolver_.SetHold(true);
  Begin();
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().claimed == 1; }));
  EXPECT_FALSE(coordinator_->stats().idle);
  EndCoordinator();
  resolver_.SetHold(false);  // its answer comes when nobody is there any more
  BeginCoordinator();
  ASSERT_TRUE(BecomesDone(ann));
}

TEST_P(CoordinatorTest, AFailureOfOurOwnEndsIt) {
  Host pds;
  Account ann = Resident(1, pds);
  Begin();
  EndCoordinator();
  fault_.KillAt(0);
  struct Broken final : pipeline::ImportPort {
    absl::StatusOr<pipeline::AccountView> Prepare(std::string_view) override { return InternalError("a worker lost its mind"); }
    absl::Status Begin(std::string_view, const sync::Head&, bool, bool*) override { return absl::OkStatus(); }
    indexer::ChangeSetPtr NewChange() override { return nullptr; }
    absl::Status Write(indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status WaitDurable() override { return absl::OkStatus(); }
    absl::Status Finish(std::string_view, const sync::Head&, bool, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status Abandon(std::string_view) override { return absl::OkStatus(); }
    absl::Status SetStatus(std::string_view, const sync::HostStatus&, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
    absl::Status Purge(std::string_view, uint64_t) override { return absl::OkStatus(); }
  } broken;
  BeginCoordinator();
  port_.Lead(&broken);
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return Failures().size() == 1; }));
  EXPECT_TRUE(absl::IsInternal(Failures()[0]));
  Want({&ann}, RunKind::kGap);
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  EXPECT_EQ(Failures().size(), 1u) << "once";
  EndCoordinator();
}

INSTANTIATE_TEST_SUITE_P(Databases, CoordinatorTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::backfill
