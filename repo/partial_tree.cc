#include "repo/partial_tree.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace penstock::repo {
namespace {

// The root has no parent to say its level: its first key does.
constexpr int kRootLevel = -1;

}  // namespace

void PartialTree::Clear() {
  open_entries_.clear();
  last_key_ = {};
  keys_.Reset();
  items_.clear();
  key_positions_.clear();
  node_count_ = 0;
  opaque_count_ = 0;
}

absl::Status PartialTree::Load(const car::BlockIndex& blocks, const cbor::CidView& root, size_t max_entries) {
  Clear();
  max_entries_ = max_entries;
  if (!root.IsBlessedData()) return RejectError(Reject::kMstBadLink, "root");
  const uint32_t position = blocks.PositionOf(root);
  if (position == car::BlockIndex::kNotFound) return RejectError(Reject::kCarMissingBlock, "tree's root");
  visited_.assign(blocks.blocks().size(), 0);
  absl::Status status = LoadNode(blocks, position, kRootLevel);
  if (!status.ok()) Clear();
  return status;
}

// Recursion is bounded by the levels, at most 128: a child is one lower, and nothing is below 0.
absl::Status PartialTree::LoadNode(const car::BlockIndex& blocks, uint32_t position, int level) {
  const bool is_root = level == kRootLevel;
  // A node that two parents share would lie in two key ranges. Without keys of its own nothing else would
  // notice, and a few nodes could be linked into a very long walk.
  if (visited_[position] != 0) return RejectError(Reject::kMstKeyOrder, "node linked twice");
  visited_[position] = 1;
  ++node_count_;

  const size_t first = open_entries_.size();
  cbor::CidView left;
  RETURN_IF_ERROR(DecodeMstNode(blocks.blocks()[position].data, &left, &open_entries_));
  const size_t end = open_entries_.size();
  if (end - first > max_entries_) return RejectError(Reject::kMstBadNode, "too many entries");
  if (end == first && is_root) {
    return left.empty() ? absl::OkStatus() : RejectError(Reject::kMstRootWithoutKey);
  }
  if (end == first && left.empty()) return RejectError(Reject::kMstEmptyNode);
  if (is_root) level = KeyHeight(open_entries_[first].suffix);

  if (!left.empty()) RETURN_IF_ERROR(LoadSubtree(blocks, left, level - 1));
  std::string_view before;
  for (size_t i = first; i < end; ++i) {
    const MstEntry entry = open_entries_[i];  // a copy: the vector grows below
    std::string_view key;
    RETURN_IF_ERROR(WholeKey(entry, before, &key));
    // Ascending over the whole walk: so also within the parent's range, and without overlap between nodes.
    // Where no subtree came between, WholeKey has compared the two.
    const bool compared = last_key_.data() == before.data();
    if (!compared && key <= last_key_) return RejectError(Reject::kMstKeyOrder);
    const bool gave_the_level = is_root && i == first;
    if (!gave_the_level && KeyHeight(key) != level) return RejectError(Reject::kMstWrongHeight);
    key_positions_.push_back(static_cast<uint32_t>(items_.size()));
    items_.push_back(Item{key, entry.value, level});
    before = last_key_ = key;
    if (!entry.right.empty()) RETURN_IF_ERROR(LoadSubtree(blocks, entry.right, level - 1));
  }
  open_entries_.resize(first);
  return absl::OkStatus();
}

absl::Status PartialTree::LoadSubtree(const car::BlockIndex& blocks, const cbor::CidView& cid, int level) {
  if (level < 0) return RejectError(Reject::kMstTooDeep);
  const uint32_t position = blocks.PositionOf(cid);
  if (position != car::BlockIndex::kNotFound) return LoadNode(blocks, position, level);
  items_.push_back(Item{{}, cid, level});
  ++opaque_count_;
  return absl::OkStatus();
}

absl::Status PartialTree::WholeKey(const MstEntry& entry, std::string_view before, std::string_view* key) {
  // `before` is empty for a node's first entry, which so cannot have a prefix.
  if (entry.prefix > before.size()) return RejectError(Reject::kMstBadPrefix);
  const size_t prefix = static_cast<size_t>(entry.prefix);
  const size_t size = prefix + entry.suffix.size();
  if (size == 0 || size > kMaxMstKeyBytes) return RejectError(Reject::kMstBadKey);
  // The shared bytes need no comparison: the key is greater if the first byte that is not shared is.
  if (entry.suffix.empty()) return RejectError(Reject::kMstKeyOrder);
  if (prefix < before.size()) {
    const uint8_t here = static_cast<uint8_t>(entry.suffix.front());
    const uint8_t there = static_cast<uint8_t>(before[prefix]);
    if (here == there) return RejectError(Reject::kMstBadPrefix, "not maximal");
    if (here < there) return RejectError(Reject::kMstKeyOrder);
  }
  if (prefix == 0) {
    *key = entry.suffix;
    return absl::OkStatus();
  }
  char* const whole = keys_.Allocate(size);
  std::memcpy(whole, before.data(), prefix);
  std::memcpy(whole + prefix, entry.suffix.data(), entry.suffix.size());
  *key = std::string_view(whole, size);
  return absl::OkStatus();
}

size_t PartialTree::LowerBound(std::string_view path) const {
  const auto next = std::lower_bound(
      key_positions_.begin(), key_positions_.end(), path,
      [this](uint32_t position, std::string_view key) { return items_[position].key < key; });
  return next == key_positions_.end() ? items_.size() : *next;
}

Lookup PartialTree::Find(std::string_view path, cbor::CidView* value) const {
  const size_t position = LowerBound(path);
  if (position < items_.size() && items_[position].key == path) {
    *value = items_[position].value;
    return Lookup::kFound;
  }
  // Between two keys lies one subtree at most: two links of a node always have a key between them.
  if (position > 0 && items_[position - 1].opaque() && KeyHeight(path) <= items_[position - 1].level) {
    return Lookup::kUnknown;
  }
  return Lookup::kAbsent;
}

}  // namespace penstock::repo
