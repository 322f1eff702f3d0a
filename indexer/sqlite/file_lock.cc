#include "indexer/sqlite/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/status.h"

namespace penstock::indexer {

absl::StatusOr<bool> FileLock::TryTake(const std::string& path) {
  Release();
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return UnavailableError("cannot open " + path + ": " + std::strerror(errno));
  if (flock(file, LOCK_EX | LOCK_NB) == 0) {
    file_ = file;
    return true;
  }
  const int error = errno;
  close(file);
  if (error == EWOULDBLOCK) return false;
  return UnavailableError("cannot lock " + path + ": " + std::strerror(error));
}

void FileLock::Release() {
  if (file_ >= 0) close(file_);
  file_ = -1;
}

}  // namespace penstock::indexer
