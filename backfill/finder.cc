#include "backfill/finder.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "backfill/decision.h"
#include "backfill/find_mailbox.h"
#include "backfill/find_page.h"
#include "backfill/find_rules.h"
#include "base/status.h"
#include "repo/op.h"

namespace penstock::backfill {
namespace {

using sync::BackfillRun;
using sync::Listing;
using sync::RunKind;

// Listings that are looked at for whose turn it is; pages that rest because their host does are besides those that ask.
constexpr size_t kListingsAtOnce = 256;
constexpr size_t kRestingPages = 4;  // per page that asks

using ListingKey = std::tuple<int64_t, std::string, std::string, std::string>;
ListingKey KeyOf(const Listing& listing) { return {listing.run, listing.host, listing.method, listing.argument}; }

std::string NameOf(const Listing& listing) {
  std::string name = listing.method;
  if (!listing.argument.empty()) name += " " + listing.argument;
  if (!listing.host.empty()) name += " at " + HostOf(listing.host);
  return name;
}

bool WantsCollection(const indexer::Filter& filter, std::string_view collection) {
  repo::RepoOp op;
  op.collection = collection;
  if (filter.WantsOp(op)) return true;
  op.action = repo::Action::kUpdate;
  return filter.WantsOp(op);
}

}  // namespace

class Finder::Impl {
 public:
  Impl(FinderOptions options, std::unique_ptr<sync::BackfillStore> store, net::XrpcClient* client, identity::Resolver* resolver,
       const indexer::Filter* filter, const Clock* clock, Counters* counters, Logger log)
      : options_(std::move(options)), store_(std::move(store)), log_(std::move(log)), random_(std::random_device{}()) {
    // Collections that the filter excludes need not be asked for.
    std::erase_if(options_.known_nsids, [&](const std::string& nsid) { return !WantsCollection(*filter, nsid); });
    context_ = {&options_, store_.get(), client, resolver, filter, clock, counters, nullptr};
  }
  ~Impl() { Stop(); }

  void Start(std::function<void(const absl::Status&)> on_failure) {
    Stop();
    on_failure_ = std::move(on_failure);
    context_.mailbox = mailbox_ = std::make_shared<FindMailbox>();
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    mailbox_->Close();
    thread_.join();
  }
  void Wake() {
    if (mailbox_ != nullptr) mailbox_->Wake();
  }

 private:
  struct Work {
    std::shared_ptr<FindPage> page;
    bool was_faulty = false;  // the listing, before this page
  };

  int64_t Now() const { return context_.clock->NowMicros(); }

  void Run() {
    resumed_.clear();
    last_reason_.clear();
    progress_.clear();
    int64_t poll_at = 0, store_at = 0;  // on the monotonic clock: polling goes on whatever `clock` does
    bool look = true;
    std::deque<FindMailbox::Letter> letters;
    for (;;) {
      const int64_t now = MonotonicMicros();
      const bool poll = now >= poll_at;
      if (now >= store_at) {
        const absl::Status status = Step(poll, &look);
        if (status.ok()) {
          if (poll) poll_at = now + options_.poll_us;
          store_was_away_ = false;
        } else if (IsTransient(status)) {
          // Nothing is decided from what cannot be read, and nothing was lost that had been saved.
          if (!std::exchange(store_was_away_, true)) {
            Log(log_, LogLevel::kWarning, "finding accounts waits for the store: " + std::string(status.message()));
          }
          store_at = now + options_.poll_us;
          look = true;
        } else {
          work_.clear();
          if (on_failure_) on_failure_(status);
          return;
        }
      }
      bool woken = false;
      if (!mailbox_->Take(std::chrono::microseconds(WaitFor(poll_at, store_at)), &letters, &woken)) break;
      for (const FindMailbox::Letter& letter : letters) letter();
      if (woken) poll_at = 0;
    }
    letters.clear();
    work_.clear();  // what was not saved is asked for again
  }

  // Until when there is nothing to do unless an answer comes.
  int64_t WaitFor(int64_t poll_at, int64_t store_at) const {
    const int64_t now = MonotonicMicros();
    if (store_at > now) return std::min(store_at - now, options_.poll_us);
    int64_t wait = poll_at - now;
    for (const auto& [key, work] : work_) {
      if (work.page->ended()) {
        wait = 0;
      } else if (const int64_t due = work.page->due(); due != std::numeric_limits<int64_t>::max()) {
        wait = std::min(wait, due - Now());
      }
    }
    return std::clamp<int64_t>(wait, 0, options_.poll_us);
  }

