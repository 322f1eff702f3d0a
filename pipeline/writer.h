#pragma once

// The writer: collects change sets into batches and makes each durable together with the cursors that it allows. A database
// that goes away is waited for; meanwhile the queues fill up and the sockets wait.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/intake.h"
#include "pipeline/options.h"
#include "pipeline/output.h"

namespace penstock::pipeline {

class Writer {
 public:
  // All pointers outlive the writer. `sources` finds a source by name; the set of sources is fixed once threads run.
  Writer(const PipelineOptions& options, ChangeQueue* queue, Output* output, std::vector<Source*> sources);

  // The thread's body: until the queue is closed and empty, then one last batch. OK, or the error that stopped it
  // (kFailedPrecondition: the lease is lost; kInternal, kDataLoss; kDeadlineExceeded: told to give up while waiting).
  absl::Status Run();

  // From another thread: stop waiting for an output that is away. Nothing is lost: the cursor stays where it is.
  void GiveUp() { give_up_.store(true, std::memory_order_relaxed); }

  struct Totals {
    uint64_t batches, rows_written, rows_stale, rows_refused;
  };
  Totals totals() const;
  bool waiting_for_output() const { return waiting_.load(std::memory_order_relaxed); }

 private:
  absl::Status Flush(std::vector<indexer::ChangeSetPtr>* batch);
  // Sleeps in short steps; false when told to give up.
  bool Sleep(int64_t micros) const;

  PipelineOptions options_;
  ChangeQueue* queue_;
  Output* output_;
  std::vector<Source*> sources_;
  std::map<std::string_view, Source*> by_name_;
  std::atomic<bool> give_up_{false}, waiting_{false};
  std::atomic<uint64_t> batches_{0}, rows_written_{0}, rows_stale_{0}, rows_refused_{0};
};

}  // namespace penstock::pipeline
