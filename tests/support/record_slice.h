#pragma once

// What com.atproto.sync.getRecord would answer for one path, cut out of an account's whole repository.

#include <span>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "car/block_index.h"
#include "car/writer.h"
#include "cbor/cid.h"
#include "repo/commit.h"
#include "repo/mst.h"

namespace penstock::test {

// A CAR of the commit, the nodes on the way to `path` and, if there is one, the record. `whole`: a good export.
inline std::string RecordSlice(std::string_view whole, std::string_view path, bool with_record = true) {
  car::BlockIndex blocks;
  if (!blocks.Load(AsBytes(whole)).ok()) return "";
  const Bytes commit_block = *blocks.Find(blocks.root());
  const auto commit = repo::DecodeCommit(commit_block);
  auto tree = repo::Mst::Load(blocks, commit->data);
  const cbor::Cid root(blocks.root());
  std::string slice;
  car::Writer writer(&slice);
  writer.Header(std::span(&root, 1));
  writer.Block(root.view(), commit_block);
  tree->VisitPath(path, [&](const cbor::Cid& cid, Bytes block) { writer.Block(cid.view(), block); });
  const auto record = tree->Find(path);
  if (with_record && record) writer.Block(*record, *blocks.Find(*record));
  return slice;
}

}  // namespace penstock::test
