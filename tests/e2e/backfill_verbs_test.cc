// `penstock backfill`, `backfill status` and `resync` as an operator meets them: a directory on loopback that is also the host of
// all accounts, and the built program.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/directory/directory.h"
#include "fixtures/relay/relay.h"
#include "tests/e2e/program.h"
#include "tests/support/database/temp_folder.h"
#include "tests/support/shared_data.h"

namespace penstock::test {
namespace {

using builder::Account;
using builder::Write;
using fixtures::Directory;
using fixtures::HostedRepo;
using fixtures::HostingFault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kNote[] = "test.lantern.note";
constexpr char kOther[] = "test.candle.note";

class BackfillVerbs : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!store_.available()) GTEST_SKIP() << store_.why_not();
    // Ten that have notes, three records each; two that have none.
    for (uint64_t i = 0; i < 12; ++i) {
      accounts_.push_back(std::make_unique<Account>(
          Account::Options{.seed = i + 1, .handle = "a" + std::to_string(i) + ".lantern.test", .pds = host_->url()}));
      Account& account = *accounts_.back();
      for (int n = 0; n < 3; ++n) {
        account.Commit({Create(i < 10 ? kNote : kOther, "n" + std::to_string(n))}, now_ += builder::kSecond);
      }
      host_->SetAccount(account);
      Host(account);
    }
  }

  static Write Create(const std::string& collection, const std::string& rkey) {
    return Write::Create(collection + "/" + rkey, builder::Item::Map({{"$type", collection}, {"text", rkey}}));
  }
  void Host(Account& account) {
    auto repo = HostedRepo::FromAccount(account);
    ASSERT_TRUE(repo.ok()) << repo.status();
    host_->hosting().SetRepo("", *std::move(repo));
  }

  // What every verb that fetches wants to know here.
  std::vector<std::string> Args(std::vector<std::string> args) {
    for (const char* one : {"--directory-rate", "10000", "--host-rate", "10000", "--host-burst", "10000", "--allow-private-addresses",
                            "--no-verify-handles", "--retry-first", "1", "--retry-most", "1", "--retry-attempts", "2"}) {
      args.emplace_back(one);
    }
    args.insert(args.end(), {"--directory", host_->url(), "--store", store_.url()});
    return args;
  }
  ProgramRun Backfill(const std::vector<std::string>& more, int give_up_after_s = 60) {
    std::vector<std::string> args = {"backfill", "--pds", host_->url(), "--give-up-after", std::to_string(give_up_after_s)};
    args.insert(args.end(), more.begin(), more.end());
    return RunProgram(Args(args));
  }
  boost::json::value Status() {
    const ProgramRun run = RunProgram({"backfill", "status", "--json", "--store", store_.url()});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return boost::json::parse(run.out);
  }
  int64_t Number(const std::string& sql) {
    const auto rows = store_.TryQuery(sql);
    return rows.empty() || !rows[0][0] ? -1 : std::stoll(*rows[0][0]);
  }
  int64_t Notes() { return Number("SELECT count(*) FROM visible_record WHERE verification = 'export'"); }
  template <typename Condition>
  static bool Eventually(Condition condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }

  const std::unique_ptr<Directory> host_ = *Directory::Start();
  TestStore store_{GetParam()};
  TempFolder folder_;
  std::vector<std::unique_ptr<Account>> accounts_;
  int64_t now_ = builder::kFixtureEpoch;
};

