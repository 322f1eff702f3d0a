#include "base/file_spill.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/status.h"

namespace penstock {
namespace {

absl::Status SystemError(const std::string& what, int code) {
  return UnavailableError("temporary file: " + what + ": " + std::strerror(code));
}

}  // namespace

std::string DefaultSpillDirectory() {
  const char* const named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/var/tmp";
}

FileSpill::FileSpill(std::string directory, size_t buffer)
    : directory_(std::move(directory)), capacity_(buffer) {}

FileSpill::~FileSpill() {
  if (file_ >= 0) close(file_);
}

absl::Status FileSpill::Open() {
  if (file_ >= 0) return absl::OkStatus();
  file_ = open(directory_.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file_ >= 0) return absl::OkStatus();
  // Some file systems (overlayfs of old, NFS) have no files without a name.
  if (errno != EOPNOTSUPP && errno != EISDIR) return SystemError(directory_, errno);
  std::string name = directory_ + "/penstock-spill-XXXXXX";
  file_ = mkostemp(name.data(), O_CLOEXEC);
  if (file_ < 0) return SystemError(directory_, errno);
  unlink(name.c_str());
  return absl::OkStatus();
}

absl::Status FileSpill::Write(Bytes bytes) {
  RETURN_IF_ERROR(Open());
  // `written_` moves only when all of it is there: after a failure the same place is written again.
  uint64_t at = written_;
  while (!bytes.empty()) {
    const ssize_t count = pwrite(file_, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("write", errno);
    bytes = bytes.subspan(static_cast<size_t>(count));
    at += static_cast<uint64_t>(count);
  }
  written_ = at;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> FileSpill::Append(Bytes a, Bytes b) {
  const size_t size = a.size() + b.size();
  // A piece is never cut in two: it is all in the buffer or all in the file.
  if (size > capacity_ - buffer_.size()) {
    RETURN_IF_ERROR(Write(buffer_));
    buffer_.clear();
  }
  const uint64_t offset = bytes();
  if (size > capacity_) {
    std::vector<uint8_t> whole(a.begin(), a.end());
    whole.insert(whole.end(), b.begin(), b.end());
    RETURN_IF_ERROR(Write(whole));
    return offset;
  }
  buffer_.insert(buffer_.end(), a.begin(), a.end());
  buffer_.insert(buffer_.end(), b.begin(), b.end());
  return offset;
}

absl::Status FileSpill::Read(uint64_t offset, uint8_t* out, size_t size) {
  if (offset > bytes() || size > bytes() - offset) return DataLossError("temporary file: read beyond its end");
  if (size == 0) return absl::OkStatus();
  if (offset >= written_) {
    std::memcpy(out, buffer_.data() + (offset - written_), size);
    return absl::OkStatus();
  }
  while (size != 0) {
    const ssize_t count = pread(file_, out, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("read", errno);
    if (count == 0) return DataLossError("temporary file: shorter than what was written");
    out += count;
    size -= static_cast<size_t>(count);
    offset += static_cast<uint64_t>(count);
  }
  return absl::OkStatus();
}

absl::Status FileSpill::Clear() {
  buffer_.clear();
  if (written_ != 0 && ftruncate(file_, 0) != 0) return SystemError("truncate", errno);
  written_ = 0;
  return absl::OkStatus();
}

}  // namespace penstock
