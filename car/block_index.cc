#include "car/block_index.h"

#include <bit>

#include "base/status.h"
#include "car/slot_hash.h"

namespace penstock::car {
namespace {

constexpr size_t kMinSlots = 16;

}  // namespace

size_t BlockIndex::Probe(const cbor::CidView& cid) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = SecretSlot(DigestHead(cid.digest()), slot_shift_);
  while (slots_[slot] != 0 && !(blocks_[slots_[slot] - 1].cid == cid)) slot = (slot + 1) & mask;
  return slot;
}

void BlockIndex::Clear() {
  blocks_.clear();
  slots_.clear();
  root_ = cbor::CidView();
  unverifiable_ = 0;
  duplicates_ = 0;
}

absl::Status BlockIndex::Load(Bytes car, HashCheck check, size_t max_blocks) {
  Clear();
  Reader reader(car);
  absl::Status status = reader.ReadHeader();
  if (status.ok()) status = ReadSections(reader, max_blocks);
  if (status.ok()) status = Index(check);
  if (!status.ok()) {
    Clear();
    return status;
  }
  root_ = reader.root();
  return status;
}

absl::Status BlockIndex::ReadSections(Reader& reader, size_t max_blocks) {
  Block block;
  while (reader.Next(&block)) {
    if (!block.cid.IsBlessed()) {
      ++unverifiable_;
      continue;
    }
    if (blocks_.size() == max_blocks) return RejectError(Reject::kCarTooManyBlocks);
    blocks_.push_back(block);
  }
  return reader.status();
}

absl::Status BlockIndex::Index(HashCheck check) {
  // Only now is the number of blocks known, so the table is cleared once, at the size that this file needs.
  const size_t slots = std::bit_ceil(blocks_.size() * 2 < kMinSlots ? kMinSlots : blocks_.size() * 2);
  slots_.assign(slots, 0);
  slot_shift_ = 64 - std::countr_zero(slots);

  // Duplicates leave the list: `kept` counts what has been looked at and stays, in file order.
  size_t kept = 0;
  for (const Block& block : blocks_) {
    uint32_t& slot = slots_[Probe(block.cid)];
    if (slot != 0) {
      if (check == HashCheck::kVerify && !Equal(blocks_[slot - 1].data, block.data)) {
        return RejectError(Reject::kCarBlockCidMismatch, block.cid.ToString());
      }
      ++duplicates_;
      continue;
    }
    if (check == HashCheck::kVerify && !cbor::BlockMatches(block.cid, block.data)) {
      return RejectError(Reject::kCarBlockCidMismatch, block.cid.ToString());
    }
    blocks_[kept] = block;
    slot = static_cast<uint32_t>(++kept);
  }
  blocks_.resize(kept);
  return absl::OkStatus();
}

uint32_t BlockIndex::PositionOf(const cbor::CidView& cid) const {
  if (slots_.empty() || !cid.IsBlessed()) return kNotFound;
  const uint32_t slot = slots_[Probe(cid)];
  return slot == 0 ? kNotFound : slot - 1;
}

std::optional<Bytes> BlockIndex::Find(const cbor::CidView& cid) const {
  const uint32_t position = PositionOf(cid);
  if (position == kNotFound) return std::nullopt;
  return blocks_[position].data;
}

}  // namespace penstock::car
