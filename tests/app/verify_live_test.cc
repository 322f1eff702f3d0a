// A live record by its author's handle, against names and hosts that lie, stall or are not there. Everything
// that is foreign leads to one server on loopback (HttpClientOptions::gateway).

#include "app/verify_live.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>

#include "app/handle_lookup.h"
#include "base/status.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/directory/directory.h"
#include "fixtures/directory/dns_server.h"
#include "identity/did_document.h"
#include "net/xrpc_client.h"
#include "tests/support/record_slice.h"

namespace penstock::app {
namespace {

using builder::Account;
using fixtures::Directory;
using fixtures::DirectoryReply;
using fixtures::DnsServer;
using testing::HasSubstr;

constexpr char kHandle[] = "ada.lantern.test";
constexpr char kDnsName[] = "_atproto.ada.lantern.test";
constexpr char kCollection[] = "test.lantern.note";

class VerifyLiveTest : public testing::Test {
 protected:
  VerifyLiveTest() : ada_({.seed = 1, .handle = kHandle, .pds = "https://pds.lantern.test"}) {
    const builder::Item note = builder::Item::Map({{"$type", kCollection}, {"text", "hello"}});
    ada_.Commit({builder::Write::Create(std::string(kCollection) + "/one", note)}, builder::kFixtureEpoch);
    http_.allow_private_addresses = true;
    http_.gateway = host_->url();
    http_.dns.servers = dns_->address();
    http_.dns.timeout = std::chrono::milliseconds(100);
    http_.dns.tries = 1;
    target_ =
        "/xrpc/com.atproto.sync.getRecord?did=" + ada_.did() + "&collection=" + kCollection + "&rkey=one";
    const std::string proof = test::RecordSlice(*ada_.Export(), std::string(kCollection) + "/one");
    host_->SetReply(target_, DirectoryReply::Of(200, proof, "application/vnd.ipld.car"), "pds.lantern.test");
  }

  absl::StatusOr<std::string> LookUp(const std::string& handle = kHandle) {
    return LookUpHandle(handle, http_, &clock_, &counters_);
  }
  VerifyReport Verify(std::chrono::milliseconds timeout = std::chrono::seconds(5)) {
    net::XrpcClientOptions options;
    options.http = http_;
    options.timeout = timeout;
    const auto client = *net::XrpcClient::Create(options, &clock_, &counters_);
    LiveSources sources;
    sources.resolve_handle = [this](const std::string& handle) { return LookUp(handle); };
    sources.find_identity = [this](std::string_view did) -> absl::StatusOr<identity::IdentityPtr> {
      if (did != ada_.did())
        return std::make_shared<const identity::Identity>(identity::NoIdentity(did, Reject::kDidNotFound));
      return std::make_shared<const identity::Identity>(identity::ParseDidDocument(did, ada_.DidDocument()));
    };
    sources.identity_origin = "a test";
    sources.get_record = [&](const std::string& origin, const std::string& did,
                             const LiveQuestion& of) -> absl::StatusOr<std::string> {
      const auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
      client->GetRecord({origin, false}, did, of.collection, of.rkey,
                        [promise](const net::XrpcOutcome& outcome, std::string car) {
                          if (outcome.status.ok()) return promise->set_value(std::move(car));
                          promise->set_value(outcome.status);
                        });
      return promise->get_future().get();
    };
    const LiveQuestion question{kHandle, kCollection, "one", builder::kFixtureEpoch + 1'000'000};
    VerifyReport report("record", "x");
    VerifyLiveRecord(question, sources, &car_, &report);
    return report;
  }

