#pragma once

// Small words for tests that make trees and commits, good and bad. Nothing is signed: level `cid` does not
// look at it.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "car/writer.h"
#include "cbor/cid.h"
#include "cbor/writer.h"
#include "repo/mst_node.h"
#include "repo/syntax.h"

namespace penstock::test {

// "ok", or the name of the Reject: right for the wrong reason is wrong.
inline std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : std::string(Message(status));
}

using Tree = std::map<std::string, cbor::Cid>;

// Blocks by CID, to be put into a CAR in part or as a whole.
class Blocks {
 public:
  cbor::Cid Add(std::string_view block) {
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(block));
    by_cid_[cid] = block;
    return cid;
  }
  void Drop(const cbor::Cid& cid) { by_cid_.erase(cid); }
  const std::map<cbor::Cid, std::string>& all() const { return by_cid_; }

  std::string Car(const cbor::Cid& root) const {
    std::string out;
    car::Writer writer(&out);
    writer.Header(std::span(&root, 1));
    for (const auto& [cid, block] : by_cid_) writer.Block(cid.view(), AsBytes(block));
    return out;
  }

 private:
  std::map<cbor::Cid, std::string> by_cid_;
};

// A node as it is to be encoded, right or wrong.
inline std::string NodeBlock(const cbor::CidView& left, const std::vector<repo::MstEntry>& entries) {
  std::string block;
  repo::MstNode node;
  node.left = left;
  node.entries = entries;
  EncodeMstNode(node, &block);
  return block;
}

// Builds nodes of the tree over keys [first, end) from `level` downwards. Straight from the definition, not
// fast.
inline cbor::Cid AddSubtree(Tree::const_iterator first, Tree::const_iterator end, int level, Blocks* blocks) {
  std::vector<cbor::Cid> children;  // children[0] is left; children[i] is right of entry i - 1
  std::vector<Tree::const_iterator> keys;
  const auto add_child = [&](Tree::const_iterator from, Tree::const_iterator to) {
    children.push_back(from == to ? cbor::Cid() : AddSubtree(from, to, level - 1, blocks));
  };
  Tree::const_iterator from = first;
  for (Tree::const_iterator at = first; at != end; ++at) {
    if (repo::KeyHeight(at->first) != level) continue;
    add_child(from, at);
    keys.push_back(at);
    from = std::next(at);
  }
  add_child(from, end);
  std::vector<repo::MstKeyEntry> entries;
  for (size_t i = 0; i < keys.size(); ++i) {
    entries.push_back({keys[i]->first, keys[i]->second.view(), children[i + 1].view()});
  }
  std::string block;
  repo::EncodeMstNode(children[0].view(), entries, &block);
  return blocks->Add(block);
}

inline cbor::Cid AddTree(const Tree& tree, Blocks* blocks) {
  int level = 0;
  for (const auto& [key, value] : tree) level = std::max(level, repo::KeyHeight(key));
  return AddSubtree(tree.begin(), tree.end(), level, blocks);
}

// The `n`-th key of this height that begins with `prefix`.
inline std::string KeyOfHeight(int height, int n = 0, std::string_view prefix = "app.test.thing/") {
  for (int i = 0;; ++i) {
    std::string key = std::string(prefix) + std::to_string(100'000 + i);  // one length: ascending in `n`
    if (repo::KeyHeight(key) == height && n-- == 0) return key;
  }
}

struct CommitFields {
  std::string did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
  std::string rev = "3jzfcijpj2z2a";
  cbor::Cid data;
  int64_t version = 3;
};

inline std::string CommitBlock(const CommitFields& fields) {
  cbor::MapWriter map;
  map.Key("did").Text(fields.did);
  map.Key("rev").Text(fields.rev);
  map.Key("sig").ByteString(AsBytes(std::string(64, 's')));
  map.Key("data").Link(fields.data);
  map.Key("prev").Null();
  map.Key("version").Int(fields.version);
  std::string block;
  map.Finish(&block);
  return block;
}

}  // namespace penstock::test
