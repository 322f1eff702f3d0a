#include "firehose/capture.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/encoding.h"
#include "base/status.h"
#include "crypto/sha256.h"
#include "firehose/frame_file.h"

namespace penstock::firehose {
namespace {

constexpr size_t kWriteBytes = 256 * 1024;

void AppendLength(size_t size, std::string* out) {
  for (int shift = 24; shift >= 0; shift -= 8) out->push_back(static_cast<char>(size >> shift & 0xff));
}

// "x.frames" and "x.frames.zst" may have their times beside them, in "x.times".
std::filesystem::path TimesOf(const std::filesystem::path& path) {
  std::filesystem::path times = path;
  if (times.extension() == ".zst") times.replace_extension();
  return times.replace_extension(".times");
}

}  // namespace

CaptureReader::CaptureReader() = default;
CaptureReader::~CaptureReader() = default;

absl::StatusOr<std::unique_ptr<CaptureReader>> CaptureReader::Open(const std::filesystem::path& path) {
  std::unique_ptr<CaptureReader> reader(new CaptureReader());
  std::error_code error;
  if (!std::filesystem::is_directory(path, error)) {
    reader->parts_.push_back(Part{path, std::nullopt, false});
    ASSIGN_OR_RETURN(reader->file_,
                     FrameFile::Open(path, TimesOf(path)));  // so that a wrong name is found here
    reader->next_part_ = 1;
    return reader;
  }
  // The manifest first: a segment that is finished in between is then taken for the growing one, which is no
  // harm.
  absl::StatusOr<Manifest> manifest = ReadManifest(path);
  if (!manifest.ok()) {
    if (absl::IsNotFound(manifest.status()))
      return InvalidInputError(path.string() + " is no recording: no manifest.json");
    return manifest.status();
  }
  ASSIGN_OR_RETURN(const std::vector<uint64_t> numbers, ListSegments(path));
  for (const SegmentInfo& segment : manifest->segments) {
    const bool there = std::binary_search(numbers.begin(), numbers.end(), segment.number);
    if (!there && !numbers.empty() && numbers.front() < segment.number) {
      return DataLossError(path.string() + ": segment " + SegmentFileName(segment.number) + " is missing");
    }
  }
  auto listed = manifest->segments.begin();
  for (const uint64_t number : numbers) {
    while (listed != manifest->segments.end() && listed->number < number) ++listed;
    Part part{path / SegmentFileName(number), std::nullopt, number == numbers.back()};
    if (listed != manifest->segments.end() && listed->number == number) {
      part.frames = listed->frames;
      part.may_be_cut = false;
    }
    reader->parts_.push_back(std::move(part));
  }
  return reader;
}

absl::StatusOr<bool> CaptureReader::Next(FrameBuffer* buffer) {
  if (!error_.ok()) return error_;
  absl::StatusOr<bool> more = Read(buffer);
  if (!more.ok()) error_ = more.status();
  return more;
}

absl::StatusOr<bool> CaptureReader::Read(FrameBuffer* buffer) {
  for (;;) {
    if (file_ != nullptr) {
      ASSIGN_OR_RETURN(const bool more, file_->Next(buffer));
      if (more) {
        ++frames_;
        return true;
      }
      const Part& part = parts_[next_part_ - 1];
      if (!part.may_be_cut) RETURN_IF_ERROR(file_->EndStatus());
      if (part.frames && *part.frames != file_->frames()) {
        return DataLossError(part.path.string() + ": holds " + std::to_string(file_->frames()) +
                             " frames, its manifest says " + std::to_string(*part.frames));
      }
      file_.reset();
    }
    if (next_part_ == parts_.size()) return false;
    const Part& part = parts_[next_part_++];
    ASSIGN_OR_RETURN(file_, FrameFile::Open(part.path, TimesOf(part.path)));
  }
}

absl::StatusOr<std::unique_ptr<CaptureWriter>> CaptureWriter::Create(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(File file, File::OpenToWrite(path));
  RETURN_IF_ERROR(file.Truncate(0));
  return std::unique_ptr<CaptureWriter>(new CaptureWriter(std::move(file)));
}

absl::Status CaptureWriter::Append(Bytes message) {
  if (message.size() > kMaxFrameBytes) {
    return RejectError(Reject::kFrameTooLarge, std::to_string(message.size()) + " bytes");
  }
  if (buffer_.size() >= kWriteBytes) RETURN_IF_ERROR(WriteOut());
  AppendLength(message.size(), &buffer_);
  buffer_ += AsText(message);
  return absl::OkStatus();
}

absl::Status CaptureWriter::WriteOut() {
  RETURN_IF_ERROR(file_.WriteAt(written_, AsBytes(buffer_)));
  written_ += buffer_.size();
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status CaptureWriter::Close() {
  RETURN_IF_ERROR(WriteOut());
  return file_.Sync();
}

absl::StatusOr<std::string> FileSourceName(const std::filesystem::path& path) {
  crypto::Sha256Stream hash;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    ASSIGN_OR_RETURN(const std::unique_ptr<CaptureReader> reader, CaptureReader::Open(path));
    FrameBuffer buffer;
    std::string prefix;
    for (;;) {
      ASSIGN_OR_RETURN(const bool more, reader->Next(&buffer));
      if (!more) break;
      prefix.clear();
      AppendLength(buffer.size(), &prefix);
      hash.Update(AsBytes(prefix));
      hash.Update(buffer.bytes());
    }
  } else {
    ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
    std::vector<uint8_t> piece(kWriteBytes);
    for (;;) {
      ASSIGN_OR_RETURN(const size_t got, file.Read(piece));
      if (got == 0) break;
      hash.Update(Bytes(piece).first(got));
    }
  }
  const crypto::Sha256Digest digest = hash.Finish();
  return "file:" + ToHex(digest);
}

}  // namespace penstock::firehose
