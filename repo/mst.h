#pragma once

// A whole Merkle search tree in memory (protocol 4.3): loaded with every check of 4.4, changed key by key,
// and only what changed is encoded again. For parts of a tree see repo/partial_tree.h, for building one from
// its keys in order repo/tree_builder.h.
//
// Move-only; not thread-safe.

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "repo/op.h"

namespace penstock::repo {

class Mst {
 public:
  // The views are good during the call only.
  using RecordVisitor = absl::FunctionRef<void(std::string_view key, const cbor::CidView& value)>;
  using NodeVisitor = absl::FunctionRef<void(const cbor::Cid& cid, Bytes block)>;

  Mst();  // the empty tree
  ~Mst();
  Mst(Mst&&) noexcept;
  Mst& operator=(Mst&&) noexcept;

  // The tree under `root`; keeps no view of `blocks`. Rejects: those of PartialTree::Load (kCarMissingBlock
  // for the root); kMstPartial when another node is missing.
  static absl::StatusOr<Mst> Load(const car::BlockIndex& blocks, const cbor::CidView& root);

  // `key` is any of 1 to kMaxMstKeyBytes bytes in all of these: whether it is a repo path is not looked at.
  std::optional<cbor::CidView> Find(std::string_view key) const ABSL_ATTRIBUTE_LIFETIME_BOUND;
  // Inserts `key` or replaces its value; returns the value that it had.
  std::optional<cbor::Cid> Set(std::string_view key, const cbor::CidView& value);
  // Returns the removed value; nullopt if the key was not there.
  std::optional<cbor::Cid> Remove(std::string_view key);

  size_t size() const { return size_; }  // keys

  // The root's CID; encodes what changed since the last call.
  const cbor::Cid& Root();

  // In key order.
  void VisitRecords(RecordVisitor visit) const;
  // Every node, in pre-order.
  void VisitNodes(NodeVisitor visit);
  // The nodes from the root to where `key` is or would be: with them a reader can tell which of the two, and
  // the value.
  void VisitPath(std::string_view key, NodeVisitor visit);

 private:
  friend struct MstDiff DiffMst(Mst& before, Mst& after);

  struct Node;
  struct Entry;
  using Child = std::unique_ptr<Node>;

  static Child LoadNode(const car::BlockIndex& blocks, const cbor::CidView& cid, int level, size_t* keys);
  static Child MakeNode(int level);
  static Child Lift(Child node, int level);
  static std::pair<Child, Child> Split(Child node, std::string_view key);
  static Child Merge(Child left, Child right);
  static std::optional<cbor::Cid> RemoveUnder(Child& node, std::string_view key, int height);
  static void Encode(const Node& node, std::string* block);
  static const cbor::Cid& Freshen(Node& node);
  const Node& RootNode();

  Child root_;  // null when the tree holds no key
  size_t size_ = 0;
};

// What leads from one tree to another.
struct MstDiff {
  struct Op {
    Action action;
    std::string key;
    cbor::Cid cid;   // empty for a delete
    cbor::Cid prev;  // empty for a create
  };
  std::vector<Op> ops;                   // in key order
  std::vector<cbor::Cid> created_nodes;  // of the new tree and not of the old one, ascending
  std::vector<cbor::Cid> deleted_nodes;  // the other way round
};
MstDiff DiffMst(Mst& before, Mst& after);

}  // namespace penstock::repo
