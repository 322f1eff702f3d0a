// Any bytes as a CAR. Whoever fuzzes cannot make hashes fit, so the index is filled without the hash check,
// too.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "car/block_index.h"
#include "car/reader.h"
#include "car/writer.h"

using penstock::Bytes;
using penstock::car::Block;
using penstock::car::BlockIndex;
using penstock::car::HashCheck;

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

// Reads all sections. Lengths have one form only, so what was read writes as it came, up to where reading
// ended.
bool CheckReader(Bytes car) {
  penstock::car::Reader reader(car);
  if (!reader.ReadHeader().ok()) return false;
  Require(reader.root_count() > 0);
  const size_t first_section = reader.offset();
  std::string again;
  penstock::car::Writer writer(&again);
  Block block;
  while (reader.Next(&block)) {
    Require(!block.cid.empty() && block.data.data() + block.data.size() <= car.data() + car.size());
    writer.Block(block.cid, block.data);
  }
  Require(
      penstock::Equal(penstock::AsBytes(again), car.subspan(first_section, reader.offset() - first_section)));
  Require(!reader.status().ok() || reader.offset() == car.size());
  return reader.status().ok();
}

void CheckIndex(const BlockIndex& index) {
  for (size_t i = 0; i < index.blocks().size(); ++i) {
    const Block& block = index.blocks()[i];
    Require(block.cid.IsBlessed());
    Require(index.PositionOf(block.cid) == i);
    Require(index.Find(block.cid)->data() == block.data.data());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes car(data, size);
  const bool readable = CheckReader(car);

  static BlockIndex index;  // reused, as by the program
  const bool loaded = index.Load(car, HashCheck::kSkip).ok();
  Require(readable || !loaded);  // the index has a bound of its own on the number of blocks
  CheckIndex(index);
  const size_t blocks = index.blocks().size();

  if (!index.Load(car, HashCheck::kVerify).ok()) {
    Require(index.blocks().empty());
    return 0;
  }
  Require(loaded && index.blocks().size() == blocks);
  for (const Block& block : index.blocks()) Require(penstock::cbor::BlockMatches(block.cid, block.data));
  return 0;
}
