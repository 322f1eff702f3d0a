#pragma once

// What a person sees while a verb works: one line that renews itself on a terminal, a log line now and then elsewhere.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/pipeline.h"

namespace penstock::app {

class Progress {
 public:
  // `what`: the verb. `lag_us`: how far behind the events are, if known (a recorded file has no lag).
  Progress(std::string what, const pipeline::Pipeline* pipeline, Logger log);
  ~Progress() { Finish(); }

  // Call often (cheap); draws at most every 200 ms on a terminal, logs every 10 s elsewhere.
  void Tick(std::optional<int64_t> lag_us = std::nullopt);
  // Ends the terminal's line.
  void Finish();

 private:
  std::string Line(std::optional<int64_t> lag_us);

  const std::string what_;
  const pipeline::Pipeline* pipeline_;
  Logger log_;
  const bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
  uint64_t last_frames_ = 0;
};

// "1,234,567".
std::string Grouped(uint64_t number);

}  // namespace penstock::app
