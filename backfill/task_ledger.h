#pragma once

// What became of tasks: decides it by the rules of policy.h and by how long hosts have been away, counts it, and keeps it until the
// store has it.

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <string>

#include "absl/status/status.h"
#include "backfill/archive_import.h"
#include "backfill/coordinator.h"
#include "backfill/download.h"
#include "backfill/host_outages.h"
#include "sync/backfill.h"

namespace penstock::backfill {

class TaskLedger {
 public:
  // All pointers outlive it.
  TaskLedger(const CoordinatorOptions* options, const Clock* clock, Counters* counters);

  // ---- One thread
  // The account was taken in, and the task is done with its rows.
  void TakenIn(const ArchiveImport::Result& archive, const std::string& host);
  // It ended otherwise. What becomes of it waits for Write.
  void Ended(const sync::BackfillTask& task, const StepResult& result);
  void HostAnswered(const std::string& host) { outages_.Answered(host); }
  bool IsOut(const std::string& host) const { return outages_.IsOut(host); }

  // Errors: those of BackfillStore; what is not written then is written by the next call.
  absl::Status Write(sync::BackfillStore* store);
  bool written() const { return outcomes_.empty(); }

  // ---- Any thread: what it counted; the rest of `*stats` stays.
  void AddTo(Coordinator::Stats* stats) const;

 private:
  struct Outcome {
    sync::BackfillTask task;
    sync::TaskOutcome outcome;
  };

  const CoordinatorOptions& options_;
  const Clock* const clock_;
  Counters* const counters_;
  HostOutages outages_;
  std::deque<Outcome> outcomes_;
  std::mt19937_64 random_;

  mutable std::mutex mutex_;
  Coordinator::Stats stats_;               // guarded by it, as is causes_
  std::map<std::string, uint64_t> causes_;
};

}  // namespace penstock::backfill
