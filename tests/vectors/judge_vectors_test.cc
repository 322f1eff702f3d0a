// What becomes of the events of others at level `full`: made-up hostile frames against the state that each of
// them meets, and whole conversations of a relay's own tests.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/json_in.h"
#include "identity/did_document.h"
#include "sync/judge.h"
#include "tests/support/identity/scripted_resolver.h"
#include "tests/support/pipeline/inline_consumer.h"
#include "tests/support/shared_data.h"

namespace penstock {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using firehose::FrameKind;
using firehose::StreamAction;
using repo::Verification;
using sync::SyncState;
using sync::Verdict;
using sync::Wait;
using testing::AnyOf;
using testing::Contains;
using Kind = sync::Verdict::Kind;

constexpr std::string_view kRelay = "relay.test";

std::string_view Str(const json::value& value) { return std::string_view(value.as_string()); }

std::string NameOf(const absl::Status& status) {
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}

identity::IdentityPtr IdentityFrom(std::string_view did, const json::value& document, int64_t asked_us) {
  identity::Identity identity = document.is_null()
                                    ? identity::NoIdentity(did, Reject::kDidNotFound)
                                    : identity::ParseDidDocument(did, json::serialize(document));
  identity.did = did;
  identity.asked_us = asked_us;
  return std::make_shared<identity::Identity>(std::move(identity));
}

std::string CborOf(const json::value& value) {
  const auto cbor = cbor::JsonToCbor(json::serialize(value), {}, cbor::DataModel::kDrisl);
  EXPECT_TRUE(cbor.ok()) << cbor.status();
  return cbor.value_or("");
}

class JudgeVectors : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::VectorsFolder();
    if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
    folder_ = *folder;
    options_.filter = &filter_;
    options_.clock = &clock_;
    options_.counters = &counters_;
    options_.resolver = &resolver_;
  }

  fs::path folder_;
  indexer::Filter filter_ = indexer::Filter::Everything();
  FixedClock clock_{0};
  Counters counters_;
  test::ScriptedResolver resolver_;
  pipeline::PipelineOptions options_;
};

// ---- synthetic-frames ----

struct Case {
  std::string name, expect;
  std::vector<uint8_t> message;
  json::value document;
  sync::AccountState prior;
  int64_t now_us = 0;
};

Case CaseFrom(const json::object& line) {
  Case c;
  c.name = Str(line.at("name"));
  c.expect = Str(line.at("expect"));
  c.message = *FromBase64(Str(line.at("frame").at("$bytes")));
  c.document = line.at("didDoc");
  c.now_us = repo::Datetime::Parse(Str(line.at("now")))->micros;
  if (const json::object* prior = line.at("prior").if_object()) {
    c.prior.sync_state = SyncState::kSynchronized;
    c.prior.head =
        sync::Head{std::string(Str(prior->at("rev"))), *cbor::Cid::FromString(Str(prior->at("data"))), {}};
  }
  return c;
}

// The reasons of the refusals that take a key, an inversion or the account's state;
// tests/vectors/frames_vectors_test.cc has those that the frame shows by itself.
const std::map<std::string, std::string> kReasons = {
    {"sig-high-s-p256", "signature_high_s"},
    {"sig-der", "signature_length"},
    {"sig-wrong-key", "signature_mismatch"},
    {"sig-wrong-curve", "signature_mismatch"},
    {"sync-bad-sig", "signature_high_s"},
    {"sync-rev-mismatch", "commit_rev_mismatch"},
    {"op-omitted", "commit_prev_data_mismatch"},
    {"op-extra", "commit_prev_data_mismatch"},
    {"update-wrong-prev", "commit_prev_data_mismatch"},
    {"prevdata-wrong", "commit_prev_data_mismatch"},
    {"prevdata-not-prior", "chain_broken"},
    {"sync-new-state", "chain_broken"},
};

