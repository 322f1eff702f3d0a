#pragma once

// Public keys and ECDSA signatures as atproto uses them (protocol 4.2, 6.2; atproto.com/specs/cryptography):
// K-256 through libsecp256k1, P-256 through OpenSSL, SHA-256 of the message, signatures of exactly 64 bytes
// (r || s, big endian), low-S on both curves.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "crypto/sha256.h"

namespace penstock::crypto {

enum class Curve : uint8_t { kP256, kK256 };
std::string_view CurveName(Curve curve);  // "P-256", "K-256"

inline constexpr size_t kSignatureSize = 64;

// A parsed key, ready to verify: parsing costs a good part of a verification, so whoever keeps an account's
// identity keeps this. Immutable and cheap to copy (shared); Verify is thread-safe. One of K-256 takes some
// 200 bytes, one of P-256 some 3 KiB once it has verified, most of it OpenSSL's.
class PublicKey {
 public:
  // Of each form. Rejects: kKeyMalformed (also: not on the curve, infinity), kKeyUnsupported.
  // `point`: SEC 1, compressed (33 bytes) or uncompressed (65).
  static absl::StatusOr<PublicKey> FromPoint(Curve curve, Bytes point);
  // "z…": base58btc of codec and compressed point.
  static absl::StatusOr<PublicKey> FromMultikey(std::string_view multibase);
  // "did:key:z…".
  static absl::StatusOr<PublicKey> FromDidKey(std::string_view did_key);
  // The publicKeyMultibase of the two types of 2019: "z…" of a point without codec, in either form.
  static absl::StatusOr<PublicKey> FromLegacyMultibase(Curve curve, std::string_view multibase);

  Curve curve() const;
  // The key's one canonical name: "did:key:z…" of the compressed point.
  const std::string& did_key() const;

  // Rejects: kSignatureLength, kSignatureHighS, kSignatureMismatch.
  absl::Status Verify(Bytes message, Bytes signature) const;
  absl::Status VerifyDigest(const Sha256Digest& digest, Bytes signature) const;

  friend bool operator==(const PublicKey& a, const PublicKey& b) { return a.did_key() == b.did_key(); }

 private:
  struct Parsed;
  explicit PublicKey(std::shared_ptr<const Parsed> parsed) : parsed_(std::move(parsed)) {}
  std::shared_ptr<const Parsed> parsed_;
};

}  // namespace penstock::crypto
