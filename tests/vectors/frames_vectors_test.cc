// Frames of others: a production relay's, a real PDS's with the reference implementation's reading of them,
// and made-up hostile ones.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/reader.h"
#include "cbor/writer.h"
#include "firehose/capture.h"
#include "firehose/frame.h"
#include "repo/commit_check.h"
#include "tests/support/shared_data.h"

namespace penstock::firehose {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

std::string_view Str(const json::value& value) { return std::string_view(value.as_string()); }
std::string_view TextOrEmpty(const json::value* value) {
  return value == nullptr || value->is_null() ? std::string_view() : Str(*value);
}
std::string CidText(const cbor::CidView& cid) { return cid.empty() ? "" : cid.ToString(); }

std::vector<json::object> Lines(const fs::path& path) {
  std::vector<json::object> objects;
  for (const std::string& line : test::ReadFileLines(path)) {
    if (!line.empty()) objects.push_back(json::parse(line).as_object());
  }
  return objects;
}

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}

// The check of level `cid`, on the clock of `now_us`.
absl::Status CheckCommit(const Frame& frame, int64_t now_us, repo::CommitChecker* checker) {
  const repo::CommitClaim claim{frame.did,       frame.rev,    frame.since, frame.commit,
                                frame.prev_data, frame.blocks, frame.ops};
  repo::CheckedCommit checked;
  return checker->Check(claim, now_us, &checked);
}

// Reads an item and writes it again, by its parts.
void Rewrite(cbor::Reader* reader, cbor::Writer* writer) {
  switch (reader->Peek()) {
    case cbor::Kind::kUint:
    case cbor::Kind::kNegative: {
      cbor::Integer integer;
      ASSERT_TRUE(reader->ReadInteger(&integer));
      return writer->Integer(integer);
    }
    case cbor::Kind::kBytes: {
      Bytes bytes;
      ASSERT_TRUE(reader->ReadBytes(&bytes));
      return writer->ByteString(bytes);
    }
    case cbor::Kind::kText: {
      std::string_view text;
      ASSERT_TRUE(reader->ReadText(&text));
      return writer->Text(text);
    }
    case cbor::Kind::kArray: {
      uint64_t count = 0;
      ASSERT_TRUE(reader->ReadArrayHeader(&count));
      writer->ArrayHeader(count);
      while (count-- > 0) Rewrite(reader, writer);
      return;
    }
    case cbor::Kind::kMap: {
      cbor::MapCursor map;
      ASSERT_TRUE(reader->BeginMap(&map));
      writer->MapHeader(map.remaining);
      std::string_view key;
      while (reader->NextKey(&map, &key)) {
        writer->Text(key);
        Rewrite(reader, writer);
      }
      return;
    }
    case cbor::Kind::kLink: {
      cbor::CidView cid;
      ASSERT_TRUE(reader->ReadLink(&cid));
      return writer->Link(cid);
    }
    case cbor::Kind::kBool: {
      bool value = false;
      ASSERT_TRUE(reader->ReadBool(&value));
      return writer->Bool(value);
    }
    case cbor::Kind::kNull:
      ASSERT_TRUE(reader->ReadNull());
      return writer->Null();
    default:
      FAIL() << "no item that a frame holds, at byte " << reader->offset();
  }
}
void ExpectSameWhenRewritten(Bytes message) {
  cbor::Reader reader(message);
  std::string out;
  cbor::Writer writer(&out);
  Rewrite(&reader, &writer);
  Rewrite(&reader, &writer);
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_TRUE(Equal(AsBytes(out), message));
}

void ExpectOps(const Frame& frame, const json::array& ops) {
  ASSERT_EQ(frame.ops.size(), ops.size());
  for (size_t i = 0; i < ops.size(); ++i) {
    const json::object& expected = ops[i].as_object();
    const repo::RepoOp& op = frame.ops[i];
    EXPECT_EQ(repo::ActionName(op.action), Str(expected.at("action")));
    EXPECT_EQ(op.path, Str(expected.at("path")));
    EXPECT_EQ(std::string(op.collection) + "/" + std::string(op.rkey), Str(expected.at("path")));
    EXPECT_EQ(CidText(op.cid), TextOrEmpty(expected.if_contains("cid")));
    EXPECT_EQ(CidText(op.prev), TextOrEmpty(expected.if_contains("prev")));
  }
}

