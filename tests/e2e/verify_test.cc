// `penstock verify` as a user meets it: whole repositories, single records, recorded frames, live records and
// stores; right ones, and ones that somebody tampered with.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "firehose/capture.h"
#include "firehose/frame.h"
#include "firehose/segment_writer.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/stream.h"
#include "fixtures/directory/directory.h"
#include "tests/e2e/capture_truth.h"
#include "tests/e2e/program.h"
#include "tests/support/database/sql.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/record_slice.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;
using builder::Account;
using builder::Item;
using builder::Write;
using fixtures::Directory;
using fixtures::DirectoryReply;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr char kNote[] = "test.lantern.note";

Item NoteOf(std::string_view text) { return Item::Map({{"$type", kNote}, {"text", std::string(text)}}); }
std::string PathOf(int i) { return std::string(kNote) + "/note-" + std::to_string(i); }

class Verify : public testing::Test {
 protected:
  static Account WithNotes(uint64_t seed, int notes, const std::string& pds = "https://pds.lantern.test",
                           builder::Curve curve = builder::Curve::kK256) {
    Account account({.seed = seed, .handle = "ada.lantern.test", .curve = curve, .pds = pds});
    for (int i = 0; i < notes; ++i) {
      account.Commit({Write::Create(PathOf(i), NoteOf("note " + std::to_string(i)))},
                     builder::kFixtureEpoch + i * 1'000'000);
    }
    return account;
  }

