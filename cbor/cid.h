#pragma once

// CIDs (dasl.ing/cid; protocol 6.1). Binary: version, codec, hash code and digest length as varints, then the
// digest. "Blessed" is what atproto writes: CIDv1, codec dag-cbor (data) or raw (blobs), SHA-256: 36 bytes,
// 59 characters. Other kinds are carried as they are, up to 100 bytes; who needs to hash them refuses them.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "crypto/sha256.h"

namespace penstock::cbor {

inline constexpr size_t kBlessedCidSize = 36;
inline constexpr size_t kMaxCidSize = 100;  // protocol 1.4 (atproto.com/guides/data-validation)

inline constexpr uint64_t kCodecRaw = 0x55;
inline constexpr uint64_t kCodecDagCbor = 0x71;
inline constexpr uint64_t kHashSha256 = 0x12;
// DASL allows it for large files ("Big DASL"); atproto does not use it.
inline constexpr uint64_t kHashBlake3 = 0x1e;

// A CID as a view of its binary form. Made only by parsing, so a CidView that is not empty() is well formed.
// Trivially copyable; lives as long as the bytes that it was parsed from.
class CidView {
 public:
  CidView() = default;

  // The whole of `bytes` is one CID. Returns false (and leaves `*cid` alone) when it is not.
  [[nodiscard]] static bool Parse(Bytes bytes ABSL_ATTRIBUTE_LIFETIME_BOUND, CidView* cid);
  // A CID at the start of `bytes`; its own structure says how long it is (CAR sections).
  [[nodiscard]] static bool ParsePrefix(Bytes bytes ABSL_ATTRIBUTE_LIFETIME_BOUND, CidView* cid);

  // The only shape that atproto writes, by its four fixed bytes; `bytes` holds at least kBlessedCidSize. What
  // nearly every CID is, so it is worth a way without a call.
  [[nodiscard]] static bool ParseBlessed(const uint8_t* bytes, CidView* cid) {
    if (bytes[0] != 1 || (bytes[1] != kCodecDagCbor && bytes[1] != kCodecRaw) || bytes[2] != kHashSha256 ||
        bytes[3] != crypto::kSha256Size) {
      return false;
    }
    cid->data_ = bytes;
    cid->codec_ = bytes[1];
    cid->hash_code_ = kHashSha256;
    cid->size_ = kBlessedCidSize;
    cid->digest_size_ = crypto::kSha256Size;
    cid->version_ = 1;
    cid->blessed_ = true;
    return true;
  }

  bool empty() const { return size_ == 0; }
  Bytes bytes() const { return Bytes(data_, size_); }
  // The digest's bytes, the last part of bytes().
  Bytes digest() const { return Bytes(data_ + size_ - digest_size_, digest_size_); }
  uint64_t codec() const { return codec_; }
  uint64_t hash_code() const { return hash_code_; }
  uint8_t version() const { return version_; }

  // CIDv1, dag-cbor, SHA-256: what commits, MST nodes and records must have.
  bool IsBlessedData() const { return blessed_ && codec_ == kCodecDagCbor; }
  // CIDv1, raw, SHA-256.
  bool IsBlessedRaw() const { return blessed_ && codec_ == kCodecRaw; }
  bool IsBlessed() const { return blessed_; }
  // CIDv1 of codec dag-cbor or raw, whatever the hash: what a record may link to (protocol 6.1: other hashes
  // may come).
  bool IsDataOrRaw() const { return version_ == 1 && (codec_ == kCodecDagCbor || codec_ == kCodecRaw); }
  // A CID of DASL (dasl.ing/cid): of these codecs, with 32 bytes of SHA-256 or BLAKE3.
  bool IsDasl() const {
    return IsDataOrRaw() && digest_size_ == 32 && (hash_code_ == kHashSha256 || hash_code_ == kHashBlake3);
  }

  // "bafyrei…" (base32); base58btc for CIDv0.
  std::string ToString() const;
  void AppendTo(std::string* out) const;

  friend bool operator==(const CidView& a, const CidView& b) { return Equal(a.bytes(), b.bytes()); }

 private:
  const uint8_t* data_ = nullptr;
  uint64_t codec_ = 0;
  uint64_t hash_code_ = 0;
  uint8_t size_ = 0;
  uint8_t digest_size_ = 0;
  uint8_t version_ = 0;
  bool blessed_ = false;
};

// A CID that owns its bytes (inline, nothing on the heap).
class Cid {
 public:
  Cid() = default;
  explicit Cid(const CidView& view);

  // CIDv1, `codec`, SHA-256 of `block`.
  static Cid OfBlock(Bytes block, uint64_t codec = kCodecDagCbor);
  static Cid FromDigest(const crypto::Sha256Digest& digest, uint64_t codec = kCodecDagCbor);

  // From the string form: base32 "b…" (strict), or base58btc "Qm…" of a CIDv0. Rejects: kCidMalformed.
  static absl::StatusOr<Cid> FromString(std::string_view text);

  bool empty() const { return size_ == 0; }
  Bytes bytes() const { return Bytes(bytes_.data(), size_); }
  CidView view() const ABSL_ATTRIBUTE_LIFETIME_BOUND;
  std::string ToString() const { return view().ToString(); }

  friend bool operator==(const Cid& a, const Cid& b) { return Equal(a.bytes(), b.bytes()); }
  friend bool operator==(const Cid& a, const CidView& b) { return Equal(a.bytes(), b.bytes()); }
  friend bool operator<(const Cid& a, const Cid& b) { return AsText(a.bytes()) < AsText(b.bytes()); }

  template <typename H>
  friend H AbslHashValue(H h, const Cid& cid) {
    return H::combine_contiguous(std::move(h), cid.bytes_.data(), cid.size_);
  }

 private:
  std::array<uint8_t, kMaxCidSize> bytes_{};
  uint8_t size_ = 0;
};

// True if `block` hashes to `cid`; false also for a hash that is not SHA-256.
bool BlockMatches(const CidView& cid, Bytes block);

}  // namespace penstock::cbor
