#pragma once

// Operation inversion as other implementations do it, and protocol 3.3 describes it: the nodes of the partial
// tree in memory, the ops undone one after the other, a stop wherever a node is needed that is not there.
// Slow and plain; what repo/inversion.h is held against.

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "car/block_index.h"
#include "cbor/cid.h"
#include "repo/mst_node.h"
#include "repo/op.h"

namespace penstock::test {

class StepwiseTree {
 public:
  // `root` must be there and well formed.
  StepwiseTree(const car::BlockIndex& blocks, const cbor::CidView& root) {
    root_ = Load(blocks, root, -1);
    if (root_->entries.empty()) root_ = nullptr;  // the empty tree
  }

  // Undoes the ops in this order; the root then, or nullopt when the order meets a missing node or an op does
  // not fit.
  std::optional<cbor::Cid> Undo(const std::vector<repo::RepoOp>& ops) {
    for (const repo::RepoOp& op : ops) {
      const bool undone = op.action == repo::Action::kCreate   ? Remove(op.path, op.cid)
                          : op.action == repo::Action::kUpdate ? Replace(op.path, op.cid, op.prev)
                                                               : Insert(op.path, op.prev);
      if (!undone) return std::nullopt;
    }
    if (root_ == nullptr) root_ = std::make_unique<Node>();
    return Encode(*root_);
  }

 private:
  struct Node;
  using Child = std::unique_ptr<Node>;
  struct Entry {
    std::string key;
    cbor::Cid value;
    Child right;
  };
  struct Node {
    Child& Gap(size_t i) { return i == 0 ? left : entries[i - 1].right; }
    size_t LowerBound(std::string_view key) const {
      size_t at = 0;
      while (at < entries.size() && entries[at].key < key) ++at;
      return at;
    }
    bool Holds(size_t i, std::string_view key) const { return i < entries.size() && entries[i].key == key; }
    bool IsEmpty() const { return !opaque && entries.empty() && left == nullptr; }

    int level = 0;
    bool opaque = false;
    cbor::Cid cid;  // of an opaque one
    Child left;
    std::vector<Entry> entries;
  };

  static Child Load(const car::BlockIndex& blocks, const cbor::CidView& cid, int level) {
    if (cid.empty()) return nullptr;
    Child node = std::make_unique<Node>();
    const std::optional<Bytes> block = blocks.Find(cid);
    node->level = level;
    if (!block) {
      node->opaque = true;
      node->cid = cbor::Cid(cid);
      return node;
    }
    repo::MstNode decoded;
    (void)decoded.Decode(*block);
    if (level < 0 && !decoded.entries.empty()) level = repo::KeyHeight(decoded.entries[0].suffix);
    node->level = level;
    node->left = Load(blocks, decoded.left, level - 1);
    std::string key;
    for (const repo::MstEntry& entry : decoded.entries) {
      key.resize(entry.prefix);
      key += entry.suffix;
      node->entries.push_back({key, cbor::Cid(entry.value), Load(blocks, entry.right, level - 1)});
    }
    return node;
  }

  static Child MakeNode(int level) {
    Child node = std::make_unique<Node>();
    node->level = level;
    return node;
  }
  static Child Lift(Child node, int level) {
    while (node != nullptr && node->level < level) {
      Child above = MakeNode(node->level + 1);
      above->left = std::move(node);
      node = std::move(above);
    }
    return node;
  }

  bool Split(Child node, std::string_view key, Child* before, Child* after) {
    before->reset();
    after->reset();
    if (node == nullptr) return true;
    if (node->opaque) return false;
    const size_t at = node->LowerBound(key);
    Child low, high;
    if (!Split(std::move(node->Gap(at)), key, &low, &high)) return false;
    Child right = MakeNode(node->level);
    right->left = std::move(high);
    right->entries.assign(std::make_move_iterator(node->entries.begin() + static_cast<ptrdiff_t>(at)),
                          std::make_move_iterator(node->entries.end()));
    node->entries.resize(at);
    node->Gap(at) = std::move(low);
    if (!node->IsEmpty()) *before = std::move(node);
    if (!right->IsEmpty()) *after = std::move(right);
    return true;
  }
  bool Merge(Child left, Child right, Child* joined) {
    if (left == nullptr || right == nullptr) {
      *joined = left == nullptr ? std::move(right) : std::move(left);
      return true;
    }
    if (left->opaque || right->opaque) return false;
    Child& seam = left->Gap(left->entries.size());
    Child between;
    if (!Merge(std::move(seam), std::move(right->left), &between)) return false;
    left->Gap(left->entries.size()) = std::move(between);
    for (Entry& entry : right->entries) left->entries.push_back(std::move(entry));
    *joined = std::move(left);
    return true;
  }

