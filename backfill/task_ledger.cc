#include "backfill/task_ledger.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace penstock::backfill {

TaskLedger::TaskLedger(const CoordinatorOptions* options, const Clock* clock, Counters* counters)
    : options_(*options), clock_(clock), counters_(counters), random_(std::random_device()()) {}

void TaskLedger::TakenIn(const ArchiveImport::Result& archive, const std::string& host) {
  outages_.Answered(host);
  counters_->Count("backfill_tasks_done");
  counters_->Count("backfill_records", archive.wanted);
  counters_->Count("backfill_bytes", archive.bytes);
  std::lock_guard lock(mutex_);
  ++stats_.accounts;
  stats_.records += archive.wanted;
  stats_.bytes += archive.bytes;
}

void TaskLedger::Ended(const sync::BackfillTask& task, const StepResult& result) {
  const int64_t now_us = clock_->NowMicros();
  const bool slow_world = ClassOf(result.cause) == FaultClass::kSlowWorld;
  if (!result.host.empty() && result.answered) outages_.Answered(result.host);
  if (!result.host.empty() && slow_world && !result.answered) outages_.Failed(result.host, now_us);
  const int64_t attempts = slow_world ? outages_.Waits(result.host, now_us, options_.retry.first_us) : task.attempts;
  Outcome ended{task, DecideOutcome(result.cause, result.fault, attempts, result.retry_after_us, now_us, random_(),
                                    options_.retry)};
  const sync::TaskState state = ended.outcome.state;
  outcomes_.push_back(std::move(ended));

  counters_->Count("backfill_" + result.cause);
  std::lock_guard lock(mutex_);
  if (state == sync::TaskState::kDone) {
    counters_->Count("backfill_tasks_done");
    stats_.already_current += result.cause == kCauseAlreadyCurrent;
    return;
  }
  const bool failed = state == sync::TaskState::kFailed;
  counters_->Count(failed ? "backfill_failed" : "backfill_retried");
  ++(failed ? stats_.failed : stats_.retried);
  ++causes_[result.cause];
}

absl::Status TaskLedger::Write(sync::BackfillStore* store) {
  while (!outcomes_.empty()) {
    const Outcome& next = outcomes_.front();
    RETURN_IF_ERROR(store->SetOutcome(next.task, options_.owner, next.outcome, clock_->NowMicros()));
    outcomes_.pop_front();
  }
  return absl::OkStatus();
}

void TaskLedger::AddTo(Coordinator::Stats* stats) const {
  std::lock_guard lock(mutex_);
  stats->accounts = stats_.accounts;
  stats->records = stats_.records;
  stats->bytes = stats_.bytes;
  stats->already_current = stats_.already_current;
  stats->failed = stats_.failed;
  stats->retried = stats_.retried;
  for (const auto& [cause, tasks] : causes_) stats->causes.push_back({cause, tasks});
  std::stable_sort(stats->causes.begin(), stats->causes.end(), [](const auto& a, const auto& b) { return a.tasks > b.tasks; });
}

}  // namespace penstock::backfill