class FramesVectors : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::VectorsFolder();
    if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
    folder_ = *folder;
  }
  fs::path folder_;
};

TEST_F(FramesVectors, JetstreamCorpus) {
  // Lengths are little endian in this file.
  const std::vector<uint8_t> file = test::ReadFileBytes(folder_ / "jetstream-corpus/frames.bin");
  const std::vector<json::object> expected = Lines(folder_ / "jetstream-corpus/frames_expected.jsonl");
  Frame frame;
  repo::CommitChecker checker;
  size_t frames = 0, commits = 0, ops = 0;
  for (size_t at = 0; at < file.size();) {
    ASSERT_LE(at + 4, file.size());
    const size_t size =
        file[at] | file[at + 1] << 8 | file[at + 2] << 16 | static_cast<size_t>(file[at + 3]) << 24;
    ASSERT_LE(size, file.size() - at - 4);
    const Bytes message = Bytes(file).subspan(at + 4, size);
    at += 4 + size;
    SCOPED_TRACE("frame " + std::to_string(frames));
    ASSERT_LT(frames, expected.size());
    const json::object& e = expected[frames++];

    ASSERT_EQ(Outcome(DecodeFrame(message, &frame)), "ok");
    ExpectSameWhenRewritten(message);
    EXPECT_EQ(frame.seq, e.at("seq").as_int64());
    EXPECT_EQ(frame.type, Str(e.at("t")));
    EXPECT_EQ("#" + std::string(FrameKindName(frame.kind)), Str(e.at("t")));
    EXPECT_EQ(frame.did.text(), Str(e.at("did")));
    if (frame.kind != FrameKind::kCommit) continue;
    ++commits;
    ops += frame.ops.size();
    EXPECT_EQ(frame.rev, Str(e.at("rev")));
    EXPECT_EQ(frame.since, TextOrEmpty(e.if_contains("since")));
    EXPECT_EQ(CidText(frame.commit), Str(e.at("commit")));
    EXPECT_EQ(CidText(frame.prev_data), TextOrEmpty(e.if_contains("prevData")));
    ExpectOps(frame, e.at("ops").as_array());
    EXPECT_EQ(Outcome(CheckCommit(frame, repo::Tid::Parse(frame.rev)->micros(), &checker)), "ok");
  }
  EXPECT_EQ(frames, expected.size());
  EXPECT_EQ(frames, 100u);
  std::printf("jetstream-corpus: %zu frames decoded and written again, %zu commits checked, %zu ops\n",
              frames, commits, ops);
}

TEST_F(FramesVectors, HydrantAccountWithoutTimezone) {
  const std::vector<uint8_t> message = test::ReadFileBytes(folder_ / "hydrant/account.frame");
  Frame frame;
  ASSERT_EQ(Outcome(DecodeFrame(message, &frame)), "ok");
  EXPECT_EQ(frame.kind, FrameKind::kAccount);
  EXPECT_TRUE(frame.active);
  EXPECT_EQ(frame.status, std::nullopt);
  EXPECT_FALSE(repo::Datetime::Parse(frame.time).has_value());
  ExpectSameWhenRewritten(message);
  std::printf("hydrant: 1 frame\n");
}

// What a case must come to at the frame layer and at verification level `cid`. Cases that need more are named
// with what they need, and must come through here; tests/vectors/judge_vectors_test.cc judges all of them.
const std::map<std::string, std::string> kNeedsMore = {
    {"sig-high-s-p256", "signature"},   {"sig-der", "signature"},        {"sig-wrong-key", "signature"},
    {"sig-wrong-curve", "signature"},   {"sync-bad-sig", "signature"},   {"op-omitted", "inversion"},
    {"op-extra", "inversion"},          {"prevdata-wrong", "inversion"}, {"update-wrong-prev", "inversion"},
    {"sync-rev-mismatch", "signature"},
};

