#pragma once

// Exponential backoff with full jitter: each wait is anywhere between nothing and a ceiling that doubles, so
// that a thousand consumers of a relay that restarts do not come back in step.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <random>

namespace penstock::net {

class Backoff {
 public:
  Backoff(std::chrono::microseconds first, std::chrono::microseconds ceiling, uint64_t seed)
      : first_(first), max_(ceiling), ceiling_(first), random_(seed) {}

  std::chrono::microseconds Next() {
    std::uniform_int_distribution<int64_t> wait(0, ceiling_.count());
    const std::chrono::microseconds next(wait(random_));
    ceiling_ = std::min(max_, ceiling_ * 2);
    return next;
  }
  void Reset() { ceiling_ = first_; }
  std::chrono::microseconds ceiling() const { return ceiling_; }

 private:
  const std::chrono::microseconds first_, max_;
  std::chrono::microseconds ceiling_;
  std::mt19937_64 random_;
};

}  // namespace penstock::net
