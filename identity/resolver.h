#pragma once

// How whoever verifies learns identities: at once from memory, or later by an answer. Implementations: the network
// (identity/resolver/), and files (identity/recorded.h).

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "identity/identity.h"

namespace penstock::identity {

// Where an event stands, for answers that depend on it (a recorded key rotation). The network's do not.
struct Position {
  std::string_view source;
  int64_t seq = 0;
};

enum class Ask : uint8_t {
  kCached,   // whatever is known and not expired; one lookup if nothing is
  kRefresh,  // past every cache: an event's signature failed under the key that is known
};

// Either an identity, or why there is none now: kUnavailable or kDeadlineExceeded.
struct Answer {
  absl::Status status;
  IdentityPtr identity;
  // When asking again makes sense, microseconds from now: the directory's back-off, or the rate limit of forced refreshes.
  int64_t retry_after_us = 0;
};

// All methods are thread-safe.
class Resolver {
 public:
  virtual ~Resolver() = default;

  // From memory, without waiting: null if it is not there, was purged, or is too old to be used as things are. A stale entry is
  // given out only while the directory is down (protocol 6.5).
  virtual IdentityPtr Find(std::string_view did, const Position& position) = 0;

  // `done` is called exactly once, on any thread, perhaps before this returns; never after the resolver's end. Lookups of one DID
  // are coalesced. A refresh that the rate limit per DID does not allow yet is answered with kUnavailable and `retry_after_us`.
  using Done = std::function<void(const Answer&)>;
  virtual void Resolve(std::string_view did, const Position& position, Ask ask, Done done) = 0;

  // #identity: what is known of this DID must not be used again, nor the answer of a lookup that is under way.
  virtual void Purge(std::string_view did) = 0;

  // An identity that a store kept: taken into memory unless something newer is there or it was purged meanwhile.
  virtual void Keep(IdentityPtr identity) = 0;
};

}  // namespace penstock::identity
