#pragma once

// What protocol 4.4 asks of every node, check by check, for whoever walks a tree in key order: over a slice in
// memory (repo/partial_tree.h), or over an archive that is still coming (repo/export_stream.h). A walk that
// makes all of them over a whole tree has seen the only tree of its keys and values.

#include <span>
#include <string_view>

#include "absl/status/status.h"
#include "cbor/cid.h"
#include "repo/mst_node.h"

namespace penstock::repo {

// The root has no parent to say its level: its first key does.
inline constexpr int kRootLevel = -1;

// The node's shape, beyond MstNode::Decode. `*level` is what the parent says, or kRootLevel for the root, which
// gets its level here (but for the empty tree). Rejects: kMstRootWithoutKey, kMstEmptyNode.
absl::Status CheckMstNode(const cbor::CidView& left, std::span<const MstEntry> entries, int* level);

// A subtree below a node of level `level` + 1. Rejects: kMstTooDeep.
absl::Status CheckMstChildLevel(int level);

// An entry against the whole key before it in its node (empty for the first): its prefix is maximal, and the
// whole key is greater and of a good size. Rejects: kMstBadPrefix, kMstBadKey, kMstKeyOrder.
absl::Status CheckMstEntry(const MstEntry& entry, std::string_view before);

// Ascending over the whole walk: so also within the parent's range, and without overlap between nodes.
// `last` is the key before it in the walk, in whatever node. Rejects: kMstKeyOrder.
absl::Status CheckMstOrder(std::string_view last, std::string_view key);

// Rejects: kMstWrongHeight.
absl::Status CheckMstHeight(std::string_view key, int level);

}  // namespace penstock::repo