// The outcomes of the vectors' README that our verdict stands for. A commit that is refused although its
// signature is good makes the account desynchronised as well, so it is a "desync" too.
std::vector<std::string> OutcomesOf(const Verdict& verdict) {
  switch (verdict.kind) {
    case Kind::kApply:
      return {"accept", "accept-or-desync"};
    case Kind::kIgnore:
      return {"ignore-event"};
    case Kind::kDesync:
      return {"desync", "accept-or-desync"};
    case Kind::kDrop:
      if (sync::IsHeldState(verdict.next)) return {"reject", "desync", "accept-or-desync"};
      return {"reject"};
    case Kind::kWait:
      break;
  }
  return {std::string("wait: ") + std::string(sync::WaitName(verdict.wait))};
}

TEST_F(JudgeVectors, SyntheticFrames) {
  sync::JudgeOptions options;
  options.clock = &clock_;
  options.resolver = &resolver_;
  sync::Judge judge(options);  // one for all: nothing of a case may show in the next
  firehose::Frame frame;
  std::map<std::string, size_t> counts;
  size_t refreshed = 0;
  for (const std::string& line : test::ReadFileLines(folder_ / "synthetic-frames/cases.jsonl")) {
    if (line.empty()) continue;
    const Case c = CaseFrom(json::parse(line).as_object());
    SCOPED_TRACE(c.name);
    ++counts[c.expect];
    clock_.Set(c.now_us);

    std::vector<std::string> outcomes;
    std::string reason;
    Verdict verdict;
    const absl::Status framing = firehose::DecodeFrame(c.message, &frame);
    if (!framing.ok()) {
      outcomes = {"drop-connection"};
    } else if (frame.kind == FrameKind::kRejected) {
      outcomes = {"reject"};
      reason = RejectName(frame.reject);
    } else if (frame.kind == FrameKind::kIgnored) {
      outcomes = {"ignore-frame"};
    } else if (frame.kind == FrameKind::kInfo) {
      outcomes = {"info"};
    } else if (frame.kind == FrameKind::kError) {
      outcomes = {"error-frame"};
    } else if (frame.kind == FrameKind::kIdentity) {
      outcomes = {"event"};
    } else {
      const std::string_view did = frame.did.text();
      sync::Circumstances how;
      how.position = {kRelay, *frame.seq};
      how.arrived_us = 1000;
      resolver_.Know(did, IdentityFrom(did, c.document, 1));
      const auto ask = [&] {
        return frame.kind == FrameKind::kCommit ? judge.Commit(c.prior, frame, how)
               : frame.kind == FrameKind::kSync ? judge.Sync(c.prior, frame, how)
                                                : judge.Account(frame, how);
      };
      verdict = ask();
      if (verdict.kind == Kind::kWait && verdict.wait == Wait::kRefresh) {
        // The one refresh, which finds the same.
        ++refreshed;
        how.answer = IdentityFrom(did, c.document, how.arrived_us + 1);
        verdict = ask();
      }
      outcomes = OutcomesOf(verdict);
      if (frame.kind == FrameKind::kAccount && verdict.kind == Kind::kApply) outcomes = {"event"};
      if (!verdict.reject.ok()) reason = NameOf(verdict.reject);
    }
    EXPECT_THAT(outcomes, Contains(c.expect)) << reason;
    if (const auto known = kReasons.find(c.name); known != kReasons.end()) {
      EXPECT_EQ(reason, known->second);
    }
    if (c.expect == "accept") {
      // First commits and those that follow our state: nothing less than the whole chain.
      EXPECT_EQ(verdict.level, Verification::kFull);
      EXPECT_EQ(verdict.next, SyncState::kSynchronized);
      EXPECT_EQ(verdict.head.rev, frame.rev);
    } else if (framing.ok() && verdict.kind != Kind::kApply) {
      EXPECT_FALSE(verdict.has_head);
    }

    // And what the consumer makes of it: rows exactly where the event is accepted, desynchronised exactly
    // where the verdict says so.
    test::MemoryStore store;
    const std::string did(frame.did.text());
    if (c.prior.head) {
      test::MemoryTables tables;
      tables.repos[did].state = c.prior;
      store.Set(std::move(tables));
    }
    resolver_.Know(did, IdentityFrom(did, c.document, 1));
    resolver_.Serve(did, IdentityFrom(did, c.document, identity::kAlwaysCurrent));
    test::InlineConsumer consumer(options_, &store);
    const auto guarded = consumer.Run({{kRelay, AsText(c.message)}});
    const test::MemoryTables tables = store.tables();
    const bool ends = c.expect == "drop-connection" || c.expect == "error-frame";
    EXPECT_EQ(
        guarded.front().action == StreamAction::kReconnect || guarded.front().action == StreamAction::kStop,
        ends);
    EXPECT_EQ(tables.records.size(), verdict.kind == Kind::kApply ? frame.ops.size() : 0u);
    for (const auto& [key, record] : tables.records) EXPECT_EQ(record.verification, Verification::kFull);
    const bool refused = outcomes.front() == "reject";
    EXPECT_EQ(tables.dead_letters.size(), refused ? 1u : 0u);
    if (refused && tables.dead_letters.size() == 1) {
      EXPECT_EQ(RejectName(tables.dead_letters[0].reject), reason);
    }
    const auto repo = tables.repos.find(did);
    const bool desynchronized =
        repo != tables.repos.end() && sync::IsHeldState(repo->second.state.sync_state);
    EXPECT_EQ(desynchronized, sync::IsHeldState(verdict.next));
    if (desynchronized) {
      ASSERT_TRUE(repo->second.state.head.has_value());
      EXPECT_EQ(repo->second.state.head->rev, c.prior.head->rev) << "what was proven stays";
    }
  }
  size_t all = 0;
  std::printf("synthetic-frames:");
  for (const auto& [expect, count] : counts) {
    std::printf(" %zu %s", count, expect.c_str());
    all += count;
  }
  std::printf("; %zu judged in all, %zu of them with a refreshed key\n", all, refreshed);
  EXPECT_GE(all, 70u);
}

