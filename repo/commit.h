#pragma once

// The commit object (protocol 4.1), version 3. Its signature is not looked at here.

#include <string_view>

#include "absl/base/attributes.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "cbor/cid.h"
#include "repo/syntax.h"

namespace penstock::repo {

// Views into the commit's block.
struct CommitObject {
  Did did;
  std::string_view rev;  // a valid Tid; 13 characters, compared bytewise
  cbor::CidView data;    // blessed: the MST's root
  cbor::CidView prev;    // empty when null, as it virtually always is
  Bytes sig;             // as it stands; 64 bytes in a good commit
  int64_t version = 0;
};

enum class CommitVersions { kV3Only, kAlsoV2 };  // v2 lives in old CAR files only; the stream refuses it

// `block` must be one strict DAG-CBOR map. Unknown extra fields are accepted: they are part of what is
// signed.
// Rejects: any of cbor/reader.h; kCommitBadObject (a field missing or of the wrong type, `prev` absent, bad
// DID or rev, `data` not blessed); kCommitBadVersion.
absl::StatusOr<CommitObject> DecodeCommit(Bytes block ABSL_ATTRIBUTE_LIFETIME_BOUND,
                                          CommitVersions versions = CommitVersions::kV3Only);

}  // namespace penstock::repo
