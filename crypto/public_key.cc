#include "crypto/public_key.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <secp256k1.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"

namespace penstock::crypto {
namespace {

constexpr size_t kCoordinateSize = 32;
constexpr size_t kCompressedSize = 1 + kCoordinateSize;
constexpr size_t kUncompressedSize = 1 + 2 * kCoordinateSize;
using Coordinate = std::array<uint8_t, kCoordinateSize>;

constexpr std::string_view kDidKeyPrefix = "did:key:";

// An uncompressed point takes 89 digits, a Multikey 48. Decoding is quadratic, and the text comes from a DID
// document of whoever owns a name: without a bound, 64 KiB of digits would cost a second.
constexpr size_t kMaxBase58Digits = 128;

// Of the multicodec table, as unsigned varints in front of the point.
constexpr uint64_t kCodecK256 = 0xe7;    // e7 01
constexpr uint64_t kCodecP256 = 0x1200;  // 80 24

constexpr Coordinate FromDigits(const char (&digits)[2 * kCoordinateSize + 1]) {
  Coordinate bytes{};
  for (size_t i = 0; i < bytes.size(); ++i) {
    uint8_t byte = 0;
    for (const char c : {digits[2 * i], digits[2 * i + 1]})
      byte = static_cast<uint8_t>(byte << 4 | (c <= '9' ? c - '0' : c - 'a' + 10));
    bytes[i] = byte;
  }
  return bytes;
}

// The order n of the group and floor(n/2), SEC 2; what protocol 4.2 writes out.
struct Order {
  Coordinate n, half;
};
constexpr Order kK256Order = {FromDigits("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"),
                              FromDigits("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0")};
constexpr Order kP256Order = {FromDigits("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
                              FromDigits("7fffffff800000007fffffffffffffffde737d56d38bcf4279dce5617e3192a8")};

// Of 32 big-endian bytes: the order of bytes is the order of numbers.
bool Less(const uint8_t* a, const uint8_t* b) { return std::memcmp(a, b, kCoordinateSize) < 0; }
bool IsZero(const uint8_t* a) {
  return std::all_of(a, a + kCoordinateSize, [](uint8_t byte) { return byte == 0; });
}

// Verification needs no tables of a context of its own. The library wants its self-test run before the static
// one is used; it aborts if this machine computes wrongly.
const secp256k1_context* K256Context() {
  static const secp256k1_context* const context = [] {
    secp256k1_selftest();
    return secp256k1_context_static;
  }();
  return context;
}

struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct ContextFree {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using P256Key = std::unique_ptr<EVP_PKEY, KeyFree>;
using P256Context = std::unique_ptr<EVP_PKEY_CTX, ContextFree>;

// Null if the point is not on the curve.
P256Key ParseP256(Bytes point) {
  static constexpr char kGroup[] = "prime256v1";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, const_cast<char*>(kGroup), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, const_cast<uint8_t*>(point.data()),
                                        point.size()),
      OSSL_PARAM_construct_end()};
  const P256Context context(EVP_PKEY_CTX_new_from_name(nullptr, "EC", nullptr));
  EVP_PKEY* key = nullptr;
  if (context == nullptr || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1) {
    ERR_clear_error();  // the thread's queue would keep it for whoever looks next
    return nullptr;
  }
  return P256Key(key);
}

// ECDSA-Sig-Value of RFC 3279: SEQUENCE of two INTEGERs, which are signed and minimal. OpenSSL's interface
// takes nothing else, and its own encoder would allocate.
class DerSignature {
 public:
  explicit DerSignature(const uint8_t* signature) {
    AppendInteger(signature);
    AppendInteger(signature + kCoordinateSize);
    bytes_[1] = static_cast<uint8_t>(size_ - 2);  // at most 70: one byte of length
  }
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return size_; }

 private:
  void AppendInteger(const uint8_t* number) {
    size_t zeros = 0;
    while (zeros + 1 < kCoordinateSize && number[zeros] == 0) ++zeros;
    const bool pad = (number[zeros] & 0x80) != 0;  // would read as negative
    const size_t digits = kCoordinateSize - zeros;
    bytes_[size_++] = 0x02;
    bytes_[size_++] = static_cast<uint8_t>(digits + pad);
    if (pad) bytes_[size_++] = 0;
    std::memcpy(bytes_.data() + size_, number + zeros, digits);
    size_ += digits;
  }

  std::array<uint8_t, 2 + 2 * (2 + 1 + kCoordinateSize)> bytes_{0x30};
  size_t size_ = 2;
};

// Unsigned LEB128 in its minimal form, at most 9 bytes, off the front of `*bytes`.
bool TakeVarint(Bytes* bytes, uint64_t* value) {
  *value = 0;
  for (size_t i = 0; i < bytes->size() && i < 9; ++i) {
    const uint8_t byte = (*bytes)[i];
    *value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && i > 0) return false;
    *bytes = bytes->subspan(i + 1);
    return true;
  }
  return false;
}

// The bytes behind "z…"; nullopt if that is not base58btc in multibase.
std::optional<std::vector<uint8_t>> FromMultibase(std::string_view text) {
  if (!text.starts_with('z') || text.size() > 1 + kMaxBase58Digits) return std::nullopt;
  return FromBase58(text.substr(1));
}

std::string DidKeyOf(Curve curve, Bytes point) {
  std::array<uint8_t, 2 + kCompressedSize> bytes = {0xe7, 0x01};
  if (curve == Curve::kP256) bytes = {0x80, 0x24};
  std::copy_n(point.begin(), kCompressedSize, bytes.begin() + 2);
  if (point.size() == kUncompressedSize)
    bytes[2] = (point.back() & 1) != 0 ? 0x03 : 0x02;  // whether y is odd
  return std::string(kDidKeyPrefix) + "z" + ToBase58(bytes);
}

}  // namespace

