#include "firehose/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "base/status.h"

namespace penstock::firehose {
namespace {

std::string ErrnoText(int error) { return std::generic_category().message(error); }

}  // namespace

File& File::operator=(File&& other) noexcept {
  if (this == &other) return *this;
  Close();
  descriptor_ = std::exchange(other.descriptor_, -1);
  name_ = std::move(other.name_);
  return *this;
}

absl::StatusOr<File> File::Open(const std::filesystem::path& path, int flags) {
  File file;
  file.name_ = path.string();
  do {
    file.descriptor_ = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  } while (file.descriptor_ < 0 && errno == EINTR);
  if (file.descriptor_ >= 0) return file;
  const int error = errno;
  const std::string what = "cannot open " + file.name_ + ": " + ErrnoText(error);
  switch (error) {
    case ENOENT:
      return NotFoundError(what);
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EMFILE:
    case ENFILE:
      return UnavailableError(what);
    default:
      return InvalidInputError(what);
  }
}

absl::StatusOr<File> File::OpenToRead(const std::filesystem::path& path) { return Open(path, O_RDONLY); }
absl::StatusOr<File> File::OpenToWrite(const std::filesystem::path& path) {
  return Open(path, O_RDWR | O_CREAT);
}
absl::StatusOr<File> File::OpenFolder(const std::filesystem::path& path) {
  return Open(path, O_RDONLY | O_DIRECTORY);
}

absl::Status File::Failure(std::string_view what) const {
  return UnavailableError(std::string(what) + " " + name_ + ": " + ErrnoText(errno));
}

absl::StatusOr<size_t> File::Read(std::span<uint8_t> room) {
  size_t got = 0;
  while (got < room.size()) {
    const ssize_t n = ::read(descriptor_, room.data() + got, room.size() - got);
    if (n == 0) break;
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failure("cannot read");
    }
    got += static_cast<size_t>(n);
  }
  return got;
}

absl::StatusOr<size_t> File::ReadAt(uint64_t offset, std::span<uint8_t> room) {
  if (::lseek(descriptor_, static_cast<off_t>(offset), SEEK_SET) < 0) return Failure("cannot seek in");
  return Read(room);
}

absl::Status File::WriteAt(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      return Failure("cannot write");
    }
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> File::Size() const {
  struct stat info;
  if (::fstat(descriptor_, &info) != 0) return Failure("cannot stat");
  return static_cast<uint64_t>(info.st_size);
}

absl::Status File::Truncate(uint64_t size) {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0) return Failure("cannot truncate");
  return absl::OkStatus();
}

absl::Status File::Sync() {
  if (::fsync(descriptor_) != 0) return Failure("cannot sync");
  return absl::OkStatus();
}

bool File::TryLock() { return ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0; }

void File::Close() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

absl::Status ReplaceFile(const std::filesystem::path& path, std::string_view contents) {
  std::filesystem::path temporary = path;
  temporary += ".tmp";
  ASSIGN_OR_RETURN(File file, File::OpenToWrite(temporary));
  RETURN_IF_ERROR(file.Truncate(0));  // a crash may have left a longer one
  RETURN_IF_ERROR(file.WriteAt(0, AsBytes(contents)));
  RETURN_IF_ERROR(file.Sync());
  ASSIGN_OR_RETURN(File folder, File::OpenFolder(path.has_parent_path() ? path.parent_path() : "."));
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) return UnavailableError("cannot rename " + temporary.string() + ": " + error.message());
  return folder.Sync();
}

absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path, size_t max_bytes) {
  ASSIGN_OR_RETURN(File file, File::OpenToRead(path));
  ASSIGN_OR_RETURN(const uint64_t size, file.Size());
  if (size > max_bytes) {
    return InvalidInputError(file.name() + " has " + std::to_string(size) + " bytes, at most " +
                             std::to_string(max_bytes) + " are read");
  }
  std::string contents(static_cast<size_t>(size), '\0');
  ASSIGN_OR_RETURN(const size_t got,
                   file.Read(std::span(reinterpret_cast<uint8_t*>(contents.data()), contents.size())));
  contents.resize(got);
  return contents;
}

}  // namespace penstock::firehose
