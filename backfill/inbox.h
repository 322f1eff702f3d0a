#pragma once

// What other threads bring to the coordinator's. Callbacks hold it, and may come after the coordinator's end.

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "backfill/fetch_crew.h"
#include "base/clock.h"
#include "identity/resolver.h"

namespace penstock::backfill {

class Inbox {
 public:
  struct Resolved {
    uint64_t job = 0;
    identity::Answer answer;
  };
  struct Ended {
    FetchCrew::JobPtr job;
    FetchResult result;
  };
  struct Events {
    std::vector<Resolved> resolved;
    std::vector<Ended> ended;
    bool woken = false;
    bool stop = false;  // from then on always
    bool any() const { return !resolved.empty() || !ended.empty() || woken || stop; }
  };

  void PostResolved(uint64_t job, identity::Answer answer) {
    std::lock_guard lock(mutex_);
    events_.resolved.push_back({job, std::move(answer)});
    there_.notify_one();
  }
  void PostEnded(FetchCrew::JobPtr job, FetchResult result) {
    std::lock_guard lock(mutex_);
    events_.ended.push_back({std::move(job), std::move(result)});
    there_.notify_one();
  }
  void PostWake() {
    std::lock_guard lock(mutex_);
    events_.woken = true;
    there_.notify_one();
  }
  void PostStop() {
    std::lock_guard lock(mutex_);
    events_.stop = true;
    there_.notify_one();
  }

  // Waits for something until `until_us` on the monotonic clock, and takes all there is.
  Events Take(int64_t until_us) {
    std::unique_lock lock(mutex_);
    const std::chrono::microseconds wait(std::max<int64_t>(0, until_us - MonotonicMicros()));
    there_.wait_for(lock, wait, [&] { return events_.any(); });
    Events taken = std::exchange(events_, {});
    events_.stop = taken.stop;
    return taken;
  }

 private:
  std::mutex mutex_;
  std::condition_variable there_;
  Events events_;  // guarded by mutex_
};

}  // namespace penstock::backfill
