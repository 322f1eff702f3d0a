#include "identity/did_location.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/identity/identity_testing.h"

namespace penstock::identity {
namespace {

std::string Located(std::string_view did, LocalNames local = LocalNames::kRefused) {
  const auto location = LocateDid(did, local);
  if (!location.ok()) return test::Outcome(location.status());
  return location->method == DidMethod::kPlc ? "plc" + location->host : "web " + location->host;
}

TEST(DidLocation, Plc) {
  EXPECT_EQ(Located("did:plc:ewvi7nxzyoun6zhxrhs64oiz"), "plc");
  for (const char* bad : {"did:plc:", "did:plc:ewvi7nxzyoun6zhxrhs64oi", "did:plc:ewvi7nxzyoun6zhxrhs64oizz",
                          "did:plc:EWVI7nxzyoun6zhxrhs64oiz", "did:plc:0wvi7nxzyoun6zhxrhs64oiz",
                          "did:plc:ewvi7nxzyoun6zhxrhs64oi/", "did:plc:ewvi7nxzyoun6zhxrhs64..z",
                          "did:plc:ewvi7nxzyoun6zhxrhs64oiz#atproto", " did:plc:ewvi7nxzyoun6zhxrhs64oiz"}) {
    EXPECT_EQ(Located(bad), "syntax_did") << bad;
  }
}

TEST(DidLocation, Web) {
  EXPECT_EQ(Located("did:web:example.com"), "web example.com");
  EXPECT_EQ(Located("did:web:Feed.Example.COM"), "web feed.example.com");
  EXPECT_EQ(Located("did:web:xn--bcher-kva.de"), "web xn--bcher-kva.de");
  for (const char* bad : {"did:web:",
                          "did:web:com",
                          "did:web:example.com:user",
                          "did:web:example.com%3A8080",
                          "did:web:example.com%2Fa",
                          "did:web:127.0.0.1",
                          "did:web:example.com.",
                          "did:web:-a.com",
                          "did:web:%5B::1%5D",
                          "did:web:localhost",
                          "did:web:localhost%3A2583",
                          "did:web:a.test",
                          "did:web:a.localhost",
                          "did:web:a.local",
                          "did:web:a.internal",
                          "did:web:a.onion",
                          "did:web:a.EXAMPLE",
                          "did:web:a.alt",
                          "did:web:a.arpa",
                          "did:web:a.invalid"}) {
    EXPECT_EQ(Located(bad), "syntax_did") << bad;
  }
}

TEST(DidLocation, LocalNamesWhereAllowed) {
  EXPECT_EQ(Located("did:web:localhost", LocalNames::kAllowed), "web localhost");
  EXPECT_EQ(Located("did:web:localhost%3A2583", LocalNames::kAllowed), "web localhost:2583");
  EXPECT_EQ(Located("did:web:ada.test", LocalNames::kAllowed), "web ada.test");
  EXPECT_EQ(Located("did:web:example.com", LocalNames::kAllowed), "web example.com");
  for (const char* bad : {"did:web:localhost%3A", "did:web:localhost%3A0", "did:web:localhost%3A65536",
                          "did:web:localhost%3A80a", "did:web:localhost:2583", "did:web:localhost%3a80",
                          "did:web:localhost%3A80%3A80", "did:web:localhosts", "did:web:localhost.com%3A80",
                          "did:web:ada.test%3A80", "did:web:a.internal"}) {
    EXPECT_EQ(Located(bad, LocalNames::kAllowed), "syntax_did") << bad;
  }
}

TEST(DidLocation, OtherMethods) {
  EXPECT_EQ(Located("did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"), "unsupported_did_method");
  EXPECT_EQ(Located("did:plcx:ewvi7nxzyoun6zhxrhs64oiz"), "unsupported_did_method");
  for (const char* bad :
       {"", "did", "did:", "plc", "DID:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:PLC:ewvi7nxzyoun6zhxrhs64oiz"})
    EXPECT_EQ(Located(bad), "syntax_did") << bad;
}

}  // namespace
}  // namespace penstock::identity
