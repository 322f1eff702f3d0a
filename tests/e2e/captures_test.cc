// The program against real captures: what `penstock replay` prints, and what its tables hold, is what the reference
// implementation made of the same frames. Takes every *.counts.json in $PENSTOCK_CAPTURES, whatever its name.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "cbor/cid.h"
#include "cbor/json_in.h"
#include "tests/e2e/program.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

// One stream of a capture: the frames and what is known of them.
struct Stream {
  fs::path folder;
  std::string base, pds, file;
  fs::path File(const std::string& suffix) const { return folder / (fs::path(file).stem().string() + suffix); }
};

std::vector<Stream> Streams() {
  std::vector<Stream> streams;
  const auto folder = CapturesFolder();
  if (!folder) return streams;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".counts.json")) continue;
    const json::value counts = json::parse(ReadFileText(entry.path()));
    for (const auto& [pds, stream] : counts.at("streams").as_object()) {
      streams.push_back({*folder, name.substr(0, name.size() - std::string(".counts.json").size()), std::string(pds),
                         std::string(stream.at("file").as_string())});
    }
  }
  return streams;
}

// The reference's text decoder drops a U+FEFF at the start of a text, so its JSON is not quite what was signed
// (docs/gotchas.md). Ours is: the CIDs of our own JSON say so below.
json::value WithoutByteOrderMarks(json::value value) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (json::string* text = value.if_string(); text != nullptr && std::string_view(*text).starts_with(kMark)) {
    text->erase(0, kMark.size());
  } else if (json::array* array = value.if_array()) {
    for (json::value& element : *array) element = WithoutByteOrderMarks(std::move(element));
  } else if (json::object* object = value.if_object()) {
    for (auto& member : *object) member.value() = WithoutByteOrderMarks(std::move(member.value()));
  }
  return value;
}

// The members of a line that both sides have to agree on, null and absent alike.
json::object Comparable(const json::value& line) {
  json::object out;
  for (const char* name : {"seq", "type", "did", "rev", "action", "collection", "rkey", "cid", "record", "handle", "active",
                           "status", "commit", "data"}) {
    if (const json::value* value = line.as_object().if_contains(name); value != nullptr && !value->is_null()) {
      out[name] = WithoutByteOrderMarks(*value);
    }
  }
  return out;
}

TEST(Captures, ReplayPrintsExactlyWhatTheReferenceSees) {
  const std::vector<Stream> streams = Streams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const Stream& stream : streams) {
    SCOPED_TRACE(stream.file);
    const ProgramRun run = RunProgram({"replay", (stream.folder / stream.file).string(), "--verify", "cid", "--out", "ndjson"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const std::vector<std::string> expected = ReadFileLines(stream.File(".events.ndjson"));
    ASSERT_FALSE(expected.empty());
    std::vector<std::string> printed;
    std::istringstream lines(run.out);
    for (std::string line; std::getline(lines, line);) printed.push_back(line);
    ASSERT_EQ(printed.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const json::value line = json::parse(printed[i]);
      ASSERT_EQ(Comparable(line), Comparable(json::parse(expected[i]))) << "line " << i + 1;
      const json::value* record = line.as_object().if_contains("record");
      if (record == nullptr) continue;
      // Not only what the reference says, but what was signed: the printed record, encoded again, has the printed CID.
      const auto block = cbor::JsonToCbor(json::serialize(*record));
      ASSERT_TRUE(block.ok()) << block.status() << " line " << i + 1;
      ASSERT_EQ(cbor::Cid::OfBlock(AsBytes(*block)).ToString(), std::string(line.at("cid").as_string())) << "line " << i + 1;
    }
    std::printf("captures/%s: %zu lines equal\n", stream.file.c_str(), expected.size());
  }
}

// did, collection and rkey, to CID and record.
using Records = std::map<std::string, std::pair<std::string, json::value>>;

class CapturedTables : public testing::TestWithParam<std::string> {};

TEST_P(CapturedTables, EqualTheFinalStateOfEveryActiveRepoSeenFromItsStart) {
  const std::vector<Stream> streams = Streams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const Stream& stream : streams) {
    SCOPED_TRACE(stream.file);
    TestStore store(GetParam());
    if (!store.available()) GTEST_SKIP() << store.why_not();
    const ProgramRun run = RunProgram({"replay", (stream.folder / stream.file).string(), "--verify", "cid", "--store", store.url()});
    ASSERT_EQ(run.exit_code, 0) << run.err;

    std::set<std::string> from_start;
    for (const std::string& line : ReadFileLines(stream.File(".messages.ndjson"))) {
      const json::value message = json::parse(line);
      if (const json::value* type = message.as_object().if_contains("type"); type == nullptr || type->as_string() != "#commit") continue;
      const json::value* since = message.as_object().if_contains("since");
      if (since == nullptr || since->is_null()) from_start.emplace(message.at("did").as_string());
    }
    std::set<std::string> active, inactive;
    for (const std::string& line : ReadFileLines(stream.folder / (stream.base + ".heads.ndjson"))) {
      const json::value head = json::parse(line);
      if (head.at("pds").as_string() != std::string_view(stream.pds)) continue;
      (head.at("active").as_bool() ? active : inactive).emplace(head.at("did").as_string());
    }
    Records expected;
    for (const std::string& line : ReadFileLines(stream.folder / (stream.base + ".records.ndjson"))) {
      const json::value record = json::parse(line);
      const std::string did(record.at("did").as_string());
      if (record.at("pds").as_string() != std::string_view(stream.pds) || !from_start.contains(did)) continue;
      expected[did + " " + std::string(record.at("collection").as_string()) + " " +
               std::string(record.at("rkey").as_string())] = {std::string(record.at("cid").as_string()), record.at("value")};
    }
    ASSERT_FALSE(expected.empty());

    size_t equal = 0;
    for (const auto& row : store.Query("SELECT did, collection, rkey, cid, value, value_lossy FROM visible_record")) {
      const std::string did = row[0].value();
      EXPECT_FALSE(inactive.contains(did)) << did << " is not active, its rows must be hidden";
      if (!active.contains(did) || !from_start.contains(did)) continue;
      const std::string key = did + " " + row[1].value() + " " + row[2].value();
      auto it = expected.find(key);
      ASSERT_NE(it, expected.end()) << "unexpected row " << key;
      EXPECT_EQ(row[3].value(), it->second.first) << key;
      // U+0000 is the one thing that a column cannot hold; the CID above and the bytes say that the record is right.
      const bool lossy = row[5] == "t" || row[5] == "1" || row[5] == "true";
      if (!lossy) {
        EXPECT_EQ(WithoutByteOrderMarks(json::parse(row[4].value())), it->second.second) << key;
      }
      expected.erase(it);
      ++equal;
    }
    EXPECT_TRUE(expected.empty()) << expected.size() << " rows are missing, the first is " << expected.begin()->first;
    std::printf("captures/%s into %s: %zu rows equal, %zu accounts hidden\n", stream.file.c_str(), GetParam().c_str(), equal,
                inactive.size());
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, CapturedTables, testing::Values("sqlite", "postgresql"));

}  // namespace
}  // namespace penstock::test
