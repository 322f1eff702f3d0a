// Finding accounts with the queue that is kept in a database: from the first start to a gap that is closed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "indexer/readers.h"
#include "tests/backfill/finder_testing.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/identity/scripted_resolver.h"

namespace penstock::backfill {
namespace {

using sync::BackfillRun;
using sync::BackfillTask;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class FinderStoreTest : public test::StoreTest {
 protected:
  void SetUp() override {
    test::StoreTest::SetUp();
    if (IsSkipped()) return;
    clock_.Set(kNow);
    queue_ = Queue();
    client_ = *net::XrpcClient::Create(HastyClient(), &clock_, &counters_);
    options_.poll_us = 3'000;
  }
  std::unique_ptr<sync::BackfillStore> Queue() { return *indexer::MakeBackfillStore(Options("queue")); }

  void Follow(std::vector<std::string> rules, std::initializer_list<Host*> hosts) {
    options_.rules = rules;
    options_.hosts.clear();
    for (const Host* host : hosts) options_.hosts.push_back(host->finder());
    indexer::FilterOptions filter;
    filter.collections = std::move(rules);
    filter_ = *indexer::Filter::Make(filter);
  }
  std::unique_ptr<Finder> Start() {
    auto finder =
        std::make_unique<Finder>(options_, Queue(), client_.get(), &resolver_, &filter_, &clock_, &counters_, nullptr);
    finder->Start([](const absl::Status& status) { ADD_FAILURE() << status; });
    return finder;
  }
  // Whether a run of this subject has found all that it can.
  bool Listed(std::string_view subject) {
    const std::string listings =
        "SELECT count(*) FROM backfill_run r JOIN backfill_listing l ON l.run = r.id WHERE r.state = 'open' AND ";
    return Value(listings + "subject = '" + std::string(subject) + "'") != "0" && Value(listings + "NOT l.done") == "0";
  }
  // As the workers do it, without fetching: each task is claimed and done, and runs that are through end.
  std::vector<std::string> WorkOff() {
    std::vector<std::string> lines;
    std::vector<BackfillTask> tasks;
    for (;;) {
      EXPECT_TRUE(queue_->Claim("0/1#1", clock_.NowMicros(), clock_.NowMicros() + 60 * kSecond, 100, &tasks).ok());
      if (tasks.empty()) break;
      for (const BackfillTask& task : tasks) {
        lines.push_back(std::string(RunKindName(task.kind)) + " " + task.did + (task.rev.empty() ? "" : " " + task.rev));
        sync::TaskOutcome done;
        done.state = sync::TaskState::kDone;
        EXPECT_TRUE(queue_->SetOutcome(task, "0/1#1", done, clock_.NowMicros()).ok());
      }
    }
    std::vector<BackfillRun> ended;
    EXPECT_TRUE(queue_->EndFinishedRuns(clock_.NowMicros(), &ended).ok());
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  std::vector<std::string> Runs() { return Rows("SELECT kind, subject, state FROM backfill_run ORDER BY id"); }

  // An account that was taken in, with its rules covered.
  void TakenIn(int number, int rev, const std::string& pds, std::vector<std::string_view> rules) {
    const std::string did = Did(number);
    test::ChangeSetPtr change = make_.Commit(did, 1, {test::Create("a" + std::to_string(number), "{}")});
    change = make_.Chain(std::move(change), sync::SyncState::kSynchronized, 1);
    const std::string text = RevOf(rev);
    change->rev = change->repo->rev = change->repo->baseline_rev = change->arena.Copy(text);
    indexer::ImportRow import;
    import.rev = change->rev;
    import.started_at = clock_.NowMicros();
    const std::span<std::string_view> copied = change->arena.Array<std::string_view>(rules.size());
    std::copy(rules.begin(), rules.end(), copied.begin());
    import.rules = copied;
    change->import = import;
    Apply(test::List(std::move(change)));
    test::ChangeSetPtr known = make_.Identity(did);
    auto identity = std::make_shared<identity::Identity>(*known->identity);
    identity->pds = pds;
    known->identity = std::move(identity);
    Apply(test::List(std::move(known)));
  }
  void OpenGap(const std::string& source, int64_t to) {
    gap_source_ = source;
    make_.source = gap_source_;
    test::ChangeSetPtr change = make_.Control();
    change->gaps.push_back({100, to, "outdated_cursor", ""});
    Apply(test::List(std::move(change)));
  }

  std::string gap_source_;
  test::ScriptedResolver resolver_;
  indexer::Filter filter_ = indexer::Filter::Everything();
  FinderOptions options_;
  std::unique_ptr<net::XrpcClient> client_;
  std::unique_ptr<sync::BackfillStore> queue_;
};

TEST_P(FinderStoreTest, FromTheFirstStartToAFilterThatGrows) {
  Host relay(false);
  for (const int n : {1, 2}) relay.Add(n, {"space.atbb.post"});
  relay.Add(3, {"com.huddle.booking", "space.atbb.post"});
  relay.Add(4, {"com.huddle.booking"});
  options_.known_nsids = {"com.huddle.booking", "space.atbb.post"};
  Follow({"space.atbb.*"}, {&relay});
  auto finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Listed("space.atbb.*"); }));
  EXPECT_THAT(WorkOff(), ElementsAre("filter " + Did(1), "filter " + Did(2), "filter " + Did(3)));
  EXPECT_THAT(Runs(), ElementsAre("filter|space.atbb.*|done"));
  finder.reset();

  // Once more, and nothing happens.
  finder = Start();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  finder.reset();
  EXPECT_EQ(relay.hosting().Count(""), 1u);
  EXPECT_THAT(Runs(), SizeIs(1));

