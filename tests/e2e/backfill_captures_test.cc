// Whole repositories of others through the program: every archive of ../shared/captures and ../shared/vectors, from a host on
// loopback. Good ones come in with the record counts that their READMEs give; the rest is refused under the name that it deserves.
//
// An archive whose account's key nobody has (arroba, repo-stream, the one of jetstream-corpus) cannot be taken in by `backfill`: a
// repository is its account's word or nothing. Those are counted without a key, as tests/vectors/export_vectors_test.cc does, and
// are offered under a key of somebody else, which has to be refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "car/reader.h"
#include "fixtures/builder/account.h"
#include "fixtures/directory/directory.h"
#include "identity/did_document.h"
#include "tests/e2e/program.h"
#include "tests/repo/streamed_export.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr char kSigned[] = "signature_mismatch";

// An archive as it is offered.
struct Case {
  std::string name;
  std::string did;
  std::string did_key;  // of its document
  std::string car;
  std::string expected;              // "ok", or the cause of its task
  std::optional<size_t> records;     // that a README gives
};

std::string Text(const json::value& value) { return std::string(value.as_string()); }

std::string Document(const Case& one, const std::string& pds) {
  const std::string multikey = one.did_key.substr(std::string("did:key:").size());
  return json::serialize(json::value{
      {"id", one.did},
      {"alsoKnownAs", json::array{"at://somebody.lantern.test"}},
      {"verificationMethod",
       json::array{{{"id", one.did + "#atproto"}, {"type", "Multikey"}, {"controller", one.did}, {"publicKeyMultibase", multikey}}}},
      {"service",
       json::array{{{"id", "#atproto_pds"}, {"type", "AtprotoPersonalDataServer"}, {"serviceEndpoint", pds}}}}});
}

// What the stream of archives says of it in this process, under this account and key.
Found Judge(const Case& one, bool with_key) {
  MemorySpill spill;
  repo::ExportStream stream(&spill);
  repo::ExportStreamOptions options;
  std::optional<crypto::PublicKey> key;
  if (with_key) {
    key = *crypto::PublicKey::FromDidKey(one.did_key);
    options.key = &*key;
    options.did = repo::Did::Parse(one.did);
  }
  return Stream(stream, one.car, 4096, options);
}

// The DID of the archive's commit; empty if it has none.
std::string DidOf(const std::string& car) {
  auto hosted = fixtures::HostedRepo::FromCar(car);
  return hosted.ok() ? hosted->did : "";
}

