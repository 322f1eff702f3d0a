#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "identity/resolver.h"
#include "indexer/change_set.h"
#include "indexer/filter.h"
#include "pipeline/tracked.h"
#include "sync/held_events.h"
#include "sync/host_status.h"
#include "sync/policies.h"
#include "sync/state_store.h"

namespace penstock::pipeline {

// Bounds and intervals of the threads between the sources and the output. The defaults keep a service that follows the
// whole network with a narrow filter under 64 MB resident.
struct PipelineOptions {
  size_t workers = 1;                          // threads that judge events; an account always meets the same one
  size_t worker_queue_items = 1024;            // frames that wait for one worker
  size_t worker_queue_bytes = 8 * 1024 * 1024;
  size_t writer_queue_items = 4096;            // change sets that wait for the writer
  size_t writer_queue_bytes = 8 * 1024 * 1024;
  size_t batch_rows = 1000;                    // a batch is written when it has so many rows,
  size_t batch_bytes = 4 * 1024 * 1024;        // or so many bytes,
  int64_t batch_age_us = 200'000;              // or when its first change is this old
  int64_t cursor_interval_us = 2'000'000;      // how often a cursor that moved without rows is written
  int64_t retry_min_us = 100'000;              // waits between attempts while the output is unavailable
  int64_t retry_max_us = 5'000'000;

  indexer::Verification verify = indexer::Verification::kFull;
  sync::Policies policies;
  bool verify_all = false;   // judge every event, also of accounts that nothing matched
  bool keep_proofs = false;  // a row's commit and tree path are kept with it
  size_t accounts_in_memory = 100'000;  // states and keys kept at hand, over all workers
  sync::HeldLimits held;                // over all workers
  int64_t ask_again_min_us = 1'000'000;  // waits between questions about an account while nobody answers
  int64_t ask_again_max_us = 60'000'000;
  int64_t status_interval_us = 300'000'000;  // a host is asked for one account's status at most so often

  const indexer::Filter* filter = nullptr;     // not owned, outlives the pipeline; as the rest
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  identity::Resolver* resolver = nullptr;      // null only at level cid
  TrackedAccounts* tracked = nullptr;          // null: everything that is wanted at all goes to the workers
  sync::HostStatusAsker* host_status = nullptr;  // null: nobody is asked
  // Makes a reader of the state that the output keeps, one per worker; empty when nothing is kept.
  std::function<std::unique_ptr<sync::StateStore>()> state_store;
  Logger log;
};

}  // namespace penstock::pipeline
