#pragma once

// Works off the queue of whole repositories (docs/backfill.md): claims tasks, learns who serves them, and hands each to one of its
// threads when its host may be asked; those fetch, prove and take in. Goes on around a host that is slow or down. Everything it
// knows is in the store, so it may be killed at any time.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "backfill/archive_import.h"
#include "backfill/policy.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "identity/resolver.h"
#include "indexer/filter.h"
#include "indexer/readers.h"
#include "net/xrpc_client.h"
#include "pipeline/import_port.h"
#include "sync/backfill.h"

namespace penstock::backfill {

struct CoordinatorOptions {
  std::string owner;         // of task leases: "SHARD#EPOCH"
  std::string owner_prefix;  // "SHARD#": leases of our own past
  size_t threads = 8;        // that fetch, prove and take in, one archive each; at a lower priority than the live stream's
  size_t per_host = 2;       // of them, busy with one host
  size_t claim = 256;        // tasks held at once: those whose account is being looked up, or whose host is busy
  int64_t lease_us = 120'000'000;
  int64_t poll_us = 1'000'000;           // how often the queue is looked at for work of others, and for unsettled accounts
  int64_t min_bytes_per_second = 1'024;  // of a download: less is too slow,
  int64_t slow_window_us = 30'000'000;   // over so much time that we waited for the host
  int64_t max_download_us = 3'600'000'000;
  RetryPolicy retry;
  sync::BackfillStore::Throttle throttle;
  ArchiveOptions archive;
  std::vector<std::string> rules;          // of the filter, as written: what an import covers
  std::vector<std::string> upstreams;      // origins that are asked for an archive when the account's own host has none; trusted
  int64_t purge_after_us = 7 * 86'400'000'000;  // rows of deleted accounts are removed so long after; negative: never
  int64_t purge_poll_us = 300'000'000;     // how often those are looked for
  bool queue_unsettled = true;
};

struct CoordinatorResources {
  net::XrpcClient* client = nullptr;
  identity::Resolver* resolver = nullptr;
  pipeline::ImportPort* port = nullptr;
  std::function<std::unique_ptr<sync::BackfillStore>()> queue;
  std::function<std::unique_ptr<indexer::AccountScan>()> scan;  // one per thread
  const indexer::Filter* filter = nullptr;
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  Logger log;
};

class Coordinator {
 public:
  // What `resources` points to outlives it.
  Coordinator(CoordinatorOptions options, CoordinatorResources resources);
  ~Coordinator();

  // Recovers what an earlier run left, and starts the threads. `on_failure`: called once if the store or the pipeline failed for
  // good. Errors: those of BackfillStore; may be called again.
  absl::Status Start(std::function<void(const absl::Status&)> on_failure);
  // Ends them; what is under way is abandoned. Before the pipeline's Finish, and not from `on_failure`. A second at most, unless a
  // thread waits for a store that is away: then until the pipeline gives up.
  void Stop();
  void Wake();

  struct Stats {
    uint64_t accounts = 0, records = 0, bytes = 0;  // taken in since Start
    uint64_t already_current = 0, failed = 0, retried = 0;
    size_t claimed = 0, downloading = 0;
    // Of all open runs, as the store said last.
    uint64_t open_tasks = 0, open_listings = 0;
    std::vector<sync::RunTotals::Cause> causes;  // since Start
    bool idle = false;  // nothing is under way, and nothing is due now
  };
  Stats stats() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::backfill
