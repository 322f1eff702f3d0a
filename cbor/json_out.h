#pragma once

// atproto JSON straight from the bytes of a DAG-CBOR item (protocol 7.2), with nothing built in between:
//
//   link      {"$link":"bafy…"}
//   bytes     {"$bytes":"…"}, base64 without padding
//   text      UTF-8 as it is; `"`, `\` and control characters escaped
//   integer   exactly, as a number (readers that hold numbers as doubles round beyond 2^53)
//   float     the shortest form that reads back to the same value, always with a point or an exponent
//
// Keys keep their order in the item. A map that holds a key "$link" or "$bytes" of its own comes out as it
// is, and so cannot be told from a link or bytes: the CBOR stays the truth. Pure functions, thread-safe.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"

namespace penstock::cbor {

struct JsonOptions {
  // Writes U+FFFD for each U+0000 in texts and keys. PostgreSQL can hold U+0000 neither in text nor in jsonb,
  // not even escaped, so columns derived from records need this; everywhere else "\u0000" is exact.
  bool replace_nul = false;
};

// Appends the JSON of `item`, which must be exactly one strict item, to `*out`; a reused buffer makes this
// free of allocations. Sets `*lossy`, when given, to whether a U+0000 was replaced. On error `*out` is as it
// was. Rejects: those of cbor/reader.h, kCborTooDeep beyond kMaxDepth.
absl::Status AppendJson(Bytes item, const JsonOptions& options, std::string* out, bool* lossy = nullptr);

// Appends `text`, which must be valid UTF-8, as a JSON string with its quotes.
void AppendJsonString(std::string_view text, std::string* out);

}  // namespace penstock::cbor
