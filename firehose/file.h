#pragma once

// Files for captures: an open descriptor with errors as values, and the few steps that make a change survive
// a crash. Errors: kNotFound (no such file), kInvalidArgument (it cannot be opened as asked), kUnavailable
// (the disk is full or fails: what was asked may be tried again).

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace penstock::firehose {

// Move-only; closes itself.
class File {
 public:
  File() = default;
  File(File&& other) noexcept { *this = std::move(other); }
  File& operator=(File&& other) noexcept;
  ~File() { Close(); }

  static absl::StatusOr<File> OpenToRead(const std::filesystem::path& path);
  // Keeps what is there; made if absent.
  static absl::StatusOr<File> OpenToWrite(const std::filesystem::path& path);
  static absl::StatusOr<File> OpenFolder(const std::filesystem::path& path);

  bool is_open() const { return descriptor_ >= 0; }
  const std::string& name() const { return name_; }

  // Reads on from where the last Read ended; fewer bytes than there is room for only at the end of the file.
  absl::StatusOr<size_t> Read(std::span<uint8_t> room);
  // As Read, from `offset`.
  absl::StatusOr<size_t> ReadAt(uint64_t offset, std::span<uint8_t> room);
  // All of `bytes`, at `offset`.
  absl::Status WriteAt(uint64_t offset, Bytes bytes);
  absl::StatusOr<uint64_t> Size() const;
  absl::Status Truncate(uint64_t size);
  // Returns when the contents are on the disk (of a folder: the names in it).
  absl::Status Sync();
  // False if another process holds the lock; it goes with the descriptor.
  bool TryLock();
  void Close();

 private:
  static absl::StatusOr<File> Open(const std::filesystem::path& path, int flags);
  absl::Status Failure(std::string_view what) const;

  int descriptor_ = -1;
  std::string name_;
};

// Puts `contents` at `path` so that a crash at any moment leaves the old file or the new one, whole: a
// temporary file beside it, made durable, then renamed.
absl::Status ReplaceFile(const std::filesystem::path& path, std::string_view contents);

// The whole file; kInvalidArgument above `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::filesystem::path& path, size_t max_bytes);

}  // namespace penstock::firehose
