#pragma once

// The stages of `penstock bench`: what one thread does with a frame, and the primitive that it is measured against in the
// same run.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "identity/resolver.h"

namespace penstock::app {

// Frames in memory, back to back as they would leave a socket's buffers.
struct BenchInput {
  std::vector<uint8_t> storage;
  std::vector<Bytes> frames;  // views into storage
  identity::Resolver* identities = nullptr;  // for the stages that check signatures; answers from memory
  std::string source;                       // what the frames are called there
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

// By name: envelope, decode, cid, check, signature (check, and the signature with a cached key), full (and the inversion); and
// the primitives "blocks decoded alone", "hash alone", "copy alone", "full less signature", and "signatures alone" (the same
// signatures over the same digests with the same keys).
// Errors: kInvalidArgument for a name that is none of them, and for a signature stage without identities.
absl::StatusOr<StageResult> RunStage(const std::string& name, const BenchInput& input, double seconds);

// How the input looks: averages that say whether it is network-like. Keys are counted where identities are given.
struct InputShape {
  double bytes_per_frame = 0, blocks_per_commit = 0, ops_per_commit = 0;
  uint64_t commits = 0;
  uint64_t k256 = 0, p256 = 0;  // commits by the curve of their account's key
};
InputShape ShapeOf(const BenchInput& input);

}  // namespace penstock::app
