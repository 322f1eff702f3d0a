// Finding accounts, asked of hosts over real sockets: what is found, what is asked, and what a fault, a crash or a host without
// the method makes of it.

#include "backfill/finder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <future>
#include <thread>

#include "base/status.h"
#include "tests/backfill/finder_testing.h"
#include "tests/support/backfill/memory_backfill_store.h"
#include "tests/support/identity/scripted_resolver.h"

namespace penstock::backfill {
namespace {

using fixtures::DirectoryReply;
using fixtures::HostedRepo;
using fixtures::HostingFault;
using sync::KnownAccount;
using sync::Listing;
using sync::RunKind;
using sync::RunState;
using sync::SyncState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class FinderTest : public testing::Test {
 protected:
  FinderTest() {
    client_ = *net::XrpcClient::Create(HastyClient(), &clock_, &counters_);
    options_.poll_us = 3'000;
  }

  // ---- What the operator wants
  void Follow(std::vector<std::string> rules, std::initializer_list<Host*> hosts) {
    options_.rules = rules;
    options_.hosts.clear();
    for (const Host* host : hosts) options_.hosts.push_back(host->finder());
    indexer::FilterOptions filter;
    filter.collections = std::move(rules);
    filter.exclude_dids = excluded_;
    filter_ = std::make_unique<indexer::Filter>(*indexer::Filter::Make(filter));
  }

  void Start() {
    finder_ = std::make_unique<Finder>(options_, queue_.Open(), client_.get(), &resolver_, filter_.get(), &clock_, &counters_,
                                       [this](LogLevel, std::string line) {
                                         const std::lock_guard lock(log_mutex_);
                                         log_.push_back(std::move(line));
                                       });
    finder_->Start([this](const absl::Status& status) { failure_.set_value(status); });
  }
  void Stop() { finder_.reset(); }

  bool Wait(const std::function<bool()>& reached) { return WaitUntil(reached); }
  // Some turns of the finder's loop.
  void Linger() { std::this_thread::sleep_for(std::chrono::milliseconds(60)); }
  // Waits as long as it takes: time passes in big steps, so nothing is asked twice because of a wait that is too short.
  bool WaitAdvancing(const std::function<bool()>& reached, int64_t step_us = 5 * kSecond) {
    return Wait([&] {
      if (reached()) return true;
      clock_.Advance(step_us);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return false;
    });
  }
  // `already`: listings that were there before.
  bool AllListed(size_t already = 0) const {
    const std::vector<Listing> listings = queue_.listings();
    return listings.size() > already && std::all_of(listings.begin(), listings.end(), [](const Listing& l) { return l.done; });
  }
  // Until every listing has come to its end, and there are more than `already`.
  void Find() { Find(queue_.listings().size()); }
  void Find(size_t already) {
    Start();
    EXPECT_TRUE(Wait([&] { return AllListed(already); })) << testing::PrintToString(Listings());
    Stop();
  }

  // ---- What is seen
  std::vector<std::string> Listings() const {
    std::vector<std::string> lines;
    for (const Listing& listing : queue_.listings()) {
      std::string line = listing.method;
      if (!listing.argument.empty()) line += " " + listing.argument;
      if (!listing.done) line += " (open)";
      if (!listing.cause.empty()) line += " " + listing.cause;
      lines.push_back(std::move(line));
    }
    return lines;
  }
  std::vector<std::string> Runs() const {
    std::vector<std::string> lines;
    for (const sync::BackfillRun& run : queue_.runs()) {
      lines.push_back(std::string(RunKindName(run.kind)) + " " + run.subject + " " + std::string(RunStateName(run.state)));
    }
    return lines;
  }
  std::vector<std::string> Log() const {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }

  void Know(int number, int rev, bool active = true, std::string status = {}, std::string pds = {},
            SyncState state = SyncState::kSynchronized) {
    KnownAccount account;
    account.did = Did(number);
    account.sync_state = state;
    account.rev = rev == 0 ? "" : RevOf(rev);
    account.active = active;
    account.status = std::move(status);
    account.pds = std::move(pds);
    queue_.AddKnown(std::move(account));
  }
  void Serve(int number, const std::string& pds) {
    auto identity = std::make_shared<identity::Identity>();
    identity->did = Did(number);
    identity->pds = pds;
    resolver_.Serve(Did(number), std::move(identity));
  }
  std::string OpenGap(const std::string& source) {
    const sync::OpenGap gap{source, "0/1", 100, "outdated_cursor", kNow};
    queue_.AddGap(gap);
    return gap.Text();
  }
  // As an operator's verb does.
  int64_t Manual(Listing listing) {
    const auto store = queue_.Open();
    listing.run = *store->OpenRun(RunKind::kManual, "by hand", kNow, nullptr);
    EXPECT_TRUE(store->AddListings(std::vector<Listing>{listing}).ok());
    return listing.run;
  }
  // All open runs without open listings: as if their tasks were done.
  void EndRuns() {
    std::vector<sync::BackfillRun> ended;
    EXPECT_TRUE(queue_.Open()->EndFinishedRuns(kNow, &ended).ok());
  }

  FixedClock clock_{kNow};
  Counters counters_;
  std::vector<std::string> excluded_;
  std::unique_ptr<indexer::Filter> filter_;
  FinderOptions options_;
  test::MemoryQueue queue_;
  test::ScriptedResolver resolver_;
  std::unique_ptr<net::XrpcClient> client_;
  mutable std::mutex log_mutex_;
  std::vector<std::string> log_;
  std::promise<absl::Status> failure_;
  std::unique_ptr<Finder> finder_;
};

// ---- Rules

TEST_F(FinderTest, AnExactRuleAsksForItsCollectionAlone) {
  Host relay(false);
  for (const int n : {1, 2, 3}) relay.Add(n, {"space.atbb.post"});
  relay.Add(4, {"app.bsky.feed.post"});
  Follow({"space.atbb.post"}, {&relay});
  Find();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.post open"));
  EXPECT_THAT(queue_.tasks(1), testing::ElementsAreArray(Dids({1, 2, 3})));
  EXPECT_THAT(Listings(), ElementsAre("listReposByCollection space.atbb.post"));
  EXPECT_EQ(relay.hosting().Count(""), 1u) << "one request in all";
}

TEST_F(FinderTest, AnAddedRuleLooksForExactlyTheAccountsThatHaveIt) {
  Host relay(false);
  for (const int n : {1, 2, 3}) relay.Add(n, {"space.atbb.post"});
  for (const int n : {3, 4}) relay.Add(n, {"com.huddle.booking", "space.atbb.post"});
  relay.Add(5, {"com.huddle.booking"});
  options_.known_nsids = {"com.huddle.booking", "com.huddle.slotOffer", "space.atbb.post"};
  const auto store = queue_.Open();
  const int64_t before = *store->OpenRun(RunKind::kFilter, "space.atbb.*", kNow, nullptr);
  Listing covered;
  covered.run = before;
  covered.done = true;
  ASSERT_TRUE(store->AddListings(std::vector<Listing>{covered}).ok());
  EndRuns();
  queue_.AddCoverage(Did(5), "com.huddle.*");  // taken in already, since the rule was added

  Follow({"space.atbb.*", "com.huddle.*"}, {&relay});
  Find();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.* done", "filter com.huddle.* open"));
  EXPECT_THAT(queue_.tasks(2), testing::ElementsAreArray(Dids({3, 4})));
  EXPECT_EQ(relay.Asked("listReposByCollection"), 2u);
  EXPECT_EQ(relay.hosting().Count(""), 2u) << "and nothing else";
}

TEST_F(FinderTest, AccountsThatNobodyWantsAreNotFound) {
  Host relay(false);
  for (const int n : {1, 2, 3}) relay.Add(n, {"space.atbb.post"});
  relay.server().SetReply("/xrpc/com.atproto.sync.listReposByCollection?collection=space.atbb.post&limit=2000",
                          DirectoryReply::Of(200, R"({"repos":[{"did":")" + Did(1) + R"("},{"did":")" + Did(2) +
                                                      R"("},{"did":"did:key:zQ3sh"},{"did":"did:plc:short"},{"did":"nonsense"},)" +
                                                      R"({"did":"did:web:carol.example"},{"did":")" + Did(1) +
                                                      R"("},{},[],7]})"));
  excluded_ = {Did(2)};
  Follow({"space.atbb.post"}, {&relay});
  Find();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1), "did:web:carol.example"));
  EXPECT_GT(counters_.Of("backfill_listed_malformed"), 0u);
}

