#include "tests/support/shared_data.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

namespace penstock::test {
namespace {

std::optional<std::filesystem::path> Folder(const char* variable, const char* fallback) {
  const char* set = std::getenv(variable);
  std::filesystem::path path = set != nullptr && *set != '\0' ? set : fallback;
  if (!std::filesystem::is_directory(path)) return std::nullopt;
  return path;
}

}  // namespace

// Tests run with the source root as working folder (penstock_test in cmake/PenstockTest.cmake).
std::optional<std::filesystem::path> VectorsFolder() { return Folder("PENSTOCK_VECTORS", "../shared/vectors"); }
std::optional<std::filesystem::path> CapturesFolder() { return Folder("PENSTOCK_CAPTURES", "../shared/captures"); }

std::string ReadFileText(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::abort();
  }
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::vector<uint8_t> ReadFileBytes(const std::filesystem::path& path) {
  const std::string text = ReadFileText(path);
  return std::vector<uint8_t>(text.begin(), text.end());
}

std::vector<std::string> ReadFileLines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::fprintf(stderr, "cannot read %s\n", path.c_str());
    std::abort();
  }
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace penstock::test