TEST_P(BackfillVerbs, ACollectionIsFoundFetchedAndProven) {
  const ProgramRun run = Backfill({"--collection", "test.lantern.*"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("10 of 10 accounts done, 30 records"));
  EXPECT_EQ(Notes(), 30);
  EXPECT_EQ(Number("SELECT count(*) FROM record"), 30) << "and nothing else";
  EXPECT_EQ(Number("SELECT count(*) FROM repo WHERE sync_state = 'synchronized'"), 10);
  for (const auto& account : accounts_) {
    EXPECT_LE(host_->hosting().Count("getRepo", account->did()), 1u) << "asked once";
  }

  const boost::json::value status = Status();
  ASSERT_EQ(status.at("runs").as_array().size(), 1u);
  const boost::json::value& first = status.at("runs").at(0);
  EXPECT_EQ(first.at("kind").as_string(), "manual");
  EXPECT_EQ(first.at("subject").as_string(), "collection test.lantern.*");
  EXPECT_EQ(first.at("state").as_string(), "done");
  EXPECT_EQ(first.at("done").to_number<int>(), 10);
  EXPECT_EQ(first.at("records").to_number<int>(), 30);
  EXPECT_GT(first.at("bytes").to_number<int>(), 0);
  const ProgramRun table = RunProgram({"backfill", "status", "--store", store_.url()});
  EXPECT_THAT(table.out, HasSubstr("collection test.lantern.*"));
  EXPECT_THAT(RunProgram({"backfill", "status", "--open", "--store", store_.url()}).out, Not(HasSubstr("collection")));
}

TEST_P(BackfillVerbs, AccountsComeFromAFileFromTheStoreOrAreAll) {
  const std::string file = folder_.path() / "dids.txt";
  std::ofstream(file) << "# two of them\n" << accounts_[0]->did() << "\n" << accounts_[1]->did() << "\n";
  ProgramRun run = Backfill({"--collections", "*", "--dids", file});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Notes(), 6);

  // One of them writes, and one that we do not know does, too.
  for (const size_t i : {1, 2}) {
    accounts_[i]->Commit({Write::Delete(std::string(kNote) + "/n0"),
                          Create(kNote, "late")},
                         now_ += builder::kSecond);
    Host(*accounts_[i]);
  }
  run = Backfill({"--collections", "*", "--from-known"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("2 of 2 accounts done"));
  EXPECT_EQ(Notes(), 6);
  EXPECT_EQ(Number("SELECT count(*) FROM visible_record WHERE rkey = 'late'"), 1);
  EXPECT_EQ(Number("SELECT count(*) FROM record WHERE deleted"), 1) << "what the author deleted is gone";

  run = Backfill({"--collections", "*", "--all"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(Notes(), 36) << "of all twelve";
}

TEST_P(BackfillVerbs, ADryRunFindsEverybodyAndWritesNothing) {
  ProgramRun run = Backfill({"--collections", "*", "--all", "--dry-run"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr(host_->url()));
  EXPECT_THAT(run.out, testing::ContainsRegex("12 +0 +0 +in all; nothing was written"));
  EXPECT_EQ(host_->hosting().Count("getRepo"), 0u);
  EXPECT_EQ(Number("SELECT count(*) FROM schema_migration"), -1) << "not even tables";

  ASSERT_EQ(Backfill({"--collection", "test.lantern.*"}).exit_code, 0);
  host_->hosting().ClearLog();
  run = Backfill({"--all", "--dry-run"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, testing::ContainsRegex("12 +10 +10 +in all")) << "known, and as new as the host says";
  run = Backfill({"--collection", "test.candle.*", "--dry-run"});
  EXPECT_THAT(run.out, testing::ContainsRegex("2 +0 +0 +in all"));
  EXPECT_EQ(host_->hosting().Count("getRepo"), 0u);
  EXPECT_EQ(Number("SELECT count(*) FROM backfill_run"), 1) << "only that of the real one";
}

TEST_P(BackfillVerbs, ADryRunLeavesOutAHostThatIsAway) {
  const std::unique_ptr<Directory> away = *Directory::Start();
  away->SetDown(true);
  const ProgramRun run = Backfill({"--pds", away->url(), "--collections", "*", "--all", "--dry-run"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, testing::ContainsRegex("12 +0 +0 +in all"));
  EXPECT_THAT(run.err, HasSubstr(away->url() + " listRepos"));
}

TEST_P(BackfillVerbs, AResyncMendsWhatLooksCurrent) {
  ASSERT_EQ(Backfill({"--collections", "*", "--all"}).exit_code, 0);
  const std::string did = accounts_[3]->did();
  store_.Query("DELETE FROM record WHERE did = '" + did + "' AND rkey = 'n1'");
  host_->hosting().ClearLog();

  EXPECT_EQ(Backfill({"--collections", "*", "--from-known"}).exit_code, 0);
  const size_t asked = host_->hosting().Count("getRepo", did);
  host_->hosting().ClearLog();
  const ProgramRun run = RunProgram(Args({"resync", did, "--collections", "*", "--give-up-after", "60"}));
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("1 of 1 accounts done"));
  EXPECT_EQ(host_->hosting().Count("getRepo", did), 1u) << "whatever we thought (" << asked << " before)";
  EXPECT_EQ(Number("SELECT count(*) FROM visible_record WHERE did = '" + did + "'"), 3);
  EXPECT_EQ(Status().at("runs").at(0).at("subject").as_string(), "resync " + did);
}

TEST_P(BackfillVerbs, WhatFailsIsNamedAndTheStatusIsOne) {
  const std::string spoilt = accounts_[4]->did();
  host_->hosting().AddFault(HostingFault::FlipAt(400).On("getRepo").Of(spoilt));
  const ProgramRun run = Backfill({"--collections", "*", "--all"});
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("11 of 12 accounts done"));
  EXPECT_THAT(run.err, HasSubstr("1 failed (car_block_cid_mismatch 1)"));
  EXPECT_EQ(Number("SELECT count(*) FROM record WHERE did = '" + spoilt + "'"), 0) << "nothing of it";
  const boost::json::value status = Status();
  const boost::json::value& failed = status.at("runs").at(0);
  EXPECT_EQ(failed.at("failed").to_number<int>(), 1);
  EXPECT_EQ(failed.at("causes").at(0).at("cause").as_string(), "car_block_cid_mismatch");
  // Its host has mended it.
  host_->hosting().ClearFaults();
  EXPECT_EQ(RunProgram(Args({"resync", spoilt, "--collections", "*"})).exit_code, 0);
  EXPECT_EQ(Number("SELECT count(*) FROM visible_record WHERE did = '" + spoilt + "'"), 3);
}

TEST_P(BackfillVerbs, WithoutAKeyNothingIsTakenIn) {
  const std::string unknown = accounts_[5]->did(), keyless = accounts_[6]->did();
  host_->Forget(unknown);
  host_->SetDocument(keyless, R"({"id":")" + keyless + R"(","service":[{"id":"#atproto_pds",)" +
                                  R"("type":"AtprotoPersonalDataServer","serviceEndpoint":")" + host_->url() + R"("}]})");
  const ProgramRun run = Backfill({"--collections", "*", "--all"});
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("10 of 12 accounts done"));
  const auto cause = [&](const std::string& did) {
    const auto rows = store_.Query("SELECT state, cause FROM backfill_task WHERE did = '" + did + "'");
    return rows.empty() ? "" : rows[0][0].value_or("") + " " + rows[0][1].value_or("");
  };
  EXPECT_EQ(cause(unknown), "failed did_not_found");
  EXPECT_EQ(cause(keyless), "failed did_no_key");
  EXPECT_EQ(Number("SELECT count(*) FROM record WHERE did IN ('" + unknown + "', '" + keyless + "')"), 0);
}

TEST_P(BackfillVerbs, WhileTheDirectoryIsAwayAccountsWait) {
  std::vector<std::string> args = Args({"backfill", "--dids", accounts_[0]->did(), "--collections", "*", "--give-up-after", "4"});
  *std::find(args.begin(), args.end(), host_->url()) = "http://127.0.0.1:1";  // where the directory should be
  const ProgramRun run = RunProgram(args);
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("identity_unavailable 1"));
  EXPECT_EQ(Number("SELECT count(*) FROM backfill_task WHERE state = 'failed'"), 0) << "it is waited for";
  // The same command, now that the directory is there.
  EXPECT_EQ(RunProgram(Args({"backfill", "--dids", accounts_[0]->did(), "--collections", "*"})).exit_code, 0);
  EXPECT_EQ(Notes(), 3);
}

TEST_P(BackfillVerbs, KilledItGoesOnWhereItWas) {
  // Slow enough that some are done and some are not.
  host_->hosting().AddFault(HostingFault::Slow(4'000).On("getRepo"));
  const std::vector<std::string> args =
      Args({"backfill", "--pds", host_->url(), "--collections", "*", "--all", "--backfill-threads", "2", "--batch-age", "5"});
  {
    ProgramProcess killed(args);
    ASSERT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM backfill_task WHERE state = 'done'") >= 2; }));
    killed.Signal(SIGKILL);
    EXPECT_EQ(killed.Wait(20), 128 + SIGKILL);
  }
  const int64_t done = Number("SELECT count(*) FROM backfill_task WHERE state = 'done'");
  EXPECT_GE(done, 2);
  EXPECT_LT(done, 12);
  EXPECT_EQ(Status().at("runs").at(0).at("state").as_string(), "open");

  // Asked to stop, it says how to go on.
  {
    const std::string log = folder_.path() / "log";
    ProgramProcess stopped(args, log);
    ASSERT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM backfill_task WHERE state = 'done'") > done; }));
    stopped.Signal(SIGINT);
    EXPECT_EQ(stopped.Wait(30), 1);
    EXPECT_THAT(ReadFileText(log), HasSubstr("goes on with the same command"));
  }
  host_->hosting().ClearFaults();
  const ProgramRun run = RunProgram(args);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("12 of 12 accounts done, 36 records"));
  EXPECT_EQ(Notes(), 36);
  EXPECT_EQ(Number("SELECT count(*) FROM backfill_run"), 1) << "one run all along";
  for (const auto& account : accounts_) EXPECT_LE(host_->hosting().Count("getRepo", account->did()), 3u);
}

TEST_P(BackfillVerbs, AHostThatIsAwayIsWaitedForAsLongAsOneLikes) {
  ASSERT_EQ(Backfill({"--collections", "*", "--all", "--dry-run"}).exit_code, 0);
  host_->hosting().AddFault(HostingFault::Status(503).On("getRepo").Of(accounts_[6]->did()));
  const ProgramRun run = Backfill({"--collections", "*", "--all"}, 5);
  EXPECT_EQ(run.exit_code, 1) << run.err;
  EXPECT_THAT(run.err, HasSubstr("giving up"));
  EXPECT_THAT(run.err, HasSubstr("11 of 12 accounts done"));
  EXPECT_THAT(run.err, HasSubstr("host_unavailable 1"));
  EXPECT_EQ(Status().at("runs").at(0).at("queued").to_number<int>(), 1) << "it has not failed";
}

TEST_P(BackfillVerbs, BesideARunningServiceItOnlyQueues) {
  const std::unique_ptr<fixtures::Relay> relay = *fixtures::Relay::Start();
  const std::string log = folder_.path() / "service.log";
  // The service keeps notes, and has nobody to ask for accounts but its relay, which lists none.
  ProgramProcess service(Args({"run", "--relay", relay->url(), "--collections", "test.lantern.*"}), log);
  ASSERT_TRUE(Eventually([&] { return Number("SELECT count(*) FROM backfill_run") >= 0; }));
  const ProgramRun run = Backfill({"--dids", accounts_[7]->did() + "," + accounts_[8]->did()});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("another instance holds the lease"));
  EXPECT_THAT(run.err, HasSubstr("only looks on"));
  EXPECT_THAT(run.err, HasSubstr("2 of 2 accounts done, 6 records"));
  EXPECT_EQ(Notes(), 6);

  store_.Query("DELETE FROM record WHERE did = '" + accounts_[7]->did() + "' AND rkey = 'n1'");
  const ProgramRun again = RunProgram(Args({"resync", accounts_[7]->did()}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(Notes(), 6);
  service.Signal(SIGTERM);
  EXPECT_EQ(service.Wait(30), 0) << ReadFileText(log);
}

INSTANTIATE_TEST_SUITE_P(Stores, BackfillVerbs, testing::Values("sqlite", "postgresql"),
                         [](const auto& one) { return std::string(one.param); });

TEST(BackfillUsage, WrongUsageIsExitTwoAndSaysWhy) {
  const TempFolder folder;
  const std::string store = folder.path() / "store.db";
  const std::vector<std::string> good = {"--store", store, "--collections", "*", "--pds", "http://127.0.0.1:1"};
  const auto refused = [&](std::vector<std::string> args, const std::string& why) {
    args.insert(args.end(), good.begin(), good.end());
    const ProgramRun run = RunProgram(args);
    EXPECT_EQ(run.exit_code, 2) << run.err;
    EXPECT_THAT(run.err, HasSubstr(why));
  };
  refused({"backfill"}, "which accounts?");
  refused({"backfill", "--all", "--from-known"}, "exclude each other");
  refused({"backfill", "--all", "--verify", "signature"}, "only `full` fits");
  refused({"backfill", "--all", "--now", "2026-01-15T12:00:00Z"}, "--now");
  refused({"backfill", "--dids", "/nowhere.txt"}, "/nowhere.txt");
  refused({"backfill", "--all", "--relay", "ftp://x"}, "ftp://x");
  refused({"backfill", "--all", "--backfill-from", "ftp://x"}, "--backfill-from");
  refused({"backfill", "--all", "--temp-folder", "/nowhere/at/all"}, "/nowhere/at/all");
  refused({"backfill", "--all", "--backfill-threads", "0"}, "--backfill-threads");
  refused({"backfill", "nonsense"}, "nonsense");
  refused({"resync"}, "did");
  refused({"resync", "nobody"}, "nobody");
  refused({"resync", "did:plc:ewvi7nxzyoun6zhxrhs64oiz", "--verify", "cid"}, "only `full` fits");
  EXPECT_EQ(RunProgram({"backfill", "--all", "--collections", "*", "--store", store}).exit_code, 2) << "nobody to ask";
  EXPECT_EQ(RunProgram({"backfill", "--all", "--collections", "*", "--pds", "http://127.0.0.1:1"}).exit_code, 2) << "no store";
  EXPECT_EQ(RunProgram({"backfill", "status"}).exit_code, 2);
  EXPECT_NE(RunProgram({"backfill", "status", "--store", store}).exit_code, 0) << "no such store";
  EXPECT_FALSE(std::filesystem::exists(store)) << "and none was made";
  // Nobody says what to keep, and an empty store does not know.
  const ProgramRun run = RunProgram({"backfill", "--all", "--pds", "http://127.0.0.1:1", "--store", store});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_THAT(run.err, HasSubstr("--collections is missing"));
}

}  // namespace
}  // namespace penstock::test
