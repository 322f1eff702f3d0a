// Keeps docs/architecture.md section 2 true: reads the #include lines of every source against the table below
// and fails on an arrow that the table does not have. To allow a new arrow, change the table there and here
// in the same commit, and say why.

#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/layering/source_tree.h"

namespace penstock::test {
namespace {

using testing::IsEmpty;

// A place is a folder, or a part of one that lives by a rule of its own. A file belongs to the longest place
// that its path begins with, so `indexer/postgres/store.cc` answers to "indexer/postgres" and not to
// "indexer".
struct Place {
  std::set<std::string> may_use;
  bool anything = false;  // wiring and checks: app, tests, bench
};

const std::map<std::string, Place>& Places() {
  static const auto* const places = new std::map<std::string, Place>{
      {"base", {{}}},
      {"crypto", {{"base"}}},
      {"cbor", {{"base", "crypto"}}},
      {"car", {{"base", "crypto", "cbor"}}},
      {"repo", {{"base", "crypto", "cbor", "car"}}},
      {"identity", {{"base", "crypto", "cbor", "repo"}}},
      {"identity/resolver", {{"base", "crypto", "cbor", "repo", "identity", "net"}}},
      {"net", {{"base", "cbor", "repo"}}},
      {"firehose", {{"base", "crypto", "cbor", "repo"}}},
      {"firehose/session", {{"base", "cbor", "repo", "firehose", "net"}}},
      {"lexicon", {{"base", "cbor", "repo"}}},
      {"sync", {{"base", "crypto", "cbor", "car", "repo", "identity", "firehose"}}},
      {"indexer",
       {{"base", "crypto", "cbor", "repo", "firehose", "lexicon", "sync", "identity", "indexer/sqlite",
         "indexer/postgres"}}},
      {"indexer/sqlite", {{"base", "crypto", "cbor", "repo", "identity", "sync", "indexer"}}},
      {"indexer/postgres", {{"base", "crypto", "cbor", "repo", "identity", "sync", "indexer"}}},
      {"pipeline",
       {{"base", "crypto", "cbor", "car", "repo", "identity", "firehose", "firehose/session", "sync", "indexer"}}},
      {"backfill", {{"base", "crypto", "cbor", "car", "repo", "identity", "net", "sync", "indexer", "pipeline"}}},
      {"serve", {{"base", "indexer", "sync"}}},
      {"fixtures/builder", {{"base", "crypto", "cbor", "car", "repo", "firehose"}}},
      {"fixtures/directory", {{"base", "crypto", "cbor", "car", "repo", "fixtures/builder"}}},
      {"fixtures/relay", {{"base", "cbor", "repo", "firehose", "fixtures/builder"}}},
      {"app", {{}, true}},
      {"tests", {{}, true}},
      {"bench", {{}, true}},
  };
  return *places;
}

// A system header (by the start of its name) and the only places that may include it.
struct GuardedHeader {
  std::string_view prefix;
  std::vector<std::string_view> allowed_in;
};

const std::vector<GuardedHeader>& GuardedHeaders() {
  static const auto* const guarded = new std::vector<GuardedHeader>{
      {"boost/asio",
       {"firehose/session", "identity/resolver", "net", "serve", "fixtures/directory", "fixtures/relay", "app", "tests", "bench"}},
      {"boost/beast",
       {"firehose/session", "identity/resolver", "net", "serve", "fixtures/directory", "fixtures/relay", "app", "tests", "bench"}},
      {"ares.h", {"net"}},
      {"libpq-fe.h", {"indexer/postgres", "tests", "bench"}},
      {"sqlite3.h", {"indexer/sqlite", "tests", "bench"}},
      // libcbor is the second opinion and the oracle of tests, never on the way of a frame (docs/adr/0002).
      {"cbor.h", {"cbor", "tests", "bench"}},
      {"secp256k1", {"crypto", "fixtures/builder", "tests", "bench"}},
      {"openssl/", {"crypto", "firehose/session", "identity/resolver", "net", "fixtures", "tests", "bench"}},
      {"utf8proc.h", {"lexicon"}},
      {"CLI/", {"app", "fixtures/builder"}},
      {"toml++/", {"app"}},
      {"spdlog/", {"app", "bench"}},
  };
  return *guarded;
}

// Spellings that read the wall clock. Everything takes a Clock (base/clock.h), so that a replay can fix the
// time and a test can move it. Built from two pieces so that this file does not find itself.
const std::vector<std::string>& WallClockTokens() {
  static const auto* const tokens =
      new std::vector<std::string>{std::string("system_") + "clock::now", std::string("gettime") + "ofday",
                                   std::string("CLOCK_") + "REALTIME",    std::string("absl::") + "Now(",
                                   std::string("std::ti") + "me(",        std::string("::ti") + "me(nullptr"};
  return *tokens;
}

struct Include {
  int line = 0;
  std::string path;
  bool quoted = false;
};

// The include on this line, if it is one.
std::optional<Include> ParseInclude(std::string_view line, int number) {
  const size_t hash = line.find_first_not_of(" \t");
  if (hash == std::string_view::npos || line[hash] != '#') return std::nullopt;
  size_t word = line.find_first_not_of(" \t", hash + 1);
  if (word == std::string_view::npos || !line.substr(word).starts_with("include")) return std::nullopt;
  const size_t open = line.find_first_of("<\"", word);
  if (open == std::string_view::npos) return std::nullopt;
  const size_t close = line.find(line[open] == '<' ? '>' : '"', open + 1);
  if (close == std::string_view::npos) return std::nullopt;
  return Include{number, std::string(line.substr(open + 1, close - open - 1)), line[open] == '"'};
}

bool Within(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && path.size() > folder.size() && path[folder.size()] == '/';
}

// The longest place that holds `path`.
std::optional<std::string> PlaceOf(std::string_view path) {
  std::optional<std::string> best;
  for (const auto& [name, place] : Places()) {
    if (Within(path, name) && (!best || name.size() > best->size())) best = name;
  }
  return best;
}

// What is wrong with this include in this file; empty if nothing is.
std::string Complaint(const std::string& file, const Include& include) {
  const std::optional<std::string> from = PlaceOf(file);
  if (!from)
    return "the folder of " + file + " is not in the table of tests/layering and docs/architecture.md";
  const Place& place = Places().at(*from);

  for (const GuardedHeader& guarded : GuardedHeaders()) {
    if (!include.path.starts_with(guarded.prefix)) continue;
    bool allowed = false;
    for (const std::string_view folder : guarded.allowed_in) allowed |= Within(file, folder);
    if (!allowed) return *from + " must not include <" + include.path + ">";
  }

  const std::optional<std::string> to = PlaceOf(include.path);
  if (!to) return {};  // a third-party or system header
  if (!include.quoted) return "our own header in angle brackets: <" + include.path + ">";
  if (*to == *from || place.anything || place.may_use.contains(*to)) return {};
  return *from + " must not use " + *to + " (includes \"" + include.path + "\")";
}

std::string At(const std::string& file, int line, const std::string& what) {
  return file + ":" + std::to_string(line) + ": " + what;
}

TEST(Layering, EveryIncludeIsAnArrowOfTheTable) {
  const std::vector<std::string> files = SourceFiles();
  ASSERT_GT(files.size(), 30u) << "the tests must run with the source root as working directory";
  std::vector<std::string> wrong;
  for (const std::string& file : files) {
    std::ifstream in(file);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      const std::optional<Include> include = ParseInclude(line, number);
      if (!include) continue;
      const std::string complaint = Complaint(file, *include);
      if (!complaint.empty()) wrong.push_back(At(file, number, complaint));
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

TEST(Layering, OnlyBaseSystemClockReadsTheWallClock) {
  std::vector<std::string> wrong;
  for (const std::string& file : SourceFiles()) {
    if (file == "base/system_clock.cc" || Within(file, "tests") || Within(file, "bench")) continue;
    std::ifstream in(file);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      const std::string_view code = std::string_view(line).substr(0, line.find("//"));
      for (const std::string& token : WallClockTokens()) {
        if (code.find(token) != std::string_view::npos)
          wrong.push_back(At(file, number, "reads the wall clock: " + token));
      }
    }
  }
  EXPECT_THAT(wrong, IsEmpty());
}

// The table itself: names in it exist in it, and its arrows go one way.
TEST(Layering, TheTableHasNoCycleBetweenFolders) {
  std::map<std::string, std::set<std::string>> reach;  // by top folder
  const auto top = [](const std::string& place) { return place.substr(0, place.find('/')); };
  for (const auto& [name, place] : Places()) {
    for (const std::string& used : place.may_use) {
      EXPECT_TRUE(Places().contains(used)) << name << " uses " << used << ", which is not in the table";
      if (top(used) != top(name)) reach[top(name)].insert(top(used));
    }
  }
  for (size_t round = 0; round < Places().size(); ++round) {
    for (auto& [name, used] : reach) {
      const std::set<std::string> now = used;
      for (const std::string& middle : now) used.insert(reach[middle].begin(), reach[middle].end());
    }
  }
  for (const auto& [name, used] : reach) EXPECT_FALSE(used.contains(name)) << name << " reaches itself";
}

// The test would pass for ever if it did not see what it looks for.
TEST(Layering, SeesWhatItForbids) {
  const auto complaint = [](const std::string& file, const std::string& line) {
    const std::optional<Include> include = ParseInclude(line, 1);
    return include ? Complaint(file, *include) : std::string("not an include");
  };
  EXPECT_EQ(complaint("cbor/reader.cc", "#include \"base/bytes.h\""), "");
  EXPECT_EQ(complaint("cbor/reader.cc", "#include <vector>"), "");
  EXPECT_EQ(complaint("tests/cbor/x_test.cc", "#include \"app/options.h\""), "");
  EXPECT_EQ(complaint("indexer/postgres/store.cc", "#include <libpq-fe.h>"), "");
  EXPECT_NE(complaint("base/bytes.h", "#include \"cbor/reader.h\""), "");
  EXPECT_NE(complaint("firehose/frame.cc", "  #  include <boost/beast/core.hpp>"), "");
  EXPECT_NE(complaint("firehose/frame.cc", "#include \"firehose/session/session.h\""), "");
  EXPECT_NE(complaint("indexer/row_builder.cc", "#include <libpq-fe.h>"), "");
  EXPECT_NE(complaint("indexer/postgres/store.cc", "#include <sqlite3.h>"), "");
  EXPECT_NE(complaint("indexer/postgres/store.cc", "#include \"indexer/sqlite/store.h\""), "");
  EXPECT_NE(complaint("pipeline/worker.cc", "#include \"app/options.h\""), "");
  EXPECT_NE(complaint("newfolder/x.cc", "#include \"base/bytes.h\""), "");
}

}  // namespace
}  // namespace penstock::test
