#pragma once

// Where a DID is resolved (protocol 6.4; atproto.com/specs/did, "Blessed DID Methods"). Pure, thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock::identity {

enum class DidMethod : uint8_t { kPlc, kWeb };

// did:web of "localhost", with or without a port, and of names under .test: for tests and development only.
enum class LocalNames : uint8_t { kRefused, kAllowed };

struct DidLocation {
  DidMethod method = DidMethod::kPlc;
  // did:web: the host name in lower case, "example.com", or "localhost:2583". Empty for did:plc, whose
  // directory is configured.
  std::string host;
};

// Rejects:
//   kSyntaxDid             no DID; a did:plc that is not 24 characters of base32, which no directory must
//                          see; a did:web that atproto does not allow: with a path or a port (but localhost),
//                          no domain name, a reserved top-level domain
//   kUnsupportedDidMethod  any other method
absl::StatusOr<DidLocation> LocateDid(std::string_view did, LocalNames local = LocalNames::kRefused);

// True for a domain under one of the top-level domains that can be nobody's on the public network
// (atproto.com/specs/handle, "Additional Non-Syntax Restrictions"): .alt .arpa .example .internal .invalid
// .local .localhost .onion, and .test unless `local` allows it. In any case of letters.
bool HasReservedTld(std::string_view domain, LocalNames local = LocalNames::kRefused);

}  // namespace penstock::identity
