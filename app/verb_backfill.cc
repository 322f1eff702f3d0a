// `penstock backfill`: whole repositories, of accounts that are looked for or given; `penstock backfill status`: how far that is.

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>
#include <thread>

#include "absl/strings/str_join.h"
#include "app/backfill_status.h"
#include "app/backfill_work.h"
#include "app/cli.h"
#include "app/dry_run.h"
#include "app/stop_signals.h"
#include "base/status.h"
#include "fmt/format.h"

namespace penstock::app {
namespace {

// A place that gives no answer so often is left out of a dry run.
constexpr int kDryRunAttempts = 3;

struct BackfillCommand {
  FetchFlags flags;
  std::vector<std::string> collections;  // of --collection: where to look, not what to keep
  bool all = false, from_known = false, dry_run = false;
  bool json = false, open_only = false;
  CLI::App* status_verb = nullptr;

  absl::StatusOr<int> Execute() {
    if (status_verb->parsed()) return Status();
    RETURN_IF_ERROR(CheckFetchFlags(flags));
    ASSIGN_OR_RETURN(flags.filter.dids, ReadDids("--dids", flags.filter.dids));
    ASSIGN_OR_RETURN(const FetchRequest request, Request());
    if (dry_run) return DryRunOf(request);
    ASSIGN_OR_RETURN(const FetchResult result, Fetch("backfill", flags, request, collections));
    return ReportFetch("backfill", result);
  }

 private:
  // Where the accounts come from.
  absl::StatusOr<FetchRequest> Request() const {
    const int ways = (collections.empty() ? 0 : 1) + (all ? 1 : 0) + (from_known ? 1 : 0);
    if (ways > 1) return InvalidInputError("--collection, --all and --from-known exclude each other");
    FetchRequest request;
    if (ways == 0) {
      if (flags.filter.dids.empty()) {
        return InvalidInputError("which accounts? --collection NSID (or prefix.*), --dids FILE, --all or --from-known");
      }
      request.subject = SubjectOf("dids", flags.filter.dids);
      request.dids = flags.filter.dids;
      return request;
    }
    ASSIGN_OR_RETURN(const backfill::FinderOptions hosts, MakeFinderOptions(flags.backfill, flags.sources()));
    if (from_known) {
      request.subject = "from-known";
      sync::Listing listing;
      listing.method = "known";
      listing.trusted = true;
      request.listings.push_back(listing);
      return request;
    }
    if (hosts.hosts.empty() && hosts.collection_hosts.empty()) {
      return InvalidInputError("nobody to ask which accounts there are: --relay, --pds or --backfill-from is missing");
    }
    for (const std::string& rule : all ? std::vector<std::string>{"*"} : collections) {
      for (sync::Listing& listing : backfill::ListingsForRule(rule, hosts.known_nsids, hosts)) {
        request.listings.push_back(std::move(listing));
      }
    }
    request.subject = all ? "all" : "collection " + std::string(absl::StrJoin(collections, ","));
    return request;
  }

