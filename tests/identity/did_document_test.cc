#include "identity/did_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/identity/identity_testing.h"

namespace penstock::identity {
namespace {

using test::json::array;
using test::json::object;
using test::json::value;

constexpr char kDid[] = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
constexpr char kOther[] = "did:plc:oky5czdrnfjpqslsw2a5iclo";

const builder::SigningKey& FirstKey() {
  static const auto* const key = new builder::SigningKey(test::KeyNamed("first"));
  return *key;
}
const builder::SigningKey& SecondKey() {
  static const auto* const key = new builder::SigningKey(test::KeyNamed("second", builder::Curve::kP256));
  return *key;
}

object Method(const builder::SigningKey& key, std::string_view id = "#atproto") {
  return {{"id", id}, {"type", "Multikey"}, {"controller", kDid}, {"publicKeyMultibase", key.Multikey()}};
}
object Service(std::string_view endpoint, std::string_view id = "#atproto_pds") {
  return {{"id", id}, {"type", "AtprotoPersonalDataServer"}, {"serviceEndpoint", endpoint}};
}

object Document() {
  return {{"@context", {"https://www.w3.org/ns/did/v1"}},
          {"id", kDid},
          {"alsoKnownAs", {"at://ada.lantern.test"}},
          {"verificationMethod", {Method(FirstKey())}},
          {"service", {Service("https://pds.lantern.test")}}};
}

Identity Parse(const object& document) {
  const std::string text = test::json::serialize(document);
  const Identity identity = ParseDidDocument(kDid, text);
  // Who explains a document says the same.
  std::optional<crypto::PublicKey> first;
  for (const KeyEntry& entry : ReadKeyEntries(kDid, text)) {
    EXPECT_EQ(entry.status.ok(), entry.key.has_value());
    if (!first) first = entry.key;
  }
  EXPECT_EQ(first, identity.key);
  return identity;
}

// The key's did:key, or the fault.
std::string KeyOrFault(const Identity& identity) {
  EXPECT_EQ(identity.fault.has_value(), !identity.key.has_value());
  return identity.key ? identity.key->did_key() : std::string(RejectName(*identity.fault));
}
std::string KeyOf(array methods) {
  object document = Document();
  document["verificationMethod"] = std::move(methods);
  return KeyOrFault(Parse(document));
}
std::string PdsOf(array services) {
  object document = Document();
  document["service"] = std::move(services);
  return Parse(document).pds;
}
std::string HandleOf(array aliases) {
  object document = Document();
  document["alsoKnownAs"] = std::move(aliases);
  return Parse(document).handle;
}
object With(object entry, std::string_view member, value replacement) {
  entry[member] = std::move(replacement);
  return entry;
}
object With(object entry, std::string_view member, const std::string& text) {
  return With(std::move(entry), member, value(text.c_str()));
}
object With(object entry, std::string_view member, const char* text) {
  return With(std::move(entry), member, value(text));
}
object Without(object entry, std::string_view member) {
  entry.erase(member);
  return entry;
}

TEST(DidDocument, ReadsKeyPdsAndHandle) {
  const Identity identity = Parse(Document());
  EXPECT_EQ(identity.did, kDid);
  EXPECT_EQ(identity.fault, std::nullopt);
  EXPECT_EQ(KeyOrFault(identity), FirstKey().DidKey());
  EXPECT_EQ(identity.pds, "https://pds.lantern.test");
  EXPECT_EQ(identity.handle, "ada.lantern.test");
  EXPECT_EQ(identity.handle_state, HandleState::kUnchecked);
  EXPECT_EQ(identity.document, test::json::serialize(Document()));
}

TEST(DidDocument, WhatIsNoDocument) {
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("\"did\""), std::string("{"),
        std::string("{}x"), std::string("\xef\xbb\xbf{}"), std::string("{\"id\":\"\xff\"}"),
        std::string(5'000, '['), std::string("{\"id\":1}"), std::string("{}")}) {
    EXPECT_EQ(KeyOrFault(ParseDidDocument(kDid, text)), "did_document_invalid") << text.substr(0, 20);
  }
}

TEST(DidDocument, BelongsToTheDidAskedFor) {
  for (const std::string& id : {std::string(kOther), std::string(kDid) + "#", std::string(kDid) + " ",
                                std::string("DID:PLC:ewvi7nxzyoun6zhxrhs64oiz"), std::string()}) {
    const Identity identity = Parse(With(Document(), "id", id));
    EXPECT_EQ(KeyOrFault(identity), "did_document_invalid") << id;
    EXPECT_EQ(identity.did, kDid);
    EXPECT_EQ(identity.pds, "");
    EXPECT_EQ(identity.handle, "");
  }
  EXPECT_EQ(KeyOrFault(Parse(Without(Document(), "id"))), "did_document_invalid");
}

TEST(DidDocument, IsBounded) {
  object document = Document();
  document["padding"] = std::string(kMaxDidDocumentBytes, 'x');
  EXPECT_EQ(KeyOrFault(Parse(document)), "did_document_invalid");
  EXPECT_EQ(Parse(document).document, "");
  std::string text = test::json::serialize(Document());
  text.resize(kMaxDidDocumentBytes, ' ');
  EXPECT_EQ(KeyOrFault(ParseDidDocument(kDid, text)), FirstKey().DidKey());
  EXPECT_EQ(KeyOrFault(ParseDidDocument(kDid, text + " ")), "did_document_invalid");
}

TEST(DidDocument, OtherMembersMayBeAnything) {
  object document = Document();
  document["authentication"] = nullptr;
  document["keyAgreement"] = array{1.5, true, object{{"deep", array{array{array{}}}}}};
  EXPECT_EQ(KeyOrFault(Parse(document)), FirstKey().DidKey());
  for (const char* member : {"verificationMethod", "service", "alsoKnownAs"}) {
    for (const value& odd : std::vector<value>{nullptr, 7, "text", object{}, array{},
                                               array{nullptr, 7, "text", array{}, object{}}}) {
      const Identity identity = Parse(With(Document(), member, odd));
      EXPECT_EQ(identity.key.has_value(), member != std::string_view("verificationMethod")) << member;
      EXPECT_EQ(identity.pds.empty(), member == std::string_view("service")) << member;
      EXPECT_EQ(identity.handle.empty(), member == std::string_view("alsoKnownAs")) << member;
    }
    EXPECT_EQ(Parse(Without(Document(), member)).did, kDid);
  }
}

TEST(DidDocument, KeyIdsMatchExactly) {
  const std::string first = FirstKey().DidKey();
  EXPECT_EQ(KeyOf({Method(FirstKey(), "#atproto")}), first);
  EXPECT_EQ(KeyOf({Method(FirstKey(), std::string(kDid) + "#atproto")}), first);
  for (const std::string& id :
       {std::string("atproto"), std::string("#atproto_label"), std::string("#Atproto"),
        std::string("#atproto "), std::string("##atproto"), std::string(kDid),
        std::string(kOther) + "#atproto", std::string(kDid) + "#atproto_label",
        std::string(kDid) + "##atproto", std::string(kDid) + "/#atproto",
        "x" + std::string(kDid) + "#atproto", std::string()}) {
    EXPECT_EQ(KeyOf({Method(FirstKey(), id)}), "did_no_key") << id;
  }
}

TEST(DidDocument, KeysNeedTheRightControllerTypeAndValue) {
  const object good = Method(FirstKey());
  for (const value& odd : std::vector<value>{nullptr, 7, "", kOther, array{kDid}, object{}}) {
    for (const char* member : {"id", "controller", "type", "publicKeyMultibase"})
      EXPECT_EQ(KeyOf({With(good, member, odd)}), "did_no_key") << member << " " << odd;
  }
  for (const char* member : {"id", "controller", "type", "publicKeyMultibase"})
    EXPECT_EQ(KeyOf({Without(good, member)}), "did_no_key") << member;
  for (const char* type : {"multikey", "Multikey2", "JsonWebKey2020", "Ed25519VerificationKey2020",
                           "EcdsaSecp256k1VerificationKey2020"})
    EXPECT_EQ(KeyOf({With(good, "type", type)}), "did_no_key") << type;
}

// An entry that cannot be used does not stand before one that can: the rule of the specification, where
// others take the first by id whatever it is.
TEST(DidDocument, TheFirstValidKeyWins) {
  const std::string second = SecondKey().DidKey();
  const object good = Method(SecondKey());
  const std::string ed25519 = "z" + ToBase58(std::vector<uint8_t>(34, 0xed));
  EXPECT_EQ(KeyOf({With(Method(FirstKey()), "type", "JsonWebKey2020"), good}), second);
  EXPECT_EQ(KeyOf({With(Method(FirstKey()), "publicKeyMultibase", ed25519), good}), second);
  EXPECT_EQ(KeyOf({With(Method(FirstKey()), "publicKeyMultibase", "z0"), good}), second);
  EXPECT_EQ(KeyOf({With(Method(FirstKey()), "controller", kOther), good}), second);
  EXPECT_EQ(KeyOf({Method(FirstKey(), "#other"), good, Method(FirstKey())}), second);
  EXPECT_EQ(KeyOf({Method(SecondKey()), Method(FirstKey())}), second);
  EXPECT_EQ(KeyOf({Method(FirstKey()), Method(SecondKey())}), FirstKey().DidKey());
}

TEST(DidDocument, BothTypesOf2019) {
  const auto legacy = [](const builder::SigningKey& key, std::string_view type) {
    const std::vector<uint8_t> point(key.public_key().begin(), key.public_key().end());
    return With(With(Method(key), "type", std::string(type)), "publicKeyMultibase", "z" + ToBase58(point));
  };
  const auto k256 = legacy(FirstKey(), "EcdsaSecp256k1VerificationKey2019");
  const auto p256 = legacy(SecondKey(), "EcdsaSecp256r1VerificationKey2019");
  EXPECT_EQ(KeyOf({k256}), FirstKey().DidKey());
  EXPECT_EQ(KeyOf({p256}), SecondKey().DidKey());
  // The value has no codec; a Multikey is none of these, and these are no Multikey.
  EXPECT_EQ(KeyOf({With(Method(FirstKey()), "type", "EcdsaSecp256k1VerificationKey2019")}), "did_no_key");
  EXPECT_EQ(KeyOf({With(k256, "type", "Multikey")}), "did_no_key");
  // The type says the curve: another one gives another key, if any.
  EXPECT_NE(KeyOf({With(k256, "type", "EcdsaSecp256r1VerificationKey2019")}), FirstKey().DidKey());
}

TEST(DidDocument, ThePdsIsAnOrigin) {
  EXPECT_EQ(PdsOrigin("https://pds.lantern.test"), "https://pds.lantern.test");
  EXPECT_EQ(PdsOrigin("http://localhost:2583"), "http://localhost:2583");
  EXPECT_EQ(PdsOrigin("HTTPS://PDS.Lantern.Test"), "https://pds.lantern.test");
  EXPECT_EQ(PdsOrigin("https://pds.lantern.test:443"), "https://pds.lantern.test");
  EXPECT_EQ(PdsOrigin("http://pds.lantern.test:80"), "http://pds.lantern.test");
  EXPECT_EQ(PdsOrigin("https://pds.lantern.test:80"), "https://pds.lantern.test:80");
  EXPECT_EQ(PdsOrigin("https://192.0.2.1:8443"), "https://192.0.2.1:8443");
  EXPECT_EQ(PdsOrigin("https://[2001:DB8::1]"), "https://[2001:db8::1]");
  for (const std::string& bad : {std::string(),
                                 std::string("pds.lantern.test"),
                                 std::string("//pds.lantern.test"),
                                 std::string("https://"),
                                 std::string("https:pds.lantern.test"),
                                 std::string("ftp://pds.lantern.test"),
                                 std::string("wss://pds.lantern.test"),
                                 std::string("https://pds.lantern.test/"),
                                 std::string("https://pds.lantern.test/xrpc"),
                                 std::string("https://pds.lantern.test?a"),
                                 std::string("https://pds.lantern.test?"),
                                 std::string("https://pds.lantern.test#a"),
                                 std::string("https://pds.lantern.test#"),
                                 std::string("https://user@pds.lantern.test"),
                                 std::string("https://user:pass@pds.lantern.test"),
                                 std::string("https://@pds.lantern.test"),
                                 std::string("https://pds.lantern.test:"),
                                 std::string("https://pds.lantern.test:0"),
                                 std::string("https://pds.lantern.test:65536"),
                                 std::string("https://pds.lantern.test:8a"),
                                 std::string("https://pds%2elantern.test"),
                                 std::string("https://p_d_s.test"),
                                 std::string("https://pds lantern.test"),
                                 std::string(" https://pds.lantern.test"),
                                 std::string("https://pds.lantern.test\n"),
                                 std::string("https://[v1.a]"),
                                 std::string("https://[::1"),
                                 std::string("https://p\xc3\xa4s.test"),
                                 std::string("https://a\0b", 11),
                                 "https://" + std::string(254, 'a')}) {
    EXPECT_EQ(PdsOrigin(bad), "") << bad;
  }
}

TEST(DidDocument, TheFirstPdsThatFits) {
  EXPECT_EQ(
      PdsOf({Service("https://a.test", "#other"), Service("https://b.test"), Service("https://c.test")}),
      "https://b.test");
  EXPECT_EQ(PdsOf({Service("https://a.test", std::string(kDid) + "#atproto_pds")}), "https://a.test");
  const object good = Service("https://good.test");
  for (const object& bad :
       {Service("https://a.test", std::string(kOther) + "#atproto_pds"),
        Service("https://a.test", "atproto_pds"), Service("https://a.test", "#atproto_pds2"),
        With(Service("https://a.test"), "type", "BskyFeedGenerator"),
        With(Service("https://a.test"), "serviceEndpoint", array{"https://a.test"}),
        With(Service("https://a.test"), "serviceEndpoint", object{{"uri", "https://a.test"}}),
        Service("https://a.test/path"), Without(Service("https://a.test"), "type")}) {
    EXPECT_EQ(PdsOf({bad}), "") << test::json::serialize(bad);
    EXPECT_EQ(PdsOf({bad, good}), "https://good.test") << test::json::serialize(bad);
  }
}

TEST(DidDocument, TheFirstHandleThatIsOne) {
  EXPECT_EQ(HandleOf({"at://Ada.Lantern.Test", "at://second.test"}), "ada.lantern.test");
  EXPECT_EQ(
      HandleOf({"https://ada.test", nullptr, 7, "at://", "at://no_handle", "at://localhost",
                "AT://upper.test", "at://ada.test/", "at://ada.test/app.bsky.feed.post", "at://ada.test#x",
                "at:// ada.test", "at://did:plc:ewvi7nxzyoun6zhxrhs64oiz", "at://good.test"}),
      "good.test");
  // Claimed, even though it can never be valid.
  EXPECT_EQ(HandleOf({"at://ada.invalid"}), "ada.invalid");
  EXPECT_EQ(HandleOf({}), "");
}

// No key is no reason not to know where the account lives.
TEST(DidDocument, WithoutAKeyTheRestIsRead) {
  object document = Document();
  document["verificationMethod"] = array{};
  const Identity identity = Parse(document);
  EXPECT_EQ(identity.fault, Reject::kDidNoKey);
  EXPECT_EQ(identity.pds, "https://pds.lantern.test");
  EXPECT_EQ(identity.handle, "ada.lantern.test");
}

TEST(DidDocument, NoIdentityHasItsFault) {
  const Identity identity = NoIdentity(kDid, Reject::kDidTombstoned);
  EXPECT_EQ(identity.did, kDid);
  EXPECT_EQ(identity.fault, Reject::kDidTombstoned);
  EXPECT_EQ(identity.document, "");
  EXPECT_FALSE(identity.key.has_value());
}

TEST(HandleStateNames, AreStable) {
  EXPECT_EQ(HandleStateName(HandleState::kUnchecked), "unchecked");
  EXPECT_EQ(HandleStateName(HandleState::kValid), "valid");
  EXPECT_EQ(HandleStateName(HandleState::kInvalid), "invalid");
}

TEST(DidDocument, SaysWhyAKeyCountsOrNot) {
  object document = Document();
  array& methods = document["verificationMethod"].as_array();
  methods.insert(methods.begin(), {value("text"), Method(FirstKey(), "#atproto_label"),
                                   With(Method(FirstKey()), "controller", "did:plc:somebodyelse"),
                                   With(Method(FirstKey()), "type", "Ed25519VerificationKey2020"),
                                   With(Method(FirstKey()), "publicKeyMultibase", "z0")});
  methods.push_back(Method(SecondKey(), std::string(kDid) + "#atproto"));
  std::vector<std::string> told;
  for (const KeyEntry& entry : ReadKeyEntries(kDid, test::json::serialize(document))) {
    told.push_back(entry.id + " " + (entry.key ? entry.key->did_key() : std::string(Message(entry.status))));
  }
  EXPECT_THAT(told, testing::ElementsAre(" it is no object", "#atproto_label its id is not #atproto",
                                         "#atproto its controller is another", "#atproto key_unsupported",
                                         "#atproto key_malformed: not base58btc in multibase",
                                         "#atproto " + FirstKey().DidKey(),
                                         std::string(kDid) + "#atproto " + SecondKey().DidKey()));
  EXPECT_TRUE(ReadKeyEntries("did:plc:another", test::json::serialize(document)).empty());
  EXPECT_TRUE(ReadKeyEntries(kDid, "no JSON").empty());
  EXPECT_TRUE(ReadKeyEntries(kDid, "[]").empty());
}

}  // namespace
}  // namespace penstock::identity
