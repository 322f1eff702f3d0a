#include "indexer/known_collections.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>

#include "repo/syntax.h"
#include "tests/support/shared_data.h"

namespace penstock::indexer {
namespace {

namespace fs = std::filesystem;

TEST(KnownCollections, AreSortedNsidsWithoutDuplicates) {
  EXPECT_TRUE(std::is_sorted(kKnownCollections.begin(), kKnownCollections.end()));
  EXPECT_EQ(std::set<std::string_view>(kKnownCollections.begin(), kKnownCollections.end()).size(), kKnownCollections.size());
  for (const std::string_view nsid : kKnownCollections) EXPECT_TRUE(repo::Nsid::Parse(nsid).has_value()) << nsid;
  EXPECT_EQ(KnownCollections().size(), kKnownCollections.size());
}

// Every record type of the lexicons beside the project, of the families that are indexed. A type that is missing here would not be
// found by a prefix.
TEST(KnownCollections, HaveEveryRecordTypeOfTheLexicons) {
  const auto captures = test::CapturesFolder();
  if (!captures || !fs::exists(captures->parent_path() / "lexicons")) GTEST_SKIP() << "no lexicons beside the captures";
  const fs::path folder = captures->parent_path() / "lexicons";
  size_t met = 0;
  for (const char* family : {"space/atbb", "com/huddle", "sh/tangled", "community/lexicon/calendar"}) {
    if (!fs::exists(folder / family)) continue;
    for (const auto& file : fs::recursive_directory_iterator(folder / family)) {
      if (file.path().extension() != ".json") continue;
      const boost::json::object lexicon = boost::json::parse(test::ReadFileText(file.path())).as_object();
      const boost::json::object* main = lexicon.at("defs").as_object().contains("main")
                                            ? &lexicon.at("defs").as_object().at("main").as_object()
                                            : nullptr;
      if (main == nullptr || main->at("type").as_string() != "record") continue;
      ++met;
      const std::string id(lexicon.at("id").as_string());
      EXPECT_TRUE(std::binary_search(kKnownCollections.begin(), kKnownCollections.end(), std::string_view(id))) << id;
    }
  }
  EXPECT_GE(met, 10u);
}

}  // namespace
}  // namespace penstock::indexer
