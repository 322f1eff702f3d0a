// Whole repositories of others, verified as exports.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cbor/json_in.h"
#include "cbor/json_out.h"
#include "identity/did_document.h"
#include "repo/export.h"
#include "repo/export_stream.h"
#include "tests/repo/streamed_export.h"
#include "tests/repo/tree_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using test::Outcome;

std::string_view Str(const json::value& value) { return std::string_view(value.as_string()); }

// The records' paths with their CIDs; each block is looked at.
std::map<std::string, std::string> RecordsOf(const ExportVerifier& verifier) {
  std::map<std::string, std::string> records;
  EXPECT_TRUE(verifier
                  .VisitRecords([&](const ExportedRecord& record) {
                    EXPECT_TRUE(cbor::BlockMatches(record.cid, record.block));
                    records[std::string(record.key)] = record.cid.ToString();
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(records.size(), verifier.record_count());
  return records;
}

// The key of the document beside the file. It need not be this account's (greenground's is another's, with
// another key).
std::optional<crypto::PublicKey> KeyBeside(const fs::path& car) {
  const std::string name = car.filename().string();
  const fs::path document = car.parent_path() / (name.substr(0, name.find('.')) + ".didDoc.json");
  if (!fs::exists(document)) return std::nullopt;
  const std::string text = test::ReadFileText(document);
  return identity::ParseDidDocument(Str(json::parse(text).at("id")), text).key;
}

TEST(ExportVectors, Repositories) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  struct Known {
    std::string outcome_v3;   // as the network's exports are read
    std::string outcome_any;  // by the reader's option for old files
    size_t records;
  };
  const std::map<std::string, Known> known = {
      {"snarfed2.car", {"ok", "ok", 5}},
      {"empty.car", {"ok", "ok", 0}},
      {"tiny.car", {"ok", "ok", 8}},
      {"repo.car", {"ok", "ok", 23}},
      {"paul_staging.repo.car", {"commit_bad_version", "ok", 185}},
      {"greenground.repo.car", {"ok", "ok", 2}},
      {"repo_slice.car", {"commit_bad_version", "mst_partial", 0}},
  };
  size_t met = 0;
  for (const char* source : {"arroba", "repo-stream", "jetstream-corpus", "indigo/repos"}) {
    size_t ran = 0, signatures = 0;
    for (const auto& entry : fs::directory_iterator(*folder / source)) {
      const fs::path& file = entry.path();
      if (file.extension() != ".car") continue;
      SCOPED_TRACE(file.string());
      ++ran;
      const std::vector<uint8_t> car = test::ReadFileBytes(file);
      ExportVerifier verifier;
      const std::string outcome_v3 = Outcome(verifier.Verify(car, {}));
      ExportOptions options;
      options.versions = CommitVersions::kAlsoV2;
      const std::string outcome = Outcome(verifier.Verify(car, options));
      const std::string did(verifier.commit().did.text());
      const std::map<std::string, std::string> records = RecordsOf(verifier);
      std::string signature = "no key";
      if (outcome == "ok") {
        EXPECT_TRUE(verifier.unusable().empty());
        if (const auto key = KeyBeside(file)) {
          options.key = &*key;
          signature = Outcome(verifier.Verify(car, options));
          EXPECT_EQ(signature, "ok");
          ++signatures;
        }
      }
      std::printf("%s/%s: %s, %zu records, signature: %s\n", source, file.filename().c_str(), outcome.c_str(),
                  records.size(), signature.c_str());
      const auto expect = known.find(file.filename().string());
      if (expect == known.end()) continue;
      ++met;
      EXPECT_EQ(outcome_v3, expect->second.outcome_v3);
      EXPECT_EQ(outcome, expect->second.outcome_any);
      EXPECT_EQ(records.size(), expect->second.records);
    }
    EXPECT_GT(ran, 0u) << source;
    std::printf("%s: %zu repositories, %zu signatures checked\n", source, ran, signatures);
  }
  EXPECT_EQ(met, known.size());
}

// The JSON beside the file holds the records' contents: the CBOR of each is the block.
TEST(ExportVectors, ArrobaRecords) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const std::vector<uint8_t> car = test::ReadFileBytes(*folder / "arroba/snarfed2.car");
  const json::object expected = json::parse(test::ReadFileText(*folder / "arroba/snarfed2.json")).as_object();
  ExportVerifier verifier;
  ASSERT_EQ(Outcome(verifier.Verify(car, {})), "ok");
  size_t records = 0, expected_records = 0;
  for (const auto& [collection, by_rkey] : expected) expected_records += by_rkey.as_object().size();
  EXPECT_TRUE(verifier
                  .VisitRecords([&](const ExportedRecord& record) {
                    ++records;
                    const json::value* const collection =
                        expected.if_contains(std::string(record.path.collection.text()));
                    EXPECT_TRUE(collection != nullptr &&
                                collection->as_object().contains(std::string(record.path.rkey.text())))
                        << record.key;
                    return absl::OkStatus();
                  })
                  .ok());
  EXPECT_EQ(records, expected_records);
  std::printf("arroba/snarfed2.json: %zu records\n", records);
}

// What com.atproto.sync.getRepo of the reference PDS gave, with the key that was current, against what it
// listed.
TEST(ExportVectors, CapturedRepositories) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  size_t bases = 0;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    constexpr std::string_view kSuffix = ".counts.json";
    const std::string path = entry.path().string();
    if (!path.ends_with(kSuffix)) continue;
    const std::string base = path.substr(0, path.size() - kSuffix.size());
    SCOPED_TRACE(base);
    ++bases;
    const json::object counts = json::parse(test::ReadFileText(path)).as_object();
    std::map<std::string, std::vector<std::string>> keys;  // DID -> did:keys, oldest first
    for (const std::string& line : test::ReadFileLines(base + ".dids.ndjson")) {
      if (line.empty()) continue;
      const json::object version = json::parse(line).as_object();
      keys[std::string(Str(version.at("did")))].emplace_back(Str(version.at("did_key")));
    }
    std::map<std::string, std::map<std::string, std::string>> expected;  // PDS and DID -> path -> CID
    for (const std::string& line : test::ReadFileLines(base + ".records.ndjson")) {
      if (line.empty()) continue;
      const json::object record = json::parse(line).as_object();
      expected[std::string(Str(record.at("pds"))) + " " + std::string(Str(record.at("did")))]
              [std::string(Str(record.at("collection"))) + "/" + std::string(Str(record.at("rkey")))] =
                  Str(record.at("cid"));
    }
    size_t cars = 0, records = 0, old_keys = 0;
    for (const json::value& info : counts.at("cars").as_array()) {
      const std::string did(Str(info.at("did")));
      SCOPED_TRACE(did);
      const std::vector<uint8_t> car = test::ReadFileBytes(*folder / Str(info.at("file")));
      const std::vector<std::string>& versions = keys.at(did);
      const auto current = crypto::PublicKey::FromDidKey(versions.back());
      ASSERT_EQ(Outcome(current.status()), "ok");
      ExportOptions options;
      options.key = &*current;
      options.did = Did::Parse(did);
      options.now_us = Tid::Parse(Str(info.at("rev")))->micros();
      ExportVerifier verifier;
      ASSERT_EQ(Outcome(verifier.Verify(car, options)), "ok");
      EXPECT_EQ(verifier.commit().rev, Str(info.at("rev")));
      EXPECT_EQ(verifier.commit_cid().ToString(), Str(info.at("head")));
      EXPECT_TRUE(verifier.unusable().empty());
      EXPECT_EQ(RecordsOf(verifier), expected[std::string(Str(info.at("pds"))) + " " + did]);
      EXPECT_EQ(verifier.record_count(), static_cast<size_t>(info.at("records").as_int64()));
      ++cars;
      records += verifier.record_count();
      for (const std::string& version : versions) {
        if (version == versions.back()) continue;
        const auto old_key = crypto::PublicKey::FromDidKey(version);
        options.key = &*old_key;
        EXPECT_EQ(Outcome(ExportVerifier().Verify(car, options)), "signature_mismatch");
        ++old_keys;
      }
    }
    EXPECT_GT(cars, 0u);
    std::printf("%s-cars: %zu repositories, %zu records; %zu old keys refused\n",
                fs::path(base).filename().c_str(), cars, records, old_keys);
  }
  EXPECT_GT(bases, 0u);
}

