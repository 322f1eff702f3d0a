#pragma once

// The part of a repository's tree that a CAR slice holds, read once, in key order, with every check of protocol 4.4:
// strict nodes, maximal prefixes, ascending keys within the parent's range, key heights equal to the node's level, no empty
// node below the root, each node visited once, depth bounded. Subtrees whose block is not in the slice stay opaque.
//
// Reusable: Load() keeps the capacity of the last tree, so steady state allocates nothing. Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "repo/mst_node.h"

namespace penstock::repo {

enum class Lookup : uint8_t {
  kFound,
  kAbsent,   // provably not in the tree
  kUnknown,  // would be inside a subtree that the slice does not hold
};

class PartialTree {
 public:
  struct Item {
    // A key with its value, or (key empty) an opaque subtree with its root in `value`.
    std::string_view key;
    cbor::CidView value;
    bool opaque() const { return key.empty(); }
  };

  // Reads the tree under `root`; `blocks` must outlive this tree's use. The root's block must be there.
  // Rejects: kCarMissingBlock (the root), kMst…, any of cbor/reader.h.
  absl::Status Load(const car::BlockIndex& blocks, const cbor::CidView& root);

  // Where `path` is; `*value` is set when found.
  Lookup Find(std::string_view path, cbor::CidView* value) const;

  const std::vector<Item>& items() const { return items_; }  // in key order
  size_t node_count() const { return node_count_; }
  bool complete() const { return opaque_count_ == 0; }

 private:
  // (implementation's own state: the frontier of the walk, an arena for whole keys)
  std::vector<Item> items_;
  size_t node_count_ = 0;
  size_t opaque_count_ = 0;
};

}  // namespace penstock::repo
