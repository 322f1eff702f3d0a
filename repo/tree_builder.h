#pragma once

// From keys in ascending order to the nodes of their Merkle search tree, bottom-up, one node open per level:
// memory is O(height), whatever the number of keys. Subtrees that are known by their root alone can stand
// between the keys, as long as nothing has to be put into them.
//
// Reusable: Reset() keeps every buffer, so steady state allocates nothing. Not thread-safe.

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "base/bytes.h"
#include "cbor/cid.h"

namespace penstock::repo {

class TreeBuilder {
 public:
  // Gets each node once, children before their parent. Both are good during the call only.
  using NodeSink = std::function<void(const cbor::CidView& cid, Bytes block)>;
  explicit TreeBuilder(NodeSink sink = nullptr) : sink_(std::move(sink)) {}

  // Begins another tree. A new builder has begun one.
  void Reset();

  // The next key, greater than all before it, of 1 to kMaxMstKeyBytes; `height` is KeyHeight(key). Keeps no
  // view. False if a subtree would have to be opened for it: then the tree cannot be built, and every later
  // call fails too.
  [[nodiscard]] bool Add(std::string_view key, const cbor::CidView& value, int height);

  // All keys between the one before and the one after it: a subtree with its root node at `level` (0..127),
  // `root` being a blessed CID. False if it cannot stand there: beside another subtree, or beside a key that
  // belongs into it.
  [[nodiscard]] bool AddSubtree(const cbor::CidView& root, int level);

  // The root: of the empty tree when nothing was added; of the one subtree when nothing else was. False after
  // a failure. Call once; Reset() before the next tree.
  [[nodiscard]] bool Finish(cbor::Cid* root);

 private:
  static constexpr int kMaxLevel = 128;  // SHA-256 of 256 zero bits
  static constexpr int kNone = -1;

  // A link to a subtree, or none: node CIDs are always blessed.
  struct Link {
    std::array<uint8_t, cbor::kBlessedCidSize> cid;
    bool there = false;
    cbor::CidView view() const ABSL_ATTRIBUTE_LIFETIME_BOUND;
  };

  // The open node of a level.
  struct Level {
    std::string block;     // room for the head, then the entries; the last one up to its links
    std::string last_key;  // of the last entry
    cbor::Cid last_value;  // of the last entry, which waits for its right link
    Link left;
    Link child;  // the subtree closed last, below and right of everything in this node so far
    uint64_t entries = 0;
    bool empty() const { return entries == 0 && !child.there; }
  };

  Level& At(int level);
  // Gives the last entry its links; or, before the first entry, the node its left link. Takes `child`.
  static void EndEntry(Level& node);
  // The node's block is done: hash it, hand it out, and leave the level empty.
  crypto::Sha256Digest Close(Level& node);
  // Closes what is open below `level`; links go up to it.
  void CloseBelow(int level);

  NodeSink sink_;
  std::vector<Level> levels_;
  int top_ = kNone;            // the greatest height so far
  int last_height_ = kNone;    // of the last key
  int subtree_level_ = kNone;  // of the subtree that was added last, if no key came after it
  Link only_subtree_;          // while there is no key
  bool failed_ = false;
};

}  // namespace penstock::repo
