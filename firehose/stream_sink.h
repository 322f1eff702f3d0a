#pragma once

// What a stream of frames hands to the rest of the program. Implemented by pipeline/; used by the live session and by the
// reader of recorded files alike. All calls for one source come from one thread.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/reject.h"
#include "firehose/delivery.h"

namespace penstock::firehose {

// A stretch of a source's sequence that may hold events we did not see (docs/schema.md, table `gap`).
struct StreamGap {
  std::optional<int64_t> from;  // the last seq before it
  std::optional<int64_t> to;    // the first seq after it, when known
  std::string_view reason;      // "outdated_cursor", "suspected_outdated_cursor", "quarantined_frame", "relay_switch", "no_cursor"
  std::string detail;
};

// A frame with a hard framing error that was met too often (protocol 1.7).
struct PoisonFrame {
  int64_t position = 0;  // the seq before it; 0 at the start of the stream
  Reject reject{};
  std::string detail;
  Bytes bytes;           // bounded by the receiver
};

class StreamSink {
 public:
  virtual ~StreamSink() = default;

  // Takes `*delivery` and returns true; or leaves it and returns false when the queues are full: offer it again a little
  // later and read nothing meanwhile, so that the peer feels the pressure. Deliveries come in seq order.
  virtual bool Offer(std::string_view source, DeliveryPtr* delivery) = 0;

  // Durable with the next batch. Also open gaps and quarantined frames are never dropped for lack of room.
  virtual void OpenGap(std::string_view source, StreamGap gap) = 0;
  virtual void Quarantine(std::string_view source, const PoisonFrame& frame) = 0;
  // True if a frame with these bytes was quarantined at this position before: skip it.
  virtual bool IsQuarantined(std::string_view source, int64_t position, Bytes bytes) = 0;

  // Where to continue: the highest seq received in this process, else the durable cursor; nullopt if there never was one
  // (which is not 0: protocol 1.5).
  virtual std::optional<int64_t> Position(std::string_view source) = 0;
};

}  // namespace penstock::firehose
