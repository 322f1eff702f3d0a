#include "tests/support/database/temp_folder.h"

#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace penstock::test {

bool KeepAfterTest() {
  const char* keep = std::getenv("PENSTOCK_KEEP");
  return keep != nullptr && *keep != '\0' && std::string_view(keep) != "0";
}

std::filesystem::path MakeTempFolder() {
  const char* root = std::getenv("TMPDIR");
  // Short: a Unix socket in it must fit 107 characters.
  std::string name = std::string(root != nullptr && *root != '\0' ? root : "/tmp") + "/penstock-XXXXXX";
  if (mkdtemp(name.data()) == nullptr) {
    std::perror(("cannot make " + name).c_str());
    std::abort();
  }
  return name;
}

TempFolder::TempFolder() : path_(MakeTempFolder()) {}

TempFolder::~TempFolder() {
  if (KeepAfterTest()) {
    std::fprintf(stderr, "kept: %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace penstock::test
