// Trees before and after, of others: commit proofs, and all differences of the mst-test-suite.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include "car/block_index.h"
#include "repo/inversion.h"
#include "repo/mst.h"
#include "repo/verify.h"
#include "tests/repo/op_list.h"
#include "tests/repo/stepwise_inversion.h"
#include "tests/repo/tree_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::Blocks;
using test::OpList;
using test::Outcome;
using test::StepwiseTree;
using test::Tree;
using test::UndoOrder;

std::string_view Str(const json::value& value) { return std::string_view(value.as_string()); }
cbor::Cid CidOf(const json::value& value) {
  return value.is_null() ? cbor::Cid() : *cbor::Cid::FromString(Str(value));
}

// A part of a tree, under its root.
struct Slice {
  std::string car;
  car::BlockIndex blocks;
  PartialTree tree;
  std::string outcome;

  Slice(const Blocks& from, const cbor::Cid& root) : car(from.Car(root)) {
    EXPECT_EQ(Outcome(blocks.Load(AsBytes(car))), "ok");
    outcome = Outcome(tree.Load(blocks, root.view()));
  }
  std::string Undo(const std::vector<RepoOp>& ops) const {
    cbor::Cid before;
    Inverter inverter;
    const absl::Status status = inverter.Invert(tree, ops, &before);
    return status.ok() ? before.ToString() : Outcome(status);
  }
};

TEST(InversionVectors, CommitProofFixtures) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const json::value cases =
      json::parse(test::ReadFileText(*folder / "atproto-interop-tests/firehose/commit-proof-fixtures.json"));
  for (const json::value& c : cases.as_array()) {
    SCOPED_TRACE(Str(c.at("comment")));
    const cbor::Cid value = CidOf(c.at("leafValue"));
    Mst mst;
    for (const json::value& key : c.at("keys").as_array()) mst.Set(Str(key), value.view());
    const cbor::Cid before = mst.Root();
    EXPECT_EQ(before, CidOf(c.at("rootBeforeCommit")));

    OpList ops;
    for (const json::value& key : c.at("adds").as_array()) {
      mst.Set(Str(key), value.view());
      ops.Create(Str(key), value);
    }
    for (const json::value& key : c.at("dels").as_array()) {
      EXPECT_EQ(mst.Remove(Str(key)), value);
      ops.Delete(Str(key), value);
    }
    const cbor::Cid after = mst.Root();
    EXPECT_EQ(after, CidOf(c.at("rootAfterCommit")));

    std::map<cbor::Cid, std::string> nodes;
    mst.VisitNodes([&](const cbor::Cid& cid, Bytes block) { nodes[cid] = AsText(block); });
    Blocks proof;
    for (const json::value& cid : c.at("blocksInProof").as_array()) {
      ASSERT_TRUE(nodes.contains(CidOf(cid))) << Str(cid);
      proof.Add(nodes.at(CidOf(cid)));
    }
    const Slice slice(proof, after);
    ASSERT_EQ(slice.outcome, "ok");
    EXPECT_EQ(slice.Undo(ops.ops()), before.ToString());
  }
  EXPECT_GT(cases.as_array().size(), 0u);
  std::printf("atproto-interop-tests/firehose/commit-proof-fixtures: %zu commits\n", cases.as_array().size());
}

// Each tree of the suite, loaded once.
class MstTestSuite {
 public:
  explicit MstTestSuite(fs::path folder) : folder_(std::move(folder)) {}

  struct Case {
    Mst mst;
    Tree contents;
    std::map<cbor::Cid, std::string> nodes;
  };
  Case& Get(std::string_view name) {
    const auto [at, is_new] = cases_.try_emplace(std::string(name));
    if (!is_new) return at->second;
    const std::vector<uint8_t> car = test::ReadFileBytes(folder_ / name);
    car::BlockIndex blocks;
    EXPECT_EQ(Outcome(blocks.Load(car)), "ok");
    auto mst = Mst::Load(blocks, blocks.root());
    EXPECT_EQ(Outcome(mst.status()), "ok") << name;
    Case& loaded = at->second;
    loaded.mst = *std::move(mst);
    EXPECT_EQ(loaded.mst.Root(), cbor::Cid(blocks.root()));
    loaded.mst.VisitRecords([&](std::string_view key, const cbor::CidView& cid) {
      loaded.contents[std::string(key)] = cbor::Cid(cid);
    });
    loaded.mst.VisitNodes([&](const cbor::Cid& cid, Bytes block) { loaded.nodes[cid] = AsText(block); });
    return loaded;
  }
  size_t trees() const { return cases_.size(); }

 private:
  fs::path folder_;
  std::map<std::string, Case> cases_;
};

std::vector<cbor::Cid> SortedCids(const json::value& list) {
  std::vector<cbor::Cid> cids;
  for (const json::value& cid : list.as_array()) cids.push_back(CidOf(cid));
  std::sort(cids.begin(), cids.end());
  return cids;
}

constexpr std::array<UndoOrder, 4> kOrders = {UndoOrder::kDeletesFirstDescending, UndoOrder::kDescending,
                                              UndoOrder::kDeletesFirstAscending, UndoOrder::kAscending};

// How often inversion succeeds on some kind of proof.
struct Tally {
  size_t proofs = 0;
  size_t accepted = 0;                  // by Inverter
  std::array<size_t, 4> by_order = {};  // one op after the other, in each of kOrders
  size_t by_fallbacks = 0;              // in any of the three orders that protocol 3.3 goes through

