#pragma once

// Ops that own what they say, for tests that make them up.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "cbor/cid.h"
#include "repo/op.h"
#include "repo/syntax.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {

class OpList {
 public:
  void Create(std::string_view path, const cbor::Cid& cid) { Add(repo::Action::kCreate, path, cid, {}); }
  void Update(std::string_view path, const cbor::Cid& cid, const cbor::Cid& prev) {
    Add(repo::Action::kUpdate, path, cid, prev);
  }
  void Delete(std::string_view path, const cbor::Cid& prev) { Add(repo::Action::kDelete, path, {}, prev); }

  void Add(repo::Action action, std::string_view path, const cbor::Cid& cid, const cbor::Cid& prev) {
    const std::string& kept = paths_.emplace_back(path);
    const cbor::Cid& kept_cid = cids_.emplace_back(cid);
    const cbor::Cid& kept_prev = cids_.emplace_back(prev);
    repo::RepoOp op{action, kept, {}, {}, kept_cid.view(), kept_prev.view()};
    if (const auto valid = repo::RepoPath::Parse(op.path)) {
      op.collection = valid->collection.text();
      op.rkey = valid->rkey.text();
    }
    ops_.push_back(op);
  }

  // What leads from one tree to another, in path order.
  static OpList Between(const Tree& before, const Tree& after) {
    OpList ops;
    for (const auto& [path, cid] : after) {
      const auto old = before.find(path);
      if (old == before.end()) {
        ops.Create(path, cid);
      } else if (!(old->second == cid)) {
        ops.Update(path, cid, old->second);
      }
    }
    for (const auto& [path, cid] : before) {
      if (!after.contains(path)) ops.Delete(path, cid);
    }
    return ops;
  }

  const std::vector<repo::RepoOp>& ops() const { return ops_; }
  std::vector<repo::RepoOp>& ops() { return ops_; }
  bool empty() const { return ops_.empty(); }

 private:
  std::deque<std::string> paths_;  // deques: what is viewed must not move
  std::deque<cbor::Cid> cids_;
  std::vector<repo::RepoOp> ops_;
};

}  // namespace penstock::test