// What a case may be when it is not refused.
const std::map<std::string, std::vector<std::string>> kOutcomes = {
    {"accept", {"commit"}},
    {"accept-or-desync", {"commit"}},
    {"desync", {"commit", "sync"}},
    {"reject", {"commit", "sync"}},
    {"ignore-event", {"commit", "sync"}},
    {"event", {"identity", "account"}},
    {"info", {"info"}},
    {"ignore-frame", {"ignored"}},
    {"error-frame", {"error"}},
};

// The reason of each refusal that is made here.
const std::map<std::string, std::string> kReasons = {
    {"block-hash-mismatch", "car_block_cid_mismatch"},
    {"car-truncated", "car_truncated"},
    {"car-zero-length-section", "car_zero_length_section"},
    {"missing-mst-root", "car_missing_block"},
    {"no-roots", "car_no_roots"},
    {"body-bad-utf8", "cbor_bad_utf8"},
    {"body-float16", "cbor_unsupported_float"},
    {"body-undefined", "cbor_unsupported_simple"},
    {"indefinite-map-header", "cbor_indefinite"},
    {"nonminimal-op", "cbor_non_minimal"},
    {"commit-cid-not-root", "commit_cid_not_root"},
    {"commit-missing-prev", "commit_bad_object"},
    {"commit-rev-mismatch", "commit_rev_mismatch"},
    {"commit-version-2", "commit_bad_version"},
    {"delete-still-present", "commit_op_still_in_tree"},
    {"delete-with-cid", "commit_bad_op"},
    {"duplicate-path", "commit_duplicate_path"},
    {"missing-record-block", "commit_missing_record"},
    {"rev-future", "commit_future_rev"},
    {"too-many-ops", "commit_too_many_ops"},
    {"action-unknown", "event_wrong_type"},
    {"body-not-map", "frame_bad_payload"},
    {"header-only", "frame_bad_payload"},
    {"trailing-byte", "frame_trailing_bytes"},
    {"mst-extra-node-field", "mst_bad_node"},
    {"mst-out-of-order", "mst_key_order"},
    {"mst-prefix-not-compressed", "mst_bad_prefix"},
    {"mst-root-pointer-only", "mst_root_without_key"},
    {"path-bad-nsid", "syntax_repo_path"},
    {"path-bad-rkey", "syntax_repo_path"},
};

TEST_F(FramesVectors, SyntheticFrames) {
  Frame frame;  // one for all: nothing of a case may show in the next
  repo::CommitChecker checker;
  std::map<std::string, size_t> counts;
  std::vector<std::string> needs_more;
  for (const json::object& c : Lines(folder_ / "synthetic-frames/cases.jsonl")) {
    const std::string name(Str(c.at("name"))), expect(Str(c.at("expect")));
    SCOPED_TRACE(name);
    ++counts[expect];
    const auto message = FromBase64(Str(c.at("frame").at("$bytes")));
    ASSERT_TRUE(message.has_value());
    const auto now = repo::Datetime::Parse(Str(c.at("now")));
    ASSERT_TRUE(now.has_value());

    const absl::Status framing = DecodeFrame(*message, &frame);
    std::string outcome = Outcome(framing);
    bool refused = false;
    if (framing.ok()) {
      outcome = FrameKindName(frame.kind);
      if (frame.kind == FrameKind::kRejected) {
        outcome = RejectName(frame.reject);
        refused = true;
      } else if (frame.kind == FrameKind::kCommit) {
        const absl::Status status = CheckCommit(frame, now->micros, &checker);
        if (!status.ok()) outcome = Outcome(status);
        refused = !status.ok();
      }
    }
    EXPECT_EQ(framing.ok(), expect != "drop-connection") << outcome;
    const auto more = kNeedsMore.find(name);
    const auto reason = kReasons.find(name);
    if (more != kNeedsMore.end()) {
      EXPECT_FALSE(refused) << outcome;
      needs_more.push_back(name + " (" + more->second + ")");
    } else if (reason != kReasons.end()) {
      EXPECT_EQ(outcome, reason->second);
    } else if (expect == "reject") {
      // A case that came to the folder after this list: whether it can be refused here is not known.
      if (!refused) needs_more.push_back(name + " (not known)");
    } else if (framing.ok()) {
      EXPECT_FALSE(refused) << outcome;
    }
    if (expect == "desync" || expect == "ignore-event") needs_more.push_back(name + " (state)");
    if (framing.ok() && !refused) {
      EXPECT_THAT(kOutcomes.at(expect), testing::Contains(outcome));
    }
    if (frame.kind == FrameKind::kError) {
      EXPECT_EQ("error-" + std::string(frame.name), name);
    }
  }
  size_t all = 0;
  std::printf("synthetic-frames:");
  for (const auto& [expect, count] : counts) {
    std::printf(" %zu %s", count, expect.c_str());
    all += count;
  }
  std::printf("; %zu in all\n", all);
  EXPECT_GT(all, 60u);
  std::printf("  decided only with more than the frame and its blocks:");
  for (const std::string& name : needs_more) std::printf(" %s", name.c_str());
  std::printf("\n");
}