TEST_F(FinderTest, APdsListsItsAccountsAndDescribesEach) {
  Host pds(true);
  pds.Add(1, {"app.bsky.feed.post", "space.atbb.post"});
  pds.Add(2, {"app.bsky.feed.post"});
  pds.Add(3, {"space.atbb.membership"});
  pds.Add(4, {});
  pds.Add(5, {"space.atbbx.post"});
  Follow({"space.atbb.*"}, {&pds});
  Find();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1), Did(3) + " " + RevOf(1)));
  EXPECT_EQ(pds.Asked("listRepos"), 1u);
  EXPECT_EQ(pds.Asked("describeRepo"), 5u);
}

TEST_F(FinderTest, AnExcludedCollectionIsNoReason) {
  Host pds(true);
  pds.Add(1, {"space.atbb.post"});
  pds.Add(2, {"space.atbb.reaction"});
  Follow({"space.atbb.*"}, {&pds});
  indexer::FilterOptions filter;
  filter.collections = {"space.atbb.*", "-space.atbb.reaction"};
  *filter_ = *indexer::Filter::Make(filter);
  Find();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1)));
}

TEST_F(FinderTest, WhereNothingIsServedTheNextBestIsAsked) {
  Host relay(false), pds(true);
  relay.Fail(HostingFault::NotServed().On("listReposByCollection"));
  for (const int n : {1, 2, 3, 4}) {
    relay.Add(n, {});
    Serve(n, pds.url());
  }
  pds.Add(1, {"space.atbb.post"});
  pds.Add(2, {"app.bsky.feed.post"});
  pds.Add(3, {"space.atbb.post"});
  Follow({"space.atbb.post"}, {&relay});
  Find();
  EXPECT_THAT(Listings(), ElementsAre("listReposByCollection space.atbb.post not_served", "listHosts space.atbb.post not_served",
                                      "listRepos space.atbb.post"));
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1), Did(3) + " " + RevOf(1)));
  EXPECT_EQ(relay.Asked("describeRepo"), 0u) << "a relay has no repositories";
  EXPECT_EQ(pds.Asked("describeRepo"), 4u);
}

