#pragma once

// The time, as something that can be handed in. Pure folders take an `int64_t now_us`; whoever calls them owns a Clock.

#include <atomic>
#include <cstdint>

namespace penstock {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds since the Unix epoch, UTC.
  virtual int64_t NowMicros() const = 0;
};

// The machine's clock.
class SystemClock final : public Clock {
 public:
  int64_t NowMicros() const override;
};

// The machine's monotonic clock, microseconds since some fixed moment: for how long ago something was, never for when.
int64_t MonotonicMicros();

// Stands still until told otherwise: `--now`, and tests.
class FixedClock final : public Clock {
 public:
  explicit FixedClock(int64_t now_us) : now_us_(now_us) {}
  int64_t NowMicros() const override { return now_us_.load(std::memory_order_relaxed); }
  void Set(int64_t now_us) { now_us_.store(now_us, std::memory_order_relaxed); }
  void Advance(int64_t delta_us) { now_us_.fetch_add(delta_us, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_us_;
};

}  // namespace penstock