  // `*look`: there may be listings to begin with.
  absl::Status Step(bool poll, bool* look) {
    RETURN_IF_ERROR(SavePages(look));
    if (poll && options_.decide) RETURN_IF_ERROR(DecideNow());
    if (poll || *look) {
      RETURN_IF_ERROR(BeginPages());
      *look = false;
      // One that came from our own table alone is over already.
      for (const auto& [key, work] : work_) *look |= work.page->ended();
    }
    return absl::OkStatus();
  }

  // ---- Deciding

  absl::Status DecideNow() {
    std::vector<BackfillRun> runs;
    std::vector<sync::OpenGap> gaps;
    RETURN_IF_ERROR(store_->LoadRuns(false, &runs));
    RETURN_IF_ERROR(store_->LoadOpenGaps(&gaps));
    const Decision decision = Decide(options_.rules, runs, gaps);
    if (decision.reason != last_reason_) Log(log_, LogLevel::kInfo, "backfill: " + decision.reason);
    last_reason_ = decision.reason;

    std::set<std::string_view> inherited;
    for (const Decision::Inherited& rule : decision.inherit) {
      inherited.insert(rule.rule);
      const bool begun = std::any_of(runs.begin(), runs.end(), [&](const BackfillRun& run) {
        return run.kind == RunKind::kFilter && run.subject == rule.rule && resumed_.contains(run.id);
      });
      if (begun) continue;  // it ends with the next look at the runs
      Listing listing;      // a mark that says why there is nothing to find
      listing.method = "covered";
      listing.argument = rule.from;
      listing.done = true;
      RETURN_IF_ERROR(OpenRun(RunKind::kFilter, rule.rule, {listing}));
    }
    for (const std::string& rule : decision.open_filter_runs) {
      Log(log_, LogLevel::kInfo, "backfill of " + rule + " begins");
      RETURN_IF_ERROR(OpenRun(RunKind::kFilter, rule, ListingsForRule(rule, options_.known_nsids, options_)));
    }
    for (const sync::OpenGap& gap : decision.open_gap_runs) {
      Log(log_, LogLevel::kInfo, "closing the gap " + gap.Text());
      RETURN_IF_ERROR(OpenRun(RunKind::kGap, gap.Text(), ListingsForGap(gap, options_)));
    }
    for (const int64_t id : decision.resume) {
      // Once: it may have been interrupted before it had its listings, and the hosts may be others now.
      if (resumed_.contains(id)) continue;
      const BackfillRun& run = *std::find_if(runs.begin(), runs.end(), [&](const BackfillRun& r) { return r.id == id; });
      std::vector<Listing> listings;
      if (run.kind == RunKind::kFilter && !inherited.contains(run.subject)) {
        listings = ListingsForRule(run.subject, options_.known_nsids, options_);
      } else if (run.kind == RunKind::kGap) {
        const auto gap = std::find_if(gaps.begin(), gaps.end(),
                                      [&](const sync::OpenGap& g) { return g.Text() == run.subject; });
        listings = ListingsForGap(*gap, options_);
      }
      RETURN_IF_ERROR(AddListings(id, std::move(listings)));
    }
    for (const int64_t id : decision.cancel) {
      Log(log_, LogLevel::kInfo, "backfill run " + std::to_string(id) + " is not wanted any more");
      RETURN_IF_ERROR(store_->CancelRun(id, Now()));
    }
    return absl::OkStatus();
  }

  // Two transactions; between them the run is open without a listing, which nobody takes for done (sync/backfill.h), and which
  // is resumed.
  absl::Status OpenRun(RunKind kind, const std::string& subject, std::vector<Listing> listings) {
    ASSIGN_OR_RETURN(const int64_t id, store_->OpenRun(kind, subject, Now(), nullptr));
    return AddListings(id, std::move(listings));
  }
  absl::Status AddListings(int64_t run, std::vector<Listing> listings) {
    for (Listing& listing : listings) listing.run = run;
    if (!listings.empty()) RETURN_IF_ERROR(store_->AddListings(listings));
    resumed_.insert(run);
    return absl::OkStatus();
  }

  // ---- Pages

  uint64_t Served(const Listing& listing) const {
    const auto progress = progress_.find(KeyOf(listing));
    return progress == progress_.end() ? 0 : progress->second.served;
  }