TEST_F(FinderTest, EverythingIsFoundThroughTheHostsOfARelay) {
  Host relay(false), one(true), two(true), offline(true);
  one.Add(1, {"a.b.c"});
  one.Add(2, {});
  two.Add(3, {"d.e.f"});
  relay.hosting().SetHosts("", {{one.authority(), "active", 2},
                                {two.authority(), "idle", 1},
                                {offline.authority(), "offline", 0},
                                {"banned.example", "banned", 0}});
  Follow({"*"}, {&relay});
  Find();
  EXPECT_THAT(queue_.tasks(1), SizeIs(3));
  EXPECT_THAT(Listings(), UnorderedElementsAre("listHosts", "listRepos", "listRepos"));
  EXPECT_EQ(one.Asked("describeRepo"), 0u) << "whatever it has is wanted";
  EXPECT_EQ(offline.hosting().Count(""), 0u);
  for (const Listing& listing : queue_.listings()) EXPECT_EQ(listing.trusted, listing.method == "listHosts");
}

TEST_F(FinderTest, InactiveAccountsAreKeptInMindWhereTheyLive) {
  Host pds(true), other(true);
  for (const int n : {1, 2, 3, 4}) pds.Add(n, {"space.atbb.post"});
  pds.hosting().SetStatus("", Did(1), false, "deactivated");
  pds.hosting().SetStatus("", Did(2), false, "deactivated");  // moved away, and has nothing of interest there
  pds.hosting().SetStatus("", Did(3), false, "deactivated");  // moved away with it
  pds.hosting().SetStatus("", Did(4), false, "deleted");
  Serve(1, pds.url());
  Serve(2, other.url());
  Serve(3, other.url());
  other.Add(2, {"app.bsky.feed.post"});
  other.Add(3, {"space.atbb.post"});
  Follow({"space.atbb.*"}, {&pds});
  Find();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1), Did(3) + " " + RevOf(1)));
}

// ---- Crashes

// Ten accounts in pages of three, and the program dies after each page in turn: nothing is lost, and no more is asked for again
// than the page that was under way.
TEST_F(FinderTest, KilledAtEachPageNothingIsLost) {
  for (size_t dies_at = 0; dies_at <= 4; ++dies_at) {
    SCOPED_TRACE(dies_at);
    test::MemoryQueue fresh;
    Host pds(true);
    pds.hosting().SetPageLimit(3);
    for (int n = 1; n <= 10; ++n) pds.Add(n, {n % 2 == 0 ? "space.atbb.post" : "app.bsky.feed.post"});
    Follow({"space.atbb.*"}, {&pds});

    size_t saves = 0;
    std::promise<void> died;
    bool dead = false;
    fresh.SetFault([&](std::string_view method) {
      if (method != "SavePage" || saves++ < dies_at) return absl::OkStatus();
      if (!std::exchange(dead, true)) died.set_value();
      return UnavailableError("killed");
    });
    const auto run = [&](const std::function<bool()>& until) {
      Finder finder(options_, fresh.Open(), client_.get(), &resolver_, filter_.get(), &clock_, &counters_, nullptr);
      finder.Start([](const absl::Status& status) { ADD_FAILURE() << status; });
      EXPECT_TRUE(Wait(until));
    };
    const auto all_listed = [&] {
      const std::vector<Listing> listings = fresh.listings();
      return !listings.empty() && std::all_of(listings.begin(), listings.end(), [](const Listing& l) { return l.done; });
    };
    if (dies_at < 4) {
      auto future = died.get_future();
      run([&] { return future.wait_for(std::chrono::seconds(0)) == std::future_status::ready; });
    }
    fresh.SetFault(nullptr);
    run(all_listed);

    EXPECT_THAT(fresh.tasks(1), SizeIs(5));
    const bool killed = dies_at < 4;
    EXPECT_EQ(pds.Asked("listRepos"), killed ? 5u : 4u);
    EXPECT_EQ(pds.Asked("describeRepo"), !killed ? 10u : dies_at == 3 ? 11u : 13u);
    for (int n = 1; n <= 10; ++n) {
      const bool twice = killed && static_cast<size_t>((n - 1) / 3) == dies_at;
      EXPECT_EQ(pds.Asked("describeRepo", Did(n)), twice ? 2u : 1u) << n;
    }
  }
}

// Between the two transactions that open a run: it is open without a listing, and that is not the same as done.
TEST_F(FinderTest, KilledBeforeARunHasItsListings) {
  Host relay(false);
  relay.Add(1, {"space.atbb.post"});
  Follow({"space.atbb.post"}, {&relay});
  std::promise<void> reached;
  bool once = false;
  queue_.SetFault([&](std::string_view method) {
    if (method != "AddListings") return absl::OkStatus();
    if (!std::exchange(once, true)) reached.set_value();
    return UnavailableError("killed");
  });
  Start();
  ASSERT_EQ(reached.get_future().wait_for(std::chrono::seconds(10)), std::future_status::ready);
  Stop();
  EXPECT_THAT(queue_.listings(), IsEmpty());
  queue_.SetFault(nullptr);
  EndRuns();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.post open"));
  Find();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.post open"));
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1)));
}

// ---- The store

TEST_F(FinderTest, NothingIsDecidedFromWhatCannotBeRead) {
  Host relay(false);
  Follow({"space.atbb.post"}, {&relay});
  for (const char* method : {"LoadRuns", "LoadOpenGaps"}) {
    queue_.SetFault([method](std::string_view called) {
      return called == method ? UnavailableError("the database restarts") : absl::OkStatus();
    });
    Start();
    Linger();
    Stop();
    EXPECT_THAT(queue_.runs(), IsEmpty()) << method;
    EXPECT_THAT(Log(), ElementsAre(HasSubstr("waits for the store"))) << method;
    log_.clear();
  }
  EXPECT_EQ(relay.hosting().Count(""), 0u);
}

