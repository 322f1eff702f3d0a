// `penstock replay FILE…`: the service's own pipeline, fed from recorded frames instead of a socket.

#include <cstdio>
#include <memory>

#include "app/cli.h"
#include "app/common_options.h"
#include "app/progress.h"
#include "app/resolver_options.h"
#include "app/stop_signals.h"
#include "base/status.h"
#include "firehose/capture.h"
#include "fmt/format.h"
#include "pipeline/file_feed.h"

namespace penstock::app {
namespace {

struct ReplayCommand {
  std::vector<std::string> files;
  std::string out;
  StoreFlags store;
  FilterFlags filter;
  PipelineFlags pipeline;
  ResolverFlags resolver;
  std::vector<std::string> pds;

  // Where changes end, and what belongs to it.
  struct Target {
    std::unique_ptr<indexer::Store> store;  // null for NDJSON
    std::unique_ptr<pipeline::Output> output;
    std::vector<indexer::SourceCursor> cursors;
    std::vector<indexer::StoredQuarantine> quarantine;
  };

  absl::StatusOr<Target> OpenTarget(const Clock* clock, Counters* counters, repo::Verification level) const {
    Target target;
    if (out == "ndjson") {
      if (!store.url.empty()) return InvalidInputError("--out ndjson and --store exclude each other");
      target.output = std::make_unique<pipeline::NdjsonOutput>(stdout, stderr);
      return target;
    }
    if (!out.empty()) return InvalidInputError("--out: '" + out + "' is not ndjson");
    if (store.url.empty()) return InvalidInputError("say where to: --store URL or --out ndjson");
    ASSIGN_OR_RETURN(target.store, store.Make(clock, counters, level));
    RETURN_IF_ERROR(target.store->Open());
    ASSIGN_OR_RETURN(target.cursors, target.store->LoadCursors());
    ASSIGN_OR_RETURN(target.quarantine, target.store->LoadQuarantine());
    target.output = std::make_unique<pipeline::StoreOutput>(target.store.get());
    return target;
  }

  absl::Status Execute() {
    if (!pds.empty() && pds.size() != files.size()) return InvalidInputError("--pds: one host per FILE, in their order");
    ASSIGN_OR_RETURN(const std::unique_ptr<Clock> clock, pipeline.MakeClock());
    ASSIGN_OR_RETURN(const indexer::Filter wanted, filter.Make(/*optional=*/true));
    Counters counters;
    ASSIGN_OR_RETURN(pipeline::PipelineOptions options, pipeline.Make(&wanted, clock.get(), &counters));
    std::vector<pipeline::FileFeed> feeds;
    std::vector<std::string> sources;
    for (const std::string& file : files) {
      ASSIGN_OR_RETURN(std::string source, firehose::FileSourceName(file));
      feeds.push_back({file, source});
      sources.push_back(std::move(source));
    }
    // Before the store: what needs no lease should fail first. After the pipeline in the order of ends, see below.
    resolver.verify_handles = resolver.verify_handles && out.empty();  // lines show no handles
    ASSIGN_OR_RETURN(const Identities identities, resolver.Make(options, sources));
    options.resolver = identities.resolver();
    options.host_status = identities.host_status();
    ASSIGN_OR_RETURN(const Target target, OpenTarget(clock.get(), &counters, options.verify));
    if (target.store != nullptr) options.state_store = store.StateStoreFactory(clock.get(), &counters);
    const std::atomic<bool>& stop = StopOnSignals();

    pipeline::Pipeline line(options, target.output.get());
    identities.KeepWith(line.IdentityKeeper());
    for (size_t i = 0; i < feeds.size(); ++i) {
      std::optional<int64_t> cursor;
      for (const indexer::SourceCursor& known : target.cursors) {
        if (known.source == feeds[i].source) cursor = known.position;
      }
      pipeline::SourceOptions source;
      source.pds = !pds.empty();
      if (source.pds) source.authority = pds[i];
      line.AddSource(feeds[i].source, cursor, target.quarantine, source);
    }
    std::atomic<bool> failed{false};
    RETURN_IF_ERROR(line.Start([&failed] { failed.store(true); }));
    Progress progress("replay", &line, options.log);
    std::atomic<bool> end{false};
    pipeline::FeedOptions feeding;
    feeding.stop = &end;
    feeding.tick = [&] {
      if (stop.load(std::memory_order_relaxed) || failed.load(std::memory_order_relaxed)) end.store(true);
      progress.Tick();
    };
    const absl::Status read = pipeline::FeedFrames(feeds, feeding, &line, &counters, options.log);
    line.Settle(pipeline.shutdown_timeout_us(), &stop);
    const pipeline::Pipeline::Stats before_end = line.stats();
    const absl::Status written = line.Finish(pipeline.shutdown_timeout_us());
    progress.Finish();
    RETURN_IF_ERROR(written);
    RETURN_IF_ERROR(read);
    const pipeline::Pipeline::Stats stats = line.stats();
    if (target.store != nullptr) {
      std::fprintf(stderr, "%s frames, %s matched, %s rows written, %s already known\n", Grouped(stats.frames).c_str(),
                   Grouped(stats.matched).c_str(), Grouped(stats.rows).c_str(), Grouped(stats.stale).c_str());
    }
    if (before_end.held_events > 0) {
      std::fprintf(stderr, "%s events of %s accounts could not be judged%s\n", Grouped(before_end.held_events).c_str(),
                   Grouped(before_end.held_accounts).c_str(),
                   target.store != nullptr ? " yet and are held" : " and are not in the output");
    }
    for (const auto& [name, count] : counters.Snapshot()) {
      std::fprintf(stderr, "%s %llu\n", name.c_str(), static_cast<unsigned long long>(count));
    }
    return absl::OkStatus();
  }
};

}  // namespace

void RegisterReplay(Cli& cli) {
  auto command = std::make_shared<ReplayCommand>();
  CLI::App* verb = cli.AddVerb("replay", "Run recorded frames through the pipeline: into a store, or out as NDJSON", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  verb->add_option("files", command->files, ".frames, .frames.zst, or a folder made by `penstock record`")
      ->required()
      ->type_name("FILE…");
  verb->add_option("--out", command->out, "ndjson: print one line per change instead of writing to a store")->type_name("FORM");
  command->store.Bind(verb);
  command->filter.Bind(verb);
  command->pipeline.Bind(verb);
  command->resolver.Bind(verb);
  command->resolver.BindConnection(verb);
  verb->add_option("--pds", command->pds,
                   "The PDS that each FILE was recorded from, host[:port]: events of accounts that live elsewhere are refused; "
                   "without it a recording counts as a relay's")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("HOST…");
}

}  // namespace penstock::app
