#pragma once

// The stages of `penstock bench`: what one thread does with a frame, and the primitive that it is measured against in the
// same run.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace penstock::app {

// Frames in memory, back to back as they would leave a socket's buffers.
struct BenchInput {
  std::vector<uint8_t> storage;
  std::vector<Bytes> frames;  // views into storage
  uint64_t bytes() const { return storage.size(); }
};

struct StageResult {
  std::string name;         // "envelope", or a primitive: "hash alone"
  double frames_per_s = 0;  // median of the rounds
  double bytes_per_s = 0;
  double seconds_per_frame = 0;
  double allocations_per_frame = 0;  // in the last round: steady state
  uint64_t refused = 0;              // frames that the stage refuses (a capture may hold some)
};

// Runs `body` over all frames in rounds until `seconds` have passed (at least three rounds) and takes the median.
// `body` returns false for a frame that it refuses.
StageResult Measure(const std::string& name, const BenchInput& input, double seconds,
                    const std::function<bool(Bytes frame)>& body);

// By name: envelope, decode, cid, check; and the primitives "blocks decoded alone", "hash alone", "copy alone".
// Errors: kInvalidArgument for a name that is none of them.
absl::StatusOr<StageResult> RunStage(const std::string& name, const BenchInput& input, double seconds);

// How the input looks: averages that say whether it is network-like.
struct InputShape {
  double bytes_per_frame = 0, blocks_per_commit = 0, ops_per_commit = 0;
  uint64_t commits = 0;
};
InputShape ShapeOf(const BenchInput& input);

}  // namespace penstock::app
