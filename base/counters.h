#pragma once

// What happened, by name: how often each Reject was met, and named events such as "reconnect_timeout". Thread-safe;
// counting a Reject is one relaxed add. Names are the metric labels.

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "base/reject.h"

namespace penstock {

class Counters {
 public:
  void Count(Reject reject, uint64_t n = 1) {
    rejects_[static_cast<size_t>(reject)].fetch_add(n, std::memory_order_relaxed);
  }
  uint64_t Of(Reject reject) const { return rejects_[static_cast<size_t>(reject)].load(std::memory_order_relaxed); }

  // For events that are rare (a reconnect, a gap): takes a lock.
  void Count(std::string_view event, uint64_t n = 1);
  uint64_t Of(std::string_view event) const;

  // All that are not zero, by name: rejects as "reject_<name>", events as they are.
  std::map<std::string, uint64_t> Snapshot() const;

 private:
  std::array<std::atomic<uint64_t>, kRejectCount> rejects_{};
  mutable std::mutex mutex_;
  std::map<std::string, uint64_t, std::less<>> events_;  // guarded by mutex_
};

}  // namespace penstock
