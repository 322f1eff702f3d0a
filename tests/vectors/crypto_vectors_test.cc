// Keys and signatures of others: the interop fixtures, and Project Wycheproof with atproto's verdict.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "crypto/public_key.h"
#include "fixtures/builder/signing_key.h"
#include "tests/support/shared_data.h"

namespace penstock::crypto {
namespace {

namespace fs = std::filesystem;

std::string_view TextOf(const boost::json::value& value) { return std::string_view(value.as_string()); }

boost::json::value Load(const fs::path& file) { return boost::json::parse(test::ReadFileText(file)); }

TEST(CryptoVectors, InteropSignatures) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const auto cases = Load(*folder / "atproto-interop-tests/crypto/signature-fixtures.json");
  size_t good = 0;
  for (const auto& c : cases.as_array()) {
    SCOPED_TRACE(TextOf(c.at("comment")));
    const bool k256 = TextOf(c.at("algorithm")) == "ES256K";
    EXPECT_EQ(TextOf(c.at("didDocSuite")),
              k256 ? "EcdsaSecp256k1VerificationKey2019" : "EcdsaSecp256r1VerificationKey2019");
    const Curve curve = k256 ? Curve::kK256 : Curve::kP256;
    const auto key = PublicKey::FromDidKey(TextOf(c.at("publicKeyDid")));
    ASSERT_TRUE(key.ok()) << key.status();
    EXPECT_EQ(key->curve(), curve);
    EXPECT_EQ(key->did_key(), TextOf(c.at("publicKeyDid")));
    const auto legacy = PublicKey::FromLegacyMultibase(curve, TextOf(c.at("publicKeyMultibase")));
    ASSERT_TRUE(legacy.ok()) << legacy.status();
    EXPECT_EQ(*legacy, *key);
    const bool valid = c.at("validSignature").as_bool();
    const absl::Status verdict =
        key->Verify(*FromBase64(TextOf(c.at("messageBase64"))), *FromBase64(TextOf(c.at("signatureBase64"))));
    EXPECT_EQ(verdict.ok(), valid) << verdict;
    for (const auto& tag : c.at("tags").as_array()) {
      if (TextOf(tag) == "high-s") {
        EXPECT_EQ(RejectOf(verdict), Reject::kSignatureHighS);
      }
      if (TextOf(tag) == "der-encoded") {
        EXPECT_EQ(RejectOf(verdict), Reject::kSignatureLength);
      }
    }
    good += valid;
  }
  EXPECT_GT(good, 0u);
  EXPECT_GT(cases.as_array().size(), good);
  std::printf("atproto-interop-tests/crypto/signature-fixtures: %zu cases, %zu of them valid\n",
              cases.as_array().size(), good);
}

// The builder turns the secrets into keys; ours must read those, sign-and-verify included.
TEST(CryptoVectors, InteropDidKeys) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const fs::path crypto = *folder / "atproto-interop-tests/crypto";
  struct Source {
    const char* file;
    const char* secret;
    bool base58;
    builder::Curve curve;
  };
  for (const Source& source :
       {Source{"w3c_didkey_K256.json", "privateKeyBytesHex", false, builder::Curve::kK256},
        Source{"w3c_didkey_P256.json", "privateKeyBytesBase58", true, builder::Curve::kP256}}) {
    const auto cases = Load(crypto / source.file);
    EXPECT_FALSE(cases.as_array().empty());
    for (const auto& c : cases.as_array()) {
      const std::string_view text = TextOf(c.at(source.secret));
      const auto secret = source.base58 ? FromBase58(text) : FromHex(text);
      ASSERT_TRUE(secret.has_value());
      const auto signer = builder::SigningKey::FromSecret(source.curve, *secret);
      ASSERT_TRUE(signer.has_value());
      const auto key = PublicKey::FromDidKey(TextOf(c.at("publicDidKey")));
      ASSERT_TRUE(key.ok()) << key.status();
      const auto point = PublicKey::FromPoint(key->curve(), signer->public_key());
      ASSERT_TRUE(point.ok()) << point.status();
      EXPECT_EQ(point->did_key(), TextOf(c.at("publicDidKey")));
      const Sha256Digest digest = Sha256(AsBytes(source.file));
      EXPECT_TRUE(key->VerifyDigest(digest, signer->Sign(digest)).ok());
    }
    std::printf("atproto-interop-tests/crypto/%s: %zu cases\n", source.file, cases.as_array().size());
  }
}

TEST(CryptoVectors, Wycheproof) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  size_t files = 0;
  for (const auto& entry : fs::directory_iterator(*folder / "wycheproof")) {
    const auto suite = Load(entry.path());
    SCOPED_TRACE(entry.path().filename());
    size_t accepted = 0, high_s = 0, total = 0;
    for (const auto& group : suite.at("testGroups").as_array()) {
      EXPECT_EQ(TextOf(group.at("sha")), "SHA-256");
      const auto& given = group.at("publicKey");
      const Curve curve = TextOf(given.at("curve")) == "secp256k1" ? Curve::kK256 : Curve::kP256;
      const auto key = PublicKey::FromPoint(curve, *FromHex(TextOf(given.at("uncompressed"))));
      ASSERT_TRUE(key.ok()) << key.status();
      for (const auto& c : group.at("tests").as_array()) {
        const absl::Status verdict =
            key->Verify(*FromHex(TextOf(c.at("msg"))), *FromHex(TextOf(c.at("sig"))));
        EXPECT_EQ(verdict.ok(), TextOf(c.at("atproto")) == "accept")
            << "case " << c.at("tcId") << " (" << TextOf(c.at("comment")) << "): " << verdict;
        const auto* reason = c.as_object().if_contains("atprotoReason");
        if (reason != nullptr && TextOf(*reason) == "high-S") {
          EXPECT_EQ(RejectOf(verdict), Reject::kSignatureHighS) << "case " << c.at("tcId");
          ++high_s;
        }
        accepted += verdict.ok();
        ++total;
      }
    }
    EXPECT_GT(accepted, 0u);
    EXPECT_GT(high_s, 0u);
    // `numberOfTests` is of the file before it was cut down.
    std::printf("wycheproof/%s: %zu cases, %zu accepted, %zu refused for a high S\n",
                entry.path().filename().c_str(), total, accepted, high_s);
    ++files;
  }
  EXPECT_GT(files, 0u);
}

}  // namespace
}  // namespace penstock::crypto