// ---- indigo/relay-scenarios ----

json::object DocumentOf(const json::object& identity) {
  json::object document;
  document["id"] = identity.at("did");
  document["alsoKnownAs"] = identity.at("alsoKnownAs");
  json::array keys, services;
  for (const auto& [name, key] : identity.at("keys").as_object()) {
    keys.push_back({{"id", std::string(Str(identity.at("did"))) + "#" + std::string(name)},
                    {"type", key.at("type")},
                    {"controller", identity.at("did")},
                    {"publicKeyMultibase", key.at("publicKeyMultibase")}});
  }
  for (const auto& [name, service] : identity.at("services").as_object()) {
    services.push_back({{"id", "#" + std::string(name)},
                        {"type", service.at("type")},
                        {"serviceEndpoint", service.at("url")}});
  }
  document["verificationMethod"] = std::move(keys);
  document["service"] = std::move(services);
  return document;
}

struct Scenario {
  bool lenient = false;
  struct Message {
    bool drop = false;
    bool legacy = false;  // a commit without prevData
    std::string type, bytes, did, rev;
    std::vector<std::string> paths;  // of its ops
    int64_t now_us = 0;
  };
  std::vector<Message> messages;
};

class RelayScenarios : public JudgeVectors {
 protected:
  Scenario Load(const fs::path& path) {
    const json::object file = json::parse(test::ReadFileText(path)).as_object();
    Scenario scenario;
    scenario.lenient = file.at("lenient").as_bool();
    for (const json::value& account : file.at("accounts").as_array()) {
      const json::object& identity = account.at("identity").as_object();
      const std::string did(Str(identity.at("did")));
      EXPECT_EQ(Str(account.at("status")), "active");
      resolver_.Know(did, IdentityFrom(did, DocumentOf(identity), identity::kAlwaysCurrent));
      resolver_.Serve(did, IdentityFrom(did, DocumentOf(identity), identity::kAlwaysCurrent));
    }
    for (const json::value& item : file.at("messages").as_array()) {
      const json::object& message = item.as_object();
      const json::object& body = message.at("frame").at("body").as_object();
      Scenario::Message& m = scenario.messages.emplace_back();
      m.drop = message.at("drop").as_bool() || message.at("invalid").as_bool();
      m.type = Str(message.at("frame").at("header").at("t"));
      m.bytes = CborOf(message.at("frame").at("header")) + CborOf(body);
      m.did = Str(body.at(m.type == "#commit" ? "repo" : "did"));
      m.now_us = repo::Datetime::Parse(Str(body.at("time")))->micros;
      if (m.type != "#commit") continue;
      m.rev = Str(body.at("rev"));
      m.legacy = !body.contains("prevData") || body.at("prevData").is_null();
      for (const json::value& op : body.at("ops").as_array()) m.paths.emplace_back(Str(op.at("path")));
    }
    return scenario;
  }
  test::MemoryTables Play(const Scenario& scenario) {
    test::MemoryStore store;
    test::InlineConsumer consumer(options_, &store);
    std::vector<test::Arrival> arrivals;
    for (const Scenario::Message& message : scenario.messages) {
      arrivals.push_back({kRelay, message.bytes});
      clock_.Set(std::max(clock_.NowMicros(), message.now_us));
    }
    consumer.Run(arrivals);
    return store.tables();
  }
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_ / "indigo/relay-scenarios"))
      files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
  }
};

