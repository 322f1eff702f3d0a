#pragma once

// atproto JSON in, canonical DAG-CBOR out (protocol 7.2): what cbor/json_out.h writes, and what other
// implementations do. Boost.JSON reads the JSON; what it means is decided here. Pure, thread-safe.
//
//   {"$link":"<CID>"}      a link, with no other key
//   {"$bytes":"<base64>"}  bytes, with no other key; padding is optional, leftover bits are ignored
//   numbers                see DataModel
//   keys                   any order (they come out sorted), each once
//
// A map that the CBOR of some record holds with a key "$link" or "$bytes" of its own has no JSON that reads
// back.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cbor/reader.h"

namespace penstock::cbor {

enum class DataModel {
  // Data of atproto: the top is an object; `$type`, where present, is a non-empty string; blobs are well
  // formed; numbers are integers of 64 bits signed, however written (1, 1.0 and 10e-1 are the same), and
  // nothing else (CheckData).
  kAtproto,
  // Whatever DRISL holds: any value at the top, integers from -2^64 to 2^64-1, and a float wherever a number
  // has a point or an exponent.
  kDrisl,
};

// The canonical DAG-CBOR of `json`, one value with nothing behind it. Work and memory are bounded by the size
// of `json`. Rejects: kJsonMalformed, kJsonTooDeep, kJsonBadLink, kJsonBadBytes, kJsonNumber,
// kCborMapKeyDuplicate, kCborMapKeyTooLong, kCborTooManyElements; under kAtproto also those of CheckData in
// cbor/record_data.h.
absl::StatusOr<std::string> JsonToCbor(std::string_view json, const Limits& limits = {},
                                       DataModel model = DataModel::kAtproto);

}  // namespace penstock::cbor