  absl::StatusOr<int> DryRunOf(const FetchRequest& request) {
    const SystemClock clock;
    Counters counters;
    const std::atomic<bool>& stop = StopOnSignals();
    std::unique_ptr<sync::BackfillStore> known;
    if (!flags.store.url.empty()) {
      RETURN_IF_ERROR(flags.store.Make(&clock, &counters).status());  // the URL's form
      known = flags.store.BackfillStoreFactory(&clock, &counters)();
      std::vector<sync::KnownAccount> some;
      // A store that is still to be made knows nobody.
      if (absl::Status read = known->LoadKnown({}, 1, &some); !read.ok()) {
        Log(MakeLogger(), LogLevel::kWarning, "no account counts as known: " + std::string(Message(read)));
        known.reset();
      }
    }
    absl::StatusOr<FilterFlags> completed = CompleteFilter(flags.filter, collections, known.get());
    if (absl::IsInvalidArgument(completed.status())) {
      // Nothing is kept, so nobody has to say what.
      completed = flags.filter;
      completed->collections = {"*"};
    }
    RETURN_IF_ERROR(completed.status());
    ASSIGN_OR_RETURN(const indexer::Filter wanted, completed->Make(/*optional=*/false));
    ASSIGN_OR_RETURN(pipeline::PipelineOptions options, flags.pipeline.Make(&wanted, &clock, &counters));
    flags.backfill.LimitHosts(&flags.resolver);
    flags.resolver.trusted_origins = OriginsOf(flags.sources());
    flags.resolver.verify_handles = false;
    ASSIGN_OR_RETURN(const Identities identities, flags.resolver.Make(options, {}));
    ASSIGN_OR_RETURN(backfill::FinderOptions finder_options, MakeFinderOptions(flags.backfill, flags.sources()));
    finder_options.decide = false;
    finder_options.rules = completed->Rules();
    // Here a person waits, and nothing is lost when a host is left out.
    finder_options.retry_first_us = finder_options.retry_most_us = 2'000'000;

    DryRun counted(std::move(known), kDryRunAttempts);
    RETURN_IF_ERROR(counted.Add(request.listings, request.dids));
    absl::Status failed;
    {
      std::mutex mutex;
      backfill::Finder finder(finder_options, counted.Queue(), identities.xrpc(), identities.resolver(), &wanted, &clock, &counters,
                              options.log);
      finder.Start([&](const absl::Status& status) {
        std::lock_guard lock(mutex);
        failed = status;
      });
      BackfillProgress progress("backfill --dry-run", options.log);
      while (!stop.load(std::memory_order_relaxed) && !counted.done()) {
        if (std::lock_guard lock(mutex); !failed.ok()) break;
        BackfillFigures figures;
        figures.open = counted.accounts();
        figures.listings = counted.open_listings();
        progress.Tick(figures);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
      }
      progress.Finish();
      finder.Stop();
    }
    RETURN_IF_ERROR(failed);
    return Print(counted);
  }

  int Print(const DryRun& counted) const {
    uint64_t known = 0, current = 0;
    fmt::print("{:>10}  {:>10}  {:>10}  {}\n", "ACCOUNTS", "KNOWN", "CURRENT", "HOST");
    for (const DryRunHost& host : counted.hosts()) {
      fmt::print("{:>10}  {:>10}  {:>10}  {}\n", Grouped(host.accounts), Grouped(host.known), Grouped(host.current),
                 host.host.empty() ? "-" : host.host);
      known += host.known;
      current += host.current;
    }
    fmt::print("{:>10}  {:>10}  {:>10}  in all; nothing was written\n", Grouped(counted.accounts()), Grouped(known),
               Grouped(current));
    for (const DryRunFault& fault : counted.faults()) {
      fmt::print(stderr, "{} {}{}{}: {}\n", fault.host, fault.method, fault.argument.empty() ? "" : " ", fault.argument,
                 fault.cause.empty() ? "no answer" : fault.cause);
    }
    if (counted.done()) return kExitDone;
    fmt::print(stderr, "stopped before all places were looked at\n");
    return kExitFailed;
  }

  absl::StatusOr<int> Status() const {
    const SystemClock clock;
    Counters counters;
    RETURN_IF_ERROR(flags.store.Make(&clock, &counters).status());
    const auto queue = flags.store.BackfillStoreFactory(&clock, &counters)();
    ASSIGN_OR_RETURN(const QueueStatus loaded, LoadQueueStatus(queue.get(), clock.NowMicros(), open_only));
    const std::string text = json ? QueueStatusJson(loaded) + "\n" : QueueStatusText(loaded);
    std::fputs(text.c_str(), stdout);
    return kExitDone;
  }
};

}  // namespace

void RegisterBackfill(Cli& cli) {
  auto command = std::make_shared<BackfillCommand>();
  CLI::App* verb = cli.AddVerb("backfill", "Fetch, prove and index whole repositories, of new accounts and of known ones", [command] {
    const absl::StatusOr<int> code = command->Execute();
    return code.ok() ? *code : Report(code.status());
  });
  verb->add_option("--collection", command->collections, "Accounts that have records of it: NSIDs, or prefixes such as space.atbb.*")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NSID…");
  verb->add_flag("--all", command->all, "All accounts of the hosts");
  verb->add_flag("--from-known", command->from_known, "The accounts that the store has");
  verb->add_flag("--dry-run", command->dry_run, "Only find and count the accounts; write nothing");
  command->flags.Bind(verb);
  verb->require_subcommand(0, 1);
  command->status_verb = verb->add_subcommand("status", "Show what is queued, running, done and failed, and why");
  command->status_verb->fallthrough();
  command->status_verb->add_flag("--json", command->json, "One JSON object");
  command->status_verb->add_flag("--open", command->open_only, "Only runs that have not ended");
}

}  // namespace penstock::app