TEST_F(FinderTest, AStoreThatIsAwayForAMomentIsWaitedFor) {
  Host pds(true);
  for (int n = 1; n <= 6; ++n) pds.Add(n, {"space.atbb.post"});
  pds.hosting().SetPageLimit(2);
  Follow({"space.atbb.post"}, {&pds});
  std::map<std::string, int, std::less<>> calls;
  queue_.SetFault([&](std::string_view method) {  // the first call of each kind
    return calls[std::string(method)]++ == 0 ? UnavailableError("not now") : absl::OkStatus();
  });
  Find();
  EXPECT_THAT(queue_.tasks(1), SizeIs(6));
  EXPECT_EQ(pds.Asked("listRepos"), 4u) << "the page whose account could not be looked up, once more";
}

TEST_F(FinderTest, AStoreThatFailedForGoodEndsIt) {
  Host relay(false);
  Follow({"*"}, {&relay});
  queue_.SetFault([](std::string_view) { return FailedPreconditionError("a schema that is newer than this program"); });
  Start();
  auto failure = failure_.get_future();
  ASSERT_EQ(failure.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  EXPECT_TRUE(absl::IsFailedPrecondition(failure.get()));
  Stop();
}

// ---- Hosts with faults

TEST_F(FinderTest, FaultsOfAHostAreWaitedOut) {
  for (int kind = 0; kind < 6; ++kind) {
    SCOPED_TRACE(kind);
    Host relay(false);
    test::MemoryQueue fresh;
    for (const int n : {1, 2, 3}) relay.Add(n, {"space.atbb.post"});
    relay.hosting().SetPageLimit(1);
    HostingFault fault = kind == 0   ? HostingFault::Limited("1")
                         : kind == 1 ? HostingFault::Status(503)
                         : kind == 2 ? HostingFault::Drop()
                         : kind == 3 ? HostingFault::Stall()
                         : kind == 4 ? HostingFault::Page()
                                     : HostingFault::CutAt(10);
    relay.Fail(std::move(fault).Every(2).Times(3));
    Follow({"space.atbb.post"}, {&relay});
    Finder finder(options_, fresh.Open(), client_.get(), &resolver_, filter_.get(), &clock_, &counters_, nullptr);
    finder.Start([](const absl::Status& status) { ADD_FAILURE() << status; });
    EXPECT_TRUE(Wait([&] { return fresh.saves() >= 1; }));
    ASSERT_FALSE(fresh.listings().empty());
    const Listing faulty = fresh.listings()[0];
    EXPECT_EQ(faulty.attempts, 1);
    EXPECT_EQ(faulty.cause, kind == 0 ? "host_limited" : "host_unavailable");
    EXPECT_GE(faulty.not_before, kNow + 5 * kSecond) << "half of the first wait at least";
    EXPECT_TRUE(WaitAdvancing([&] { return fresh.listings()[0].done; }, 60 * kSecond));
    EXPECT_EQ(fresh.tasks(1), Dids({1, 2, 3}));
    EXPECT_EQ(fresh.listings()[0].attempts, 0);
    EXPECT_EQ(fresh.listings()[0].cause, "");
    finder.Stop();
    clock_.Set(kNow);
  }
}

TEST_F(FinderTest, WaitsGrowToTheirMost) {
  Host relay(false);
  relay.server().SetDown(true);
  Follow({"space.atbb.post"}, {&relay});
  options_.retry_first_us = 10 * kSecond;
  options_.retry_most_us = 100 * kSecond;
  Start();
  for (int64_t attempt = 1; attempt <= 6; ++attempt) {
    ASSERT_TRUE(Wait([&] { return queue_.saves() == static_cast<size_t>(attempt); }));
    const Listing listing = queue_.listings()[0];
    EXPECT_EQ(listing.attempts, attempt);
    EXPECT_FALSE(listing.done);
    const int64_t ceiling = std::min<int64_t>(100 * kSecond, (10 * kSecond) << (attempt - 1));
    const int64_t wait = listing.not_before - clock_.NowMicros();
    EXPECT_GE(wait, ceiling / 2);
    EXPECT_LE(wait, std::max(ceiling, 2 * kSecond));
    Linger();
    EXPECT_EQ(queue_.saves(), static_cast<size_t>(attempt)) << "not before its time";
    clock_.Set(listing.not_before);
  }
  Stop();
  EXPECT_THAT(Log(), testing::Contains(HasSubstr("host_unavailable"))) << "said once";
  EXPECT_EQ(std::count_if(log_.begin(), log_.end(), [](const std::string& l) { return l.find("host_unav") != l.npos; }), 1);
}

TEST_F(FinderTest, ACursorThatLeadsInCirclesIsAFault) {
  Host relay(false);
  const std::string target = "/xrpc/com.atproto.sync.listReposByCollection?collection=space.atbb.post&limit=2000";
  const auto page = [](int n, std::string cursor) {
    return DirectoryReply::Of(200, R"({"repos":[{"did":")" + Did(n) + R"("}],"cursor":")" + cursor + R"("})");
  };
  relay.server().SetReply(target, page(1, "a"));
  relay.server().SetReply(target + "&cursor=a", page(2, "b"));
  relay.server().SetReply(target + "&cursor=b", page(3, "c"));
  relay.server().SetReply(target + "&cursor=c", page(4, "a"));
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(Wait([&] { return !queue_.listings().empty() && queue_.listings()[0].attempts == 1; }));
  EXPECT_THAT(Listings(), ElementsAre("listReposByCollection space.atbb.post (open) repeated_cursor"));
  EXPECT_EQ(queue_.listings()[0].cursor, "c");
  EXPECT_EQ(relay.server().request_count(), 4u);

  relay.server().SetReply(target + "&cursor=c", page(4, "c"));  // the shortest circle
  ASSERT_TRUE(WaitAdvancing([&] { return queue_.listings()[0].attempts == 2; }));
  relay.server().SetReply(target + "&cursor=c", DirectoryReply::Of(200, R"({"repos":[{"did":")" + Did(4) + R"("}]})"));
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }));
  Stop();
  EXPECT_EQ(queue_.tasks(1), Dids({1, 2, 3, 4}));
}

