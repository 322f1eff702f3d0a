// The resolver's contract (identity/resolver.h) over real sockets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/identity/resolver/resolver_fixture.h"

namespace penstock::identity {
namespace {

using builder::Account;
using fixtures::DirectoryReply;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::kDayUs;
using test::kMinuteUs;
using Manner = DirectoryReply::Manner;

class ResolverTest : public test::ResolverFixture {};

int64_t SteadyMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(steady_clock::now().time_since_epoch())
      .count();
}

TEST_F(ResolverTest, ResolvesAPlc) {
  const Account ada = Register(1);
  EXPECT_EQ(Find(ada.did()), nullptr);
  const int64_t before = SteadyMicros();
  const Answer answer = Resolve(ada.did());
  ASSERT_EQ(Outcome(answer), "ok");
  EXPECT_EQ(answer.identity->did, ada.did());
  EXPECT_EQ(KeyOf(answer), ada.key().DidKey());
  EXPECT_EQ(answer.identity->pds, "https://pds.lantern.test");
  EXPECT_EQ(answer.identity->handle, "user1.lantern.test");
  EXPECT_EQ(answer.identity->handle_state, HandleState::kUnchecked);
  EXPECT_EQ(answer.identity->document, ada.DidDocument());
  EXPECT_EQ(answer.identity->fetched_us, clock_.NowMicros());
  EXPECT_GE(answer.identity->asked_us, before);
  EXPECT_LE(answer.identity->asked_us, SteadyMicros());
  EXPECT_EQ(Find(ada.did()), answer.identity);
  EXPECT_EQ(Resolve(ada.did()).identity, answer.identity);
  EXPECT_EQ(directory_->request_count(), 1u);
  const NetworkResolverStats stats = Resolver().stats();
  EXPECT_EQ(stats.lookups, 1u);
  EXPECT_GT(stats.lookup_micros, 0u);
  EXPECT_EQ(stats.cached, 1u);
  EXPECT_EQ(stats.pending + stats.callers, 0u);
  EXPECT_EQ(counters_.Of("resolver_lookup"), 1u);
  EXPECT_EQ(counters_.Of("resolver_miss"), 1u);
  EXPECT_EQ(counters_.Of("resolver_hit"), 2u);
}

TEST_F(ResolverTest, SortsTheDirectorysAnswers) {
  const std::string did = Register(1).did();
  const auto outcome = [&](DirectoryReply reply) {
    directory_->Script(std::move(reply));
    clock_.Advance(3 * kDayUs);  // whatever was known is too old
    Resolver().Purge(did);
    return OutcomeNow(did);
  };
  EXPECT_EQ(outcome(DirectoryReply::Of(404, R"({"message":"DID not registered"})")), "did_not_found");
  EXPECT_EQ(outcome(DirectoryReply::Of(410, R"({"message":"DID not available"})")), "did_tombstoned");
  for (const int status : {204, 301, 400, 401, 403, 408, 429, 500, 502, 503}) {
    EXPECT_EQ(outcome(DirectoryReply::Of(status, "")), "unavailable") << status;
    if (status == 429) {
      // It asked to be left alone; a new resolver has not heard of it.
      resolver_.reset();
    }
  }
  // A proxy's page is not the directory speaking, whatever its status.
  for (const int status : {200, 404, 410, 503}) {
    EXPECT_EQ(outcome(DirectoryReply::Of(status, "<html>Please log in</html>", "text/html; charset=utf-8")),
              "unavailable")
        << status;
  }
  EXPECT_EQ(outcome(DirectoryReply::Of(200, "certainly no JSON")), "unavailable");
  EXPECT_EQ(outcome(DirectoryReply::Of(200, "")), "unavailable");
  EXPECT_EQ(outcome(DirectoryReply::Of(200, "[1,2]")), "did_document_invalid");
  EXPECT_EQ(outcome(DirectoryReply::Of(200, R"({"id":")" + did + "\"}")), "did_no_key");
  EXPECT_EQ(outcome(DirectoryReply::Of(200, Unregistered(2).DidDocument())), "did_document_invalid");
  EXPECT_EQ(OutcomeNow(did), "did_document_invalid") << "believed for two minutes";
  clock_.Advance(2 * kMinuteUs);
  EXPECT_EQ(OutcomeNow(did), "ok");
}

