#include "app/backfill_work.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include "app/cli.h"
#include "app/patience.h"
#include "app/stop_signals.h"
#include "base/status.h"
#include "fmt/format.h"
#include "pipeline/pipeline.h"

namespace penstock::app {
namespace {

using std::chrono::steady_clock;

constexpr auto kTick = std::chrono::milliseconds(50);
// How often the queue is counted at most, and how much of the time that may take: it reads every task of the run.
constexpr auto kCountEvery = std::chrono::milliseconds(250);
constexpr int kCountShare = 20;
constexpr auto kNobodyAfter = std::chrono::seconds(30);

// The first error of several threads.
class Failure {
 public:
  void Set(absl::Status status) {
    std::lock_guard lock(mutex_);
    if (status_.ok()) status_ = std::move(status);
  }
  absl::Status status() const {
    std::lock_guard lock(mutex_);
    return status_;
  }

 private:
  mutable std::mutex mutex_;
  absl::Status status_;
};

// Follows a run of the queue until it has ended, shows how far it is, and notices when nothing moves any more.
class Follower {
 public:
  Follower(std::string verb, int64_t run, std::unique_ptr<sync::BackfillStore> queue, int64_t give_up_after_s, Logger log)
      : queue_(std::move(queue)),
        give_up_after_(std::chrono::seconds(give_up_after_s)),
        log_(log),
        progress_(std::move(verb), std::move(log)) {
    result_.run = run;
    moved_ = steady_clock::now();
  }

  // Until the run has ended, or `stop`, or `failure`, or nothing has moved for too long. `others`: another process works.
  absl::StatusOr<FetchResult> Follow(const std::atomic<bool>& stop, const Failure* failure, bool others) {
    auto next = steady_clock::now();
    while (!stop.load(std::memory_order_relaxed)) {
      if (failure != nullptr) RETURN_IF_ERROR(failure->status());
      if (const auto now = steady_clock::now(); now >= next) {
        RETURN_IF_ERROR(Count());
        if (result_.ended) break;
        next = steady_clock::now() + std::max<steady_clock::duration>(kCountEvery, (steady_clock::now() - now) * kCountShare);
        if (others) WarnIfNobodyWorks();
        if (give_up_after_.count() > 0 && steady_clock::now() - moved_ > give_up_after_) {
          Log(log_, LogLevel::kWarning, "nothing has got further for " +
                                            DurationText(std::chrono::duration<double>(give_up_after_).count()) + ": giving up");
          break;
        }
      }
      progress_.Tick(FiguresOf(result_.totals));
      std::this_thread::sleep_for(kTick);
    }
    progress_.Finish();
    return result_;
  }

 private:
  absl::Status Count() {
    const absl::StatusOr<RunProgress> counted = LoadProgress(result_.run, queue_.get());
    if (!counted.ok()) {
      if (!IsTransient(counted.status())) return counted.status();
      if (!std::exchange(away_, true)) {
        Log(log_, LogLevel::kWarning, "store: unavailable, waiting: " + std::string(Message(counted.status())));
      }
      return absl::OkStatus();
    }
    away_ = false;
    const sync::RunTotals& before = result_.totals;
    const sync::RunTotals& now = counted->totals;
    if (now.running > 0 || now.done != before.done || now.failed != before.failed || now.queued != before.queued ||
        now.open_listings != before.open_listings) {
      moved_ = steady_clock::now();
    }
    result_.totals = now;
    result_.ended = counted->ended;
    return absl::OkStatus();
  }

  void WarnIfNobodyWorks() {
    const sync::RunTotals& totals = result_.totals;
    // What was tried and waits for its next attempt has a cause.
    if (warned_ || !totals.causes.empty() || steady_clock::now() - moved_ < kNobodyAfter) return;
    warned_ = true;
    Log(log_, LogLevel::kWarning,
        "nobody seems to work at the queue: is what holds the store `penstock run`, and with --backfill on?");
  }

  const std::unique_ptr<sync::BackfillStore> queue_;
  const steady_clock::duration give_up_after_;
  Logger log_;
  BackfillProgress progress_;
  FetchResult result_;
  steady_clock::time_point moved_;
  bool away_ = false, warned_ = false;
};

// Everything of a verb that holds the store itself.
class Work {
 public:
  Work(const std::string& verb, FetchFlags& flags, const FetchRequest& request, const std::vector<std::string>& rules)
      : verb_(verb), flags_(flags), request_(request), rules_(rules) {}

