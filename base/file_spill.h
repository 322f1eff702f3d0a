#pragma once

// A Spill in a temporary file without a name: gone with the process, however that ends. Small amounts never
// get as far as the disk.
//
// Reads and writes are plain system calls, so the file's pages are the kernel's cache and not this process's
// memory. Not thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/spill.h"

namespace penstock {

// $TMPDIR, else /var/tmp: /tmp is often memory, which a spill is there to save.
std::string DefaultSpillDirectory();

class FileSpill : public Spill {
 public:
  // Most repositories fit into this; it is also the size of a write.
  static constexpr size_t kDefaultBuffer = size_t{512} * 1024;

  // The file is made in `directory`, and only when more than `buffer` bytes are put away.
  explicit FileSpill(std::string directory, size_t buffer = kDefaultBuffer);
  ~FileSpill() override;
  FileSpill(const FileSpill&) = delete;
  FileSpill& operator=(const FileSpill&) = delete;

  absl::StatusOr<uint64_t> Append(Bytes a, Bytes b) override;
  absl::Status Read(uint64_t offset, uint8_t* out, size_t size) override;
  absl::Status Clear() override;
  uint64_t bytes() const override { return written_ + buffer_.size(); }

  // Whether there is a file by now.
  bool on_disk() const { return file_ >= 0; }

 private:
  absl::Status Open();
  absl::Status Write(Bytes bytes);

  std::string directory_;
  size_t capacity_;
  std::vector<uint8_t> buffer_;  // the end, not written yet
  uint64_t written_ = 0;         // bytes in the file
  int file_ = -1;
};

}  // namespace penstock
