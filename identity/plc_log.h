#pragma once

// The log of a did:plc, verified without trusting the directory that serves it (protocol 6.4; did:plc
// specification v0.3.0): the DID is the hash of the first operation, and every operation is signed by a key
// that its predecessor names. What remains is trust in the directory's clock and in its not hiding the newest
// operations; docs/formats/plc-log.md.
//
// Pure: reads no clock. Immutable once made, so thread-safe.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cbor/cid.h"
#include "crypto/public_key.h"
#include "identity/identity.h"

namespace penstock::identity {

// Years of daily operations. Bounds the work too: at most some 900 operations with ten keys each, under a
// second.
inline constexpr size_t kMaxPlcLogBytes = 1024 * 1024;
// did:plc v0.3.0, "Operation Serialization, Signing, and Validation": of one operation in DAG-CBOR, signature
// included.
inline constexpr size_t kMaxPlcOperationBytes = 7'500;
// What the directory accepts. The specification says five rotation keys; logs with more, with none and with
// one key twice exist.
inline constexpr size_t kMaxPlcRotationKeys = 10;
inline constexpr size_t kMaxPlcVerificationMethods = 10;
// "Key Rotation & Account Recovery": how long a key of higher priority can undo an operation. Exactly this
// long is in time.
inline constexpr int64_t kPlcRecoveryWindowUs = int64_t{72} * 3600 * 1'000'000;

// What one operation made of the identity.
struct PlcVersion {
  int64_t created_us = 0;   // the directory's clock, microseconds since the epoch; not signed
  cbor::Cid cid;            // of the operation
  bool tombstone = false;   // then all that follows is empty
  std::string signing_key;  // the did:key of the method `atproto` as written; empty if there is none
  std::optional<crypto::PublicKey> key;  // the same, if it is one that atproto uses
  std::string pds;                       // as PdsOrigin (identity/did_document.h); empty if there is none
  std::string handle;                    // the first valid one, in lower case; empty if there is none
};

class PlcLog {
 public:
  // `json`: the answer to /<did>/log/audit. Rejects:
  //   kPlcBadOperation      no log, or too large; an operation of another shape, too large, with too many
  //                         keys or a broken one; `did` or `cid` of an entry is not the operation's
  //   kPlcGenesisMismatch   `did` is not the hash of the first operation
  //   kPlcBadChain          `prev` is no operation in force, or a tombstone; times go backwards
  //   kPlcBadSignature      `sig` is not strict base64url of a low-S signature by one of the keys
  //   kPlcBadNullification  an operation undoes others too late or with a key of no higher priority;
  //                         `nullified` of an entry is not what follows from the log
  static absl::StatusOr<PlcLog> Verify(std::string_view did, std::string_view json);

  const std::string& did() const { return did_; }
  // The chain in force: oldest first, never empty. Nullified operations were verified and left out.
  std::span<const PlcVersion> versions() const ABSL_ATTRIBUTE_LIFETIME_BOUND { return versions_; }
  const PlcVersion& current() const ABSL_ATTRIBUTE_LIFETIME_BOUND { return versions_.back(); }
  // The version in force at `time_us`: what a commit of that time is to be judged by. Null before the first.
  // An operation that was undone never counts, not even for the time until then: whoever undid it says that
  // it was not theirs.
  const PlcVersion* At(int64_t time_us) const ABSL_ATTRIBUTE_LIFETIME_BOUND;

  // Whether `identity`, made from the DID document or its absence (kDidTombstoned), says what the log says:
  // the same key, PDS and handle, or the same lack of one. Rejects: kPlcDocumentMismatch. A log that was
  // fetched later than the document may honestly know more: fetch both again before believing in a lie.
  absl::Status CheckDocument(const Identity& identity) const;

 private:
  PlcLog() = default;

  std::string did_;
  std::vector<PlcVersion> versions_;
};

}  // namespace penstock::identity
