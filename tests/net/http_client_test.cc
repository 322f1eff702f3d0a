// The client against a real server over real sockets: what it sends, what it takes, and what it refuses.

#include "net/http_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

#include "fixtures/directory/directory.h"
#include "fixtures/directory/dns_server.h"
#include "net/body_pipe.h"
#include "tests/net/fetcher.h"
#include "tests/support/relay/certificates.h"

namespace penstock::net {
namespace {

using fixtures::Directory;
using fixtures::DirectoryOptions;
using fixtures::DirectoryReply;
using fixtures::DnsServer;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using test::Fetcher;
using testing::HasSubstr;
using Manner = DirectoryReply::Manner;

class HttpClientTest : public testing::Test {
 protected:
  HttpClientTest() {
    dns_ = *DnsServer::Start();
    dns_->SetWildcard("127.0.0.1");
    server_ = *Directory::Start();
    server_->SetReply("/hello", DirectoryReply::Of(200, R"({"hello":1})"));
  }

  HttpClientOptions Options() const {
    HttpClientOptions options;
    options.user_agent = "penstock-test/1 (+mailto:test@lantern.test)";
    options.dns.servers = dns_->address();
    options.dns.timeout = milliseconds(200);
    options.connect_timeout = seconds(2);
    return options;
  }
  // Every stranger's host is our server.
  HttpClientOptions Loopback() const {
    HttpClientOptions options = Options();
    options.allow_private_addresses = true;
    options.gateway = server_->url();
    return options;
  }
  std::string Url(std::string_view target) const { return server_->url() + std::string(target); }

