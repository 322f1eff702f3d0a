// Which repositories the running service fetches, and which it leaves alone, as its filter changes: counted at the host that is
// asked for them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/message.h"
#include "fixtures/directory/directory.h"
#include "fixtures/relay/relay.h"
#include "tests/e2e/program.h"

namespace penstock::test {
namespace {

using builder::Account;
using fixtures::Directory;
using fixtures::HostedRepo;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kPost[] = "space.atbb.post";
constexpr char kForum[] = "space.atbb.forum.forum";
constexpr char kOffer[] = "com.huddle.slotOffer";
constexpr char kNote[] = "test.lantern.note";

constexpr char kForumOnly[] = "space.atbb.*";
constexpr char kBoth[] = "space.atbb.*,com.huddle.*";

// Four accounts whose records are all older than the stream. The directory is also their PDS, and says which accounts have a
// collection; the relay has nothing but what a test sends.
class BackfillOfTheService : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (!store_.available()) GTEST_SKIP() << store_.why_not();
    Give("ada", {{kPost, "a1"}, {kPost, "a2"}, {kOffer, "a3"}});
    Give("ben", {{kForum, "self"}, {kPost, "b1"}});
    Give("cyd", {{kOffer, "c1"}, {kNote, "c2"}});
    Give("dee", {{kNote, "d1"}});
  }

  void Give(const std::string& name, const std::vector<std::pair<std::string, std::string>>& records) {
    auto account = std::make_unique<Account>(
        Account::Options{.seed = accounts_.size() + 1, .handle = name + ".lantern.test", .pds = host_->url()});
    std::vector<builder::Write> writes;
    for (const auto& [collection, rkey] : records) writes.push_back(Create(collection, rkey));
    account->Commit(writes, now_ += builder::kSecond);
    host_->SetAccount(*account);
    accounts_[name] = std::move(account);
    Host(name);
  }
  static builder::Write Create(const std::string& collection, const std::string& rkey) {
    return builder::Write::Create(collection + "/" + rkey, builder::Item::Map({{"$type", collection}, {"text", rkey}}));
  }
  // The host has the account as it is now.
  void Host(const std::string& name) {
    auto hosted = HostedRepo::FromAccount(*accounts_.at(name));
    ASSERT_TRUE(hosted.ok()) << hosted.status();
    host_->hosting().SetRepo("", *std::move(hosted));
  }
  // A commit that the stream brings.
  void Write(const std::string& name, const builder::Write& write) {
    builder::CommitMessage message = accounts_.at(name)->Commit({write}, now_ += builder::kSecond);
    message.seq = ++seq_;
    Host(name);
    relay_->Append(seq_, builder::Encode(message));
  }

  void Run(const std::string& collections) {
    program_ = std::make_unique<ProgramProcess>(std::vector<std::string>{
        "run", "--relay", relay_->url(), "--cursor", "0", "--collections", collections, "--backfill-from", host_->url(),
        "--directory", host_->url(), "--directory-rate", "1000", "--no-verify-handles", "--allow-private-addresses",
        "--host-rate", "1000", "--host-burst", "1000", "--retry-first", "1", "--resync-first", "1", "--store", store_.url(),
        "--cursor-interval", "20", "--batch-age", "5"});
  }
  void Stop() {
    program_->Signal(SIGTERM);
    EXPECT_EQ(program_->Wait(30), 0);
  }