// "collection/rkey" -> rev of its last change, of the commits that are to be applied.
std::map<std::string, std::string> Expected(const Scenario& scenario) {
  std::map<std::string, std::string> rows;
  for (const Scenario::Message& message : scenario.messages) {
    if (message.drop) continue;
    for (const std::string& path : message.paths) rows[message.did + "/" + path] = message.rev;
  }
  return rows;
}
std::map<std::string, std::string> RowsOf(const test::MemoryTables& tables) {
  std::map<std::string, std::string> rows;
  for (const auto& [key, record] : tables.records) {
    rows[std::get<0>(key) + "/" + std::get<1>(key) + "/" + std::get<2>(key)] = record.rev;
  }
  return rows;
}

TEST_F(RelayScenarios, StrictConversationsAreFollowed) {
  size_t files = 0, messages = 0;
  for (const fs::path& path : Files()) {
    const Scenario scenario = Load(path);
    if (scenario.lenient) continue;
    SCOPED_TRACE(path.filename().string());
    ++files;
    messages += scenario.messages.size();
    const test::MemoryTables tables = Play(scenario);
    EXPECT_EQ(RowsOf(tables), Expected(scenario));
    EXPECT_TRUE(tables.dead_letters.empty());
    std::string first;  // the account's first commit is the anchor
    for (const auto& [key, record] : tables.records)
      first = first.empty() ? record.rev : std::min(first, record.rev);
    for (const auto& [key, record] : tables.records) {
      EXPECT_THAT(record.verification, AnyOf(Verification::kFull, Verification::kCommit)) << std::get<2>(key);
      if (record.rev > first) {
        EXPECT_EQ(record.verification, Verification::kFull) << std::get<2>(key);
      }
    }
    const Scenario::Message& last = scenario.messages.back();
    const test::MemoryRepo& repo = tables.repos.at(last.did);
    EXPECT_EQ(repo.state.sync_state, SyncState::kPartial) << "in mid-life";
    EXPECT_EQ(repo.state.active, last.type != "#account") << "one conversation ends with a deletion";
    EXPECT_EQ(repo.state.status, repo.state.active ? "" : "deleted");
  }
  EXPECT_GE(files, 2u);
  std::printf("indigo/relay-scenarios: %zu strict conversations of %zu messages followed\n", files, messages);
}

