// Account states and proofs, asked of hosts over real sockets.

#include "net/xrpc_client.h"

#include <gtest/gtest.h>

#include <future>
#include <string>
#include <utility>

#include "fixtures/directory/directory.h"

namespace penstock::net {
namespace {

using fixtures::Directory;
using fixtures::DirectoryReply;
using Manner = DirectoryReply::Manner;

constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr std::string_view kStatusTarget =
    "/xrpc/com.atproto.sync.getRepoStatus?did=did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr std::string_view kRecordTarget =
    "/xrpc/"
    "com.atproto.sync.getRecord?did=did:plc:ewvi7nxzyoun6zhxrhs64oiz&collection=app.lantern.post&rkey=a~b%"
    "3Fc";

class XrpcClientTest : public testing::Test {
 protected:
  XrpcClientTest() {
    options_.http.allow_private_addresses = true;
    options_.timeout = std::chrono::milliseconds(500);
    options_.max_car_bytes = 1000;
  }
  XrpcClient& Client() {
    if (client_ == nullptr) client_ = *XrpcClient::Create(options_, &clock_, &counters_);
    return *client_;
  }
  std::pair<XrpcOutcome, RepoStatus> Status() {
    std::promise<std::pair<XrpcOutcome, RepoStatus>> promise;
    Client().GetRepoStatus({host_->url(), false}, kDid,
                           [&](const XrpcOutcome& outcome, const RepoStatus& status) {
                             promise.set_value({outcome, status});
                           });
    return promise.get_future().get();
  }
  std::pair<XrpcOutcome, std::string> Record() {
    std::promise<std::pair<XrpcOutcome, std::string>> promise;
    Client().GetRecord({host_->url(), false}, kDid, "app.lantern.post", "a~b?c",
                       [&](const XrpcOutcome& outcome, std::string car) {
                         promise.set_value({outcome, std::move(car)});
                       });
    return promise.get_future().get();
  }

  FixedClock clock_{0};
  Counters counters_;
  XrpcClientOptions options_;
  std::unique_ptr<Directory> host_ = *Directory::Start();
  std::unique_ptr<XrpcClient> client_;
};

TEST_F(XrpcClientTest, ReadsTheStateOfAnAccount) {
  const std::string did(kDid);
  host_->SetReply(kStatusTarget,
                  DirectoryReply::Of(200, R"({"did":")" + did + R"(","active":true,"rev":"3l4abcdefgh2k"})"));
  auto [outcome, status] = Status();
  ASSERT_TRUE(outcome.status.ok()) << outcome.status;
  EXPECT_TRUE(status.active);
  EXPECT_EQ(status.status, "");
  EXPECT_EQ(status.rev, "3l4abcdefgh2k");
  host_->SetReply(kStatusTarget,
                  DirectoryReply::Of(200, R"({"did":")" + did + R"(","active":false,"status":"takendown"})"));
  EXPECT_FALSE(Status().second.active);
  EXPECT_EQ(Status().second.status, "takendown");
}

TEST_F(XrpcClientTest, AnswersThatAreNone) {
  for (const char* body : {"", "[]", "{}", R"({"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz"})",
                           R"({"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","active":"yes"})",
                           R"({"did":"did:plc:aaaaaaaaaaaaaaaaaaaaaaaa","active":true})"}) {
    host_->SetReply(kStatusTarget, DirectoryReply::Of(200, body));
    const XrpcOutcome outcome = Status().first;
    EXPECT_TRUE(absl::IsUnavailable(outcome.status)) << body;
    EXPECT_GT(outcome.retry_after_us, 0);
  }
}

TEST_F(XrpcClientTest, SortsErrors) {
  const auto outcome = [&](int status, std::string body) {
    host_->SetReply(kStatusTarget, DirectoryReply::Of(status, std::move(body)));
    return Status().first;
  };
  const XrpcOutcome gone = outcome(400, R"({"error":"RepoNotFound","message":"Could not find repo"})");
  EXPECT_TRUE(absl::IsNotFound(gone.status));
  EXPECT_EQ(gone.error, "RepoNotFound");
  EXPECT_TRUE(absl::IsNotFound(outcome(404, "<html>").status));
  const XrpcOutcome taken = outcome(400, R"({"error":"RepoTakendown"})");
  EXPECT_TRUE(absl::IsFailedPrecondition(taken.status));
  EXPECT_EQ(taken.error, "RepoTakendown");
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome(401, "{}").status));
  EXPECT_EQ(outcome(400, R"({"error":"Forged\nlog line"})").error, "");
  EXPECT_TRUE(absl::IsUnavailable(outcome(500, R"({"error":"InternalServerError"})").status));
  EXPECT_FALSE(outcome(503, "{}").limited);
  EXPECT_TRUE(outcome(429, "{}").limited);
  const XrpcOutcome limited = Status().first;
  EXPECT_TRUE(absl::IsUnavailable(limited.status));
  EXPECT_GT(limited.retry_after_us, 4'000'000) << "left alone";
  EXPECT_TRUE(limited.limited) << "which is another thing than being down";
}

