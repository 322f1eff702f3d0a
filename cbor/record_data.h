#pragma once

// The atproto data model over a record's block (protocol 7.1-7.3): the rules that hold for a record but not
// for a frame or an MST node. A record that breaks one is ignored by itself; the commit that carries it goes
// on.

#include <cstddef>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "cbor/reader.h"

namespace penstock::cbor {

inline constexpr size_t kMaxRecordBytesInCommit = 1'000'000;  // (protocol 1.4)
inline constexpr size_t kMaxRecordBytes = 1 << 20;            // in a repository's export (protocol 1.4)

// Containers within containers, the record's own map included. 32 are recommended; nobody must refuse more,
// so we take twice that, which JSON and every database still hold. Moving it decides which odd records are
// indexed, nothing else.
inline constexpr uint32_t kMaxRecordDepth = 64;
static_assert(kMaxRecordDepth <= kMaxDepth);

// What a good record holds that who stores it should know.
struct RecordReport {
  // $type; points into the block.
  std::string_view type;
  // Some map has an empty key: not allowed, but met in real records, so only reported.
  bool empty_key = false;
  // U+0000 in some text or key: legal, and no database takes it (cbor/json_out.h).
  bool has_nul = false;
};

// Checks that `block` is one record: strict DAG-CBOR, a map, no floats, integers within 64 bits signed, links
// to data or raw bytes (CIDv1 of codec dag-cbor or raw, of any hash), `$type` a non-empty text wherever it is
// present, at the top level present and equal to `collection` (not compared when that is empty), and every
// {"$type":"blob"} with a `ref` to such data, a non-empty `mimeType` and a `size` of 0 or more. A blob may
// hold other keys. The legacy {cid, mimeType} has no $type and passes as a map.
//
// Fills `*report`, when given, on success; allocates nothing unless it refuses. Thread-safe. The first broken
// rule is named, with the offset of what breaks it. Rejects: kRecordTooLarge, kRecordNotAMap, kRecordFloat,
// kRecordIntegerRange, kRecordTooDeep, kRecordBadType, kRecordTypeMismatch, kRecordBadBlob, kCidUnsupported,
// and those of cbor/reader.h.
absl::Status CheckRecord(Bytes block ABSL_ATTRIBUTE_LIFETIME_BOUND, std::string_view collection,
                         RecordReport* report, size_t max_bytes = kMaxRecordBytes);

// The same rules over data that need not be a whole record: the top is a map, which may go without `$type`.
// Rejects: as CheckRecord, but for kRecordTooLarge and kRecordTypeMismatch.
absl::Status CheckData(Bytes item ABSL_ATTRIBUTE_LIFETIME_BOUND, RecordReport* report);

}  // namespace penstock::cbor