  template <typename Condition>
  bool Eventually(Condition condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  std::vector<std::string> Column(const std::string& sql) {
    std::vector<std::string> values;
    for (const auto& row : store_.TryQuery(sql)) values.push_back(row[0].value_or("null"));
    return values;
  }
  // What the rules say that are covered; everything that was begun has ended, and the stream is taken in.
  bool Covered(const std::vector<std::string>& rules) {
    return Eventually([&] {
      return Column("SELECT subject FROM backfill_run WHERE kind = 'filter' AND state = 'done' ORDER BY subject") == rules &&
             Column("SELECT did FROM backfill_task WHERE state IN ('queued', 'running')").empty() &&
             (seq_ == 0 || Column("SELECT position FROM stream_cursor") == std::vector{std::to_string(seq_)});
    });
  }
  // A service that has nothing to do has the time to do it: several rounds of looking.
  void Rest() { std::this_thread::sleep_for(std::chrono::milliseconds(2500)); }

  std::vector<std::string> Visible() { return Column("SELECT rkey FROM visible_record ORDER BY rkey"); }
  // Whose archive was fetched since the last call, each time that it was.
  std::vector<std::string> Fetched() {
    std::vector<std::string> names;
    for (const auto& [name, account] : accounts_) {
      names.insert(names.end(), host_->hosting().Count("getRepo", account->did()), name);
    }
    host_->hosting().ClearLog();
    return names;
  }

  std::unique_ptr<fixtures::Relay> relay_ = *fixtures::Relay::Start();
  std::unique_ptr<Directory> host_ = *Directory::Start();
  TestStore store_{GetParam()};
  std::map<std::string, std::unique_ptr<Account>> accounts_;
  std::unique_ptr<ProgramProcess> program_;
  int64_t now_ = builder::kFixtureEpoch;
  int64_t seq_ = 0;
};

TEST_P(BackfillOfTheService, ExactlyTheAccountsThatHaveACollectionAreFetched) {
  Run(kForumOnly);
  ASSERT_TRUE(Covered({"space.atbb.*"}));
  Stop();
  EXPECT_THAT(Fetched(), ElementsAre("ada", "ben"));
  EXPECT_THAT(Visible(), ElementsAre("a1", "a2", "b1", "self"));
  EXPECT_THAT(Column("SELECT DISTINCT verification FROM visible_record"), ElementsAre("export"));

  // The same again: all is covered.
  Run(kForumOnly);
  Rest();
  Stop();
  EXPECT_THAT(Fetched(), IsEmpty());

  // One more collection: those that have it, also the one that is followed already.
  Run(kBoth);
  ASSERT_TRUE(Covered({"com.huddle.*", "space.atbb.*"}));
  Stop();
  EXPECT_THAT(Fetched(), ElementsAre("ada", "cyd"));
  EXPECT_THAT(Visible(), ElementsAre("a1", "a2", "a3", "b1", "c1", "self"));
}

TEST_P(BackfillOfTheService, WhatWasNotWantedForAWhileIsFetchedAgain) {
  Run(kBoth);
  ASSERT_TRUE(Covered({"com.huddle.*", "space.atbb.*"}));
  Stop();
  EXPECT_THAT(Fetched(), ElementsAre("ada", "ben", "cyd"));

  // Nobody wants com.huddle now, so nobody sees what becomes of it.
  Run(kForumOnly);
  ASSERT_TRUE(Covered({"space.atbb.*"}));
  Write("ada", builder::Write::Delete(std::string(kOffer) + "/a3"));
  Write("ada", Create(kOffer, "a4"));
  Write("cyd", Create(kOffer, "c3"));
  Write("ben", Create(kPost, "b2"));
  ASSERT_TRUE(Covered({"space.atbb.*"}));
  ASSERT_TRUE(Eventually([&] { return Column("SELECT rkey FROM visible_record WHERE rkey = 'b2'").size() == 1; }));
  Rest();
  Stop();
  EXPECT_THAT(Fetched(), IsEmpty());

  Run(kBoth);
  ASSERT_TRUE(Covered({"com.huddle.*", "space.atbb.*"}));
  Stop();
  EXPECT_THAT(Fetched(), ElementsAre("ada", "cyd"));
  EXPECT_THAT(Visible(), ElementsAre("a1", "a2", "a4", "b1", "b2", "c1", "c3", "self"));
  EXPECT_THAT(Column("SELECT rkey FROM record WHERE deleted"), ElementsAre("a3"));
}

TEST_P(BackfillOfTheService, AnAccountThatIsMetLiveIsFetchedAsWell) {
  Run(kForumOnly);
  ASSERT_TRUE(Covered({"space.atbb.*"}));
  Fetched();
  // It had none when accounts were looked for.
  Write("dee", Create(kPost, "d2"));
  const std::string state = "SELECT sync_state FROM repo WHERE did = '" + accounts_.at("dee")->did() + "'";
  ASSERT_TRUE(Eventually([&] { return Column(state) == std::vector<std::string>{"synchronized"}; }));
  EXPECT_THAT(Visible(), ElementsAre("a1", "a2", "b1", "d2", "self"));
  // The next commit continues the chain.
  Write("dee", Create(kPost, "d3"));
  ASSERT_TRUE(Covered({"space.atbb.*"}));
  Rest();
  Stop();
  EXPECT_THAT(Visible(), ElementsAre("a1", "a2", "b1", "d2", "d3", "self"));
  EXPECT_THAT(Fetched(), ElementsAre("dee"));
  EXPECT_THAT(Column(state), ElementsAre("synchronized"));
}

INSTANTIATE_TEST_SUITE_P(Stores, BackfillOfTheService, testing::Values("sqlite", "postgresql"),
                         [](const auto& store) { return store.param; });

}  // namespace
}  // namespace penstock::test
