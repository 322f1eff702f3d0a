// The pure parts of the session: host names, HTTP refusals.

#include <gtest/gtest.h>

#include <string>

#include "base/status.h"
#include "firehose/session/endpoint.h"
#include "firehose/session/http_refusal.h"

namespace penstock::firehose {
namespace {

TEST(Endpoint, TakesWhatPeopleWrite) {
  const struct {
    const char* text;
    const char* name;
    const char* url;
  } cases[] = {
      {"relay.example", "relay.example", "wss://relay.example"},
      {"wss://relay.example", "relay.example", "wss://relay.example"},
      {"https://Relay.Example/", "relay.example", "wss://relay.example"},
      {"http://localhost:2583", "localhost:2583", "ws://localhost:2583"},
      {"ws://127.0.0.1:80", "127.0.0.1", "ws://127.0.0.1"},
      {"wss://relay.example:80", "relay.example:80", "wss://relay.example:80"},
      {"relay.example:8443", "relay.example:8443", "wss://relay.example:8443"},
      {"ws://[::1]:99", "[::1]:99", "ws://[::1]:99"},
      {"wss://relay.example/xrpc/com.atproto.sync.subscribeRepos", "relay.example", "wss://relay.example"},
  };
  for (const auto& c : cases) {
    const auto endpoint = ParseEndpoint(c.text);
    ASSERT_TRUE(endpoint.ok()) << c.text << ": " << endpoint.status();
    EXPECT_EQ(endpoint->Name(), c.name) << c.text;
    EXPECT_EQ(endpoint->Url(), c.url) << c.text;
    EXPECT_EQ(endpoint->target, kSubscribePath) << c.text;
  }
  EXPECT_EQ(ParseEndpoint("ws://[::1]:99")->host, "::1");
}

TEST(Endpoint, RefusesTheRest) {
  for (const char* text :
       {"", "ftp://relay.example", "wss://", "wss://user:secret@relay.example", "relay.example/other",
        "wss://relay.example?cursor=5", "wss://relay.example#x", "wss://relay.example:0",
        "wss://relay.example:99999", "relay example", "wss://relay%0d%0a.example"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseEndpoint(text).status())) << text;
  }
}

TEST(Endpoint, FollowsRedirects) {
  Endpoint from = *ParseEndpoint("wss://relay.example");
  from.target += "?cursor=5";
  const auto absolute = ParseRedirect(from, "https://other.example/path?cursor=5");
  ASSERT_TRUE(absolute.ok()) << absolute.status();
  EXPECT_EQ(absolute->Url(), "wss://other.example");
  EXPECT_EQ(absolute->target, "/path?cursor=5");
  const auto relative = ParseRedirect(from, "/v2/stream?cursor=5");
  ASSERT_TRUE(relative.ok()) << relative.status();
  EXPECT_EQ(relative->Url(), "wss://relay.example");
  EXPECT_EQ(relative->target, "/v2/stream?cursor=5");
  EXPECT_EQ(ParseRedirect(from, "ws://other.example")->target, "/");
  EXPECT_FALSE(ParseRedirect(from, "file:///etc/passwd").ok());
  EXPECT_FALSE(ParseRedirect(from, "http://a b/").ok());
}

TEST(HttpRefusal, SortsStatuses) {
  for (int status : {301, 302, 303, 307, 308}) EXPECT_EQ(RefusalOf(status), Refusal::kRedirect) << status;
  for (int status : {408, 425, 429, 500, 502, 503, 504, 520})
    EXPECT_EQ(RefusalOf(status), Refusal::kTemporary) << status;
  for (int status : {200, 204, 304, 400, 401, 403, 404, 410, 451, 999})
    EXPECT_EQ(RefusalOf(status), Refusal::kWrong) << status;
  for (int status : {405, 426, 501}) EXPECT_EQ(RefusalOf(status), Refusal::kNever) << status;
}

}  // namespace
}  // namespace penstock::firehose