TEST_F(FinderTest, PagesWithoutEntriesDoNotGoOnForEver) {
  Host relay(false);
  const std::string target = "/xrpc/com.atproto.sync.listReposByCollection?collection=space.atbb.post&limit=2000";
  const auto empty = [](int cursor) {
    return DirectoryReply::Of(200, R"({"repos":[],"cursor":")" + std::to_string(cursor) + R"("})");
  };
  relay.server().SetReply(target, empty(0));
  for (int i = 0; i < 300; ++i) relay.server().SetReply(target + "&cursor=" + std::to_string(i), empty(i + 1));
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(Wait([&] { return !queue_.listings().empty() && queue_.listings()[0].attempts == 1; }));
  Stop();
  EXPECT_EQ(relay.server().request_count(), 101u);
}

TEST_F(FinderTest, MalformedPagesChangeNothing) {
  const std::string target = "/xrpc/com.atproto.sync.listRepos?limit=1000";
  for (const char* body : {"", "null", "[]", "{}", R"({"repos":{}})", R"({"repos":"no"})", R"({"repos":[],"cursor":7})",
                           R"({"repos":[)"}) {
    SCOPED_TRACE(body);
    Host pds(true);
    test::MemoryQueue fresh;
    pds.server().SetReply(target, DirectoryReply::Of(200, body));
    Follow({"*"}, {&pds});
    Finder finder(options_, fresh.Open(), client_.get(), &resolver_, filter_.get(), &clock_, &counters_, nullptr);
    finder.Start([](const absl::Status& status) { ADD_FAILURE() << status; });
    EXPECT_TRUE(Wait([&] { return fresh.saves() == 1; }));
    finder.Stop();
    const Listing listing = fresh.listings()[0];
    EXPECT_FALSE(listing.done);
    EXPECT_EQ(listing.attempts, 1);
    EXPECT_EQ(listing.cursor, "");
    EXPECT_THAT(fresh.tasks(1), IsEmpty());
  }
}

TEST_F(FinderTest, WhatAStrangerRefusesForLongIsItsLastWord) {
  Host relay(false), stranger(true);
  stranger.Fail(HostingFault::Status(403, "Forbidden"));
  relay.hosting().SetHosts("", {{stranger.authority(), "active", 2}});
  Follow({"*"}, {&relay});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }, 3600 * kSecond));
  Stop();
  EXPECT_THAT(Listings(), ElementsAre("listHosts", "listRepos host_refused"));
  EXPECT_EQ(stranger.Asked("listRepos"), 12u);
}

TEST_F(FinderTest, TheOperatorsHostIsNeverGivenUp) {
  Host relay(false);
  relay.Fail(HostingFault::Status(403, "Forbidden"));
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return !queue_.listings().empty() && queue_.listings()[0].attempts > 15; }, 3600 * kSecond));
  EXPECT_THAT(Listings(), ElementsAre("listReposByCollection space.atbb.post (open) host_refused"));
  relay.hosting().ClearFaults();
  relay.Add(1, {"space.atbb.post"});
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }, 3600 * kSecond));
  Stop();
  EXPECT_EQ(queue_.tasks(1), Dids({1}));
}

// Nobody says which accounts there are: that is not the same as none.
TEST_F(FinderTest, AHostThatListsNothingLeavesTheRunOpen) {
  Host relay(false);
  relay.Fail(HostingFault::NotServed());
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(Wait([&] { return queue_.listings().size() == 3 && queue_.listings()[2].attempts == 1; }));
  Stop();
  EXPECT_THAT(Listings(), ElementsAre("listReposByCollection space.atbb.post not_served", "listHosts space.atbb.post not_served",
                                      "listRepos space.atbb.post (open) not_served"));
  EndRuns();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.post open"));
}

TEST_F(FinderTest, AStrangerMayNotListForEver) {
  Host stranger(true);
  stranger.hosting().SetPageLimit(1);
  for (const int n : {1, 2, 3}) stranger.Add(n, {});
  Follow({"*"}, {});
  options_.decide = false;
  Listing listing;
  listing.host = stranger.url();
  listing.method = "listRepos";
  listing.found = 5'000'000 - 2;
  Manual(listing);
  Find(0);
  EXPECT_THAT(queue_.tasks(1), SizeIs(2));
  EXPECT_THAT(Listings(), ElementsAre("listRepos too_many_accounts"));
}

TEST_F(FinderTest, ASlowHostHoldsNobodyUp) {
  Host relay(false);
  std::vector<std::unique_ptr<Host>> silent;
  std::vector<fixtures::HostedHost> hosts;
  for (int i = 0; i < 12; ++i) {
    silent.push_back(std::make_unique<Host>(true));
    silent.back()->Fail(HostingFault::Stall());
    hosts.push_back({silent.back()->authority(), "active", 1});
  }
  Host good(true);
  for (int n = 1; n <= 20; ++n) good.Add(n, {});
  good.hosting().SetPageLimit(2);
  hosts.push_back({good.authority(), "active", 20});
  relay.hosting().SetHosts("", hosts);
  options_.concurrency = 4;
  Follow({"*"}, {&relay});
  Start();
  EXPECT_TRUE(Wait([&] { return queue_.tasks(1).size() == 20; }));
  Stop();
  for (const auto& host : silent) EXPECT_LE(host->Asked("listRepos"), 1u);
}

