#include "app/verify_frames.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "app/progress.h"
#include "base/status.h"
#include "cbor/json_out.h"
#include "fmt/format.h"
#include "pipeline/file_feed.h"
#include "pipeline/pipeline.h"

namespace penstock::app {
namespace {

constexpr std::string_view kKindNames[] = {"commit", "sync", "identity", "account"};
constexpr std::string_view kLevelNames[] = {"cid", "signature", "commit", "full", "export"};

void Add(std::string_view reason, FramesTally::Example example, FramesTally::Groups* groups) {
  FramesTally::Group& group = groups->try_emplace(std::string(reason)).first->second;
  if (group.count++ < FramesTally::kExamples) group.examples.push_back(std::move(example));
}

// "2,123 commit, 57 sync": those that are not zero.
template <typename Counts, typename Names>
std::string Listed(const Counts& counts, const Names& names) {
  std::string out;
  for (size_t i = 0; i < std::size(names); ++i) {
    if (counts[i] > 0)
      out.append(fmt::format("{}{} {}", out.empty() ? "" : ", ", Grouped(counts[i]), names[i]));
  }
  return out;
}

template <typename Counts, typename Names>
std::string ListedJson(const Counts& counts, const Names& names) {
  std::string out = "{";
  for (size_t i = 0; i < std::size(names); ++i)
    out.append(fmt::format("{}\"{}\":{}", i ? "," : "", names[i], counts[i]));
  return out + "}";
}

// [{"reject":…,"count":…,"examples":[{"seq":…,"did":…,"path":…,"detail":…}]}]
std::string GroupsJson(const FramesTally::Groups& groups) {
  std::string out = "[";
  for (const auto& [reason, group] : groups) {
    out.append(fmt::format("{}{{\"reject\":\"{}\",\"count\":{},\"examples\":[", out.size() > 1 ? "," : "",
                           reason, group.count));
    for (const FramesTally::Example& example : group.examples) {
      out.append(
          fmt::format("{}{{\"seq\":{},\"did\":", &example == group.examples.data() ? "" : ",", example.seq));
      cbor::AppendJsonString(example.did, &out);
      if (!example.path.empty()) cbor::AppendJsonString(example.path, &out.append(",\"path\":"));
      cbor::AppendJsonString(example.detail, &out.append(",\"detail\":"));
      out.append("}");
    }
    out.append("]}");
  }
  return out + "]";
}

void TellGroups(const FramesTally::Groups& groups, VerifyReport* report) {
  for (const auto& [reason, group] : groups) {
    report->Remark(fmt::format("{} {}", Grouped(group.count), reason));
    for (const FramesTally::Example& example : group.examples) {
      report->Remark(fmt::format("  seq {} {}{}{}{}{}", example.seq, example.did,
                                 example.path.empty() ? "" : "/", example.path,
                                 example.detail.empty() ? "" : ": ", example.detail));
    }
    if (group.count > group.examples.size()) report->Remark("  …");
  }
}

// Reading must not run ahead of the answers about accounts: what waits for them is in memory.
void WaitForAnswers(const pipeline::Pipeline& line, size_t memory, const std::atomic<bool>* stop) {
  for (;;) {
    const pipeline::Pipeline::Stats stats = line.stats();
    if (stats.asking == 0 || stats.held_bytes < memory / 2) return;
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

}  // namespace

absl::Status FramesTally::Apply(const indexer::Batch& batch, indexer::ApplyResult* result) {
  for (const indexer::ChangeSetPtr& change : batch.changes) {
    Count(*change);
    result->rows_written += change->records.size();
  }
  return absl::OkStatus();
}

void FramesTally::Count(const indexer::ChangeSet& change) {
  bool whole = false;
  for (const indexer::DeadLetterRow& letter : change.dead_letters) {
    whole = whole || letter.op < 0;
    ++(letter.op < 0 ? refused_events_ : refused_records_);
    std::string path;
    if (!letter.collection.empty()) path = fmt::format("{}/{}", letter.collection, letter.rkey);
    Add(RejectName(letter.reject),
        {change.seq, std::string(change.did), std::move(path), std::string(letter.detail)}, &refusals_);
  }
  for (const indexer::QuarantineRow& row : change.quarantine) {
    ++refused_frames_;
    Add(RejectName(row.reject), {row.position, "", "", fmt::format("the frame after it: {}", row.detail)},
        &refusals_);
  }
  if (change.repo && change.repo->sync_state == sync::SyncState::kDesynchronized) {
    Add(change.repo->reason, {change.seq, std::string(change.did), "", ""}, &breaks_);
  }
  if (change.kind == indexer::EventKind::kControl || whole) return;
  if (!change.passed) {
    ++ignored_;
    return;
  }
  ++accepted_[static_cast<size_t>(change.kind)];
  records_[static_cast<size_t>(change.verification)] += change.records.size();
}

void FramesTally::Tell(VerifyReport* report) const {
  uint64_t events = 0;
  for (const uint64_t count : accepted_) events += count;
  const std::string kinds = Listed(accepted_, kKindNames), levels = Listed(records_, kLevelNames);
  report->Ok("accepted", fmt::format("{}{}{}", Counted(events, "event"), kinds.empty() ? "" : ": ", kinds));
  report->Remark(fmt::format("changes of records: {}", levels.empty() ? "none" : levels));
  if (ignored_ > 0)
    report->Remark(fmt::format("{} more say nothing new: replayed, stale, or of accounts that are silent",
                               Grouped(ignored_)));
  report->MemberJson("accepted", ListedJson(accepted_, kKindNames));
  report->MemberJson("changes", ListedJson(records_, kLevelNames));
  report->Member("ignored", static_cast<int64_t>(ignored_));

  if (refused() > 0) {
    report->Fail("refused",
                 FailedPreconditionError(fmt::format("{}, {}, {}", Counted(refused_events_, "event"),
                                                     Counted(refused_records_, "single record"),
                                                     Counted(refused_frames_, "frame"))));
    TellGroups(refusals_, report);
  } else {
    report->Ok("refused", "none");
  }
  report->MemberJson("refused", GroupsJson(refusals_));

  if (!breaks_.empty()) {
    uint64_t accounts = 0;
    for (const auto& [reason, group] : breaks_) accounts += group.count;
    report->Fail("chain",
                 FailedPreconditionError(fmt::format("broken for {}, whose later events prove nothing",
                                                     Counted(accounts, "account"))));
    TellGroups(breaks_, report);
  } else {
    report->Ok("chain", "each commit continues the one before it");
  }
  report->MemberJson("desynchronized", GroupsJson(breaks_));
}

absl::Status VerifyFrames(const FramesQuestion& question, VerifyReport* report) {
  const pipeline::PipelineOptions& options = question.options;
  FramesTally tally;
  pipeline::Pipeline line(options, &tally);
  line.AddSource(question.source, std::nullopt);
  std::atomic<bool> end{false};
  RETURN_IF_ERROR(line.Start([&end] { end.store(true); }));
  Progress progress("verify", &line, options.log);
  pipeline::FeedOptions feeding;
  feeding.stop = &end;
  feeding.tick = [&] {
    if (question.stop != nullptr && question.stop->load(std::memory_order_relaxed)) end.store(true);
    WaitForAnswers(line, options.held.memory_bytes, question.stop);
    progress.Tick();
  };
  const absl::Status read =
      pipeline::FeedFrames({{question.file, question.source}}, feeding, &line, options.counters, options.log);
  const bool stopped = end.load();
  line.Settle(question.wait_us, question.stop);
  const pipeline::Pipeline::Stats stats = line.stats();
  const absl::Status judged = line.Finish(question.wait_us);
  progress.Finish();
  RETURN_IF_ERROR(judged);

  report->Member("frames", static_cast<int64_t>(stats.frames));
  if (read.ok() && !stopped) {
    report->Ok("frames", fmt::format("{} to the end of the file", Counted(stats.frames, "frame")));
  } else {
    report->Fail("frames", read.ok()
                               ? DeadlineExceededError(fmt::format("stopped after {} frames", stats.frames))
                               : read);
  }
  tally.Tell(report);
  const uint64_t unjudged = stats.held_events + options.counters->Of("held_dropped");
  if (unjudged > 0) {
    report->Fail("judged", UnavailableError(fmt::format(
                               "{} could not be judged: the account is not known, or its chain is broken",
                               Counted(unjudged, "event"))));
  } else {
    report->Ok("judged", "every event");
  }
  report->Member("not_judged", static_cast<int64_t>(unjudged));
  report->Conclude(fmt::format("{}, each change of a record signed by its account and in its chain",
                               Counted(stats.frames, "frame")));
  return absl::OkStatus();
}

}  // namespace penstock::app
