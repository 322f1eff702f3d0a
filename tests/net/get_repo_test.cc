// Whole repositories on their way, from hosts over real sockets: well, spoilt, redirected, limited, cancelled.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/records.h"
#include "fixtures/directory/directory.h"
#include "fixtures/directory/dns_server.h"
#include "net/xrpc_client.h"
#include "tests/support/relay/certificates.h"

namespace penstock::net {
namespace {

using builder::Account;
using fixtures::Directory;
using fixtures::DirectoryOptions;
using fixtures::DirectoryReply;
using fixtures::HostedRepo;
using fixtures::HostingFault;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// A whole repository, as its reader got it.
struct Download {
  XrpcOutcome outcome;
  std::string origin, car;
  bool timed_out = false;
};

class GetRepoTest : public testing::Test {
 protected:
  GetRepoTest() : account_({.seed = 7, .handle = "ada.lantern.test"}) {
    options_.http.allow_private_addresses = true;
    options_.archive_silence = milliseconds(400);
    options_.gate.per_second = 1000;
    options_.gate.burst = 1000;
    for (int i = 0; i < 50; ++i) {
      const std::string path = "app.lantern.post/" + account_.NextTid(builder::kFixtureEpoch);
      const builder::Item record = builder::Item::Map({{"text", "post " + std::to_string(i)}});
      account_.Commit({builder::Write::Create(path, record)}, builder::kFixtureEpoch);
    }
    hosted_ = *HostedRepo::FromAccount(account_);
    car_ = *hosted_.car;
    host_->hosting().SetRepo("", hosted_);
  }

  XrpcClient& Client() {
    if (client_ == nullptr) client_ = *XrpcClient::Create(options_, &clock_, &counters_);
    return *client_;
  }
  std::shared_ptr<BodyPipe> Begin(const XrpcHost& host, size_t pipe_bytes = 1 << 20) {
    auto pipe = std::make_shared<BodyPipe>(pipe_bytes);
    Client().GetRepo(host, account_.did(), pipe);
    return pipe;
  }
  static Download ReadAll(BodyPipe& pipe, int64_t timeout_us = 10'000'000) {
    Download download;
    std::string piece;
    while (pipe.Read(&piece, timeout_us, &download.timed_out)) download.car += piece;
    if (!download.timed_out) {
      download.outcome = pipe.outcome();
      download.origin = pipe.origin();
    }
    return download;
  }
  Download Get(const XrpcHost& host, size_t pipe_bytes = 1 << 20) { return ReadAll(*Begin(host, pipe_bytes)); }
  Download Get() { return Get({host_->url(), false}); }
  fixtures::Hosting& hosting() { return host_->hosting(); }

