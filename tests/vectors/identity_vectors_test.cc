// Documents and audit logs of others, and those of the captures: every document gives what is known of it
// from elsewhere.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "identity/did_document.h"
#include "identity/did_location.h"
#include "identity/plc_log.h"
#include "identity/recorded.h"
#include "repo/syntax.h"
#include "tests/support/shared_data.h"

namespace penstock::identity {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string_view TextOf(const json::value& value) { return std::string_view(value.as_string()); }

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const auto reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}

std::vector<fs::path> JsonFilesIn(const fs::path& folder) {
  std::set<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") files.insert(entry.path());
  }
  return std::vector<fs::path>(files.begin(), files.end());
}

TEST(IdentityVectors, IndigoDocuments) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const std::map<std::string, std::string> expected = {
      {"did:plc:ewvi7nxzyoun6zhxrhs64oiz",
       "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF https://bsky.social atproto.com"},
      // A feed generator: neither key nor PDS nor handle.
      {"did:web:discover.bsky.social", "did_no_key  "},
  };
  size_t cases = 0;
  for (const fs::path& file : JsonFilesIn(*folder / "indigo/did-docs")) {
    const std::string text = test::ReadFileText(file);
    const std::string did(TextOf(json::parse(text).at("id")));
    EXPECT_TRUE(LocateDid(did).ok()) << did;
    const Identity identity = ParseDidDocument(did, text);
    const std::string key = identity.key ? identity.key->did_key() : std::string(RejectName(*identity.fault));
    const auto known = expected.find(did);
    ASSERT_NE(known, expected.end()) << file << ": say here what it holds";
    EXPECT_EQ(key + " " + identity.pds + " " + identity.handle, known->second) << file;
    ++cases;
  }
  EXPECT_EQ(cases, expected.size());
  std::printf("indigo/did-docs: %zu cases\n", cases);
}

TEST(IdentityVectors, JetstreamCorpusDocuments) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const auto documents = json::parse(test::ReadFileText(*folder / "jetstream-corpus/did_docs.json"));
  for (const auto& [did, document] : documents.as_object()) {
    const Identity identity = ParseDidDocument(std::string_view(did), json::serialize(document));
    ASSERT_FALSE(identity.fault.has_value()) << RejectName(*identity.fault);
    // Each of these has one key, a Multikey, one PDS, and a handle that it writes in lower case.
    EXPECT_EQ(
        identity.key->did_key(),
        "did:key:" + std::string(TextOf(document.at("verificationMethod").at(0).at("publicKeyMultibase"))));
    EXPECT_EQ(identity.pds, TextOf(document.at("service").at(0).at("serviceEndpoint")));
    EXPECT_EQ("at://" + identity.handle, TextOf(document.at("alsoKnownAs").at(0)));
  }
  EXPECT_GT(documents.as_object().size(), 0u);
  std::printf("jetstream-corpus/did_docs: %zu documents\n", documents.as_object().size());
}

// Both forms of each document: the one with a type of 2019 and an uncompressed point, and Multikey.
TEST(IdentityVectors, CapturedDocuments) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  size_t cases = 0;
  for (const std::string& line : test::ReadFileLines(*folder / "pds-small.dids.ndjson")) {
    const auto version = json::parse(line);
    for (const char* form : {"doc", "doc_multikey"}) {
      const Identity identity =
          ParseDidDocument(TextOf(version.at("did")), json::serialize(version.at(form)));
      ASSERT_FALSE(identity.fault.has_value()) << RejectName(*identity.fault);
      EXPECT_EQ(identity.key->did_key(), TextOf(version.at("did_key")));
      EXPECT_EQ(identity.pds, TextOf(version.at("pds")));
      EXPECT_EQ(identity.handle, TextOf(version.at("handle")));
      ++cases;
    }
  }
  EXPECT_GT(cases, 0u);
  std::printf("captures/pds-small.dids: %zu documents in two forms\n", cases / 2);
}

