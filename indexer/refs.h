#pragma once

// The edges out of a record: every at:// URI and every DID that its texts hold, found without a schema. Pure.

#include <cstddef>
#include <vector>

#include "base/arena.h"
#include "base/bytes.h"
#include "indexer/change_set.h"

namespace penstock::indexer {

// More references than this in one record are not kept: no honest record comes near, and each costs a row.
inline constexpr size_t kMaxRefs = 1000;

// A longer path is cut, at a character's border. Keys may have 8 KiB each and every reference repeats those
// above it, so without a bound one record of 1 MB could ask for a gigabyte of paths.
inline constexpr size_t kMaxRefPathBytes = 1024;

// Appends the references of `record` to `*refs`, in the order of the record, paths and texts copied into
// `*arena`. `record` is good record data (cbor::CheckRecord); what is nested deeper than that allows is not
// looked at.
//
//   {"reply": {"root": {"cid": "bafy…", "uri": "at://…"}}}   reply.root, target_cid set: a strong reference
//   {"embed": {"items": ["at://…", "did:…"]}}                embed.items[0], embed.items[1]
//
// A strong reference is a map with a text `cid` that is not empty and a `uri` that is a reference: one row,
// at the map's own path (empty for the record's own map), the `cid` as it came. Blobs and links by CID are no
// references. Paths are for people and queries: a key with a dot or a bracket of its own is written as it is.
//
// Returns false if there were more than kMaxRefs; those before are kept.
bool FindRefs(Bytes record, Arena* arena, std::vector<RefRow>* refs);

// The first 8 bytes of SHA-256(target_uri), big endian: RefRow::target_hash.
int64_t TargetHash(std::string_view target_uri);

}  // namespace penstock::indexer