// Some account that has nothing to do with any archive: its key and DID.
builder::Account Stranger(uint64_t seed) { return builder::Account({.seed = 9'000 + seed, .handle = "stranger.lantern.test"}); }

// Offers the cases, each account once in a round, to one `penstock backfill` each round.
void ExpectOutcomes(std::vector<Case> cases) {
  size_t taken = 0, refused = 0, records = 0;
  while (!cases.empty()) {
    std::vector<Case> round, later;
    std::set<std::string> dids;
    for (Case& one : cases) (dids.insert(one.did).second ? round : later).push_back(std::move(one));
    cases = std::move(later);

    const auto host = *fixtures::Directory::Start();
    const TempFolder folder;
    const std::string list = folder.path() / "dids.txt";
    std::ofstream file(list);
    for (const Case& one : round) {
      host->SetDocument(one.did, Document(one, host->url()));
      fixtures::HostedRepo repo;
      if (auto hosted = fixtures::HostedRepo::FromCar(one.car); hosted.ok()) repo = *std::move(hosted);
      repo.did = one.did;
      if (repo.rev.empty()) repo.rev = "3lxr54avspe5j";
      if (repo.head.empty()) repo.head = "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm";
      repo.car = std::make_shared<const std::string>(one.car);
      host->hosting().SetRepo("", std::move(repo));
      file << one.did << "\n";
    }
    file.close();
    const bool all_good = std::all_of(round.begin(), round.end(), [](const Case& one) { return one.expected == "ok"; });
    const TestStore store("sqlite");
    const ProgramRun run =
        RunProgram({"backfill", "--dids", list, "--collections", "*", "--store", store.url(), "--directory", host->url(),
                    "--directory-rate", "10000", "--host-rate", "10000", "--host-burst", "10000", "--allow-private-addresses",
                    "--no-verify-handles", "--retry-first", "1", "--retry-most", "1", "--retry-attempts", "1", "--give-up-after",
                    "60"});
    EXPECT_EQ(run.exit_code, all_good ? 0 : 1) << run.err;
    TestStore& tables = const_cast<TestStore&>(store);
    std::map<std::string, std::string> outcomes;
    for (const auto& row : tables.Query("SELECT did, state, cause FROM backfill_task")) {
      outcomes[*row[0]] = *row[1] == "done" ? "ok" : *row[1] == "failed" ? row[2].value_or("") : *row[1] + " " + row[2].value_or("");
    }
    std::map<std::string, size_t> rows;
    for (const auto& row : tables.Query("SELECT did, count(*) FROM record WHERE verification = 'export' GROUP BY did")) {
      rows[*row[0]] = std::stoull(*row[1]);
    }
    for (const Case& one : round) {
      SCOPED_TRACE(one.name);
      EXPECT_EQ(outcomes[one.did], one.expected);
      if (one.expected == "ok") {
        EXPECT_EQ(rows[one.did], Judge(one, true).records.size());
        if (one.records) {
          EXPECT_EQ(rows[one.did], *one.records);
        }
        ++taken;
        records += rows[one.did];
      } else {
        EXPECT_EQ(rows.count(one.did), 0u) << "nothing of what was refused";
        ++refused;
      }
    }
  }
  std::printf("backfill: %zu repositories taken in with %zu records, %zu refused\n", taken, records, refused);
}

// The current key of each account of a capture.
std::map<std::string, std::string> CurrentKeys(const std::string& base) {
  std::map<std::string, std::string> keys;
  for (const std::string& line : ReadFileLines(base + ".dids.ndjson")) {
    if (line.empty()) continue;
    const json::value version = json::parse(line);
    keys[Text(version.at("did"))] = Text(version.at("did_key"));
  }
  return keys;
}

std::vector<Case> CapturedCases() {
  std::vector<Case> cases;
  const auto folder = CapturesFolder();
  if (!folder) return cases;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    constexpr std::string_view kSuffix = ".counts.json";
    const std::string path = entry.path().string();
    if (!path.ends_with(kSuffix)) continue;
    const auto keys = CurrentKeys(path.substr(0, path.size() - kSuffix.size()));
    const json::value counts = json::parse(ReadFileText(path));
    for (const json::value& info : counts.at("cars").as_array()) {
      Case one;
      one.name = Text(info.at("file"));
      one.did = Text(info.at("did"));
      one.did_key = keys.at(one.did);
      one.car = ReadFileText(*folder / one.name);
      one.expected = "ok";
      one.records = info.at("records").to_number<size_t>();
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

TEST(BackfillCaptures, EveryRepositoryIsVerifiedAndTakenIn) {
  const std::vector<Case> cases = CapturedCases();
  if (cases.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    const ProgramRun run = RunProgram({"verify", (*CapturesFolder() / one.name).string(), "--key", one.did_key, "--json"});
    ASSERT_EQ(run.exit_code, 0) << run.out << run.err;
    const json::value report = json::parse(run.out);
    EXPECT_TRUE(report.at("verified").as_bool());
    EXPECT_EQ(report.at("records").to_number<size_t>(), *one.records);
  }
  ExpectOutcomes(cases);
}

TEST(BackfillCaptures, WhatIsIncompleteOrNotTheirsIsRefusedByName) {
  std::vector<Case> spoilt;
  const std::vector<Case> cases = CapturedCases();
  if (cases.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  uint64_t seed = 0;
  std::map<std::string, size_t> met;
  for (const Case& one : cases) {
    Case cut = one;
    cut.name += " cut in half";
    cut.car.resize(cut.car.size() / 2);
    spoilt.push_back(std::move(cut));
    // Whole sections, but not all of them: nothing about its form says so. The last one is a record, the one behind the commit is
    // the root of the tree.
    car::Reader reader(AsBytes(one.car));
    ASSERT_TRUE(reader.ReadHeader().ok()) << one.name;
    std::vector<size_t> ends = {reader.offset()};
    for (car::Block block; reader.Next(&block);) ends.push_back(reader.offset());
    if (ends.size() > 3) {
      Case last = one;
      last.name += " without its last block";
      last.car.resize(ends[ends.size() - 2]);
      spoilt.push_back(std::move(last));
    }
    Case root = one;
    root.name += " without its second block";
    root.car.erase(ends[1], ends[2] - ends[1]);
    spoilt.push_back(std::move(root));
    Case foreign = one;
    foreign.name += " under another key";
    foreign.did_key = Stranger(++seed).key().DidKey();
    spoilt.push_back(std::move(foreign));
    Case elsewhere = one;
    elsewhere.name += " as somebody else's";
    elsewhere.did = Stranger(++seed).did();
    spoilt.push_back(std::move(elsewhere));
  }
  for (Case& one : spoilt) {
    one.records.reset();
    one.expected = Judge(one, true).outcome;
    EXPECT_NE(one.expected, "ok") << one.name;
    ++met[one.expected];
  }
  for (const char* name : {"car_truncated", "mst_partial", "car_missing_block", kSigned, "commit_did_mismatch"}) EXPECT_GT(met[name], 0u) << name;
  for (const auto& [name, count] : met) std::printf("captures: %zu archives to refuse as %s\n", count, name.c_str());
  ExpectOutcomes(std::move(spoilt));
}

// The key of the document beside the file, if there is one.
std::string KeyBeside(const fs::path& car) {
  const std::string name = car.filename().string();
  const fs::path document = car.parent_path() / (name.substr(0, name.find('.')) + ".didDoc.json");
  if (!fs::exists(document)) return "";
  const std::string text = ReadFileText(document);
  const auto key = identity::ParseDidDocument(Text(json::parse(text).at("id")), text).key;
  return key ? key->did_key() : "";
}

TEST(BackfillVectors, EveryArchiveIsTakenInOrRefusedByName) {
  const auto folder = VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  struct Known {
    size_t records;        // of the repository, without regard to its key
    std::string with_key;  // what `backfill` makes of it
  };
  // What the README gives; the key of the first four nobody has.
  const std::map<std::string, Known> known = {
      {"snarfed2.car", {5, kSigned}},          {"empty.car", {0, kSigned}},
      {"tiny.car", {8, kSigned}},              {"repo.car", {23, kSigned}},
      {"greenground.repo.car", {2, "ok"}},     {"paul_staging.repo.car", {0, "commit_bad_version"}},
      {"repo_slice.car", {0, "commit_bad_version"}}};
  std::vector<Case> cases;
  uint64_t seed = 100;
  size_t met = 0;
  for (const auto& entry : fs::recursive_directory_iterator(*folder)) {
    const fs::path& file = entry.path();
    if (file.extension() != ".car") continue;
    SCOPED_TRACE(file.string());
    const builder::Account stranger = Stranger(++seed);
    Case one;
    one.name = fs::relative(file, *folder).string();
    one.car = ReadFileText(file);
    one.did = DidOf(one.car);
    // No commit: somebody's all the same, for the host has to serve it as something.
    if (one.did.empty()) one.did = stranger.did();
    one.did_key = KeyBeside(file);
    if (one.did_key.empty()) one.did_key = stranger.key().DidKey();
    one.expected = Judge(one, true).outcome;
    if (const auto found = known.find(file.filename().string()); found != known.end()) {
      ++met;
      EXPECT_EQ(one.expected, found->second.with_key);
      const Found without = Judge(one, false);
      EXPECT_EQ(without.records.size(), found->second.records);
      if (one.expected == "ok") one.records = found->second.records;
    } else {
      EXPECT_NE(one.expected, "ok");
    }
    cases.push_back(std::move(one));
  }
  EXPECT_EQ(met, known.size());
  ExpectOutcomes(std::move(cases));
}

}  // namespace
}  // namespace penstock::test
