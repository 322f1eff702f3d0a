#pragma once

// The whole way of an account: the queue in a real store, a real pipeline, hosts over real sockets, and a clock that is set.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "backfill/coordinator.h"
#include "fixtures/directory/directory.h"
#include "tests/backfill/fault_point.h"
#include "tests/pipeline/account_pipeline.h"

namespace penstock::backfill {

using fixtures::Directory;
using fixtures::DirectoryReply;
using fixtures::HostedRepo;
using fixtures::HostingFault;
using pipeline::Account;
using pipeline::kFixtureEpoch;
using pipeline::kNote;
using pipeline::kSecond;
using pipeline::Write;

// A directory that has something newer for who insists: for a refresh, or after a purge.
class Insisted final : public identity::Resolver {
 public:
  explicit Insisted(test::ScriptedResolver* resolver) : resolver_(resolver) {}
  void ServeRefreshed(std::string_view did, identity::IdentityPtr identity) { refreshed_[std::string(did)] = std::move(identity); }
  void ServePurged(std::string_view did, identity::IdentityPtr identity) { purged_[std::string(did)] = std::move(identity); }

  identity::IdentityPtr Find(std::string_view did, const identity::Position& position) override {
    return resolver_->Find(did, position);
  }
  void Resolve(std::string_view did, const identity::Position& position, identity::Ask ask, Done done) override {
    const auto newer = refreshed_.find(std::string(did));
    if (ask == identity::Ask::kRefresh && newer != refreshed_.end()) resolver_->Serve(did, newer->second);
    resolver_->Resolve(did, position, ask, std::move(done));
  }
  void Purge(std::string_view did) override {
    const auto newer = purged_.find(std::string(did));
    if (newer != purged_.end()) resolver_->Serve(did, newer->second);
    resolver_->Purge(did);
  }
  void Keep(identity::IdentityPtr identity) override { resolver_->Keep(std::move(identity)); }

 private:
  test::ScriptedResolver* const resolver_;
  std::map<std::string, identity::IdentityPtr> refreshed_, purged_;  // set before it is asked
};

// A PDS or a relay, with accounts.
class Host {
 public:
  std::string url() const { return server_->url(); }
  Directory& server() { return *server_; }
  fixtures::Hosting& hosting() { return server_->hosting(); }
  // As the account is now.
  void Has(Account& account) { hosting().SetRepo("", *HostedRepo::FromAccount(account)); }
  int Fails(HostingFault fault) { return hosting().AddFault(std::move(fault)); }
  size_t Asked(std::string_view method, std::string_view did = {}) { return hosting().Count(method, did); }

 private:
  std::unique_ptr<Directory> server_ = *Directory::Start();
};

class CoordinatorFixture : public pipeline::AccountPipeline {
 protected:
  void SetUp() override {
    AccountPipeline::SetUp();
    if (IsSkipped()) return;
    client_options_.http.allow_private_addresses = true;
    client_options_.gate.per_second = 10'000;
    client_options_.gate.burst = 10'000;
    client_options_.gate.backoff_first = std::chrono::milliseconds(20);
    client_options_.gate.backoff_max = std::chrono::milliseconds(50);
    client_options_.timeout = std::chrono::milliseconds(500);
    coordinator_options_.owner_prefix = "0/1#";
    coordinator_options_.threads = 4;
    coordinator_options_.poll_us = 3'000;
    coordinator_options_.lease_us = 100 * builder::kHour;  // the clock is set forward to make retries due
    coordinator_options_.purge_after_us = -1;
    coordinator_options_.rules = {"test.lantern.*"};
  }
  void TearDown() override {
    EndCoordinator();
    AccountPipeline::TearDown();
  }

  // ---- The program
  void Begin() {
    Start();
    BeginCoordinator();
  }
  void BeginCoordinator() {
    if (client_ == nullptr) client_ = *net::XrpcClient::Create(client_options_, &clock_, &counters_);
    port_.Lead(pipeline_->imports());
    coordinator_options_.owner = coordinator_options_.owner_prefix + std::to_string(++epoch_);
    CoordinatorResources resources;
    resources.client = client_.get();
    resources.resolver = &front_;
    resources.port = &port_;
    resources.queue = [this] { return std::make_unique<FaultyQueue>(*indexer::MakeBackfillStore(Options()), &fault_); };
    resources.scan = [this] { return *indexer::MakeAccountScan(Options()); };
    resources.filter = &filter_;
    resources.clock = &clock_;
    resources.counters = &counters_;
    resources.log = [this](LogLevel, std::string line) {
      const std::lock_guard lock(log_mutex_);
      log_.push_back(std::move(line));
    };
    coordinator_ = std::make_unique<Coordinator>(coordinator_options_, std::move(resources));
    ASSERT_TRUE(coordinator_->Start([this](const absl::Status& status) {
      const std::lock_guard lock(log_mutex_);
      failures_.push_back(status);
    }).ok());
  }
  void EndCoordinator() { coordinator_.reset(); }
  // As a process that ends: nothing that is under way gets further than it has.
  void EndAll() {
    EndCoordinator();
    Stop();
  }
  std::vector<std::string> Log() {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }
  std::vector<absl::Status> Failures() {
    const std::lock_guard lock(log_mutex_);
    return failures_;
  }

