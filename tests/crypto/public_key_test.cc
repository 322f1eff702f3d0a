#include "crypto/public_key.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "fixtures/builder/signing_key.h"

namespace penstock::crypto {
namespace {

using builder::SigningKey;

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const auto reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}
std::string Outcome(const absl::StatusOr<PublicKey>& key) {
  return key.ok() ? key->did_key() : Outcome(key.status());
}

builder::Curve BuilderCurve(Curve curve) {
  return curve == Curve::kK256 ? builder::Curve::kK256 : builder::Curve::kP256;
}

std::vector<uint8_t> CodecOf(Curve curve) {
  return curve == Curve::kK256 ? std::vector<uint8_t>{0xe7, 0x01} : std::vector<uint8_t>{0x80, 0x24};
}

std::string Multibase(const std::vector<uint8_t>& bytes) { return "z" + ToBase58(bytes); }

std::vector<uint8_t> Joined(std::vector<uint8_t> a, Bytes b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The order and half of it, as protocol 4.2 writes them.
std::vector<uint8_t> OrderOf(Curve curve) {
  return *FromHex(curve == Curve::kK256 ? "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"
                                        : "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
}
std::vector<uint8_t> HalfOrderOf(Curve curve) {
  return *FromHex(curve == Curve::kK256 ? "7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0"
                                        : "7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8");
}

class PublicKeyOf : public testing::TestWithParam<Curve> {
 protected:
  Curve curve() const { return GetParam(); }

  // The point in another SEC 1 form, by OpenSSL for both curves.
  std::vector<uint8_t> PointAs(point_conversion_form_t form) const {
    const int nid = curve() == Curve::kK256 ? NID_secp256k1 : NID_X9_62_prime256v1;
    const std::unique_ptr<EC_GROUP, void (*)(EC_GROUP*)> group(EC_GROUP_new_by_curve_name(nid),
                                                               EC_GROUP_free);
    const std::unique_ptr<EC_POINT, void (*)(EC_POINT*)> point(EC_POINT_new(group.get()), EC_POINT_free);
    EXPECT_EQ(EC_POINT_oct2point(group.get(), point.get(), key_.public_key().data(), 33, nullptr), 1);
    std::vector<uint8_t> bytes(65);
    bytes.resize(EC_POINT_point2oct(group.get(), point.get(), form, bytes.data(), bytes.size(), nullptr));
    return bytes;
  }
  std::vector<uint8_t> Compressed() const {
    return std::vector<uint8_t>(key_.public_key().begin(), key_.public_key().end());
  }
  std::vector<uint8_t> Uncompressed() const { return PointAs(POINT_CONVERSION_UNCOMPRESSED); }

  const SigningKey key_ = SigningKey::FromSeed(BuilderCurve(GetParam()), AsBytes("public key test"));
  const std::string did_key_ = key_.DidKey();
  const PublicKey public_key_ = *PublicKey::FromDidKey(did_key_);
  const Sha256Digest digest_ = Sha256(AsBytes("message"));
  const builder::Signature signature_ = key_.Sign(digest_);
};

INSTANTIATE_TEST_SUITE_P(Curves, PublicKeyOf, testing::Values(Curve::kK256, Curve::kP256),
                         [](const auto& curve) { return curve.param == Curve::kK256 ? "K256" : "P256"; });

TEST_P(PublicKeyOf, EveryFormIsTheSameKey) {
  EXPECT_EQ(public_key_.curve(), curve());
  EXPECT_EQ(public_key_.did_key(), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(key_.Multikey())), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromPoint(curve(), Compressed())), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromPoint(curve(), Uncompressed())), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromLegacyMultibase(curve(), Multibase(Compressed()))), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromLegacyMultibase(curve(), Multibase(Uncompressed()))), did_key_);
  EXPECT_EQ(*PublicKey::FromPoint(curve(), Uncompressed()), public_key_);
}

