// The program against real captures: what `penstock replay` prints, and what its tables hold, is what the
// reference implementation made of the same frames, at level `cid` and at level `full`. Takes every
// *.counts.json in $PENSTOCK_CAPTURES, whatever its name.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <map>
#include <set>
#include <sstream>

#include "cbor/cid.h"
#include "cbor/json_in.h"
#include "tests/e2e/capture_truth.h"
#include "tests/e2e/program.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

namespace json = boost::json;
using Fate = CaptureTruth::Fate;

std::string Text(const json::value& value) { return std::string(value.as_string()); }

// The reference's text decoder drops a U+FEFF at the start of a text, so its JSON is not quite what was
// signed (docs/gotchas.md). Ours is: the CIDs of our own JSON say so below.
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
  for (const char* name : {"seq", "type", "did", "rev", "action", "collection", "rkey", "cid", "record",
                           "handle", "active", "status", "commit", "data"}) {
    if (const json::value* value = line.as_object().if_contains(name);
        value != nullptr && !value->is_null()) {
      out[name] = WithoutByteOrderMarks(*value);
    }
  }
  return out;
}

// What was printed, by seq: the workers of several accounts print side by side.
std::vector<json::value> PrintedLines(const std::string& out) {
  std::vector<json::value> lines;
  std::istringstream text(out);
  for (std::string line; std::getline(text, line);) lines.push_back(json::parse(line));
  std::stable_sort(lines.begin(), lines.end(), [](const json::value& a, const json::value& b) {
    return a.at("seq").as_int64() < b.at("seq").as_int64();
  });
  return lines;
}

void ExpectLines(const std::vector<json::value>& printed, const std::vector<json::object>& expected) {
  ASSERT_FALSE(expected.empty());
  ASSERT_EQ(printed.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const json::value& line = printed[i];
    ASSERT_EQ(Comparable(line), Comparable(expected[i])) << "line " << i + 1;
    const json::value* record = line.as_object().if_contains("record");
    if (record == nullptr) continue;
    // Not only what the reference says, but what was signed: the printed record, encoded again, has the
    // printed CID.
    const auto block = cbor::JsonToCbor(json::serialize(*record));
    ASSERT_TRUE(block.ok()) << block.status() << " line " << i + 1;
    ASSERT_EQ(cbor::Cid::OfBlock(AsBytes(*block)).ToString(), Text(line.at("cid"))) << "line " << i + 1;
  }
}

std::vector<CapturedStream> AllStreams() {
  std::vector<CapturedStream> all;
  for (const auto& [base, streams] : CapturedBases()) all.insert(all.end(), streams.begin(), streams.end());
  return all;
}

