#pragma once

// Where tests find the data that lies beside the project and is read in place. A test whose folder is absent must skip:
//   const auto folder = VectorsFolder();
//   if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace penstock::test {

// $PENSTOCK_VECTORS, else ../shared/vectors; nullopt if it is not there.
std::optional<std::filesystem::path> VectorsFolder();
// $PENSTOCK_CAPTURES, else ../shared/captures.
std::optional<std::filesystem::path> CapturesFolder();

// A file's bytes, its lines. Abort with a message when it cannot be read.
std::vector<uint8_t> ReadFileBytes(const std::filesystem::path& path);
std::string ReadFileText(const std::filesystem::path& path);
std::vector<std::string> ReadFileLines(const std::filesystem::path& path);

}  // namespace penstock::test