// Both parities of y, and an x that begins with zeros: the bytes where a conversion goes wrong.
TEST_P(PublicKeyOf, ManyKeysInBothForms) {
  int parities[2] = {0, 0};
  for (int i = 0; i < 64; ++i) {
    const SigningKey key = SigningKey::FromSeed(BuilderCurve(curve()), AsBytes("key " + std::to_string(i)));
    const auto parsed = PublicKey::FromDidKey(key.DidKey());
    ASSERT_EQ(Outcome(parsed), key.DidKey());
    EXPECT_EQ(Outcome(parsed->VerifyDigest(digest_, key.Sign(digest_))), "ok");
    ++parities[key.public_key()[0] & 1];
  }
  EXPECT_GT(parities[0], 0);
  EXPECT_GT(parities[1], 0);
}

TEST_P(PublicKeyOf, BadPoints) {
  std::vector<std::vector<uint8_t>> bad = {{}, {0x00}, {0x02}, {0x04}};
  bad.push_back(std::vector<uint8_t>(33, 0));  // infinity, filled up
  bad.push_back(std::vector<uint8_t>(65, 0));
  bad.push_back(PointAs(POINT_CONVERSION_HYBRID));
  for (const uint8_t prefix : {0x00, 0x01, 0x04, 0x05, 0x06, 0x07, 0xff}) {
    bad.push_back(Compressed());
    bad.back()[0] = prefix;
  }
  for (const uint8_t prefix : {0x00, 0x02, 0x03, 0x05, 0xff}) {
    bad.push_back(Uncompressed());
    bad.back()[0] = prefix;
  }
  bad.push_back(Uncompressed());  // off the curve
  bad.back()[64] ^= 1;
  bad.push_back(Uncompressed());
  bad.back()[1] ^= 1;
  bad.push_back(std::vector<uint8_t>(65, 0));  // (0, 0)
  bad.back()[0] = 0x04;
  bad.push_back(std::vector<uint8_t>(33, 0xff));  // x beyond the field
  bad.back()[0] = 0x02;
  for (const auto& point : {Compressed(), Uncompressed()}) {  // a byte more, a byte less
    bad.push_back(Joined(point, std::vector<uint8_t>{0}));
    bad.push_back(std::vector<uint8_t>(point.begin(), point.end() - 1));
  }
  for (const auto& point : bad) {
    EXPECT_EQ(Outcome(PublicKey::FromPoint(curve(), point)), "key_malformed") << ToHex(point);
    EXPECT_EQ(Outcome(PublicKey::FromLegacyMultibase(curve(), Multibase(point))), "key_malformed");
    EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined(CodecOf(curve()), point)))), "key_malformed");
  }
}

// About half of all x have no point.
TEST_P(PublicKeyOf, CompressedPointsThatAreNotOnTheCurve) {
  int refused = 0;
  std::vector<uint8_t> point = Compressed();
  for (int i = 0; i < 64; ++i) {
    point[32] = static_cast<uint8_t>(i);
    refused += Outcome(PublicKey::FromPoint(curve(), point)) == "key_malformed";
  }
  EXPECT_GT(refused, 8);
  EXPECT_LT(refused, 56);
}

TEST_P(PublicKeyOf, MultikeysOfAnotherShape) {
  // The codec says compressed; and a legacy value has no codec.
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined(CodecOf(curve()), Uncompressed())))),
            "key_malformed");
  EXPECT_EQ(Outcome(PublicKey::FromLegacyMultibase(curve(), key_.Multikey())), "key_malformed");
  // A point without codec: 02 or 03 is read as one.
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Compressed()))), "key_unsupported");
  const std::string good = key_.Multikey();
  for (const std::string& bad : {std::string(), std::string("z"), good.substr(1), "Z" + good.substr(1),
                                 "m" + good.substr(1), good + "0", good + " ", good + "\n"}) {
    EXPECT_EQ(Outcome(PublicKey::FromMultikey(bad)), "key_malformed") << bad;
  }
  for (const std::string& bad :
       {std::string(), good, "did:key:" + good.substr(1), "did:plc:" + good, "DID:KEY:" + good,
        "did:key:" + good + "#" + good, "did:key:did:key:" + good, did_key_ + " "}) {
    EXPECT_EQ(Outcome(PublicKey::FromDidKey(bad)), "key_malformed") << bad;
  }
  // Read as codecs of something else.
  EXPECT_EQ(Outcome(PublicKey::FromMultikey("z1")), "key_unsupported");
  // The codec in more bytes than it needs.
  std::vector<uint8_t> long_codec = CodecOf(curve());
  long_codec.back() |= 0x80;
  long_codec.push_back(0);
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined(long_codec, Compressed())))), "key_malformed");
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(std::vector<uint8_t>(20, 0x80)))), "key_malformed");
}