  std::unique_ptr<Directory> host_ = *Directory::Start();
  std::unique_ptr<DnsServer> dns_ = *DnsServer::Start();
  Account ada_;
  net::HttpClientOptions http_;
  FixedClock clock_{builder::kFixtureEpoch};
  Counters counters_;
  std::string target_, car_;
};

TEST_F(VerifyLiveTest, AHandleLeadsThereAndBack) {
  dns_->SetTxt(kDnsName, {{"did=" + ada_.did()}});
  const VerifyReport report = Verify();
  EXPECT_TRUE(report.verified()) << report.Text(false);
  EXPECT_THAT(report.Text(false), HasSubstr("ok      handle     ada.lantern.test leads to " + ada_.did()));
  EXPECT_FALSE(car_.empty());
}

TEST_F(VerifyLiveTest, TheDocumentMustClaimTheHandle) {
  dns_->SetTxt(kDnsName, {{"did=" + ada_.did()}});
  ada_.SetHandle("somebody.else.test");
  const VerifyReport report = Verify();
  EXPECT_FALSE(report.verified());
  EXPECT_THAT(report.Text(false), HasSubstr("claims somebody.else.test, not ada.lantern.test"));
}

TEST_F(VerifyLiveTest, AHandleThatLeadsToSomebodyElseIsNobodysProof) {
  dns_->SetTxt(kDnsName, {{"did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}});
  EXPECT_THAT(Verify().Text(false), HasSubstr("FAILED  identity   did_not_found"));
}

TEST_F(VerifyLiveTest, APdsThatStallsIsGivenUp) {
  dns_->SetTxt(kDnsName, {{"did=" + ada_.did()}});
  for (const auto manner : {DirectoryReply::Manner::kStall, DirectoryReply::Manner::kTrickle,
                            DirectoryReply::Manner::kEndlessHeaders}) {
    host_->SetReply(target_, DirectoryReply::Misbehave(manner, std::string(10'000, 'x')), "pds.lantern.test");
    const auto begin = std::chrono::steady_clock::now();
    const VerifyReport report = Verify(std::chrono::milliseconds(300));
    EXPECT_FALSE(report.verified());
    EXPECT_THAT(report.Text(false), HasSubstr("UNKNOWN proof"));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  }
}

TEST_F(VerifyLiveTest, DnsWinsOverTheHandlesHost) {
  dns_->SetTxt(kDnsName, {{"v=spf1"}, {"did=", ada_.did()}});
  host_->SetHandle(kHandle, "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(*LookUp(), ada_.did());
  EXPECT_EQ(host_->request_count(), 0u);
}

TEST_F(VerifyLiveTest, TheHostIsAskedWhereDnsNamesNobody) {
  host_->SetHandle(kHandle, " " + ada_.did() + "\n");
  EXPECT_EQ(*LookUp(), ada_.did());
  dns_->SetSilent(kDnsName);
  EXPECT_EQ(*LookUp(), ada_.did()) << "a yes counts; the document has to say so, too";
}

TEST_F(VerifyLiveTest, ANoCountsOnlyIfBothHaveSaidIt) {
  EXPECT_TRUE(absl::IsNotFound(LookUp().status())) << LookUp().status();
  host_->SetHandle(kHandle, "no DID");
  EXPECT_TRUE(absl::IsNotFound(LookUp().status()));
  host_->SetReply("/.well-known/atproto-did", DirectoryReply::Of(503), kHandle);
  EXPECT_TRUE(absl::IsUnavailable(LookUp().status()));
  host_->SetReply("/.well-known/atproto-did", DirectoryReply::Misbehave(DirectoryReply::Manner::kDrop),
                  kHandle);
  EXPECT_TRUE(absl::IsUnavailable(LookUp().status()));
  host_->SetReply("/.well-known/atproto-did", DirectoryReply::Of(404), kHandle);
  dns_->SetServFail(kDnsName);
  EXPECT_TRUE(absl::IsUnavailable(LookUp().status()));
}

TEST_F(VerifyLiveTest, NamesThatContradictThemselvesLeadNowhere) {
  dns_->SetTxt(kDnsName, {{"did=" + ada_.did()}, {"did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(LookUp().status()));
  dns_->SetTxt(kDnsName, {{"did=nobody"}});
  EXPECT_TRUE(absl::IsFailedPrecondition(LookUp().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(LookUp("ada.localhost").status()));
}

}  // namespace
}  // namespace penstock::app
