// Trees, changes to them, and undoing the changes on a part of the tree. The first byte says what the rest
// is:
//
//   0  a tree as a list of keys, what changes in it, which nodes are not there, and what the ops lie about:
//   held against the
//      tree that is built naively from the keys
//   1  a recipe for nodes, right or wrong, and ops on what they hold: held against undoing them one by one

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "car/block_index.h"
#include "repo/inversion.h"
#include "repo/mst.h"
#include "repo/partial_tree.h"
#include "repo/verify.h"
#include "tests/fuzz/recipe.h"
#include "tests/repo/op_list.h"
#include "tests/repo/stepwise_inversion.h"
#include "tests/repo/tree_testing.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using fuzz::Recipe;
using fuzz::Require;
using test::OpList;
using test::Tree;

constexpr uint8_t kEnd = 0xff;

// Few keys, as many of each height.
const std::string& Key(uint8_t byte) {
  static const std::vector<std::string>& keys = *[] {
    auto* all = new std::vector<std::string>;
    for (int height = 0; height < 6; ++height) {
      for (int n = 0; n < 8; ++n) all->push_back(test::KeyOfHeight(height, n * 3));
    }
    return all;
  }();
  return keys[byte % keys.size()];
}
cbor::Cid Value(uint8_t byte) { return cbor::Cid::OfBlock(Bytes(&byte, 1)); }

// What undoing the ops on the whole tree gives; nullopt when one does not fit it.
std::optional<Tree> UndoNaively(Tree tree, const std::vector<repo::RepoOp>& ops) {
  std::set<std::string_view> paths;
  for (const repo::RepoOp& op : ops) {
    if (!paths.insert(op.path).second) return std::nullopt;
    const auto at = tree.find(std::string(op.path));
    if (op.action == repo::Action::kDelete) {
      if (at != tree.end() || op.prev.empty()) return std::nullopt;
      tree[std::string(op.path)] = cbor::Cid(op.prev);
      continue;
    }
    if (at == tree.end() || !(at->second == op.cid)) return std::nullopt;
    if (op.action == repo::Action::kUpdate) {
      if (op.prev.empty()) return std::nullopt;
      at->second = cbor::Cid(op.prev);
    } else {
      tree.erase(at);
    }
  }
  return tree;
}

// The same on the tree in memory.
cbor::Cid UndoOnMst(repo::Mst mst, const std::vector<repo::RepoOp>& ops) {
  for (const repo::RepoOp& op : ops) {
    if (op.action == repo::Action::kCreate) {
      Require(mst.Remove(op.path) == cbor::Cid(op.cid));
    } else {
      Require(mst.Set(op.path, op.prev).has_value() == (op.action == repo::Action::kUpdate));
    }
  }
  return mst.Root();
}

bool IsOnlySubtree(const repo::PartialTree& tree, const cbor::Cid& root) {
  for (const repo::PartialTree::Item& item : tree.items()) {
    if (item.opaque() && root == item.value) return true;
  }
  return false;
}

// Reused over all inputs, as by the program.
repo::Inverter& TheInverter() {
  static repo::Inverter& inverter = *new repo::Inverter;
  return inverter;
}

// Whatever order gets through on the nodes, the list gets through as well, and to the same root.
void CompareWithSteps(const car::BlockIndex& blocks, const cbor::CidView& root,
                      const std::vector<repo::RepoOp>& ops, bool undone, const cbor::Cid& before) {
  for (const test::UndoOrder order : {test::UndoOrder::kDeletesFirstDescending, test::UndoOrder::kDescending,
                                      test::UndoOrder::kDeletesFirstAscending, test::UndoOrder::kAscending}) {
    const auto stepwise = test::StepwiseTree(blocks, root).Undo(InOrder(ops, order));
    Require(!stepwise || (undone && *stepwise == before));
  }
}