TEST_P(PublicKeyOf, AnotherCurvesCodec) {
  const Curve other = curve() == Curve::kK256 ? Curve::kP256 : Curve::kK256;
  // Either no point of the other curve, or another key; never this one.
  EXPECT_NE(Outcome(PublicKey::FromMultikey(Multibase(Joined(CodecOf(other), Compressed())))), did_key_);
  EXPECT_EQ(Outcome(PublicKey::FromPoint(other, Uncompressed())), "key_malformed");
}

TEST(PublicKey, CodecsThatAtprotoDoesNotUse) {
  const std::vector<uint8_t> ed25519 = Joined({0xed, 0x01}, std::vector<uint8_t>(32, 7));
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(ed25519))), "key_unsupported");
  EXPECT_EQ(Outcome(PublicKey::FromDidKey("did:key:" + Multibase(ed25519))), "key_unsupported");
  // x25519, P-384, P-521: longer than ours, and still read.
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined({0xec, 0x01}, std::vector<uint8_t>(32, 7))))),
            "key_unsupported");
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined({0x81, 0x24}, std::vector<uint8_t>(49, 7))))),
            "key_unsupported");
  EXPECT_EQ(Outcome(PublicKey::FromMultikey(Multibase(Joined({0x82, 0x24}, std::vector<uint8_t>(67, 7))))),
            "key_unsupported");
}

TEST(PublicKey, LongTextsAreNotDecoded) {
  for (const size_t size : {size_t{129}, size_t{1'000}, size_t{10'000'000}}) {
    const std::string text = "z" + std::string(size, 'z');
    EXPECT_EQ(Outcome(PublicKey::FromMultikey(text)), "key_malformed");
    EXPECT_EQ(Outcome(PublicKey::FromDidKey("did:key:" + text)), "key_malformed");
    EXPECT_EQ(Outcome(PublicKey::FromLegacyMultibase(Curve::kK256, text)), "key_malformed");
  }
}

TEST_P(PublicKeyOf, VerifiesWhatTheKeySigned) {
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, signature_)), "ok");
  EXPECT_EQ(Outcome(public_key_.Verify(AsBytes("message"), signature_)), "ok");
  EXPECT_EQ(Outcome(public_key_.Verify(AsBytes("messagf"), signature_)), "signature_mismatch");
  EXPECT_EQ(Outcome(public_key_.Verify({}, signature_)), "signature_mismatch");
  const SigningKey other = SigningKey::FromSeed(BuilderCurve(curve()), AsBytes("another key"));
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, other.Sign(digest_))), "signature_mismatch");
  // Right again after it was wrong: the kept context carries nothing over.
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, signature_)), "ok");
}

TEST_P(PublicKeyOf, NoBitOfTheSignatureMayChange) {
  for (size_t bit = 0; bit < 8 * kSignatureSize; ++bit) {
    builder::Signature changed = signature_;
    changed[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_FALSE(public_key_.VerifyDigest(digest_, changed).ok()) << bit;
  }
}

TEST_P(PublicKeyOf, OnlySixtyFourBytes) {
  const std::vector<uint8_t> signature(signature_.begin(), signature_.end());
  for (size_t size = 0; size < kSignatureSize; ++size)
    EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, Bytes(signature).first(size))), "signature_length")
        << size;
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, Joined(signature, std::vector<uint8_t>{0}))),
            "signature_length");
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, Joined({27}, signature))), "signature_length")
      << "recoverable";
  // DER, by OpenSSL.
  const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> pair(ECDSA_SIG_new(), ECDSA_SIG_free);
  ASSERT_EQ(ECDSA_SIG_set0(pair.get(), BN_bin2bn(signature.data(), 32, nullptr),
                           BN_bin2bn(signature.data() + 32, 32, nullptr)),
            1);
  std::vector<uint8_t> der(80);
  uint8_t* end = der.data();
  der.resize(static_cast<size_t>(i2d_ECDSA_SIG(pair.get(), &end)));
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, der)), "signature_length");
}

