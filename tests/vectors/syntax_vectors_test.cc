// atproto-interop-tests/syntax: one string per line, in files named
// <format>_<syntax_valid|syntax_invalid|parse_invalid>.txt.

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "repo/syntax.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

using Accepts = std::function<bool(std::string_view)>;

struct Format {
  Accepts shape;  // what `syntax_valid` passes and `syntax_invalid` fails
  Accepts full;   // what `parse_invalid` fails
};

template <typename Type>
Format Parsed() {
  const auto accepts = [](std::string_view text) { return Type::Parse(text).has_value(); };
  return {accepts, accepts};
}

const std::map<std::string, Format>& Formats() {
  static const std::map<std::string, Format> formats = {
      {"atidentifier", {IsAtIdentifier, IsAtIdentifier}},
      {"aturi", Parsed<AtUri>()},
      {"cid", {IsCidSyntax, IsCidSyntax}},
      {"datetime", Parsed<Datetime>()},
      // A DID of another method, or one that no method can resolve, is a good DID.
      {"did",
       {Parsed<Did>().shape,
        [](std::string_view text) { return Did::Parse(text).value_or(Did()).IsResolvable(); }}},
      {"handle", Parsed<Handle>()},
      {"language", {IsLanguageSyntax, IsLanguage}},
      {"nsid", Parsed<Nsid>()},
      {"recordkey", Parsed<RecordKey>()},
      {"tid", Parsed<Tid>()},
      {"uri", {IsUriSyntax, IsUriSyntax}},
  };
  return formats;
}

// Empty lines and comments are no cases; everything else is one, blanks at its ends included.
std::vector<std::string> CasesOf(const std::filesystem::path& file) {
  std::vector<std::string> cases;
  for (const std::string& line : test::ReadFileLines(file)) {
    if (!line.empty() && line.front() != '#') cases.push_back(line);
  }
  return cases;
}

class SyntaxVectors : public testing::TestWithParam<std::string> {};

TEST_P(SyntaxVectors, AcceptsAndRefusesAsTheFilesSay) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const Format& format = Formats().at(GetParam());
  std::map<std::string, size_t> ran;
  for (const char* kind : {"syntax_valid", "syntax_invalid", "parse_invalid"}) {
    const auto file = *folder / "atproto-interop-tests/syntax" / (GetParam() + "_" + kind + ".txt");
    if (!std::filesystem::exists(file)) continue;
    for (const std::string& text : CasesOf(file)) {
      const std::string name = file.filename().string() + ": '" + text + "'";
      ++ran[kind];
      if (std::string_view(kind) == "syntax_valid") {
        EXPECT_TRUE(format.shape(text)) << name;
        if (GetParam() != "did") {
          EXPECT_TRUE(format.full(text)) << name;
        }
      } else if (std::string_view(kind) == "syntax_invalid") {
        EXPECT_FALSE(format.shape(text)) << name;
        EXPECT_FALSE(format.full(text)) << name;
      } else {
        EXPECT_FALSE(format.full(text)) << name;
        // A date's shape alone is of no use here.
        if (GetParam() != "datetime") {
          EXPECT_TRUE(format.shape(text)) << name;
        }
      }
    }
  }
  EXPECT_GT(ran["syntax_valid"], 0u);
  EXPECT_GT(ran["syntax_invalid"], 0u);
  std::printf("atproto-interop-tests/syntax %s: %zu valid, %zu invalid, %zu invalid when parsed\n",
              GetParam().c_str(), ran["syntax_valid"], ran["syntax_invalid"], ran["parse_invalid"]);
}

INSTANTIATE_TEST_SUITE_P(All, SyntaxVectors,
                         testing::Values("atidentifier", "aturi", "cid", "datetime", "did", "handle",
                                         "language", "nsid", "recordkey", "tid", "uri"),
                         [](const auto& format) { return format.param; });

TEST(SyntaxVectors, NoFileIsLeftOut) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  for (const auto& entry : std::filesystem::directory_iterator(*folder / "atproto-interop-tests/syntax")) {
    const std::string name = entry.path().filename().string();
    const std::string kind = name.substr(std::min(name.find('_'), name.size()));
    EXPECT_TRUE(Formats().contains(name.substr(0, name.find('_')))) << name;
    EXPECT_TRUE(kind == "_syntax_valid.txt" || kind == "_syntax_invalid.txt" || kind == "_parse_invalid.txt")
        << name;
  }
}

}  // namespace
}  // namespace penstock::repo
