#pragma once

// One file of frames, plain or zstd, read from its start to its end: what CaptureReader and the recovery of a
// recording share. Not thread-safe.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "firehose/file.h"
#include "firehose/frame_buffer.h"

struct ZSTD_DCtx_s;

namespace penstock::firehose {

// A file's bytes, uncompressed if it is zstd.
class ByteStream {
 public:
  static absl::StatusOr<std::unique_ptr<ByteStream>> Open(const std::filesystem::path& path);
  ~ByteStream();

  // Reads on; fewer bytes than there is room for only at the end. The end may be one before its time, cut()
  // or broken(): everything before it has been given then.
  absl::StatusOr<size_t> Read(std::span<uint8_t> room);

  const std::string& name() const { return file_.name(); }
  bool compressed() const { return context_ != nullptr; }
  // The file ended inside a zstd frame.
  bool cut() const { return cut_; }
  // Why its compression cannot be read on; empty if it can.
  const std::string& broken() const { return broken_; }
  // The end of the last zstd frame that was read whole, its checksum good: in the file, and in what it holds.
  uint64_t whole_stored() const { return whole_stored_; }
  uint64_t whole_bytes() const { return whole_bytes_; }

 private:
  explicit ByteStream(File file);
  absl::Status FillInput();
  absl::Status FillOutput();

  File file_;
  ZSTD_DCtx_s* context_ = nullptr;  // null for a plain file
  std::vector<uint8_t> input_;      // as on the disk
  size_t input_at_ = 0, input_end_ = 0;
  uint64_t input_start_ = 0;     // the offset of input_ in the file
  std::vector<uint8_t> output_;  // uncompressed
  size_t output_at_ = 0, output_end_ = 0;
  uint64_t output_total_ = 0;
  uint64_t whole_stored_ = 0, whole_bytes_ = 0;
  bool inside_frame_ = false;  // of zstd
  bool file_ended_ = false;
  bool ended_ = false;  // nothing more comes out of zstd
  bool cut_ = false;
  std::string broken_;
};

class FrameFile {
 public:
  // With `times` (int64 little endian, microseconds, one a frame) the buffers get their arrival time, as far
  // as it goes.
  static absl::StatusOr<std::unique_ptr<FrameFile>> Open(const std::filesystem::path& path,
                                                         const std::filesystem::path& times);

  // The next message in place of what `*buffer` holds; false at the end, which may be that of a cut or broken
  // file: see EndStatus(). Errors: Reject kFrameTooLarge; kUnavailable.
  absl::StatusOr<bool> Next(FrameBuffer* buffer);

  // OK, or where and why the file ended before its time (kDataLoss).
  absl::Status EndStatus() const;

  uint64_t frames() const { return frames_; }
  uint64_t offset() const { return offset_; }  // of the next frame, uncompressed
  const ByteStream& stream() const { return *stream_; }

 private:
  std::unique_ptr<ByteStream> stream_;
  File times_;
  std::vector<uint8_t> times_buffer_;
  size_t times_at_ = 0, times_end_ = 0;
  uint64_t frames_ = 0;
  uint64_t offset_ = 0;
  std::string unfinished_;  // what the file ended in the middle of
};

}  // namespace penstock::firehose
