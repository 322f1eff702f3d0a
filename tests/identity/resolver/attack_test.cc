// A directory and hosts that mean harm: whatever they do costs their own accounts a delay and nobody anything
// else.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <string>
#include <vector>

#include "tests/identity/resolver/resolver_fixture.h"

namespace penstock::identity {
namespace {

using builder::Account;
using fixtures::DirectoryReply;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Manner = DirectoryReply::Manner;

class ResolverAttackTest : public test::ResolverFixture {
 protected:
  ResolverAttackTest() { options_.lookup_timeout = milliseconds(500); }

  // Resident memory of this process, bytes.
  static size_t Memory() {
    std::ifstream statm("/proc/self/statm");
    size_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * 4096;
  }
};

TEST_F(ResolverAttackTest, AnotherAccountsDocument) {
  const Account ada = Register(1), eve = Register(2);
  directory_->SetDocument(ada.did(), eve.DidDocument());
  const Answer answer = Resolve(ada.did());
  EXPECT_EQ(Outcome(answer), "did_document_invalid");
  EXPECT_FALSE(answer.identity->key.has_value());
}

TEST_F(ResolverAttackTest, EveryWayToMisbehaveIsBounded) {
  const Account ada = Register(1), bob = Register(2);
  Resolve(bob.did());
  const struct {
    Manner manner;
    std::string body;
  } cases[] = {
      {Manner::kStall, "{}"},
      {Manner::kTrickle, ada.DidDocument()},
      {Manner::kEndlessBody, std::string(1000, '{')},
      {Manner::kEndlessBody, std::string(1000, ' ')},
      {Manner::kEndlessHeaders, ""},
      {Manner::kCloseMidBody, ada.DidDocument()},
      {Manner::kDrop, ""},
      {Manner::kGarbage, std::string("\0\xff\xfe garbage", 11)},
      {Manner::kGarbage, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n"},
  };
  for (const auto& c : cases) {
    directory_->Misbehave(DirectoryReply::Misbehave(c.manner, c.body));
    const size_t memory = Memory();
    const auto begin = steady_clock::now();
    EXPECT_EQ(OutcomeNow(ada.did()), "unavailable") << static_cast<int>(c.manner);
    EXPECT_LT(steady_clock::now() - begin, seconds(2)) << static_cast<int>(c.manner);
    EXPECT_LT(Memory(), memory + 20'000'000) << static_cast<int>(c.manner);
    EXPECT_NE(Find(bob.did()), nullptr);
  }
  EXPECT_LT(directory_->bytes_sent(), 60'000'000u) << "of the 200 MB that it wanted to send";
  directory_->Behave();
  EXPECT_EQ(OutcomeNow(ada.did()), "ok");
}

TEST_F(ResolverAttackTest, RedirectsLeadNowhere) {
  options_.http.allow_private_addresses = false;
  options_.http.gateway.clear();
  const Account ada = Register(1);
  dns_->AddAddresses("metadata.lantern.test", {"169.254.169.254"});
  for (const std::string& target :
       {hosts_->url() + "/" + ada.did(), std::string("http://169.254.169.254/latest/meta-data"),
        std::string("https://localhost/x"), std::string("https://127.0.0.1/x"),
        std::string("https://[::1]/x"), std::string("https://metadata.lantern.test/x"),
        std::string("http://plc.directory/x"), std::string("https://pds.lantern.test:22/x"),
        std::string("file:///etc/passwd"), directory_->url() + "/loop"}) {
    directory_->SetReply("/loop", DirectoryReply::Redirect("/loop"));
    directory_->SetReply("/" + ada.did(), DirectoryReply::Redirect(target));
    EXPECT_EQ(OutcomeNow(ada.did()), "unavailable") << target;
  }
  EXPECT_EQ(hosts_->connections(), 0u);
}

// did:web names are strangers' choice: none of them reaches into the operator's network.
TEST_F(ResolverAttackTest, WebHostsInsideAreNotAsked) {
  options_.http.allow_private_addresses = false;
  options_.http.gateway.clear();
  dns_->AddAddresses("inside.lantern.com", {"127.0.0.1"});
  dns_->AddAddresses("six.lantern.com", {"::1", "fd00::1"});
  dns_->AddAddresses("mapped.lantern.com", {"::ffff:10.0.0.1"});
  for (const char* host : {"inside.lantern.com", "six.lantern.com", "mapped.lantern.com"}) {
    EXPECT_EQ(Outcome(Resolve(std::string("did:web:") + host)), "unavailable") << host;
  }
  for (const char* host :
       {"localhost", "localhost%3A8080", "127.0.0.1", "printer.local", "x.internal", "a.test"}) {
    EXPECT_EQ(Outcome(Resolve(std::string("did:web:") + host)), "syntax_did") << host;
  }
  EXPECT_EQ(hosts_->connections() + directory_->connections(), 0u);
  EXPECT_EQ(counters_.Of("http_fault_forbidden_address"), 3u);
}

TEST_F(ResolverAttackTest, SlowWebHostsDelayNobodyElse) {
  options_.web_gate.total_concurrency = 4;
  options_.web_gate.total_waiting = 50;
  hosts_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  std::vector<std::future<Answer>> slow;
  for (int i = 0; i < 100; ++i) slow.push_back(Begin("did:web:h" + std::to_string(i) + ".lantern.test"));
  const Account ada = Register(1);
  const auto begin = steady_clock::now();
  EXPECT_EQ(Outcome(Resolve(ada.did())), "ok");
  EXPECT_LT(steady_clock::now() - begin, milliseconds(400));
  EXPECT_LE(hosts_->most_at_once(), 4u);
  resolver_.reset();
  for (auto& answer : slow) EXPECT_EQ(Outcome(answer.get()), "unavailable");
}

// Ten thousand accounts meet a directory that is down: each is told so and when to come back, nothing piles
// up, and once it is back all are resolved.
TEST_F(ResolverAttackTest, TenThousandAndADirectoryThatIsDown) {
  constexpr int kAccounts = 10'000;
  options_.directory_gate.failures_until_down = 3;
  options_.directory_gate.concurrency = 16;
  options_.lookup_timeout = seconds(10);
  std::vector<std::string> dids;
  for (int i = 0; i < kAccounts; ++i) {
    std::string did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
    size_t at = did.size();
    for (int n = i; n > 0; n /= 26) did[--at] = static_cast<char>('a' + n % 26);
    directory_->SetDocument(did, R"({"id":")" + did + "\"}");
    dids.push_back(std::move(did));
  }
  directory_->SetDown(true);
  Resolver();
  const size_t memory = Memory();
  std::atomic<int> unavailable{0}, resolved{0};
  const auto ask_all = [&] {
    for (const std::string& did : dids) {
      Resolver().Resolve(did, {}, Ask::kCached,
                         [&](const Answer& answer) { ++(answer.status.ok() ? resolved : unavailable); });
    }
  };
  auto begin = steady_clock::now();
  ask_all();
  ask_all();  // coalesced, or told at once
  ASSERT_TRUE(Eventually([&] { return unavailable == 2 * kAccounts; })) << unavailable;
  EXPECT_LT(steady_clock::now() - begin, seconds(5));
  EXPECT_EQ(resolved, 0);
  EXPECT_LT(Memory(), memory + 100'000'000);
  NetworkResolverStats stats = Resolver().stats();
  EXPECT_TRUE(stats.directory_down);
  EXPECT_EQ(stats.pending + stats.callers, 0u);
  EXPECT_LT(directory_->connections(), 100u);

  directory_->SetDown(false);
  unavailable = 0;
  ASSERT_TRUE(Eventually([&] { return OutcomeNow(dids[0]) == "did_no_key"; })) << "a probe finds out";
  begin = steady_clock::now();
  ask_all();
  EXPECT_TRUE(Eventually([&] { return resolved + unavailable == kAccounts; }));
  EXPECT_EQ(resolved, kAccounts) << "the queue holds them all";
  EXPECT_LE(directory_->most_at_once(), 16u);
  EXPECT_GE(directory_->request_count(), static_cast<size_t>(kAccounts));
  RecordProperty("milliseconds_for_all", static_cast<int>((steady_clock::now() - begin) / milliseconds(1)));
  stats = Resolver().stats();
  EXPECT_FALSE(stats.directory_down);
  EXPECT_EQ(stats.cached, static_cast<size_t>(kAccounts));
  EXPECT_LE(directory_->connections(), 200u) << "connections are kept";
}

}  // namespace
}  // namespace penstock::identity