TEST_F(FinderTest, AnAccountThatItsHostCannotDescribeIsAskedAboutAgain) {
  Host pds(true);
  for (const int n : {1, 2, 3}) pds.Add(n, {"space.atbb.post"});
  pds.Fail(HostingFault::Status(500, "InternalServerError").On("describeRepo").Of(Did(2)));
  Follow({"space.atbb.*"}, {&pds});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return queue_.saves() >= 1; }, kSecond));
  EXPECT_THAT(Listings(), ElementsAre("listRepos space.atbb.*",
                                      "describeRepo " + Did(2) + " space.atbb.* (open) host_unavailable"));
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1), Did(3) + " " + RevOf(1)));
  pds.hosting().ClearFaults();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }));
  Stop();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1), Did(2), Did(3) + " " + RevOf(1)));
}

TEST_F(FinderTest, AHostThatDescribesNobodyForNowIsListedAgain) {
  Host pds(true);
  for (const int n : {1, 2, 3}) pds.Add(n, {"space.atbb.post"});
  pds.Fail(HostingFault::Status(502).On("describeRepo"));
  Follow({"space.atbb.*"}, {&pds});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return queue_.saves() >= 1; }, kSecond));
  EXPECT_THAT(Listings(), ElementsAre("listRepos space.atbb.* (open) host_unavailable")) << "no row for each account";
  pds.hosting().ClearFaults();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }));
  Stop();
  EXPECT_THAT(queue_.tasks(1), SizeIs(3));
}

// Its limits are no fault of it: whoever is patient gets every answer, and no account is set aside.
TEST_F(FinderTest, AHostThatWantsToBeAskedLessIsAskedLess) {
  Host pds(true);
  for (int n = 1; n <= 30; ++n) pds.Add(n, {n % 2 == 0 ? "space.atbb.post" : "app.bsky.feed.post"});
  pds.Fail(HostingFault::Limited("1").On("describeRepo").Every(12).Times(2));
  Follow({"space.atbb.*"}, {&pds});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }, kSecond / 200));  // about as fast as time goes
  Stop();
  EXPECT_THAT(queue_.tasks(1), SizeIs(15));
  EXPECT_THAT(Listings(), ElementsAre("listRepos space.atbb.*"));
  EXPECT_EQ(pds.Asked("listRepos"), 1u);
}

TEST_F(FinderTest, AHostWithoutDescriptionsIsFetchedWhole) {
  Host pds(true);
  pds.Add(1, {"space.atbb.post"});
  pds.Fail(HostingFault::NotServed().On("describeRepo"));
  Serve(1, pds.url());
  Follow({"space.atbb.*"}, {&pds});
  Find();
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(1))) << "the archive alone can tell";
}

// ---- Gaps

TEST_F(FinderTest, AGapOfARelayIsComparedAccountByAccount) {
  Host relay(false), one(true), two(true);
  const std::string subject = OpenGap(relay.authority());
  const std::string post = "space.atbb.post";
  enum : int { kSame = 1, kNewer, kOlder, kDeleted, kDeactivated, kBack, kStillAway, kUnknownPds, kForgotten, kUntracked, kNew };
  for (const int n : {kSame, kDeleted, kDeactivated}) Know(n, 5, true, "", one.url());
  Know(kNewer, 5, true, "", two.url());
  Know(kOlder, 5, true, "", two.url());
  Know(kBack, 5, false, "deactivated", two.url());
  Know(kStillAway, 5, false, "takendown", two.url());
  Know(kUnknownPds, 5);
  Know(kForgotten, 5);
  Know(kUntracked, 0, true, "", one.url(), SyncState::kUntracked);
  one.Add(kSame, {post}, 5);
  one.Add(kDeactivated, {post}, 5);
  one.hosting().SetStatus("", Did(kDeactivated), false, "deactivated");
  two.Add(kNewer, {post}, 7);
  two.Add(kOlder, {post}, 3);
  two.Add(kBack, {post}, 5);
  two.Add(kStillAway, {post}, 5);
  two.hosting().SetStatus("", Did(kStillAway), false, "takendown");
  two.Add(kUnknownPds, {post}, 6);
  Serve(kUnknownPds, two.url());
  resolver_.Serve(Did(kForgotten), test::FaultyIdentity(Did(kForgotten), Reject::kDidNotFound));
  for (const int n : {int{kSame}, int{kNewer}, int{kNew}}) relay.Add(n, {post});

  Follow({post}, {&relay});
  const auto store = queue_.Open();
  const int64_t filter = *store->OpenRun(RunKind::kFilter, post, kNow, nullptr);
  Listing done;
  done.run = filter;
  done.done = true;
  ASSERT_TRUE(store->AddListings(std::vector<Listing>{done}).ok());
  EndRuns();
  Find();
  ASSERT_THAT(Runs(), ElementsAre("filter space.atbb.post done", "gap " + subject + " open"));
  EXPECT_THAT(queue_.tasks(2), ElementsAre(Did(kNewer) + " " + RevOf(7), Did(kDeleted), Did(kDeactivated),
                                           Did(kBack) + " " + RevOf(5), Did(kUnknownPds) + " " + RevOf(6), Did(kForgotten), Did(kNew)));
  EXPECT_EQ(one.Asked("getLatestCommit") + two.Asked("getLatestCommit"), 8u) << "each once, at its own host";
  EXPECT_EQ(relay.Asked("getLatestCommit"), 0u);
}

