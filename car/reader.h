#pragma once

// CAR v1 over bytes in memory (protocol section 5; dasl.ing/car): `varint(len) header`, then sections
// `varint(len) CID data`. Structure only: whether a block hashes to its CID is car/block_index.h's business.
// Allocates nothing; not thread-safe.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "cbor/cid.h"

namespace penstock::car {

// Views of one section; live as long as the CAR's bytes.
struct Block {
  cbor::CidView cid;
  Bytes data;
};

// The header's map. `*root` gets a view of the first root. Rejects: kCarBadHeader (not a strict DRISL map with
// `version` and `roots`; unknown keys are ignored), kCarBadVersion, kCarNoRoots.
absl::Status DecodeHeader(Bytes header ABSL_ATTRIBUTE_LIFETIME_BOUND, cbor::CidView* root, uint64_t* root_count);

class Reader {
 public:
  // Keeps a view of `car`.
  explicit Reader(Bytes car ABSL_ATTRIBUTE_LIFETIME_BOUND) : car_(car) {}

  // Reads the header; call once, first. Rejects: kCarTruncated, kCarBadVarint, those of DecodeHeader.
  [[nodiscard]] absl::Status ReadHeader();

  // The first root: the commit, in a repository's CAR. Further roots have no meaning here; root_count() tells
  // of them.
  const cbor::CidView& root() const { return root_; }
  uint64_t root_count() const { return root_count_; }

  // The next section. False at the end and on an error: look at status(). Rejects: kCarTruncated,
  // kCarBadVarint, kCarZeroLengthSection, kCarBadCid.
  [[nodiscard]] bool Next(Block* block);
  const absl::Status& status() const { return status_; }

  // Bytes consumed so far; after a failure, where the refused section starts.
  size_t offset() const { return at_; }

 private:
  // A varint that does not exceed the bytes that remain after it.
  [[nodiscard]] bool ReadLength(uint64_t* length);
  // Sets the sticky error and goes back to `start`. Always false.
  bool Fail(size_t start, Reject reject, std::string_view what = {});

  Bytes car_;
  size_t at_ = 0;
  cbor::CidView root_;
  uint64_t root_count_ = 0;
  absl::Status status_;
};

}  // namespace penstock::car
