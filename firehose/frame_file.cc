#include "firehose/frame_file.h"

#include <zstd.h>

#include <algorithm>
#include <cstring>

#include "base/status.h"

namespace penstock::firehose {
namespace {

constexpr size_t kBufferBytes = 128 * 1024;  // of zstd's largest block
constexpr size_t kLengthBytes = 4;
constexpr size_t kTimeBytes = 8;
// A declared length is believed in steps of this size: a short file that promises 5 MB does not get them.
constexpr size_t kStepBytes = 64 * 1024;

// Of a zstd frame, and of the skippable frames that may stand before one. As a frame's length each is above
// kMaxFrameBytes, so no `.frames` file starts like this.
bool LooksLikeZstd(Bytes start) {
  if (start.size() < 4) return false;
  const uint32_t magic = static_cast<uint32_t>(start[0]) | static_cast<uint32_t>(start[1]) << 8 |
                         static_cast<uint32_t>(start[2]) << 16 | static_cast<uint32_t>(start[3]) << 24;
  return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

}  // namespace

ByteStream::ByteStream(File file) : file_(std::move(file)), input_(kBufferBytes) {}
ByteStream::~ByteStream() { ZSTD_freeDCtx(context_); }

absl::StatusOr<std::unique_ptr<ByteStream>> ByteStream::Open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
  std::unique_ptr<ByteStream> stream(new ByteStream(std::move(file)));
  RETURN_IF_ERROR(stream->FillInput());
  if (LooksLikeZstd(Bytes(stream->input_).first(stream->input_end_))) {
    stream->context_ = ZSTD_createDCtx();
    if (stream->context_ == nullptr) return UnavailableError("no memory for zstd");
    stream->output_.resize(kBufferBytes);
  }
  return stream;
}

absl::Status ByteStream::FillInput() {
  input_start_ += input_end_;
  input_at_ = input_end_ = 0;
  ASSIGN_OR_RETURN(input_end_, file_.Read(input_));
  if (input_end_ == 0) file_ended_ = true;
  return absl::OkStatus();
}

// Decompresses until there is something, or nothing more comes.
absl::Status ByteStream::FillOutput() {
  output_at_ = output_end_ = 0;
  while (output_end_ == 0 && !ended_) {
    if (input_at_ == input_end_ && !file_ended_) RETURN_IF_ERROR(FillInput());
    const bool no_input = input_at_ == input_end_;
    if (no_input && !inside_frame_) {
      ended_ = true;
      break;
    }
    ZSTD_inBuffer in{input_.data(), input_end_, input_at_};
    ZSTD_outBuffer out{output_.data(), output_.size(), 0};
    const size_t left = ZSTD_decompressStream(context_, &out, &in);
    if (ZSTD_isError(left)) {
      broken_ =
          std::string(ZSTD_getErrorName(left)) + " near byte " + std::to_string(input_start_ + input_at_);
      ended_ = true;
      break;
    }
    input_at_ = in.pos;
    output_end_ = out.pos;
    output_total_ += out.pos;
    inside_frame_ = left != 0;
    if (!inside_frame_) {
      whole_stored_ = input_start_ + input_at_;
      whole_bytes_ = output_total_;
    } else if (no_input && out.pos == 0) {
      cut_ = ended_ = true;  // what zstd still held is out, and it wants more
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<size_t> ByteStream::Read(std::span<uint8_t> room) {
  const bool plain = context_ == nullptr;
  std::vector<uint8_t>& from = plain ? input_ : output_;
  size_t& at = plain ? input_at_ : output_at_;
  size_t& end = plain ? input_end_ : output_end_;
  size_t got = 0;
  while (got < room.size()) {
    if (at == end) {
      if (plain ? file_ended_ : ended_) break;
      RETURN_IF_ERROR(plain ? FillInput() : FillOutput());
      if (at == end) break;
    }
    const size_t n = std::min(room.size() - got, end - at);
    std::memcpy(room.data() + got, from.data() + at, n);
    at += n;
    got += n;
  }
  return got;
}

absl::StatusOr<std::unique_ptr<FrameFile>> FrameFile::Open(const std::filesystem::path& path,
                                                           const std::filesystem::path& times) {
  auto file = std::make_unique<FrameFile>();
  ASSIGN_OR_RETURN(file->stream_, ByteStream::Open(path));
  if (!times.empty()) {
    absl::StatusOr<File> opened = File::OpenToRead(times);
    if (opened.ok()) {
      file->times_ = *std::move(opened);
      file->times_buffer_.resize(kTimeBytes * 1024);
    } else if (!absl::IsNotFound(opened.status())) {
      return opened.status();
    }
  }
  return file;
}

absl::StatusOr<bool> FrameFile::Next(FrameBuffer* buffer) {
  buffer->Clear();
  buffer->arrival_us = 0;
  uint8_t prefix[kLengthBytes];
  ASSIGN_OR_RETURN(const size_t prefix_got, stream_->Read(prefix));
  if (prefix_got < kLengthBytes) {
    if (prefix_got > 0) unfinished_ = "the length of frame " + std::to_string(frames_);
    return false;
  }
  const size_t size = static_cast<size_t>(prefix[0]) << 24 | static_cast<size_t>(prefix[1]) << 16 |
                      static_cast<size_t>(prefix[2]) << 8 | static_cast<size_t>(prefix[3]);
  if (size > kMaxFrameBytes) {
    return RejectError(Reject::kFrameTooLarge, stream_->name() + ": frame " + std::to_string(frames_) +
                                                   " at byte " + std::to_string(offset_) + " declares " +
                                                   std::to_string(size) + " bytes");
  }
  while (buffer->size() < size) {
    const size_t step = std::min(size - buffer->size(), std::max(kStepBytes, buffer->size()));
    ASSIGN_OR_RETURN(const size_t got, stream_->Read(buffer->Prepare(step).first(step)));
    buffer->Commit(got);
    if (got < step) {
      unfinished_ = "frame " + std::to_string(frames_) + " of " + std::to_string(size) + " bytes, of which " +
                    std::to_string(buffer->size()) + " are there";
      buffer->Clear();
      return false;
    }
  }
  if (times_.is_open()) {
    if (times_at_ == times_end_) {
      times_at_ = 0;
      ASSIGN_OR_RETURN(times_end_, times_.Read(times_buffer_));
      times_end_ -= times_end_ % kTimeBytes;
    }
    if (times_at_ == times_end_) {
      times_.Close();
    } else {
      uint64_t time = 0;
      for (size_t i = kTimeBytes; i-- > 0;) time = time << 8 | times_buffer_[times_at_ + i];
      buffer->arrival_us = static_cast<int64_t>(time);
      times_at_ += kTimeBytes;
    }
  }
  ++frames_;
  offset_ += kLengthBytes + size;
  return true;
}

absl::Status FrameFile::EndStatus() const {
  std::string why;
  if (!stream_->broken().empty()) {
    why = "zstd: " + stream_->broken();
  } else if (!unfinished_.empty()) {
    why = "in " + unfinished_;
  } else if (stream_->cut()) {
    why = "in a zstd frame";
  } else {
    return absl::OkStatus();
  }
  return DataLossError(stream_->name() + ": ends before its time, after " + std::to_string(frames_) +
                       " whole frames, at byte " + std::to_string(offset_) + ", " + why);
}

}  // namespace penstock::firehose