  std::unique_ptr<DnsServer> dns_;
  std::unique_ptr<Directory> server_;
};

HttpRequest Foreign(std::string url) {
  HttpRequest request;
  request.url = std::move(url);
  return request;
}

TEST_F(HttpClientTest, AsksAndTellsNothingElse) {
  Fetcher fetcher(Options());
  const HttpAnswer answer = fetcher.Get(Url("/hello"));
  ASSERT_TRUE(answer.ok()) << answer.detail;
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"({"hello":1})");
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(answer.url, Url("/hello"));
  EXPECT_EQ(answer.pause, microseconds(0));
  const auto seen = server_->requests().at(0);
  EXPECT_EQ(seen.method, "GET");
  EXPECT_EQ(seen.target, "/hello");
  EXPECT_EQ(seen.host, "127.0.0.1");
  EXPECT_EQ(seen.user_agent, "penstock-test/1 (+mailto:test@lantern.test)");
  EXPECT_EQ(seen.accept, "application/json");
  EXPECT_EQ(seen.accept_encoding, "identity");
  EXPECT_EQ(seen.authorization + seen.cookie, "");
}

TEST_F(HttpClientTest, EveryStatusIsAnAnswer) {
  Fetcher fetcher(Options());
  for (const int status : {200, 204, 400, 404, 410, 429, 500, 503}) {
    server_->Script(DirectoryReply::Of(status, status == 204 ? "" : "{}"));
    const HttpAnswer answer = fetcher.Get(Url("/x"));
    EXPECT_TRUE(answer.ok()) << status << " " << answer.detail;
    EXPECT_EQ(answer.status, status);
  }
}

TEST_F(HttpClientTest, KeepsConnectionsAndSurvivesTheirEnd) {
  Fetcher fetcher(Options());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(fetcher.Get(Url("/hello")).status, 200);
  EXPECT_EQ(server_->connections(), 1u);
  server_->SetDown(true);
  server_->SetDown(false);
  EXPECT_EQ(fetcher.Get(Url("/hello")).status, 200) << "the old connection is gone; a new one must be tried";
  EXPECT_EQ(server_->connections(), 2u);
}

TEST_F(HttpClientTest, ReadsHowLongToStayAway) {
  Fetcher fetcher(Options());
  server_->Script(DirectoryReply::Busy(429, "7"));
  EXPECT_EQ(fetcher.Get(Url("/x")).pause, seconds(7));
  server_->Script(DirectoryReply::Busy(503, "Tue, 14 Nov 2023 22:13:50 GMT"));
  EXPECT_EQ(fetcher.Get(Url("/x")).pause, seconds(30));
  server_->Script(DirectoryReply::Busy(429, "99999999999999"));
  EXPECT_EQ(fetcher.Get(Url("/x")).pause, seconds(86'400));
  DirectoryReply limited = DirectoryReply::Of(429, "{}");
  limited.headers = {
      {"RateLimit-Limit", "3000"}, {"RateLimit-Remaining", "0"}, {"RateLimit-Reset", "1700000042"}};
  server_->Script(limited);
  EXPECT_EQ(fetcher.Get(Url("/x")).pause, seconds(42));
  limited.headers[1].second = "5";
  server_->Script(limited);
  EXPECT_EQ(fetcher.Get(Url("/x")).pause, seconds(0));
}

TEST_F(HttpClientTest, ChecksCertificates) {
  const test::TestAuthority authority;
  DirectoryOptions options;
  const auto good = authority.Issue({"DNS:pds.lantern.test", "IP:127.0.0.1"});
  options.certificate_pem = good.certificate_pem;
  options.private_key_pem = good.private_key_pem;
  const auto server = *Directory::Start(options);
  server->SetReply("/hello", DirectoryReply::Of(200, "{}"));
  const std::string port = ":" + std::to_string(server->port());

  HttpClientOptions client = Options();
  client.ca_file = authority.file();
  client.allow_private_addresses = true;
  Fetcher fetcher(client);
  EXPECT_EQ(fetcher.GetForeign("https://pds.lantern.test" + port + "/hello").status, 200);
  EXPECT_EQ(fetcher.GetForeign("https://127.0.0.1" + port + "/hello").status, 200);
  EXPECT_EQ(fetcher.GetForeign("https://other.lantern.test" + port + "/hello").fault, HttpFault::kTls);

  client.ca_file.clear();
  Fetcher distrustful(client);
  EXPECT_EQ(distrustful.GetForeign("https://pds.lantern.test" + port + "/hello").fault, HttpFault::kTls);
  Fetcher plain(client);
  EXPECT_EQ(plain.GetForeign("http://pds.lantern.test" + port + "/hello").fault, HttpFault::kProtocol);
}

// --- Bounds

TEST_F(HttpClientTest, BodiesAreBounded) {
  Fetcher fetcher(Options());
  HttpRequest request = Foreign(Url("/big"));
  request.trusted = true;
  request.max_body_bytes = 1000;
  for (const size_t size : {999, 1000, 1001, 100'000}) {
    server_->SetReply("/big", DirectoryReply::Of(200, std::string(size, 'x')));
    const HttpAnswer answer = fetcher.Get(request);
    ASSERT_TRUE(answer.ok()) << size << " " << answer.detail;
    EXPECT_EQ(answer.body_too_large, size > 1000) << size;
    EXPECT_EQ(answer.body.size(), size > 1000 ? 0 : size);
  }
  server_->SetReply("/big", DirectoryReply::Misbehave(Manner::kEndlessBody, "0123456789"));
  EXPECT_TRUE(fetcher.Get(request).body_too_large);
}

TEST_F(HttpClientTest, AHundredMegabytesAreNotRead) {
  Fetcher fetcher(Options());
  server_->Misbehave(DirectoryReply::Misbehave(Manner::kEndlessBody, std::string(1000, 'x')));
  EXPECT_TRUE(fetcher.Get(Url("/x")).body_too_large);
  EXPECT_LT(server_->bytes_sent(), 20'000'000u) << "what fits into the sockets' buffers, and no more";
}

TEST_F(HttpClientTest, HeadersAreBounded) {
  Fetcher fetcher(Options());
  server_->Misbehave(DirectoryReply::Misbehave(Manner::kEndlessHeaders));
  EXPECT_EQ(fetcher.Get(Url("/x")).fault, HttpFault::kHeaderTooLarge);
  EXPECT_LT(server_->bytes_sent(), 20'000'000u);
  server_->Behave();
  DirectoryReply reply = DirectoryReply::Of(200, "{}");
  reply.headers = {{"X-Long", std::string(17 * 1024, 'x')}};
  server_->Script(reply);
  EXPECT_EQ(fetcher.Get(Url("/x")).fault, HttpFault::kHeaderTooLarge);
  reply.headers = {{"X-Long", std::string(10 * 1024, 'x')}};
  server_->Script(reply);
  EXPECT_EQ(fetcher.Get(Url("/x")).status, 200);
}

TEST_F(HttpClientTest, TimeIsBounded) {
  Fetcher fetcher(Options());
  HttpRequest request = Foreign(Url("/hello"));
  request.trusted = true;
  request.timeout = milliseconds(300);
  DirectoryReply late = DirectoryReply::Of(200, "{}");
  late.delay = seconds(5);
  for (const DirectoryReply& reply :
       {DirectoryReply::Misbehave(Manner::kStall),
        DirectoryReply::Misbehave(Manner::kTrickle, std::string(500, 'x')), late}) {
    server_->Script(reply);
    const auto begin = steady_clock::now();
    const HttpAnswer answer = fetcher.Get(request);
    EXPECT_EQ(answer.fault, HttpFault::kTimeout) << answer.detail;
    EXPECT_TRUE(absl::IsDeadlineExceeded(answer.ToStatus()));
    EXPECT_LT(steady_clock::now() - begin, seconds(3));
  }
  server_->Script(DirectoryReply::Misbehave(Manner::kTrickle, "{}"));
  request.timeout = seconds(20);
  EXPECT_EQ(fetcher.Get(request).body, "{}") << "slow is not wrong";
}

TEST_F(HttpClientTest, WhatIsNotHttpIsNoAnswer) {
  Fetcher fetcher(Options());
  for (const auto& reply :
       {DirectoryReply::Misbehave(Manner::kGarbage, "\x16\x03\x01 certainly not HTTP\r\n\r\n"),
        DirectoryReply::Misbehave(Manner::kGarbage, "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"),
        DirectoryReply::Misbehave(Manner::kGarbage,
                                  "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
        DirectoryReply::Misbehave(Manner::kGarbage, "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        DirectoryReply::Misbehave(Manner::kCloseMidBody, std::string(1000, 'x')),
        DirectoryReply::Misbehave(Manner::kDrop)}) {
    server_->Script(reply);
    const HttpAnswer answer = fetcher.Get(Url("/x"));
    EXPECT_EQ(answer.fault, HttpFault::kProtocol) << answer.detail;
    EXPECT_TRUE(absl::IsUnavailable(answer.ToStatus()));
  }
  DirectoryReply zipped = DirectoryReply::Of(200, "\x1f\x8b");
  zipped.headers = {{"Content-Encoding", "gzip"}};
  server_->Script(zipped);
  EXPECT_EQ(fetcher.Get(Url("/x")).fault, HttpFault::kProtocol) << "nobody gets to send us a bomb";
  server_->Script(DirectoryReply::Misbehave(
      Manner::kGarbage, "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"));
  EXPECT_EQ(fetcher.Get(Url("/x")).body, "{}");
}

// --- Names and addresses

TEST_F(HttpClientTest, TellsAbsentNamesFromSilence) {
  Fetcher fetcher(Options());
  dns_->SetWildcard("");
  dns_->SetServFail("broken.lantern.test");
  dns_->SetSilent("silent.lantern.test");
  EXPECT_EQ(fetcher.GetForeign("https://nobody.lantern.test/").fault, HttpFault::kNameNotFound);
  EXPECT_EQ(fetcher.GetForeign("https://broken.lantern.test/").fault, HttpFault::kDns);
  EXPECT_EQ(fetcher.GetForeign("https://silent.lantern.test/").fault, HttpFault::kDns);
  dns_->SetTxt("text.lantern.test", {{"no address here"}});
  EXPECT_EQ(fetcher.GetForeign("https://text.lantern.test/").fault, HttpFault::kNameNotFound);
}

TEST_F(HttpClientTest, StrangersReachNoPrivateAddress) {
  Fetcher fetcher(Options());
  int n = 0;
  for (const char* address :
       {"127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "224.0.0.1", "::1", "fe80::1",
        "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"}) {
    const std::string name = "h" + std::to_string(n++) + ".lantern.test";
    dns_->AddAddresses(name, {address});
    EXPECT_EQ(fetcher.GetForeign("https://" + name + "/").fault, HttpFault::kForbiddenAddress) << address;
  }
  for (const char* host :
       {"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "10.1.2.3", "169.254.169.254"}) {
    const HttpFault fault = fetcher.GetForeign(std::string("https://") + host + "/").fault;
    EXPECT_EQ(fault, HttpFault::kForbiddenAddress) << host;
  }
  // Forms of 127.0.0.1 that only old parsers know; whoever turns them into an address must not get it past
  // the rule.
  for (const char* host : {"2130706433", "0x7f000001", "0177.0.0.1", "127.1"}) {
    const HttpAnswer answer = fetcher.GetForeign(std::string("https://") + host + "/");
    EXPECT_FALSE(answer.ok()) << host;
  }
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(HttpClientTest, StrangersReachNoOtherPortOrScheme) {
  Fetcher fetcher(Options());
  for (const std::string& url :
       {std::string("http://pds.lantern.test/"), std::string("https://pds.lantern.test:22/"),
        std::string("https://pds.lantern.test:8443/"), std::string("ftp://pds.lantern.test/"),
        std::string("file:///etc/passwd"), std::string("https://user:secret@pds.lantern.test/"),
        std::string("https://pds%0d%0aX: y/"), std::string("//pds.lantern.test"), std::string()}) {
    EXPECT_EQ(fetcher.GetForeign(url).fault, HttpFault::kBadUrl) << url;
  }
  EXPECT_EQ(dns_->questions(), 0u);
}

// The address that was judged is the address that is connected to: a name that answers differently the second
// time is never asked a second time.
TEST_F(HttpClientTest, ANameIsLookedAtOnce) {
  HttpClientOptions options = Options();
  options.allow_private_addresses = true;
  Fetcher fetcher(options);
  dns_->AddAddresses("rebind.lantern.test", {"127.0.0.1"});
  dns_->AddAddresses("rebind.lantern.test", {"127.0.0.2"});  // nobody listens there
  const std::string url = "http://rebind.lantern.test:" + std::to_string(server_->port()) + "/hello";
  EXPECT_EQ(fetcher.GetForeign(url).status, 200);
  EXPECT_EQ(dns_->CountOf("rebind.lantern.test"), 2u) << "one question for IPv4, one for IPv6";

  Fetcher strict(Options());
  dns_->AddAddresses("mixed.lantern.test", {"127.0.0.1", "10.0.0.1", "::1"});
  EXPECT_EQ(strict.GetForeign("https://mixed.lantern.test/").fault, HttpFault::kForbiddenAddress);
}

// --- Redirects

TEST_F(HttpClientTest, FollowsRedirectsWithinBounds) {
  Fetcher fetcher(Loopback());
  server_->SetReply("/a", DirectoryReply::Redirect("/b"));
  server_->SetReply("/b", DirectoryReply::Redirect("http://other.lantern.test/hello", 308));
  const HttpAnswer answer = fetcher.GetForeign("http://pds.lantern.test/a");
  ASSERT_TRUE(answer.ok()) << answer.detail;
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.url, "http://other.lantern.test/hello");
  EXPECT_EQ(server_->requests().back().host, "other.lantern.test");

  server_->SetReply("/loop", DirectoryReply::Redirect("/loop"));
  const size_t before = server_->request_count();
  EXPECT_EQ(fetcher.GetForeign("http://pds.lantern.test/loop").fault, HttpFault::kRedirect);
  EXPECT_EQ(server_->request_count() - before, 6u) << "the question and 5 redirects";
  server_->SetReply("/odd", DirectoryReply::Redirect("gopher://x/"));
  EXPECT_EQ(fetcher.GetForeign("http://pds.lantern.test/odd").fault, HttpFault::kRedirect);
  DirectoryReply nowhere = DirectoryReply::Of(302, "{}");
  server_->SetReply("/nowhere", nowhere);
  EXPECT_EQ(fetcher.GetForeign("http://pds.lantern.test/nowhere").status, 302)
      << "no Location: the caller's business";
}

TEST_F(HttpClientTest, RedirectsLoseTheOperatorsTrust) {
  Fetcher fetcher(Options());  // private addresses are not allowed
  const auto other = *Directory::Start();
  other->SetReply("/secret", DirectoryReply::Of(200, "{}"));
  server_->SetReply("/out", DirectoryReply::Redirect(other->url() + "/secret"));
  EXPECT_EQ(fetcher.Get(Url("/out")).fault, HttpFault::kBadUrl);
  server_->SetReply("/out", DirectoryReply::Redirect("https://127.0.0.1/secret"));
  EXPECT_EQ(fetcher.Get(Url("/out")).fault, HttpFault::kForbiddenAddress);
  dns_->AddAddresses("inside.lantern.test", {"10.0.0.1"});
  server_->SetReply("/out", DirectoryReply::Redirect("https://inside.lantern.test/secret"));
  EXPECT_EQ(fetcher.Get(Url("/out")).fault, HttpFault::kForbiddenAddress);
  EXPECT_EQ(other->connections(), 0u);
  server_->SetReply("/in", DirectoryReply::Redirect("/hello"));
  EXPECT_EQ(fetcher.Get(Url("/in")).status, 200) << "the same origin keeps it";
  EXPECT_GT(fetcher.counters().Of("http_fault_forbidden_address"), 0u);
}

TEST_F(HttpClientTest, NoRedirectFromTlsToNone) {
  const test::TestAuthority authority;
  DirectoryOptions options;
  const auto good = authority.Issue({"IP:127.0.0.1"});
  options.certificate_pem = good.certificate_pem;
  options.private_key_pem = good.private_key_pem;
  const auto secure = *Directory::Start(options);
  secure->SetReply("/down", DirectoryReply::Redirect(Url("/hello")));
  HttpClientOptions client = Options();
  client.ca_file = authority.file();
  client.allow_private_addresses = true;
  Fetcher fetcher(client);
  EXPECT_EQ(fetcher.Get(secure->url() + "/down").fault, HttpFault::kRedirect);
  EXPECT_EQ(server_->connections(), 0u);
}

// --- One request, for who counts them

TEST_F(HttpClientTest, OneRequestIsNoMoreThanOne) {
  Fetcher fetcher(Options());
  HttpRequest request = Foreign(Url("/from"));
  request.trusted = true;
  request.one_request = true;
  server_->SetReply("/from", DirectoryReply::Redirect("/to?x=1", 307));
  const HttpAnswer near = fetcher.Get(request);
  ASSERT_TRUE(near.ok()) << near.detail;
  EXPECT_EQ(near.status, 307);
  EXPECT_EQ(near.location, Url("/to?x=1"));
  server_->SetReply("/from", DirectoryReply::Redirect("https://pds.lantern.test/to"));
  EXPECT_EQ(fetcher.Get(request).location, "https://pds.lantern.test/to");
  server_->SetReply("/from", DirectoryReply::Redirect("ftp://pds.lantern.test/to"));
  EXPECT_EQ(fetcher.Get(request).fault, HttpFault::kRedirect);
  EXPECT_EQ(server_->request_count(), 3u);

  server_->SetReply("/from", DirectoryReply::Of(200, "{}"));
  EXPECT_EQ(fetcher.Get(request).location, "");
  server_->SetDown(true);
  server_->SetDown(false);
  EXPECT_EQ(fetcher.Get(request).fault, HttpFault::kStale) << "the kept connection is closed";
  EXPECT_EQ(server_->request_count(), 4u);
  EXPECT_EQ(fetcher.Get(request).status, 200);
  EXPECT_EQ(server_->request_count(), 5u);
}

// --- Bodies that go into a pipe

TEST_F(HttpClientTest, OnlyTheTypesThatWereAskedForGoIntoThePipe) {
  Fetcher fetcher(Options());
  HttpRequest request = Foreign(Url("/car"));
  request.trusted = true;
  request.max_body_bytes = 100;
  request.piped_types = {"application/vnd.ipld.car"};
  const auto get = [&](const DirectoryReply& reply, BodyPipe* pipe) {
    server_->SetReply("/car", reply);
    std::promise<HttpAnswer> promise;
    boost::asio::co_spawn(fetcher.io().executor(), fetcher.client().Get(request, pipe),
                          [&](std::exception_ptr, HttpAnswer answer) { promise.set_value(std::move(answer)); });
    return promise.get_future().get();
  };
  BodyPipe pipe;
  HttpAnswer answer = get(DirectoryReply::Of(200, std::string(5000, 'x'), "Application/vnd.ipld.CAR"), &pipe);
  EXPECT_TRUE(answer.ok() && answer.piped);
  EXPECT_EQ(answer.body, "");
  std::string piece;
  bool timed_out = false;
  EXPECT_TRUE(pipe.Read(&piece, 1'000'000, &timed_out));
  EXPECT_EQ(piece, std::string(5000, 'x')) << "however small a body may be otherwise";

  answer = get(DirectoryReply::Of(200, "page", "text/html"), &pipe);
  EXPECT_TRUE(answer.ok() && !answer.piped);
  EXPECT_EQ(answer.body, "page");
  answer = get(DirectoryReply::Of(400, "{}", "application/vnd.ipld.car"), &pipe);
  EXPECT_TRUE(answer.ok() && !answer.piped);
  EXPECT_TRUE(get(DirectoryReply::Of(200, std::string(5000, 'x'), "text/html"), &pipe).body_too_large);
  answer = get(DirectoryReply::Of(200, "", "application/vnd.ipld.car"), &pipe);
  EXPECT_TRUE(answer.ok() && answer.piped) << "nothing, as it said";
  EXPECT_FALSE(pipe.Read(&piece, 1000, &timed_out));
  EXPECT_TRUE(timed_out) << "its end is the caller's business";
  DirectoryReply zipped = DirectoryReply::Of(200, "zip", "application/vnd.ipld.car");
  zipped.headers.emplace_back("Content-Encoding", "gzip");
  EXPECT_EQ(get(zipped, &pipe).fault, HttpFault::kProtocol);
  EXPECT_EQ(server_->connections(), 2u) << "only that of the body that was too large is lost";
}

// --- The end

TEST_F(HttpClientTest, StopEndsWhatIsUnderWay) {
  Fetcher fetcher(Loopback());
  dns_->SetSilent("silent.lantern.test");
  std::vector<std::future<HttpAnswer>> answers;
  server_->Misbehave(DirectoryReply::Misbehave(Manner::kStall));
  for (int i = 0; i < 5; ++i) {
    HttpRequest request = Foreign("http://pds.lantern.test/x");
    request.timeout = seconds(60);
    answers.push_back(fetcher.Begin(request));
  }
  answers.push_back(fetcher.Begin(Foreign("http://silent.lantern.test:81/x")));
  while (server_->request_count() < 5) std::this_thread::sleep_for(milliseconds(5));
  const auto begin = steady_clock::now();
  fetcher.Stop();
  EXPECT_LT(steady_clock::now() - begin, seconds(2));
  for (auto& answer : answers) EXPECT_EQ(answer.get().fault, HttpFault::kStopped);
}

TEST_F(HttpClientTest, RefusesBadOptions) {
  Counters counters;
  FixedClock clock(0);
  IoThread io;
  HttpClientOptions options = Options();
  options.ca_file = "/does/not/exist";
  EXPECT_TRUE(
      absl::IsInvalidArgument(HttpClient::Create(io.executor(), options, &clock, &counters).status()));
  options = Options();
  options.dns.servers = "not an address";
  EXPECT_TRUE(
      absl::IsInvalidArgument(HttpClient::Create(io.executor(), options, &clock, &counters).status()));
  options = Options();
  options.gateway = "http://127.0.0.1:1";
  EXPECT_TRUE(
      absl::IsInvalidArgument(HttpClient::Create(io.executor(), options, &clock, &counters).status()));
}

}  // namespace
}  // namespace penstock::net
