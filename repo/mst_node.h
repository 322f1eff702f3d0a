#pragma once

// One node of the Merkle search tree (protocol 4.3): `{ l: link|null, e: [ {p, k, v, t} ] }`.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "cbor/cid.h"

namespace penstock::repo {

inline constexpr size_t kMaxMstKeyBytes = 1024;  // protocol 1.4 (indigo, TS)

// Leading zero bits of SHA-256(key), in pairs: the level at which `key` lives (fanout 4). 0..128.
int KeyHeight(std::string_view key);

// Views into the node's block; the key is still split: `prefix` bytes of the entry before it in this node, then `suffix`.
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
  // Not checked here, because it takes more than one node or whole keys: see PartialTree (repo/partial_tree.h).
  absl::Status Decode(Bytes block);
};

}  // namespace penstock::repo
