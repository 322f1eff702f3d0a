#pragma once

// `manifest.json` of a recording (docs/formats/frames-file.md): whose stream it is and what its finished
// segments hold. The segment that is being written is not in it: what that one holds is found by reading it.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace penstock::firehose {

struct SegmentInfo {
  uint64_t number = 0;
  uint64_t frames = 0;
  uint64_t bytes = 0;                    // uncompressed, length prefixes included
  uint64_t stored_bytes = 0;             // of the compressed file
  std::optional<int64_t> cursor_before;  // the last seq before its first frame
  std::optional<int64_t> first_seq;      // nullopt: no frame in it has a seq
  std::optional<int64_t> last_seq;
  int64_t first_arrival_us = 0;  // microseconds since the epoch; 0 if not known
  int64_t last_arrival_us = 0;
};

struct Manifest {
  static constexpr int64_t kVersion = 1;

  std::string host;  // the stream's; seqs of different hosts must not meet in one recording (protocol 1.5)
  std::vector<SegmentInfo> segments;  // finished ones, by number
};

// "000001.frames.zst", "000001.times".
std::string SegmentFileName(uint64_t number);
std::string TimesFileName(uint64_t number);
// The numbers of the segments whose files are in `folder`, ascending.
absl::StatusOr<std::vector<uint64_t>> ListSegments(const std::filesystem::path& folder);

// Errors: kNotFound, kDataLoss (it does not say what it must), kFailedPrecondition (of a later version).
absl::StatusOr<Manifest> ReadManifest(const std::filesystem::path& folder);
// Atomic and durable.
absl::Status WriteManifest(const std::filesystem::path& folder, const Manifest& manifest);

}  // namespace penstock::firehose
