// The repository must be the same everywhere: no path of somebody's workstation, and no host name of a
// package registry (they are configuration of the machine that builds, and lock files like to carry them).

#include <cctype>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/layering/source_tree.h"

namespace penstock::test {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

// Each is written in two pieces, so that this file does not find itself.
const std::vector<std::string>& Paths() {
  static const auto* const paths = new std::vector<std::string>{
      "/wor"
      "k/",
      "/far"
      "m/",
      "/ho"
      "me/",
      "/Us"
      "ers/",
      "/tm"
      "p/pb",
      "/tm"
      "p/build-",
      "/tm"
      "p/pds/"};
  return *paths;
}

const std::vector<std::string>& Registries() {
  static const auto* const hosts = new std::vector<std::string>{
      "npm"
      "js.org",
      "npm"
      "js.com",
      "yarn"
      "pkg.com",
      "crates"
      ".io",
      "pypi"
      ".org",
      "python"
      "hosted.org",
      "ruby"
      "gems.org",
      "proxy.go"
      "lang.org",
      "maven"
      ".org",
      "nu"
      "get.org",
      "conan"
      ".io",
      "packa"
      "gist.org",
      "deb.deb"
      "ian.org",
      "ftp.deb"
      "ian.org",
      "ghcr"
      ".io",
      "docker"
      ".io",
      "qu"
      "ay.io",
      "artifact"
      "ory"};
  return *hosts;
}

bool IsPathStart(std::string_view line, size_t at) {
  if (at == 0) return true;
  const char before = line[at - 1];
  return std::isalnum(static_cast<unsigned char>(before)) == 0 && before != '_' && before != '.' &&
         before != '-';
}

// "file:line: needle" for every forbidden thing on the line.
std::vector<std::string> Forbidden(const std::string& where, std::string_view line) {
  std::vector<std::string> found;
  for (const std::string& path : Paths()) {
    for (size_t at = line.find(path); at != std::string_view::npos; at = line.find(path, at + 1)) {
      if (IsPathStart(line, at)) found.push_back(where + ": a path of one machine: " + path);
    }
  }
  for (const std::string& host : Registries()) {
    if (line.find(host) != std::string_view::npos) found.push_back(where + ": a package registry: " + host);
  }
  return found;
}

TEST(Portable, NoFileNamesAMachineOrARegistry) {
  std::vector<std::string> wrong;
  const std::vector<std::string> files = ProjectFiles();
  ASSERT_GT(files.size(), 30u) << "the tests must run with the source root as working directory";
  for (const std::string& file : files) {
    std::ifstream in(file, std::ios::binary);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      for (std::string& what : Forbidden(file + ":" + std::to_string(number), line))
        wrong.push_back(std::move(what));
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(Portable, SeesWhatItForbids) {
  EXPECT_THAT(Forbidden("f",
                        "open(\"/wor"
                        "k/main/x\")"),
              SizeIs(1));
  EXPECT_THAT(Forbidden("f",
                        "https://registry.npm"
                        "js.org/x"),
              SizeIs(1));
  EXPECT_THAT(Forbidden("f",
                        "tests/wor"
                        "k/x, build/wor"
                        "k/y"),
              IsEmpty());
}

}  // namespace
}  // namespace penstock::test
