#include "base/encoding.h"

#include <algorithm>
#include <array>

namespace penstock {
namespace {

constexpr char kHex[] = "0123456789abcdef";
constexpr char kBase32[] = "abcdefghijklmnopqrstuvwxyz234567";
constexpr char kBase64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr char kBase64Url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr char kBase58[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

constexpr std::array<int8_t, 256> InverseOf(const char* alphabet) {
  std::array<int8_t, 256> inverse{};
  inverse.fill(-1);
  for (int i = 0; alphabet[i] != '\0'; ++i)
    inverse[static_cast<uint8_t>(alphabet[i])] = static_cast<int8_t>(i);
  return inverse;
}
constexpr std::array<int8_t, 256> kBase32Inverse = InverseOf(kBase32);
constexpr std::array<int8_t, 256> kBase64Inverse = InverseOf(kBase64);
constexpr std::array<int8_t, 256> kBase64UrlInverse = InverseOf(kBase64Url);
constexpr std::array<int8_t, 256> kBase58Inverse = InverseOf(kBase58);

// Emits kBits-wide digits of `alphabet`, the last one filled up with zero bits. CIDs of rows and $bytes of
// records come through here, so whole groups (5 bytes are 8 digits of base32, 3 are 4 of base64) are done at
// once.
template <int kBits>
void AppendDigits(Bytes bytes, const char* alphabet, std::string* out) {
  constexpr size_t kGroupBytes = kBits == 5 ? 5 : 3;
  constexpr int kGroupDigits = static_cast<int>(kGroupBytes) * 8 / kBits;
  constexpr uint64_t kMask = (1u << kBits) - 1;
  const size_t start = out->size();
  out->resize(start + (bytes.size() * 8 + kBits - 1) / kBits);
  char* to = out->data() + start;
  const uint8_t* from = bytes.data();
  size_t left = bytes.size();
  for (; left >= kGroupBytes; left -= kGroupBytes) {
    uint64_t group = 0;
    for (size_t i = 0; i < kGroupBytes; ++i) group = group << 8 | *from++;
    for (int i = kGroupDigits - 1; i >= 0; --i) *to++ = alphabet[group >> (i * kBits) & kMask];
  }
  uint64_t rest = 0;
  for (size_t i = 0; i < left; ++i) rest = rest << 8 | *from++;
  int have = static_cast<int>(left) * 8;
  for (; have >= kBits; have -= kBits) *to++ = alphabet[rest >> (have - kBits) & kMask];
  if (have > 0) *to = alphabet[rest << (kBits - have) & kMask];
}

// Reads `bits`-wide digits; `strict` wants the leftover bits to be zero.
std::optional<std::vector<uint8_t>> FromDigits(std::string_view text, int bits,
                                               const std::array<int8_t, 256>& inverse, bool strict) {
  std::vector<uint8_t> out;
  out.reserve(text.size() * static_cast<size_t>(bits) / 8);
  uint32_t pending = 0;
  int have = 0;
  for (char c : text) {
    const int8_t digit = inverse[static_cast<uint8_t>(c)];
    if (digit < 0) return std::nullopt;
    pending = (pending << bits) | static_cast<uint32_t>(digit);
    have += bits;
    if (have >= 8) {
      have -= 8;
      out.push_back(static_cast<uint8_t>(pending >> have));
    }
  }
  if (have >= bits) return std::nullopt;  // a whole digit too many: no byte string has this length
  if (strict && (pending & ((1u << have) - 1)) != 0) return std::nullopt;
  return out;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

std::string ToHex(Bytes bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (uint8_t byte : bytes) {
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
  return out;
}

std::optional<std::vector<uint8_t>> FromHex(std::string_view text) {
  if (text.size() % 2 != 0) return std::nullopt;
  std::vector<uint8_t> out;
  out.reserve(text.size() / 2);
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexDigit(text[i]), low = HexDigit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<uint8_t>(high << 4 | low));
  }
  return out;
}

void AppendBase32(Bytes bytes, std::string* out) { AppendDigits<5>(bytes, kBase32, out); }

std::string ToBase32(Bytes bytes) {
  std::string out;
  AppendBase32(bytes, &out);
  return out;
}

std::optional<std::vector<uint8_t>> FromBase32(std::string_view text) {
  return FromDigits(text, 5, kBase32Inverse, /*strict=*/true);
}

std::string ToBase58(Bytes bytes) {
  std::vector<uint8_t> digits;  // base 58, least significant first
  for (uint8_t byte : bytes) {
    uint32_t carry = byte;
    for (uint8_t& digit : digits) {
      carry += static_cast<uint32_t>(digit) << 8;
      digit = static_cast<uint8_t>(carry % 58);
      carry /= 58;
    }
    for (; carry > 0; carry /= 58) digits.push_back(static_cast<uint8_t>(carry % 58));
  }
  std::string out;
  for (size_t i = 0; i < bytes.size() && bytes[i] == 0; ++i) out.push_back(kBase58[0]);
  for (auto digit = digits.rbegin(); digit != digits.rend(); ++digit) out.push_back(kBase58[*digit]);
  return out;
}

std::optional<std::vector<uint8_t>> FromBase58(std::string_view text) {
  std::vector<uint8_t> bytes;  // least significant first
  for (char c : text) {
    const int8_t digit = kBase58Inverse[static_cast<uint8_t>(c)];
    if (digit < 0) return std::nullopt;
    uint32_t carry = static_cast<uint32_t>(digit);
    for (uint8_t& byte : bytes) {
      carry += static_cast<uint32_t>(byte) * 58;
      byte = static_cast<uint8_t>(carry);
      carry >>= 8;
    }
    for (; carry > 0; carry >>= 8) bytes.push_back(static_cast<uint8_t>(carry));
  }
  for (size_t i = 0; i < text.size() && text[i] == kBase58[0]; ++i) bytes.push_back(0);
  std::reverse(bytes.begin(), bytes.end());
  return bytes;
}

void AppendBase64(Bytes bytes, std::string* out) { AppendDigits<6>(bytes, kBase64, out); }

std::string ToBase64(Bytes bytes) {
  std::string out;
  AppendBase64(bytes, &out);
  return out;
}

std::optional<std::vector<uint8_t>> FromBase64(std::string_view text) {
  if (!text.empty() && text.back() == '=') {
    if (text.size() % 4 != 0) return std::nullopt;
    text.remove_suffix(1);
    if (text.back() == '=') text.remove_suffix(1);
  }
  return FromDigits(text, 6, kBase64Inverse, /*strict=*/false);
}

std::string ToBase64Url(Bytes bytes) {
  std::string out;
  AppendDigits<6>(bytes, kBase64Url, &out);
  return out;
}

std::optional<std::vector<uint8_t>> FromBase64Url(std::string_view text) {
  return FromDigits(text, 6, kBase64UrlInverse, /*strict=*/true);
}

}  // namespace penstock
