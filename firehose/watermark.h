#pragma once

// The low-water mark of one source: the highest seq below which every event is settled, that is applied,
// filtered, dead-lettered, quarantined or durably held (protocol 1.5; docs/architecture.md 3). The cursor
// that goes into a batch's transaction.
//
// Thread-safe. Events enter in stream order on the source's thread; they settle in any order on others.

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace penstock::firehose {

class Watermark {
 public:
  using Ticket = uint64_t;

  // `cursor`: the durable position to start from, if there is one.
  explicit Watermark(std::optional<int64_t> cursor) : settled_(cursor) {}

  // An event with this seq has arrived and is in flight. Seqs must increase.
  Ticket Enter(int64_t seq);
  // It needs nothing more (or its writes are part of the transaction about to commit). A ticket that was
  // settled before is ignored.
  void Settle(Ticket ticket);
  // As Enter and Settle at once, for what the filter drops. Takes no memory.
  void Pass(int64_t seq);

  // The highest seq such that it and everything before it is settled; nullopt before the first.
  std::optional<int64_t> Low() const;
  // The last seq that entered or passed.
  std::optional<int64_t> High() const;
  size_t in_flight() const;

 private:
  // The events in flight, oldest first, as a list threaded through slots that are used again: every call is
  // O(1) and the memory is that of the largest number in flight at once, however long the oldest one takes.
  static constexpr uint32_t kNone = UINT32_MAX;
  struct Entry {
    int64_t through;  // the last seq before the next event in flight: settled when this one and all older are
    uint32_t previous;
    uint32_t next;     // of a free slot: the next free one
    uint32_t use = 0;  // tells a ticket of this use of the slot from older ones
  };
  mutable std::mutex mutex_;
  std::vector<Entry> entries_;
  uint32_t newest_ = kNone;
  uint32_t free_ = kNone;
  size_t in_flight_ = 0;
  std::optional<int64_t> settled_;
  std::optional<int64_t> high_;
};

}  // namespace penstock::firehose