// The streams of each `<base>.counts.json` in the captures folder.
class FramesCaptures : public testing::Test {
 protected:
  void SetUp() override {
    const auto folder = test::CapturesFolder();
    if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
    for (const auto& entry : fs::directory_iterator(*folder)) {
      constexpr std::string_view kSuffix = ".counts.json";
      const std::string path = entry.path().string();
      if (path.ends_with(kSuffix)) bases_.push_back(path.substr(0, path.size() - kSuffix.size()));
    }
    ASSERT_FALSE(bases_.empty()) << "no *.counts.json in " << *folder;
    std::sort(bases_.begin(), bases_.end());
  }
  std::vector<std::string> bases_;
};

void ExpectMessage(const Frame& frame, Bytes message, const json::object& e) {
  EXPECT_EQ(message.size(), static_cast<size_t>(e.at("len").as_int64()));
  EXPECT_EQ(e.at("op").as_int64(), 1);
  EXPECT_EQ(frame.type, Str(e.at("type")));
  EXPECT_EQ("#" + std::string(FrameKindName(frame.kind)), Str(e.at("type")));
  EXPECT_EQ(frame.seq, e.at("seq").as_int64());
  EXPECT_EQ(frame.did.text(), Str(e.at("did")));
  EXPECT_EQ(frame.time, Str(e.at("time")));
  switch (frame.kind) {
    case FrameKind::kCommit:
      EXPECT_EQ(frame.rev, Str(e.at("rev")));
      EXPECT_EQ(frame.since, TextOrEmpty(&e.at("since")));
      EXPECT_EQ(CidText(frame.commit), Str(e.at("commit")));
      EXPECT_EQ(CidText(frame.prev_data), TextOrEmpty(&e.at("prev_data")));
      EXPECT_EQ(frame.too_big, e.at("too_big").as_bool());
      EXPECT_EQ(frame.rebase, e.at("rebase").as_bool());
      EXPECT_EQ(frame.blocks.size(), static_cast<size_t>(e.at("blocks_len").as_int64()));
      ExpectOps(frame, e.at("ops").as_array());
      break;
    case FrameKind::kSync:
      EXPECT_EQ(frame.rev, Str(e.at("rev")));
      EXPECT_EQ(frame.blocks.size(), static_cast<size_t>(e.at("blocks_len").as_int64()));
      break;
    case FrameKind::kIdentity:
      EXPECT_EQ(frame.handle.value_or(""), TextOrEmpty(e.if_contains("handle")));
      break;
    case FrameKind::kAccount:
      EXPECT_EQ(frame.active, e.at("active").as_bool());
      EXPECT_EQ(frame.status.value_or(""), TextOrEmpty(e.if_contains("status")));
      break;
    default:
      FAIL() << FrameKindName(frame.kind);
  }
}

