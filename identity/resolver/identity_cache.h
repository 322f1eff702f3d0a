#pragma once

// What a resolver remembers: the newest identity of each account, least recently used first to go, bounded in
// entries and bytes; and what was purged, so that an older copy kept elsewhere cannot come back. Not
// thread-safe. Reads no clock: `now_us` is the wall clock, microseconds since the epoch.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "identity/identity.h"

namespace penstock::identity {

struct CacheOptions {
  size_t max_entries = 100'000;
  size_t max_bytes = 256 * 1024 * 1024;  // counts documents, which are the hosts' choice up to 64 KiB each
  // How long an identity with a key is used without asking again.
  std::chrono::microseconds fresh = std::chrono::hours(24);
  // And how long at most, while nobody answers.
  std::chrono::microseconds stale = std::chrono::hours(7 * 24);
  // How long a conclusive "there is no such key" is believed.
  std::chrono::microseconds negative = std::chrono::minutes(2);
  // How many purges are remembered, and for how long at least (but see Keep).
  size_t max_purges = 65'536;
  std::chrono::microseconds purge_memory = std::chrono::hours(1);
};

// Of one account: what limits how often it is asked about. On the monotonic clock.
struct Pace {
  using Time = std::chrono::steady_clock::time_point;
  double tokens = -1;  // of lookups; below 0: never used
  Time refilled{};
  Time refresh_from{};  // the next forced refresh
  Time error_until{};   // the last lookup failed; until then the next would
  int errors = 0;       // in a row
};

class IdentityCache {
 public:
  explicit IdentityCache(const CacheOptions& options) : options_(options) {}

  enum class Age : uint8_t {
    kAbsent,
    kFresh,
    kStale,  // only while nobody answers
  };
  struct Found {
    IdentityPtr identity;  // null if kAbsent
    Age age = Age::kAbsent;
  };
  Found Find(std::string_view did, int64_t now_us);

  // What a lookup brought: replaces whatever is there.
  void Put(IdentityPtr identity);

  // What a store kept. False if it was not taken: something at least as new is there, it was purged later
  // than it was fetched, or so many others were purged within `purge_memory` that nobody knows any more.
  bool Keep(IdentityPtr identity);

  // The same identity with more known of it (its handle): false if another has taken its place.
  bool Replace(const IdentityPtr& before, IdentityPtr after);

  void Purge(std::string_view did, int64_t now_us);

  // Of this account, made if it is not there; null never. Until the next call of anything else.
  Pace* PaceOf(std::string_view did);

  size_t size() const { return entries_.size(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Entry {
    std::string did;
    IdentityPtr identity;
    Pace pace;
    size_t cost = 0;
  };
  using Entries = std::list<Entry>;  // the most recently used first

  Entry& Touch(std::string_view did);
  void Set(Entry* entry, IdentityPtr identity);
  void Evict();
  bool WasPurgedSince(const Identity& identity) const;

  const CacheOptions options_;
  Entries entries_;
  // Keys view the entries.
  absl::flat_hash_map<absl::string_view, Entries::iterator> index_;
  size_t bytes_ = 0;

  absl::flat_hash_map<std::string, int64_t> purged_us_;      // by DID
  std::deque<std::pair<int64_t, std::string>> purge_order_;  // may hold a DID more than once; the last counts
  int64_t purge_floor_us_ = 0;  // whatever was fetched until then may have been purged
};

}  // namespace penstock::identity
