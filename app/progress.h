#pragma once

// What a person sees while a verb works: one line that renews itself on a terminal, a log line now and then elsewhere.

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "pipeline/pipeline.h"
#include "sync/backfill.h"

namespace penstock::app {

// How far the fetching of whole repositories is.
struct BackfillFigures {
  uint64_t done = 0;      // accounts
  uint64_t open = 0;      // accounts found so far and not done
  uint64_t failed = 0;    // accounts given up
  uint64_t listings = 0;  // places that accounts are still looked for in
  uint64_t records = 0, bytes = 0;
  uint64_t downloading = 0;
  std::vector<sync::RunTotals::Cause> causes;  // of what failed, and of what waits for another attempt
};

// How fast a count grows: over the last minute, so that a pause shows soon and a single slow item does not.
class Speed {
 public:
  // `now_s`: seconds of a clock that never goes back.
  void Add(double now_s, uint64_t count);
  // Per second; 0 until two counts are known.
  double PerSecond() const;

 private:
  struct Point {
    double at = 0;
    uint64_t count = 0;
  };
  std::deque<Point> points_;  // a second apart at least, of the last 60
};

// One line of a backfill: text alone, the same on a terminal and in the log.
class BackfillMeter {
 public:
  // `bar`: begins with a bar. Counts from now on, so that a resumed run is not taken for a fast one.
  std::string Line(const BackfillFigures& figures, double now_s, bool bar);

 private:
  Speed accounts_, bytes_;
};


class Progress {
 public:
  // `what`: the verb. `lag_us`: how far behind the events are, if known (a recorded file has no lag).
  Progress(std::string what, const pipeline::Pipeline* pipeline, Logger log);
  ~Progress() { Finish(); }

  // Call often (cheap); draws at most every 200 ms on a terminal, logs every 10 s elsewhere.
  void Tick(std::optional<int64_t> lag_us = std::nullopt);
  // Ends the terminal's line.
  void Finish();
  // From here on the line says how far the backfill is, while there is something to fetch. `figures` outlives it.
  void ShowBackfill(std::function<BackfillFigures()> figures) { backfill_ = std::move(figures); }

 private:
  std::string Line(std::optional<int64_t> lag_us);

  const std::string what_;
  std::function<BackfillFigures()> backfill_;
  BackfillMeter meter_;
  const pipeline::Pipeline* pipeline_;
  Logger log_;
  const bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point start_, last_;
  uint64_t last_frames_ = 0;
};

// The same for a verb that only fetches repositories.
class BackfillProgress {
 public:
  BackfillProgress(std::string what, Logger log);
  ~BackfillProgress() { Finish(); }

  void Tick(const BackfillFigures& figures);
  void Finish();

 private:
  const std::string what_;
  Logger log_;
  const bool terminal_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_;
  BackfillMeter meter_;
};

// "1,234,567".
std::string Grouped(uint64_t number);
// "312 bytes", "3.4 MB", "1.2 GB": powers of ten.
std::string ByteText(uint64_t bytes);
// "8 s", "12 min", "3 h 20 min", "2 days 4 h".
std::string DurationText(double seconds);
// "mst_partial 12, host_unavailable 3", the most frequent `most` first.
std::string CauseText(const std::vector<sync::RunTotals::Cause>& causes, size_t most);

}  // namespace penstock::app