  Account account_;
  HostedRepo hosted_;
  std::string car_;
  FixedClock clock_{1'700'000'000'000'000};
  Counters counters_;
  XrpcClientOptions options_;
  std::unique_ptr<Directory> host_ = *Directory::Start();
  std::unique_ptr<XrpcClient> client_;
};

TEST_F(GetRepoTest, ComesWhole) {
  const Download download = Get();
  ASSERT_TRUE(download.outcome.status.ok()) << download.outcome.status;
  EXPECT_EQ(download.car, car_);
  EXPECT_EQ(download.origin, host_->url());
  EXPECT_EQ(hosting().Count("getRepo", account_.did()), 1u);
  hosting().AddFault(HostingFault().Chunked());
  EXPECT_EQ(Get().car, car_) << "in chunks";
}

TEST_F(GetRepoTest, CutOffIsNoEnd) {
  for (const bool chunked : {false, true}) {
    hosting().ClearFaults();
    HostingFault fault = HostingFault::CutAt(1000);
    fault.chunked = chunked;
    hosting().AddFault(fault);
    const Download download = Get();
    EXPECT_TRUE(absl::IsUnavailable(download.outcome.status)) << download.outcome.status;
    EXPECT_THAT(download.outcome.status.ToString(), HasSubstr("cut_off"));
    EXPECT_EQ(download.car, car_.substr(0, 1000));
  }
}

TEST_F(GetRepoTest, WhatIsNoArchiveIsRefusedByName) {
  hosting().AddFault(HostingFault::Page());
  const Download page = Get();
  EXPECT_TRUE(absl::IsFailedPrecondition(page.outcome.status)) << page.outcome.status;
  EXPECT_EQ(page.outcome.error, kNoArchive);
  EXPECT_EQ(page.car, "");
  const std::string target = "/xrpc/com.atproto.sync.getRepo?did=" + account_.did();
  host_->SetReply(target, DirectoryReply::Of(200, "bytes", "application/octet-stream; charset=x"));
  EXPECT_EQ(Get().car, "bytes");
  for (const char* type : {"", "text/plain", "application/json", "application/vnd.ipld.car-list"}) {
    host_->SetReply(target, DirectoryReply::Of(200, "bytes", type));
    EXPECT_EQ(Get().outcome.error, kNoArchive) << type;
  }
  host_->SetReply(target, DirectoryReply::Of(206, "bytes", "application/vnd.ipld.car"));
  EXPECT_EQ(Get().outcome.error, kNoArchive) << "a part is none either";
}

TEST_F(GetRepoTest, AccountsThatAreGoneAreNamed) {
  const auto refused = [&](std::string_view status) {
    hosting().SetStatus("", account_.did(), false, status);
    return Get().outcome;
  };
  EXPECT_EQ(refused("takendown").error, "RepoTakendown");
  EXPECT_EQ(refused("suspended").error, "RepoSuspended");
  EXPECT_EQ(refused("deactivated").error, "RepoDeactivated");
  EXPECT_TRUE(absl::IsFailedPrecondition(refused("deactivated").status));
  EXPECT_EQ(refused("deleted").error, "RepoNotFound");
  EXPECT_TRUE(absl::IsNotFound(refused("deleted").status));
}

TEST_F(GetRepoTest, PagesOfProxiesAreErrorsByTheirStatus) {
  const auto outcome = [&](int status) {
    hosting().ClearFaults();
    hosting().AddFault(HostingFault::Status(status));
    return Get().outcome;
  };
  EXPECT_TRUE(absl::IsNotFound(outcome(404).status));
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome(403).status));
  EXPECT_TRUE(absl::IsUnavailable(outcome(502).status));
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome(501).status));
  EXPECT_EQ(outcome(501).error, kMethodNotServed);
  EXPECT_EQ(outcome(403).error, "");
}

TEST_F(GetRepoTest, SilenceIsBoundedAndSlownessIsNot) {
  hosting().AddFault(HostingFault::Stall());
  const Download silent = Get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(silent.outcome.status)) << silent.outcome.status;
  hosting().ClearFaults();
  hosting().AddFault(HostingFault::Slow(car_.size()));  // a second in all, more than the silence
  const Download slow = Get();
  EXPECT_TRUE(slow.outcome.status.ok()) << slow.outcome.status;
  EXPECT_EQ(slow.car, car_);
}

TEST_F(GetRepoTest, TheWholeTimeIsBounded) {
  options_.archive_timeout = milliseconds(300);
  hosting().AddFault(HostingFault::Slow(1000));
  const Download slow = Get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(slow.outcome.status)) << slow.outcome.status;
  EXPECT_GT(slow.car.size(), 0u);
  hosting().ClearFaults();
  // Also when it is the reader who takes too long.
  const auto pipe = Begin({host_->url(), false}, 10);
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(ReadAll(*pipe).outcome.status));
}

TEST_F(GetRepoTest, SpoiltBytesAndOldCopiesComeAsTheyAre) {
  hosting().AddFault(HostingFault::FlipAt(1234).Times(1));
  std::string spoilt = car_;
  spoilt[1234] ^= 0x10;
  EXPECT_EQ(Get().car, spoilt);
  EXPECT_EQ(Get().car, car_);
  hosting().AddFault(HostingFault::OldCopy("an old one").Every(2));
  EXPECT_EQ(Get().car, "an old one");
  EXPECT_EQ(Get().car, car_);
  EXPECT_EQ(Get().car, "an old one");
}

// --- Back-pressure, and a reader that wants no more

class BigRepoTest : public GetRepoTest {
 protected:
  static constexpr size_t kBytes = 64 << 20;

  BigRepoTest() : file_(testing::TempDir() + "penstock_get_repo_" + std::to_string(::getpid()) + ".car") {
    std::ofstream out(file_, std::ios::binary);
    std::string piece(1 << 20, '\0');
    for (size_t i = 0; i < kBytes; i += piece.size()) {
      piece.assign(piece.size(), static_cast<char>('a' + (i >> 20) % 26));
      out << piece;
    }
    hosted_.car = nullptr;
    hosted_.car_file = file_;
    hosting().SetRepo("", hosted_);
  }
  ~BigRepoTest() override { std::remove(file_.c_str()); }

  const std::string file_;
};

