// `penstock run` and `penstock record` as processes against a relay on loopback.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "firehose/capture.h"
#include "fixtures/builder/stream.h"
#include "fixtures/relay/relay.h"
#include "tests/e2e/program.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

using ::testing::HasSubstr;

class Live : public testing::Test {
 protected:
  Live() : file_(folder_.path() / "stream.frames") {
    auto relay = fixtures::Relay::Start();
    EXPECT_TRUE(relay.ok()) << relay.status();
    relay_ = *std::move(relay);
    builder::StreamOptions options;
    options.seed = 11;
    options.accounts = 20;
    options.commits = 1500;
    builder::StreamBuilder stream(options);
    auto writer = firehose::CaptureWriter::Create(file_);
    builder::StreamFrame frame;
    while (stream.Next(&frame)) {
      relay_->Append(frame.seq, frame.bytes);
      EXPECT_TRUE((*writer)->Append(AsBytes(frame.bytes)).ok());
      last_seq_ = frame.seq;
      ++frames_;
    }
    EXPECT_TRUE((*writer)->Close().ok());
  }

  std::vector<std::string> Run(const std::string& store) {
    return {"run", "--relay", relay_->url(), "--collections", "*", "--verify", "cid", "--cursor", "0", "--cursor-interval", "20", "--batch-age", "5", "--batch-rows", "50", "--store", store};
  }

  // The store is only read, on a connection of its own, while the program holds its lease.
  bool ReachesTheEnd(TestStore& store, double seconds = 60) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < deadline) {
      if (CursorOf(store) == last_seq_) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  int64_t CursorOf(TestStore& store) {
    if (!std::filesystem::exists(store.url().substr(std::string("sqlite:").size()))) return 0;
    const auto rows = store.TryQuery("SELECT position FROM stream_cursor");
    return rows.empty() ? 0 : std::stoll(rows[0][0].value_or("0"));
  }

  // What the next connection does.
  void Script(std::vector<fixtures::RelayStep> steps) {
    fixtures::RelayScript script;
    script.steps = std::move(steps);
    relay_->Script(std::move(script));
  }

  TempFolder folder_;
  std::string file_;
  std::unique_ptr<fixtures::Relay> relay_;
  int64_t last_seq_ = 0;
  size_t frames_ = 0;
};

constexpr char kRows[] = "SELECT did, collection, rkey, cid, rev, op, deleted, value, cbor FROM record ORDER BY did, collection, rkey";

TEST_F(Live, RunIndexesWhatReplayIndexes) {
  TestStore replayed("sqlite"), followed("sqlite");
  ASSERT_EQ(RunProgram({"replay", file_, "--verify", "cid", "--store", replayed.url()}).exit_code, 0);
  ProgramProcess program(Run(followed.url()));
  ASSERT_TRUE(ReachesTheEnd(followed));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(30), 0);
  const auto expected = replayed.Query(kRows);
  EXPECT_GT(expected.size(), 500u);
  EXPECT_EQ(followed.Query(kRows), expected);
}

TEST_F(Live, RunSurvivesKillsAndLostConnections) {
  TestStore calm("sqlite"), shaken("sqlite");
  ASSERT_EQ(RunProgram({"replay", file_, "--verify", "cid", "--store", calm.url()}).exit_code, 0);
  // Each connection breaks off a little further on, and each process is killed.
  for (int round = 0; round < 6; ++round) {
    Script({fixtures::RelayStep::Frames(100), fixtures::RelayStep::Drop()});
    Script({fixtures::RelayStep::Frames(150), fixtures::RelayStep::Drop()});
    ProgramProcess program(Run(shaken.url()));
    const int64_t before = CursorOf(shaken);
    for (int i = 0; i < 500 && CursorOf(shaken) <= before; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    program.Kill();
  }
  ProgramProcess program(Run(shaken.url()));
  ASSERT_TRUE(ReachesTheEnd(shaken));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(30), 0);
  EXPECT_EQ(shaken.Query(kRows), calm.Query(kRows));
  EXPECT_EQ(shaken.Query("SELECT * FROM gap").size(), 0u);
  EXPECT_EQ(shaken.Query("SELECT * FROM dead_letter").size(), 0u);
}

TEST_F(Live, ACursorInTheFutureStopsTheServiceAndIsNotReset) {
  TestStore store("sqlite");
  {
    ProgramProcess program(Run(store.url()));
    ASSERT_TRUE(ReachesTheEnd(store));
    program.Signal(SIGTERM);
    ASSERT_EQ(program.Wait(30), 0);
  }
  const std::string future = std::to_string(last_seq_ + 1000);
  ASSERT_EQ(RunProgram({"cursor", "set", relay_->host(), future, "--store", store.url()}).exit_code, 0);
  const ProgramRun run = RunProgram(Run(store.url()));
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("future"));
  EXPECT_THAT(RunProgram({"cursor", "show", "--store", store.url()}).out, HasSubstr(future));
}

TEST_F(Live, AnOutdatedCursorOpensAGapAndTheServiceGoesOn) {
  TestStore store("sqlite");
  relay_->ForgetBefore(last_seq_ - 100);
  std::vector<std::string> args = Run(store.url());
  *(std::find(args.begin(), args.end(), "0")) = "5";  // --cursor 5: below the window
  ProgramProcess program(args);
  ASSERT_TRUE(ReachesTheEnd(store));
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(30), 0);
  const auto gaps = store.Query("SELECT reason, from_seq FROM gap");
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0][0], "outdated_cursor");
  EXPECT_EQ(gaps[0][1], "5");
}

TEST_F(Live, RecordKeepsEveryFrameAcrossAKillAndReplaysTheSame) {
  const std::string recording = folder_.path() / "recording";
  const std::vector<std::string> record = {"record", "--relay", relay_->url(), "--out", recording, "--cursor", "0", "--segment-mb", "1"};
  {
    Script({fixtures::RelayStep::Frames(400), fixtures::RelayStep::Stall()});
    ProgramProcess program(record);
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    program.Kill();
  }
  {
    ProgramProcess program(record);
    // The manifest is written when the recording ends: let it take what is there.
    std::this_thread::sleep_for(std::chrono::milliseconds(1500));
    program.Signal(SIGTERM);
    EXPECT_EQ(program.Wait(30), 0);
  }
  const std::vector<std::string> out = {"--verify", "cid", "--out", "ndjson"};
  const auto replay = [&](const std::string& input) {
    std::vector<std::string> args = {"replay", input};
    args.insert(args.end(), out.begin(), out.end());
    return RunProgram(args).out;
  };
  const std::string expected = replay(file_);
  EXPECT_GT(expected.size(), 100'000u);
  EXPECT_EQ(replay(recording), expected);
}

}  // namespace
}  // namespace penstock::test