  absl::StatusOr<FetchResult> Run() {
    ASSIGN_OR_RETURN(clock_, flags_.pipeline.MakeClock());
    const std::atomic<bool>& stop = StopOnSignals();
    pipeline::PipelineOptions unfiltered;
    ASSIGN_OR_RETURN(unfiltered, flags_.pipeline.Make(nullptr, clock_.get(), &counters_));
    ASSIGN_OR_RETURN(const auto store, flags_.store.Make(clock_.get(), &counters_, unfiltered.verify));
    const auto queues = flags_.store.BackfillStoreFactory(clock_.get(), &counters_);

    const absl::Status opened = Patiently(unfiltered, &stop, [&] { return store->Open(); });
    if (absl::IsFailedPrecondition(opened)) {
      // Held by somebody else, or not ours to open: only the former lets us ask its queue.
      auto queue = queues();
      std::vector<sync::BackfillRun> runs;
      if (!queue->LoadRuns(/*open_only=*/true, &runs).ok()) return opened;
      return Beside(opened, std::move(queue), unfiltered, stop);
    }
    RETURN_IF_ERROR(opened);

    auto queue = queues();
    ASSIGN_OR_RETURN(const FilterFlags filter, CompleteFilter(flags_.filter, rules_, queue.get()));
    ASSIGN_OR_RETURN(const indexer::Filter wanted, filter.Make(/*optional=*/false));
    pipeline::PipelineOptions options = unfiltered;
    options.filter = &wanted;
    options.state_store = flags_.store.StateStoreFactory(clock_.get(), &counters_);

    flags_.backfill.LimitHosts(&flags_.resolver);
    flags_.resolver.trusted_origins = OriginsOf(flags_.sources());
    ASSIGN_OR_RETURN(const Identities identities, flags_.resolver.Make(options, {}));
    options.resolver = identities.resolver();
    options.host_status = identities.host_status();

    BackfillSetup setup;
    setup.flags = &flags_.backfill;
    setup.store = &flags_.store;
    setup.epoch = store->epoch();
    setup.pipeline = &options;
    setup.client = identities.xrpc();
    setup.rules = filter.Rules();
    setup.sources = flags_.sources();
    setup.service = false;
    ASSIGN_OR_RETURN(const auto backfill, Backfill::Make(std::move(setup)));

    // Nothing was asked for before it is known that all of it can be done.
    ASSIGN_OR_RETURN(const int64_t run, QueueRequest(request_, *clock_, queue.get()));

    Failure failure;
    pipeline::StoreOutput output(store.get());
    pipeline::Pipeline pipeline(options, &output);
    identities.KeepWith(pipeline.IdentityKeeper());
    const auto writing_failed = [&failure] { failure.Set(InternalError("writing ended")); };
    RETURN_IF_ERROR(Patiently(options, &stop, [&] { return pipeline.Start(writing_failed); }));
    const absl::Status started = Patiently(options, &stop, [&] {
      return backfill->Start(pipeline.imports(), [&failure](const absl::Status& status) { failure.Set(status); });
    });
    absl::StatusOr<FetchResult> result = started.ok() ? absl::StatusOr<FetchResult>(FetchResult()) : started;
    if (started.ok()) {
      Follower follower(verb_, run, std::move(queue), flags_.give_up_after_s, options.log);
      result = follower.Follow(stop, &failure, /*others=*/false);
    }
    // Why writing ended says more than that it did.
    RETURN_IF_ERROR(FinishBoth(backfill.get(), &pipeline, flags_.pipeline.shutdown_timeout_us()));
    for (const auto& [name, count] : counters_.Snapshot()) Log(options.log, LogLevel::kInfo, name + " " + std::to_string(count));
    return result;
  }

 private:
  // A service holds the store: it works, and we look on.
  absl::StatusOr<FetchResult> Beside(const absl::Status& held, std::unique_ptr<sync::BackfillStore> queue,
                                     const pipeline::PipelineOptions& options, const std::atomic<bool>& stop) {
    ASSIGN_OR_RETURN(const int64_t run, QueueRequest(request_, *clock_, queue.get()));
    Log(options.log, LogLevel::kInfo,
        std::string(Message(held)) + ". Queued as run " + std::to_string(run) +
            ": that instance fetches, by its own filter and its own limits; this one only looks on");
    Follower follower(verb_, run, std::move(queue), flags_.give_up_after_s, options.log);
    return follower.Follow(stop, nullptr, /*others=*/true);
  }

