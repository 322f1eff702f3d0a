#include "backfill/run_watch.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

// Counting reads all tasks of all open runs: this seldom, and for no more than a twentieth of the time.
constexpr int64_t kCountUs = 2'000'000;
constexpr int64_t kCountShare = 20;

std::string Summary(const sync::BackfillRun& run, const sync::RunTotals& totals) {
  std::string line = "backfill: run " + std::to_string(run.id) + " (" + std::string(RunKindName(run.kind)) + " " + run.subject +
                     ") " + std::string(RunStateName(run.state)) + ": " + std::to_string(totals.done + totals.failed) +
                     " accounts, " + std::to_string(totals.records) + " records, " + std::to_string(totals.bytes) + " bytes";
  if (totals.failed > 0) line += "; " + std::to_string(totals.failed) + " failed:";
  for (size_t i = 0; i < totals.causes.size(); ++i) {
    line += (i == 0 ? " " : ", ") + std::to_string(totals.causes[i].tasks) + " " + totals.causes[i].cause;
  }
  return line;
}

}  // namespace

RunWatch::RunWatch(Counters* counters, Logger log) : counters_(counters), log_(std::move(log)) {}

absl::Status RunWatch::Look(sync::BackfillStore* store, int64_t now_us) {
  std::vector<sync::BackfillRun> ended;
  RETURN_IF_ERROR(store->EndFinishedRuns(now_us, &ended));
  for (const sync::BackfillRun& run : ended) {
    next_count_us_ = 0;
    counters_->Count("backfill_runs_done");
    sync::RunTotals totals;
    // For people: the run has ended, whether we can say how or not.
    (void)store->LoadTotals(run.id, &totals);
    Log(log_, LogLevel::kInfo, Summary(run, totals));
  }
  return MonotonicMicros() >= next_count_us_ ? CountOpen(store) : absl::OkStatus();
}

absl::Status RunWatch::CountOpen(sync::BackfillStore* store) {
  const int64_t begun_us = MonotonicMicros();
  std::vector<sync::BackfillRun> runs;
  RETURN_IF_ERROR(store->LoadRuns(/*open_only=*/true, &runs));
  uint64_t tasks = 0, listings = 0;
  for (const sync::BackfillRun& run : runs) {
    sync::RunTotals totals;
    RETURN_IF_ERROR(store->LoadTotals(run.id, &totals));
    tasks += totals.queued + totals.running;
    listings += totals.open_listings;
  }
  open_tasks_ = tasks;
  open_listings_ = listings;
  const int64_t now_us = MonotonicMicros();
  next_count_us_ = now_us + std::max(kCountUs, kCountShare * (now_us - begun_us));
  return absl::OkStatus();
}

}  // namespace penstock::backfill
