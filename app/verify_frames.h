#pragma once

// What recorded frames prove: the whole pipeline at level `full`, with a tally where the store would be.

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "app/verify_report.h"
#include "pipeline/options.h"
#include "pipeline/output.h"

namespace penstock::app {

// Counts what passed and what did not, with the first examples of each reason. Used by the writer's thread,
// read after it has ended.
class FramesTally final : public pipeline::Output {
 public:
  static constexpr size_t kExamples = 3;

  struct Example {
    int64_t seq = 0;
    std::string did, path, detail;
  };
  struct Group {
    uint64_t count = 0;
    std::vector<Example> examples;
  };
  using Groups = std::map<std::string, Group, std::less<>>;  // by the Reject's name

  absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) override;

  uint64_t refused() const { return refused_events_ + refused_records_ + refused_frames_; }
  // Steps: accepted, refused, chain.
  void Tell(VerifyReport* report) const;

 private:
  void Count(const indexer::ChangeSet& change);

  std::array<uint64_t, 5> accepted_{};  // events, by indexer::EventKind
  std::array<uint64_t, 5> records_{};   // by repo::Verification
  uint64_t ignored_ = 0;
  uint64_t refused_events_ = 0, refused_records_ = 0, refused_frames_ = 0;
  Groups refusals_, breaks_;
};

struct FramesQuestion {
  std::filesystem::path file;
  std::string source;                 // firehose::FileSourceName of the file
  pipeline::PipelineOptions options;  // at level full, without a state store
  int64_t wait_us = 0;                // how long to wait at the end for whoever is still asked about accounts
  const std::atomic<bool>* stop = nullptr;
};

// Steps: frames, accepted, refused, chain, judged. Errors: the file cannot be read to its end.
absl::Status VerifyFrames(const FramesQuestion& question, VerifyReport* report);

}  // namespace penstock::app
