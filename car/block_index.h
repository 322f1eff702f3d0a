#pragma once

// The blocks of one frame's CAR, each checked against its CID, found by CID. Made to be reused: Load() keeps
// the table of the last frame, so steady state allocates nothing. Not thread-safe.

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "car/reader.h"
#include "cbor/cid.h"

namespace penstock::car {

enum class HashCheck : uint8_t {
  kVerify,  // every block must hash to its CID: the only choice for bytes from outside
  kSkip,    // structure only: for the `decode` stage of `penstock bench`
};

// A frame's 2 MB of blocks can hold at most this many of the smallest verifiable sections (1 + 36 + 1 bytes);
// bounds the index whatever a larger file declares.
inline constexpr size_t kMaxBlocks = 65536;
// For a whole repository: some ten million records. The index takes about 64 bytes a block, so at this bound 1 GiB.
inline constexpr size_t kMaxRepositoryBlocks = size_t{1} << 24;

class BlockIndex {
 public:
  // Reads all of `car` and keeps views of it. Duplicate blocks are allowed (the same CID has the same bytes);
  // blocks that nothing links to are kept; blocks of another hash or codec than the blessed ones are counted,
  // kept out of the index and so missing to whoever needs them (protocol 5).
  // Rejects: those of car::Reader; kCarBlockCidMismatch; kCarTooManyBlocks (above `max_blocks`, duplicates
  // included). After a failure the index is empty.
  [[nodiscard]] absl::Status Load(Bytes car ABSL_ATTRIBUTE_LIFETIME_BOUND,
                                  HashCheck check = HashCheck::kVerify, size_t max_blocks = kMaxBlocks);

  // The first root of the header; it may be absent from the blocks.
  const cbor::CidView& root() const { return root_; }

  // The block's bytes; nullopt if it is not there.
  std::optional<Bytes> Find(const cbor::CidView& cid) const;

  // Its position in blocks(); kNotFound if it is not there.
  static constexpr uint32_t kNotFound = UINT32_MAX;
  uint32_t PositionOf(const cbor::CidView& cid) const;

  // In file order: the verifiable ones, without duplicates.
  const std::vector<Block>& blocks() const { return blocks_; }
  size_t unverifiable() const { return unverifiable_; }
  size_t duplicates() const { return duplicates_; }

 private:
  absl::Status ReadSections(Reader& reader, size_t max_blocks);
  absl::Status Index(HashCheck check);
  // The slot that holds `cid`, or the free one where it would go.
  size_t Probe(const cbor::CidView& cid) const;
  void Clear();

  std::vector<Block> blocks_;
  // Open addressing with linear probing over blocks_: position + 1, or 0 for a free slot. A power of two in
  // size, at most half full.
  std::vector<uint32_t> slots_;
  int slot_shift_ = 64;  // 64 - log2(slots_.size())
  cbor::CidView root_;
  size_t unverifiable_ = 0;
  size_t duplicates_ = 0;
};

}  // namespace penstock::car
