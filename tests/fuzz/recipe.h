#pragma once

// A fuzzer's input as a list of decisions, for targets whose real input holds hashes, which no mutation gets
// right.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "car/writer.h"
#include "cbor/cid.h"
#include "repo/mst_node.h"

namespace penstock::fuzz {

inline void Require(bool holds) {
  if (!holds) std::abort();
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

// A CAR of nodes whose links and hashes fit, so that a walk gets somewhere. Each node: a byte for the number
// of entries, one for the left child, then per entry prefix, suffix, right child. A child is none, one of the
// nodes before, or one that is missing. The last node is the root. Empty when there is none.
inline std::string CookNodes(Recipe* recipe, size_t max_nodes) {
  const cbor::Cid missing = cbor::Cid::OfBlock(AsBytes("missing"));
  std::vector<std::string> nodes;
  std::vector<cbor::Cid> cids;
  const auto child = [&]() {
    const uint8_t byte = recipe->Byte();
    if (byte == 0) return cbor::CidView();
    return byte <= cids.size() ? cids[cids.size() - byte].view() : missing.view();
  };
  while (!recipe->empty() && nodes.size() < max_nodes) {
    repo::MstNode node;
    const uint8_t entries = recipe->Byte() % 8;
    node.left = child();
    for (uint8_t i = 0; i < entries; ++i) {
      repo::MstEntry entry;
      entry.prefix = recipe->Byte();
      entry.suffix = recipe->Text(recipe->Byte() % 16);
      entry.value = missing.view();
      entry.right = child();
      node.entries.push_back(entry);
    }
    std::string block;
    repo::EncodeMstNode(node, &block);
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

}  // namespace penstock::fuzz
