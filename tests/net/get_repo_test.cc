// Whole repositories on their way, from hosts over real sockets: well, spoilt, redirected, limited, cancelled.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
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

}  // namespace
}  // namespace penstock::net
