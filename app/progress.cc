#include "app/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "fmt/format.h"

namespace penstock::app {
namespace {

using std::chrono::duration;
using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr auto kRedraw = std::chrono::milliseconds(200);
constexpr auto kLogEvery = seconds(10);
constexpr double kSpeedOver = 60;

double Now() { return duration<double>(steady_clock::now().time_since_epoch()).count(); }

// In place of the terminal's current line. One that is longer than the terminal is wide would not be replaced by the next, so it
// is cut; it is ASCII, a column per byte.
void Redraw(std::string line) {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) line.resize(std::min<size_t>(line.size(), size.ws_col - 1));
  std::fprintf(stderr, "\r\033[K%s", line.c_str());
  std::fflush(stderr);
}

std::string Bar(uint64_t done, uint64_t all) {
  constexpr uint64_t kWidth = 20;
  const uint64_t filled = all == 0 ? 0 : std::min(kWidth, done * kWidth / all);
  return "[" + std::string(filled, '#') + std::string(kWidth - filled, '.') + "] ";
}

}  // namespace

std::string ByteText(uint64_t bytes) {
  constexpr const char* kUnits[] = {"kB", "MB", "GB", "TB"};
  if (bytes < 1000) return fmt::format("{} bytes", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string DurationText(double passed) {
  const auto s = static_cast<uint64_t>(std::max(0.0, passed));
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min", s / 60);
  if (s < 86'400) return fmt::format("{} h {} min", s / 3600, s % 3600 / 60);
  return fmt::format("{} days {} h", s / 86'400, s % 86'400 / 3600);
}

std::string CauseText(const std::vector<sync::RunTotals::Cause>& causes, size_t most) {
  std::string text;
  for (const sync::RunTotals::Cause& cause : causes) {
    if (most-- == 0) return text + ", ...";
    if (!text.empty()) text += ", ";
    text += cause.cause + " " + Grouped(cause.tasks);
  }
  return text;
}

void Speed::Add(double now_s, uint64_t count) {
  // Between two points of the list the last one moves along.
  if (points_.size() > 1 && now_s - points_[points_.size() - 2].at < 1) points_.pop_back();
  points_.push_back({now_s, count});
  while (points_.size() > 2 && points_[1].at <= now_s - kSpeedOver) points_.pop_front();
}

double Speed::PerSecond() const {
  if (points_.size() < 2) return 0;
  const double passed = points_.back().at - points_.front().at;
  if (passed <= 0 || points_.back().count < points_.front().count) return 0;
  return static_cast<double>(points_.back().count - points_.front().count) / passed;
}

std::string BackfillMeter::Line(const BackfillFigures& figures, double now_s, bool bar) {
  const uint64_t ended = figures.done + figures.failed;
  const uint64_t all = ended + figures.open;
  accounts_.Add(now_s, ended);
  bytes_.Add(now_s, figures.bytes);
  const double speed = accounts_.PerSecond();
  std::string line = bar ? Bar(ended, all) : "";
  // While accounts are still looked for there are more to come.
  line += fmt::format("{} of {}{} accounts, {} records, {}, {:.1f} accounts/s, {}/s", Grouped(ended), Grouped(all),
                      figures.listings > 0 ? "+" : "", Grouped(figures.records), ByteText(figures.bytes), speed,
                      ByteText(static_cast<uint64_t>(bytes_.PerSecond())));
  if (figures.open > 0 && figures.listings == 0 && speed > 0) {
    line += fmt::format(", about {} left", DurationText(static_cast<double>(figures.open) / speed));
  }
  if (figures.listings > 0) line += fmt::format(", {} listings open", Grouped(figures.listings));
  if (figures.failed > 0) line += fmt::format(", {} failed", Grouped(figures.failed));
  if (!figures.causes.empty()) line += " (" + CauseText(figures.causes, 3) + ")";
  return line;
}

BackfillProgress::BackfillProgress(std::string what, Logger log)
    : what_(std::move(what)), log_(std::move(log)), terminal_(isatty(STDERR_FILENO) == 1), last_(steady_clock::now()) {}

void BackfillProgress::Tick(const BackfillFigures& figures) {
  const auto now = steady_clock::now();
  if (now - last_ < (terminal_ ? steady_clock::duration(kRedraw) : steady_clock::duration(kLogEvery))) return;
  last_ = now;
  const std::string line = what_ + ": " + meter_.Line(figures, Now(), terminal_);
  if (terminal_) {
    Redraw(line);
    drawn_ = true;
  } else {
    Log(log_, LogLevel::kInfo, line);
  }
}

void BackfillProgress::Finish() {
  if (drawn_) std::fprintf(stderr, "\r\033[K");
  drawn_ = false;
}

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
  if (backfill_) {
    const BackfillFigures figures = backfill_();
    // Said while there is something to fetch; figures of the past are in `penstock backfill status`.
    if (figures.open + figures.listings + figures.downloading > 0) {
      line += "; backfill " + meter_.Line(figures, Now(), /*bar=*/false);
    }
  }
  return line;
}

void Progress::Tick(std::optional<int64_t> lag_us) {
  const auto since = steady_clock::now() - last_;
  if (terminal_) {
    if (since < kRedraw) return;
    Redraw(Line(lag_us));
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
