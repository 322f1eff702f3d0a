// Who accounts are, as the running service finds out over real sockets: a directory and a PDS on loopback,
// and what the store keeps.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
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
using fixtures::DirectoryReply;
using testing::ElementsAre;

constexpr char kNote[] = "test.lantern.note";

class IdentityOfTheService : public testing::Test {
 protected:
  IdentityOfTheService() : ada_({.seed = 1, .handle = "ada.lantern.test", .pds = host_->url()}) {
    host_->SetAccount(ada_);
  }

  void Run(const std::vector<std::string>& more = {}) {
    std::vector<std::string> args = {"run",
                                     "--relay",
                                     relay_->url(),
                                     "--cursor",
                                     "0",
                                     "--collections",
                                     "test.lantern.*",
                                     "--directory",
                                     host_->url(),
                                     "--directory-rate",
                                     "1000",
                                     "--store",
                                     store_.url(),
                                     "--cursor-interval",
                                     "20",
                                     "--batch-age",
                                     "5"};
    args.insert(args.end(), more.begin(), more.end());
    program_ = std::make_unique<ProgramProcess>(args);
  }
  void Note(const std::string& rkey) {
    const builder::Item note = builder::Item::Map({{"$type", kNote}, {"text", rkey}});
    now_ += builder::kSecond;
    Send(ada_.Commit({builder::Write::Create(std::string(kNote) + "/" + rkey, note)}, now_));
  }
  template <typename Message>
  void Send(Message message) {
    message.seq = ++seq_;
    relay_->Append(seq_, builder::Encode(message));
  }
  void Say(bool active) {
    builder::AccountMessage message;
    message.did = ada_.did();
    message.time = builder::FormatTime(now_);
    message.active = active;
    if (!active) message.status = "deactivated";
    Send(std::move(message));
  }

  template <typename Condition>
  bool Eventually(Condition condition) {
    for (int i = 0; i < 1500; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
  }
  std::string Value(const std::string& sql) {
    const auto rows = store_.TryQuery(sql);
    return rows.empty() || rows[0].empty() ? "no row" : rows[0][0].value_or("null");
  }
  bool Settled() {
    return Eventually([this] { return Value("SELECT position FROM stream_cursor") == std::to_string(seq_); });
  }
  std::vector<std::string> Notes() {
    std::vector<std::string> notes;
    for (const auto& row : store_.TryQuery("SELECT rkey FROM visible_record ORDER BY rkey"))
      notes.push_back(*row[0]);
    return notes;
  }

  std::unique_ptr<fixtures::Relay> relay_ = *fixtures::Relay::Start();
  std::unique_ptr<Directory> host_ = *Directory::Start();  // the directory, and the account's PDS
  TestStore store_{"sqlite"};
  Account ada_;
  std::unique_ptr<ProgramProcess> program_;
  int64_t now_ = builder::kFixtureEpoch;
  int64_t seq_ = 0;
};

constexpr char kHandleState[] = "SELECT handle_state FROM identity";

TEST_F(IdentityOfTheService, HandlesAreCheckedInTheBackgroundAndTheResultIsKept) {
  Note("a");
  Run();
  // Under .test, so nobody's: that is known without asking anybody.
  EXPECT_TRUE(Eventually([&] { return Value(kHandleState) == "invalid"; })) << Value(kHandleState);
  EXPECT_EQ(Value("SELECT handle FROM identity"), "ada.lantern.test") << "claimed all the same";
  EXPECT_THAT(Notes(), ElementsAre("a")) << "and never in the way of indexing";
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(20), 0);
}

TEST_F(IdentityOfTheService, HandlesAreLeftAloneWhenAskedTo) {
  Note("a");
  Run({"--no-verify-handles"});
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([&] { return Value(kHandleState) != "no row"; }));
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(20), 0);
  EXPECT_EQ(Value(kHandleState), "unchecked");
}

TEST_F(IdentityOfTheService, ANewKeyIsFoundOutByOneRefresh) {
  Note("a");
  Run({"--no-verify-handles"});
  ASSERT_TRUE(Settled());
  Account before(
      {.seed = 1, .handle = "ada.lantern.test", .pds = host_->url()});  // the same account with the old key
  ada_.RotateKey();
  host_->SetAccount(ada_);
  Note("b");  // nobody said #identity
  ASSERT_TRUE(Settled());
  EXPECT_TRUE(Eventually([&] { return Notes() == std::vector<std::string>{"a", "b"}; }));
  EXPECT_EQ(host_->CountOf("/" + ada_.did()), 2u);
  // Who has the old key cannot go on with it, and costs no further question.
  const builder::Item note = builder::Item::Map({{"$type", kNote}, {"text", "forged"}});
  Send(
      before.Commit({builder::Write::Create(std::string(kNote) + "/forged", note)}, now_ + builder::kSecond));
  ASSERT_TRUE(Settled());
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(20), 0);
  EXPECT_THAT(Notes(), ElementsAre("a", "b"));
}

TEST_F(IdentityOfTheService, AHostIsAskedWhetherAnAccountIsActive) {
  host_->SetReply("/xrpc/com.atproto.sync.getRepoStatus?did=" + ada_.did(),
                  DirectoryReply::Of(200, R"({"did":")" + ada_.did() + R"(","active":true})"));
  Note("a");
  Run({"--no-verify-handles", "--allow-private-addresses"});
  ASSERT_TRUE(Settled());
  Say(false);
  ASSERT_TRUE(Eventually([&] { return Notes().empty(); })) << "hidden at once";
  Note("b");  // from an account that should be silent: its PDS knows better
  EXPECT_TRUE(Eventually([&] { return Notes() == std::vector<std::string>{"a", "b"}; }));
  EXPECT_EQ(Value("SELECT active FROM repo"), "1");
  program_->Signal(SIGTERM);
  EXPECT_EQ(program_->Wait(20), 0);
}

}  // namespace
}  // namespace penstock::test
