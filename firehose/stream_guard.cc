#include "firehose/stream_guard.h"

#include <utility>

#include "base/status.h"
#include "firehose/printable.h"

namespace penstock::firehose {
namespace {

constexpr StreamVerdict kDeliver{StreamAction::kDeliver, {}};
constexpr StreamVerdict kSkip{StreamAction::kSkip, {}};

std::string Text(std::optional<int64_t> seq) { return seq.has_value() ? std::to_string(*seq) : "none"; }

}  // namespace

StreamGuard::StreamGuard(std::string source, Mode mode, StreamSink* sink, Counters* counters, Logger log)
    : source_(std::move(source)), mode_(mode), sink_(sink), counters_(counters), log_(std::move(log)) {}

void StreamGuard::Start(std::optional<int64_t> cursor, std::string_view start, std::string detail) {
  cursor_ = cursor;
  position_ = mode_ == Mode::kLive
                  ? cursor
                  : std::nullopt;  // in a file, what lies before the cursor is still counted off
  first_ = true;
  explained_ = false;
  outdated_ = false;
  quarantined_ = false;
  not_increasing_ = 0;
  lines_ = 0;
  start_reason_ = start;
  start_detail_ = std::move(detail);
}

StreamVerdict StreamGuard::OnMessage(Delivery* delivery) {
  const Bytes message = delivery->buffer.bytes();
  if (absl::Status status = DecodeFrame(message, &delivery->frame); !status.ok())
    return OnFramingError(status, message);
  return OnFrame(delivery->frame);
}

StreamVerdict StreamGuard::OnFrame(const Frame& frame) {
  switch (frame.kind) {
    case FrameKind::kInfo:
      return OnInfo(frame);
    case FrameKind::kError:
      return OnErrorFrame(frame);
    case FrameKind::kIgnored:
      counters_->Count("frames_ignored");
      break;
    case FrameKind::kCommit:
    case FrameKind::kSync:
    case FrameKind::kIdentity:
    case FrameKind::kAccount:
    case FrameKind::kRejected:
      break;
  }
  if (frame.seq.has_value()) return OnSeq(*frame.seq);
  explained_ = true;
  return frame.kind == FrameKind::kIgnored ? kSkip : kDeliver;
}

StreamVerdict StreamGuard::OnSeq(int64_t seq) {
  if (mode_ == Mode::kLive && first_ && position_.has_value()) {
    if (seq == *position_) {
      // ES sends from the cursor on, inclusive; the reference implementations exclude it. We hold this one
      // already.
      first_ = false;
      outdated_ = false;  // the server still has our cursor's event, so nothing between was lost
      counters_->Count("frames_duplicate");
      return kSkip;
    }
    if (seq < *position_) {
      // Asked for what comes after the cursor and got what lies before it: this is not the sequence that the
      // cursor belongs to. To go on would mean to reset the cursor, which only the operator may do.
      counters_->Count("suspected_future_cursor");
      Say(LogLevel::kError, "first event after cursor " + Text(position_) + " has seq " +
                                std::to_string(seq) +
                                ": the cursor is ahead of this stream; stopped, the cursor is kept");
      return StreamVerdict{StreamAction::kStop, "suspected_future_cursor"};
    }
  }

  if ((mode_ == Mode::kFile || !first_) && position_.has_value() && seq <= *position_) {
    counters_->Count(Reject::kEventSeqNotIncreasing);
    if (mode_ == Mode::kLive && ++not_increasing_ >= kMaxNotIncreasing) {
      return StreamVerdict{StreamAction::kReconnect, "seq_not_increasing"};
    }
    return kSkip;
  }

  if (mode_ == Mode::kFile && cursor_.has_value() && seq <= *cursor_) {
    position_ = seq;
    outdated_ = quarantined_ = false;  // those gaps were opened when this stretch was processed
    counters_->Count("frames_duplicate");
    return kSkip;
  }

  OpenPendingGaps(seq);
  first_ = false;
  not_increasing_ = 0;
  position_ = seq;
  return kDeliver;
}

void StreamGuard::OpenPendingGaps(int64_t seq) {
  if (mode_ == Mode::kLive && first_) {
    if (!position_.has_value()) {
      if (!start_reason_.empty()) OpenGap(std::nullopt, seq, start_reason_, start_detail_);
    } else if (!outdated_ && !explained_ && *position_ > 0 && seq > *position_ + 1) {
      // Cursor 0 is a wish ("the oldest you have"), not a place that we have been to.
      OpenGap(position_, seq, "suspected_outdated_cursor", "the first event does not follow the cursor");
    }
  }
  if (outdated_) OpenGap(position_, seq, "outdated_cursor", "");
  if (quarantined_) OpenGap(position_, seq, "quarantined_frame", "");
  outdated_ = quarantined_ = false;
}

void StreamGuard::OpenGap(std::optional<int64_t> from, int64_t to, std::string_view reason,
                          std::string detail) {
  counters_->Count(std::string("gap_").append(reason));
  SayRepeated(LogLevel::kWarning, std::string("gap from ") + Text(from) + " to " + std::to_string(to) + ": " +
                                      std::string(reason));
  StreamGap gap;
  gap.from = from;
  gap.to = to;
  gap.reason = reason;
  gap.detail = std::move(detail);
  sink_->OpenGap(source_, std::move(gap));
}

StreamVerdict StreamGuard::OnInfo(const Frame& frame) {
  if (frame.name != "OutdatedCursor") {
    counters_->Count("info_other");
    SayRepeated(LogLevel::kInfo,
                "info " + Printable(frame.name, 64) + ": " + Printable(frame.message.value_or("")));
    return kSkip;
  }
  counters_->Count("info_outdated_cursor");
  // Without a position there is nothing that could have been missed. The cursor stays as it is: the next
  // event moves it.
  if (position_.has_value()) outdated_ = true;
  return kSkip;
}

StreamVerdict StreamGuard::OnErrorFrame(const Frame& frame) {
  const bool live = mode_ == Mode::kLive;
  const std::string line =
      "error frame " + Printable(frame.name, 64) + ": " + Printable(frame.message.value_or(""));
  if (frame.name == "FutureCursor") {
    counters_->Count("error_frame_future_cursor");
    if (!live) return kSkip;
    Say(LogLevel::kError, line + " (cursor " + Text(position_) + "); stopped, the cursor is kept");
    return StreamVerdict{StreamAction::kStop, "future_cursor"};
  }
  SayRepeated(LogLevel::kWarning, line);
  if (frame.name == "ConsumerTooSlow") {
    counters_->Count("error_frame_consumer_too_slow");
    return live ? StreamVerdict{StreamAction::kReconnect, "consumer_too_slow"} : kSkip;
  }
  counters_->Count("error_frame_other");
  return live ? StreamVerdict{StreamAction::kReconnect, "error_frame"} : kSkip;
}

StreamVerdict StreamGuard::OnFramingError(const absl::Status& error, Bytes bytes) {
  // DecodeFrame fails only with a Reject; anything else would be our own fault and is still no reason to lose
  // the stream.
  const Reject reject = RejectOf(error).value_or(Reject::kFrameBadPayload);
  counters_->Count(reject);
  const int64_t position = position_.value_or(0);

  if (sink_->IsQuarantined(source_, position, bytes)) {
    counters_->Count("quarantine_skipped");
  } else {
    if (mode_ == Mode::kLive) {
      poison_attempts_ = poison_position_ == position ? poison_attempts_ + 1 : 1;
      poison_position_ = position;
      if (poison_attempts_ < kPoisonAttempts) {
        Say(LogLevel::kWarning,
            "framing error after seq " + Text(position_) + ": " + Printable(Message(error)));
        return StreamVerdict{StreamAction::kReconnect, "framing"};
      }
      poison_attempts_ = 0;  // a second poison frame behind this one gets its own attempts
    }
    counters_->Count("quarantined");
    SayRepeated(LogLevel::kError,
                "frame after seq " + Text(position_) + " quarantined: " + Printable(Message(error)));
    PoisonFrame poison;
    poison.position = position;
    poison.reject = reject;
    poison.detail = std::string(Message(error));
    poison.bytes = bytes;
    sink_->Quarantine(source_, poison);
  }
  // The event in it is lost to us; the next one tells how far.
  quarantined_ = true;
  explained_ = true;
  return kSkip;
}

void StreamGuard::SayRepeated(LogLevel level, std::string line) {
  if (lines_ >= kMaxRepeatedLines) return;
  ++lines_;
  Say(level, std::move(line));
}

void StreamGuard::Say(LogLevel level, std::string line) const {
  Log(log_, level, source_ + ": " + std::move(line));
}

}  // namespace penstock::firehose
