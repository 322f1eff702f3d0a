// The power cut: the program is killed at random instants and started again, until it has got through. The tables must be
// those of a run that nobody disturbed, in every column but the times of indexing.

#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

#include "fixtures/builder/stream.h"
#include "firehose/capture.h"
#include "tests/e2e/program.h"
#include "tests/support/database/temp_folder.h"

namespace penstock::test {
namespace {

constexpr int kKills = 50;

// What is compared: everything that follows from the stream alone.
const std::vector<std::pair<std::string, std::string>> kTables = {
    {"record",
     "SELECT did, collection, rkey, cid, rev, commit_cid, seq, source, op, deleted, verification, validation, value, "
     "value_lossy, cbor, created_at, created_us FROM record ORDER BY did, collection, rkey"},
    {"record_ref",
     "SELECT did, collection, rkey, ordinal, path, target_uri, target_cid, target_did, target_collection, target_hash "
     "FROM record_ref ORDER BY did, collection, rkey, ordinal"},
    {"repo", "SELECT did, rev, data, commit_cid, sync_state, active, status, baseline_rev FROM repo ORDER BY did"},
    {"dead_letter",
     "SELECT source, seq, op, did, collection, rkey, reject, detail, attempts FROM dead_letter ORDER BY source, seq, op"},
    {"gap", "SELECT source, from_seq, to_seq, reason FROM gap ORDER BY source, from_seq, reason"},
    {"quarantine", "SELECT source, position, frame_sha256, reject FROM quarantine ORDER BY source, position, frame_sha256"},
    {"stream_cursor", "SELECT source, shard, position FROM stream_cursor ORDER BY source"},
};

std::vector<std::string> ReplayArguments(const std::string& file, const std::string& store) {
  // Small batches: more transactions to be killed in.
  return {"replay", file, "--verify", "cid", "--store", store, "--batch-rows", "25", "--batch-age", "5"};
}

class Crash : public testing::TestWithParam<std::string> {};

TEST_P(Crash, TablesAfterKillsEqualThoseOfAnUndisturbedRun) {
  const char* seed_text = std::getenv("PENSTOCK_SEED");
  const uint64_t seed = seed_text != nullptr ? std::strtoull(seed_text, nullptr, 10) : std::random_device()();
  std::printf("PENSTOCK_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);

  TempFolder folder;
  const std::string file = folder.path() / "stream.frames";
  {
    builder::StreamOptions options;
    options.seed = 7;
    options.accounts = 60;
    options.commits = 6000;
    builder::StreamBuilder stream(options);
    auto writer = firehose::CaptureWriter::Create(file);
    ASSERT_TRUE(writer.ok()) << writer.status();
    builder::StreamFrame frame;
    while (stream.Next(&frame)) ASSERT_TRUE((*writer)->Append(AsBytes(frame.bytes)).ok());
    ASSERT_TRUE((*writer)->Close().ok());
  }

  TestStore calm(GetParam());
  if (!calm.available()) GTEST_SKIP() << calm.why_not();
  const auto start = std::chrono::steady_clock::now();
  const ProgramRun run = RunProgram(ReplayArguments(file, calm.url()));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const double whole = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  // Each round kills until the stream is through; rounds go on, in fresh stores, until there were enough kills.
  int kills = 0;
  for (int round = 0; kills < kKills; ++round) {
    ASSERT_LT(round, kKills) << "the program ends before it can be killed";
    TestStore store(GetParam());
    for (bool through = false; !through;) {
      ProgramProcess program(ReplayArguments(file, store.url()));
      // Anywhere from the start-up to a third of the whole work: most rounds take many kills.
      const double delay = std::uniform_real_distribution<double>(0.0, whole / 3)(random);
      const auto code = program.Wait(delay);
      if (code) {
        ASSERT_EQ(*code, 0);
        through = true;
      } else if (kills < kKills) {
        program.Kill();
        ++kills;
      } else {
        ASSERT_EQ(program.Wait(120), 0);
        through = true;
      }
    }
    for (const auto& [table, query] : kTables) {
      const auto expected = calm.Query(query);
      EXPECT_EQ(store.Query(query), expected) << table << " after " << kills << " kills";
      if (table == "record") {
        EXPECT_GT(expected.size(), 1000u);
      }
    }
  }
  std::printf("%s: %d kills\n", GetParam().c_str(), kills);
}

INSTANTIATE_TEST_SUITE_P(Stores, Crash, testing::Values("sqlite", "postgresql"));

}  // namespace
}  // namespace penstock::test
