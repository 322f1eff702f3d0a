#pragma once

// Who an account is, as far as it is known: the conclusive answer to "what does this DID resolve to". A
// resolution that failed for now (time-out, 5xx, rate limit) is a status of the asking, never one of these.

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/reject.h"
#include "crypto/public_key.h"

namespace penstock::identity {

enum class HandleState : uint8_t {
  kUnchecked,  // claimed, not looked at yet
  kValid,      // the document claims it and it resolves to the DID (protocol 6.4)
  kInvalid,    // it does not, or none is claimed: shown as "handle.invalid"
};
std::string_view HandleStateName(HandleState state);  // "unchecked", "valid", "invalid"

// Immutable once shared.
struct Identity {
  std::string did;
  // Why nothing can be verified for this account: kDidNotFound, kDidTombstoned, kDidDocumentInvalid,
  // kDidNoKey, kUnsupportedDidMethod, kSyntaxDid, kPlc…. Nullopt for an identity with a key.
  std::optional<Reject> fault;
  std::optional<crypto::PublicKey> key;  // the first valid #atproto key
  std::string pds;     // origin, "https://host[:port]"; empty if the document names none
  std::string handle;  // the first valid one claimed, lower case; empty if none
  HandleState handle_state = HandleState::kUnchecked;
  std::string document;  // the JSON as it came, bounded; empty when there was none

  int64_t fetched_us = 0;  // on the wall clock: when the answer came
  // On the machine's monotonic clock: when the question was sent. An event that arrived before it was judged by a key at
  // least as new as itself. 0 for one that was kept from an earlier run; the maximum for one from a file.
  int64_t asked_us = 0;
};
using IdentityPtr = std::shared_ptr<const Identity>;

inline constexpr int64_t kAlwaysCurrent = std::numeric_limits<int64_t>::max();

}  // namespace penstock::identity
