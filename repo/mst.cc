#include "repo/mst.h"

#include <algorithm>
#include <cstdlib>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"

namespace penstock::repo {

using cbor::Cid;
using cbor::CidView;

struct Mst::Entry {
  std::string key;
  Cid value;
  Child right;
};

struct Mst::Node {
  // The subtree before entry `i`; Gap(entries.size()) comes after the last one.
  Child& Gap(size_t i) { return i == 0 ? left : entries[i - 1].right; }
  const Child& Gap(size_t i) const { return i == 0 ? left : entries[i - 1].right; }

  // The first entry whose key is not before `key`.
  size_t LowerBound(std::string_view key) const {
    const auto at = std::lower_bound(entries.begin(), entries.end(), key,
                                     [](const Entry& entry, std::string_view k) { return entry.key < k; });
    return static_cast<size_t>(at - entries.begin());
  }
  bool Holds(size_t i, std::string_view key) const { return i < entries.size() && entries[i].key == key; }
  bool IsEmpty() const { return entries.empty() && left == nullptr; }

  int level = 0;
  Child left;
  std::vector<Entry> entries;
  Cid cid;  // empty while it is not that of the contents; then those of all nodes above are too
};

Mst::Mst() = default;
Mst::~Mst() = default;
Mst::Mst(Mst&& other) noexcept : root_(std::move(other.root_)), size_(std::exchange(other.size_, 0)) {}
Mst& Mst::operator=(Mst&& other) noexcept {
  root_ = std::move(other.root_);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

absl::StatusOr<Mst> Mst::Load(const car::BlockIndex& blocks, const CidView& root) {
  PartialTree checked;
  RETURN_IF_ERROR(checked.Load(blocks, root, PartialTree::kAnyEntries));
  if (!checked.complete()) return RejectError(Reject::kMstPartial);
  Mst tree;
  if (!checked.items().empty()) {
    int top = 0;
    for (const PartialTree::Item& item : checked.items()) top = std::max(top, item.level);
    tree.root_ = LoadNode(blocks, root, top, &tree.size_);
  }
  return tree;
}

// What it reads has been checked: the nodes are good, all there, and no deeper than their levels.
Mst::Child Mst::LoadNode(const car::BlockIndex& blocks, const CidView& cid, int level, size_t* keys) {
  if (cid.empty()) return nullptr;
  MstNode decoded;
  const std::optional<Bytes> block = blocks.Find(cid);
  if (!block || !decoded.Decode(*block).ok()) std::abort();
  Child node = MakeNode(level);
  node->cid = Cid(cid);
  node->left = LoadNode(blocks, decoded.left, level - 1, keys);
  node->entries.reserve(decoded.entries.size());
  for (const MstEntry& entry : decoded.entries) {
    std::string key;
    if (entry.prefix > 0) key = node->entries.back().key.substr(0, static_cast<size_t>(entry.prefix));
    key += entry.suffix;
    node->entries.push_back(
        {std::move(key), Cid(entry.value), LoadNode(blocks, entry.right, level - 1, keys)});
  }
  *keys += node->entries.size();
  return node;
}

Mst::Child Mst::MakeNode(int level) {
  Child node = std::make_unique<Node>();
  node->level = level;
  return node;
}

// Puts nodes without keys on top until `node` is at `level`: children are exactly one level below their
// parent.
Mst::Child Mst::Lift(Child node, int level) {
  while (node != nullptr && node->level < level) {
    Child above = MakeNode(node->level + 1);
    above->left = std::move(node);
    node = std::move(above);
  }
  return node;
}

// What is before and what is after `key`, which `node` does not hold; both at the level of `node`, or null
// when empty.
std::pair<Mst::Child, Mst::Child> Mst::Split(Child node, std::string_view key) {
  if (node == nullptr) return {};
  const size_t at = node->LowerBound(key);
  auto [before, after] = Split(std::move(node->Gap(at)), key);
  Child right = MakeNode(node->level);
  right->left = std::move(after);
  const auto from = node->entries.begin() + static_cast<ptrdiff_t>(at);
  right->entries.assign(std::make_move_iterator(from), std::make_move_iterator(node->entries.end()));
  node->entries.erase(from, node->entries.end());
  node->Gap(at) = std::move(before);
  node->cid = Cid();
  if (node->IsEmpty()) node.reset();
  if (right->IsEmpty()) right.reset();
  return {std::move(node), std::move(right)};
}

// The inverse of Split: both at the same level, every key of `left` before every key of `right`.
Mst::Child Mst::Merge(Child left, Child right) {
  if (left == nullptr) return right;
  if (right == nullptr) return left;
  Child& seam = left->Gap(left->entries.size());
  seam = Merge(std::move(seam), std::move(right->left));
  left->entries.insert(left->entries.end(), std::make_move_iterator(right->entries.begin()),
                       std::make_move_iterator(right->entries.end()));
  left->cid = Cid();
  return left;
}

std::optional<CidView> Mst::Find(std::string_view key) const {
  const int height = KeyHeight(key);
  const Node* node = root_.get();
  while (node != nullptr && node->level > height) node = node->Gap(node->LowerBound(key)).get();
  if (node == nullptr || node->level < height) return std::nullopt;
  const size_t at = node->LowerBound(key);
  if (!node->Holds(at, key)) return std::nullopt;
  return node->entries[at].value.view();
}

std::optional<Cid> Mst::Set(std::string_view key, const CidView& value) {
  const int height = KeyHeight(key);
  if (root_ == nullptr) root_ = MakeNode(height);
  if (height > root_->level) {
    auto [before, after] = Split(std::move(root_), key);
    root_ = MakeNode(height);
    root_->left = Lift(std::move(before), height - 1);
    root_->entries.push_back({std::string(key), Cid(value), Lift(std::move(after), height - 1)});
    ++size_;
    return std::nullopt;
  }
  Node* node = root_.get();
  node->cid = Cid();
  while (node->level > height) {
    Child& gap = node->Gap(node->LowerBound(key));
    if (gap == nullptr) gap = MakeNode(node->level - 1);
    node = gap.get();
    node->cid = Cid();
  }
  const size_t at = node->LowerBound(key);
  if (node->Holds(at, key)) return std::exchange(node->entries[at].value, Cid(value));
  auto [before, after] = Split(std::move(node->Gap(at)), key);
  node->Gap(at) = std::move(before);
  node->entries.insert(node->entries.begin() + static_cast<ptrdiff_t>(at),
                       Entry{std::string(key), Cid(value), std::move(after)});
  ++size_;
  return std::nullopt;
}

std::optional<Cid> Mst::RemoveUnder(Child& node, std::string_view key, int height) {
  if (node == nullptr || node->level < height) return std::nullopt;
  const size_t at = node->LowerBound(key);
  std::optional<Cid> removed;
  if (node->level > height) {
    removed = RemoveUnder(node->Gap(at), key, height);
    if (!removed) return std::nullopt;
  } else {
    if (!node->Holds(at, key)) return std::nullopt;
    removed = node->entries[at].value;
    Child joined = Merge(std::move(node->Gap(at)), std::move(node->entries[at].right));
    node->entries.erase(node->entries.begin() + static_cast<ptrdiff_t>(at));
    node->Gap(at) = std::move(joined);
  }
  node->cid = Cid();
  if (node->IsEmpty()) node.reset();
  return removed;
}

std::optional<Cid> Mst::Remove(std::string_view key) {
  std::optional<Cid> removed = RemoveUnder(root_, key, KeyHeight(key));
  if (!removed) return std::nullopt;
  --size_;
  // The root has a key, or the tree is empty.
  while (root_ != nullptr && root_->entries.empty()) root_ = std::move(root_->left);
  return removed;
}

// The children's CIDs must be fresh.
void Mst::Encode(const Node& node, std::string* block) {
  const auto link = [](const Child& child) { return child == nullptr ? CidView() : child->cid.view(); };
  std::vector<MstKeyEntry> entries;
  entries.reserve(node.entries.size());
  for (const Entry& entry : node.entries) {
    entries.push_back({entry.key, entry.value.view(), link(entry.right)});
  }
  EncodeMstNode(link(node.left), entries, block);
}

const Cid& Mst::Freshen(Node& node) {
  if (!node.cid.empty()) return node.cid;
  for (size_t i = 0; i <= node.entries.size(); ++i) {
    if (const Child& child = node.Gap(i); child != nullptr) Freshen(*child);
  }
  std::string block;
  Encode(node, &block);
  node.cid = Cid::OfBlock(AsBytes(block));
  return node.cid;
}

const Mst::Node& Mst::RootNode() {
  static const Node empty = [] {
    Node node;
    Freshen(node);
    return node;
  }();
  if (root_ == nullptr) return empty;
  Freshen(*root_);
  return *root_;
}

const Cid& Mst::Root() { return RootNode().cid; }

void Mst::VisitRecords(RecordVisitor visit) const {
  const auto visit_node = [&](const auto& self, const Node* node) -> void {
    if (node == nullptr) return;
    self(self, node->left.get());
    for (const Entry& entry : node->entries) {
      visit(entry.key, entry.value.view());
      self(self, entry.right.get());
    }
  };
  visit_node(visit_node, root_.get());
}

void Mst::VisitNodes(NodeVisitor visit) {
  std::string block;
  const auto visit_node = [&](const auto& self, const Node& node) -> void {
    block.clear();
    Encode(node, &block);
    visit(node.cid, AsBytes(block));
    for (size_t i = 0; i <= node.entries.size(); ++i) {
      if (const Child& child = node.Gap(i); child != nullptr) self(self, *child);
    }
  };
  visit_node(visit_node, RootNode());
}

void Mst::VisitPath(std::string_view key, NodeVisitor visit) {
  std::string block;
  const Node* node = &RootNode();
  while (node != nullptr) {
    block.clear();
    Encode(*node, &block);
    visit(node->cid, AsBytes(block));
    const size_t at = node->LowerBound(key);
    if (node->Holds(at, key)) return;
    node = node->Gap(at).get();
  }
}

// A node that both trees have is the root of a subtree that both have, so neither it nor anything below it
// differs, and every record that differs stands in a node that only one of them has.
MstDiff DiffMst(Mst& before, Mst& after) {
  using Node = Mst::Node;
  using Entry = Mst::Entry;
  using CidSet = absl::flat_hash_set<Cid>;
  const auto collect = [](const auto& self, const Node& node, CidSet* cids) -> void {
    cids->insert(node.cid);
    for (size_t i = 0; i <= node.entries.size(); ++i) {
      if (const Mst::Child& child = node.Gap(i); child != nullptr) self(self, *child, cids);
    }
  };
  // The nodes under `node` that are not in `others`, and their entries in key order.
  const auto own = [](const auto& self, const Node& node, const CidSet& others, std::vector<Cid>* nodes,
                      std::vector<const Entry*>* entries) -> void {
    if (others.contains(node.cid)) return;
    nodes->push_back(node.cid);
    if (node.left != nullptr) self(self, *node.left, others, nodes, entries);
    for (const Entry& entry : node.entries) {
      entries->push_back(&entry);
      if (entry.right != nullptr) self(self, *entry.right, others, nodes, entries);
    }
  };
  MstDiff diff;
  CidSet old_cids, new_cids;
  std::vector<const Entry*> old_entries, new_entries;
  const Node& old_root = before.RootNode();
  const Node& new_root = after.RootNode();
  collect(collect, old_root, &old_cids);
  collect(collect, new_root, &new_cids);
  own(own, old_root, new_cids, &diff.deleted_nodes, &old_entries);
  own(own, new_root, old_cids, &diff.created_nodes, &new_entries);
  std::sort(diff.deleted_nodes.begin(), diff.deleted_nodes.end());
  std::sort(diff.created_nodes.begin(), diff.created_nodes.end());

  auto old_at = old_entries.begin();
  auto new_at = new_entries.begin();
  while (old_at != old_entries.end() || new_at != new_entries.end()) {
    const bool only_old =
        new_at == new_entries.end() || (old_at != old_entries.end() && (*old_at)->key < (*new_at)->key);
    const bool only_new = !only_old && (old_at == old_entries.end() || (*new_at)->key < (*old_at)->key);
    if (only_old) {
      diff.ops.push_back({Action::kDelete, (*old_at)->key, Cid(), (*old_at)->value});
      ++old_at;
    } else if (only_new) {
      diff.ops.push_back({Action::kCreate, (*new_at)->key, (*new_at)->value, Cid()});
      ++new_at;
    } else {
      if (!((*old_at)->value == (*new_at)->value)) {
        diff.ops.push_back({Action::kUpdate, (*new_at)->key, (*new_at)->value, (*old_at)->value});
      }
      ++old_at;
      ++new_at;
    }
  }
  return diff;
}

}  // namespace penstock::repo
