#pragma once

// A NetworkResolver with a directory, hosts and names of its own, all on loopback, and times short enough for
// a test.

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/counters.h"
#include "fixtures/builder/account.h"
#include "fixtures/directory/directory.h"
#include "fixtures/directory/dns_server.h"
#include "identity/resolver/network_resolver.h"

namespace penstock::test {

inline constexpr int64_t kMinuteUs = 60'000'000;
inline constexpr int64_t kDayUs = 24 * 60 * kMinuteUs;

class ResolverFixture : public testing::Test {
 protected:
  ResolverFixture() {
    directory_ = *fixtures::Directory::Start();
    hosts_ = *fixtures::Directory::Start();
    dns_ = *fixtures::DnsServer::Start();
    dns_->SetWildcard("127.0.0.1");
    options_.directory = directory_->url();
    options_.http.user_agent = "penstock-test";
    options_.http.dns.servers = dns_->address();
    options_.http.dns.timeout = std::chrono::milliseconds(100);
    options_.http.allow_private_addresses = true;
    options_.http.gateway = hosts_->url();
    options_.lookup_timeout = std::chrono::seconds(3);
    options_.handles.timeout = std::chrono::seconds(2);
    options_.error_first = std::chrono::milliseconds(20);
    options_.error_max = std::chrono::milliseconds(40);
    options_.directory_gate.per_second = 1e6;
    options_.directory_gate.burst = 1e6;
    options_.directory_gate.failures_until_down = 1000;  // the tests of it say otherwise
    options_.directory_gate.backoff_first = std::chrono::milliseconds(40);
    options_.directory_gate.backoff_max = std::chrono::milliseconds(80);
    options_.web_gate = options_.directory_gate;
    options_.lookups_burst = 1e6;
  }

  identity::NetworkResolver& Resolver() {
    if (resolver_ == nullptr) {
      auto made = identity::NetworkResolver::Create(options_, {&clock_, &counters_, {}});
      EXPECT_TRUE(made.ok()) << made.status();
      resolver_ = *std::move(made);
    }
    return *resolver_;
  }

  // An account that the directory knows.
  builder::Account Register(uint64_t seed) {
    builder::Account account = Unregistered(seed);
    directory_->SetAccount(account);
    return account;
  }
  static builder::Account Unregistered(uint64_t seed) {
    builder::Account::Options options;
    options.seed = seed;
    options.handle = "user" + std::to_string(seed) + ".lantern.test";
    return builder::Account(std::move(options));
  }

  std::future<identity::Answer> Begin(const std::string& did, identity::Ask ask = identity::Ask::kCached) {
    const auto promise = std::make_shared<std::promise<identity::Answer>>();
    Resolver().Resolve(did, {}, ask,
                       [promise](const identity::Answer& answer) { promise->set_value(answer); });
    return promise->get_future();
  }
  identity::Answer Resolve(const std::string& did) { return Begin(did).get(); }
  identity::Answer Refresh(const std::string& did) { return Begin(did, identity::Ask::kRefresh).get(); }
  identity::IdentityPtr Find(const std::string& did) { return Resolver().Find(did, {}); }
  // "ok", the name of the identity's fault, or "unavailable".
  static std::string Outcome(const identity::Answer& answer) {
    if (!answer.status.ok()) {
      EXPECT_TRUE(absl::IsUnavailable(answer.status) || absl::IsDeadlineExceeded(answer.status))
          << answer.status;
      EXPECT_EQ(answer.identity, nullptr);
      EXPECT_GT(answer.retry_after_us, 0);
      return "unavailable";
    }
    EXPECT_NE(answer.identity, nullptr);
    return answer.identity->fault ? std::string(RejectName(*answer.identity->fault)) : "ok";
  }
  static std::string KeyOf(const identity::Answer& answer) {
    return answer.identity != nullptr && answer.identity->key ? answer.identity->key->did_key() : "";
  }
  // What a lookup of its own gives, after the pause that an error before may have left.
  std::string OutcomeNow(const std::string& did) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return Outcome(Resolve(did));
  }

  template <typename Condition>
  static bool Eventually(Condition condition) {
    for (int i = 0; i < 1000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }

  FixedClock clock_{1'700'000'000'000'000};
  Counters counters_;
  std::unique_ptr<fixtures::Directory> directory_, hosts_;
  std::unique_ptr<fixtures::DnsServer> dns_;
  identity::NetworkResolverOptions options_;
  std::unique_ptr<identity::NetworkResolver> resolver_;
};

}  // namespace penstock::test
