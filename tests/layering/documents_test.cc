// The pages around the code: their links lead somewhere, and data says where it comes from.

#include <filesystem>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/layering/source_tree.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

// Targets of `[text](target)` that are files of ours: no scheme, no anchor within the page.
std::vector<std::string> LocalLinks(std::string_view page) {
  std::vector<std::string> links;
  for (size_t at = page.find("]("); at != std::string_view::npos; at = page.find("](", at + 2)) {
    const size_t end = page.find_first_of(") \n", at + 2);
    if (end == std::string_view::npos || page[end] != ')') continue;
    std::string_view target = page.substr(at + 2, end - at - 2);
    target = target.substr(0, target.find('#'));
    if (target.empty() || target.find(':') != std::string_view::npos) continue;
    links.emplace_back(target);
  }
  return links;
}

TEST(Documents, LocalLinksLeadSomewhere) {
  std::vector<std::string> broken;
  int seen = 0;
  for (const std::string& file : ProjectFiles()) {
    if (!file.ends_with(".md")) continue;
    const std::string page = ReadFileText(file);
    for (const std::string& link : LocalLinks(page)) {
      ++seen;
      if (!fs::exists(fs::path(file).parent_path() / link)) broken.push_back(file + ": " + link);
    }
  }
  EXPECT_GT(seen, 20);
  EXPECT_THAT(broken, IsEmpty());
}

TEST(Documents, EveryFolderOfDataNamesItsSource) {
  std::set<std::string> folders;
  for (const std::string& file : ProjectFiles()) {
    if (!file.starts_with("fixtures/data/")) continue;
    const size_t end = file.find('/', std::string_view("fixtures/data/").size());
    if (end != std::string::npos) folders.insert(file.substr(0, end));
  }
  std::vector<std::string> silent;
  for (const std::string& folder : folders) {
    if (!fs::exists(folder + "/SOURCE.md")) silent.push_back(folder);
  }
  EXPECT_THAT(silent, IsEmpty());
}

// `Suite.Name` in backticks, as docs/invariants.md names tests.
std::vector<std::pair<std::string, std::string>> NamedTests(const std::string& page) {
  static const std::regex name("`([A-Z][A-Za-z0-9]*)\\.([A-Z][A-Za-z0-9]*)`");
  std::vector<std::pair<std::string, std::string>> tests;
  for (auto it = std::sregex_iterator(page.begin(), page.end(), name); it != std::sregex_iterator(); ++it) {
    tests.emplace_back((*it)[1], (*it)[2]);
  }
  return tests;
}

TEST(Documents, EveryRuleNamesTestsThatExist) {
  std::string sources;
  for (const std::string& file : SourceFiles()) {
    if (file.starts_with("tests/")) sources += ReadFileText(file);
  }
  std::vector<std::string> missing;
  for (const char* page : {"docs/invariants.md", "docs/verification.md"}) {
    const auto tests = NamedTests(ReadFileText(page));
    EXPECT_GT(tests.size(), 30u) << page;
    for (const auto& [suite, name] : tests) {
      if (sources.find("(" + suite + ", " + name + ")") == std::string::npos)
        missing.push_back(suite + "." + name);
    }
  }
  EXPECT_THAT(missing, IsEmpty());
}

TEST(Documents, FindsLinks) {
  EXPECT_THAT(LocalLinks("[a](x/y.md#part), [b](https://example.com/z), [c](#here) and f[0](1 + 2)"),
              ElementsAre("x/y.md"));
}

}  // namespace
}  // namespace penstock::test
