#pragma once

// What atproto reads of a DID document (protocol 6.3; atproto.com/specs/did, "DID Documents"): signing key,
// PDS, handle. docs/formats/did-document.md says what is refused and why. Pure, thread-safe.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "crypto/public_key.h"
#include "identity/identity.h"

namespace penstock::identity {

// Real ones have a few hundred bytes, one with every field of did:plc at its limit some 16 KiB. More is not
// read.
inline constexpr size_t kMaxDidDocumentBytes = 64 * 1024;

// What `json`, the answer to "what does `did` resolve to", says. Every document is conclusive, so this always
// returns an identity: with `fault` kDidDocumentInvalid (too large, no JSON object, or its `id` is not
// exactly `did`) or kDidNoKey where nothing can be verified. PDS and handle are read also where no key is.
// `document` keeps the text unless it is no JSON; the handle is unchecked; the times are the caller's.
Identity ParseDidDocument(std::string_view did, std::string_view json);

// An entry of `verificationMethod`, for whoever wants to know why a key counts or does not.
struct KeyEntry {
  std::string id, type;  // as they stand; empty if they are no text
  // OK: this key is valid, and the first such is the account's. kFailedPrecondition: it is not meant for
  // atproto, or not the account's own (the message says which). Rejects: kKeyMalformed, kKeyUnsupported.
  absl::Status status;
  std::optional<crypto::PublicKey> key;  // if it is valid
};
// All of them, in order; none for what is no document of `did`.
std::vector<KeyEntry> ReadKeyEntries(std::string_view did, std::string_view json);

// The identity of a DID for which there is no document.
Identity NoIdentity(std::string_view did, Reject fault);

// "https://host[:port]" in its one spelling (lower case, without the scheme's own port) if `endpoint` is an
// http or https URL of scheme, host and port and nothing else, not even a "/"; else empty.
std::string PdsOrigin(std::string_view endpoint);

// The handle that an entry of `alsoKnownAs` claims, in lower case: "at://<handle>" and nothing behind it;
// else empty.
std::string ClaimedHandle(std::string_view also_known_as);

}  // namespace penstock::identity
