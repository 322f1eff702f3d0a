#pragma once

// A sink that remembers what it was given, and answers Position the way the pipeline does: the highest seq
// received, else the durable cursor. Thread-safe, so that a test may look while a stream runs.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/reject.h"
#include "firehose/stream_sink.h"

namespace penstock::test {

struct RecordedGap {
  std::optional<int64_t> from, to;
  std::string reason;
  friend bool operator==(const RecordedGap&, const RecordedGap&) = default;
};

class RecordingSink final : public firehose::StreamSink {
 public:
  void SetCursor(const std::string& source, int64_t cursor) {
    std::lock_guard lock(mutex_);
    positions_[source] = cursor;
  }
  // The next `n` offers are refused, as by a full queue; -1: all until told otherwise.
  void RefuseOffers(int n) {
    std::lock_guard lock(mutex_);
    refuse_ = n;
  }

  bool Offer(std::string_view source, firehose::DeliveryPtr* delivery) override {
    std::lock_guard lock(mutex_);
    ++offers_;
    if (refuse_ != 0) {
      if (refuse_ > 0) --refuse_;
      changed_.notify_all();
      return false;
    }
    const firehose::Frame& frame = (*delivery)->frame;
    if (frame.seq.has_value()) {
      seqs_[std::string(source)].push_back(*frame.seq);
      std::optional<int64_t>& position = positions_[std::string(source)];
      if (!position.has_value() || *position < *frame.seq) position = frame.seq;
    }
    delivery->reset();
    changed_.notify_all();
    return true;
  }
  void OpenGap(std::string_view, firehose::StreamGap gap) override {
    std::lock_guard lock(mutex_);
    gaps_.push_back(RecordedGap{gap.from, gap.to, std::string(gap.reason)});
  }
  void Quarantine(std::string_view source, const firehose::PoisonFrame& frame) override {
    std::lock_guard lock(mutex_);
    quarantined_.emplace(source, frame.position, AsText(frame.bytes));
    quarantine_.emplace_back(frame.position, frame.reject);
  }
  bool IsQuarantined(std::string_view source, int64_t position, Bytes bytes) override {
    std::lock_guard lock(mutex_);
    return quarantined_.contains({std::string(source), position, std::string(AsText(bytes))});
  }
  std::optional<int64_t> Position(std::string_view source) override {
    std::lock_guard lock(mutex_);
    return positions_[std::string(source)];
  }

  // What came from `source`, in the order it came.
  std::vector<int64_t> Seqs(const std::string& source) {
    std::lock_guard lock(mutex_);
    return seqs_[source];
  }
  std::vector<RecordedGap> gaps() {
    std::lock_guard lock(mutex_);
    return gaps_;
  }
  std::vector<std::pair<int64_t, Reject>> quarantine() {
    std::lock_guard lock(mutex_);
    return quarantine_;
  }
  int offers() {
    std::lock_guard lock(mutex_);
    return offers_;
  }
  // Waits until the last event of `source` has this seq; false when that takes longer than 20 s.
  bool WaitForSeq(const std::string& source, int64_t seq) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] {
      const std::vector<int64_t>& seqs = seqs_[source];
      return !seqs.empty() && seqs.back() == seq;
    });
  }
  bool WaitForOffers(int n) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return offers_ >= n; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<int64_t>> seqs_;
  std::map<std::string, std::optional<int64_t>> positions_;
  std::vector<RecordedGap> gaps_;
  std::vector<std::pair<int64_t, Reject>> quarantine_;
  std::set<std::tuple<std::string, int64_t, std::string>> quarantined_;
  int refuse_ = 0;
  int offers_ = 0;
};

}  // namespace penstock::test
