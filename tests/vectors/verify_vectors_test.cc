// Commits of others at level `commit`: signature by the account's key, and inversion to prevData.

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "firehose/capture.h"
#include "firehose/frame.h"
#include "identity/did_document.h"
#include "repo/verify.h"
#include "tests/repo/op_list.h"
#include "tests/repo/tree_testing.h"
#include "tests/support/shared_data.h"

namespace penstock::repo {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using firehose::Frame;
using firehose::FrameKind;
using test::Outcome;

std::string_view Str(const json::value& value) { return std::string_view(value.as_string()); }

CommitClaim ClaimOf(const Frame& frame) {
  return {frame.did, frame.rev, frame.since, frame.commit, frame.prev_data, frame.blocks, frame.ops};
}

crypto::PublicKey KeyOf(std::string_view did_key) {
  const auto key = crypto::PublicKey::FromDidKey(did_key);
  EXPECT_EQ(Outcome(key.status()), "ok") << did_key;
  return *key;
}

TEST(VerifyVectors, JetstreamCorpus) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const json::object documents =
      json::parse(test::ReadFileText(*folder / "jetstream-corpus/did_docs.json")).as_object();
  // Lengths are little endian in this file.
  const std::vector<uint8_t> file = test::ReadFileBytes(*folder / "jetstream-corpus/frames.bin");
  Frame frame;
  CommitVerifier verifier;
  VerifiedCommit commit;
  std::map<std::string, size_t> by_curve;
  size_t frames = 0, commits = 0, whole = 0;
  for (size_t at = 0; at + 4 <= file.size();) {
    const size_t size =
        file[at] | file[at + 1] << 8 | file[at + 2] << 16 | static_cast<size_t>(file[at + 3]) << 24;
    const Bytes message = Bytes(file).subspan(at + 4, size);
    at += 4 + size;
    SCOPED_TRACE("frame " + std::to_string(frames++));
    ASSERT_EQ(Outcome(DecodeFrame(message, &frame)), "ok");
    if (frame.kind != FrameKind::kCommit) continue;
    ++commits;
    const std::string did(frame.did.text());
    ASSERT_TRUE(documents.contains(did)) << did;
    const identity::Identity identity = identity::ParseDidDocument(did, json::serialize(documents.at(did)));
    ASSERT_TRUE(identity.key.has_value()) << did;
    EXPECT_EQ(
        Outcome(verifier.Verify(ClaimOf(frame), *identity.key, Tid::Parse(frame.rev)->micros(), &commit)),
        "ok");
    whole += commit.whole;
    ++by_curve[std::string(CurveName(identity.key->curve()))];
  }
  EXPECT_EQ(frames, 100u);
  EXPECT_EQ(by_curve["K-256"], commits);
  std::printf(
      "jetstream-corpus: %zu of %zu frames are commits, all verified (K-256) and inverted; %zu whole\n",
      commits, frames, whole);
}

// From before Sync v1.1: the forward checks hold; without prevData there is nothing to invert to, and no
// slice that would let one.
TEST(VerifyVectors, IndigoFirehoseCommits) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  size_t ran = 0;
  for (const auto& entry : fs::directory_iterator(*folder / "indigo/firehose-commits")) {
    SCOPED_TRACE(entry.path().string());
    const json::value body = json::parse(test::ReadFileText(entry.path()));
    const auto cid_of = [](const json::value& value) {
      return value.is_null() ? cbor::Cid() : *cbor::Cid::FromString(Str(value.at("$link")));
    };
    const std::vector<uint8_t> blocks = *FromBase64(Str(body.at("blocks").at("$bytes")));
    const cbor::Cid cid = cid_of(body.at("commit"));
    test::OpList ops;
    for (const json::value& op : body.at("ops").as_array()) {
      const Action action = *ActionFromName(Str(op.at("action")));
      ops.Add(action, Str(op.at("path")), cid_of(op.at("cid")), {});
    }
    CommitClaim claim;
    claim.did = *Did::Parse(Str(body.at("repo")));
    claim.rev = Str(body.at("rev"));
    claim.since = body.at("since").is_null() ? std::string_view() : Str(body.at("since"));
    claim.commit = cid.view();
    claim.blocks = blocks;
    claim.ops = ops.ops();
    CommitVerifier verifier;
    VerifiedCommit commit;
    ASSERT_EQ(Outcome(verifier.Check(claim, Datetime::Parse(Str(body.at("time")))->micros, &commit)), "ok");
    // With `since` null it might be a first commit, were the tree's other records not there.
    EXPECT_EQ(Outcome(verifier.Invert(claim, &commit)),
              claim.since.empty() ? "mst_partial" : "commit_prev_data_missing");
    ++ran;
  }
  EXPECT_GE(ran, 2u);
  std::printf("indigo/firehose-commits: %zu commits hold, and cannot be inverted\n", ran);
}

