#pragma once

// Recorded streams into the same entrance that live ones use.

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "pipeline/pipeline.h"

namespace penstock::pipeline {

struct FileFeed {
  std::filesystem::path path;
  std::string source;  // as firehose::FileSourceName gives it; added to the pipeline before Start
};

struct FeedOptions {
  const std::atomic<bool>* stop = nullptr;  // ends the reading early, if given
  std::function<void()> tick;               // called between frames, for progress; may be empty
};

// Reads frames and offers them to the pipeline's sink until the end of every file, waiting while it is full. What a source's
// cursor covers is passed over.
//
// Several files are read side by side: next comes the frame with the earliest time (of arrival where it was recorded, else what
// the frame says of itself), so that an account that moved from one host to another is met in the order in which it happened.
// Within a file the order is the file's, whatever the times say.
//
// Errors: those of firehose::CaptureReader; an error frame or a cursor in the future that the recording holds is a matter of the
// connection that was recorded, and passed over.
absl::Status FeedFrames(const std::vector<FileFeed>& feeds, const FeedOptions& options, Pipeline* pipeline, Counters* counters,
                        const Logger& log);

}  // namespace penstock::pipeline
