#include "app/progress.h"

#include <unistd.h>

#include <cstdio>

#include "fmt/format.h"

namespace penstock::app {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLogEvery = seconds(10);

}  // namespace

std::string Grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

Progress::Progress(std::string what, const pipeline::Pipeline* pipeline, Logger log)
    : what_(std::move(what)),
      pipeline_(pipeline),
      log_(std::move(log)),
      terminal_(isatty(STDERR_FILENO) == 1),
      start_(steady_clock::now()),
      last_(start_) {}

std::string Progress::Line(std::optional<int64_t> lag_us) {
  const auto now = steady_clock::now();
  const pipeline::Pipeline::Stats stats = pipeline_->stats();
  const double passed = duration<double>(now - last_).count();
  const double rate = passed > 0 ? static_cast<double>(stats.frames - last_frames_) / passed : 0;
  last_ = now;
  last_frames_ = stats.frames;
  std::string seqs;
  for (const auto& source : pipeline_->sources()) {
    if (!source.received) continue;
    if (!seqs.empty()) seqs += ' ';
    seqs += Grouped(static_cast<uint64_t>(*source.received));
  }
  std::string line = fmt::format("{}: seq {}", what_, seqs.empty() ? "-" : seqs);
  if (lag_us) line += fmt::format(", lag {:.1f} s", static_cast<double>(*lag_us) / 1e6);
  line += fmt::format(", {} events/s, matched {}, rows {}, queue {}", Grouped(static_cast<uint64_t>(rate)),
                      Grouped(stats.matched), Grouped(stats.rows), stats.queued);
  if (stats.held_events > 0) {
    line += fmt::format(", held {} events of {} accounts", Grouped(stats.held_events), Grouped(stats.held_accounts));
  }
  if (stats.waiting_for_output) line += ", WAITING for the store";
  return line;
}

void Progress::Tick(std::optional<int64_t> lag_us) {
  const auto since = steady_clock::now() - last_;
  if (terminal_) {
    if (since < kRedraw) return;
    std::fprintf(stderr, "\r\033[K%s", Line(lag_us).c_str());
    std::fflush(stderr);
    drawn_ = true;
  } else if (since >= kLogEvery) {
    Log(log_, LogLevel::kInfo, Line(lag_us));
  }
}

void Progress::Finish() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  drawn_ = false;
}

}  // namespace penstock::app
