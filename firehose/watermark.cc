#include "firehose/watermark.h"

namespace penstock::firehose {

Watermark::Ticket Watermark::Enter(int64_t seq) {
  std::lock_guard lock(mutex_);
  uint32_t slot;
  if (free_ != kNone) {
    slot = free_;
    free_ = entries_[slot].next;
  } else {
    slot = static_cast<uint32_t>(entries_.size());
    entries_.emplace_back();
  }
  Entry& entry = entries_[slot];
  entry.through = seq;
  entry.previous = newest_;
  entry.next = kNone;
  if (newest_ != kNone) entries_[newest_].next = slot;
  newest_ = slot;
  ++in_flight_;
  high_ = seq;
  return Ticket{entry.use} << 32 | slot;
}

void Watermark::Settle(Ticket ticket) {
  std::lock_guard lock(mutex_);
  const uint32_t slot = static_cast<uint32_t>(ticket);
  if (slot >= entries_.size() || entries_[slot].use != static_cast<uint32_t>(ticket >> 32)) return;
  Entry& entry = entries_[slot];
  // What this event held back is now held back by the one before it, or by nothing.
  if (entry.previous != kNone) {
    entries_[entry.previous].through = entry.through;
    entries_[entry.previous].next = entry.next;
  } else {
    settled_ = entry.through;
  }
  if (entry.next != kNone) {
    entries_[entry.next].previous = entry.previous;
  } else {
    newest_ = entry.previous;
  }
  ++entry.use;
  entry.next = free_;
  free_ = slot;
  --in_flight_;
}

void Watermark::Pass(int64_t seq) {
  std::lock_guard lock(mutex_);
  if (newest_ != kNone) {
    entries_[newest_].through = seq;
  } else {
    settled_ = seq;
  }
  high_ = seq;
}

std::optional<int64_t> Watermark::Low() const {
  std::lock_guard lock(mutex_);
  return settled_;
}

std::optional<int64_t> Watermark::High() const {
  std::lock_guard lock(mutex_);
  return high_;
}

size_t Watermark::in_flight() const {
  std::lock_guard lock(mutex_);
  return in_flight_;
}

}  // namespace penstock::firehose