TEST_F(ResolverTest, RefusesWhatNoDirectoryMustBeAsked) {
  EXPECT_EQ(Outcome(Resolve("did:plc:short")), "syntax_did");
  EXPECT_EQ(Outcome(Resolve("did:plc:AAAAAAAAAAAAAAAAAAAAAAAA")), "syntax_did");
  EXPECT_EQ(Outcome(Resolve("did:plc:../../../../../../../../")), "syntax_did");
  EXPECT_EQ(Outcome(Resolve("did:plc:aaaaaaaaaaaaaaaaaaaaaaa?")), "syntax_did");
  EXPECT_EQ(Outcome(Resolve("did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme")),
            "unsupported_did_method");
  EXPECT_EQ(Outcome(Resolve("did:web:example.com:user:alice")), "syntax_did");
  EXPECT_EQ(Outcome(Resolve("nonsense")), "syntax_did");
  EXPECT_EQ(directory_->request_count() + hosts_->request_count() + dns_->questions(), 0u);
}

TEST_F(ResolverTest, ResolvesAWeb) {
  const std::string did = "did:web:ada.lantern.test";
  const auto document = [&](std::string_view id) {
    std::string json = Unregistered(1).DidDocument();
    const std::string own = Unregistered(1).did();
    for (size_t at = json.find(own); at != std::string::npos; at = json.find(own, at))
      json.replace(at, own.size(), id);
    return json;
  };
  hosts_->SetDocument(did, document(did));
  ASSERT_EQ(Outcome(Resolve(did)), "ok");
  EXPECT_EQ(KeyOf(Resolve(did)), Unregistered(1).key().DidKey());
  EXPECT_EQ(hosts_->requests().at(0).host, "ada.lantern.test");
  EXPECT_EQ(hosts_->requests().at(0).target, "/.well-known/did.json");
  EXPECT_EQ(directory_->request_count(), 0u);

  EXPECT_EQ(Outcome(Resolve("did:web:bob.lantern.test")), "did_not_found");
  const auto of = [&](const std::string& name, DirectoryReply reply) {
    hosts_->SetReply("/.well-known/did.json", std::move(reply), name + ".lantern.test");
    return Outcome(Resolve("did:web:" + name + ".lantern.test"));
  };
  EXPECT_EQ(of("a", DirectoryReply::Of(410)), "did_not_found");
  EXPECT_EQ(of("b", DirectoryReply::Of(500)), "unavailable");
  EXPECT_EQ(of("c", DirectoryReply::Of(200, "<html>", "text/html")), "did_document_invalid");
  EXPECT_EQ(of("d", DirectoryReply::Of(200, document(did))), "did_document_invalid");
  EXPECT_EQ(of("e", DirectoryReply::Of(200, std::string(70'000, ' '))), "did_document_invalid");
  const std::string moved = "did:web:f.lantern.test";
  hosts_->SetReply("/did.json", DirectoryReply::Of(200, document(moved)));
  EXPECT_EQ(of("f", DirectoryReply::Redirect("http://g.lantern.test/did.json")), "unavailable")
      << "from TLS, as the URL says, to none";
  EXPECT_EQ(of("g", DirectoryReply::Redirect("/did.json")), "did_document_invalid") << "the document of f";
}

TEST_F(ResolverTest, ANameThatIsNotThereIsNotFound) {
  options_.http.gateway.clear();
  dns_->SetWildcard("");
  dns_->SetServFail("broken.lantern.test");
  EXPECT_EQ(Outcome(Resolve("did:web:gone.lantern.test")), "did_not_found");
  EXPECT_EQ(Outcome(Resolve("did:web:broken.lantern.test")), "unavailable");
}

TEST_F(ResolverTest, LocalhostIsForTests) {
  options_.http.gateway.clear();
  const std::string did = "did:web:localhost%3A" + std::to_string(hosts_->port());
  hosts_->SetReply("/.well-known/did.json", DirectoryReply::Of(200, R"({"id":")" + did + "\"}"));
  EXPECT_EQ(Outcome(Resolve(did)), "did_no_key") << "asked, at its port";
  resolver_.reset();
  options_.http.allow_private_addresses = false;
  EXPECT_EQ(Outcome(Resolve(did)), "syntax_did");
}

// --- Time

TEST_F(ResolverTest, FreshThenAskedAgain) {
  Account ada = Register(1);
  Resolve(ada.did());
  clock_.Advance(kDayUs - 1);
  EXPECT_NE(Find(ada.did()), nullptr);
  clock_.Advance(1);
  EXPECT_EQ(Find(ada.did()), nullptr) << "the directory answers: ask it";
  ada.RotateKey();
  directory_->SetAccount(ada);
  EXPECT_EQ(KeyOf(Resolve(ada.did())), ada.key().DidKey());
}

TEST_F(ResolverTest, StaleWhileTheDirectoryIsDown) {
  options_.directory_gate.failures_until_down = 1;
  const Account ada = Register(1), bob = Register(2), eve = Register(3);
  for (const Account* account : {&ada, &bob, &eve}) Resolve(account->did());
  directory_->SetDown(true);
  clock_.Advance(2 * kDayUs);
  EXPECT_EQ(Find(ada.did()), nullptr) << "nobody knows yet that it is down";
  EXPECT_EQ(KeyOf(Resolve(ada.did())), ada.key().DidKey());
  EXPECT_NE(Find(bob.did()), nullptr);
  EXPECT_EQ(KeyOf(Resolve(bob.did())), bob.key().DidKey());
  EXPECT_TRUE(Resolver().stats().directory_down);
  EXPECT_EQ(counters_.Of("directory_down"), 1u);
  EXPECT_GT(counters_.Of("resolver_stale"), 0u);

  EXPECT_EQ(Outcome(Refresh(bob.did())), "unavailable") << "past every cache";
  Resolver().Purge(eve.did());
  EXPECT_EQ(Find(eve.did()), nullptr);
  EXPECT_EQ(Outcome(Resolve(eve.did())), "unavailable") << "purged is purged";
  clock_.Advance(5 * kDayUs);
  EXPECT_EQ(Find(ada.did()), nullptr) << "seven days are enough";
  EXPECT_EQ(Outcome(Resolve(ada.did())), "unavailable");
}

// Nobody ever has to ask: those who are served from memory find out that it is back.
TEST_F(ResolverTest, TheDirectoryIsProbedWhileAllAreContent) {
  options_.directory_gate.failures_until_down = 1;
  const Account ada = Register(1), bob = Register(2);
  Resolve(ada.did());
  Resolve(bob.did());
  directory_->SetDown(true);
  clock_.Advance(2 * kDayUs);
  Resolve(ada.did());
  EXPECT_NE(Find(bob.did()), nullptr);
  directory_->SetDown(false);
  EXPECT_TRUE(Eventually([&] {
    Find(bob.did());
    return !Resolver().stats().directory_down;
  }));
  EXPECT_EQ(counters_.Of("directory_up"), 1u);
}

TEST_F(ResolverTest, WhatARefreshReplacedIsNeverSeenAgain) {
  options_.directory_gate.failures_until_down = 1;
  Account ada = Register(1);
  const Answer old = Resolve(ada.did());
  ada.RotateKey();
  directory_->SetAccount(ada);
  EXPECT_EQ(KeyOf(Refresh(ada.did())), ada.key().DidKey());
  directory_->SetDown(true);
  clock_.Advance(2 * kDayUs);
  EXPECT_EQ(KeyOf(Resolve(ada.did())), ada.key().DidKey()) << "stale, but the newer one";
  Resolver().Keep(old.identity);
  EXPECT_EQ(KeyOf(Resolve(ada.did())), ada.key().DidKey());
}

// --- Refresh

TEST_F(ResolverTest, OneForcedRefreshPerInterval) {
  options_.refresh_interval = milliseconds(300);
  Account ada = Register(1);
  const Answer first = Resolve(ada.did());
  ada.RotateKey();
  directory_->SetAccount(ada);
  EXPECT_EQ(Resolve(ada.did()).identity, first.identity) << "cached";
  const Answer second = Refresh(ada.did());
  EXPECT_EQ(KeyOf(second), ada.key().DidKey());
  EXPECT_GT(second.identity->asked_us, first.identity->asked_us);
  EXPECT_EQ(Find(ada.did()), second.identity);

  const Answer limited = Refresh(ada.did());
  EXPECT_EQ(Outcome(limited), "unavailable");
  EXPECT_GT(limited.retry_after_us, 100'000);
  EXPECT_LE(limited.retry_after_us, 300'000);
  EXPECT_EQ(Find(ada.did()), second.identity);
  EXPECT_EQ(counters_.Of("resolver_refresh"), 1u);
  EXPECT_EQ(counters_.Of("resolver_refresh_limited"), 1u);
  EXPECT_EQ(directory_->request_count(), 2u);
  std::this_thread::sleep_for(milliseconds(310));
  EXPECT_EQ(Outcome(Refresh(ada.did())), "ok");
}

TEST_F(ResolverTest, ARefreshThatFailsDoesNotCount) {
  const Account ada = Register(1);
  directory_->Script(DirectoryReply::Of(500));
  EXPECT_EQ(Outcome(Refresh(ada.did())), "unavailable");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(Outcome(Refresh(ada.did())), "ok");
}

// A lookup that was sent before the refresh was asked for proves nothing about the time since.
TEST_F(ResolverTest, ARefreshWaitsForAQuestionOfItsOwn) {
  Account ada = Register(1);
  DirectoryReply late = DirectoryReply::Of(200, ada.DidDocument());
  late.delay = milliseconds(200);
  directory_->Script(late);
  auto cached = Begin(ada.did());
  ASSERT_TRUE(Eventually([&] { return directory_->request_count() == 1; }));
  ada.RotateKey();
  directory_->SetAccount(ada);
  const int64_t now = SteadyMicros();
  auto refreshed = Begin(ada.did(), Ask::kRefresh);
  EXPECT_NE(KeyOf(cached.get()), ada.key().DidKey()) << "who asked earlier gets what was asked earlier";
  const Answer answer = refreshed.get();
  EXPECT_EQ(KeyOf(answer), ada.key().DidKey());
  EXPECT_GE(answer.identity->asked_us, now);
  EXPECT_EQ(directory_->request_count(), 2u);
}

// --- Purge

TEST_F(ResolverTest, PurgeForgets) {
  Account ada = Register(1);
  const Answer first = Resolve(ada.did());
  Resolver().Purge(ada.did());
  EXPECT_EQ(Find(ada.did()), nullptr);
  Resolver().Keep(first.identity);
  EXPECT_EQ(Find(ada.did()), nullptr) << "a store's copy of the same is no better";
  ada.RotateKey();
  directory_->SetAccount(ada);
  EXPECT_EQ(KeyOf(Resolve(ada.did())), ada.key().DidKey());
}

TEST_F(ResolverTest, PurgeVoidsTheLookupUnderWay) {
  Account ada = Register(1);
  DirectoryReply late = DirectoryReply::Of(200, ada.DidDocument());
  late.delay = milliseconds(200);
  directory_->Script(late);
  auto answer = Begin(ada.did());
  ASSERT_TRUE(Eventually([&] { return directory_->request_count() == 1; }));
  ada.RotateKey();
  directory_->SetAccount(ada);
  Resolver().Purge(ada.did());
  EXPECT_EQ(KeyOf(answer.get()), ada.key().DidKey());
  EXPECT_EQ(directory_->request_count(), 2u);
  EXPECT_EQ(counters_.Of("resolver_repeated"), 1u);
  EXPECT_EQ(Find(ada.did())->key->did_key(), ada.key().DidKey());
}

// --- Keep

TEST_F(ResolverTest, KeepsWhatAStoreKept) {
  const Account ada = Register(1);
  const Answer known = Resolve(ada.did());
  resolver_.reset();
  auto kept = std::make_shared<Identity>(*known.identity);
  kept->asked_us = 0;
  Resolver().Keep(kept);
  EXPECT_EQ(Find(ada.did()), kept);
  EXPECT_EQ(Resolve(ada.did()).identity, kept);
  EXPECT_EQ(directory_->request_count(), 1u);
  auto older = std::make_shared<Identity>(*kept);
  older->fetched_us -= 1;
  Resolver().Keep(older);
  EXPECT_EQ(Find(ada.did()), kept);
  Resolver().Keep(nullptr);
}

// --- Limits

TEST_F(ResolverTest, OneLookupForAllWhoAsk) {
  const Account ada = Register(1);
  directory_->SetDelay(milliseconds(100));
  std::vector<std::future<Answer>> answers;
  std::vector<std::thread> threads;
  std::mutex mutex;
  Resolver();
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) {
        auto answer = Begin(ada.did());
        std::lock_guard lock(mutex);
        answers.push_back(std::move(answer));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& answer : answers) EXPECT_EQ(Outcome(answer.get()), "ok");
  EXPECT_EQ(directory_->request_count(), 1u);
}

TEST_F(ResolverTest, TheDirectoryIsNotPressed) {
  options_.directory_gate.per_second = 50;
  options_.directory_gate.burst = 5;
  options_.directory_gate.concurrency = 2;
  directory_->SetDelay(milliseconds(5));
  std::vector<std::future<Answer>> answers;
  const auto begin = steady_clock::now();
  for (uint64_t seed = 1; seed <= 30; ++seed) answers.push_back(Begin(Register(seed).did()));
  for (auto& answer : answers) EXPECT_EQ(Outcome(answer.get()), "ok");
  EXPECT_GE(steady_clock::now() - begin, milliseconds(480)) << "25 at 50 per second";
  EXPECT_LE(directory_->most_at_once(), 2u);
}

TEST_F(ResolverTest, AFullQueueRefusesAtOnce) {
  options_.directory_gate.per_second = 1;
  options_.directory_gate.burst = 1;
  options_.directory_gate.max_waiting = 5;
  std::vector<std::future<Answer>> answers;
  for (uint64_t seed = 1; seed <= 10; ++seed) answers.push_back(Begin(Register(seed).did()));
  EXPECT_TRUE(Eventually([&] { return counters_.Of("resolver_refused") == 4; }));
  const Answer refused = answers.back().get();
  EXPECT_EQ(Outcome(refused), "unavailable");
  EXPECT_GE(refused.retry_after_us, 1'000'000) << "five at one per second";
  resolver_.reset();
  answers.pop_back();
  for (auto& answer : answers) Outcome(answer.get());
}

TEST_F(ResolverTest, CallersAreBounded) {
  options_.max_callers = 10;
  const Account ada = Register(1);
  directory_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 12; ++i) answers.push_back(Begin(ada.did()));
  EXPECT_EQ(Outcome(answers[10].get()), "unavailable");
  EXPECT_EQ(Outcome(answers[11].get()), "unavailable");
  EXPECT_EQ(Resolver().stats().callers, 10u);
}

// An account that purges itself all day costs its own lookups, not everybody's.
TEST_F(ResolverTest, OneDidIsLookedUpSoOften) {
  options_.lookups_burst = 5;
  options_.lookup_interval = milliseconds(200);
  const Account ada = Register(1), bob = Register(2);
  int ok = 0, limited = 0;
  for (int i = 0; i < 50; ++i) {
    Resolver().Purge(ada.did());
    const Answer answer = Resolve(ada.did());
    (Outcome(answer) == "ok" ? ok : limited) += 1;
  }
  EXPECT_GE(ok, 5);
  EXPECT_LE(ok, 8);
  EXPECT_EQ(counters_.Of("resolver_limited"), static_cast<uint64_t>(limited));
  EXPECT_EQ(Outcome(Resolve(bob.did())), "ok");
  std::this_thread::sleep_for(milliseconds(220));
  EXPECT_EQ(Outcome(Resolve(ada.did())), "ok");
}

TEST_F(ResolverTest, HonoursRetryAfter) {
  const Account ada = Register(1), bob = Register(2);
  directory_->Script(DirectoryReply::Busy(429, "1"));
  const Answer busy = Resolve(ada.did());
  EXPECT_EQ(Outcome(busy), "unavailable");
  EXPECT_GT(busy.retry_after_us, 900'000);
  EXPECT_EQ(Outcome(Resolve(bob.did())), "unavailable");
  EXPECT_EQ(directory_->request_count(), 1u);
  std::this_thread::sleep_for(milliseconds(1020));
  EXPECT_EQ(Outcome(Resolve(bob.did())), "ok");
}

// --- The end

TEST_F(ResolverTest, WhoeverWaitsIsToldBeforeTheEnd) {
  options_.directory_gate.concurrency = 2;
  directory_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  std::vector<std::future<Answer>> answers;
  for (uint64_t seed = 1; seed <= 20; ++seed) answers.push_back(Begin(Register(seed).did()));
  ASSERT_TRUE(Eventually([&] { return directory_->request_count() == 2; }));
  const auto begin = steady_clock::now();
  resolver_.reset();
  EXPECT_LT(steady_clock::now() - begin, seconds(2));
  for (auto& answer : answers) {
    ASSERT_EQ(answer.wait_for(seconds(0)), std::future_status::ready);
    EXPECT_EQ(Outcome(answer.get()), "unavailable");
  }
}

TEST_F(ResolverTest, ManyThreadsDoEverythingAtOnce) {
  constexpr int kAccounts = 20;
  std::vector<std::string> dids;
  std::vector<IdentityPtr> kept;
  for (uint64_t seed = 1; seed <= kAccounts; ++seed) {
    dids.push_back(Register(seed).did());
    kept.push_back(Resolve(dids.back()).identity);
  }
  std::atomic<int> asked{0}, answered{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        const int n = (i * 7 + t) % kAccounts;
        switch ((i + t) % 5) {
          case 0:
            Resolver().Purge(dids[n]);
            break;
          case 1:
            Resolver().Keep(kept[n]);
            break;
          case 2:
            Find(dids[n]);
            break;
          default:
            ++asked;
            Resolver().Resolve(dids[n], {}, (i + t) % 5 == 3 ? Ask::kCached : Ask::kRefresh,
                               [&](const Answer&) { ++answered; });
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  resolver_.reset();
  EXPECT_EQ(asked, answered);
}

TEST_F(ResolverTest, RefusesBadOptions) {
  for (const char* directory :
       {"", "plc.directory", "ftp://plc.directory", "https://plc.directory/path", "https://u:p@x.y"}) {
    options_.directory = directory;
    EXPECT_TRUE(
        absl::IsInvalidArgument(NetworkResolver::Create(options_, {&clock_, &counters_, {}}).status()))
        << directory;
  }
  options_.directory = "https://plc.directory/";
  EXPECT_TRUE(NetworkResolver::Create(options_, {&clock_, &counters_, {}}).ok());
}

}  // namespace
}  // namespace penstock::identity
