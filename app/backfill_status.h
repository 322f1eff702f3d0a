#pragma once

// `penstock backfill status`: the queue as a person reads it, or as one JSON object.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sync/backfill.h"

namespace penstock::app {

struct QueueStatus {
  struct Run {
    sync::BackfillRun run;
    sync::RunTotals totals;
    // Microseconds from `now_us`, if it goes on as it did since it began; nullopt while accounts are still looked for, before the
    // first one is done, and for the standing run, which has no end.
    std::optional<int64_t> left_us;
  };
  int64_t now_us = 0;
  std::vector<Run> runs;                // the newest first
  std::vector<sync::Listing> listings;  // open ones, at most kMaxListings
  std::optional<int64_t> next_due;      // of the queued tasks; microseconds since the epoch
};
inline constexpr size_t kMaxListings = 1'000;

// `open_only`: no runs that have ended. Errors: those of BackfillStore.
absl::StatusOr<QueueStatus> LoadQueueStatus(sync::BackfillStore* queue, int64_t now_us, bool open_only);
std::string QueueStatusText(const QueueStatus& status);
std::string QueueStatusJson(const QueueStatus& status);

}  // namespace penstock::app
