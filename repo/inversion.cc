#include "repo/inversion.h"

#include <algorithm>

#include "base/status.h"
#include "repo/mst_node.h"

namespace penstock::repo {
namespace {

bool HoldsKey(const std::vector<PartialTree::Item>& items, size_t position, std::string_view path) {
  return position < items.size() && items[position].key == path;
}

// Whether `path`, which is not a key, would fall among the keys of a subtree that is not here, or beside
// them: nobody can tell which.
bool BesideOpaque(const std::vector<PartialTree::Item>& items, size_t position) {
  return position > 0 && items[position - 1].opaque();
}

// A create or update that is to be undone: the tree must hold what the op claims.
absl::Status CheckHeld(const std::vector<PartialTree::Item>& items, size_t position, const RepoOp& op) {
  if (HoldsKey(items, position, op.path)) {
    return items[position].value == op.cid ? absl::OkStatus()
                                           : RejectError(Reject::kCommitOpNotInTree, op.path);
  }
  const bool unknown = BesideOpaque(items, position) && KeyHeight(op.path) <= items[position - 1].level;
  return RejectError(unknown ? Reject::kMstPartial : Reject::kCommitOpNotInTree, op.path);
}

// A delete that is to be undone: there must be a place for its key.
absl::Status CheckGone(const std::vector<PartialTree::Item>& items, size_t position, const RepoOp& op) {
  if (op.path.empty() || op.path.size() > kMaxMstKeyBytes) return RejectError(Reject::kMstBadKey);
  if (HoldsKey(items, position, op.path)) return RejectError(Reject::kCommitOpStillInTree, op.path);
  return BesideOpaque(items, position) ? RejectError(Reject::kMstPartial, op.path) : absl::OkStatus();
}

}  // namespace

absl::Status Inverter::Invert(const PartialTree& tree, std::span<const RepoOp> ops, cbor::Cid* before) {
  RETURN_IF_ERROR(FindEdits(tree, ops));
  return Rebuild(tree, before);
}

absl::Status Inverter::FindEdits(const PartialTree& tree, std::span<const RepoOp> ops) {
  edits_.clear();
  for (const RepoOp& op : ops) edits_.push_back(Edit{0, &op});
  const auto by_path = [](const Edit& a, const Edit& b) { return a.op->path < b.op->path; };
  std::sort(edits_.begin(), edits_.end(), by_path);
  const auto same_path = [](const Edit& a, const Edit& b) { return a.op->path == b.op->path; };
  if (std::adjacent_find(edits_.begin(), edits_.end(), same_path) != edits_.end()) {
    return RejectError(Reject::kCommitDuplicatePath);
  }
  for (Edit& edit : edits_) {
    const RepoOp& op = *edit.op;
    if (op.action != Action::kCreate && op.prev.empty()) {
      return RejectError(Reject::kCommitOpWithoutPrev, op.path);
    }
    edit.position = tree.LowerBound(op.path);
    RETURN_IF_ERROR(op.action == Action::kDelete ? CheckGone(tree.items(), edit.position, op)
                                                 : CheckHeld(tree.items(), edit.position, op));
  }
  return absl::OkStatus();
}

absl::Status Inverter::Rebuild(const PartialTree& tree, cbor::Cid* before) {
  const std::vector<PartialTree::Item>& items = tree.items();
  builder_.Reset();
  bool built = true;
  size_t next = 0;  // of items that are not in the new list yet
  const auto take_until = [&](size_t end) {
    for (; built && next < end; ++next) {
      const PartialTree::Item& item = items[next];
      built = item.opaque() ? builder_.AddSubtree(item.value, item.level)
                            : builder_.Add(item.key, item.value, item.level);
    }
  };
  for (const Edit& edit : edits_) {
    take_until(edit.position);
    if (!built) break;
    const RepoOp& op = *edit.op;
    if (op.action == Action::kDelete) {
      built = builder_.Add(op.path, op.prev, KeyHeight(op.path));
      continue;
    }
    if (op.action == Action::kUpdate) built = builder_.Add(op.path, op.prev, items[next].level);
    ++next;  // what the op wrote
  }
  take_until(items.size());
  if (!built || !builder_.Finish(before)) return RejectError(Reject::kMstPartial);
  return absl::OkStatus();
}

}  // namespace penstock::repo
