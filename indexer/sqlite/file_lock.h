#pragma once

// An exclusive flock on a file of its own: it ends with the process, however that ends. Two opens within one
// process exclude each other as well.

#include <string>

#include "absl/status/statusor.h"

namespace penstock::indexer {

class FileLock {
 public:
  FileLock() = default;
  ~FileLock() { Release(); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

  // Creates the file if need be; false if somebody else holds it. The file stays: removing it would let two
  // hold "the" lock.
  absl::StatusOr<bool> TryTake(const std::string& path);
  void Release();

 private:
  int file_ = -1;
};

}  // namespace penstock::indexer
