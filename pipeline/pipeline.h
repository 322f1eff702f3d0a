#pragma once

// The threads between the sources and the output, wired: intake, workers, writer (docs/architecture.md, "Threads"). The
// caller owns the thread that feeds the sink (an io_context's, or one that reads a file).

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "firehose/delivery.h"
#include "indexer/store.h"
#include "pipeline/imports.h"
#include "pipeline/intake.h"
#include "pipeline/options.h"
#include "pipeline/output.h"
#include "pipeline/worker.h"
#include "pipeline/writer.h"

namespace penstock::pipeline {

class Pipeline {
 public:
  // `output` and what `options` points to outlive the pipeline.
  Pipeline(const PipelineOptions& options, Output* output);
  ~Pipeline();

  // Before Start: every source that will deliver, with its durable cursor and what was quarantined from it.
  void AddSource(std::string name, std::optional<int64_t> cursor, const std::vector<indexer::StoredQuarantine>& quarantine = {},
                 const SourceOptions& options = {});

  // Reads from the state store which accounts are followed and which have held events, and starts the threads.
  // `on_failure` is called at most once, on a thread of ours, when writing or judging ended with an error: stop feeding then.
  // Errors: those of sync::StateStore; nothing has been started then, and it may be tried again.
  absl::Status Start(std::function<void()> on_failure = {});

  // Waits until nothing is queued and no question about an account is under way, or `timeout_us` is over, or `stop` is set. For
  // whoever feeds from a file and wants all that can be judged to be judged.
  void Settle(int64_t timeout_us, const std::atomic<bool>* stop);

  firehose::StreamSink& sink() { return *intake_; }
  firehose::FrameBufferPool& buffers() { return buffers_; }
  firehose::DeliveryRecycler& deliveries() { return deliveries_; }

  // Takes in what has become known of an identity that the resolver holds (its handle), so that it is kept beside what is judged.
  // May be called on any thread and at any time, also when the pipeline is gone. Without a state store nothing is kept; what
  // comes faster than it can be written is dropped, since whoever checks a handle checks it again after a restart.
  std::function<void(const identity::IdentityPtr&)> IdentityKeeper() const;

  // The way in for whole repositories: while the pipeline runs. Whoever uses it ends before Finish.
  ImportPort* imports() { return imports_.get(); }

  // No more frames will come: works off what is queued, writes it and ends the threads. After `timeout_us` it stops waiting
  // for an output that is away. OK if everything was written. Call once, after the feeding thread has ended.
  absl::Status Finish(int64_t timeout_us);

  struct Stats {
    uint64_t frames = 0;    // that came in
    uint64_t matched = 0;   // that the filter let through
    uint64_t rows = 0;      // written
    uint64_t stale = 0;     // kept out by the guard
    uint64_t refused = 0;   // by the database
    uint64_t batches = 0;
    size_t queued = 0;      // waiting for workers and writer
    uint64_t held_accounts = 0, held_events = 0, held_bytes = 0;  // that cannot be judged yet
    uint64_t asking = 0;    // accounts whose question is under way
    uint64_t tracked = 0;   // accounts whose chain is followed
    bool waiting_for_output = false;
  };
  Stats stats() const;

  struct SourceStats {
    std::string name;
    std::optional<int64_t> received;  // highest seq that came in
    std::optional<int64_t> durable;   // cursor in the output
    size_t in_flight = 0;
  };
  std::vector<SourceStats> sources() const;

 private:
  absl::Status LoadState();
  void Fail();

  PipelineOptions options_;
  Output* output_;
  // Order matters at the end: recyclers outlive the queues that hold their objects.
  firehose::FrameBufferPool buffers_;
  firehose::DeliveryRecycler deliveries_{4096};
  indexer::ChangeSetRecycler changes_{512};
  std::vector<std::unique_ptr<TaskQueue>> tasks_;
  ChangeQueue writer_queue_;
  std::unique_ptr<Intake> intake_;
  std::vector<Source*> sources_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Imports> imports_;
  TrackedAccounts tracked_;
  std::function<void()> on_failure_;
  std::atomic<bool> failed_{false};
  std::vector<absl::Status> worker_statuses_;  // each written by its worker's thread, read after it was joined
  std::vector<std::thread> worker_threads_;
  std::thread writer_thread_;
  absl::Status writer_status_;  // written by the writer's thread, read after it was joined
  std::atomic<bool> writer_done_{false};
};

}  // namespace penstock::pipeline
