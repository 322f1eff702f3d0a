#include "app/backfill_status.h"

#include <algorithm>
#include <limits>

#include "absl/time/time.h"
#include "app/progress.h"
#include "base/status.h"
#include "boost/json.hpp"
#include "fmt/format.h"

namespace penstock::app {
namespace {

namespace json = boost::json;

// Runs are few (rules, gaps, an operator's words); this is only to bound a page of output.
constexpr size_t kMaxRuns = 1'000;

std::string TimeText(int64_t us) {
  return us == 0 ? "-" : absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMicros(us), absl::UTCTimeZone());
}

json::value TimeJson(int64_t us) { return us == 0 ? json::value(nullptr) : json::value(TimeText(us)); }

std::optional<int64_t> LeftOf(const sync::BackfillRun& run, const sync::RunTotals& totals, int64_t now_us) {
  const uint64_t ended = totals.done + totals.failed;
  const uint64_t open = totals.queued + totals.running;
  if (run.state != sync::RunState::kOpen || run.kind == sync::RunKind::kResync || totals.open_listings > 0 || ended == 0 ||
      now_us <= run.started_at) {
    return std::nullopt;
  }
  return static_cast<int64_t>(static_cast<double>(now_us - run.started_at) / static_cast<double>(ended) *
                              static_cast<double>(open));
}

// Columns as wide as their widest cell; numbers would line up on the right, but they are read one by one.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) line += fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace

absl::StatusOr<QueueStatus> LoadQueueStatus(sync::BackfillStore* queue, int64_t now_us, bool open_only) {
  QueueStatus status;
  status.now_us = now_us;
  std::vector<sync::BackfillRun> runs;
  RETURN_IF_ERROR(queue->LoadRuns(open_only, &runs));
  runs.resize(std::min(runs.size(), kMaxRuns));
  for (sync::BackfillRun& run : runs) {
    QueueStatus::Run one;
    RETURN_IF_ERROR(queue->LoadTotals(run.id, &one.totals));
    one.left_us = LeftOf(run, one.totals, now_us);
    one.run = std::move(run);
    status.runs.push_back(std::move(one));
  }
  // Those that wait for another attempt, too.
  RETURN_IF_ERROR(queue->LoadListings(std::numeric_limits<int64_t>::max(), kMaxListings, &status.listings));
  ASSIGN_OR_RETURN(status.next_due, queue->NextDue());
  return status;
}

std::string QueueStatusText(const QueueStatus& status) {
  if (status.runs.empty()) return "the queue is empty: nothing was asked for yet\n";
  std::vector<std::vector<std::string>> rows = {
      {"RUN", "KIND", "SUBJECT", "STATE", "STARTED", "ENDED", "DONE", "OPEN", "FAILED", "RECORDS", "BYTES", "LISTINGS", "LEFT"}};
  for (const QueueStatus::Run& one : status.runs) {
    const sync::RunTotals& totals = one.totals;
    rows.push_back({std::to_string(one.run.id), std::string(sync::RunKindName(one.run.kind)),
                    one.run.subject.empty() ? "-" : one.run.subject, std::string(sync::RunStateName(one.run.state)),
                    TimeText(one.run.started_at), TimeText(one.run.ended_at), Grouped(totals.done),
                    Grouped(totals.queued + totals.running), Grouped(totals.failed), Grouped(totals.records),
                    ByteText(totals.bytes), Grouped(totals.open_listings),
                    one.left_us ? "about " + DurationText(static_cast<double>(*one.left_us) / 1e6) : "-"});
  }
  std::string text = Table(rows);
  for (const QueueStatus::Run& one : status.runs) {
    if (one.totals.causes.empty()) continue;
    text += fmt::format("\nrun {}: {}\n", one.run.id, CauseText(one.totals.causes, 20));
  }
  if (!status.listings.empty()) {
    rows = {{"RUN", "LISTING", "HOST", "OF", "FOUND", "NEXT", "CAUSE"}};
    for (const sync::Listing& listing : status.listings) {
      rows.push_back({std::to_string(listing.run), listing.method, listing.host.empty() ? "-" : listing.host,
                      listing.argument.empty() ? "-" : listing.argument, Grouped(listing.found),
                      listing.not_before > status.now_us ? TimeText(listing.not_before) : "now",
                      listing.cause.empty() ? "-" : listing.cause});
    }
    text += "\n" + Table(rows);
  }
  if (status.next_due && *status.next_due > status.now_us) {
    text += fmt::format("\nnothing is due before {}\n", TimeText(*status.next_due));
  }
  return text;
}

std::string QueueStatusJson(const QueueStatus& status) {
  json::array runs, listings;
  for (const QueueStatus::Run& one : status.runs) {
    const sync::RunTotals& totals = one.totals;
    json::array causes;
    for (const sync::RunTotals::Cause& cause : totals.causes) causes.push_back({{"cause", cause.cause}, {"tasks", cause.tasks}});
    runs.push_back({{"run", one.run.id},
                    {"kind", std::string(sync::RunKindName(one.run.kind))},
                    {"subject", one.run.subject},
                    {"state", std::string(sync::RunStateName(one.run.state))},
                    {"started_at", TimeJson(one.run.started_at)},
                    {"ended_at", TimeJson(one.run.ended_at)},
                    {"queued", totals.queued},
                    {"running", totals.running},
                    {"done", totals.done},
                    {"failed", totals.failed},
                    {"records", totals.records},
                    {"bytes", totals.bytes},
                    {"open_listings", totals.open_listings},
                    {"causes", std::move(causes)},
                    {"estimated_end", one.left_us ? TimeJson(status.now_us + *one.left_us) : json::value(nullptr)}});
  }
  for (const sync::Listing& listing : status.listings) {
    listings.push_back({{"run", listing.run},
                        {"method", listing.method},
                        {"host", listing.host},
                        {"argument", listing.argument},
                        {"found", listing.found},
                        {"attempts", listing.attempts},
                        {"not_before", TimeJson(listing.not_before)},
                        {"cause", listing.cause}});
  }
  return json::serialize(json::object{{"now", TimeText(status.now_us)},
                                      {"runs", std::move(runs)},
                                      {"listings", std::move(listings)},
                                      {"next_due", TimeJson(status.next_due.value_or(0))}});
}

}  // namespace penstock::app
