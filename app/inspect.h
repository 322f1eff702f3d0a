#pragma once

// What bytes say, for a person: text for `penstock inspect`, one function per kind. Each appends to `*out` and returns
// whether the strict reading accepts the bytes; a refusal is explained in the text (Reject name, offset, and what a lenient
// reader sees there).

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace penstock::app {

// One WebSocket message: header, envelope, ops, and for a #commit the verdict of level `cid` at `now_us`.
bool InspectFrame(Bytes message, int64_t now_us, std::string* out);

// Header, every block with kind, size and whether it hashes to its CID.
bool InspectCar(Bytes car, std::string* out);

// The tree under a CAR's root (a commit, or an MST node): every key with height and value, opaque subtrees, the verdict.
bool InspectMst(Bytes car, std::string* out);

// One item as atproto JSON, with the verdict of the generic and of the record's rules.
bool InspectCbor(Bytes item, std::string* out);

// A CID's parts from its string form.
bool InspectCid(std::string_view text, std::string* out);

}  // namespace penstock::app
