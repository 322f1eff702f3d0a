// The Lexicon vectors of the interop tests, every published atproto lexicon, and the records of the captures
// against the lexicons that lie beside them. Read in place; each source's count is printed.

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cbor/json_in.h"
#include "cbor/record_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lexicon/folder.h"
#include "lexicon/shipped.h"
#include "lexicon/validator.h"
#include "tests/lexicon/lexicon_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::lexicon {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

void Ran(const char* source, size_t cases) {
  std::printf("[ vectors  ] %s: %zu cases\n", source, cases);
  EXPECT_GT(cases, 0u) << source;
}

json::array ParseArray(const fs::path& path) {
  return json::parse(penstock::test::ReadFileText(path)).as_array();
}

std::string NameOf(const json::value& value) { return std::string(value.at("name").as_string()); }

class LexiconVectors : public testing::Test {
 protected:
  void SetUp() override {
    const auto vectors = penstock::test::VectorsFolder();
    if (!vectors) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
    vectors_ = *vectors;
    interop_ = vectors_ / "atproto-interop-tests/lexicon";
    if (!fs::is_directory(interop_)) GTEST_SKIP() << "no folder " << interop_;
  }

  // The catalog of the interop tests: files that lie there by other names than their NSIDs'.
  Catalog InteropCatalog() const {
    std::vector<Document> documents;
    for (const auto& entry : fs::directory_iterator(interop_ / "catalog")) {
      documents.push_back(
          test::Parsed(penstock::test::ReadFileText(entry.path()), entry.path().filename().string()));
    }
    auto catalog = Catalog::Build(documents);
    EXPECT_TRUE(catalog.ok()) << catalog.status();
    return *std::move(catalog);
  }

  // "", or why the record of a case is refused: by the data model, then by the lexicon.
  static std::string Refusal(const Catalog& catalog, const json::value& example, const Policy& policy) {
    const auto block = cbor::JsonToCbor(json::serialize(example.at("data")));
    if (!block.ok()) return std::string(Message(block.status()));
    const absl::Status data = cbor::CheckRecord(AsBytes(*block), "example.lexicon.record", nullptr);
    if (!data.ok()) return std::string(Message(data));
    const Verdict verdict =
        ValidateRecord(catalog, "example.lexicon.record", std::string(example.at("rkey").as_string()),
                       AsBytes(*block), policy);
    return verdict.outcome == Outcome::kRefused ? test::Summary(verdict) : "";
  }

  fs::path vectors_, interop_;
};

TEST_F(LexiconVectors, SchemasAreAcceptedAndRefused) {
  const json::array valid = ParseArray(interop_ / "lexicon-valid.json");
  const json::array invalid = ParseArray(interop_ / "lexicon-invalid.json");
  for (const json::value& example : valid) {
    const auto document = ParseDocument("vector", json::serialize(example.at("lexicon")));
    ASSERT_TRUE(document.ok()) << NameOf(example) << ": " << document.status();
    const Document documents[] = {*document};
    EXPECT_TRUE(Catalog::Build(documents).ok()) << NameOf(example);
  }
  for (const json::value& example : invalid) {
    EXPECT_FALSE(ParseDocument("vector", json::serialize(example.at("lexicon"))).ok()) << NameOf(example);
  }
  Ran("interop lexicon-valid", valid.size());
  Ran("interop lexicon-invalid", invalid.size());
}

TEST_F(LexiconVectors, RecordsAreAcceptedAndRefused) {
  const Catalog catalog = InteropCatalog();
  const json::array valid = ParseArray(interop_ / "record-data-valid.json");
  const json::array invalid = ParseArray(interop_ / "record-data-invalid.json");
  for (const json::value& example : valid)
    EXPECT_EQ(Refusal(catalog, example, {.strict = true}), "") << NameOf(example);
  for (const json::value& example : invalid) {
    const std::string refusal = Refusal(catalog, example, {.strict = true});
    EXPECT_NE(refusal, "") << NameOf(example);
    std::printf("[ vectors  ] %s: %s\n", NameOf(example).c_str(), refusal.c_str());
  }
  Ran("interop record-data-valid", valid.size());
  Ran("interop record-data-invalid", invalid.size());
}

// The default refuses the same but for text that is too long, which it indexes with a warning.
TEST_F(LexiconVectors, TheDefaultDiffersInOverlongTextOnly) {
  const Catalog catalog = InteropCatalog();
  std::vector<std::string> passed;
  for (const json::value& example : ParseArray(interop_ / "record-data-invalid.json")) {
    if (Refusal(catalog, example, {}).empty()) passed.push_back(NameOf(example));
  }
  for (const std::string& name : passed) EXPECT_THAT(name, testing::StartsWith("string too long")) << name;
}