// Every commit of every captured stream, by the key that was in force, as the reference implementation found
// it.
TEST(VerifyVectors, CapturedCommits) {
  const auto folder = test::CapturesFolder();
  if (!folder) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  size_t streams = 0;
  for (const auto& entry : fs::directory_iterator(*folder)) {
    constexpr std::string_view kSuffix = ".messages.ndjson";
    const std::string path = entry.path().string();
    if (!path.ends_with(kSuffix)) continue;
    const std::string base = path.substr(0, path.size() - kSuffix.size());
    SCOPED_TRACE(base);
    ++streams;
    auto reader = firehose::CaptureReader::Open(base + ".frames");
    ASSERT_TRUE(reader.ok()) << reader.status();
    firehose::FrameBuffer buffer;
    Frame frame;
    CommitVerifier verifier;
    VerifiedCommit commit;
    std::string scratch;
    size_t commits = 0, inverted = 0, whole = 0, syncs = 0, bad_syncs = 0;
    for (const std::string& line : test::ReadFileLines(path)) {
      if (line.empty()) continue;
      const json::object e = json::parse(line).as_object();
      ASSERT_TRUE((*reader)->Next(&buffer).value());
      SCOPED_TRACE("frame " + std::to_string(e.at("i").as_int64()));
      ASSERT_EQ(Outcome(DecodeFrame(buffer.bytes(), &frame)), "ok");
      if (frame.kind == FrameKind::kCommit) {
        ++commits;
        const CommitClaim claim = ClaimOf(frame);
        ASSERT_EQ(Outcome(verifier.Check(claim, Tid::Parse(frame.rev)->micros(), &commit)), "ok");
        EXPECT_EQ(commit.checked.commit.data.ToString(), Str(e.at("data")));
        EXPECT_EQ(verifier.CheckSignature(KeyOf(Str(e.at("did_key"))), commit).ok(),
                  e.at("sig_ok").as_bool());
        const std::string outcome = Outcome(verifier.Invert(claim, &commit));
        const json::value& expected = e.at("inverted");
        if (expected.is_null()) {
          // No prevData: only the first commits of new repositories lack it here.
          EXPECT_TRUE(claim.prev_data.empty());
          EXPECT_EQ(outcome, "ok");
          EXPECT_TRUE(commit.whole);
        } else {
          EXPECT_EQ(outcome == "ok", expected.as_bool()) << outcome;
          ++inverted;
        }
        whole += commit.whole;
      } else if (frame.kind == FrameKind::kSync) {
        ++syncs;
        car::BlockIndex blocks;
        ASSERT_EQ(Outcome(blocks.Load(frame.blocks)), "ok");
        const Bytes block = *blocks.Find(blocks.root());
        const auto object = DecodeCommit(block);
        ASSERT_EQ(Outcome(object.status()), "ok");
        const bool good = CheckCommitSignature(KeyOf(Str(e.at("did_key"))), block, *object, &scratch).ok();
        EXPECT_EQ(good, e.at("sig_ok").as_bool());
        bad_syncs += !good;
      }
    }
    EXPECT_GT(commits, 0u);
    std::printf(
        "%s: %zu commits verified, %zu inverted to prevData, %zu whole; %zu syncs, %zu of them by an old "
        "key\n",
        fs::path(base).filename().c_str(), commits, inverted, whole, syncs, bad_syncs);
  }
  EXPECT_GE(streams, 2u);
}

}  // namespace
}  // namespace penstock::repo
