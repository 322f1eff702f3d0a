#pragma once

// Whole repositories from a fuzzer's decisions, so that links, hashes and the commit fit.

#include <map>
#include <string>
#include <string_view>

#include "base/status.h"
#include "car/block_index.h"
#include "tests/fuzz/recipe.h"
#include "tests/repo/tree_testing.h"

namespace penstock::fuzz {

// `blocks` with a commit of the tree under `data`, which is put at `*commit`.
inline test::Blocks Under(const test::Blocks& blocks, const cbor::Cid& data, cbor::Cid* commit) {
  test::Blocks all = blocks;
  test::CommitFields fields;
  fields.data = data;
  *commit = all.Add(test::CommitBlock(fields));
  return all;
}

// Nodes of any kind; false when there is none.
inline bool CookNodeRepository(Recipe* recipe, test::Blocks* blocks, cbor::Cid* data) {
  const std::string nodes = CookNodes(recipe, 24);
  car::BlockIndex index;
  if (!index.Load(AsBytes(nodes)).ok()) return false;
  for (const car::Block& block : index.blocks()) blocks->Add(AsText(block.data));
  blocks->Add("missing");  // what the entries have as their value, and some links too
  *data = cbor::Cid(index.root());
  return true;
}

// A good tree of records, some of which are unusable.
struct RecordRepository {
  test::Blocks blocks;
  cbor::Cid data;
  std::map<std::string, std::string> records;  // key -> block, of the usable ones
  size_t unusable = 0;
};
inline RecordRepository CookRecordRepository(Recipe* recipe) {
  RecordRepository made;
  test::Tree tree;
  for (size_t count = recipe->Byte() % 64; count > 0; --count) {
    const uint8_t kind = recipe->Byte();
    const std::string record(recipe->Text(kind % 4));
    const int high = recipe->Byte(), low = recipe->Byte();
    std::string key = "app.test.thing/" + std::to_string(high * 256 + low);
    if (kind >= 0xf0) key += "/no-path";
    if (tree.contains(key)) continue;
    if (kind >= 0xe0 && kind < 0xf0) {
      tree[key] = cbor::Cid::OfBlock(AsBytes(record), cbor::kCodecRaw);
    } else {
      tree[key] = made.blocks.Add(record);
    }
    if (kind >= 0xe0) {
      ++made.unusable;
    } else {
      made.records[key] = record;
    }
  }
  made.data = test::AddTree(tree, &made.blocks);
  return made;
}

}  // namespace penstock::fuzz