TEST_P(PublicKeyOf, HighSIsRefused) {
  const builder::Signature high = builder::WithOtherS(BuilderCurve(curve()), signature_);
  EXPECT_EQ(Outcome(public_key_.VerifyDigest(digest_, high)), "signature_high_s");
  // Also where nothing else fits: what stands there is high.
  EXPECT_EQ(Outcome(public_key_.Verify({}, high)), "signature_high_s");
}

TEST_P(PublicKeyOf, TheBoundsOfRAndS) {
  const auto outcome = [&](Bytes r, Bytes s) {
    std::vector<uint8_t> signature(r.begin(), r.end());
    return Outcome(public_key_.VerifyDigest(digest_, Joined(signature, s)));
  };
  const Bytes r = Bytes(signature_).first(32), s = Bytes(signature_).last(32);
  const std::vector<uint8_t> zero(32), all(32, 0xff), order = OrderOf(curve()), half = HalfOrderOf(curve());
  std::vector<uint8_t> one(32), above_half = half, below_order = order;
  one.back() = 1;
  ++above_half.back();
  --below_order.back();
  EXPECT_EQ(outcome(r, s), "ok");
  for (const auto& bad : {zero, order, all}) {
    EXPECT_EQ(outcome(bad, s), "signature_mismatch");
    EXPECT_EQ(outcome(r, bad), "signature_mismatch");
    EXPECT_EQ(outcome(bad, bad), "signature_mismatch");
  }
  EXPECT_EQ(outcome(r, half), "signature_mismatch") << "low, and not the right one";
  EXPECT_EQ(outcome(r, one), "signature_mismatch");
  EXPECT_EQ(outcome(r, above_half), "signature_high_s");
  EXPECT_EQ(outcome(r, below_order), "signature_high_s");
  EXPECT_EQ(outcome(below_order, s), "signature_mismatch");
  EXPECT_EQ(outcome(one, one), "signature_mismatch");
}

// Signatures whose r or s begins with zero bytes or with a set bit: every length of the DER form is one.
TEST_P(PublicKeyOf, ManySignatures) {
  int short_numbers = 0, set_bits = 0;
  for (int i = 0; i < 600; ++i) {
    const Sha256Digest digest = Sha256(AsBytes("message " + std::to_string(i)));
    const builder::Signature signature = key_.Sign(digest);
    ASSERT_EQ(Outcome(public_key_.VerifyDigest(digest, signature)), "ok") << i;
    short_numbers += signature[0] == 0 || signature[32] == 0;
    set_bits += (signature[0] & 0x80) != 0;
  }
  EXPECT_GT(short_numbers, 0);
  EXPECT_GT(set_bits, 0);
}

TEST_P(PublicKeyOf, CopiesShareAndOutliveTheFirst) {
  auto key = std::make_unique<PublicKey>(public_key_);
  const PublicKey copy = *key;
  EXPECT_EQ(Outcome(key->VerifyDigest(digest_, signature_)), "ok");
  key.reset();
  EXPECT_EQ(Outcome(copy.VerifyDigest(digest_, signature_)), "ok");
  EXPECT_EQ(copy, public_key_);
}

TEST(PublicKey, Names) {
  EXPECT_EQ(CurveName(Curve::kK256), "K-256");
  EXPECT_EQ(CurveName(Curve::kP256), "P-256");
}

}  // namespace
}  // namespace penstock::crypto
