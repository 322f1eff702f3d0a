#pragma once

// A queue between threads, bounded in items and in bytes. A full queue makes its producer wait; nothing is ever dropped.
// A ring that grows to what it needs once, so steady state allocates nothing. Thread-safe.

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace penstock {

template <typename T>
class BoundedQueue {
 public:
  // Full when it holds `max_items`, or items that cost `max_bytes` in sum. One item may overshoot the bytes.
  BoundedQueue(size_t max_items, size_t max_bytes) : max_items_(max_items), max_bytes_(max_bytes) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // For a queue with one producer: a true answer stays true until that producer pushes.
  bool HasRoom() const {
    std::lock_guard lock(mutex_);
    return !Full();
  }

  // Waits for room. False (and `item` is dropped) once the queue is closed.
  bool Push(T item, size_t cost) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, [&] { return closed_ || !Full(); });
    return Put(std::move(item), cost, lock);
  }

  // Does not wait: for what must never be lost and is rare, or after HasRoom. False once the queue is closed.
  bool PushNow(T item, size_t cost) {
    std::unique_lock lock(mutex_);
    return Put(std::move(item), cost, lock);
  }

  // Waits for an item. Nullopt once the queue is closed and empty.
  std::optional<T> Pop() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    items_.wait(lock, [&] { return closed_ || count_ > 0; });
    --waiting_;
    return Take(lock);
  }

  // As Pop, but gives up at `deadline`: nullopt then, too (tell the cases apart by finished()).
  std::optional<T> PopUntil(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    ++waiting_;
    items_.wait_until(lock, deadline, [&] { return closed_ || count_ > 0; });
    --waiting_;
    return Take(lock);
  }

  // No more pushes; what is inside can still be taken out.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    items_.notify_all();
    room_.notify_all();
  }

  bool finished() const {
    std::lock_guard lock(mutex_);
    return closed_ && count_ == 0;
  }
  size_t size() const {
    std::lock_guard lock(mutex_);
    return count_;
  }
  size_t bytes() const {
    std::lock_guard lock(mutex_);
    return bytes_;
  }
  size_t max_items() const { return max_items_; }

 private:
  struct Slot {
    std::optional<T> item;
    size_t cost = 0;
  };

  bool Full() const { return count_ >= max_items_ || (count_ > 0 && bytes_ >= max_bytes_); }

  bool Put(T item, size_t cost, std::unique_lock<std::mutex>& lock) {
    if (closed_) return false;
    if (count_ == ring_.size()) Grow();
    Slot& slot = ring_[(head_ + count_) % ring_.size()];
    slot.item.emplace(std::move(item));
    slot.cost = cost;
    ++count_;
    bytes_ += cost;
    const bool wake = waiting_ > 0;
    lock.unlock();
    if (wake) items_.notify_one();
    return true;
  }

  std::optional<T> Take(std::unique_lock<std::mutex>& lock) {
    if (count_ == 0) return std::nullopt;
    Slot& slot = ring_[head_];
    std::optional<T> item = std::move(slot.item);
    slot.item.reset();
    bytes_ -= slot.cost;
    head_ = (head_ + 1) % ring_.size();
    --count_;
    lock.unlock();
    room_.notify_one();
    return item;
  }

  void Grow() {
    std::vector<Slot> larger(ring_.empty() ? 16 : ring_.size() * 2);
    for (size_t i = 0; i < count_; ++i) larger[i] = std::move(ring_[(head_ + i) % ring_.size()]);
    ring_ = std::move(larger);
    head_ = 0;
  }

  const size_t max_items_;
  const size_t max_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable items_, room_;
  // All below are guarded by mutex_.
  std::vector<Slot> ring_;
  size_t head_ = 0;
  size_t count_ = 0;
  size_t bytes_ = 0;
  size_t waiting_ = 0;  // consumers asleep; nobody is woken in vain
  bool closed_ = false;
};

}  // namespace penstock
