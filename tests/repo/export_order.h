#pragma once

// The blocks of a whole, good archive in another order.

#include <algorithm>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "car/block_index.h"
#include "car/writer.h"
#include "repo/commit.h"
#include "repo/mst_node.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {

class ExportOrder {
 public:
  explicit ExportOrder(std::string_view car) : car_(car) {
    EXPECT_EQ(Outcome(index_.Load(AsBytes(car_))), "ok");
  }

  // As the specification prefers it: the commit, then each node before its children and records, in key order.
  std::string InTreeOrder() const {
    std::vector<cbor::CidView> cids = {index_.root()};
    std::set<std::string> written;
    const auto commit = repo::DecodeCommit(*index_.Find(index_.root()), repo::CommitVersions::kAlsoV2);
    EXPECT_TRUE(commit.ok());
    AddSubtree(commit->data, &written, &cids);
    return Write(cids);
  }
  std::string Shuffled(uint64_t seed) const {
    std::vector<cbor::CidView> cids = All();
    std::mt19937_64 random(seed);
    std::shuffle(cids.begin(), cids.end(), random);
    return Write(cids);
  }
  std::string Reversed() const {
    std::vector<cbor::CidView> cids = All();
    std::reverse(cids.begin(), cids.end());
    return Write(cids);
  }
  // In file order.
  std::vector<cbor::CidView> All() const {
    std::vector<cbor::CidView> cids;
    for (const car::Block& block : index_.blocks()) cids.push_back(block.cid);
    return cids;
  }
  std::string Write(const std::vector<cbor::CidView>& cids) const {
    std::string out;
    car::Writer writer(&out);
    const cbor::Cid root(index_.root());
    writer.Header(std::span(&root, 1));
    for (const cbor::CidView& cid : cids) writer.Block(cid, *index_.Find(cid));
    return out;
  }
  const car::BlockIndex& index() const { return index_; }

 private:
  void AddSubtree(const cbor::CidView& cid, std::set<std::string>* written, std::vector<cbor::CidView>* cids) const {
    cids->push_back(cid);
    repo::MstNode node;
    EXPECT_TRUE(node.Decode(*index_.Find(cid)).ok());
    if (!node.left.empty()) AddSubtree(node.left, written, cids);
    for (const repo::MstEntry& entry : node.entries) {
      if (index_.Find(entry.value) && written->insert(entry.value.ToString()).second) cids->push_back(entry.value);
      if (!entry.right.empty()) AddSubtree(entry.right, written, cids);
    }
  }

  std::string car_;
  car::BlockIndex index_;
};

}  // namespace penstock::test