  // ---- Accounts
  // Lives at `host`, with so many notes in one commit each three.
  Account Resident(uint64_t seed, Host& host, int notes = 3) {
    Account account({.seed = seed, .handle = "a" + std::to_string(seed) + ".test"});
    Publish(account, notes, seed);
    Moves(account, host.url());
    host.Has(account);
    return account;
  }
  // Writes notes that nobody hears of.
  void Publish(Account& account, int notes, uint64_t tag) {
    std::vector<Write> writes;
    for (int i = 0; i < notes; ++i) {
      const std::string rkey = "n" + std::to_string(tag) + "-" + std::to_string(1000 + i);
      writes.push_back(Write::Create(std::string(kNote) + "/" + rkey, pipeline::MakeNote(rkey)));
      paths_[account.did()].insert(writes.back().path);
    }
    now_ += kSecond;
    account.Commit(writes, now_);
  }
  identity::IdentityPtr IdentityAt(const Account& account, std::string_view pds) {
    auto identity = std::make_shared<identity::Identity>(*test::IdentityOf(account, MonotonicMicros()));
    identity->pds = pds;
    return identity;
  }
  void Moves(const Account& account, std::string_view pds) {
    resolver_.Know(account.did(), IdentityAt(account, pds));
    resolver_.Serve(account.did(), IdentityAt(account, pds));
  }

  // ---- The queue
  sync::BackfillStore& queue() {
    if (queue_ == nullptr) queue_ = *indexer::MakeBackfillStore(Options());
    return *queue_;
  }
  // A run of its own each time, unless it is named.
  int64_t Want(std::vector<sync::TaskSeed> seeds, sync::RunKind kind = sync::RunKind::kManual, std::string subject = {}) {
    if (subject.empty()) subject = "test " + std::to_string(++runs_);
    const int64_t run = *queue().OpenRun(kind, subject, clock_.NowMicros(), nullptr);
    sync::Listing listing;
    listing.run = run;
    listing.method = "known";
    listing.argument = std::to_string(++listings_);
    EXPECT_TRUE(queue().AddListings({&listing, 1}).ok());
    listing.done = true;
    EXPECT_TRUE(queue().SavePage(listing, seeds, {}, clock_.NowMicros()).ok());
    if (coordinator_ != nullptr) coordinator_->Wake();
    return run;
  }
  int64_t Want(std::initializer_list<const Account*> accounts, sync::RunKind kind = sync::RunKind::kManual) {
    std::vector<sync::TaskSeed> seeds;
    for (const Account* account : accounts) seeds.push_back({account->did(), "", ""});
    return Want(std::move(seeds), kind);
  }
  // "active", or the status of one that is not; "unknown" if the store does not know it.
  std::string Status(const Account& account) {
    const std::string status = Value("SELECT CASE WHEN active THEN 'active' ELSE status END FROM repo WHERE did = '" +
                                     account.did() + "'");
    return status == "no row" ? "unknown" : status;
  }
  // "state cause attempts" of the account's newest task.
  std::string Task(const Account& account) {
    return Value("SELECT state || ' ' || COALESCE(NULLIF(cause, ''), '-') || ' ' || attempts FROM backfill_task WHERE did = '" +
                 account.did() + "' ORDER BY run DESC LIMIT 1");
  }
  std::string TaskState(const Account& account) { return Task(account).substr(0, Task(account).find(' ')); }
  bool BecomesTask(const Account& account, const std::string& task) {
    const bool is = Eventually([&] { return Task(account) == task; });
    EXPECT_EQ(Task(account), task);
    return is;
  }
  // Waits as long as it takes: time passes whenever the coordinator waits for it.
  bool BecomesDone(const Account& account, int64_t step_us = 30 * kSecond) {
    const bool is = Eventually([&] {
      if (TaskState(account) == "done") return true;
      if (coordinator_->stats().idle) {
        clock_.Advance(step_us);
        coordinator_->Wake();
      }
      return false;
    });
    EXPECT_EQ(TaskState(account), "done") << Task(account);
    return is;
  }
  size_t Count(std::string_view counter) { return counters_.Of(counter); }

  // What the store holds of the account is what its repository holds.
  void ExpectWhole(Account& account) {
    std::vector<std::string> expected;
    for (const std::string& path : paths_[account.did()]) {
      if (const auto cid = account.tree().Find(path)) expected.push_back(path + " " + cid->ToString());
    }
    ASSERT_EQ(expected.size(), account.tree().size());
    EXPECT_THAT(Rows("SELECT collection || '/' || rkey || ' ' || cid FROM record WHERE did = '" + account.did() +
                     "' AND NOT deleted ORDER BY collection, rkey"),
                testing::ElementsAreArray(expected));
    EXPECT_EQ(State(account), "synchronized");
    EXPECT_EQ(Value("SELECT rev FROM repo WHERE did = '" + account.did() + "'"), account.rev());
  }

  net::XrpcClientOptions client_options_;
  CoordinatorOptions coordinator_options_;
  std::unique_ptr<net::XrpcClient> client_;
  Insisted front_{&resolver_};
  FaultPoint fault_;
  FaultyPort port_{&fault_};
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<sync::BackfillStore> queue_;
  std::map<std::string, std::set<std::string>> paths_;  // that an account ever had, by DID
  int epoch_ = 0;
  int runs_ = 0, listings_ = 0;
  std::mutex log_mutex_;
  std::vector<std::string> log_;
  std::vector<absl::Status> failures_;
};

}  // namespace penstock::backfill
