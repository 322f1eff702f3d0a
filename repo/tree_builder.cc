#include "repo/tree_builder.h"

#include <algorithm>

#include "repo/mst_node.h"

namespace penstock::repo {

cbor::CidView TreeBuilder::Link::view() const {
  cbor::CidView view;
  if (there) (void)cbor::CidView::ParseBlessed(cid.data(), &view);
  return view;
}

void TreeBuilder::Reset() {
  for (Level& node : levels_) {
    node.left.there = node.child.there = false;
    node.entries = 0;
  }
  top_ = last_height_ = subtree_level_ = kNone;
  only_subtree_.there = false;
  failed_ = false;
}

TreeBuilder::Level& TreeBuilder::At(int level) {
  if (static_cast<size_t>(level) >= levels_.size()) levels_.resize(static_cast<size_t>(level) + 1);
  return levels_[static_cast<size_t>(level)];
}

void TreeBuilder::EndEntry(Level& node) {
  if (node.entries == 0) {
    node.left = node.child;
    node.block.assign(kMstHeadRoom, '\0');
  } else {
    AppendMstEntryLinks(node.child.view(), node.last_value.view(), &node.block);
  }
  node.child.there = false;
}

crypto::Sha256Digest TreeBuilder::Close(Level& node) {
  EndEntry(node);
  AppendMstNodeEnd(node.left.view(), &node.block);
  const Bytes block = PutMstNodeHead(node.entries, &node.block);
  const crypto::Sha256Digest digest = crypto::Sha256(block);
  if (sink_) sink_(cbor::Cid::FromDigest(digest).view(), block);
  node.entries = 0;
  node.left.there = false;
  return digest;
}

void TreeBuilder::CloseBelow(int level) {
  for (int at = 0; at < level; ++at) {
    if (At(at).empty()) continue;
    const crypto::Sha256Digest digest = Close(At(at));
    Link& link = At(at + 1).child;
    link.cid = {1, cbor::kCodecDagCbor, cbor::kHashSha256, crypto::kSha256Size};
    std::copy(digest.begin(), digest.end(), link.cid.end() - crypto::kSha256Size);
    link.there = true;
  }
}

bool TreeBuilder::Add(std::string_view key, const cbor::CidView& value, int height) {
  // A key as high as the subtree before it, or lower, belongs into that.
  if (failed_ || subtree_level_ >= height) {
    failed_ = true;
    return false;
  }
  CloseBelow(height);
  Level& node = At(height);
  EndEntry(node);
  const size_t prefix = node.entries == 0 ? 0 : CommonPrefix(node.last_key, key);
  AppendMstEntryKey(prefix, key.substr(prefix), &node.block);
  node.last_key.assign(key);
  node.last_value = cbor::Cid(value);
  ++node.entries;
  top_ = std::max(top_, height);
  last_height_ = height;
  subtree_level_ = kNone;
  return true;
}

bool TreeBuilder::AddSubtree(const cbor::CidView& root, int level) {
  const bool beside_subtree = subtree_level_ != kNone;
  const bool beside_lower_key = last_height_ != kNone && last_height_ <= level;
  if (failed_ || beside_subtree || beside_lower_key) {
    failed_ = true;
    return false;
  }
  // Nothing is open at its own level or below: the key before closed all that when it came.
  Link& link = At(level + 1).child;
  std::copy(root.bytes().begin(), root.bytes().end(), link.cid.begin());
  link.there = true;
  if (top_ == kNone) only_subtree_ = link;
  subtree_level_ = level;
  return true;
}

bool TreeBuilder::Finish(cbor::Cid* root) {
  if (failed_) return false;
  if (top_ == kNone && only_subtree_.there) {
    *root = cbor::Cid(only_subtree_.view());
    return true;
  }
  const int top = std::max(top_, 0);
  CloseBelow(top);
  *root = cbor::Cid::FromDigest(Close(At(top)));
  return true;
}

}  // namespace penstock::repo