TEST_F(FinderTest, AnAccountWhoseHostIsDownIsComparedWithTheRelay) {
  Host relay(false), down(true), up(true);
  OpenGap(relay.authority());
  down.server().SetDown(true);
  for (const int n : {1, 2, 3}) Know(n, 5, true, "", down.url());
  Know(4, 5, true, "", up.url());
  up.Add(4, {}, 5);
  relay.Add(1, {}, 5);
  relay.Add(2, {}, 6);  // and of 3 the relay knows nothing, so nobody does
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }));
  Stop();
  EXPECT_THAT(queue_.tasks(2), ElementsAre(Did(2) + " " + RevOf(6), Did(3)));
}

TEST_F(FinderTest, WhenNobodyAnswersAComparisonTheQueueWaitsForThem) {
  Host relay(false), down(true);
  OpenGap(relay.authority());
  down.server().SetDown(true);
  relay.Fail(HostingFault::Status(503).On("getLatestCommit"));
  for (const int n : {1, 2}) Know(n, 5, true, "", down.url());
  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(WaitAdvancing([&] { return AllListed(); }, 60 * kSecond));
  Stop();
  EXPECT_EQ(queue_.tasks(2), Dids({1, 2}));
  EXPECT_GE(counters_.Of("backfill_listing_host_unavailable"), 5u) << "after some patience";
}

TEST_F(FinderTest, AGapOfAPdsIsClosedWithItsOwnAccounts) {
  Host pds(true), elsewhere(true);
  const std::string subject = OpenGap(pds.authority());
  enum : int { kSame = 1, kNewer, kGone, kElsewhere, kNoHost, kNoHostGone, kNoHostHere, kHidden, kNew, kNewOther };
  Know(kSame, 5, true, "", pds.url());
  Know(kNewer, 5, true, "", pds.url());
  Know(kGone, 5, true, "", pds.url());
  Know(kElsewhere, 5, true, "", elsewhere.url());
  // Whose PDS we do not know: only its document tells whether this host is the one that should have it.
  Know(kNoHost, 5);
  Serve(kNoHost, elsewhere.url());
  Know(kNoHostGone, 5);
  Serve(kNoHostGone, pds.url());
  Know(kNoHostHere, 5);
  Know(kHidden, 5, true, "", pds.url());
  pds.Add(kSame, {}, 5);
  pds.Add(kNewer, {}, 8);
  pds.Add(kNoHostHere, {}, 9);
  pds.Add(kHidden, {}, 5);
  pds.hosting().SetStatus("", Did(kHidden), false, "suspended");
  Serve(kHidden, pds.url());
  pds.Add(kNew, {"com.huddle.booking"}, 2);
  pds.Add(kNewOther, {"app.bsky.feed.post"}, 2);
  Follow({"space.atbb.*", "com.huddle.*"}, {&pds});
  Find();
  int64_t gap_run = 0;
  for (const sync::BackfillRun& run : queue_.runs()) gap_run = run.subject == subject ? run.id : gap_run;
  EXPECT_THAT(queue_.tasks(gap_run), ElementsAre(Did(kNewer) + " " + RevOf(8), Did(kGone), Did(kNoHostGone),
                                                 Did(kNoHostHere) + " " + RevOf(9), Did(kHidden), Did(kNew) + " " + RevOf(2)));
  EXPECT_EQ(elsewhere.hosting().Count(""), 0u);
}

TEST_F(FinderTest, AGapOfARelayThatIsNotFollowedAnyMoreIsClosedWithTheNewOne) {
  Host relay(false), pds(true);
  OpenGap("gone.example");
  Know(1, 5, true, "", pds.url());
  pds.Add(1, {}, 6);
  relay.Add(2, {"space.atbb.post"});
  Follow({"space.atbb.post"}, {&relay});
  Find();
  EXPECT_THAT(queue_.tasks(2), ElementsAre(Did(1) + " " + RevOf(6), Did(2)));
}

TEST_F(FinderTest, ComparingGoesOnWhereItWasKilled) {
  Host relay(false), pds(true);
  OpenGap(relay.authority());
  for (int n = 1; n <= 450; ++n) {
    Know(n, 5, true, "", pds.url());
    pds.Add(n, {}, n % 100 == 0 ? 6 : 5);
  }
  options_.concurrency = 2;
  Follow({"space.atbb.post"}, {&relay});
  size_t saves = 0;
  std::promise<void> died;
  bool dead = false;
  queue_.SetFault([&](std::string_view method) {
    if (method != "SavePage" || saves++ < 3) return absl::OkStatus();  // two listings of one page each, and a page of 200
    if (!std::exchange(dead, true)) died.set_value();
    return UnavailableError("killed");
  });
  Start();
  ASSERT_EQ(died.get_future().wait_for(std::chrono::seconds(20)), std::future_status::ready);
  Stop();
  queue_.SetFault(nullptr);
  Start();
  ASSERT_TRUE(Wait([&] { return AllListed(); }));
  Stop();
  EXPECT_THAT(queue_.tasks(2), SizeIs(4));
  EXPECT_LE(pds.Asked("getLatestCommit"), 450u + 200u);
}