TEST_F(FramesCaptures, EveryFrameSaysWhatTheReferenceReads) {
  for (const std::string& base : bases_) {
    const json::object counts = json::parse(test::ReadFileText(base + ".counts.json")).as_object();
    for (const auto& [stream, info] : counts.at("streams").as_object()) {
      const fs::path path = fs::path(base).parent_path() / std::string(Str(info.at("file")));
      fs::path messages = path;
      const std::vector<json::object> expected = Lines(messages.replace_extension(".messages.ndjson"));
      auto reader = CaptureReader::Open(path);
      ASSERT_TRUE(reader.ok()) << reader.status();
      FrameBuffer buffer;
      Frame frame;
      repo::CommitChecker checker;
      int64_t bytes = 0;
      std::map<std::string, int64_t> types, actions;
      for (size_t i = 0;; ++i) {
        const auto more = (*reader)->Next(&buffer);
        ASSERT_TRUE(more.ok()) << more.status();
        if (!*more) break;
        SCOPED_TRACE(path.string() + " frame " + std::to_string(i));
        ASSERT_LT(i, expected.size());
        ASSERT_EQ(Outcome(DecodeFrame(buffer.bytes(), &frame)), "ok");
        ExpectMessage(frame, buffer.bytes(), expected[i]);
        ExpectSameWhenRewritten(buffer.bytes());
        bytes += static_cast<int64_t>(buffer.size());
        ++types[std::string(frame.type)];
        for (const repo::RepoOp& op : frame.ops) ++actions[std::string(repo::ActionName(op.action))];
        if (frame.kind != FrameKind::kCommit) continue;
        EXPECT_EQ(Outcome(CheckCommit(frame, repo::Tid::Parse(frame.rev)->micros(), &checker)), "ok");
      }
      EXPECT_EQ((*reader)->frames(), expected.size());
      EXPECT_EQ((*reader)->frames(), static_cast<uint64_t>(info.at("frames").as_int64()));
      EXPECT_EQ(bytes, info.at("bytes").as_int64());
      for (const auto& [type, count] : info.at("by_type").as_object()) {
        EXPECT_EQ(types[std::string(type)], count.as_int64()) << type;
      }
      for (const auto& [action, count] : info.at("ops").as_object()) {
        EXPECT_EQ(actions[std::string(action)], count.as_int64()) << action;
      }
      std::printf("%s: %zu frames equal the reference's reading, %lld commits checked\n",
                  path.filename().c_str(), expected.size(), static_cast<long long>(types["#commit"]));
    }
  }
}

TEST_F(FramesCaptures, OutdatedAndFutureCursor) {
  for (const std::string& base : bases_) {
    const json::object counts = json::parse(test::ReadFileText(base + ".counts.json")).as_object();
    for (const std::string which : {"info", "future"}) {
      const fs::path path = base + "." + which + ".frames";
      if (!fs::exists(path)) continue;
      SCOPED_TRACE(path.string());
      const json::object& odd = counts.at("odd").at(which).as_object();
      auto reader = CaptureReader::Open(path);
      ASSERT_TRUE(reader.ok()) << reader.status();
      FrameBuffer buffer;
      ASSERT_TRUE((*reader)->Next(&buffer).value());
      Frame frame;
      ASSERT_EQ(Outcome(DecodeFrame(buffer.bytes(), &frame)), "ok");
      EXPECT_EQ(frame.seq, std::nullopt);
      if (which == "info") {
        const json::object& body = odd.at("body").as_object();
        EXPECT_EQ(frame.kind, FrameKind::kInfo);
        EXPECT_EQ(frame.name, Str(body.at("name")));
        EXPECT_EQ(frame.message, Str(body.at("message")));
        EXPECT_EQ(buffer.size(), static_cast<size_t>(odd.at("len").as_int64()));
      } else {
        EXPECT_EQ(frame.kind, FrameKind::kError);
        EXPECT_EQ(frame.name, Str(odd.at("error")));
        EXPECT_EQ(frame.message, Str(odd.at("message")));
      }
      EXPECT_FALSE((*reader)->Next(&buffer).value());
      std::printf("%s: 1 frame, %.*s\n", path.filename().c_str(), static_cast<int>(frame.name.size()),
                  frame.name.data());
    }
  }
}

}  // namespace
}  // namespace penstock::firehose
