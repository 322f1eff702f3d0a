// Handles against a name server and hosts over real sockets.

#include <gtest/gtest.h>

#include <future>
#include <mutex>
#include <string>

#include "tests/identity/resolver/resolver_fixture.h"

namespace penstock::identity {
namespace {

using builder::Account;
using fixtures::DirectoryReply;
using Manner = DirectoryReply::Manner;

class HandleCheckTest : public test::ResolverFixture {
 protected:
  HandleCheckTest() {
    options_.verify_handles = true;
    options_.handles.gate.per_second = 1e6;
    options_.handles.gate.burst = 1e6;
    options_.on_handle = [this](const IdentityPtr& identity) {
      std::lock_guard lock(mutex_);
      told_.push_back(identity);
    };
    dns_->SetWildcard("");
  }
  ~HandleCheckTest() override { resolver_.reset(); }

  size_t told() const {
    std::lock_guard lock(mutex_);
    return told_.size();
  }
  // Looks the account up and waits for what becomes of its handle.
  HandleState StateOf(const Account& account) {
    const size_t before = told() + counters_.Of("handle_unknown");
    EXPECT_EQ(Outcome(Resolve(account.did())), "ok");
    EXPECT_TRUE(Eventually([&] { return told() + counters_.Of("handle_unknown") > before; }));
    return Find(account.did())->handle_state;
  }

  mutable std::mutex mutex_;
  std::vector<IdentityPtr> told_;
};

TEST_F(HandleCheckTest, DnsSays) {
  const Account ada = Register(1), bob = Register(2), eve = Register(3);
  dns_->SetTxt("_atproto.user1.lantern.test", {{"v=spf1"}, {"did=", ada.did()}});
  EXPECT_EQ(StateOf(ada), HandleState::kValid);
  EXPECT_EQ(told_.back()->did, ada.did());
  EXPECT_EQ(told_.back(), Find(ada.did())) << "and whoever keeps identities gets the same";
  EXPECT_EQ(counters_.Of("handle_valid"), 1u);

  dns_->SetTxt("_atproto.user2.lantern.test", {{"did=" + ada.did()}});
  EXPECT_EQ(StateOf(bob), HandleState::kInvalid);
  dns_->SetTxt("_atproto.user3.lantern.test", {{"did=" + eve.did()}, {"did=" + ada.did()}});
  EXPECT_EQ(StateOf(eve), HandleState::kInvalid) << "several";
  EXPECT_EQ(hosts_->request_count(), 0u);
}

TEST_F(HandleCheckTest, HttpsSaysWhereDnsIsSilent) {
  const Account ada = Register(1), bob = Register(2), eve = Register(3), joe = Register(4);
  hosts_->SetHandle("user1.lantern.test", ada.did() + "\n");
  EXPECT_EQ(StateOf(ada), HandleState::kValid);
  hosts_->SetHandle("user2.lantern.test", ada.did());
  EXPECT_EQ(StateOf(bob), HandleState::kInvalid);
  EXPECT_EQ(StateOf(eve), HandleState::kInvalid) << "404";
  hosts_->SetHandle("user4.lantern.test", joe.did() + std::string(3000, ' '));
  EXPECT_EQ(StateOf(joe), HandleState::kInvalid) << "too much of it";
}

TEST_F(HandleCheckTest, DnsWins) {
  const Account ada = Register(1);
  dns_->SetTxt("_atproto.user1.lantern.test", {{"did=did:plc:ewvi7nxzyoun6zhxrhs64oiz"}});
  hosts_->SetHandle("user1.lantern.test", ada.did());
  EXPECT_EQ(StateOf(ada), HandleState::kInvalid);
  EXPECT_EQ(hosts_->request_count(), 0u);
}

TEST_F(HandleCheckTest, SilenceProvesNothing) {
  const Account ada = Register(1), bob = Register(2), eve = Register(3);
  hosts_->SetReply("/.well-known/atproto-did", DirectoryReply::Of(503));
  EXPECT_EQ(StateOf(ada), HandleState::kUnchecked);
  EXPECT_EQ(counters_.Of("handle_unknown"), 1u);
  dns_->SetServFail("_atproto.user2.lantern.test");
  hosts_->SetReply("/.well-known/atproto-did", DirectoryReply::Of(404));
  EXPECT_EQ(StateOf(bob), HandleState::kUnchecked) << "a record could say otherwise";
  dns_->SetServFail("_atproto.user3.lantern.test");
  hosts_->SetReply("/.well-known/atproto-did", DirectoryReply::Of(200, eve.did(), "text/plain"));
  EXPECT_EQ(StateOf(eve), HandleState::kValid);
}

TEST_F(HandleCheckTest, ReservedNamesFailAtOnce) {
  Account::Options options;
  options.seed = 9;
  options.handle = "printer.local";
  const Account ada(options);
  directory_->SetAccount(ada);
  EXPECT_EQ(StateOf(ada), HandleState::kInvalid);
  EXPECT_EQ(dns_->questions(), 0u);
}

TEST_F(HandleCheckTest, TheAnswerNeverWaitsForTheHandle) {
  const Account ada = Register(1);
  dns_->SetSilent("_atproto.user1.lantern.test");
  hosts_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(Outcome(Resolve(ada.did())), "ok");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(500));
}

TEST_F(HandleCheckTest, ANewLookupKeepsWhatIsKnownUntilItIsCheckedAgain) {
  Account ada = Register(1);
  dns_->SetTxt("_atproto.user1.lantern.test", {{"did=" + ada.did()}});
  EXPECT_EQ(StateOf(ada), HandleState::kValid);
  hosts_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  dns_->Clear();
  ada.RotateKey();
  directory_->SetAccount(ada);
  EXPECT_EQ(Refresh(ada.did()).identity->handle_state, HandleState::kValid);
  ada.SetHandle("other.lantern.test");
  directory_->SetAccount(ada);
  Resolver().Purge(ada.did());
  EXPECT_EQ(Resolve(ada.did()).identity->handle_state, HandleState::kUnchecked);
}

TEST_F(HandleCheckTest, KeptIdentitiesAreCheckedToo) {
  const Account ada = Register(1);
  options_.verify_handles = false;
  const Answer known = Resolve(ada.did());
  resolver_.reset();
  options_.verify_handles = true;
  dns_->SetTxt("_atproto.user1.lantern.test", {{"did=" + ada.did()}});
  Resolver().Keep(known.identity);
  EXPECT_TRUE(Eventually([&] { return Find(ada.did())->handle_state == HandleState::kValid; }));
}

TEST_F(HandleCheckTest, QueuesAreBounded) {
  options_.handles.gate.concurrency = 1;
  options_.handles.gate.max_waiting = 3;
  dns_->SetWildcard("");
  hosts_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  for (uint64_t seed = 1; seed <= 20; ++seed) EXPECT_EQ(Outcome(Resolve(Register(seed).did())), "ok");
  EXPECT_TRUE(Eventually([&] { return counters_.Of("handle_dropped") == 16; }));
}

TEST_F(HandleCheckTest, OffMeansOff) {
  options_.verify_handles = false;
  EXPECT_EQ(Outcome(Resolve(Register(1).did())), "ok");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_EQ(dns_->questions() + hosts_->request_count(), 0u);
}

}  // namespace
}  // namespace penstock::identity
