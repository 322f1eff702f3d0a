#include "pipeline/pipeline.h"

#include <chrono>
#include <utility>

#include "base/status.h"

namespace penstock::pipeline {

Pipeline::Pipeline(const PipelineOptions& options, Output* output)
    : options_(options), output_(output), writer_queue_(options.writer_queue_items, options.writer_queue_bytes) {
  std::vector<TaskQueue*> queues;
  for (size_t i = 0; i < options_.workers; ++i) {
    tasks_.push_back(std::make_unique<TaskQueue>(options_.worker_queue_items, options_.worker_queue_bytes));
    queues.push_back(tasks_.back().get());
    workers_.push_back(std::make_unique<Worker>(options_, queues.back(), &writer_queue_, &changes_));
  }
  intake_ = std::make_unique<Intake>(options_, std::move(queues), &writer_queue_, &changes_);
}

Pipeline::~Pipeline() {
  if (writer_thread_.joinable()) (void)Finish(0);
}

void Pipeline::AddSource(std::string name, std::optional<int64_t> cursor,
                         const std::vector<indexer::StoredQuarantine>& quarantine) {
  Source* source = intake_->AddSource(std::move(name), cursor);
  for (const indexer::StoredQuarantine& entry : quarantine) {
    if (entry.source == source->name) source->quarantined.emplace(entry.position, entry.frame_sha256);
  }
  sources_.push_back(source);
}

void Pipeline::Start(std::function<void()> on_failure) {
  writer_ = std::make_unique<Writer>(options_, &writer_queue_, output_, sources_);
  for (auto& worker : workers_) worker_threads_.emplace_back([w = worker.get()] { w->Run(); });
  writer_thread_ = std::thread([this, on_failure = std::move(on_failure)] {
    writer_status_ = writer_->Run();
    writer_done_.store(true);
    if (!writer_status_.ok()) {
      writer_queue_.Close();  // workers must not wait for room that nobody will make
      if (on_failure) on_failure();
    }
  });
}

absl::Status Pipeline::Finish(int64_t timeout_us) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  for (auto& queue : tasks_) queue->Close();
  // While the output is away the workers wait for the writer: give up in time, then everything unwinds.
  std::thread watchdog([this, deadline] {
    while (!writer_done_.load()) {
      if (std::chrono::steady_clock::now() >= deadline && writer_->waiting_for_output()) writer_->GiveUp();
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  for (std::thread& thread : worker_threads_) thread.join();
  worker_threads_.clear();
  writer_queue_.Close();
  writer_thread_.join();
  watchdog.join();
  return writer_status_;
}

Pipeline::Stats Pipeline::stats() const {
  Stats stats;
  stats.frames = intake_->frames();
  stats.matched = intake_->matched();
  if (writer_) {
    const Writer::Totals totals = writer_->totals();
    stats.rows = totals.rows_written;
    stats.stale = totals.rows_stale;
    stats.refused = totals.rows_refused;
    stats.batches = totals.batches;
    stats.waiting_for_output = writer_->waiting_for_output();
  }
  stats.queued = writer_queue_.size();
  for (const auto& queue : tasks_) stats.queued += queue->size();
  return stats;
}

std::vector<Pipeline::SourceStats> Pipeline::sources() const {
  std::vector<SourceStats> all;
  for (const Source* source : sources_) {
    const int64_t durable = source->durable.load(std::memory_order_relaxed);
    all.push_back({source->name, source->watermark.High(),
                   durable < 0 ? std::nullopt : std::optional<int64_t>(durable), source->watermark.in_flight()});
  }
  return all;
}

}  // namespace penstock::pipeline
