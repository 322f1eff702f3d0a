#pragma once

// CAR v1 in pieces, as it comes from a network (protocol section 5): each block is given out, checked against
// its CID, as soon as its last byte is there. What is refused is what car::Reader and car::BlockIndex refuse,
// plus what is over a limit.
//
// Memory: the one section that a piece has cut. A length is compared with the limits before anything is done
// about it, and memory follows the bytes that have come, not the length that was declared.
//
// Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "car/block_index.h"
#include "car/reader.h"
#include "cbor/cid.h"

namespace penstock::car {

// Four times the largest record (protocol 1.4), so that a node of very many keys fits, too.
inline constexpr size_t kMaxSectionBytes = size_t{4} << 20;
// Room for 1,700 roots, of which one has a meaning.
inline constexpr size_t kMaxHeaderBytes = size_t{64} << 10;
// Ten times what a repository of a million records has.
inline constexpr uint64_t kMaxRepositoryBytes = uint64_t{4} << 30;

struct StreamLimits {
  uint64_t max_bytes = kMaxRepositoryBytes;
  size_t max_section_bytes = kMaxSectionBytes;
  size_t max_blocks = kMaxRepositoryBlocks;  // of those that can be checked, repeated ones included
};

class StreamReader {
 public:
  // Begins another archive. A new reader has begun one.
  void Reset(const StreamLimits& limits);

  // The next bytes, any number of them. Keeps a view until Next() has returned false.
  void Feed(Bytes piece ABSL_ATTRIBUTE_LIFETIME_BOUND);

  // The next block. Blocks that are not blessed are counted and passed over, as they cannot be checked.
  // False when more bytes are needed, and on an error: look at status(), which sticks. The views are good
  // until the next call of any kind.
  // Rejects: kCarBadVarint, kCarZeroLengthSection, kCarBadCid, those of DecodeHeader; kCarSectionTooLong,
  // kCarTooManyBlocks, kCarTooLarge (beyond the limits); kCarBlockCidMismatch.
  [[nodiscard]] bool Next(Block* block);
  const absl::Status& status() const { return status_; }

  // There are no more bytes. Rejects: kCarTruncated; whatever went wrong before.
  absl::Status Finish();

  // The first root, once the header is here; empty before.
  const cbor::Cid& root() const { return root_; }
  uint64_t bytes() const { return fed_; }                // that have come
  size_t blocks() const { return blocks_; }              // given out
  size_t unverifiable() const { return unverifiable_; }  // passed over
  size_t memory() const { return cut_.capacity(); }      // bytes held

 private:
  // The next section, its length not included. False when there is none.
  bool TakeSection(Bytes* section);
  // A length that is here in whole. False (and a sticky error) if it is over a limit.
  bool CheckLength(uint64_t length);
  // False if `section` is none to be given out.
  bool TakeBlock(Bytes section, Block* block);
  // Sets the sticky error. Always false.
  bool Fail(Reject reject, std::string_view what = {});

  StreamLimits limits_;
  Bytes piece_;          // not looked at yet
  std::string cut_;      // the beginning of a section that goes on in the next piece; with its length
  uint64_t offset_ = 0;  // of the section that was read last, or is being read
  size_t taken_ = 0;     // its size, when it is complete
  uint64_t fed_ = 0;
  bool has_header_ = false;
  cbor::Cid root_;
  size_t blocks_ = 0;
  size_t unverifiable_ = 0;
  absl::Status status_;
};

}  // namespace penstock::car
