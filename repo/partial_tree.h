#pragma once

// The part of a repository's tree that a CAR slice holds, read once, in key order, with every check of
// protocol 4.4: strict nodes, maximal prefixes, ascending keys within the parent's range, key heights equal
// to the node's level, no empty node below the root, each node visited once, depth bounded. Subtrees whose
// block is not in the slice stay opaque.
//
// Reusable: Load() keeps the capacity of the last tree, so steady state allocates nothing. Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/arena.h"
#include "base/bytes.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "repo/mst_node.h"

namespace penstock::repo {

inline constexpr size_t kMaxMstEntries = 4096;  // of one node (protocol 4.4); a good node has about four

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
    int level = 0;  // the height of the key; of an opaque subtree, of its root node
    bool opaque() const { return key.empty(); }
  };

  // Of a whole repository a node may have as many entries as its block holds.
  static constexpr size_t kAnyEntries = SIZE_MAX;

  // Reads the tree under `root`; the bytes that `blocks` indexes must outlive this tree's use. A node of more
  // than `max_entries` is refused (kMstBadNode). Rejects: kCarMissingBlock (only the root must be there),
  // kMst…, any of cbor/reader.h. After a failure the tree is empty.
  absl::Status Load(const car::BlockIndex& blocks, const cbor::CidView& root,
                    size_t max_entries = kMaxMstEntries);

  // Where `path` is; `*value` is set when found. A path whose height is above an opaque subtree's level
  // cannot be inside of it, so it is kAbsent there: the node that would hold it has been read.
  Lookup Find(std::string_view path, cbor::CidView* value) const;

  // The position in items() of the first key that is not before `path`; items().size() if there is none. What
  // is right before that position is a key before `path`, or the opaque subtree that covers the place of
  // `path`.
  size_t LowerBound(std::string_view path) const;

  const std::vector<Item>& items() const { return items_; }  // in key order
  size_t node_count() const { return node_count_; }
  bool complete() const { return opaque_count_ == 0; }

 private:
  absl::Status LoadNode(const car::BlockIndex& blocks, uint32_t position, int level);
  absl::Status LoadSubtree(const car::BlockIndex& blocks, const cbor::CidView& cid, int level);
  // Joins `entry` to the whole key before it in its node (empty for the first) after CheckMstEntry. `*key` gets
  // the result.
  absl::Status WholeKey(const MstEntry& entry, std::string_view before, std::string_view* key);
  void Clear();

  // While loading: the entries of all open nodes, one after the other; which blocks have been visited; the
  // last key.
  std::vector<MstEntry> open_entries_;
  std::vector<uint8_t> visited_;
  std::string_view last_key_;
  size_t max_entries_ = 0;

  Arena keys_;  // the keys that had a prefix; the others are views of their block
  std::vector<Item> items_;
  std::vector<uint32_t> key_positions_;  // of the items that are keys
  size_t node_count_ = 0;
  size_t opaque_count_ = 0;
};

}  // namespace penstock::repo