std::string_view CurveName(Curve curve) { return curve == Curve::kP256 ? "P-256" : "K-256"; }

struct PublicKey::Parsed {
  Parsed(Curve curve_of_key, std::string name) : curve(curve_of_key), did_key(std::move(name)) {}
  ~Parsed() { EVP_PKEY_CTX_free(spare.load(std::memory_order_relaxed)); }

  Curve curve;
  std::string did_key;
  secp256k1_pubkey k256{};  // of K-256
  P256Key p256;             // of P-256
  // A context ready to verify, for whoever comes next; null while one is at it. Making one costs a few
  // percent of the verification, in allocations and in locks of the library that all threads share.
  mutable std::atomic<EVP_PKEY_CTX*> spare{nullptr};

  bool VerifyK256(const Sha256Digest& digest, Bytes signature) const {
    secp256k1_ecdsa_signature parsed;
    return secp256k1_ecdsa_signature_parse_compact(K256Context(), &parsed, signature.data()) == 1 &&
           secp256k1_ecdsa_verify(K256Context(), &parsed, digest.data(), &k256) == 1;
  }

  bool VerifyP256(const Sha256Digest& digest, Bytes signature) const {
    P256Context context(spare.exchange(nullptr, std::memory_order_acquire));
    if (context == nullptr) {
      context.reset(EVP_PKEY_CTX_new(p256.get(), nullptr));
      // Fails only without memory, and a signature must not be called bad for that.
      if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) std::abort();
    }
    const DerSignature der(signature.data());
    const bool good =
        EVP_PKEY_verify(context.get(), der.data(), der.size(), digest.data(), digest.size()) == 1;
    if (!good) ERR_clear_error();
    // Two threads that verify with one key at once made two contexts; the one that is over is freed here.
    const P256Context other(spare.exchange(context.release(), std::memory_order_acq_rel));
    return good;
  }
};

absl::StatusOr<PublicKey> PublicKey::FromPoint(Curve curve, Bytes point) {
  // By its first byte and length, because both libraries would also take the hybrid form (06, 07).
  const bool compressed = point.size() == kCompressedSize && (point[0] == 0x02 || point[0] == 0x03);
  const bool uncompressed = point.size() == kUncompressedSize && point[0] == 0x04;
  if (!compressed && !uncompressed) return RejectError(Reject::kKeyMalformed, "not a point in SEC 1 form");
  auto parsed = std::make_shared<Parsed>(curve, DidKeyOf(curve, point));
  bool on_curve;
  if (curve == Curve::kK256) {
    on_curve = secp256k1_ec_pubkey_parse(K256Context(), &parsed->k256, point.data(), point.size()) == 1;
  } else {
    parsed->p256 = ParseP256(point);
    on_curve = parsed->p256 != nullptr;
  }
  if (!on_curve) return RejectError(Reject::kKeyMalformed, "not a point of the curve");
  return PublicKey(std::move(parsed));
}

absl::StatusOr<PublicKey> PublicKey::FromMultikey(std::string_view multibase) {
  const auto bytes = FromMultibase(multibase);
  if (!bytes) return RejectError(Reject::kKeyMalformed, "not base58btc in multibase");
  Bytes point(*bytes);
  uint64_t codec;
  if (!TakeVarint(&point, &codec)) return RejectError(Reject::kKeyMalformed, "no codec");
  if (codec != kCodecK256 && codec != kCodecP256) return RejectError(Reject::kKeyUnsupported, "codec");
  if (point.size() != kCompressedSize) return RejectError(Reject::kKeyMalformed, "not a compressed point");
  return FromPoint(codec == kCodecK256 ? Curve::kK256 : Curve::kP256, point);
}

absl::StatusOr<PublicKey> PublicKey::FromDidKey(std::string_view did_key) {
  if (!did_key.starts_with(kDidKeyPrefix)) return RejectError(Reject::kKeyMalformed, "not a did:key");
  return FromMultikey(did_key.substr(kDidKeyPrefix.size()));
}

absl::StatusOr<PublicKey> PublicKey::FromLegacyMultibase(Curve curve, std::string_view multibase) {
  const auto bytes = FromMultibase(multibase);
  if (!bytes) return RejectError(Reject::kKeyMalformed, "not base58btc in multibase");
  return FromPoint(curve, *bytes);
}

Curve PublicKey::curve() const { return parsed_->curve; }

const std::string& PublicKey::did_key() const { return parsed_->did_key; }

absl::Status PublicKey::Verify(Bytes message, Bytes signature) const {
  return VerifyDigest(Sha256(message), signature);
}

absl::Status PublicKey::VerifyDigest(const Sha256Digest& digest, Bytes signature) const {
  if (signature.size() != kSignatureSize) return RejectError(Reject::kSignatureLength);
  const Order& order = parsed_->curve == Curve::kK256 ? kK256Order : kP256Order;
  const uint8_t* const r = signature.data();
  const uint8_t* const s = signature.data() + kCoordinateSize;
  if (IsZero(r) || IsZero(s) || !Less(r, order.n.data()) || !Less(s, order.n.data()))
    return RejectError(Reject::kSignatureMismatch, "r or s out of range");
  // OpenSSL takes both s and n - s. libsecp256k1 does not, but would not say why.
  if (Less(order.half.data(), s)) return RejectError(Reject::kSignatureHighS);
  const bool good = parsed_->curve == Curve::kK256 ? parsed_->VerifyK256(digest, signature)
                                                   : parsed_->VerifyP256(digest, signature);
  return good ? absl::OkStatus() : RejectError(Reject::kSignatureMismatch);
}

}  // namespace penstock::crypto
