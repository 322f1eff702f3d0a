#pragma once

// Options that several verbs share, each bound in one place with default and unit.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "indexer/filter.h"
#include "indexer/readers.h"
#include "indexer/store.h"
#include "pipeline/options.h"

namespace penstock::app {

// --store, --shard
struct StoreFlags {
  std::string url;
  int64_t lease_wait_s = 30;

  void Bind(CLI::App* verb);
  // Not opened yet. `counters` and `clock` outlive the store.
  absl::StatusOr<std::unique_ptr<indexer::Store>> Make(const Clock* clock, Counters* counters,
                                                       std::optional<repo::Verification> level = std::nullopt) const;
  // Makes readers of the state that this store keeps.
  std::function<std::unique_ptr<sync::StateStore>()> StateStoreFactory(const Clock* clock, Counters* counters) const;
  // The queue of repositories to fetch, and what their rows are compared with.
  std::function<std::unique_ptr<sync::BackfillStore>()> BackfillStoreFactory(const Clock* clock, Counters* counters) const;
  std::function<std::unique_ptr<indexer::AccountScan>()> AccountScanFactory(const Clock* clock, Counters* counters) const;
  std::string shard() const;

 private:
  indexer::StoreOptions Options(const Clock* clock, Counters* counters) const;
};

// --collections, --exclude-collections, --dids, --exclude-dids, --actions
struct FilterFlags {
  std::vector<std::string> collections, exclude_collections, dids, exclude_dids, actions;

  void Bind(CLI::App* verb);
  // Without --collections: everything if `optional`, otherwise an error that tells how to ask for everything.
  absl::StatusOr<indexer::Filter> Make(bool optional) const;
  // What it includes, as written and without masks: "space.atbb.*". Rules that let no record in (only deletes) are left out.
  std::vector<std::string> Rules() const;
};

// DIDs as they stand, and those in files: one in a line, '#' begins a comment, "-" is standard input. `option`: for messages.
// Errors: kInvalidArgument (a file that cannot be read, a line that is no DID).
absl::StatusOr<std::vector<std::string>> ReadDids(const std::string& option, const std::vector<std::string>& entries);

// --verify and what goes with it, --now, --workers and the bounds of queues and batches.
struct PipelineFlags {
  std::string verify = "full";
  std::vector<std::string> allow;
  std::string now;  // a datetime; empty = the machine's clock
  size_t workers = 0;
  int64_t shutdown_timeout_s = 30;
  pipeline::PipelineOptions bounds;

  void Bind(CLI::App* verb);
  // `bounds` completed with what the program owns; all but the resolver and the state store. Errors: kInvalidArgument.
  absl::StatusOr<pipeline::PipelineOptions> Make(const indexer::Filter* filter, const Clock* clock, Counters* counters) const;
  absl::StatusOr<std::unique_ptr<Clock>> MakeClock() const;
  int64_t shutdown_timeout_us() const { return shutdown_timeout_s * 1'000'000; }

 private:
  int64_t batch_age_ms_ = 200;
  int64_t cursor_interval_ms_ = 2000;
  int64_t queue_mb_ = 16;
  int64_t batch_kb_ = 4096;
  int64_t held_account_mb_ = 64;
  int64_t held_total_mb_ = 4096;
  int64_t held_memory_mb_ = 16;
  int64_t store_held_after_ms_ = 1000;
};

// Lines to stderr, with time and level.
Logger MakeLogger();

// host name and process id: who holds a lease.
std::string OwnerName();

}  // namespace penstock::app
