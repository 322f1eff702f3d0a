#pragma once

#include <filesystem>
#include <string>

namespace penstock::test {

// A new folder under $TMPDIR (or /tmp), removed with everything in it at the end; with PENSTOCK_KEEP=1 it
// stays and its path is printed.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Makes one; aborts with a message if it cannot.
std::filesystem::path MakeTempFolder();

// True with PENSTOCK_KEEP=1 (any value but 0).
bool KeepAfterTest();

}  // namespace penstock::test
