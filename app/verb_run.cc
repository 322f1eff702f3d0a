// `penstock run`: the service.

#include <cstdio>
#include <memory>

#include "absl/strings/str_split.h"
#include "app/backfill_options.h"
#include "app/cli.h"
#include "app/common_options.h"
#include "app/patience.h"
#include "app/resolver_options.h"
#include "app/service.h"
#include "app/stop_signals.h"
#include "app/subscription_options.h"
#include "base/status.h"

namespace penstock::app {
namespace {

struct RunCommand {
  std::vector<std::string> relays;
  std::optional<int64_t> cursor;
  std::string out;
  StoreFlags store;
  FilterFlags filter;
  PipelineFlags pipeline;
  SubscriptionFlags subscription;
  ResolverFlags resolver;
  BackfillFlags backfill;
  std::vector<std::string> pds;

  absl::Status Execute() {
    if (relays.empty() && pds.empty()) {
      return InvalidInputError("--relay or --pds is missing: a host to follow, for example --relay wss://relay.example");
    }
    ASSIGN_OR_RETURN(const indexer::Filter wanted, filter.Make(/*optional=*/false));
    ASSIGN_OR_RETURN(const std::unique_ptr<Clock> clock, pipeline.MakeClock());
    Counters counters;
    ServiceOptions service;
    ASSIGN_OR_RETURN(service.pipeline, pipeline.Make(&wanted, clock.get(), &counters));
    for (const std::string& relay : relays) {
      service.sources.push_back({absl::StrSplit(relay, ',', absl::SkipWhitespace()), /*pds=*/false});
    }
    for (const std::string& host : pds) service.sources.push_back({{host}, /*pds=*/true});
    service.start_cursor = cursor;
    service.stop = &StopOnSignals();
    ASSIGN_OR_RETURN(service.subscription, subscription.Make());
    service.shutdown_timeout_us = pipeline.shutdown_timeout_us();

    backfill.LimitHosts(&resolver);
    resolver.ca_file = subscription.ca_file;
    resolver.user_agent = service.subscription.user_agent;
    for (const ServiceSource& source : service.sources) {
      for (const std::string& host : source.hosts) resolver.trusted_origins.push_back(OriginOf(host));
    }
    resolver.verify_handles = resolver.verify_handles && out.empty();  // lines show no handles
    ASSIGN_OR_RETURN(const Identities identities, resolver.Make(service.pipeline, {}));
    service.pipeline.resolver = identities.resolver();
    service.pipeline.host_status = identities.host_status();
    service.identities = &identities;

    std::unique_ptr<indexer::Store> opened;
    std::unique_ptr<pipeline::Output> output;
    std::unique_ptr<Backfill> repositories;
    if (out == "ndjson") {
      if (!store.url.empty()) return InvalidInputError("--out ndjson and --store exclude each other");
      output = std::make_unique<pipeline::NdjsonOutput>(stdout, stderr);
    } else if (!out.empty()) {
      return InvalidInputError("--out: '" + out + "' is not ndjson");
    } else {
      ASSIGN_OR_RETURN(opened, store.Make(clock.get(), &counters, service.pipeline.verify));
      service.pipeline.state_store = store.StateStoreFactory(clock.get(), &counters);
      RETURN_IF_ERROR(Patiently(service.pipeline, service.stop, [&] { return opened->Open(); }));
      RETURN_IF_ERROR(Patiently(service.pipeline, service.stop, [&]() -> absl::Status {
        ASSIGN_OR_RETURN(service.cursors, opened->LoadCursors());
        ASSIGN_OR_RETURN(service.quarantine, opened->LoadQuarantine());
        return absl::OkStatus();
      }));
      output = std::make_unique<pipeline::StoreOutput>(opened.get());
      ASSIGN_OR_RETURN(repositories, MakeBackfill(service, identities, *opened));
      service.backfill = repositories.get();
    }
    const absl::Status status = RunService(service, output.get());
    for (const auto& [name, count] : counters.Snapshot()) {
      Log(service.pipeline.log, LogLevel::kInfo, name + " " + std::to_string(count));
    }
    return status;
  }

  // Null where nothing is to be fetched: switched off, a level that keeps no chains, or a clock that stands, by which nothing
  // would ever be due again.
  absl::StatusOr<std::unique_ptr<Backfill>> MakeBackfill(const ServiceOptions& service, const Identities& identities,
                                                         const indexer::Store& opened) {
    if (!backfill.on() || service.pipeline.verify != repo::Verification::kFull || !pipeline.now.empty()) {
      Log(service.pipeline.log, LogLevel::kInfo, "backfill is off: repositories are not fetched, gaps and broken chains stay");
      return nullptr;
    }
    BackfillSetup setup;
    setup.flags = &backfill;
    setup.store = &store;
    setup.epoch = opened.epoch();
    setup.pipeline = &service.pipeline;
    setup.client = identities.xrpc();
    setup.rules = filter.Rules();
    setup.sources = service.sources;
    return Backfill::Make(std::move(setup));
  }
};

}  // namespace

void RegisterRun(Cli& cli) {
  auto command = std::make_shared<RunCommand>();
  CLI::App* verb = cli.AddVerb("run", "Follow relays or PDSes, verify, and index into a store", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  verb->add_option("--relay", command->relays,
                   "A source: wss://HOST, or several separated by commas, tried in order when one fails; give it again for "
                   "another source")
      ->type_name("URL[,URL…]")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--pds", command->pds,
                   "A source that is a PDS and no relay: it is believed only about the accounts whose DID document names it; give "
                   "it again for another")
      ->type_name("URL")
      ->take_all()
      ->allow_extra_args(false);
  verb->add_option("--cursor", command->cursor,
                   "Where a source begins that the store does not know yet: a seq, or 0 for the oldest event it has; without "
                   "it, at the live end")
      ->check(CLI::Range(int64_t{0}, (int64_t{1} << 53) - 1))
      ->type_name("SEQ");
  verb->add_option("--out", command->out, "ndjson: print one line per change instead of writing to a store; keeps no cursor")
      ->type_name("FORM");
  command->store.Bind(verb);
  command->filter.Bind(verb);
  command->pipeline.Bind(verb);
  command->resolver.Bind(verb);
  command->backfill.BindSwitch(verb);
  command->backfill.Bind(verb);
  command->subscription.Bind(verb);
}

}  // namespace penstock::app