TEST_F(BigRepoTest, TheHostWaitsForTheReader) {
  const auto pipe = Begin({host_->url(), false});
  std::string piece;
  bool timed_out = false;
  ASSERT_TRUE(pipe->Read(&piece, 5'000'000, &timed_out));
  std::this_thread::sleep_for(milliseconds(600));
  EXPECT_LT(host_->bytes_sent(), 16u << 20) << "the pipe and what the sockets hold";
  std::string all = piece;
  while (pipe->Read(&piece, 5'000'000, &timed_out)) all += piece;
  ASSERT_FALSE(timed_out);
  EXPECT_TRUE(pipe->outcome().status.ok()) << pipe->outcome().status << ": slow was the reader, and not the host";
  ASSERT_EQ(all.size(), kBytes);
  for (size_t i = 0; i < kBytes; i += 1 << 20) ASSERT_EQ(all[i], static_cast<char>('a' + (i >> 20) % 26));
}

TEST_F(BigRepoTest, CancellingEndsItWhereverItIs) {
  const auto wait_for = [&](size_t open) {
    for (int i = 0; i < 2000 && host_->open_connections() != open; ++i) std::this_thread::sleep_for(milliseconds(1));
    EXPECT_EQ(host_->open_connections(), open);
  };
  options_.archive_silence = seconds(60);
  options_.gate.concurrency = 1;
  // While it is full, while bytes come, while the host is silent.
  for (const char* where : {"full", "reading", "silent"}) {
    hosting().ClearFaults();
    if (where == std::string_view("silent")) hosting().AddFault(HostingFault::Stall());
    const auto pipe = Begin({host_->url(), false});
    wait_for(1);
    std::string piece;
    bool timed_out = false;
    if (where == std::string_view("reading")) {
      for (int i = 0; i < 100; ++i) ASSERT_TRUE(pipe->Read(&piece, 5'000'000, &timed_out));
    } else {
      std::this_thread::sleep_for(milliseconds(50));
    }
    pipe->Cancel();
    EXPECT_FALSE(pipe->Read(&piece, 5'000'000, &timed_out));
    EXPECT_TRUE(absl::IsCancelled(pipe->outcome().status)) << where;
    // A host that is silent does not look whether anybody is there, but its place is free at once.
    if (where != std::string_view("silent")) wait_for(0);
  }
  hosting().ClearFaults();
  EXPECT_EQ(Get().car.size(), kBytes);
  int64_t retry_after = 0;
  EXPECT_FALSE(Client().IsBusy(host_->url(), &retry_after)) << "that was no fault of the host";
  EXPECT_EQ(counters_.Of("xrpc_errors"), 0u);
}

TEST_F(BigRepoTest, ThePlaceIsKeptUntilTheBodyHasCome) {
  options_.gate.concurrency = 1;
  const auto first = Begin({host_->url(), false});
  const auto second = Begin({host_->url(), false}), third = Begin({host_->url(), false});
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(hosting().Count("getRepo"), 1u);
  second->Cancel();  // before its turn: never asked
  EXPECT_EQ(ReadAll(*first).car.size(), kBytes);
  EXPECT_EQ(ReadAll(*third).car.size(), kBytes);
  EXPECT_TRUE(absl::IsCancelled(ReadAll(*second).outcome.status));
  EXPECT_EQ(hosting().Count("getRepo"), 2u);
}

TEST_F(BigRepoTest, TheClientsEndIsAnEndOfEveryPipe) {
  options_.gate.concurrency = 2;
  std::vector<std::shared_ptr<BodyPipe>> pipes;
  for (int i = 0; i < 4; ++i) pipes.push_back(Begin({host_->url(), false}));
  std::this_thread::sleep_for(milliseconds(50));
  client_.reset();
  for (const auto& pipe : pipes) EXPECT_TRUE(absl::IsUnavailable(ReadAll(*pipe).outcome.status));
  for (const auto& pipe : pipes) pipe->Cancel();  // calls nobody who is gone
}

// --- Redirects

class RedirectTest : public GetRepoTest {
 protected:
  RedirectTest() {
    pds_->hosting().SetRepo("", hosted_);
    HostedRepo elsewhere = hosted_;
    elsewhere.redirect = pds_->url();
    hosting().SetRepo("", elsewhere);
  }
  std::unique_ptr<Directory> pds_ = *Directory::Start();
};

TEST_F(RedirectTest, LeadsToTheHostThatHasIt) {
  const Download download = Get();
  ASSERT_TRUE(download.outcome.status.ok()) << download.outcome.status;
  EXPECT_EQ(download.car, car_);
  EXPECT_EQ(download.origin, pds_->url());
  EXPECT_EQ(hosting().Count("getRepo"), 1u);
  EXPECT_EQ(pds_->hosting().Count("getRepo"), 1u);
  EXPECT_EQ(counters_.Of("xrpc_redirects"), 1u);
}

