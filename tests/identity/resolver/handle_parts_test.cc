#include <gtest/gtest.h>

#include "identity/resolver/did_lookup.h"
#include "identity/resolver/handle_check.h"

namespace penstock::identity {
namespace {

TEST(HandleRecords, OneDidCounts) {
  EXPECT_EQ(ReadHandleRecords({}).did, "");
  EXPECT_EQ(ReadHandleRecords({"did=did:plc:a"}).did, "did:plc:a");
  EXPECT_EQ(ReadHandleRecords({"v=spf1 -all", "did=did:plc:a", "xdid=did:plc:b"}).did, "did:plc:a");
  const HandleRecords twice = ReadHandleRecords({"did=did:plc:a", "did=did:plc:a"});
  EXPECT_EQ(twice.did, "did:plc:a");
  EXPECT_FALSE(twice.conflict);
  EXPECT_TRUE(ReadHandleRecords({"did=did:plc:a", "did=did:plc:b"}).conflict);
  EXPECT_EQ(ReadHandleRecords({"DID=did:plc:a", " did=did:plc:a", "did: did:plc:a"}).did, "");
}

TEST(HandleBody, HoldsOneDid) {
  EXPECT_EQ(ReadHandleBody("did:plc:ewvi7nxzyoun6zhxrhs64oiz"), "did:plc:ewvi7nxzyoun6zhxrhs64oiz");
  EXPECT_EQ(ReadHandleBody("\r\n did:web:example.com\t\n"), "did:web:example.com");
  for (const char* body :
       {"", " \n", "did:plc:a did:plc:b", "did:plc:a\ndid:plc:b", "<html>", "\"did:plc:a\"", "did:"}) {
    EXPECT_EQ(ReadHandleBody(body), "") << body;
  }
}

TEST(DidLookup, AsksWebHostsOverTls) {
  EXPECT_EQ(DidLookup::WebUrl({DidMethod::kWeb, "example.com"}), "https://example.com/.well-known/did.json");
  EXPECT_EQ(DidLookup::WebUrl({DidMethod::kWeb, "localhost:2583"}),
            "http://localhost:2583/.well-known/did.json");
  EXPECT_EQ(DidLookup::WebUrl({DidMethod::kWeb, "localhost"}), "http://localhost/.well-known/did.json");
  EXPECT_EQ(DidLookup::WebUrl({DidMethod::kWeb, "localhost.example.com"}),
            "https://localhost.example.com/.well-known/did.json");
}

}  // namespace
}  // namespace penstock::identity
