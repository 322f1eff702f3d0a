#pragma once

// Records a stream into a folder (docs/formats/frames-file.md): `NNNNNN.frames.zst` segments, each with
// `NNNNNN.times`, and `manifest.json`. Made for a process that may be killed at any instruction:
//
// - Messages are collected into chunks. A chunk is one zstd frame with a checksum, of whole messages only:
//   what is on the disk of it is whole, or it is known not to be.
// - Times are made durable before the chunk they belong to, the manifest when a segment is finished. Open()
//   takes off what is more than whole chunks, so times and frames agree.
// - cursor() is the last seq in a whole chunk. Who subscribes again from there gets each event once.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "firehose/file.h"
#include "firehose/manifest.h"

struct ZSTD_CCtx_s;

namespace penstock::firehose {

struct SegmentOptions {
  // A segment is finished before it would hold more than this (uncompressed bytes), …
  uint64_t segment_bytes = 256 * 1024 * 1024;
  // … or when its first frame is this old (microseconds).
  int64_t segment_age_us = 3'600'000'000;
  // A chunk is written before it would hold more than this (uncompressed bytes). Larger ones compress better.
  size_t chunk_bytes = 1024 * 1024;
  // … or when its first frame is this old (microseconds): the most that a crash can lose.
  int64_t chunk_age_us = 1'000'000;
  int zstd_level = 3;
};

// Not thread-safe. Destroyed without Close() it leaves what a crash would: everything up to cursor().
class SegmentWriter {
 public:
  // Begins a recording in `folder` (made if absent), or goes on with the one in it. `host` is the stream's.
  // Errors: kFailedPrecondition (it records another host, another process writes it, or its version is a
  // later one); kInvalidArgument (the options, the folder); kDataLoss (its manifest or a segment is not what
  // this class writes); kUnavailable.
  static absl::StatusOr<std::unique_ptr<SegmentWriter>> Open(const std::filesystem::path& folder,
                                                             std::string_view host,
                                                             const SegmentOptions& options);
  ~SegmentWriter();

  // Takes one message; `seq` as decoded, if it has one. The clock is `arrival_us` (microseconds since the
  // epoch). Rejects: kFrameTooLarge. kUnavailable: the disk does not take what came before; this message was
  // not taken, and the same call may be tried again.
  absl::Status Append(Bytes message, std::optional<int64_t> seq, int64_t arrival_us);

  // For when the stream is quiet: writes the chunk and finishes the segment if they are old enough. May be
  // tried again.
  absl::Status Tick(int64_t now_us);

  // Makes everything taken so far durable. May be tried again.
  absl::Status Flush();
  // Flushes, lists the segment in the manifest and lets go of the folder; the writer is of no more use then.
  absl::Status Close();

  // The last seq that is durable, of this run or of those before: where to subscribe from. Nullopt if there
  // is none.
  std::optional<int64_t> cursor() const { return cursor_; }
  // Durable, of all segments.
  uint64_t frames() const { return finished_frames_ + segment_.frames; }
  const Manifest& manifest() const { return manifest_; }

 private:
  SegmentWriter(std::filesystem::path folder, const SegmentOptions& options);

  absl::Status Recover(uint64_t number);
  absl::Status RecoverTimes();
  absl::Status StartSegment();
  absl::Status FinishSegment();
  absl::Status RotateIfDue(int64_t now_us, size_t more_bytes);

  // Frames of one chunk that is not durable yet.
  struct Chunk {
    std::string frames;  // as in a `.frames` file
    std::string times;
    uint64_t count = 0;
    std::optional<int64_t> first_seq, last_seq;
    int64_t first_arrival_us = 0, last_arrival_us = 0;
  };

  const std::filesystem::path folder_;
  const SegmentOptions options_;
  File lock_;  // the folder
  Manifest manifest_;
  std::optional<int64_t> cursor_;
  uint64_t finished_frames_ = 0;

  SegmentInfo segment_;  // what is durable of the segment that is being written; number 0: there is none yet
  File data_, times_;
  bool finishing_ = false;
  Chunk chunk_;
  ZSTD_CCtx_s* context_ = nullptr;
  std::vector<uint8_t> compressed_;
};

}  // namespace penstock::firehose
