// Nodes and trees. The first byte says what the rest is:
//
//   0  one node (or a commit): what decodes must encode to the same bytes
//   1  a CAR whose root is a node; CIDs are taken as they are, so that links may go round in circles
//   2  a recipe for nodes, so that links and hashes fit and the walk gets somewhere

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "car/block_index.h"
#include "car/writer.h"
#include "repo/commit.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"

using namespace penstock;  // NOLINT: a test program

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

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

// Hands out the recipe's bytes; zeros at its end.
class Recipe {
 public:
  explicit Recipe(Bytes bytes) : rest_(bytes) {}
  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    if (rest_.empty()) return 0;
    const uint8_t byte = rest_.front();
    rest_ = rest_.subspan(1);
    return byte;
  }
  std::string_view Text(size_t size) {
    const Bytes text = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(text.size());
    return AsText(text);
  }

 private:
  Bytes rest_;
};

// Each node: a byte for the number of entries, one for the left child, then per entry prefix, suffix, right
// child. A child is none, one of the nodes before, or one that is missing. The last node is the root.
std::string Cook(Recipe recipe) {
  const cbor::Cid missing = cbor::Cid::OfBlock(AsBytes("missing"));
  std::vector<std::string> nodes;
  std::vector<cbor::Cid> cids;
  const auto child = [&]() {
    const uint8_t byte = recipe.Byte();
    if (byte == 0) return cbor::CidView();
    return byte <= cids.size() ? cids[cids.size() - byte].view() : missing.view();
  };
  while (!recipe.empty() && nodes.size() < 64) {
    repo::MstNode node;
    const uint8_t entries = recipe.Byte() % 8;
    node.left = child();
    for (uint8_t i = 0; i < entries; ++i) {
      repo::MstEntry entry;
      entry.prefix = recipe.Byte();
      entry.suffix = recipe.Text(recipe.Byte() % 16);
      entry.value = missing.view();
      entry.right = child();
      node.entries.push_back(entry);
    }
    std::string block;
    repo::EncodeMstNode(node, &block);
    CheckNode(AsBytes(block));
    nodes.push_back(block);
    cids.push_back(cbor::Cid::OfBlock(AsBytes(block)));
  }
  std::string car;
  if (nodes.empty()) return car;
  car::Writer writer(&car);
  writer.Header(std::span(&cids.back(), 1));
  for (size_t i = 0; i < nodes.size(); ++i) writer.Block(cids[i].view(), AsBytes(nodes[i]));
  return car;
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
    const std::string car = Cook(Recipe(rest));
    if (blocks.Load(AsBytes(car)).ok()) CheckTree(blocks);
  }
  return 0;
}
