#pragma once

// Recorded streams (docs/formats/frames-file.md). A `.frames` file is repeated (4-byte big-endian length, one
// WebSocket message), plain or compressed with zstd; a recording is a folder of numbered `.frames.zst`
// segments with their arrival times, made by SegmentWriter (firehose/segment_writer.h).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "firehose/file.h"
#include "firehose/frame_buffer.h"
#include "firehose/manifest.h"

namespace penstock::firehose {

class FrameFile;  // firehose/frame_file.h: one file of frames

// Frames one at a time, from a file or a recording; memory is that of a decompression window whatever the
// size. Not thread-safe.
class CaptureReader {
 public:
  // `path`: a file (zstd is told by its first bytes, not by its name) or a recording's folder. A recording is
  // read as it is now; it may be still growing. Errors: kNotFound, kInvalidArgument; kDataLoss when a segment
  // that its manifest lists is missing behind one that is there (older ones may have been taken away).
  static absl::StatusOr<std::unique_ptr<CaptureReader>> Open(const std::filesystem::path& path);
  ~CaptureReader();

  // Puts the next message into `*buffer` in place of what it holds, and its arrival time, if known. False at
  // the end.
  //
  // Errors stick: Reject kFrameTooLarge (a length above kMaxFrameBytes, found before memory is reserved);
  // kDataLoss for a file that ends inside a frame, or whose compression is broken, or that has not the number
  // of frames that its manifest says; kUnavailable. The text has the file and the uncompressed offset. Only
  // the last segment of a recording may end anywhere, as a crash leaves it: it gives all its whole frames.
  absl::StatusOr<bool> Next(FrameBuffer* buffer);

  // Messages given so far.
  uint64_t frames() const { return frames_; }

 private:
  struct Part {
    std::filesystem::path path;
    std::optional<uint64_t> frames;  // as the manifest says
    bool may_be_cut = false;
  };
  CaptureReader();
  absl::StatusOr<bool> Read(FrameBuffer* buffer);

  std::vector<Part> parts_;
  size_t next_part_ = 0;
  std::unique_ptr<FrameFile> file_;  // of parts_[next_part_ - 1]
  uint64_t frames_ = 0;
  absl::Status error_;  // the one that sticks
};

// Writes a plain `.frames` file. Not thread-safe.
class CaptureWriter {
 public:
  // Replaces what is at `path`.
  static absl::StatusOr<std::unique_ptr<CaptureWriter>> Create(const std::filesystem::path& path);

  // Rejects: kFrameTooLarge. Otherwise errors are kUnavailable; the file ends before the message then, or
  // inside it.
  absl::Status Append(Bytes message);
  // Writes out what is buffered and makes it durable. Without it the last messages may be missing.
  absl::Status Close();

 private:
  explicit CaptureWriter(File file) : file_(std::move(file)) {}
  absl::Status WriteOut();

  File file_;
  uint64_t written_ = 0;
  std::string buffer_;
};

// The name under which a recorded stream is a source of rows (docs/architecture.md 7): "file:" and the
// SHA-256, in hex, of the file's bytes as they are on the disk. Of a recording: of its frames in `.frames`
// form, so that it is that of the plain file with the same content.
absl::StatusOr<std::string> FileSourceName(const std::filesystem::path& path);

}  // namespace penstock::firehose
