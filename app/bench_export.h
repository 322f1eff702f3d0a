#pragma once

// The stage of `penstock bench` that needs no recording: a whole repository, made here, is proven as it would be when it comes
// from a host.

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace penstock::app {

struct ExportBench {
  uint64_t records = 0, blocks = 0, bytes = 0;
  // Medians of rounds that take turns.
  double proving = 0;   // s: every hash, the whole tree, one signature, every record given out
  double shuffled = 0;  // s: the same with the archive's blocks in no order
  double hashing = 0;   // s: SHA-256 of the same blocks and keys, and nothing else
};

// One thread; rounds until `seconds` have passed, three at least. Errors: kUnavailable (temporary files), kInternal (it does
// not verify).
absl::StatusOr<ExportBench> RunExportBench(size_t records, double seconds);

}  // namespace penstock::app
