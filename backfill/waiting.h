#pragma once

// How a thread waits for what other threads bring, and is told to go while it waits.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace penstock::backfill {

// Looked at so often by whoever waits: how long an end takes at most, and too seldom to cost anything.
inline constexpr std::chrono::milliseconds kLookUp{50};

// Says that a piece of work is not wanted any more: everybody's, or this one's.
class Recall {
 public:
  explicit Recall(const std::atomic<bool>* all) : all_(all) {}
  Recall(const Recall&) = delete;
  Recall& operator=(const Recall&) = delete;
  // From any thread; for good.
  void Raise() { this_.store(true, std::memory_order_relaxed); }
  bool raised() const { return this_.load(std::memory_order_relaxed) || all_->load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>* const all_;
  std::atomic<bool> this_{false};
};

// One answer that a callback brings to a thread. Both hold it: the callback may come when nobody waits any more.
template <typename T>
class Reply {
 public:
  void Set(T value) {
    std::lock_guard lock(mutex_);
    value_ = std::move(value);
    there_.notify_all();
  }
  // Nullopt: recalled, or not there within `timeout`.
  std::optional<T> Wait(const Recall& recall, std::chrono::microseconds timeout) {
    const auto until = std::chrono::steady_clock::now() + timeout;
    std::unique_lock lock(mutex_);
    while (!value_ && !recall.raised() && std::chrono::steady_clock::now() < until) {
      there_.wait_for(lock, kLookUp, [&] { return value_.has_value(); });
    }
    return std::exchange(value_, std::nullopt);
  }

 private:
  std::mutex mutex_;
  std::condition_variable there_;
  std::optional<T> value_;  // guarded by mutex_
};

}  // namespace penstock::backfill
