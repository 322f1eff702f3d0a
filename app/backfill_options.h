#pragma once

// Whole repositories, wired: the options of everything that fetches them, and the parts made from these. `run`, `backfill` and
// `resync` use the same.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "app/common_options.h"
#include "app/progress.h"
#include "app/resolver_options.h"
#include "app/service.h"
#include "backfill/coordinator.h"
#include "backfill/finder.h"
#include "net/xrpc_client.h"
#include "pipeline/import_port.h"
#include "pipeline/options.h"
#include "pipeline/pipeline.h"

namespace penstock::app {

// --backfill-threads, --backfill-per-host, --host-rate, --host-burst, --backfill-from, --max-archive-mb, --temp-folder, …
struct BackfillFlags {
  std::string mode = "on";
  std::vector<std::string> collection_hosts;
  int64_t resync_first_s = 60;
  int64_t resync_most_s = 3'600;

  // Those of everybody who fetches repositories.
  void Bind(CLI::App* verb);
  // --backfill on|off: for the service.
  void BindSwitch(CLI::App* verb);

  bool on() const { return mode == "on"; }
  // How hard hosts of accounts may be pressed, by all that asks them. Before ResolverFlags::Make.
  void LimitHosts(ResolverFlags* resolver) const;
  // Origins of --backfill-from. Errors: kInvalidArgument.
  absl::StatusOr<std::vector<std::string>> CollectionOrigins() const;
  backfill::RetryPolicy Retry() const;
  // What does not depend on the store or the sources. Errors: kInvalidArgument.
  absl::StatusOr<backfill::CoordinatorOptions> Coordinator() const;

 private:
  size_t threads_ = 8;
  size_t per_host_ = 2;
  double host_rate_ = 5;
  double host_burst_ = 20;
  int64_t max_archive_mb_ = 4'096;
  int64_t max_archive_s_ = 3'600;
  std::string temp_folder_;
  int64_t retry_first_s_ = 60;
  int64_t retry_most_s_ = 3'600;
  int retry_attempts_ = 12;
  double purge_deleted_after_days_ = 7;
};

// What a backfill stands on. Everything that is pointed to outlives it.
struct BackfillSetup {
  const BackfillFlags* flags = nullptr;
  const StoreFlags* store = nullptr;  // its store is open, and ours
  int64_t epoch = 0;                  // of the store's lease
  const pipeline::PipelineOptions* pipeline = nullptr;  // filter, clock, counters, resolver, log
  net::XrpcClient* client = nullptr;
  std::vector<std::string> rules;      // of the filter (FilterFlags::Rules)
  std::vector<ServiceSource> sources;  // where accounts are looked for, and who is asked for archives besides their hosts
  bool service = true;  // decide what is to be done, and fetch what became unsettled; else only what is queued
};

// Finder and coordinator over one store.
class Backfill {
 public:
  // Errors: kInvalidArgument (a host that is none, a folder that is not there).
  static absl::StatusOr<std::unique_ptr<Backfill>> Make(BackfillSetup setup);
  ~Backfill();

  // After the pipeline's Start. `on_failure`: at most once, from any thread: the store, the queue or the pipeline failed for good.
  // Errors: those of BackfillStore; may be called again. `port` outlives Stop.
  absl::Status Start(pipeline::ImportPort* port, std::function<void(const absl::Status&)> on_failure);
  // Before the pipeline's Finish. What is under way is given up, and is done again after the next Start. Harmless when not started.
  void Stop();
  // There is something new in the queue.
  void Wake();

  backfill::Coordinator::Stats stats() const;
  BackfillFigures figures() const;

 private:
  Backfill() = default;

  BackfillSetup setup_;
  backfill::FinderOptions finder_options_;
  backfill::CoordinatorOptions coordinator_options_;
  std::unique_ptr<backfill::Coordinator> coordinator_;
  std::unique_ptr<backfill::Finder> finder_;
};

// Ends both, in the order that each needs: `backfill` (may be null) first, as long as that does not take long. A thread that takes a
// repository in may be waiting for a store that is away, and only the pipeline's own end, after `timeout_us`, lets it go. Returns
// what Pipeline::Finish says.
absl::Status FinishBoth(Backfill* backfill, pipeline::Pipeline* pipeline, int64_t timeout_us);

// Where accounts are looked for: the hosts of `sources`, and `flags` in their place where collections are asked for. Errors:
// kInvalidArgument.
absl::StatusOr<backfill::FinderOptions> MakeFinderOptions(const BackfillFlags& flags, const std::vector<ServiceSource>& sources);

// The same hosts as those of `--relay URL[,URL…]` and `--pds URL`.
std::vector<ServiceSource> MakeSources(const std::vector<std::string>& relays, const std::vector<std::string>& pds);
std::vector<std::string> OriginsOf(const std::vector<ServiceSource>& sources);

}  // namespace penstock::app