TEST_F(RedirectTest, ATrustedHostTrustsNobodyElse) {
  options_.http.allow_private_addresses = false;
  const Download download = Get({host_->url(), true});
  EXPECT_TRUE(absl::IsUnavailable(download.outcome.status)) << download.outcome.status;
  EXPECT_EQ(pds_->connections(), 0u);
  EXPECT_EQ(download.origin, pds_->url()) << "who was asked last";
  // Back to where it was sent from it is a stranger's idea as well.
  hosting().AddFault(HostingFault::RedirectTo("http://[::ffff:127.0.0.1]:" + std::to_string(host_->port())));
  EXPECT_TRUE(absl::IsUnavailable(Get({host_->url(), true}).outcome.status));
  // Within its origin it is still the operator's host.
  hosting().ClearFaults();
  const std::string target = "/xrpc/com.atproto.sync.getRepo?did=" + account_.did();
  host_->SetReply(target, DirectoryReply::Redirect("/elsewhere"));
  host_->SetReply("/elsewhere", DirectoryReply::Of(200, "car", "application/vnd.ipld.car"));
  EXPECT_EQ(Get({host_->url(), true}).car, "car");
}

TEST_F(RedirectTest, NobodyTakesAnotherHostDown) {
  options_.http.allow_private_addresses = false;
  options_.gate.failures_until_down = 1;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(absl::IsUnavailable(Get({host_->url(), true}).outcome.status));
  int64_t retry_after = 0;
  EXPECT_FALSE(Client().IsBusy(pds_->url(), &retry_after));
  EXPECT_EQ(Get({pds_->url(), true}).car, car_) << "the operator's own, whoever else points there";
}

TEST_F(RedirectTest, PassesTheOtherHostsGate) {
  options_.gate.concurrency = 1;
  options_.archive_silence = seconds(20);
  pds_->hosting().AddFault(HostingFault::Stall().Times(1));
  const auto blocked = Begin({pds_->url(), false});
  std::this_thread::sleep_for(milliseconds(50));
  const auto redirected = Begin({host_->url(), false});
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(pds_->hosting().Count("getRepo"), 1u) << "one at a time, whoever sent them";
  blocked->Cancel();
  EXPECT_EQ(ReadAll(*redirected).car, car_);
  EXPECT_EQ(pds_->hosting().Count("getRepo"), 2u);
}

TEST_F(RedirectTest, TheOtherHostsFaultsAreItsOwn) {
  options_.gate.failures_until_down = 1;
  pds_->SetDown(true);
  EXPECT_TRUE(absl::IsUnavailable(Get().outcome.status));
  int64_t retry_after = 0;
  EXPECT_TRUE(Client().IsBusy(pds_->url(), &retry_after));
  EXPECT_GT(retry_after, 0);
  EXPECT_FALSE(Client().IsBusy(host_->url(), &retry_after));
  EXPECT_EQ(retry_after, 0);
}

TEST_F(RedirectTest, CirclesEnd) {
  pds_->hosting().AddFault(HostingFault::RedirectTo(host_->url()));
  const Download download = Get();
  EXPECT_TRUE(absl::IsUnavailable(download.outcome.status)) << download.outcome.status;
  EXPECT_THAT(download.outcome.status.ToString(), HasSubstr("too many redirects"));
  EXPECT_EQ(hosting().Count("getRepo") + pds_->hosting().Count("getRepo"), 6u);
}

// --- TLS

TEST_F(GetRepoTest, OverTls) {
  const test::TestAuthority authority;
  const auto good = authority.Issue({"DNS:pds.lantern.test", "IP:127.0.0.1"});
  DirectoryOptions secure;
  secure.certificate_pem = good.certificate_pem;
  secure.private_key_pem = good.private_key_pem;
  const auto pds = *Directory::Start(secure);
  pds->hosting().SetRepo("", hosted_);
  options_.http.ca_file = authority.file();
  EXPECT_EQ(Get({pds->url(), false}).car, car_);
  // Even where no length was told, the end is the end only if TLS says so.
  pds->hosting().AddFault(HostingFault::CutAt(car_.size() / 2));
  const Download cut = Get({pds->url(), false});
  EXPECT_THAT(cut.outcome.status.ToString(), HasSubstr("cut_off"));
  // No way back to plain.
  pds->hosting().ClearFaults();
  pds->hosting().AddFault(HostingFault::RedirectTo(host_->url()));
  EXPECT_TRUE(absl::IsUnavailable(Get({pds->url(), false}).outcome.status));
  EXPECT_EQ(hosting().Count("getRepo"), 0u);
}

