#pragma once

// Records of one repository, put aside in key order and read again in that order, any number of times. Little stays in
// memory, much goes to a temporary file, in pages whose hashes are kept: what a disk has spoilt does not come back as if it
// were proven.
//
// Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/file_spill.h"
#include "cbor/cid.h"
#include "crypto/sha256.h"

namespace penstock::backfill {

struct SpilledRecord {
  std::string_view collection, rkey;
  cbor::CidView cid;
  Bytes block;        // empty if nobody wants it, or if `cid` is of a kind that cannot be hashed
  int32_t index = 0;  // of the key in its repository, from 0
};

class SpilledRecords {
 public:
  // Up to `memory_bytes` stay in memory; the file is made in `folder` when there is more.
  SpilledRecords(std::string folder, size_t memory_bytes) : spill_(std::move(folder), memory_bytes) {}

  // Forgets all records. Errors: those of Spill::Clear.
  absl::Status Clear(uint64_t max_bytes);

  // Errors: those of Spill. Rejects: kCarTooLarge: more than `max_bytes`; many keys may have one and the same block, so an
  // archive can be much smaller than its records.
  absl::Status Add(const SpilledRecord& record);
  // After the last Add.
  absl::Status End();

  // Begins at the first record. After End().
  void Rewind();
  // The next one; false after the last. The views are good until the next call of any kind. Errors: those of Spill; kDataLoss
  // if the bytes are not those that were put aside.
  absl::StatusOr<bool> Next(SpilledRecord* record);

  uint64_t count() const { return count_; }
  uint64_t bytes() const { return spill_.bytes() + page_.size(); }

 private:
  struct Page {
    uint32_t size = 0;
    crypto::Sha256Digest digest;
  };

  FileSpill spill_;
  uint64_t max_bytes_ = 0;
  uint64_t count_ = 0;
  std::vector<Page> pages_;
  std::string page_;  // the one that is being filled, or read

  size_t next_page_ = 0;
  uint64_t next_offset_ = 0;  // of that page
  size_t at_ = 0;             // in page_
};

}  // namespace penstock::backfill
