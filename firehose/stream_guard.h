#pragma once

// What to do with each message of one source's stream (protocol 1.2-1.7): the rules on sequence numbers,
// cursors, error frames and poison frames in one place, for the live session and for recorded files alike.
// Pure: no sockets, no clock.
//
// The guard opens gaps and quarantines frames at the sink by itself; delivering is left to the caller,
// because a full queue makes him wait:
//
//   guard.Start(sink->Position(source));
//   for each message:
//     switch (guard.OnMessage(delivery.get()).action) {
//       case kDeliver:   offer it until the sink takes it; break;
//       case kSkip:      break;
//       case kReconnect: drop the connection, come back with sink->Position(source);    (live only)
//       case kStop:      tell the operator; never reset the cursor by itself            (live only)
//     }
//
// It never changes a cursor: where to continue is always what the sink says.
//
// Counted in `counters`: each framing error by its Reject; kEventSeqNotIncreasing; "frames_duplicate",
// "frames_ignored", "info_outdated_cursor", "info_other", "error_frame_future_cursor",
// "error_frame_consumer_too_slow", "error_frame_other", "suspected_future_cursor", "quarantined" (frames put
// there), "quarantine_skipped" (met again), "gap_<reason>". A name that a peer made up never becomes a
// counter: it is in the log only.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/counters.h"
#include "base/log.h"
#include "firehose/delivery.h"
#include "firehose/frame.h"
#include "firehose/stream_sink.h"

namespace penstock::firehose {

enum class StreamAction : uint8_t { kDeliver, kSkip, kReconnect, kStop };

struct StreamVerdict {
  StreamAction action = StreamAction::kSkip;
  // Why, as a static name. For kReconnect: "framing", "seq_not_increasing", "consumer_too_slow" or
  // "error_frame"; for kStop: "future_cursor" or "suspected_future_cursor"; empty otherwise.
  std::string_view cause;
};

// Not thread-safe: one per source, on the source's thread. Lives across connections, because it remembers
// poison frames.
class StreamGuard {
 public:
  enum class Mode : uint8_t {
    kLive,  // a connection: it can be dropped and opened again at a cursor
    kFile,  // a recording: what cannot be read is quarantined at once, and nothing is ever asked for again
  };

  // A single late message is a relay's slip and only skipped (as indigo does); this many in a row mean that
  // its sequence is broken, and ES wants the connection dropped.
  static constexpr int kMaxNotIncreasing = 8;
  // A frame that fails this often at one position is there to stay (protocol 1.7).
  static constexpr int kPoisonAttempts = 3;

  // Log lines per connection or file about what a peer can send without end; beyond, only the counters move.
  static constexpr int kMaxRepeatedLines = 10;

  // `sink` and `counters` must outlive the guard.
  StreamGuard(std::string source, Mode mode, StreamSink* sink, Counters* counters, Logger log = {});

  // A connection was opened with `cursor` (live), or a file is read from its start and what `cursor` covers
  // is known already. Live without a cursor: the first event opens a gap with the reason `start`, if there is
  // one: "no_cursor" or "relay_switch", which must be static text.
  void Start(std::optional<int64_t> cursor, std::string_view start = {}, std::string detail = {});

  // Decodes the message in `delivery->buffer` into `delivery->frame` and judges it.
  StreamVerdict OnMessage(Delivery* delivery);

  // The two that OnMessage is made of. A frame of kind kIgnored or kRejected is delivered if it has a seq, so
  // that the durable cursor moves past it; one without is skipped if ignored, delivered (as a dead letter) if
  // rejected.
  StreamVerdict OnFrame(const Frame& frame);
  // A message that is no frame: `error` carries the Reject (of DecodeFrame, or kFrameText, kFrameTooLarge by
  // whoever read it). `bytes`: the message, or for kFrameTooLarge its first kMaxFrameBytes. kSkip means: skip
  // exactly this message.
  StreamVerdict OnFramingError(const absl::Status& error, Bytes bytes);

  const std::string& source() const { return source_; }
  // The last seq let through or passed over on this connection or in this file, else the cursor of Start
  // (live).
  std::optional<int64_t> position() const { return position_; }

 private:
  StreamVerdict OnSeq(int64_t seq);
  StreamVerdict OnInfo(const Frame& frame);
  StreamVerdict OnErrorFrame(const Frame& frame);
  void OpenGap(std::optional<int64_t> from, int64_t to, std::string_view reason, std::string detail);
  // Opens what waited for the first seq after it; `seq` is that one.
  void OpenPendingGaps(int64_t seq);
  void Say(LogLevel level, std::string line) const;
  void SayRepeated(LogLevel level, std::string line);

  const std::string source_;
  const Mode mode_;
  StreamSink* const sink_;
  Counters* const counters_;
  const Logger log_;

  std::optional<int64_t> cursor_;  // of Start
  std::optional<int64_t> position_;
  bool first_ = true;  // no event with a seq yet since Start
  bool explained_ =
      false;  // something without a seq came before the first event: a jump of seq proves nothing
  bool outdated_ = false;     // #info OutdatedCursor: the next event ends a gap
  bool quarantined_ = false;  // a quarantined frame was skipped: the next event ends a gap
  int not_increasing_ = 0;    // in a row
  int lines_ = 0;             // logged since Start about things that a peer may repeat at will
  std::string_view start_reason_;
  std::string start_detail_;

  // The position that framing errors were last met at, across connections, and how often in a row.
  int64_t poison_position_ = -1;
  int poison_attempts_ = 0;
};

}  // namespace penstock::firehose