  std::string File(const std::string& name, std::string_view content) {
    const std::string path = folder_.path() / name;
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
  std::string Documents(const Account& account) {
    return File("documents.ndjson",
                "{\"did\":\"" + account.did() + "\",\"doc\":" + account.DidDocument() + "}\n");
  }

  // The run's exit code, and what it printed as one JSON object.
  struct Verdict {
    int exit_code = -1;
    json::object told;
    std::string err;

    bool verified() const { return told.contains("verified") && told.at("verified").as_bool(); }
    std::string Text(std::string_view member) const {
      const json::value* value = told.if_contains(member);
      return value != nullptr && value->is_string() ? std::string(value->as_string()) : "";
    }
    int64_t Number(std::string_view member) const {
      const json::value* value = told.if_contains(member);
      return value != nullptr && value->is_int64() ? value->as_int64() : -1;
    }
    // "blocks ok", "signature failed signature_mismatch".
    std::vector<std::string> Steps() const {
      std::vector<std::string> steps;
      if (!told.contains("steps")) return steps;
      for (const json::value& step : told.at("steps").as_array()) {
        std::string& text = steps.emplace_back(step.at("step").as_string());
        text.append(" ").append(step.at("verdict").as_string());
        if (const json::value* reject = step.as_object().if_contains("reject"))
          text.append(" ").append(reject->as_string());
      }
      return steps;
    }
    // The last step of all: where it ended.
    std::string End() const {
      const std::vector<std::string> steps = Steps();
      return steps.empty() ? err : steps.back();
    }
  };
  Verdict Run(std::vector<std::string> args) {
    args.insert(args.begin(), "verify");
    args.push_back("--json");
    const ProgramRun run = RunProgram(args);
    Verdict verdict{run.exit_code, {}, run.err};
    json::error_code error;
    const json::value told = json::parse(run.out, error);
    if (!error && told.is_object()) verdict.told = told.as_object();
    EXPECT_EQ(verdict.verified(), run.exit_code == 0) << run.out << run.err;
    return verdict;
  }

  TempFolder folder_;
};

// --- Usage

TEST_F(Verify, WrongUsageIsExitTwo) {
  const std::string car = File("x.car", "");
  EXPECT_EQ(RunProgram({"verify"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", "at://did:plc:abc/test.lantern.note"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", "at://nobody/test.lantern.note/a"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", car, "--key", "did:key:nothing"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", car, "--did-docs", "/nowhere.ndjson"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", car, "--directory", "nowhere"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", car, "--record", "no path"}).exit_code, 2);
  EXPECT_EQ(RunProgram({"verify", "/nowhere.car"}).exit_code, 1);
}

// --- Whole repositories

TEST_F(Verify, ARepositoryOfTheCapturesHoldsToTheLastRecord) {
  int seen = 0;
  for (const auto& [base, streams] : CapturedBases()) {
    for (const CapturedStream& stream : streams) {
      std::map<std::string, json::object> heads;
      for (json::object& head : ReadNdjson(stream.BaseFile(".heads.ndjson"))) {
        if (head.at("pds").as_string() == stream.pds) heads.emplace(head.at("did").as_string(), head);
      }
      const fs::path cars = stream.folder / (base + "-cars");
      if (!fs::exists(cars)) continue;
      for (const auto& entry : fs::directory_iterator(cars)) {
        std::string did = entry.path().stem().string();
        if (!did.starts_with(stream.pds + "-")) continue;
        did.erase(0, stream.pds.size() + 1);
        std::replace(did.begin(), did.end(), '_', ':');
        SCOPED_TRACE(did);
        ++seen;
        const Verdict verdict = Run({entry.path().string(), "--did-docs", stream.DidDocs()});
        EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
        ASSERT_TRUE(heads.contains(did));
        EXPECT_EQ(verdict.Text("did"), did);
        EXPECT_EQ(verdict.Text("rev"), heads[did].at("rev").as_string());
        EXPECT_EQ(verdict.Text("commit"), heads[did].at("head").as_string());
        EXPECT_EQ(verdict.Number("records"), heads[did].at("records").as_int64());
      }
    }
  }
  if (seen == 0) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  EXPECT_GE(seen, 10);
}

TEST_F(Verify, ARepositoryIsToldStepByStep) {
  for (const builder::Curve curve : {builder::Curve::kK256, builder::Curve::kP256}) {
    Account ada = WithNotes(1, 30, "https://pds.lantern.test", curve);
    const std::string car = File("ada.car", *ada.Export());
    const Verdict verdict = Run({car, "--did-docs", Documents(ada)});
    EXPECT_EQ(verdict.exit_code, 0);
    EXPECT_THAT(verdict.Steps(),
                ElementsAre("commit ok", "key ok", "signature ok", "blocks ok", "tree ok", "records ok"));
    EXPECT_EQ(verdict.Text("kind"), "repository");
    EXPECT_EQ(verdict.Text("input"), car);
    EXPECT_EQ(verdict.Text("did"), ada.did());
    EXPECT_EQ(verdict.Text("rev"), ada.rev());
    EXPECT_EQ(verdict.Text("data"), ada.data().ToString());
    EXPECT_EQ(verdict.Text("key"), ada.key().DidKey());
    EXPECT_EQ(verdict.Text("pds"), "https://pds.lantern.test");
    EXPECT_EQ(verdict.Number("records"), 30);
    EXPECT_EQ(verdict.told.at("collections").at(kNote).as_int64(), 30);

    const ProgramRun plain = RunProgram({"verify", car, "--key", ada.key().DidKey()});
    EXPECT_EQ(plain.exit_code, 0) << plain.err;
    EXPECT_THAT(plain.out, HasSubstr("ok      signature"));
    EXPECT_THAT(plain.out,
                HasSubstr("\nverified: the whole repository of " + ada.did() + " at rev " + ada.rev()));
  }
}

TEST_F(Verify, ARepositoryWithAnotherKeyIsNot) {
  Account ada = WithNotes(1, 3);
  const std::string car = File("ada.car", *ada.Export());
  const Verdict other = Run({car, "--key", WithNotes(2, 1).key().DidKey()});
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_EQ(other.End(), "signature failed signature_mismatch");
  ada.RotateKey();
  EXPECT_EQ(Run({car, "--did-docs", Documents(ada)}).End(), "signature failed signature_mismatch")
      << "an old key is no key";
  EXPECT_EQ(Run({car, "--did-docs", Documents(WithNotes(2, 1))}).End(), "key failed did_not_found");
  const ProgramRun plain = RunProgram({"verify", car, "--did-docs", Documents(ada)});
  EXPECT_THAT(plain.out, HasSubstr("FAILED  signature  signature_mismatch"));
  EXPECT_THAT(plain.out, HasSubstr("\nNOT verified: signature\n"));
}

TEST_F(Verify, ATamperedRepositoryIsRefusedWhereItIsWrong) {
  Account ada = WithNotes(1, 12);
  const std::string whole = *ada.Export();
  const std::string key = ada.key().DidKey();
  std::string flipped = whole;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  EXPECT_EQ(Run({File("a.car", flipped), "--key", key}).End(), "blocks failed car_block_cid_mismatch");
  EXPECT_EQ(Run({File("b.car", whole.substr(0, whole.size() - 1)), "--key", key}).End(),
            "blocks failed car_truncated");
  EXPECT_EQ(Run({File("c.car", ""), "--key", key}).End(), "blocks failed car_truncated");
  // A slice is no whole repository, and what is missing decides what it is called.
  const Verdict slice = Run({File("d.car", RecordSlice(whole, PathOf(3))), "--key", key});
  EXPECT_EQ(slice.exit_code, 1);
  EXPECT_THAT(slice.End(), testing::AnyOf("tree failed mst_partial", "records failed car_missing_block"));
  // One that lies in the future would hide all honest ones.
  const Verdict future = Run({File("e.car", whole), "--key", key, "--now", "2020-01-01T00:00:00Z"});
  EXPECT_EQ(future.End(), "commit failed commit_future_rev");
}

TEST_F(Verify, OldRepositoriesOnlyWhenAskedFor) {
  const auto vectors = VectorsFolder();
  if (!vectors) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const fs::path old = *vectors / "indigo/repos/paul_staging.repo.car";
  if (!fs::exists(old)) GTEST_SKIP() << old;
  const json::value document = json::parse(ReadFileText(*vectors / "indigo/repos/paul_staging.didDoc.json"));
  const json::object line = {{"did", document.at("id")}, {"doc", document}};
  const std::string documents = File("old.ndjson", json::serialize(line) + "\n");
  EXPECT_EQ(Run({old.string(), "--did-docs", documents}).End(), "commit failed commit_bad_version");
  const Verdict verdict = Run({old.string(), "--did-docs", documents, "--allow-v2"});
  EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
  EXPECT_EQ(verdict.Number("version"), 2);
}

// --- One record of a file

TEST_F(Verify, ASliceProvesInclusionAndAbsence) {
  Account ada = WithNotes(1, 40);
  const std::string whole = *ada.Export();
  const std::string documents = Documents(ada);
  const std::string car =
      File("slice", RecordSlice(whole, PathOf(7)));  // told by its bytes, whatever its name
  const Verdict included = Run({car, "--record", PathOf(7), "--did-docs", documents});
  EXPECT_EQ(included.exit_code, 0) << included.End();
  EXPECT_THAT(included.Steps(),
              ElementsAre("blocks ok", "commit ok", "key ok", "signature ok", "path ok", "record ok"));
  EXPECT_EQ(included.Text("kind"), "record");
  EXPECT_TRUE(included.told.at("included").as_bool());
  EXPECT_EQ(included.told.at("record").at("text").as_string(), "note 7");
  EXPECT_EQ(included.Text("cid"), ada.Find(PathOf(7))->ToString());
  ASSERT_FALSE(included.told.at("nodes").as_array().empty());
  EXPECT_EQ(included.told.at("nodes").as_array().front().at("cid").as_string(), ada.data().ToString())
      << "from the root";

  const std::string uri = ada.Uri(PathOf(7));
  EXPECT_EQ(Run({car, "--record", uri, "--did-docs", documents}).exit_code, 0);
  EXPECT_EQ(Run({car, "--record", WithNotes(2, 1).Uri(PathOf(7)), "--did-docs", documents}).End(),
            "commit failed commit_did_mismatch");

  const std::string absent = File("absent.car", RecordSlice(whole, PathOf(99)));
  const Verdict proven = Run({absent, "--record", PathOf(99), "--did-docs", documents});
  EXPECT_EQ(proven.exit_code, 0) << "what is not there is proven as well";
  EXPECT_FALSE(proven.told.at("included").as_bool());
  EXPECT_EQ(proven.End(), "path ok");

  // The whole repository holds all proofs; the slice for one path does not hold another's.
  EXPECT_EQ(Run({File("all.car", whole), "--record", PathOf(8), "--did-docs", documents}).exit_code, 0);
  int unproven = 0;
  for (int i = 0; i < 40; ++i) {
    const Verdict other = Run({car, "--record", PathOf(i), "--did-docs", documents});
    if (other.exit_code == 0) continue;
    EXPECT_EQ(other.End(), "path failed mst_partial");
    ++unproven;
  }
  EXPECT_GT(unproven, 0);

  const std::string bare = File("bare.car", RecordSlice(whole, PathOf(7), /*with_record=*/false));
  const Verdict path_only = Run({bare, "--record", PathOf(7), "--did-docs", documents});
  EXPECT_EQ(path_only.exit_code, 0) << "as --keep-proofs keeps it";
  EXPECT_FALSE(path_only.told.contains("record"));
}

// --- Recorded frames

class VerifyFrames : public Verify {
 protected:
  VerifyFrames() {
    builder::StreamOptions options = builder::ForumProfile();
    options.seed = 5;
    options.accounts = 6;
    options.commits = 60;
    builder::StreamBuilder stream(options);
    builder::StreamFrame frame;
    while (stream.Next(&frame)) frames_.push_back(frame.bytes);
    documents_ = File("documents.ndjson", builder::ToNdjson(stream.documents()));
  }
  std::string Frames(const std::vector<std::string>& frames, const std::string& name = "some.frames") {
    const std::string path = folder_.path() / name;
    auto writer = firehose::CaptureWriter::Create(path);
    for (const std::string& frame : frames) EXPECT_TRUE((*writer)->Append(AsBytes(frame)).ok());
    EXPECT_TRUE((*writer)->Close().ok());
    return path;
  }
  // The last #commit that writes something, of an account that has written before.
  size_t SomeCommit() const {
    size_t found = 0;
    firehose::Frame frame;
    for (size_t i = 0; i < frames_.size(); ++i) {
      EXPECT_TRUE(firehose::DecodeFrame(AsBytes(frames_[i]), &frame).ok());
      if (frame.kind == firehose::FrameKind::kCommit && !frame.ops.empty() && !frame.since.empty()) found = i;
    }
    return found;
  }
  static std::string RejectsOf(const Verdict& verdict, std::string_view member = "refused") {
    std::string text;
    for (const json::value& group : verdict.told.at(member).as_array()) {
      text.append(group.at("reject").as_string())
          .append(" ")
          .append(std::to_string(group.at("count").as_int64()))
          .append(";");
    }
    return text;
  }

  std::vector<std::string> frames_;
  std::string documents_;
};

TEST_F(VerifyFrames, TheShippedRecordingHolds) {
  const Verdict verdict =
      Run({"fixtures/data/forum-small.frames", "--did-docs", "fixtures/data/forum-small.dids.ndjson"});
  EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
  EXPECT_THAT(verdict.Steps(),
              ElementsAre("frames ok", "accepted ok", "refused ok", "chain ok", "judged ok"));
  EXPECT_EQ(verdict.Number("frames"), 112);
  EXPECT_EQ(verdict.told.at("accepted").at("commit").as_int64(), 89);
  EXPECT_EQ(verdict.told.at("changes").at("full").as_int64(), 136);
  EXPECT_EQ(verdict.told.at("changes").at("cid").as_int64(), 0);
}

TEST_F(VerifyFrames, EveryFormOfARecordingIsTheSame) {
  auto recording = firehose::SegmentWriter::Open(folder_.path() / "recording", "relay.test", {});
  ASSERT_TRUE(recording.ok());
  for (size_t i = 0; i < frames_.size(); ++i) {
    firehose::Frame frame;
    ASSERT_TRUE(firehose::DecodeFrame(AsBytes(frames_[i]), &frame).ok());
    ASSERT_TRUE((*recording)
                    ->Append(AsBytes(frames_[i]), frame.seq, builder::kFixtureEpoch + static_cast<int64_t>(i))
                    .ok());
  }
  ASSERT_TRUE((*recording)->Close().ok());
  const Verdict plain = Run({Frames(frames_), "--did-docs", documents_});
  const Verdict folder = Run({folder_.path() / "recording", "--did-docs", documents_});
  const Verdict segment = Run({folder_.path() / "recording/000001.frames.zst", "--did-docs", documents_});
  EXPECT_EQ(plain.exit_code, 0) << plain.End();
  EXPECT_EQ(folder.told.at("changes"), plain.told.at("changes"));
  EXPECT_EQ(segment.told.at("changes"), plain.told.at("changes"));
}

TEST_F(VerifyFrames, ATurnedBitIsRefusedAndTheChainBreaks) {
  const size_t at = SomeCommit();
  firehose::Frame frame;
  ASSERT_TRUE(firehose::DecodeFrame(AsBytes(frames_[at]), &frame).ok());
  const int64_t seq = *frame.seq;
  const std::string did(frame.did.text());
  // The last byte of the blocks belongs to a block.
  const size_t last =
      static_cast<size_t>(frame.blocks.data() + frame.blocks.size() - 1 - AsBytes(frames_[at]).data());
  frames_[at][last] = static_cast<char>(frames_[at][last] ^ 0x10);
  const Verdict verdict = Run({Frames(frames_), "--did-docs", documents_});
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_EQ(RejectsOf(verdict), "car_block_cid_mismatch 1;");
  const json::value& example = verdict.told.at("refused").as_array()[0].at("examples").as_array()[0];
  EXPECT_EQ(example.at("seq").as_int64(), seq);
  EXPECT_EQ(example.at("did").as_string(), did);

  const ProgramRun plain = RunProgram({"verify", Frames(frames_), "--did-docs", documents_});
  EXPECT_EQ(plain.exit_code, 1);
  EXPECT_THAT(plain.out, HasSubstr("FAILED  refused"));
  EXPECT_THAT(plain.out, HasSubstr("seq " + std::to_string(seq) + " " + did));
}

TEST_F(VerifyFrames, AMissingFrameIsAChainThatBreaksAndEventsThatProveNothing) {
  // The account's second-to-last commit: its last one has nothing to follow.
  firehose::Frame frame;
  std::map<std::string, std::vector<size_t>> commits;
  for (size_t i = 0; i < frames_.size(); ++i) {
    ASSERT_TRUE(firehose::DecodeFrame(AsBytes(frames_[i]), &frame).ok());
    if (frame.kind == firehose::FrameKind::kCommit) commits[std::string(frame.did.text())].push_back(i);
  }
  const auto& busy = *std::max_element(commits.begin(), commits.end(), [](const auto& a, const auto& b) {
    return a.second.size() < b.second.size();
  });
  ASSERT_GT(busy.second.size(), 4u);
  frames_.erase(frames_.begin() + static_cast<std::ptrdiff_t>(busy.second[busy.second.size() / 2]));
  const Verdict verdict = Run({Frames(frames_), "--did-docs", documents_});
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_EQ(RejectsOf(verdict), "");
  EXPECT_EQ(RejectsOf(verdict, "desynchronized"), "chain_broken 1;");
  EXPECT_EQ(
      verdict.told.at("desynchronized").as_array()[0].at("examples").as_array()[0].at("did").as_string(),
      busy.first);
  EXPECT_GT(verdict.Number("not_judged"), 0);
}

TEST_F(VerifyFrames, WhoIsNotKnownIsRefusedAndWhoCannotBeAskedIsNotJudged) {
  const std::string none = File("none.ndjson", "");
  const Verdict unknown = Run({Frames(frames_), "--did-docs", none});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_THAT(RejectsOf(unknown), HasSubstr("did_not_found"));
  EXPECT_EQ(unknown.told.at("accepted").at("commit").as_int64(), 0);

  const auto directory = *Directory::Start();
  directory->Misbehave(DirectoryReply::Of(503));
  const Verdict away = Run({Frames(frames_), "--directory", directory->url(), "--shutdown-timeout", "1"});
  EXPECT_EQ(away.exit_code, 1);
  EXPECT_EQ(RejectsOf(away), "") << "nobody answered: that says nothing against the accounts";
  EXPECT_GT(away.Number("not_judged"), 0);
  EXPECT_EQ(away.End(), "judged unknown");
}

TEST_F(VerifyFrames, TheDirectoryKnowsTheKeys) {
  const auto directory = *Directory::Start();
  // Without what changed on the way: the documents as they are in the end know only the newest keys.
  std::map<std::string, std::string> newest;
  for (const json::object& line : ReadNdjson(documents_))
    newest[std::string(line.at("did").as_string())] = json::serialize(line.at("doc"));
  for (const auto& [did, document] : newest) directory->SetDocument(did, document);
  const Verdict verdict = Run({Frames(frames_), "--directory", directory->url(), "--directory-rate", "1000"});
  for (const json::value& group : verdict.told.at("refused").as_array())
    EXPECT_EQ(group.at("reject").as_string(), "signature_mismatch");
  EXPECT_GT(verdict.told.at("accepted").at("commit").as_int64(), 30);
  EXPECT_EQ(verdict.Number("not_judged") > 0, verdict.told.at("desynchronized").as_array().size() > 0);
}

TEST_F(VerifyFrames, AFileThatEndsInAFrameIsNotVerified) {
  const std::string path = Frames(frames_);
  fs::resize_file(path, fs::file_size(path) - 3);
  const Verdict verdict = Run({path, "--did-docs", documents_});
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_THAT(verdict.Steps().at(0), StartsWith("frames failed"));
}

TEST_F(VerifyFrames, LineNoiseIsAFrameThatIsRefused) {
  frames_.insert(frames_.begin() + 20, "\xff\xff noise");
  const Verdict verdict = Run({Frames(frames_), "--did-docs", documents_});
  EXPECT_EQ(verdict.exit_code, 1);
  EXPECT_EQ(RejectsOf(verdict), "frame_bad_header 1;");
}

TEST_F(VerifyFrames, TheCapturesHoldButForWhatTheReferenceRefusesToo) {
  const auto bases = CapturedBases();
  if (bases.empty()) GTEST_SKIP() << "no captures: set PENSTOCK_CAPTURES";
  for (const auto& [base, streams] : bases) {
    for (const CapturedStream& stream : streams) {
      SCOPED_TRACE(stream.file);
      const CaptureTruth truth({stream}, /*as_pds=*/false);
      const Verdict verdict = Run({stream.Path().string(), "--did-docs", stream.DidDocs()});
      std::map<std::string, int64_t> rejects;
      int64_t held = 0, ignored = 0;
      for (const auto& [key, event] : truth.events()) {
        if (event.fate == CaptureTruth::Fate::kRefused) ++rejects[event.reject];
        held += event.fate == CaptureTruth::Fate::kHeld;
        ignored += event.fate == CaptureTruth::Fate::kIgnored;
      }
      std::string expected;
      for (const auto& [reject, count] : rejects)
        expected.append(reject).append(" ").append(std::to_string(count)).append(";");
      EXPECT_EQ(RejectsOf(verdict), expected);
      EXPECT_EQ(verdict.Number("not_judged"), held);
      EXPECT_EQ(verdict.exit_code, expected.empty() && held == 0 ? 0 : 1);
    }
  }
}

// --- Live records

class VerifyLive : public Verify {
 protected:
  VerifyLive() : host_(*Directory::Start()), ada_(WithNotes(1, 40, host_->url())), whole_(*ada_.Export()) {
    host_->SetAccount(ada_);
    for (int i : {7, 99}) Serve(PathOf(i), RecordSlice(whole_, PathOf(i)));
  }
  static std::string Target(const std::string& did, const std::string& path) {
    const size_t slash = path.find('/');
    return "/xrpc/com.atproto.sync.getRecord?did=" + did + "&collection=" + path.substr(0, slash) +
           "&rkey=" + path.substr(slash + 1);
  }
  void Serve(const std::string& path, std::string car) {
    host_->SetReply(Target(ada_.did(), path),
                    DirectoryReply::Of(200, std::move(car), "application/vnd.ipld.car"));
  }
  Verdict Ask(const std::string& path, std::vector<std::string> more = {}) {
    std::vector<std::string> args = {ada_.Uri(path), "--directory", host_->url(),
                                     "--allow-private-addresses"};
    args.insert(args.end(), more.begin(), more.end());
    return Run(args);
  }

  std::unique_ptr<Directory> host_;  // the PLC directory and the PDS at once
  Account ada_;
  std::string whole_;
};

TEST_F(VerifyLive, InclusionIsProven) {
  const std::string saved = folder_.path() / "proof.car";
  const Verdict verdict = Ask(PathOf(7), {"--save", saved});
  EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
  EXPECT_THAT(verdict.Steps(), ElementsAre("identity ok", "proof ok", "blocks ok", "commit ok", "key ok",
                                           "signature ok", "path ok", "record ok"));
  EXPECT_EQ(verdict.told.at("record").at("text").as_string(), "note 7");
  EXPECT_EQ(verdict.Text("rev"), ada_.rev());
  EXPECT_EQ(verdict.Text("key"), ada_.key().DidKey());
  EXPECT_EQ(verdict.Text("pds"), host_->url());
  EXPECT_EQ(ReadFileText(saved), RecordSlice(whole_, PathOf(7)));
  EXPECT_EQ(Run({saved, "--record", ada_.Uri(PathOf(7)), "--key", ada_.key().DidKey()}).exit_code, 0)
      << "and keeps";

  const ProgramRun plain =
      RunProgram({"verify", ada_.Uri(PathOf(7)), "--directory", host_->url(), "--allow-private-addresses"});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  for (const std::string& part :
       {ada_.data().ToString(), ada_.rev(), ada_.key().DidKey(), ada_.Find(PathOf(7))->ToString(),
        std::string("\"text\":\"note 7\""), std::string("\nverified: at://")}) {
    EXPECT_THAT(plain.out, HasSubstr(part));
  }
}

TEST_F(VerifyLive, AbsenceIsProven) {
  const Verdict verdict = Ask(PathOf(99));
  EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
  EXPECT_FALSE(verdict.told.at("included").as_bool());
  EXPECT_EQ(verdict.End(), "path ok");
}

TEST_F(VerifyLive, DocumentsFromAFileNameThePdsToo) {
  const Verdict verdict =
      Run({ada_.Uri(PathOf(7)), "--did-docs", Documents(ada_), "--allow-private-addresses"});
  EXPECT_EQ(verdict.exit_code, 0) << verdict.End();
  EXPECT_EQ(host_->CountOf("/" + ada_.did()), 0u);
}

TEST_F(VerifyLive, APdsThatLiesIsFoundOut) {
  // Another record in its place: its bytes do not hash to the CID in the tree.
  Account eve = WithNotes(2, 40, host_->url());
  const std::string honest = RecordSlice(whole_, PathOf(7));
  std::string forged = honest;
  const size_t text = forged.rfind("note 7");
  ASSERT_NE(text, std::string::npos);
  forged.replace(text, 6, "note 8");
  Serve(PathOf(7), forged);
  EXPECT_EQ(Ask(PathOf(7)).End(), "blocks failed car_block_cid_mismatch");
  // With a CID of its own, but then the tree does not name it.
  const std::string bare = RecordSlice(whole_, PathOf(7), /*with_record=*/false);
  std::string swapped = bare;
  const Item other = NoteOf("other");
  car::Writer(&swapped).Block(cbor::Cid::OfBlock(AsBytes(other.bytes())).view(), AsBytes(other.bytes()));
  Serve(PathOf(7), swapped);
  EXPECT_EQ(Ask(PathOf(7)).End(), "record failed car_missing_block");
  // "It does not exist", by the proof of another path.
  Serve(PathOf(7), RecordSlice(whole_, PathOf(99)));
  EXPECT_EQ(Ask(PathOf(7)).exit_code, 1);
  // Somebody else's repository, in which everything is right.
  Serve(PathOf(7), RecordSlice(*eve.Export(), PathOf(7)));
  EXPECT_EQ(Ask(PathOf(7)).End(), "commit failed commit_did_mismatch");
  // No proof at all.
  host_->SetReply(Target(ada_.did(), PathOf(7)), DirectoryReply::Of(404, R"({"error":"RecordNotFound"})"));
  EXPECT_EQ(Ask(PathOf(7)).End(), "proof failed") << "that it does not exist has to be proven, too";
  host_->SetReply(Target(ada_.did(), PathOf(7)), DirectoryReply::Of(200, "<html></html>", "text/html"));
  EXPECT_THAT(Ask(PathOf(7)).End(), StartsWith("blocks failed car_"));
}

TEST_F(VerifyLive, OnlyTheCurrentKeyCounts) {
  ada_.RotateKey();
  host_->SetAccount(ada_);
  EXPECT_EQ(Ask(PathOf(7)).End(), "signature failed signature_mismatch") << "the commit is from before";
  ada_.Commit({}, builder::kFixtureEpoch + 100'000'000);
  Serve(PathOf(7), RecordSlice(*ada_.Export(), PathOf(7)));
  EXPECT_EQ(Ask(PathOf(7)).exit_code, 0) << "signed anew";
}

TEST_F(VerifyLive, WhoDoesNotAnswerProvesNothingEitherWay) {
  host_->SetReply(Target(ada_.did(), PathOf(7)), DirectoryReply::Of(500));
  EXPECT_EQ(Ask(PathOf(7)).End(), "proof unknown");
  host_->SetReply(Target(ada_.did(), PathOf(7)), DirectoryReply::Misbehave(DirectoryReply::Manner::kDrop));
  EXPECT_EQ(Ask(PathOf(7)).End(), "proof unknown");
  host_->SetReply(Target(ada_.did(), PathOf(7)),
                  DirectoryReply::Misbehave(DirectoryReply::Manner::kEndlessBody, "x"));
  EXPECT_EQ(Ask(PathOf(7)).exit_code, 1);
  host_->SetReply("/" + ada_.did(), DirectoryReply::Of(503));
  EXPECT_EQ(Ask(PathOf(7)).End(), "identity unknown");
}

TEST_F(VerifyLive, WhoIsNobodyIsRefused) {
  host_->Tombstone(ada_.did());
  EXPECT_EQ(Ask(PathOf(7)).End(), "identity failed did_tombstoned");
  host_->Forget(ada_.did());
  EXPECT_EQ(Ask(PathOf(7)).End(), "identity failed did_not_found");
  host_->SetDocument(ada_.did(), R"({"id":")" + ada_.did() + R"("})");
  EXPECT_EQ(Ask(PathOf(7)).End(), "identity failed did_no_key");
}

TEST_F(VerifyLive, APrivateAddressIsNotAsked) {
  const Verdict verdict = Run({ada_.Uri(PathOf(7)), "--directory", host_->url()});
  EXPECT_EQ(verdict.End(), "proof unknown");
  EXPECT_EQ(host_->CountOf(Target(ada_.did(), PathOf(7))), 0u);
}

TEST_F(VerifyLive, AHandleThatCanBeNobodysIsSaidSo) {
  const Verdict verdict = Run({"at://ada.localhost/" + PathOf(7), "--directory", host_->url()});
  EXPECT_EQ(verdict.End(), "handle failed");
  EXPECT_EQ(host_->request_count(), 0u);
}

// --- Stores

TEST_F(VerifyFrames, AStoreIsHashedAgainRowByRow) {
  const std::string store = "sqlite:" + (folder_.path() / "store.db").string();
  ASSERT_EQ(
      RunProgram({"replay", Frames(frames_), "--did-docs", documents_, "--keep-proofs", "--store", store})
          .exit_code,
      0);
  const ProgramRun good = RunProgram({"verify", "--store", store});
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  RunSql(store,
         "UPDATE record SET value = '{\"text\":\"something else\"}' WHERE seq = (SELECT max(seq) FROM record "
         "WHERE NOT deleted)");
  const ProgramRun bad = RunProgram({"verify", "--store", store, "--json"});
  EXPECT_EQ(bad.exit_code, 1);
  EXPECT_THAT(bad.out, HasSubstr("\"finding\""));
  EXPECT_EQ(RunProgram({"verify", "--store", "nothing://"}).exit_code, 2);
}

}  // namespace
}  // namespace penstock::test
