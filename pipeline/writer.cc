#include "pipeline/writer.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"

namespace penstock::pipeline {
namespace {

using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;

// How soon a sleeping writer notices that it should give up.
constexpr int64_t kSleepStepUs = 20'000;

}  // namespace

Writer::Writer(const PipelineOptions& options, ChangeQueue* queue, Output* output, std::vector<Source*> sources)
    : options_(options), queue_(queue), output_(output), sources_(std::move(sources)) {
  for (Source* source : sources_) by_name_.emplace(source->name, source);
}

bool Writer::Sleep(int64_t micros) const {
  const auto until = SteadyClock::now() + microseconds(micros);
  while (SteadyClock::now() < until) {
    if (give_up_.load(std::memory_order_relaxed)) return false;
    std::this_thread::sleep_for(microseconds(std::min(kSleepStepUs, micros)));
  }
  return !give_up_.load(std::memory_order_relaxed);
}

absl::Status Writer::Run() {
  std::vector<indexer::ChangeSetPtr> batch;
  batch.reserve(options_.batch_rows);
  for (;;) {
    batch.clear();
    size_t rows = 0, bytes = 0;
    SteadyClock::time_point deadline = SteadyClock::now() + microseconds(options_.cursor_interval_us);
    bool finished = false;
    while (rows < options_.batch_rows && bytes < options_.batch_bytes) {
      std::optional<indexer::ChangeSetPtr> change = queue_->PopUntil(deadline);
      if (!change) {
        finished = queue_->finished();
        break;
      }
      if (batch.empty()) deadline = SteadyClock::now() + microseconds(options_.batch_age_us);
      rows += std::max<size_t>(1, (*change)->records.size() + (*change)->held.size());
      bytes += (*change)->cost();
      batch.push_back(std::move(*change));
    }
    RETURN_IF_ERROR(Flush(&batch));
    if (finished) return absl::OkStatus();
  }
}

absl::Status Writer::Flush(std::vector<indexer::ChangeSetPtr>* changes) {
  // What this transaction writes counts as settled in the cursor that goes with it.
  for (const indexer::ChangeSetPtr& change : *changes) {
    if (change->ticket != kNoTicket) by_name_.at(change->source)->watermark.Settle(change->ticket);
    for (const indexer::ChangeSet::Settled& settled : change->settles) {
      by_name_.at(settled.source)->watermark.Settle(settled.ticket);
    }
  }
  indexer::Batch batch;
  batch.changes = *changes;
  std::vector<Source*> moved;
  for (Source* source : sources_) {
    const std::optional<int64_t> low = source->watermark.Low();
    if (!low || *low == source->durable.load(std::memory_order_relaxed)) continue;
    batch.cursors.push_back({source->name, *low});
    moved.push_back(source);
  }
  if (changes->empty() && batch.cursors.empty()) return absl::OkStatus();

  indexer::ApplyResult result;
  int64_t wait_us = options_.retry_min_us;
  for (bool first = true;; first = false) {
    result = {};
    absl::Status status = output_->Apply(batch, &result);
    if (status.ok()) {
      if (!first) Log(options_.log, LogLevel::kInfo, "store: back, writing goes on");
      break;
    }
    if (!IsTransient(status)) return status;
    options_.counters->Count("store_unavailable");
    if (first) Log(options_.log, LogLevel::kWarning, "store: unavailable, waiting: " + std::string(Message(status)));
    waiting_.store(true, std::memory_order_relaxed);
    const bool go_on = Sleep(wait_us);
    waiting_.store(false, std::memory_order_relaxed);
    if (!go_on) {
      return DeadlineExceededError("stopped while the store was unavailable; nothing after its cursor was written");
    }
    wait_us = std::min(wait_us * 2, options_.retry_max_us);
  }

  for (size_t i = 0; i < moved.size(); ++i) {
    moved[i]->durable.store(batch.cursors[i].position, std::memory_order_relaxed);
  }
  for (const indexer::ChangeSetPtr& change : *changes) {
    if (change->durable != nullptr) change->durable->store(change->number, std::memory_order_release);
  }
  batches_.fetch_add(1, std::memory_order_relaxed);
  rows_written_.fetch_add(result.rows_written, std::memory_order_relaxed);
  rows_stale_.fetch_add(result.rows_stale, std::memory_order_relaxed);
  rows_refused_.fetch_add(result.rows_refused, std::memory_order_relaxed);
  if (result.rows_refused > 0) options_.counters->Count(Reject::kStoreRefused, result.rows_refused);
  return absl::OkStatus();
}

Writer::Totals Writer::totals() const {
  return {batches_.load(std::memory_order_relaxed), rows_written_.load(std::memory_order_relaxed),
          rows_stale_.load(std::memory_order_relaxed), rows_refused_.load(std::memory_order_relaxed)};
}

}  // namespace penstock::pipeline
