// Nodes and trees. The first byte says what the rest is:
//
//   0  one node (or a commit): what decodes must encode to the same bytes
//   1  a CAR whose root is a node; CIDs are taken as they are, so that links may go round in circles
//   2  a recipe for nodes, so that links and hashes fit and the walk gets somewhere

#include <cstdint>
#include <string>

#include "car/block_index.h"
#include "repo/commit.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"
#include "tests/fuzz/recipe.h"

using namespace penstock;  // NOLINT: a test program

namespace {

using fuzz::Require;

void CheckNode(Bytes block) {
  repo::MstNode node;
  if (node.Decode(block).ok()) {
    std::string again;
    repo::EncodeMstNode(node, &again);
    Require(Equal(AsBytes(again), block));
  }
  (void)repo::DecodeCommit(block, repo::CommitVersions::kAlsoV2);
}

void CheckTree(const car::BlockIndex& blocks) {
  static repo::PartialTree tree;  // reused, as by the program
  if (!tree.Load(blocks, blocks.root()).ok()) {
    Require(tree.items().empty() && tree.node_count() == 0);
    return;
  }
  Require(tree.node_count() > 0 && tree.node_count() <= blocks.blocks().size());
  std::string_view last;
  size_t opaque = 0;
  for (const repo::PartialTree::Item& item : tree.items()) {
    if (item.opaque()) {
      Require(item.level >= 0 && !blocks.Find(item.value).has_value());
      ++opaque;
      continue;
    }
    Require(last < item.key && item.key.size() <= repo::kMaxMstKeyBytes);
    Require(item.level == repo::KeyHeight(item.key));
    cbor::CidView value;
    Require(tree.Find(item.key, &value) == repo::Lookup::kFound && value == item.value);
    // Right after this key there is nothing else, or nothing known.
    const std::string next = std::string(item.key) + '\0';
    if (&item == &tree.items().back()) Require(tree.Find(next, &value) == repo::Lookup::kAbsent);
    last = item.key;
  }
  Require(tree.complete() == (opaque == 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  static car::BlockIndex blocks;
  if (data[0] == 0) {
    CheckNode(rest);
  } else if (data[0] == 1) {
    if (blocks.Load(rest, car::HashCheck::kSkip).ok()) CheckTree(blocks);
  } else {
    fuzz::Recipe recipe(rest);
    const std::string car = fuzz::CookNodes(&recipe, 64);
    if (!blocks.Load(AsBytes(car)).ok()) return 0;
    for (const car::Block& block : blocks.blocks()) CheckNode(block.data);
    CheckTree(blocks);
  }
  return 0;
}