// The file as a resolver, for each of the streams: every version is in force from its first seq on.
TEST(IdentityVectors, CapturedDocumentsInForce) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  const fs::path file = *folder / "pds-small.dids.ndjson";
  RecordedResolver resolver;
  for (const char* stream : {"a", "b"}) {
    std::ifstream lines(file);
    ASSERT_EQ(Outcome(resolver.Load(lines, file.string(), {stream, stream})), "ok");
  }
  // A migrated account's old version and its new one begin at the same seq of the new host's stream, of which
  // the old one has no event: the later one is in force.
  std::map<std::tuple<std::string, std::string, int64_t>, json::value> expected;
  size_t versions = 0;
  for (const std::string& line : test::ReadFileLines(file)) {
    const auto version = json::parse(line);
    for (const char* stream : {"a", "b"}) {
      const json::value& from_seq = version.at("from_seq").at(stream);
      if (from_seq.is_null()) continue;
      expected[{std::string(TextOf(version.at("did"))), stream, from_seq.to_number<int64_t>()}] = version;
      ++versions;
    }
  }
  for (const auto& [place, version] : expected) {
    const auto& [did, stream, seq] = place;
    const IdentityPtr identity = resolver.Find(did, {stream, seq});
    ASSERT_NE(identity, nullptr);
    EXPECT_EQ(identity->key->did_key(), TextOf(version.at("did_key")))
        << did << " at " << stream << " " << seq;
    EXPECT_EQ(identity->pds, TextOf(version.at("pds"))) << did;
  }
  EXPECT_GT(versions, 0u);
  EXPECT_EQ(versions, resolver.version_count());

  // And every commit's key is the one that the captures' makers found to be published at its seq.
  size_t commits = 0;
  for (const auto& [stream, name] :
       {std::pair("a", "pds-small.messages.ndjson"), std::pair("b", "pds-small-b.messages.ndjson")}) {
    for (const std::string& line : test::ReadFileLines(*folder / name)) {
      const auto message = json::parse(line);
      const auto* key = message.as_object().if_contains("did_key");
      if (key == nullptr || !key->is_string()) continue;
      const auto identity =
          resolver.Find(TextOf(message.at("did")), {stream, message.at("seq").to_number<int64_t>()});
      ASSERT_NE(identity, nullptr) << line.substr(0, 200);
      EXPECT_EQ(identity->key->did_key(), TextOf(*key)) << line.substr(0, 200);
      ++commits;
    }
  }
  EXPECT_GT(commits, 0u);
  std::printf(
      "captures/pds-small.dids: %zu versions over two streams, %zu messages judged by the key of their seq\n",
      versions, commits);
}

TEST(IdentityVectors, PlcAuditLogs) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  // Why each invalid log is refused, by a part of its name: right for the wrong reason is wrong.
  const std::vector<std::pair<std::string, std::string>> reasons = {
      {"_nullification_", "plc_bad_nullification"},
      {"_sig_", "plc_bad_signature"},
      {"_update_", "plc_bad_chain"}};
  size_t valid = 0, invalid = 0;
  for (const fs::path& file : JsonFilesIn(*folder / "did-plc-audit/valid")) {
    const std::string text = test::ReadFileText(file);
    const auto entries = json::parse(text);
    const auto log = PlcLog::Verify(TextOf(entries.at(0).at("did")), text);
    ASSERT_EQ(Outcome(log.status()), "ok") << file << " " << log.status();
    size_t in_force = 0;
    for (const auto& entry : entries.as_array()) in_force += !entry.at("nullified").as_bool();
    EXPECT_EQ(log->versions().size(), in_force) << file;
    ++valid;
  }
  for (const fs::path& file : JsonFilesIn(*folder / "did-plc-audit/invalid")) {
    const std::string name = file.filename().string(), text = test::ReadFileText(file);
    const auto log = PlcLog::Verify(TextOf(json::parse(text).at(0).at("did")), text);
    std::string reason = "(say here why it is refused)";
    for (const auto& [part, reject] : reasons) {
      if (name.find(part) != std::string::npos) reason = reject;
    }
    EXPECT_EQ(Outcome(log.status()), reason) << name << " " << log.status();
    ++invalid;
  }
  EXPECT_GT(valid, 0u);
  EXPECT_GT(invalid, 0u);
  std::printf("did-plc-audit: %zu valid, %zu invalid\n", valid, invalid);
}

// What the logs say is what the directory's documents said, version by version and at every time.
TEST(IdentityVectors, CapturedPlcLogs) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  std::map<std::string, std::vector<json::value>> documents;
  for (const std::string& line : test::ReadFileLines(*folder / "pds-small.dids.ndjson")) {
    auto version = json::parse(line);
    documents[std::string(TextOf(version.at("did")))].push_back(std::move(version));
  }
  size_t logs = 0, versions = 0;
  for (const std::string& line : test::ReadFileLines(*folder / "pds-small.plc-audit.ndjson")) {
    const auto entry = json::parse(line);
    const std::string did(TextOf(entry.at("did")));
    const auto log = PlcLog::Verify(did, json::serialize(entry.at("log")));
    ASSERT_EQ(Outcome(log.status()), "ok") << did << " " << log.status();
    for (const json::value& version : documents[did]) {
      const PlcVersion* said = log->At(repo::Datetime::Parse(TextOf(version.at("created_at")))->micros);
      ASSERT_NE(said, nullptr) << did;
      EXPECT_EQ(said->signing_key, TextOf(version.at("did_key"))) << did;
      EXPECT_EQ(said->pds, TextOf(version.at("pds"))) << did;
      EXPECT_EQ(said->handle, TextOf(version.at("handle"))) << did;
      const Identity identity = ParseDidDocument(did, json::serialize(version.at("doc")));
      EXPECT_EQ(Outcome(log->CheckDocument(identity)),
                version.as_object().contains("last") ? "ok" : "plc_document_mismatch")
          << did;
      ++versions;
    }
    ++logs;
  }
  EXPECT_EQ(logs, documents.size());
  std::printf("captures/pds-small.plc-audit: %zu logs, %zu versions of documents\n", logs, versions);
}

}  // namespace
}  // namespace penstock::identity
