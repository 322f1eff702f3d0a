#include "pipeline/intake.h"

#include <algorithm>
#include <string>

#include "absl/hash/hash.h"
#include "base/encoding.h"
#include "base/status.h"
#include "crypto/sha256.h"
#include "indexer/row_builder.h"

namespace penstock::pipeline {

using firehose::Frame;
using firehose::FrameKind;

namespace {

std::optional<int64_t> PositionOf(const Source& source) {
  const std::optional<int64_t> high = source.watermark.High();
  return high ? high : source.watermark.Low();
}

}  // namespace

Source* Intake::AddSource(std::string name, std::optional<int64_t> cursor, const SourceOptions& options) {
  auto source = std::make_unique<Source>(name, cursor, options);
  return sources_.insert_or_assign(std::move(name), std::move(source)).first->second.get();
}

Source* Intake::FindSource(std::string_view name) {
  auto it = sources_.find(name);
  return it == sources_.end() ? AddSource(std::string(name), std::nullopt) : it->second.get();
}

size_t WorkerOf(std::string_view did, size_t workers) {
  return workers == 1 ? 0 : absl::Hash<absl::string_view>()(ToAbsl(did)) % workers;
}

bool Wanted(const PipelineOptions& options, const Frame& frame) {
  const indexer::Filter& filter = *options.filter;
  switch (frame.kind) {
    case FrameKind::kCommit:
      return options.verify_all || filter.everything() || filter.Matches(frame.did.text(), frame.ops);
    case FrameKind::kSync:
      // It brings no records: where a chain is kept, it concerns only accounts that are followed.
      if (options.tracked != nullptr) return options.verify_all || filter.everything();
      [[fallthrough]];
    case FrameKind::kIdentity:
    case FrameKind::kAccount:
      return filter.WantsAccount(frame.did.text());
    case FrameKind::kRejected:
      // A refused commit of which we know that nothing in it concerns us is not ours to keep as a dead letter.
      return frame.ops.empty() || filter.Matches(frame.did.text(), frame.ops);
    case FrameKind::kInfo:
    case FrameKind::kError:
    case FrameKind::kIgnored:
      return false;
  }
  return false;
}

bool Intake::Followed(const Frame& frame) const {
  return options_.tracked != nullptr && (frame.kind == FrameKind::kCommit || frame.kind == FrameKind::kSync) &&
         options_.tracked->Contains(frame.did.text());
}

bool Intake::Offer(std::string_view source_name, firehose::DeliveryPtr* delivery) {
  Source* source = FindSource(source_name);
  const Frame& frame = (*delivery)->frame;
  const bool wanted = Wanted(options_, frame);
  // Without a seq of its own (a refused frame that hides it) an event stands at the position before it.
  const std::optional<int64_t> seq = frame.seq ? frame.seq : PositionOf(*source);
  if (!wanted && !Followed(frame)) {
    frames_.fetch_add(1, std::memory_order_relaxed);
    if (frame.kind == FrameKind::kRejected) options_.counters->Count(frame.reject);
    if (frame.seq) source->watermark.Pass(*frame.seq);
    delivery->reset();
    return true;
  }
  const size_t worker = WorkerOf(frame.did.text(), workers_.size());
  if (!workers_[worker]->HasRoom()) return false;  // nothing has been taken: the stream offers it again
  frames_.fetch_add(1, std::memory_order_relaxed);
  if (wanted) matched_.fetch_add(1, std::memory_order_relaxed);
  // Its next commit comes before a worker can say what became of this one.
  const bool expected = wanted && options_.tracked != nullptr && frame.kind == FrameKind::kCommit;
  if (expected) options_.tracked->Expect(frame.did.text());
  const size_t cost = sizeof(firehose::Delivery) + (*delivery)->buffer.capacity();
  const firehose::Watermark::Ticket ticket = seq ? source->watermark.Enter(*seq) : kNoTicket;
  workers_[worker]->PushNow(Task{std::move(*delivery), source, ticket, seq.value_or(0), MonotonicMicros(), wanted, expected}, cost);
  return true;
}

indexer::ChangeSetPtr Intake::Control(Source* source, std::optional<int64_t> position) {
  indexer::ChangeSetPtr change = changes_->Take();
  change->kind = indexer::EventKind::kControl;
  change->source = source->name;
  // The ticket keeps the cursor from passing this point before the gap or the quarantined frame is durable.
  const std::optional<int64_t> here = std::max(position, PositionOf(*source));  // nullopt is less than any position
  change->ticket = here ? source->watermark.Enter(*here) : kNoTicket;
  return change;
}

void Intake::Send(indexer::ChangeSetPtr change) {
  const size_t cost = change->cost();
  writer_->PushNow(std::move(change), cost);
}

void Intake::OpenGap(std::string_view source_name, firehose::StreamGap gap) {
  Source* source = FindSource(source_name);
  std::optional<int64_t> position = gap.from;
  if (!position && gap.to) position = *gap.to - 1;
  indexer::ChangeSetPtr change = Control(source, position);
  change->gaps.push_back({gap.from, gap.to, change->arena.Copy(gap.reason), change->arena.Copy(gap.detail)});
  Send(std::move(change));
}

void Intake::Quarantine(std::string_view source_name, const firehose::PoisonFrame& frame) {
  Source* source = FindSource(source_name);
  const std::string digest = ToHex(crypto::Sha256(frame.bytes));
  if (!source->quarantined.emplace(frame.position, digest).second) return;
  indexer::ChangeSetPtr change = Control(source, frame.position);
  Arena& arena = change->arena;
  change->quarantine.push_back({frame.position, frame.reject, arena.Copy(frame.detail),
                                arena.Copy(frame.bytes.first(std::min(frame.bytes.size(), indexer::kMaxDeadLetterFrame))),
                                arena.Copy(digest)});
  Send(std::move(change));
}

bool Intake::IsQuarantined(std::string_view source_name, int64_t position, Bytes bytes) {
  Source* source = FindSource(source_name);
  if (source->quarantined.empty()) return false;
  return source->quarantined.contains({position, ToHex(crypto::Sha256(bytes))});
}

std::optional<int64_t> Intake::Position(std::string_view source_name) {
  return PositionOf(*FindSource(source_name));
}

}  // namespace penstock::pipeline
