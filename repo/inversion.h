#pragma once

// Operation inversion (protocol 3.3): undoing a commit's ops on the part of the tree that it brought must give the tree before.
//
// The tree is a function of its contents, so the ops are undone on the ordered list of keys and opaque subtrees, and the root is
// built from what is left. No order of the ops can matter then, and a partial proof that is enough in any order is enough here.

#include <span>
#include <vector>

#include "absl/status/status.h"
#include "base/arena.h"
#include "cbor/cid.h"
#include "repo/op.h"
#include "repo/partial_tree.h"

namespace penstock::repo {

// Reusable; steady state allocates nothing. Not thread-safe.
class Inverter {
 public:
  // The root of `tree` without `ops`, into `*before`.
  // Rejects: kCommitOpWithoutPrev; kMstPartial (an opaque subtree would have to be opened, split or merged);
  // kCommitOpNotInTree (a create's or update's path does not hold its cid); kCommitOpStillInTree (a delete's path is there).
  absl::Status Invert(const PartialTree& tree, std::span<const RepoOp> ops, cbor::Cid* before);
};

}  // namespace penstock::repo