// A lenient relay passes commits without prevData. We cannot undo their ops: nothing of them is applied, and
// the account is desynchronised, or it would stay as it is forever.
TEST_F(RelayScenarios, LenientConversationsDesynchronize) {
  size_t files = 0, messages = 0;
  for (const fs::path& path : Files()) {
    const Scenario scenario = Load(path);
    if (!scenario.lenient) continue;
    SCOPED_TRACE(path.filename().string());
    ++files;
    messages += scenario.messages.size();
    const test::MemoryTables tables = Play(scenario);
    EXPECT_TRUE(tables.records.empty());
    std::set<std::string> accounts;
    size_t commits = 0;
    for (const Scenario::Message& message : scenario.messages) {
      if (message.drop || message.type != "#commit") continue;
      ASSERT_TRUE(message.legacy);
      accounts.insert(message.did);
      ++commits;
    }
    EXPECT_THAT(tables.Rejects(), testing::Each(Reject::kCommitPrevDataMissing));
    EXPECT_EQ(tables.dead_letters.size(), accounts.size())
        << "the first one; those after it wait for the resync";
    size_t held = 0;
    for (const std::string& did : accounts) {
      EXPECT_EQ(tables.repos.at(did).state.sync_state, SyncState::kDesynchronized);
      EXPECT_EQ(tables.repos.at(did).reason, "commit_prev_data_missing");
      if (tables.held.contains(did)) held += tables.held.at(did).size();
    }
    EXPECT_EQ(held, commits - accounts.size());
  }
  EXPECT_GE(files, 3u);
  std::printf("indigo/relay-scenarios: %zu lenient conversations of %zu messages: desynchronised\n", files,
              messages);
}

TEST_F(RelayScenarios, LenientConversationsPassWithLegacyCommits) {
  options_.policies.Add(sync::Allow::kLegacyCommits);
  size_t files = 0, applied = 0, desynchronized = 0;
  for (const fs::path& path : Files()) {
    const Scenario scenario = Load(path);
    if (!scenario.lenient) continue;
    SCOPED_TRACE(path.filename().string());
    ++files;
    const test::MemoryTables tables = Play(scenario);
    EXPECT_TRUE(tables.dead_letters.empty());
    // A relaxed commit has no prevData, but its `since` is compared: the conversation may itself have left
    // something out.
    std::map<std::string, std::string> expected;
    for (const auto& [key, rev] : Expected(scenario)) {
      const std::string did = key.substr(0, key.find('/'));
      const auto& head = tables.repos.at(did).state.head;
      ASSERT_TRUE(head.has_value());
      if (rev <= head->rev) expected[key] = rev;
    }
    EXPECT_EQ(RowsOf(tables), expected);
    for (const auto& [key, record] : tables.records) {
      EXPECT_EQ(record.verification, Verification::kSignature) << "a relaxation never gives a strong row";
      EXPECT_EQ(record.allowed, "legacy-commits");
    }
    EXPECT_FALSE(tables.records.empty());
    applied += tables.records.size();
    for (const auto& [did, repo] : tables.repos) desynchronized += sync::IsHeldState(repo.state.sync_state);
  }
  EXPECT_GE(files, 3u);
  std::printf(
      "indigo/relay-scenarios: %zu lenient conversations with --allow legacy-commits: %zu rows, %zu breaks "
      "of `since`\n",
      files, applied, desynchronized);
}

// ---- hydrant ----

TEST_F(JudgeVectors, HydrantAccountWithoutTimezone) {
  const std::vector<uint8_t> message = test::ReadFileBytes(folder_ / "hydrant/account.frame");
  firehose::Frame frame;
  ASSERT_TRUE(firehose::DecodeFrame(message, &frame).ok());
  const std::string did(frame.did.text());
  // It was thought to be silent: the event shows it again, whatever its `time` looks like.
  test::MemoryStore store;
  test::MemoryTables before;
  before.repos[did].state.active = false;
  store.Set(before);
  test::InlineConsumer consumer(options_, &store);
  consumer.Run({{kRelay, AsText(message)}});
  EXPECT_TRUE(store.tables().repos.at(did).state.active);
  EXPECT_TRUE(store.tables().dead_letters.empty());
  std::printf("hydrant: 1 frame processed\n");
}

}  // namespace
}  // namespace penstock