TEST_F(LexiconVectors, EveryPublishedLexiconLoads) {
  const fs::path folder = vectors_ / "atproto-lexicons";
  if (!fs::is_directory(folder)) GTEST_SKIP() << "no folder " << folder;
  const auto documents = LoadFolder(folder);
  ASSERT_TRUE(documents.ok()) << documents.status();
  const auto catalog = Catalog::Build(*documents);
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  for (const Catalog::Unresolved& reference : catalog->unresolved()) ADD_FAILURE() << reference.Message();
  Ran("atproto-lexicons", documents->size());
  std::printf("[ vectors  ] of these with records: %zu\n", catalog->Collections().size());
}

// ---- the captures ----

struct Tally {
  size_t valid = 0, warned = 0, refused = 0;
  std::map<std::string, size_t> reasons;  // by the first finding
};

std::map<std::string, Tally> JudgeCaptures(const Catalog& catalog, const fs::path& file,
                                           const Policy& policy) {
  std::map<std::string, Tally> tallies;
  for (const std::string& line : penstock::test::ReadFileLines(file)) {
    const json::value record = json::parse(line);
    const std::string collection(record.at("collection").as_string());
    const auto block = cbor::JsonToCbor(json::serialize(record.at("value")));
    if (!block.ok()) {
      ADD_FAILURE() << block.status();
      continue;
    }
    const Verdict verdict = ValidateRecord(catalog, collection, std::string(record.at("rkey").as_string()),
                                           AsBytes(*block), policy);
    if (!verdict.known) continue;
    Tally& tally = tallies[collection];
    ++(verdict.outcome == Outcome::kValid      ? tally.valid
       : verdict.outcome == Outcome::kWarnings ? tally.warned
                                               : tally.refused);
    if (!verdict.findings.empty())
      ++tally.reasons[std::string(RejectName(verdict.findings.back().reject)) + " " +
                      verdict.findings.back().path];
  }
  for (const auto& [collection, tally] : tallies) {
    std::printf("[ captures ] %s: %zu valid, %zu with warnings, %zu refused\n", collection.c_str(),
                tally.valid, tally.warned, tally.refused);
    for (const auto& [reason, count] : tally.reasons)
      std::printf("[ captures ]   %zu %s\n", count, reason.c_str());
  }
  return tallies;
}

class LexiconCaptures : public testing::Test {
 protected:
  void SetUp() override {
    const auto captures = penstock::test::CapturesFolder();
    if (!captures) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
    records_ = *captures / "pds-small.records.ndjson";
    lexicons_ = *captures / "../lexicons";
    if (!fs::exists(records_)) GTEST_SKIP() << "no file " << records_;
  }
  fs::path records_, lexicons_;
};

// Real posts and likes were written through the reference implementation: none is refused. The other shapes
// were made up for the captures and need not fit.
TEST_F(LexiconCaptures, RealRecordsKeepToTheirLexicons) {
  if (!fs::is_directory(lexicons_)) GTEST_SKIP() << "no folder " << lexicons_;
  const auto documents = LoadFolder(lexicons_);
  ASSERT_TRUE(documents.ok()) << documents.status();
  const auto catalog = Catalog::Build(*documents);
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  EXPECT_THAT(catalog->unresolved(), testing::IsEmpty());
  const auto tallies = JudgeCaptures(*catalog, records_, {.strict = true});
  for (const char* const collection :
       {"app.bsky.feed.post", "app.bsky.feed.like", "sh.tangled.repo", "sh.tangled.spindle.member"}) {
    ASSERT_TRUE(tallies.contains(collection)) << collection;
    EXPECT_GT(tallies.at(collection).valid, 0u) << collection;
    EXPECT_EQ(tallies.at(collection).refused, 0u) << collection;
  }
}

TEST_F(LexiconCaptures, TheShippedLexiconsRefuseNoRecordOfThem) {
  const auto catalog = Catalog::Build(ShippedDocuments());
  ASSERT_TRUE(catalog.ok()) << catalog.status();
  const auto tallies = JudgeCaptures(*catalog, records_, {.strict = true});
  EXPECT_GT(tallies.size(), 5u);
  for (const auto& [collection, tally] : tallies) EXPECT_EQ(tally.refused, 0u) << collection;
}

}  // namespace
}  // namespace penstock::lexicon
