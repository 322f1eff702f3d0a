#include "repo/partial_tree.h"

#include <algorithm>
#include <cstring>

#include "base/status.h"
#include "repo/mst_check.h"

namespace penstock::repo {

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
  RETURN_IF_ERROR(CheckMstNode(left, std::span(open_entries_).subspan(first), &level));

  if (!left.empty()) RETURN_IF_ERROR(LoadSubtree(blocks, left, level - 1));
  std::string_view before;
  for (size_t i = first; i < end; ++i) {
    const MstEntry entry = open_entries_[i];  // a copy: the vector grows below
    std::string_view key;
    RETURN_IF_ERROR(WholeKey(entry, before, &key));
    // Where no subtree came between, WholeKey has compared the two.
    const bool compared = last_key_.data() == before.data();
    if (!compared) RETURN_IF_ERROR(CheckMstOrder(last_key_, key));
    const bool gave_the_level = is_root && i == first;
    if (!gave_the_level) RETURN_IF_ERROR(CheckMstHeight(key, level));
    key_positions_.push_back(static_cast<uint32_t>(items_.size()));
    items_.push_back(Item{key, entry.value, level});
    before = last_key_ = key;
    if (!entry.right.empty()) RETURN_IF_ERROR(LoadSubtree(blocks, entry.right, level - 1));
  }
  open_entries_.resize(first);
  return absl::OkStatus();
}

absl::Status PartialTree::LoadSubtree(const car::BlockIndex& blocks, const cbor::CidView& cid, int level) {
  RETURN_IF_ERROR(CheckMstChildLevel(level));
  const uint32_t position = blocks.PositionOf(cid);
  if (position != car::BlockIndex::kNotFound) return LoadNode(blocks, position, level);
  items_.push_back(Item{{}, cid, level});
  ++opaque_count_;
  return absl::OkStatus();
}

absl::Status PartialTree::WholeKey(const MstEntry& entry, std::string_view before, std::string_view* key) {
  RETURN_IF_ERROR(CheckMstEntry(entry, before));
  const size_t prefix = static_cast<size_t>(entry.prefix);
  const size_t size = prefix + entry.suffix.size();
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
