#pragma once

// The entrance: takes decoded frames from a stream, lets the filter look at the envelope, and hands on only what somebody
// has to look at. What the filter drops costs no queue and no other thread (docs/adr/0009).
//
// One thread calls it: the I/O thread of a live service, or the reader of a file.

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bounded_queue.h"
#include "firehose/stream_sink.h"
#include "indexer/change_set.h"
#include "pipeline/options.h"
#include "pipeline/source.h"

namespace penstock::pipeline {

// A delivery for a worker, with the ticket that its source's watermark gave it.
struct Task {
  firehose::DeliveryPtr delivery;
  Source* source = nullptr;
  firehose::Watermark::Ticket ticket = 0;
  int64_t seq = 0;  // the event's own, or the position at which one without a seq stands
  int64_t arrived_us = 0;  // monotonic
  bool wanted = true;      // something in it matches the filter
  bool expected = false;   // the account is followed because of this event (TrackedAccounts::Expect)
};

// For an event at an unknown position, and for changes that are none: the watermark knows no such ticket and ignores it.
inline constexpr firehose::Watermark::Ticket kNoTicket = ~firehose::Watermark::Ticket{0};

// Which of `workers` an account belongs to: always the same one, whatever the source.
size_t WorkerOf(std::string_view did, size_t workers);

// Does anything in the frame match the filter, or is everything wanted?
bool Wanted(const PipelineOptions& options, const firehose::Frame& frame);

using TaskQueue = BoundedQueue<Task>;
using ChangeQueue = BoundedQueue<indexer::ChangeSetPtr>;

class Intake final : public firehose::StreamSink {
 public:
  // All pointers outlive the intake. `workers`: the task queues, one per worker.
  Intake(const PipelineOptions& options, std::vector<TaskQueue*> workers, ChangeQueue* writer,
         indexer::ChangeSetRecycler* changes)
      : options_(options), workers_(std::move(workers)), writer_(writer), changes_(changes) {}

  // Before the first Offer of that source, and not while other threads run.
  Source* AddSource(std::string name, std::optional<int64_t> cursor, const SourceOptions& options = {});
  Source* FindSource(std::string_view name);

  // firehose::StreamSink
  bool Offer(std::string_view source, firehose::DeliveryPtr* delivery) override;
  void OpenGap(std::string_view source, firehose::StreamGap gap) override;
  void Quarantine(std::string_view source, const firehose::PoisonFrame& frame) override;
  bool IsQuarantined(std::string_view source, int64_t position, Bytes bytes) override;
  std::optional<int64_t> Position(std::string_view source) override;

  uint64_t frames() const { return frames_.load(std::memory_order_relaxed); }
  uint64_t matched() const { return matched_.load(std::memory_order_relaxed); }

 private:
  // The account needs every event of its chain.
  bool Followed(const firehose::Frame& frame) const;
  // An empty change set of kind kControl, with a ticket at the source's present position.
  indexer::ChangeSetPtr Control(Source* source, std::optional<int64_t> position);
  void Send(indexer::ChangeSetPtr change);

  PipelineOptions options_;
  std::vector<TaskQueue*> workers_;
  ChangeQueue* writer_;
  indexer::ChangeSetRecycler* changes_;
  std::map<std::string, std::unique_ptr<Source>, std::less<>> sources_;
  std::atomic<uint64_t> frames_{0}, matched_{0};
};

}  // namespace penstock::pipeline