TEST(Captures, ReplayPrintsExactlyWhatTheReferenceSees) {
  const std::vector<CapturedStream> streams = AllStreams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const CapturedStream& stream : streams) {
    SCOPED_TRACE(stream.file);
    const ProgramRun run =
        RunProgram({"replay", stream.Path().string(), "--verify", "cid", "--out", "ndjson"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const std::vector<json::object> expected = ReadNdjson(stream.File(".events.ndjson"));
    ExpectLines(PrintedLines(run.out), expected);
    std::printf("captures/%s: %zu lines equal\n", stream.file.c_str(), expected.size());
  }
}

// Every commit that the reference accepts is accepted, with the level that it earned; what is refused is what
// the reference refuses.
TEST(Captures, ReplayAtFullPrintsWhatTheReferenceAccepts) {
  const std::vector<CapturedStream> streams = AllStreams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const CapturedStream& stream : streams) {
    SCOPED_TRACE(stream.file);
    const ProgramRun run = RunProgram({"replay", stream.Path().string(), "--verify", "full", "--did-docs",
                                       stream.DidDocs(), "--workers", "2", "--out", "ndjson"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    const CaptureTruth truth({stream}, /*as_pds=*/false);
    std::vector<json::object> expected;
    for (json::object& line : ReadNdjson(stream.File(".events.ndjson"))) {
      if (truth.events().at({stream.pds, line.at("seq").as_int64()}).fate == Fate::kPasses)
        expected.push_back(std::move(line));
    }
    const std::vector<json::value> printed = PrintedLines(run.out);
    ExpectLines(printed, expected);
    if (HasFatalFailure()) return;
    std::map<std::string, size_t> levels;
    for (const json::value& line : printed) {
      const CaptureTruth::Event& event = truth.events().at({stream.pds, line.at("seq").as_int64()});
      const json::value* level = line.as_object().if_contains("verification");
      ASSERT_EQ(level == nullptr ? "" : Text(*level), event.verification) << line.at("seq");
      if (level != nullptr) ++levels[event.verification];
    }
    std::string refused;
    for (const int64_t seq : truth.Seqs(stream, Fate::kRefused)) {
      const std::string reject = truth.events().at({stream.pds, seq}).reject;
      refused += " " + std::to_string(seq) + " (" + reject + ")";
      EXPECT_THAT(run.err, testing::ContainsRegex("refused seq=" + std::to_string(seq) +
                                                  " did=[^ ]* reject=" + reject + " "));
    }
    size_t refusals = 0;
    for (size_t at = 0; (at = run.err.find("refused seq=", at)) != std::string::npos; ++at) ++refusals;
    EXPECT_EQ(refusals, truth.Seqs(stream, Fate::kRefused).size());
    std::printf("captures/%s at full: %zu lines equal, levels", stream.file.c_str(), expected.size());
    for (const auto& [level, count] : levels) std::printf(" %s %zu", level.c_str(), count);
    std::printf(", ignored %zu, held %zu, refused%s\n", truth.Seqs(stream, Fate::kIgnored).size(),
                truth.Seqs(stream, Fate::kHeld).size(), refused.c_str());
  }
}

class CapturedTables : public testing::TestWithParam<std::string> {
 protected:
  // Replays into a new store; null when there is no database of this kind here.
  std::unique_ptr<TestStore> Replay(const std::vector<std::string>& args) {
    auto store = std::make_unique<TestStore>(GetParam());
    if (!store->available()) return store;
    std::vector<std::string> all = {"replay"};
    all.insert(all.end(), args.begin(), args.end());
    all.insert(all.end(), {"--store", store->url()});
    const ProgramRun run = RunProgram(all);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return store;
  }
};

struct ExpectedRecord {
  std::string cid;
  json::value value;
};

// "did collection rkey" -> the record, of accounts that are active at the end on the host they live on.
// `pds`: of this one only, or of all.
std::map<std::string, ExpectedRecord> FinalRecords(const CapturedStream& stream, const std::string& pds) {
  std::map<std::string, ExpectedRecord> expected;
  for (const json::object& record : ReadNdjson(stream.BaseFile(".records.ndjson"))) {
    if (!pds.empty() && Text(record.at("pds")) != pds) continue;
    expected[Text(record.at("did")) + " " + Text(record.at("collection")) + " " + Text(record.at("rkey"))] = {
        Text(record.at("cid")), record.at("value")};
  }
  return expected;
}

struct FinalHead {
  bool active = false;
  std::string rev, commit;
};
// did -> how its host lists it at the end. Where several do, the one where it is active.
std::map<std::string, FinalHead> FinalHeads(const CapturedStream& stream, const std::string& pds) {
  std::map<std::string, FinalHead> heads;
  for (const json::object& head : ReadNdjson(stream.BaseFile(".heads.ndjson"))) {
    if (!pds.empty() && Text(head.at("pds")) != pds) continue;
    FinalHead& known = heads[Text(head.at("did"))];
    if (!known.active) known = {head.at("active").as_bool(), Text(head.at("rev")), Text(head.at("head"))};
  }
  return heads;
}

// Compares visible_record with `expected`, accounts of `complete` both ways, others as far as there are rows.
// Returns how many rows were equal. `levels`: the level that each row must have, or null for all `cid`.
size_t ExpectRows(TestStore& store, std::map<std::string, ExpectedRecord> expected,
                  const std::set<std::string>& complete, const std::set<std::string>& hidden,
                  const std::map<std::string, std::string>* levels) {
  size_t equal = 0;
  for (const auto& row : store.Query(
           "SELECT did, collection, rkey, cid, value, value_lossy, verification FROM visible_record")) {
    const std::string did = row[0].value();
    const std::string key = did + " " + row[1].value() + " " + row[2].value();
    EXPECT_FALSE(hidden.contains(did)) << did << " is not active, its rows must be hidden";
    EXPECT_EQ(row[6].value(), levels == nullptr ? "cid" : levels->at(key)) << key;
    auto it = expected.find(key);
    if (it == expected.end()) {
      EXPECT_FALSE(complete.contains(did)) << "unexpected row " << key;
      continue;
    }
    EXPECT_EQ(row[3].value(), it->second.cid) << key;
    // U+0000 is the one thing that a column cannot hold; the CID above and the bytes say that the record is
    // right.
    const bool lossy = row[5] == "t" || row[5] == "1" || row[5] == "true";
    if (!lossy) {
      EXPECT_EQ(WithoutByteOrderMarks(json::parse(row[4].value())), it->second.value) << key;
    }
    expected.erase(it);
    ++equal;
  }
  std::erase_if(expected, [&](const auto& record) {
    return !complete.contains(record.first.substr(0, record.first.find(' ')));
  });
  EXPECT_TRUE(expected.empty()) << expected.size() << " rows are missing, the first is "
                                << expected.begin()->first;
  return equal;
}

TEST_P(CapturedTables, EqualTheFinalStateOfEveryActiveRepoSeenFromItsStart) {
  const std::vector<CapturedStream> streams = AllStreams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const CapturedStream& stream : streams) {
    SCOPED_TRACE(stream.file);
    const auto store = Replay({stream.Path().string(), "--verify", "cid"});
    if (!store->available()) GTEST_SKIP() << store->why_not();
    std::set<std::string> complete, hidden;
    for (const json::object& message : ReadNdjson(stream.File(".messages.ndjson"))) {
      if (Text(message.at("type")) == "#commit" && message.at("since").is_null())
        complete.insert(Text(message.at("did")));
    }
    for (const auto& [did, head] : FinalHeads(stream, stream.pds)) {
      if (head.active) continue;
      hidden.insert(did);
      complete.erase(did);
    }
    const size_t equal = ExpectRows(*store, FinalRecords(stream, stream.pds), complete, hidden, nullptr);
    EXPECT_GT(equal, 0u);
    std::printf("captures/%s into %s: %zu rows equal, %zu accounts hidden\n", stream.file.c_str(),
                GetParam().c_str(), equal, hidden.size());
  }
}

// Table repo against what the truth says, and against how the hosts list their accounts at the end.
size_t ExpectAccounts(TestStore& store, const CaptureTruth& truth,
                      const std::map<std::string, FinalHead>& heads) {
  size_t equal = 0;
  std::map<std::string, std::vector<std::optional<std::string>>> rows;
  for (auto& row : store.Query("SELECT did, sync_state, rev, data, commit_cid, active FROM repo"))
    rows[row[0].value()] = row;
  for (const auto& [did, account] : truth.accounts()) {
    if (!account.seen) continue;
    SCOPED_TRACE(did);
    const auto row = rows.find(did);
    if (row == rows.end()) {
      ADD_FAILURE() << "no row in repo";
      continue;
    }
    const auto text = [&](size_t column) { return row->second[column].value_or(""); };
    EXPECT_EQ(text(1), account.sync_state);
    EXPECT_EQ(text(2), account.rev);
    EXPECT_EQ(text(3), account.data);
    EXPECT_EQ(text(4), account.commit);
    EXPECT_EQ(text(5) == "t" || text(5) == "1" || text(5) == "true", account.active);
    const auto head = heads.find(did);
    // A deleted account is listed nowhere; a desynchronised one stands where its chain broke.
    if (head == heads.end() || account.sync_state == "desynchronized" || account.rev.empty()) continue;
    EXPECT_EQ(account.active, head->second.active);
    EXPECT_EQ(text(2), head->second.rev);
    EXPECT_EQ(text(4), head->second.commit);
    ++equal;
  }
  return equal;
}

std::set<std::string> Complete(const CaptureTruth& truth) {
  std::set<std::string> complete;
  for (const auto& [did, account] : truth.accounts()) {
    if (account.from_start && account.active && account.sync_state != "desynchronized") complete.insert(did);
  }
  return complete;
}
std::set<std::string> Hidden(const CaptureTruth& truth) {
  std::set<std::string> hidden;
  for (const auto& [did, account] : truth.accounts()) {
    if (!account.active) hidden.insert(did);
  }
  return hidden;
}
size_t Count(TestStore& store, const std::string& what) {
  return static_cast<size_t>(std::stoll(store.Query("SELECT count(*) FROM " + what)[0][0].value()));
}

TEST_P(CapturedTables, AtFullEachRowHasTheLevelThatItEarned) {
  const std::vector<CapturedStream> streams = AllStreams();
  if (streams.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const CapturedStream& stream : streams) {
    SCOPED_TRACE(stream.file);
    const auto store = Replay(
        {stream.Path().string(), "--verify", "full", "--did-docs", stream.DidDocs(), "--workers", "2"});
    if (!store->available()) GTEST_SKIP() << store->why_not();
    const CaptureTruth truth({stream}, /*as_pds=*/false);
    const size_t rows =
        ExpectRows(*store, FinalRecords(stream, stream.pds), Complete(truth), Hidden(truth), &truth.levels());
    const size_t accounts = ExpectAccounts(*store, truth, FinalHeads(stream, stream.pds));
    EXPECT_GT(rows, 0u);
    EXPECT_GT(accounts, 0u);
    EXPECT_EQ(Count(*store, "dead_letter"), truth.Seqs(stream, Fate::kRefused).size());
    EXPECT_EQ(Count(*store, "held_event"), truth.Seqs(stream, Fate::kHeld).size());
    std::printf("captures/%s at full into %s: %zu rows and %zu accounts equal, %zu complete, %zu hidden\n",
                stream.file.c_str(), GetParam().c_str(), rows, accounts, Complete(truth).size(),
                Hidden(truth).size());
  }
}

// All streams of a base as the sources of one run, each as its own PDS: accounts that move are followed
// across, and the end is what the hosts together hold.
TEST_P(CapturedTables, AtFullAllStreamsTogetherEqualTheUnionOfTheirHosts) {
  const auto bases = CapturedBases();
  if (bases.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const auto& [base, streams] : bases) {
    if (streams.size() < 2) continue;
    SCOPED_TRACE(base);
    const CaptureTruth truth(streams, /*as_pds=*/true);
    std::vector<std::string> args;
    for (const CapturedStream& stream : streams) args.push_back(stream.Path().string());
    args.insert(args.end(), {"--verify", "full", "--workers", "2"});
    std::string hosts;
    for (const CapturedStream& stream : streams) {
      args.insert(args.end(), {"--did-docs", stream.DidDocs()});
      hosts += (hosts.empty() ? "" : ",") + truth.Host(stream);
    }
    args.insert(args.end(), {"--pds", hosts});
    const auto store = Replay(args);
    if (!store->available()) GTEST_SKIP() << store->why_not();
    const size_t rows =
        ExpectRows(*store, FinalRecords(streams[0], ""), Complete(truth), Hidden(truth), &truth.levels());
    const size_t accounts = ExpectAccounts(*store, truth, FinalHeads(streams[0], ""));
    EXPECT_GT(rows, 0u);
    EXPECT_GT(accounts, 0u);
    size_t refused = 0, held = 0;
    for (const CapturedStream& stream : streams) {
      refused += truth.Seqs(stream, Fate::kRefused).size();
      held += truth.Seqs(stream, Fate::kHeld).size();
    }
    EXPECT_EQ(Count(*store, "dead_letter"), refused);
    EXPECT_EQ(Count(*store, "held_event"), held);
    std::printf(
        "captures/%s, %zu streams in one run into %s: %zu rows and %zu accounts equal, %zu complete, %zu "
        "hidden, %zu refused\n",
        base.c_str(), streams.size(), GetParam().c_str(), rows, accounts, Complete(truth).size(),
        Hidden(truth).size(), refused);
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, CapturedTables, testing::Values("sqlite", "postgresql"));

}  // namespace
}  // namespace penstock::test