// The same archives, and all that are none, as they would come from a network: in the order in which others
// write them, in pieces, to the stream.
TEST(ExportVectors, StreamedArchives) {
  size_t archives = 0, good = 0;
  test::MemorySpill spill;
  ExportStream stream(&spill);
  ExportStreamOptions options;
  options.versions = CommitVersions::kAlsoV2;
  for (const auto& folder : {test::CapturesFolder(), test::VectorsFolder()}) {
    if (!folder) continue;
    for (const auto& file : fs::recursive_directory_iterator(*folder)) {
      if (file.path().extension() != ".car") continue;
      SCOPED_TRACE(file.path().string());
      const std::string car = test::ReadFileText(file.path());
      const test::Found expected = test::Verify(car, options);
      const test::Found found = test::Stream(stream, car, 1500, options);
      ++archives;
      if (expected.outcome == "ok") {
        ++good;
        EXPECT_EQ(found, expected);
      } else {
        // Of several faults the stream names the first to arrive.
        EXPECT_NE(found.outcome, "ok");
        EXPECT_EQ(found.outcome == "mst_partial", expected.outcome == "mst_partial") << found.outcome;
      }
    }
  }
  if (archives == 0) GTEST_SKIP() << "no archives: set PENSTOCK_VECTORS, PENSTOCK_CAPTURES";
  std::printf("%zu archives, %zu of them whole repositories\n", archives, good);
}

}  // namespace
}  // namespace penstock::repo