  absl::Status BeginPages() {
    size_t asking = 0;
    for (const auto& [key, work] : work_) asking += work.page->asking() ? 1 : 0;
    if (asking >= options_.concurrency || work_.size() >= options_.concurrency * (1 + kRestingPages)) return absl::OkStatus();

    std::vector<Listing> due;
    RETURN_IF_ERROR(store_->LoadListings(Now(), kListingsAtOnce + work_.size(), &due));
    std::erase_if(due, [&](const Listing& listing) { return work_.contains(KeyOf(listing)); });
    if (due.empty()) return absl::OkStatus();
    // Whoever waits longest has its turn: a listing without an end must not keep others from theirs.
    std::stable_sort(due.begin(), due.end(), [&](const Listing& a, const Listing& b) { return Served(a) < Served(b); });
    std::vector<BackfillRun> runs;
    RETURN_IF_ERROR(store_->LoadRuns(true, &runs));
    for (Listing& listing : due) {
      if (asking >= options_.concurrency || work_.size() >= options_.concurrency * (1 + kRestingPages)) break;
      const auto run = std::find_if(runs.begin(), runs.end(), [&](const BackfillRun& r) { return r.id == listing.run; });
      if (run == runs.end()) continue;  // it ended a moment ago
      const ListingKey key = KeyOf(listing);
      ListingProgress& progress = progress_[key];
      progress.served = ++turn_;
      Work work;
      work.was_faulty = listing.attempts > 0;
      work.page = std::make_shared<FindPage>(&context_, *run, std::move(listing), &progress, random_());
      const auto page = work.page;
      work_.emplace(key, std::move(work));
      page->Start();
      asking += page->asking() ? 1 : 0;
    }
    return absl::OkStatus();
  }

  // Saves what has ended. A page that the store did not take stays, and is saved with the next attempt.
  absl::Status SavePages(bool* look) {
    for (auto it = work_.begin(); it != work_.end();) {
      FindPage& page = *it->second.page;
      page.Tick();
      if (!page.ended()) {
        ++it;
        continue;
      }
      if (!page.store_status().ok()) {
        const absl::Status status = page.store_status();
        work_.erase(it);
        return status;
      }
      const Listing& listing = page.listing();
      RETURN_IF_ERROR(store_->SavePage(listing, page.seeds(), page.further(), Now()));
      Say(page, it->second.was_faulty);
      if (listing.done) progress_.erase(it->first);
      it = work_.erase(it);
      *look = true;
    }
    return absl::OkStatus();
  }

  // Changes alone, and of strangers only what they end with.
  void Say(const FindPage& page, bool was_faulty) {
    const Listing& listing = page.listing();
    if (listing.method == "describeRepo") return;
    if (page.fault() && !listing.done) {
      if (listing.trusted && !was_faulty) {
        Log(log_, LogLevel::kWarning, NameOf(listing) + ": " + listing.cause + ", again later");
      }
    } else if (listing.done && !listing.cause.empty()) {
      Log(log_, LogLevel::kInfo, NameOf(listing) + ": " + listing.cause);
    } else if (listing.done && listing.trusted) {
      Log(log_, LogLevel::kInfo, NameOf(listing) + ": listed to its end");
    }
  }

  FinderOptions options_;
  const std::unique_ptr<sync::BackfillStore> store_;
  const Logger log_;
  FindContext context_;
  std::shared_ptr<FindMailbox> mailbox_;
  std::function<void(const absl::Status&)> on_failure_;
  std::thread thread_;

  // The thread's own.
  std::mt19937_64 random_;
  std::map<ListingKey, ListingProgress> progress_;
  std::map<ListingKey, Work> work_;
  std::set<int64_t> resumed_;
  std::string last_reason_;
  uint64_t turn_ = 0;
  bool store_was_away_ = false;
};

Finder::Finder(FinderOptions options, std::unique_ptr<sync::BackfillStore> store, net::XrpcClient* client,
               identity::Resolver* resolver, const indexer::Filter* filter, const Clock* clock, Counters* counters, Logger log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(store), client, resolver, filter, clock, counters,
                                   std::move(log))) {}
Finder::~Finder() = default;
void Finder::Start(std::function<void(const absl::Status&)> on_failure) { impl_->Start(std::move(on_failure)); }
void Finder::Stop() { impl_->Stop(); }
void Finder::Wake() { impl_->Wake(); }

}  // namespace penstock::backfill