void UndoChanges(Recipe recipe) {
  Tree before;
  for (uint8_t byte = recipe.Byte(); byte != kEnd && !recipe.empty(); byte = recipe.Byte()) {
    before[Key(byte)] = Value(byte);
  }
  Tree after = before;
  for (uint8_t byte = recipe.Byte(); byte != kEnd && !recipe.empty(); byte = recipe.Byte()) {
    const std::string& key = Key(byte);
    if (byte >= 0x80 && after.contains(key)) {
      after.erase(key);
    } else {
      after[key] = Value(recipe.Byte());
    }
  }
  OpList ops = OpList::Between(before, after);
  // Lies: each takes an op and something else for one of its fields.
  std::vector<cbor::Cid> kept(4);
  for (cbor::Cid& cid : kept) {
    const uint8_t which = recipe.Byte();
    if (which == 0 || ops.empty()) break;
    repo::RepoOp& op = ops.ops()[which % ops.ops().size()];
    const uint8_t what = recipe.Byte();
    cid = Value(what);
    switch (which >> 6) {
      case 0:
        op.action = static_cast<repo::Action>(what % 3);
        break;
      case 1:
        op.path = Key(what);
        break;
      case 2:
        op.prev = what == 0 ? cbor::CidView() : cid.view();
        break;
      default:
        op.cid = cid.view();
        break;
    }
  }

  test::Blocks all, some;
  const cbor::Cid root = test::AddTree(after, &all);
  for (const auto& [cid, block] : all.all()) {
    if (cid == root || recipe.Byte() % 4 != 1) some.Add(block);
  }
  const std::string car = some.Car(root), whole_car = all.Car(root);
  car::BlockIndex blocks, whole_blocks;
  static repo::PartialTree& tree = *new repo::PartialTree;
  Require(blocks.Load(AsBytes(car)).ok() && whole_blocks.Load(AsBytes(whole_car)).ok());
  Require(tree.Load(blocks, root.view()).ok());
  auto mst = repo::Mst::Load(whole_blocks, root.view());
  Require(mst.ok() && mst->Root() == root && mst->size() == after.size());

  cbor::Cid undone;
  const absl::Status status = TheInverter().Invert(tree, ops.ops(), &undone);
  const std::optional<Tree> naive = UndoNaively(after, ops.ops());
  if (naive) {
    test::Blocks unused;
    const cbor::Cid expected = test::AddTree(*naive, &unused);
    Require(UndoOnMst(*std::move(mst), ops.ops()) == expected);
    if (status.ok()) {
      Require(undone == expected || IsOnlySubtree(tree, undone));
    } else {
      Require(RejectOf(status) == Reject::kMstPartial && some.all().size() < all.all().size());
    }
    CompareWithSteps(blocks, root.view(), ops.ops(), status.ok(), undone);
  } else {
    Require(!status.ok() && RejectOf(status).has_value());
  }
}

void UndoOnNodes(Recipe recipe) {
  const size_t op_count = recipe.Byte() % 8;
  std::vector<uint8_t> choices;
  for (size_t i = 0; i < 3 * op_count; ++i) choices.push_back(recipe.Byte());
  const std::string car = fuzz::CookNodes(&recipe, 24);
  car::BlockIndex blocks;
  static repo::PartialTree& tree = *new repo::PartialTree;
  if (!blocks.Load(AsBytes(car)).ok() || !tree.Load(blocks, blocks.root()).ok()) return;
  // What passes every check of the nodes is the tree that its items make.
  cbor::Cid undone;
  Require(TheInverter().Invert(tree, {}, &undone).ok() && undone == blocks.root());

  OpList ops;
  std::set<std::string> paths;
  for (size_t i = 0; i < op_count; ++i) {
    const uint8_t action = choices[3 * i] % 3;
    const repo::PartialTree::Item* item =
        tree.items().empty() ? nullptr : &tree.items()[choices[3 * i + 1] % tree.items().size()];
    std::string path = item == nullptr || item->opaque() ? Key(choices[3 * i + 2]) : std::string(item->key);
    if (action == 2) path += static_cast<char>('a' + choices[3 * i + 2] % 20);
    if (!paths.insert(path).second) continue;
    const cbor::Cid held = item == nullptr ? Value(1) : cbor::Cid(item->value);
    ops.Add(static_cast<repo::Action>(action), path, action == 2 ? cbor::Cid() : held,
            action == 0 ? cbor::Cid() : Value(choices[3 * i + 2]));
  }
  const absl::Status status = TheInverter().Invert(tree, ops.ops(), &undone);
  Require(status.ok() || RejectOf(status).has_value());
  CompareWithSteps(blocks, blocks.root(), ops.ops(), status.ok(), undone);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Recipe recipe(Bytes(data + 1, size - 1));
  if (data[0] == 0) {
    UndoChanges(recipe);
  } else {
    UndoOnNodes(recipe);
  }
  return 0;
}