  bool Insert(std::string_view key, const cbor::CidView& value) {
    const int height = repo::KeyHeight(key);
    if (root_ == nullptr) root_ = MakeNode(height);
    if (root_->opaque) return false;
    Child low, high;
    if (height > root_->level) {
      if (!Split(std::move(root_), key, &low, &high)) return false;
      root_ = MakeNode(height);
      root_->left = Lift(std::move(low), height - 1);
      root_->entries.push_back({std::string(key), cbor::Cid(value), Lift(std::move(high), height - 1)});
      return true;
    }
    Node* node = root_.get();
    while (node->level > height) {
      Child& gap = node->Gap(node->LowerBound(key));
      if (gap == nullptr) gap = MakeNode(node->level - 1);
      if (gap->opaque) return false;
      node = gap.get();
    }
    const size_t at = node->LowerBound(key);
    if (node->Holds(at, key)) return false;
    if (!Split(std::move(node->Gap(at)), key, &low, &high)) return false;
    node->Gap(at) = std::move(low);
    node->entries.insert(node->entries.begin() + static_cast<ptrdiff_t>(at),
                         Entry{std::string(key), cbor::Cid(value), std::move(high)});
    return true;
  }

  bool RemoveUnder(Child& node, std::string_view key, int height, const cbor::CidView& value) {
    if (node == nullptr || node->opaque || node->level < height) return false;
    const size_t at = node->LowerBound(key);
    if (node->level > height) {
      if (!RemoveUnder(node->Gap(at), key, height, value)) return false;
    } else {
      if (!node->Holds(at, key) || !(node->entries[at].value == value)) return false;
      Child joined;
      if (!Merge(std::move(node->Gap(at)), std::move(node->entries[at].right), &joined)) return false;
      node->entries.erase(node->entries.begin() + static_cast<ptrdiff_t>(at));
      node->Gap(at) = std::move(joined);
    }
    if (node->IsEmpty()) node.reset();
    return true;
  }
  bool Remove(std::string_view key, const cbor::CidView& value) {
    if (!RemoveUnder(root_, key, repo::KeyHeight(key), value)) return false;
    while (root_ != nullptr && !root_->opaque && root_->entries.empty()) root_ = std::move(root_->left);
    return true;
  }

  bool Replace(std::string_view key, const cbor::CidView& value, const cbor::CidView& old) {
    const int height = repo::KeyHeight(key);
    Node* node = root_.get();
    while (node != nullptr && !node->opaque && node->level > height) {
      node = node->Gap(node->LowerBound(key)).get();
    }
    if (node == nullptr || node->opaque) return false;
    const size_t at = node->LowerBound(key);
    if (!node->Holds(at, key) || !(node->entries[at].value == value)) return false;
    node->entries[at].value = cbor::Cid(old);
    return true;
  }

  static cbor::Cid Encode(const Node& node) {
    if (node.opaque) return node.cid;
    std::vector<cbor::Cid> links;
    links.push_back(node.left == nullptr ? cbor::Cid() : Encode(*node.left));
    for (const Entry& entry : node.entries) {
      links.push_back(entry.right == nullptr ? cbor::Cid() : Encode(*entry.right));
    }
    std::vector<repo::MstKeyEntry> entries;
    for (size_t i = 0; i < node.entries.size(); ++i) {
      entries.push_back({node.entries[i].key, node.entries[i].value.view(), links[i + 1].view()});
    }
    std::string block;
    repo::EncodeMstNode(links[0].view(), entries, &block);
    return cbor::Cid::OfBlock(AsBytes(block));
  }

  Child root_;  // null for the empty tree
};

// The orders that protocol 3.3 knows, for undoing.
enum class UndoOrder { kDeletesFirstDescending, kDescending, kDeletesFirstAscending, kAscending };

inline std::vector<repo::RepoOp> InOrder(std::vector<repo::RepoOp> ops, UndoOrder order) {
  const bool grouped =
      order == UndoOrder::kDeletesFirstDescending || order == UndoOrder::kDeletesFirstAscending;
  const bool descending = order == UndoOrder::kDeletesFirstDescending || order == UndoOrder::kDescending;
  std::sort(ops.begin(), ops.end(), [=](const repo::RepoOp& a, const repo::RepoOp& b) {
    const bool a_delete = a.action == repo::Action::kDelete, b_delete = b.action == repo::Action::kDelete;
    if (grouped && a_delete != b_delete) return a_delete;
    return descending ? a.path > b.path : a.path < b.path;
  });
  return ops;
}

}  // namespace penstock::test
