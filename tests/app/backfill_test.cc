// What people see and say of backfills: figures, tables, lists of accounts, and the dry run's counting.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <map>

#include "app/backfill_options.h"
#include "app/backfill_queue.h"
#include "app/backfill_status.h"
#include "app/backfill_work.h"
#include "app/dry_run.h"
#include "app/progress.h"
#include "base/status.h"
#include "tests/support/database/temp_folder.h"

namespace penstock::app {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr char kDid[] = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr char kOther[] = "did:plc:z72i7hdynmk6r22z27h6tvur";

TEST(Progress, SizesAndTimesAreReadable) {
  EXPECT_EQ(ByteText(0), "0 bytes");
  EXPECT_EQ(ByteText(999), "999 bytes");
  EXPECT_EQ(ByteText(1'000), "1.0 kB");
  EXPECT_EQ(ByteText(999'949), "999.9 kB");
  EXPECT_EQ(ByteText(999'999), "1.0 MB");
  EXPECT_EQ(ByteText(5'300'000'000), "5.3 GB");
  EXPECT_EQ(DurationText(-1), "0 s");
  EXPECT_EQ(DurationText(59.9), "59 s");
  EXPECT_EQ(DurationText(3'599), "59 min");
  EXPECT_EQ(DurationText(7'260), "2 h 1 min");
  EXPECT_EQ(DurationText(90'000), "1 days 1 h");
  EXPECT_EQ(CauseText({{"mst_partial", 1'200}, {"host_limited", 3}, {"too_slow", 1}}, 2), "mst_partial 1,200, host_limited 3, ...");
  EXPECT_EQ(CauseText({}, 2), "");
}

TEST(Progress, SpeedIsThatOfTheLastMinute) {
  Speed speed;
  EXPECT_EQ(speed.PerSecond(), 0);
  speed.Add(100, 50);
  EXPECT_EQ(speed.PerSecond(), 0);
  for (int i = 1; i <= 100; ++i) speed.Add(100 + i * 0.1, 50 + static_cast<uint64_t>(i));
  EXPECT_NEAR(speed.PerSecond(), 10, 0.5);
  // A pause of a minute makes the rate fall to nothing.
  for (int i = 0; i <= 61; ++i) speed.Add(110 + i, 150);
  EXPECT_EQ(speed.PerSecond(), 0);
}

TEST(Progress, ALineOfABackfillSaysWhatIsKnownAndNoMore) {
  BackfillMeter meter;
  BackfillFigures figures;
  figures.listings = 2;
  EXPECT_EQ(meter.Line(figures, 0, false), "0 of 0+ accounts, 0 records, 0 bytes, 0.0 accounts/s, 0 bytes/s, 2 listings open");
  figures.listings = 0;
  figures.open = 90;
  figures.done = 9;
  figures.failed = 1;
  figures.records = 1'234;
  figures.bytes = 2'000'000;
  figures.causes = {{"signature_mismatch", 1}};
  EXPECT_EQ(meter.Line(figures, 10, true),
            "[##..................] 10 of 100 accounts, 1,234 records, 2.0 MB, 1.0 accounts/s, 200.0 kB/s, about 1 min left, 1 failed "
            "(signature_mismatch 1)");
}

TEST(BackfillFlags, BecomeTheOptionsOfTheParts) {
  CLI::App app;
  BackfillFlags flags;
  flags.BindSwitch(&app);
  flags.Bind(&app);
  EXPECT_TRUE(flags.on());
  app.parse("--backfill false --backfill-threads 3 --backfill-per-host 5 --host-rate 0.5 --host-burst 1 --max-archive-mb 2 "
            "--retry-first 2 --retry-most 1 --retry-attempts 4 --purge-deleted-after -1 --backfill-from relay.example");
  EXPECT_FALSE(flags.on());
  const auto options = flags.Coordinator();
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(options->threads, 3u);
  EXPECT_EQ(options->per_host, 3u) << "more than there are threads";
  EXPECT_EQ(options->archive.max_bytes, 2u << 20);
  EXPECT_EQ(options->retry.first_us, 2'000'000);
  EXPECT_EQ(options->retry.most_us, 2'000'000) << "never below the first";
  EXPECT_EQ(options->retry.max_attempts, 4);
  EXPECT_LT(options->purge_after_us, 0);
  ResolverFlags resolver;
  flags.LimitHosts(&resolver);
  EXPECT_EQ(resolver.host_rate, 0.5);
  EXPECT_EQ(resolver.host_burst, 1);
  EXPECT_THAT(*flags.CollectionOrigins(), ElementsAre("https://relay.example"));
  const auto finder = MakeFinderOptions(flags, MakeSources({"wss://a.example,wss://b.example:8443"}, {"ws://127.0.0.1:2583"}));
  ASSERT_TRUE(finder.ok());
  ASSERT_EQ(finder->hosts.size(), 3u);
  EXPECT_EQ(finder->hosts[1].origin, "https://b.example:8443");
  EXPECT_FALSE(finder->hosts[1].pds);
  EXPECT_EQ(finder->hosts[2].origin, "http://127.0.0.1:2583");
  EXPECT_TRUE(finder->hosts[2].pds);
  EXPECT_THAT(finder->known_nsids, Not(IsEmpty()));

  BackfillFlags wrong;
  CLI::App other;
  wrong.Bind(&other);
  other.parse("--temp-folder /nowhere/at/all --backfill-from ftp://x");
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.Coordinator().status()));
  EXPECT_TRUE(absl::IsInvalidArgument(wrong.CollectionOrigins().status()));
}

TEST(FilterFlags, RulesAreWhatMayLetRecordsIn) {
  FilterFlags filter;
  EXPECT_THAT(filter.Rules(), ElementsAre("*"));
  filter.collections = {"space.atbb.*", "com.huddle.booking:create,update", "app.bsky.feed.post:delete", "-space.atbb.reaction"};
  EXPECT_THAT(filter.Rules(), ElementsAre("space.atbb.*", "com.huddle.booking"));
  filter.actions = {"delete"};
  EXPECT_THAT(filter.Rules(), IsEmpty());
}

TEST(FilterFlags, AccountsComeFromFilesToo) {
  const test::TempFolder folder;
  const std::string file = folder.path() / "dids.txt";
  std::ofstream(file) << "# forum\n" << kDid << "\n\n  " << kOther << "  \n";
  EXPECT_THAT(*ReadDids("--dids", {file, kDid}), ElementsAre(kDid, kOther, kDid));
  std::ofstream(file) << kDid << "\nnobody\n";
  const absl::Status wrong = ReadDids("--dids", {file}).status();
  EXPECT_TRUE(absl::IsInvalidArgument(wrong));
  EXPECT_THAT(std::string(Message(wrong)), HasSubstr(":2: 'nobody' is no DID"));
  EXPECT_THAT(std::string(Message(ReadDids("--dids", {"/nowhere"}).status())), HasSubstr("/nowhere"));
}

TEST(FetchRequest, TheSameAccountsAreTheSameRun) {
  EXPECT_EQ(SubjectOf("resync", {kDid}), std::string("resync ") + kDid);
  EXPECT_EQ(SubjectOf("dids", {kDid, kOther, kDid}), SubjectOf("dids", {kOther, kDid}));
  EXPECT_NE(SubjectOf("dids", {kDid, kOther}), SubjectOf("dids", {kDid, kOther, "did:web:example.com"}));
  EXPECT_THAT(SubjectOf("dids", {kDid, kOther}), HasSubstr("dids 2 accounts "));
}

TEST(FetchFlags, OnlyFullAndAClockThatGoesOnFit) {
  FetchFlags flags;
  EXPECT_TRUE(CheckFetchFlags(flags).ok());
  flags.pipeline.verify = "signature";
  EXPECT_THAT(std::string(Message(CheckFetchFlags(flags))), HasSubstr("only `full` fits"));
  flags.pipeline.verify = "full";
  flags.pipeline.now = "2026-01-15T12:00:00Z";
  EXPECT_TRUE(absl::IsInvalidArgument(CheckFetchFlags(flags)));
  flags.pipeline.now.clear();
  flags.relays = {"ftp://x"};
  EXPECT_TRUE(absl::IsInvalidArgument(CheckFetchFlags(flags)));
}

// The parts of a queue that the code under test reads, from memory.
class FakeQueue : public sync::BackfillStore {
 public:
  std::vector<sync::BackfillRun> runs;
  std::map<int64_t, sync::RunTotals> totals;
  std::vector<sync::Listing> listings;
  std::map<std::string, sync::KnownAccount> known;
  std::vector<std::string> seeds;
  std::vector<bool> pages_done;
  std::optional<int64_t> due;

  absl::StatusOr<int64_t> OpenRun(sync::RunKind kind, std::string_view subject, int64_t now_us, bool*) override {
    for (const sync::BackfillRun& run : runs) {
      if (run.state == sync::RunState::kOpen && run.kind == kind && run.subject == subject) return run.id;
    }
    runs.push_back({static_cast<int64_t>(runs.size()) + 1, kind, std::string(subject), sync::RunState::kOpen, now_us, 0});
    return runs.back().id;
  }
  absl::Status LoadRuns(bool open_only, std::vector<sync::BackfillRun>* out) override {
    for (const sync::BackfillRun& run : runs) {
      if (!open_only || run.state == sync::RunState::kOpen) out->push_back(run);
    }
    return absl::OkStatus();
  }
  absl::Status LoadTotals(int64_t run, sync::RunTotals* out) override {
    *out = totals[run];
    return absl::OkStatus();
  }
  absl::Status CancelRun(int64_t, int64_t) override { return absl::OkStatus(); }
  absl::Status EndFinishedRuns(int64_t, std::vector<sync::BackfillRun>*) override { return absl::OkStatus(); }
  absl::Status AddListings(std::span<const sync::Listing> more) override {
    listings.insert(listings.end(), more.begin(), more.end());
    return absl::OkStatus();
  }
  absl::Status LoadListings(int64_t, size_t, std::vector<sync::Listing>* out) override {
    *out = listings;
    return absl::OkStatus();
  }
  absl::Status SavePage(const sync::Listing& listing, std::span<const sync::TaskSeed> tasks, std::span<const sync::Listing>,
                        int64_t) override {
    for (const sync::TaskSeed& task : tasks) seeds.push_back(task.did);
    pages_done.push_back(listing.done);
    return absl::OkStatus();
  }
  absl::Status Claim(std::string_view, int64_t, int64_t, size_t, std::vector<sync::BackfillTask>*) override {
    return absl::OkStatus();
  }
  absl::Status Renew(std::string_view, int64_t) override { return absl::OkStatus(); }
  absl::Status Recover(std::string_view, std::string_view, int64_t) override { return absl::OkStatus(); }
  absl::Status SetOutcome(const sync::BackfillTask&, std::string_view, const sync::TaskOutcome&, int64_t) override {
    return absl::OkStatus();
  }
  absl::StatusOr<std::optional<int64_t>> NextDue() override { return due; }
  absl::StatusOr<size_t> QueueUnsettled(const Throttle&, int64_t, size_t) override { return size_t{0}; }
  absl::Status LoadOpenGaps(std::vector<sync::OpenGap>*) override { return absl::OkStatus(); }
  absl::Status LoadKnown(std::string_view, size_t, std::vector<sync::KnownAccount>* accounts) override {
    for (const auto& [did, account] : known) accounts->push_back(account);
    return absl::OkStatus();
  }
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) override {
    const auto found = known.find(std::string(did));
    if (found == known.end()) return NotFoundError("no such account");
    return found->second;
  }
  absl::StatusOr<bool> HasCoverage(std::string_view, std::string_view) override { return false; }
  absl::Status LoadToPurge(int64_t, size_t, std::vector<std::string>*) override { return absl::OkStatus(); }
};

TEST(QueueRequest, PagesAreDoneOnlyWithTheLast) {
  FakeQueue queue;
  const FixedClock clock(1'000'000);
  FetchRequest request;
  request.subject = "dids";
  for (int i = 0; i < 2'500; ++i) request.dids.push_back("did:web:a" + std::to_string(i) + ".example");
  const auto run = QueueRequest(request, clock, &queue);
  ASSERT_TRUE(run.ok());
  EXPECT_EQ(queue.seeds, request.dids);
  EXPECT_THAT(queue.pages_done, ElementsAre(false, false, true));
  ASSERT_EQ(queue.listings.size(), 1u);
  EXPECT_FALSE(queue.listings[0].done) << "open before the first page, so that the run cannot end without its accounts";
  EXPECT_GT(queue.listings[0].not_before, clock.NowMicros()) << "nobody else works it off meanwhile";
  EXPECT_EQ(*QueueRequest(request, clock, &queue), *run) << "the same words are the same run";

  queue.totals[*run].done = 3;
  const auto progress = LoadProgress(*run, &queue);
  ASSERT_TRUE(progress.ok());
  EXPECT_FALSE(progress->ended);
  EXPECT_EQ(progress->totals.done, 3u);
  queue.runs[0].state = sync::RunState::kDone;
  EXPECT_TRUE(LoadProgress(*run, &queue)->ended);
  EXPECT_TRUE(absl::IsNotFound(LoadProgress(*run + 1, &queue).status()));
}

TEST(CompleteFilter, KeepsWhatTheStoreWasFilledBy) {
  FakeQueue queue;
  FilterFlags none, given;
  EXPECT_TRUE(absl::IsInvalidArgument(CompleteFilter(none, {}, &queue).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CompleteFilter(none, {}, nullptr).status()));
  queue.runs = {{1, sync::RunKind::kFilter, "space.atbb.*", sync::RunState::kDone, 1, 2},
                {2, sync::RunKind::kFilter, "sh.tangled.*", sync::RunState::kCancelled, 1, 2},
                {3, sync::RunKind::kManual, "all", sync::RunState::kDone, 1, 2}};
  EXPECT_THAT(CompleteFilter(none, {"com.huddle.*"}, &queue)->collections, ElementsAre("com.huddle.*", "space.atbb.*"));
  given.collections = {"app.bsky.*"};
  EXPECT_THAT(CompleteFilter(given, {"com.huddle.*"}, &queue)->collections, ElementsAre("app.bsky.*"));
}

TEST(QueueStatus, IsATableForPeopleAndAnObjectForMachines) {
  FakeQueue queue;
  const int64_t now = 1'767'225'600'000'000;  // 2026-01-01T00:00:00Z
  EXPECT_THAT(QueueStatusText(*LoadQueueStatus(&queue, now, false)), HasSubstr("the queue is empty"));
  queue.runs = {{2, sync::RunKind::kManual, "all", sync::RunState::kOpen, now - 600'000'000, 0},
                {1, sync::RunKind::kResync, "", sync::RunState::kOpen, now - 900'000'000, 0}};
  queue.totals[2].done = 60;
  queue.totals[2].queued = 110;
  queue.totals[2].running = 10;
  queue.totals[2].records = 12'345;
  queue.totals[2].bytes = 3'400'000;
  queue.totals[2].causes = {{"host_unavailable", 7}};
  queue.listings = {{2, "https://pds.example", "listRepos", "", true, "x", false, 1, now + 5'000'000, "host_limited", 170}};
  queue.due = now + 60'000'000;
  const auto status = LoadQueueStatus(&queue, now, false);
  ASSERT_TRUE(status.ok());
  const std::string text = QueueStatusText(*status);
  for (const char* part : {"about 20 min", "12,345", "3.4 MB", "run 2: host_unavailable 7", "https://pds.example", "host_limited",
                           "nothing is due before 2026-01-01T00:01:00Z"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  const boost::json::value json = boost::json::parse(QueueStatusJson(*status));
  const boost::json::value& run = json.at("runs").at(0);
  EXPECT_EQ(run.at("kind").as_string(), "manual");
  EXPECT_EQ(run.at("done").to_number<int>(), 60);
  EXPECT_EQ(run.at("estimated_end").as_string(), "2026-01-01T00:20:00Z");
  EXPECT_EQ(run.at("causes").at(0).at("tasks").to_number<int>(), 7);
  EXPECT_TRUE(json.at("runs").at(1).at("estimated_end").is_null()) << "the standing run has no end";
  EXPECT_EQ(json.at("listings").at(0).at("method").as_string(), "listRepos");
  // While accounts are still looked for nobody knows the end.
  queue.totals[2].open_listings = 1;
  EXPECT_FALSE(LoadQueueStatus(&queue, now, false)->runs[0].left_us);
}

TEST(DryRun, CountsEachAccountOnceByHost) {
  auto known = std::make_unique<FakeQueue>();
  sync::KnownAccount account;
  account.did = kDid;
  account.sync_state = sync::SyncState::kSynchronized;
  account.rev = "3lxr54avspe5j";
  account.pds = "https://pds.example";
  known->known[kDid] = account;
  DryRun dry(std::move(known), /*attempts=*/2);
  sync::Listing listing;
  listing.host = "https://relay.example";
  listing.method = "listRepos";
  ASSERT_TRUE(dry.Add({listing}, {}).ok());
  EXPECT_FALSE(dry.done());
  const auto queue = dry.Queue();
  std::vector<sync::Listing> open;
  ASSERT_TRUE(queue->LoadListings(0, 10, &open).ok());
  ASSERT_EQ(open.size(), 1u);

  const std::vector<sync::TaskSeed> seeds = {{kDid, "3lxr54avspe5j", "https://relay.example"},
                                             {kOther, "3lxr54avspe5j", "https://relay.example"},
                                             {kOther, "", "https://relay.example"}};
  listing.cursor = "2";
  ASSERT_TRUE(queue->SavePage(listing, seeds, {}, 0).ok());
  EXPECT_FALSE(dry.done());
  listing.attempts = 2;
  listing.cause = "host_unavailable";
  ASSERT_TRUE(queue->SavePage(listing, {}, {}, 0).ok());
  EXPECT_TRUE(dry.done()) << "given up after two attempts";
  ASSERT_EQ(dry.faults().size(), 1u);
  EXPECT_EQ(dry.faults()[0].cause, "host_unavailable");
  ASSERT_TRUE(queue->AddListings({&listing, 1}).ok());
  EXPECT_TRUE(dry.done()) << "a place is looked at once";

  EXPECT_EQ(dry.accounts(), 2u);
  const std::vector<DryRunHost> hosts = dry.hosts();
  ASSERT_EQ(hosts.size(), 2u);
  std::map<std::string, DryRunHost> by_name;
  for (const DryRunHost& host : hosts) by_name[host.host] = host;
  EXPECT_EQ(by_name["https://pds.example"].current, 1u) << "at its own host, and as new as listed";
  EXPECT_EQ(by_name["https://relay.example"].known, 0u);
  EXPECT_FALSE(queue->Claim("o", 0, 0, 1, nullptr).ok()) << "nobody may work here";
}

}  // namespace
}  // namespace penstock::app
