#pragma once

// A recorded stream into the same entrance that a live one uses.

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "pipeline/pipeline.h"

namespace penstock::pipeline {

struct FileFeed {
  std::filesystem::path path;
  std::string source;               // as firehose::FileSourceName gives it; added to the pipeline before Start
  const std::atomic<bool>* stop = nullptr;  // ends the reading early, if given
  std::function<void()> tick;       // called between frames, for progress; may be empty
};

// Reads frames and offers them to the pipeline's sink until the end, waiting while it is full. What the source's cursor covers
// is passed over. Errors: those of firehose::CaptureReader; an error frame or a cursor in the future that the recording
// holds is a matter of the connection that was recorded, and passed over.
absl::Status FeedFrames(const FileFeed& feed, Pipeline* pipeline, Counters* counters, const Logger& log);

}  // namespace penstock::pipeline