TEST_F(FinderTest, ARevThatNoArchiveCouldHaveIsNotBelieved) {
  Host pds(true);
  OpenGap(pds.authority());
  Know(1, 5, true, "", pds.url());
  HostedRepo repo;
  repo.did = Did(1);
  repo.rev = repo::Tid::FromMicros(kNow + 3'600 * kSecond, 0).ToString();
  repo.head = "bafyreihyrpefhacm6kkp4ql6j6udakdit7g3dmkzfriqfykhjw6cad5lrm";
  pds.hosting().SetRepo("", repo);
  Follow({"space.atbb.post"}, {&pds});
  Find();
  EXPECT_THAT(queue_.tasks(2), ElementsAre(Did(1))) << "a look is worth it, the rev is not";
}

// ---- Decisions, as they are carried out

// A filter that lets only deletions in: what came before is of no use.
TEST_F(FinderTest, WithoutARuleNobodyIsLookedFor) {
  Host relay(false), pds(true);
  OpenGap(pds.authority());
  Know(1, 5, true, "", pds.url());
  pds.Add(1, {}, 6);
  pds.Add(2, {"space.atbb.post"});
  Follow({"space.atbb.post:delete"}, {&relay, &pds});
  options_.rules.clear();
  Find();
  EXPECT_THAT(Runs(), ElementsAre(HasSubstr("gap ")));
  EXPECT_THAT(queue_.tasks(1), ElementsAre(Did(1) + " " + RevOf(6)));
}

TEST_F(FinderTest, ANarrowedFilterAsksNobodyAndAWideOneAgain) {
  Host relay(false);
  relay.Add(1, {"space.atbb.post", "space.atbb.membership"});
  options_.known_nsids = {"space.atbb.post", "space.atbb.membership"};
  const auto store = queue_.Open();
  Listing done;
  done.run = *store->OpenRun(RunKind::kFilter, "space.atbb.*", kNow, nullptr);
  done.done = true;
  ASSERT_TRUE(store->AddListings(std::vector<Listing>{done}).ok());
  EndRuns();
  queue_.AddCoverage(Did(1), "space.atbb.*");

  Follow({"space.atbb.post"}, {&relay});
  Start();
  ASSERT_TRUE(Wait([&] { return queue_.runs().size() == 2 && queue_.listings().size() == 2; }));
  Linger();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.* done", "filter space.atbb.post open"))
      << "one mark before the other goes";
  EndRuns();
  ASSERT_TRUE(Wait([&] { return queue_.runs()[0].state == RunState::kCancelled; }));
  Linger();
  Stop();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.* cancelled", "filter space.atbb.post done"));
  EXPECT_EQ(relay.hosting().Count(""), 0u);

  Follow({"space.atbb.*"}, {&relay});
  Start();
  ASSERT_TRUE(Wait([&] { return queue_.runs().size() == 3 && queue_.listings().size() == 4 && AllListed(); }));
  Stop();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.* cancelled", "filter space.atbb.post cancelled",
                                  "filter space.atbb.* open"));
  EXPECT_EQ(queue_.tasks(3), Dids({1})) << "its coverage was forgotten with the run";
}

TEST_F(FinderTest, AGapThatOpensWhileItRunsIsSeen) {
  Host pds(true);
  pds.Add(1, {"space.atbb.post"});
  Follow({"space.atbb.post"}, {&pds});
  Start();
  ASSERT_TRUE(Wait([&] { return AllListed(); }));
  const std::string subject = OpenGap(pds.authority());
  ASSERT_TRUE(Wait([&] { return queue_.runs().size() == 2 && queue_.listings().size() == 3 && AllListed(); }));
  Stop();
  EXPECT_THAT(Runs(), ElementsAre("filter space.atbb.post open", "gap " + subject + " open"));
}

TEST_F(FinderTest, WithoutDecidingOnlyWhatIsThereIsWorkedOff) {
  Host relay(false);
  OpenGap(relay.authority());
  Follow({"space.atbb.post"}, {&relay});
  options_.decide = false;
  Start();
  Linger();
  EXPECT_THAT(queue_.runs(), IsEmpty());
  Know(1, 5, true, "", "https://pds.example");
  Know(2, 5, false, "deleted");
  Know(3, 5, false, "deactivated");
  Listing known;
  known.method = "known";
  Manual(known);
  finder_->Wake();
  ASSERT_TRUE(Wait([&] { return AllListed(); }));
  Stop();
  EXPECT_EQ(queue_.tasks(1), Dids({1, 3}));
}

TEST_F(FinderTest, AListingOfANewerProgramIsLeftAlone) {
  Host relay(false);
  Follow({"space.atbb.post"}, {&relay});
  options_.decide = false;
  Listing strange;
  strange.host = relay.url();
  strange.method = "askTheOracle";
  Manual(strange);
  Start();
  ASSERT_TRUE(Wait([&] { return queue_.saves() == 1; }));
  Stop();
  EXPECT_THAT(Listings(), ElementsAre("askTheOracle (open) unknown_method"));
}

TEST_F(FinderTest, StoppedWhileEverybodyIsSilent) {
  Host pds(true);
  pds.Fail(HostingFault::Stall());
  resolver_.SetHold(true);
  Follow({"space.atbb.post"}, {&pds});
  Start();
  ASSERT_TRUE(Wait([&] { return pds.server().open_connections() > 0; }));
  Stop();  // and the answers come when nobody waits for them any more
  client_.reset();
  EXPECT_THAT(Listings(), ElementsAre("listRepos space.atbb.post (open)"));
}

}  // namespace
}  // namespace penstock::backfill
