#pragma once

// Operation inversion (protocol 3.3): undoing a commit's ops on the part of the tree that it brought must
// give the tree before.
//
// The tree is a function of its contents, so the ops are undone on the ordered list of keys and opaque
// subtrees, and the root is built from what is left. No order of the ops can matter then, and a partial proof
// that is enough in any order is enough here (docs/adr/0012-order-free-inversion.md).

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "cbor/cid.h"
#include "repo/op.h"
#include "repo/partial_tree.h"
#include "repo/tree_builder.h"

namespace penstock::repo {

// Reusable; steady state allocates nothing. Not thread-safe.
class Inverter {
 public:
  // The root of `tree` without `ops`, into `*before`. The order of `ops` does not matter. When one opaque
  // subtree is all that is left, its root is the result: that of the tree before if its node holds a key, and
  // the root of no tree if it does not, since a root without keys is pruned. Which of the two, only the
  // comparison with prevData tells. Rejects: kCommitOpWithoutPrev; kMstPartial (an opaque subtree would have
  // to be opened, split or merged); kCommitOpNotInTree (a create's or update's path does not hold its cid);
  // kCommitOpStillInTree (a delete's path is there); kCommitDuplicatePath; kMstBadKey (a delete of what
  // cannot be a key).
  absl::Status Invert(const PartialTree& tree, std::span<const RepoOp> ops, cbor::Cid* before);

 private:
  // What becomes of the list at `position`: an op's key is there, or would be in front of it.
  struct Edit {
    size_t position;
    const RepoOp* op;
  };
  absl::Status FindEdits(const PartialTree& tree, std::span<const RepoOp> ops);
  absl::Status Rebuild(const PartialTree& tree, cbor::Cid* before);

  std::vector<Edit> edits_;  // in key order
  TreeBuilder builder_;
};

}  // namespace penstock::repo