// --- Limits

TEST_F(GetRepoTest, AHostThatIsDownOrBusyIsKnown) {
  int64_t retry_after = 0;
  EXPECT_FALSE(Client().IsBusy(host_->url(), &retry_after));
  EXPECT_FALSE(Client().IsBusy("no origin", &retry_after));
  hosting().AddFault(HostingFault::Limited("7").Times(1));
  const XrpcOutcome limited = Get().outcome;
  EXPECT_TRUE(absl::IsUnavailable(limited.status));
  EXPECT_EQ(limited.error, "RateLimitExceeded");
  EXPECT_GT(limited.retry_after_us, 6'000'000);
  EXPECT_TRUE(Client().IsBusy(host_->url() + "/", &retry_after));
  EXPECT_GT(retry_after, 6'000'000);
  EXPECT_LE(retry_after, 7'000'000);
  EXPECT_TRUE(absl::IsUnavailable(Get().outcome.status));
  EXPECT_EQ(hosting().Count("getRepo"), 1u) << "it asked to be left alone";
  EXPECT_EQ(counters_.Of("xrpc_refused"), 1u);
}

TEST_F(GetRepoTest, AConnectionThatWasClosedMeanwhileIsNotTheHostsFault) {
  EXPECT_EQ(Get().car, car_);
  host_->SetDown(true);
  host_->SetDown(false);
  EXPECT_EQ(Get().car, car_);
  EXPECT_EQ(counters_.Of("http_fault_stale"), 1u);
  EXPECT_EQ(counters_.Of("xrpc_errors"), 0u);
}

// Requests of all kinds, redirects and 429 storms among them, as their hosts see them come.
TEST(RequestsMeasured, NoHostGetsMoreThanItsBucketHolds) {
  const auto relay = *Directory::Start(), pds = *Directory::Start();
  XrpcClientOptions options;
  options.http.allow_private_addresses = true;
  options.gate.per_second = 40;
  options.gate.burst = 10;
  options.gate.concurrency = 4;
  options.gate.pause_after_limit = milliseconds(50);
  options.gate.max_wait = {};
  FixedClock clock(0);
  Counters counters;
  const auto client = *XrpcClient::Create(options, &clock, &counters);

  constexpr int kAskers = 12;
  for (int i = 0; i < kAskers; ++i) {
    HostedRepo repo;
    repo.did = "did:web:a" + std::to_string(i) + ".lantern.test";
    repo.car = std::make_shared<const std::string>(50'000, 'x');
    pds->hosting().SetRepo("", repo);
    repo.redirect = pds->url();
    relay->hosting().SetRepo("", repo);
  }
  pds->hosting().AddFault(HostingFault::Limited().Every(19));
  pds->hosting().AddFault(HostingFault::Drop().Every(7));
  const auto end = std::chrono::steady_clock::now() + seconds(3);
  std::vector<std::thread> askers;
  for (int i = 0; i < kAskers; ++i) {
    askers.emplace_back([&, did = "did:web:a" + std::to_string(i) + ".lantern.test"] {
      for (int n = 0; std::chrono::steady_clock::now() < end; ++n) {
        const auto pipe = std::make_shared<BodyPipe>();
        client->GetRepo({n % 2 == 0 ? relay->url() : pds->url(), false}, did, pipe);
        std::string piece;
        bool timed_out = false;
        while (pipe->Read(&piece, 20'000'000, &timed_out)) continue;
        ASSERT_FALSE(timed_out);
        // In a hurry, whatever it was told.
        if (!pipe->outcome().status.ok()) std::this_thread::sleep_for(milliseconds(5));
      }
    });
  }
  for (std::thread& asker : askers) asker.join();

  const double burst = options.gate.burst;
  for (Directory* const host : {relay.get(), pds.get()}) {
    const auto log = host->hosting().log();
    ASSERT_GT(log.size(), 30u);
    for (size_t i = 0; i < log.size(); ++i) {
      for (size_t j = i; j < log.size(); ++j) {
        const double window = std::chrono::duration<double>(log[j].at - log[i].at).count();
        // Those that are under way at once may come at once, however far apart they were let in.
        const double allowed = burst + options.gate.per_second * window + static_cast<double>(options.gate.concurrency);
        ASSERT_LE(static_cast<double>(j - i + 1), allowed) << window << " s from request " << i;
      }
    }
  }
}

}  // namespace
}  // namespace penstock::net
