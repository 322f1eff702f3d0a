#pragma once

// Bytes that are put away and fetched again: what does not fit into memory. Append-only, read at any place.
// The code that decides what to put away is pure and works on this; where the bytes go is another matter
// (base/file_spill.h).

#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace penstock {

class Spill {
 public:
  virtual ~Spill() = default;

  // Puts `a` and then `b` at the end, in one piece; returns where `a` begins. Bounding the total is the
  // caller's business. Errors: kUnavailable (no room, no file, a failed write): worth a retry later.
  virtual absl::StatusOr<uint64_t> Append(Bytes a, Bytes b) = 0;

  // Fills `out` with the `size` bytes at `offset`, which must lie within one piece that was appended.
  // Errors: kUnavailable (a failed read), kDataLoss (the bytes are gone).
  virtual absl::Status Read(uint64_t offset, uint8_t* out, size_t size) = 0;

  // Forgets everything, and gives back the room.
  virtual absl::Status Clear() = 0;

  // Of what is put away now.
  virtual uint64_t bytes() const = 0;
};

}  // namespace penstock
