#pragma once

// Answers on their way from the threads of others to the finder's. Thread-safe.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace penstock::backfill {

class FindMailbox {
 public:
  using Letter = std::function<void()>;

  // Dropped once it is closed.
  void Push(Letter letter) {
    {
      const std::lock_guard lock(mutex_);
      if (closed_) return;
      letters_.push_back(std::move(letter));
    }
    ready_.notify_one();
  }
  // Ends the wait of Take.
  void Wake() {
    {
      const std::lock_guard lock(mutex_);
      woken_ = true;
    }
    ready_.notify_one();
  }
  void Close() {
    std::deque<Letter> dropped;  // destroyed without the lock
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
      dropped.swap(letters_);
    }
    ready_.notify_one();
  }
  // All that is there, after up to `wait` for the first. `*woken`: somebody called Wake since the last Take. False once closed.
  bool Take(std::chrono::microseconds wait, std::deque<Letter>* letters, bool* woken) {
    letters->clear();
    std::unique_lock lock(mutex_);
    ready_.wait_for(lock, wait, [this] { return closed_ || woken_ || !letters_.empty(); });
    letters->swap(letters_);
    *woken = std::exchange(woken_, false);
    return !closed_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::deque<Letter> letters_;  // these three: guarded by mutex_
  bool closed_ = false, woken_ = false;
};

}  // namespace penstock::backfill
