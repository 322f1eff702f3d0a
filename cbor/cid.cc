#include "cbor/cid.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"

namespace penstock::cbor {
namespace {

// CIDv0 is exactly a SHA-256 multihash of a dag-pb block.
constexpr size_t kCidV0Size = 34;
constexpr uint64_t kCodecDagPb = 0x70;

// Unsigned LEB128 in its minimal form, at most 9 bytes (multiformats/unsigned-varint).
bool ReadVarint(Bytes bytes, size_t* at, uint64_t* value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    if (*at >= bytes.size()) return false;
    const uint8_t byte = bytes[(*at)++];
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) == 0) {
      if (byte == 0 && shift != 0) return false;
      *value = result;
      return true;
    }
  }
  return false;
}

}  // namespace

bool CidView::ParsePrefix(Bytes bytes, CidView* cid) {
  if (bytes.size() >= kBlessedCidSize && ParseBlessed(bytes.data(), cid)) return true;
  CidView view;
  view.data_ = bytes.data();
  if (bytes.size() >= kCidV0Size && bytes[0] == kHashSha256 && bytes[1] == crypto::kSha256Size) {
    view.codec_ = kCodecDagPb;
    view.hash_code_ = kHashSha256;
    view.digest_size_ = crypto::kSha256Size;
    view.size_ = kCidV0Size;
    *cid = view;
    return true;
  }
  size_t at = 0;
  uint64_t version, digest_size;
  if (!ReadVarint(bytes, &at, &version) || version != 1) return false;
  if (!ReadVarint(bytes, &at, &view.codec_) || !ReadVarint(bytes, &at, &view.hash_code_)) return false;
  if (!ReadVarint(bytes, &at, &digest_size)) return false;
  if (digest_size > bytes.size() - at || at + digest_size > kMaxCidSize) return false;
  view.version_ = 1;
  view.digest_size_ = static_cast<uint8_t>(digest_size);
  view.size_ = static_cast<uint8_t>(at + digest_size);
  // A SHA-256 that is not 32 bytes long is no SHA-256.
  if (view.hash_code_ == kHashSha256 && digest_size != crypto::kSha256Size) return false;
  *cid = view;
  return true;
}

bool CidView::Parse(Bytes bytes, CidView* cid) {
  CidView view;
  if (!ParsePrefix(bytes, &view) || view.size_ != bytes.size()) return false;
  *cid = view;
  return true;
}

void CidView::AppendTo(std::string* out) const {
  if (empty()) return;
  if (version_ == 0) {
    out->append(ToBase58(bytes()));
    return;
  }
  out->push_back('b');
  AppendBase32(bytes(), out);
}

std::string CidView::ToString() const {
  std::string out;
  AppendTo(&out);
  return out;
}

Cid::Cid(const CidView& view) : size_(static_cast<uint8_t>(view.bytes().size())) {
  if (size_ > 0) std::memcpy(bytes_.data(), view.bytes().data(), size_);
}

Cid Cid::FromDigest(const crypto::Sha256Digest& digest, uint64_t codec) {
  Cid cid;
  cid.bytes_[0] = 1;
  cid.bytes_[1] = static_cast<uint8_t>(codec);
  cid.bytes_[2] = static_cast<uint8_t>(kHashSha256);
  cid.bytes_[3] = static_cast<uint8_t>(crypto::kSha256Size);
  std::memcpy(cid.bytes_.data() + 4, digest.data(), digest.size());
  cid.size_ = kBlessedCidSize;
  return cid;
}

Cid Cid::OfBlock(Bytes block, uint64_t codec) { return FromDigest(crypto::Sha256(block), codec); }

absl::StatusOr<Cid> Cid::FromString(std::string_view text) {
  std::optional<std::vector<uint8_t>> bytes;
  if (text.starts_with('b')) {
    bytes = FromBase32(text.substr(1));
  } else if (text.starts_with("Qm") && text.size() == 46) {
    bytes = FromBase58(text);
  }
  CidView view;
  if (!bytes || !CidView::Parse(*bytes, &view)) return RejectError(Reject::kCidMalformed, "string form");
  if ((view.version() == 0) != text.starts_with('Q'))
    return RejectError(Reject::kCidMalformed, "string form");
  return Cid(view);
}

CidView Cid::view() const {
  CidView view;
  if (size_ > 0 && !CidView::Parse(bytes(), &view)) return CidView();
  return view;
}

bool BlockMatches(const CidView& cid, Bytes block) {
  if (cid.hash_code() != kHashSha256) return false;
  const crypto::Sha256Digest digest = crypto::Sha256(block);
  return Equal(cid.digest(), Bytes(digest));
}

}  // namespace penstock::cbor
