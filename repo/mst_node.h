#pragma once

// One node of the Merkle search tree (protocol 4.3): `{ l: link|null, e: [ {p, k, v, t} ] }`.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "cbor/cid.h"

namespace penstock::repo {

inline constexpr size_t kMaxMstKeyBytes = 1024;  // protocol 1.4 (indigo, TS)

// Leading zero bits of SHA-256(key), in pairs: the level at which `key` lives (fanout 4). 0..128.
int KeyHeight(std::string_view key);

// Views into the node's block; the key is still split: `prefix` bytes of the entry before it in this node,
// then `suffix`.
struct MstEntry {
  uint64_t prefix = 0;
  std::string_view suffix;
  cbor::CidView value;  // as it stands, blessed or not (4.4)
  cbor::CidView right;  // the subtree after this key; empty when null
};

// Reusable: Decode() keeps the capacity of the last node.
struct MstNode {
  cbor::CidView left;  // empty when null
  std::vector<MstEntry> entries;

  // Strict DAG-CBOR, exactly the fields of a node, right types, blessed subtree links.
  // Rejects: any of cbor/reader.h, kMstBadNode, kMstBadLink.
  // Not checked here, because it takes more than one node or whole keys: see PartialTree
  // (repo/partial_tree.h).
  absl::Status Decode(Bytes block ABSL_ATTRIBUTE_LIFETIME_BOUND);
};

// The same, for a walk that has several nodes open at once: appends the entries to `*entries`, so that one
// vector serves all of them. After a failure `*entries` may hold some of the node's.
absl::Status DecodeMstNode(Bytes block ABSL_ATTRIBUTE_LIFETIME_BOUND, cbor::CidView* left,
                           std::vector<MstEntry>* entries);

// An entry with its whole key, as whoever builds a tree has it.
struct MstKeyEntry {
  std::string_view key;
  cbor::CidView value;
  cbor::CidView right;  // empty for null
};

// Appends the node's block to `*out`. `entries` in ascending key order; the prefixes are worked out here.
void EncodeMstNode(const cbor::CidView& left, std::span<const MstKeyEntry> entries, std::string* out);
// The same from split keys, as they stand: gives a decoded node's bytes again.
void EncodeMstNode(const MstNode& node, std::string* out);

// How many bytes `a` and `b` have in common at their start.
size_t CommonPrefix(std::string_view a, std::string_view b);

// The parts of a node's block, for who writes one whose entries are still coming (repo/tree_builder.h). An
// entry's right link stands before its value but is known only when the next key comes, so an entry is
// written in two halves; and the node's head, which holds the number of entries, is put in front at the end,
// into room left for it.
inline constexpr size_t kMstHeadRoom = 12;
void AppendMstEntryKey(uint64_t prefix, std::string_view suffix, std::string* block);
void AppendMstEntryLinks(const cbor::CidView& right, const cbor::CidView& value, std::string* block);
void AppendMstNodeEnd(const cbor::CidView& left, std::string* block);
// `*block` begins with kMstHeadRoom bytes of any content; returns the node within it.
Bytes PutMstNodeHead(uint64_t entries, std::string* block ABSL_ATTRIBUTE_LIFETIME_BOUND);

}  // namespace penstock::repo