TEST_F(XrpcClientTest, FetchesAProof) {
  host_->SetReply(kRecordTarget, DirectoryReply::Of(200, "car bytes", "application/vnd.ipld.car"));
  EXPECT_EQ(Record().second, "car bytes");
  host_->SetReply(kRecordTarget, DirectoryReply::Of(200, std::string(1001, 'x'), "application/vnd.ipld.car"));
  const auto [outcome, car] = Record();
  EXPECT_TRUE(absl::IsFailedPrecondition(outcome.status));
  EXPECT_EQ(car, "");
  host_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  EXPECT_TRUE(absl::IsDeadlineExceeded(Record().first.status));
}

TEST_F(XrpcClientTest, AStrangersHostIsAStranger) {
  options_.http.allow_private_addresses = false;
  host_->SetReply(kRecordTarget, DirectoryReply::Of(200, "car bytes"));
  EXPECT_TRUE(absl::IsUnavailable(Record().first.status));
  EXPECT_EQ(host_->connections(), 0u);
  std::promise<std::string> promise;
  Client().GetRecord({host_->url(), true}, kDid, "app.lantern.post", "a~b?c",
                     [&](const XrpcOutcome&, std::string car) { promise.set_value(std::move(car)); });
  EXPECT_EQ(promise.get_future().get(), "car bytes") << "the operator's own choice is not";
  std::promise<absl::Status> bad;
  Client().GetRepoStatus(
      {"https://pds.example/path", false}, kDid,
      [&](const XrpcOutcome& outcome, const RepoStatus&) { bad.set_value(outcome.status); });
  EXPECT_TRUE(absl::IsInvalidArgument(bad.get_future().get()));
}

TEST_F(XrpcClientTest, AHostThatIsDownFailsAtOnce) {
  options_.gate.failures_until_down = 2;
  host_->SetDown(true);
  for (int i = 0; i < 10; ++i) {
    const XrpcOutcome outcome = Status().first;
    EXPECT_TRUE(absl::IsUnavailable(outcome.status));
    EXPECT_FALSE(outcome.limited);
  }
  EXPECT_EQ(counters_.Of("xrpc_errors"), 2u);
  EXPECT_EQ(counters_.Of("xrpc_refused"), 8u);
}

TEST_F(XrpcClientTest, EveryCallbackIsCalledBeforeTheEnd) {
  options_.timeout = std::chrono::seconds(60);
  host_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  std::atomic<int> called{0};
  for (int i = 0; i < 20; ++i) {
    Client().GetRepoStatus({host_->url(), false}, kDid, [&](const XrpcOutcome& outcome, const RepoStatus&) {
      EXPECT_TRUE(absl::IsUnavailable(outcome.status));
      ++called;
    });
  }
  client_.reset();
  EXPECT_EQ(called, 20);
}

}  // namespace
}  // namespace penstock::net
