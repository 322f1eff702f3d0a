#pragma once

// Ends runs that have nothing left to do and tells the operator, and counts how much is left of the others. One thread.

#include <cstdint>

#include "absl/status/status.h"
#include "base/counters.h"
#include "base/log.h"
#include "sync/backfill.h"

namespace penstock::backfill {

class RunWatch {
 public:
  // Outlived by `counters`.
  RunWatch(Counters* counters, Logger log);

  // Errors: those of BackfillStore.
  absl::Status Look(sync::BackfillStore* store, int64_t now_us);

  // Of all open runs, a few seconds old.
  uint64_t open_tasks() const { return open_tasks_; }
  uint64_t open_listings() const { return open_listings_; }

 private:
  absl::Status CountOpen(sync::BackfillStore* store);

  Counters* const counters_;
  const Logger log_;
  int64_t next_count_us_ = 0;  // monotonic
  uint64_t open_tasks_ = 0, open_listings_ = 0;
};

}  // namespace penstock::backfill