  // A rule more: exactly the accounts that have it, but for the one that was taken in since.
  TakenIn(4, 5, "https://pds.example", {"space.atbb.*", "com.huddle.*"});
  Follow({"space.atbb.*", "com.huddle.*"}, {&relay});
  finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Listed("com.huddle.*"); }));
  EXPECT_THAT(WorkOff(), ElementsAre("filter " + Did(3)));
  EXPECT_EQ(relay.hosting().Count(""), 2u);
  finder.reset();

  // It goes, and comes back: all of it again.
  Follow({"space.atbb.*"}, {&relay});
  finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Runs().back() == "filter|com.huddle.*|cancelled"; }));
  finder.reset();
  Follow({"space.atbb.*", "com.huddle.*"}, {&relay});
  finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Listed("com.huddle.*"); }));
  finder.reset();
  EXPECT_THAT(WorkOff(), ElementsAre("filter " + Did(3), "filter " + Did(4)));
  EXPECT_THAT(Runs(), ElementsAre("filter|space.atbb.*|done", "filter|com.huddle.*|cancelled", "filter|com.huddle.*|done"));
}

TEST_P(FinderStoreTest, ANarrowedFilterStaysCovered) {
  Host relay(false);
  relay.Add(1, {"space.atbb.post"});
  options_.known_nsids = {"space.atbb.post"};
  Follow({"space.atbb.*"}, {&relay});
  auto finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Listed("space.atbb.*"); }));
  finder.reset();
  WorkOff();
  Follow({"space.atbb.post"}, {&relay});
  finder = Start();
  ASSERT_TRUE(WaitUntil([&] {
    WorkOff();
    return Runs() == std::vector<std::string>{"filter|space.atbb.*|cancelled", "filter|space.atbb.post|done"};
  })) << testing::PrintToString(Runs());
  finder.reset();
  EXPECT_EQ(relay.hosting().Count(""), 1u) << "by the first run alone";
}

TEST_P(FinderStoreTest, AGapIsOpenUntilItsAccountsAreSettled) {
  Host relay(false), pds(true);
  for (const int n : {1, 2, 3}) TakenIn(n, 5, pds.url(), {"space.atbb.post"});
  pds.Add(1, {"space.atbb.post"}, 5);
  pds.Add(2, {"space.atbb.post"}, 9);
  relay.Add(4, {"space.atbb.post"});
  Follow({"space.atbb.post"}, {&relay});
  auto finder = Start();
  ASSERT_TRUE(WaitUntil([&] { return Listed("space.atbb.post"); }));
  EXPECT_THAT(WorkOff(), ElementsAre("filter " + Did(4)));

  OpenGap(relay.authority(), 200);
  ASSERT_TRUE(WaitUntil([&] { return Runs().size() == 2; }));
  ASSERT_TRUE(WaitUntil([&] { return Value("SELECT count(*) FROM backfill_listing WHERE NOT done") == "0"; }));
  EXPECT_EQ(Value("SELECT count(*) FROM gap WHERE closed_at IS NULL"), "1");

  // Meanwhile it widens: what was compared so far says nothing of the rest.
  clock_.Advance(kSecond);
  OpenGap(relay.authority(), 300);
  ASSERT_TRUE(WaitUntil([&] { return Runs().size() == 3; })) << testing::PrintToString(Runs());
  ASSERT_TRUE(WaitUntil([&] { return Value("SELECT count(*) FROM backfill_listing WHERE NOT done") == "0"; }));
  ASSERT_TRUE(WaitUntil([&] { return Value("SELECT state FROM backfill_run WHERE id = 2") == "cancelled"; }));
  EXPECT_EQ(Value("SELECT count(*) FROM gap WHERE closed_at IS NULL"), "1");
  finder.reset();
  EXPECT_THAT(WorkOff(), ElementsAre("gap " + Did(2) + " " + RevOf(9), "gap " + Did(3), "gap " + Did(4)));
  EXPECT_EQ(Value("SELECT count(*) FROM gap WHERE closed_at IS NULL"), "0");
  EXPECT_THAT(Runs(), ElementsAre("filter|space.atbb.post|done", AllOf(HasSubstr("gap|"), HasSubstr("|cancelled")),
                                  AllOf(HasSubstr("gap|"), HasSubstr("|done"))));
}

// Stopped at any moment, again and again: all is found, and each stop costs one page at most.
TEST_P(FinderStoreTest, StoppedAgainAndAgain) {
  Host pds(true);
  constexpr int kAccounts = 60, kPage = 4;
  pds.hosting().SetPageLimit(kPage);
  for (int n = 1; n <= kAccounts; ++n) pds.Add(n, {n % 3 == 0 ? "space.atbb.post" : "app.bsky.feed.post"});
  Follow({"space.atbb.*"}, {&pds});
  const auto seed = static_cast<unsigned>(std::chrono::steady_clock::now().time_since_epoch().count());
  std::mt19937 random(seed);
  SCOPED_TRACE("seed " + std::to_string(seed));
  size_t stops = 0;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!Listed("space.atbb.*") && std::chrono::steady_clock::now() < until) {
    auto finder = Start();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 12'000));
    finder.reset();
    ++stops;
  }
  EXPECT_EQ(WorkOff().size(), static_cast<size_t>(kAccounts) / 3);
  EXPECT_LE(pds.Asked("listRepos"), kAccounts / kPage + stops);
  EXPECT_LE(pds.Asked("describeRepo"), kAccounts + kPage * stops);
}

INSTANTIATE_TEST_SUITE_P(Databases, FinderStoreTest, testing::Values("sqlite"), 
                         [](const testing::TestParamInfo<std::string>& database) { return database.param; });

}  // namespace
}  // namespace penstock::backfill
