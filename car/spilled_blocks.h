#pragma once

// Checked blocks of one archive, put away in a Spill and found again by CID. In memory there is a table of
// 16 bytes a slot: of a block's digest the first 8 bytes, and where it is. All else is next to the block's
// bytes: what is read is compared with the whole digest and hashed once more, so nothing comes out of here
// that is not what its CID says.
//
// At least a quarter of the slots is free and their number is a power of two, so a block takes 21 to 43 bytes
// of memory; while the table grows, half as much again. A million and a quarter blocks: 32 MiB, at most 48.
//
// Only CIDs that are CIDv1, dag-cbor, SHA-256 (IsBlessedData). Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/spill.h"
#include "cbor/cid.h"

namespace penstock::car {

class SpilledBlocks {
 public:
  // A slot has 24 bits for the size and 40 for the place.
  static constexpr size_t kMaxBlockBytes = (size_t{1} << 24) - 1 - crypto::kSha256Size;
  static constexpr uint64_t kMaxSpillBytes = uint64_t{1} << 40;

  // `spill` is this object's alone, and outlives it.
  explicit SpilledBlocks(Spill* spill) : spill_(spill) {}

  // Forgets all blocks. Errors: those of Spill::Clear.
  absl::Status Clear();

  // Keeps a copy of `data`, which hashes to `cid`; only the first time that this CID comes.
  // Errors: those of Spill. Rejects: kCarTooLarge (a block, or the sum, beyond what a slot can say).
  absl::Status Add(const cbor::CidView& cid, Bytes data);

  // Replaces `*block` by the block's bytes; false if it is not here. Errors: those of Spill; kDataLoss if the
  // bytes are not those that were put away.
  absl::StatusOr<bool> Find(const cbor::CidView& cid, std::string* block);

  size_t size() const { return count_; }
  size_t memory() const { return slots_.capacity() * sizeof(Slot); }  // bytes

 private:
  struct Slot {
    uint64_t digest_head = 0;
    uint64_t where = 0;  // offset << 24 | size; 0: free. In the Spill: the digest, then the data.
    bool free() const { return where == 0; }
    uint64_t offset() const { return where >> 24; }
    size_t size() const { return static_cast<size_t>(where & 0xffffff); }
  };

  // The first slot for this digest head from `at` on: one that has it, or the free one where it would go.
  size_t Probe(uint64_t digest_head, size_t at) const;
  size_t FirstSlot(uint64_t digest_head) const;
  size_t NextSlot(size_t slot) const { return (slot + 1) & (slots_.size() - 1); }
  // Whether the block at `slot` is `cid`, by its whole digest.
  absl::StatusOr<bool> Holds(const Slot& slot, const cbor::CidView& cid);
  void Grow();

  Spill* const spill_;
  std::vector<Slot> slots_;  // open addressing, linear probing
  int shift_ = 64;           // 64 - log2(slots_.size())
  size_t count_ = 0;
};

}  // namespace penstock::car