  const std::string verb_;
  FetchFlags& flags_;
  const FetchRequest& request_;
  const std::vector<std::string>& rules_;
  std::unique_ptr<Clock> clock_;
  Counters counters_;
};

}  // namespace

void FetchFlags::Bind(CLI::App* verb) {
  verb->add_option("--relay", relays, "A relay to ask which accounts there are, and for archives; as for `run`")
      ->type_name("URL[,URL…]")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--pds", pds, "A PDS to ask which accounts there are; as for `run`")
      ->type_name("URL")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--give-up-after", give_up_after_s,
                   "End with status 1 when nothing has got further for so long (a host that is away), seconds; 0 waits on")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{30} * 86'400))
      ->type_name("S");
  store.lease_wait_s = 0;  // whoever holds the store does the work
  store.Bind(verb);
  filter.Bind(verb);
  pipeline.Bind(verb);
  resolver.Bind(verb);
  resolver.BindConnection(verb);
  backfill.Bind(verb);
}

absl::Status CheckFetchFlags(const FetchFlags& flags) {
  if (flags.pipeline.verify != repo::VerificationName(repo::Verification::kFull)) {
    return InvalidInputError("--verify " + flags.pipeline.verify +
                             ": a repository is taken in whole and proven, or not at all; only `full` fits");
  }
  if (!flags.pipeline.now.empty()) return InvalidInputError("--now: a queue needs a clock that goes on");
  for (const ServiceSource& source : flags.sources()) {
    for (const std::string& host : source.hosts) {
      if (OriginOf(host).empty()) return InvalidInputError("'" + host + "' is no host such as wss://relay.example");
    }
  }
  RETURN_IF_ERROR(flags.backfill.CollectionOrigins().status());
  return flags.backfill.Coordinator().status();
}

absl::StatusOr<FilterFlags> CompleteFilter(const FilterFlags& given, const std::vector<std::string>& rules,
                                           sync::BackfillStore* queue) {
  FilterFlags filter = given;
  if (!filter.collections.empty()) return filter;
  filter.collections = rules;
  std::vector<sync::BackfillRun> runs;
  if (queue != nullptr) RETURN_IF_ERROR(queue->LoadRuns(/*open_only=*/false, &runs));
  for (const sync::BackfillRun& run : runs) {
    const bool of_filter = run.kind == sync::RunKind::kFilter && run.state != sync::RunState::kCancelled;
    if (of_filter && std::find(filter.collections.begin(), filter.collections.end(), run.subject) == filter.collections.end()) {
      filter.collections.push_back(run.subject);
    }
  }
  if (filter.collections.empty()) {
    return InvalidInputError("--collections is missing: what to keep, as for `run`; the store does not say what it was filled by");
  }
  return filter;
}

absl::StatusOr<FetchResult> Fetch(const std::string& verb, FetchFlags& flags, const FetchRequest& request,
                                  const std::vector<std::string>& rules) {
  return Work(verb, flags, request, rules).Run();
}

int ReportFetch(const std::string& verb, const FetchResult& result) {
  const sync::RunTotals& totals = result.totals;
  const uint64_t all = totals.done + totals.failed + totals.queued + totals.running;
  std::string line = fmt::format("{}: run {}: {} of {} accounts done, {} records, {}", verb, result.run, Grouped(totals.done),
                                 Grouped(all), Grouped(totals.records), ByteText(totals.bytes));
  if (totals.failed > 0) line += fmt::format(", {} failed", Grouped(totals.failed));
  if (!totals.causes.empty()) line += " (" + CauseText(totals.causes, 5) + ")";
  if (!result.ended) {
    line += fmt::format("\nnot finished: it stays in the queue, and goes on with the same command or with `penstock run`; "
                        "`penstock backfill status` shows it");
  }
  fmt::print(stderr, "{}\n", line);
  return result.ended && totals.failed == 0 ? kExitDone : kExitFailed;
}

}  // namespace penstock::app
