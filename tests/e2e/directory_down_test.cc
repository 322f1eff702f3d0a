// The directory of identities is down for the whole of a stream of ten thousand accounts, and the program is killed in between:
// nothing unverified gets in, the cursor goes on, and once the directory is back everything is proven in order.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <thread>

#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/directory/directory.h"
#include "fixtures/relay/relay.h"
#include "tests/e2e/program.h"

namespace penstock::test {
namespace {

constexpr size_t kAccounts = 10'000;
constexpr int kCommits = 2;  // of each account, with one record each

class DirectoryDown : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    store_ = std::make_unique<TestStore>(GetParam());
    if (!store_->available()) GTEST_SKIP() << store_->why_not();
    relay_ = *fixtures::Relay::Start();
    directory_ = *fixtures::Directory::Start();
    std::deque<builder::Account> accounts;
    for (size_t i = 0; i < kAccounts; ++i) {
      accounts.emplace_back(builder::Account::Options{.seed = 500'000 + i, .handle = "a" + std::to_string(i) + ".test", .keep_records = false});
      directory_->SetAccount(accounts.back());
    }
    int64_t now = builder::kFixtureEpoch;
    for (int round = 0; round < kCommits; ++round) {
      for (builder::Account& account : accounts) {
        const builder::Item record = builder::Item::Map({{"$type", "test.lantern.note"}, {"text", std::to_string(round)}});
        now += builder::kMillisecond;
        builder::CommitMessage message =
            account.Commit({builder::Write::Create("test.lantern.note/" + std::to_string(round), record)}, now);
        message.seq = ++last_seq_;
        relay_->Append(last_seq_, builder::Encode(message));
      }
    }
    directory_->SetDown(true);
  }

  void Start(std::vector<std::string> more = {}) {
    std::vector<std::string> args = {"run", "--relay", relay_->url(), "--cursor", "0", "--collections", "test.lantern.*",
                                     "--directory", directory_->url(), "--directory-rate", "10000", "--store", store_->url(),
                                     "--no-verify-handles", "--cursor-interval", "50", "--lease-wait", "60"};
    args.insert(args.end(), more.begin(), more.end());
    program_ = std::make_unique<ProgramProcess>(args);
  }

  template <typename Condition>
  bool Eventually(double seconds, Condition condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < deadline) {
      peak_kib_ = std::max(peak_kib_, ResidentKib());
      if (condition()) return true;
      if (const std::optional<int> code = program_->Wait(0)) {
        ADD_FAILURE() << "it ended with " << *code;
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  int64_t Number(const std::string& sql) {
    const auto rows = store_->TryQuery(sql);
    return rows.empty() || !rows[0][0] ? -1 : std::stoll(*rows[0][0]);
  }
  int64_t Cursor() { return Number("SELECT position FROM stream_cursor"); }
  // The most that the program had in memory.
  long ResidentKib() const {
    std::ifstream status("/proc/" + std::to_string(program_->pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
    }
    return 0;
  }

  std::unique_ptr<TestStore> store_;
  std::unique_ptr<fixtures::Relay> relay_;
  std::unique_ptr<fixtures::Directory> directory_;
  std::unique_ptr<ProgramProcess> program_;
  int64_t last_seq_ = 0;
  long peak_kib_ = 0;
};

TEST_P(DirectoryDown, EverythingIsHeldAndProvenInOrderOnceItIsBack) {
  Start();
  ASSERT_TRUE(Eventually(60, [&] { return Cursor() > last_seq_ / 4; })) << Cursor();
  program_->Kill();
  EXPECT_EQ(Number("SELECT count(*) FROM record"), 0) << "nothing unverified is indexed";
  Start();
  ASSERT_TRUE(Eventually(60, [&] { return Cursor() == last_seq_; })) << Cursor();
  EXPECT_EQ(Number("SELECT count(*) FROM record"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM held_event"), static_cast<int64_t>(kAccounts) * kCommits);
  const long held_kib = peak_kib_;
  program_->Kill();
  directory_->SetDown(false);
  Start();
  ASSERT_TRUE(Eventually(180, [&] { return Number("SELECT count(*) FROM held_event") == 0; }))
      << Number("SELECT count(*) FROM held_event") << " held, " << Number("SELECT count(*) FROM record") << " rows";
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(60), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM record WHERE verification = 'full'"), static_cast<int64_t>(kAccounts) * kCommits);
  EXPECT_EQ(Number("SELECT count(*) FROM repo WHERE sync_state = 'synchronized'"), static_cast<int64_t>(kAccounts));
  EXPECT_EQ(Number("SELECT count(*) FROM dead_letter"), 0);
  // Fixed, and far above what it takes: what must not happen is that memory grows with what is held.
  EXPECT_LT(held_kib, 256 * 1024);
  std::printf("directory down, %s: %lld events of %zu accounts held, at most %ld MiB resident; all proven after two kills\n",
              GetParam().c_str(), static_cast<long long>(last_seq_), kAccounts, held_kib / 1024);
}

TEST_P(DirectoryDown, WhatDoesNotFitDesynchronizesItsOwnAccountsOnly) {
  constexpr int64_t kRoom = 4'000;
  // One worker, so that its share is the whole.
  Start({"--held-events", std::to_string(kRoom), "--workers", "1"});
  ASSERT_TRUE(Eventually(60, [&] { return Cursor() == last_seq_; })) << Cursor();
  const int64_t held = Number("SELECT count(*) FROM held_event");
  const int64_t desynchronized = Number("SELECT count(*) FROM repo WHERE sync_state = 'desynchronized' AND reason = 'held_overflow'");
  EXPECT_LE(held, kRoom);
  EXPECT_GT(held, 0);
  EXPECT_GT(desynchronized, 0);
  directory_->SetDown(false);
  // A new start asks at once; the running program would, too, within the minute that its questions have come to wait.
  program_->Kill();
  Start({"--held-events", std::to_string(kRoom), "--workers", "1"});
  ASSERT_TRUE(Eventually(120, [&] {
    return Number("SELECT count(*) FROM held_event WHERE reason <> 'desynchronized' AND did NOT IN "
                  "(SELECT did FROM repo WHERE sync_state = 'desynchronized')") == 0;
  }));
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(60), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM record WHERE verification <> 'full'"), 0);
  EXPECT_EQ(Number("SELECT count(*) FROM dead_letter"), 0);
  const int64_t synchronized = Number("SELECT count(*) FROM repo WHERE sync_state = 'synchronized'");
  EXPECT_EQ(Number("SELECT count(*) FROM record"), synchronized * kCommits + Number("SELECT count(*) FROM record WHERE did IN (SELECT did FROM repo WHERE sync_state = 'desynchronized')"));
  std::printf("directory down, %s: room for %lld events: %lld accounts desynchronized and counted, %lld proven in full\n",
              GetParam().c_str(), static_cast<long long>(kRoom), static_cast<long long>(desynchronized),
              static_cast<long long>(synchronized));
}

INSTANTIATE_TEST_SUITE_P(Stores, DirectoryDown, testing::Values("sqlite", "postgresql"));

}  // namespace
}  // namespace penstock::test
