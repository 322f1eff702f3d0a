#pragma once

// The events of one account that cannot be judged yet, in order (docs/architecture.md 3): first those that are in the store, then
// those in memory. Once one event of an account waits, all its later commits and #syncs queue behind it.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "firehose/delivery.h"
#include "sync/judge.h"

namespace penstock::sync {

struct HeldEvent {
  firehose::DeliveryPtr delivery;
  std::string_view source;  // outlives it (the pipeline's list of sources)
  uint64_t ticket = 0;
  int64_t seq = 0;
  int64_t ordinal = 0;
  bool gated = false;
  int64_t arrived_us = 0;       // monotonic
  int64_t arrived_wall_us = 0;

  size_t cost() const { return sizeof(HeldEvent) + sizeof(firehose::Delivery) + delivery->buffer.capacity(); }
};

struct HeldEvents {
  Wait wait = Wait::kIdentity;
  // Asked, and not answered yet.
  bool asking = false;
  // When to ask again, and how long the next wait may be; monotonic microseconds.
  int64_t retry_at_us = 0;
  int64_t backoff_us = 0;
  int64_t wake_at_us = 0;  // the timer that is set; 0 for none
  bool drain = false;      // at that time, judge instead of asking

  // Those in the store: how many, and which of them have been judged since.
  uint64_t stored_events = 0, stored_bytes = 0;
  int64_t stored_last = 0;      // highest ordinal that was stored
  int64_t judged = 0;           // highest ordinal of them that was judged
  uint64_t stored_change = 0;   // the change that stores the newest of them: not readable before it is durable

  std::deque<HeldEvent> memory;
  size_t memory_bytes = 0;
  // What came back for the first event, while the store has to be waited for.
  identity::IdentityPtr answer;

  // What the account has in all.
  uint64_t events() const { return stored_events + memory.size(); }
  uint64_t bytes() const { return stored_bytes + memory_bytes; }
};

// How much may wait. A worker keeps its share of the totals.
struct HeldLimits {
  uint64_t account_events = 10'000;
  uint64_t account_bytes = 64ull << 20;
  uint64_t total_events = 1'000'000;
  uint64_t total_bytes = 4ull << 30;
  size_t memory_bytes = 16u << 20;       // of the totals, what may be in memory and not yet in the store
  int64_t store_after_us = 1'000'000;    // an event that waited so long in memory is stored
};

}  // namespace penstock::sync