  void Print(const char* name) const {
    std::printf(
        "  %s: %zu proofs; order-free %zu; deletes first descending %zu, descending %zu, deletes first "
        "ascending %zu, ascending %zu; with the fallbacks %zu\n",
        name, proofs, accepted, by_order[0], by_order[1], by_order[2], by_order[3], by_fallbacks);
  }
};

// Undoes `ops` on `slice` in every way. What gets through must give `before`; whatever an order gets through,
// Inverter does too.
void CountUndone(const Slice& slice, const cbor::Cid& after, const OpList& ops, const std::string& before,
                 Tally* tally) {
  ++tally->proofs;
  const std::string undone = slice.Undo(ops.ops());
  const bool accepted = undone == before;
  tally->accepted += accepted;
  bool any = false, fallbacks = false;
  for (size_t i = 0; i < kOrders.size(); ++i) {
    StepwiseTree tree(slice.blocks, after.view());
    const auto stepwise = tree.Undo(InOrder(ops.ops(), kOrders[i]));
    const bool through = stepwise && stepwise->ToString() == before;
    tally->by_order[i] += through;
    any |= through;
    fallbacks |= through && kOrders[i] != UndoOrder::kAscending;
  }
  tally->by_fallbacks += fallbacks;
  EXPECT_TRUE(accepted || !any) << "an order gets through that the list does not";
  // A missing subtree that is all that is left is the root, unless its node holds no key: nobody can see that
  // here.
  const auto& items = slice.tree.items();
  const bool only_subtree = std::any_of(items.begin(), items.end(), [&](const PartialTree::Item& item) {
    return item.opaque() && item.value.ToString() == undone;
  });
  EXPECT_TRUE(accepted || undone == "mst_partial" || only_subtree) << undone;
}

TEST(InversionVectors, MstTestSuiteDiffs) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  MstTestSuite suite(*folder / "mst-test-suite");
  size_t diffs = 0, ops_in_all = 0;
  Tally inductive, short_by_one, forward_only;
  for (const std::string& line : test::ReadFileLines(*folder / "mst-test-suite/diff.jsonl")) {
    if (line.empty()) continue;
    const json::value c = json::parse(line);
    SCOPED_TRACE(Str(c.at("name")));
    MstTestSuite::Case& a = suite.Get(Str(c.at("inputs").at("mst_a")));
    MstTestSuite::Case& b = suite.Get(Str(c.at("inputs").at("mst_b")));
    const json::object& results = c.at("results").as_object();
    ++diffs;

    const MstDiff diff = DiffMst(a.mst, b.mst);
    EXPECT_EQ(diff.created_nodes, SortedCids(results.at("created_nodes")));
    EXPECT_EQ(diff.deleted_nodes, SortedCids(results.at("deleted_nodes")));
    std::map<std::string, std::pair<cbor::Cid, cbor::Cid>> expected_ops;
    for (const json::value& op : results.at("record_ops").as_array()) {
      expected_ops[std::string(Str(op.at("rpath")))] = {CidOf(op.at("old_value")), CidOf(op.at("new_value"))};
    }
    OpList ops;
    ASSERT_EQ(diff.ops.size(), expected_ops.size());
    for (const MstDiff::Op& op : diff.ops) {
      ASSERT_TRUE(expected_ops.contains(op.key)) << op.key;
      EXPECT_EQ(op.prev, expected_ops.at(op.key).first);
      EXPECT_EQ(op.cid, expected_ops.at(op.key).second);
      ops.Add(op.action, op.key, op.cid, op.prev);
    }
    ops_in_all += diff.ops.size();

    const cbor::Cid before = a.mst.Root(), after = b.mst.Root();
    const auto slice_of = [&](const std::set<cbor::Cid>& cids) {
      Blocks blocks;
      blocks.Add(b.nodes.at(after));
      for (const cbor::Cid& cid : cids) {
        if (b.nodes.contains(cid)) blocks.Add(b.nodes.at(cid));
      }
      return blocks;
    };
    std::set<cbor::Cid> proof, forward;
    for (const cbor::Cid& cid : SortedCids(results.at("inductive_proof_nodes"))) proof.insert(cid);
    for (const cbor::Cid& cid : SortedCids(results.at("proof_nodes"))) forward.insert(cid);
    {
      const Slice slice(slice_of(proof), after);
      ASSERT_EQ(slice.outcome, "ok");
      EXPECT_EQ(slice.Undo(ops.ops()), before.ToString());
      CountUndone(slice, after, ops, before.ToString(), &inductive);
    }
    // What no order needs is not in there; what some order can do without, shows when one node more is taken
    // away.
    for (const cbor::Cid& cid : proof) {
      if (cid == after) continue;
      std::set<cbor::Cid> less = proof;
      less.erase(cid);
      const Slice slice(slice_of(less), after);
      ASSERT_EQ(slice.outcome, "ok");
      CountUndone(slice, after, ops, before.ToString(), &short_by_one);
    }
    // Enough for the checks before inversion, and often for more.
    const Slice slice(slice_of(forward), after);
    CountUndone(slice, after, ops, before.ToString(), &forward_only);
    if (HasFailure()) return;
  }
  EXPECT_GE(diffs, 4096u);
  EXPECT_EQ(inductive.accepted, diffs);
  std::printf("mst-test-suite/diff.jsonl: %zu diffs of %zu trees, %zu ops; created and deleted nodes equal\n",
              diffs, suite.trees(), ops_in_all);
  inductive.Print("inductive proof nodes");
  short_by_one.Print("one of them taken away");
  forward_only.Print("proof nodes of the ops alone");
}

}  // namespace
}  // namespace penstock::repo
