#include "lexicon/formats.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "base/bytes.h"
#include "cbor/cid.h"
#include "repo/syntax.h"

namespace penstock::lexicon {
namespace {

// In the order of Format.
constexpr std::array<std::string_view, 11> kNames = {"at-identifier", "at-uri", "cid",      "datetime",
                                                     "did",           "handle", "language", "nsid",
                                                     "record-key",    "tid",    "uri"};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

FormatVerdict GoodIf(bool good) { return good ? FormatVerdict::kGood : FormatVerdict::kBad; }
FormatVerdict ToleratedIf(bool tolerable) {
  return tolerable ? FormatVerdict::kTolerated : FormatVerdict::kBad;
}

// ---- datetime ----

// The value of the two digits at `at`; a large number if they are none.
int TwoDigits(std::string_view text, size_t at) {
  return IsDigit(text[at]) && IsDigit(text[at + 1]) ? (text[at] - '0') * 10 + (text[at + 1] - '0') : 1000;
}

// What a clock on the wall may show, on a day that a calendar may lack: no time zone, February 30, 24:00,
// second 60. Nobody can put all of these on a time line, so the caller does not try.
bool IsTolerableDatetime(std::string_view text) {
  constexpr std::string_view kShape = "dddd-dd-ddTdd:dd:dd";
  constexpr size_t kMaxBytes = 64;
  if (text.size() > kMaxBytes || text.size() < kShape.size()) return false;
  for (size_t i = 0; i < kShape.size(); ++i) {
    if (kShape[i] == 'd' ? !IsDigit(text[i]) : text[i] != kShape[i]) return false;
  }
  const int month = TwoDigits(text, 5), day = TwoDigits(text, 8), hour = TwoDigits(text, 11);
  const int minute = TwoDigits(text, 14), second = TwoDigits(text, 17);
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 24 || minute > 59 || second > 60) return false;
  if (hour == 24 && minute > 0) return false;

  std::string_view zone = text.substr(kShape.size());
  size_t fraction = 0;
  if (zone.starts_with('.')) {
    fraction = std::min(zone.find_first_not_of("0123456789", 1), zone.size()) - 1;
    if (fraction == 0) return false;
    zone.remove_prefix(fraction + 1);
  }
  if (zone.empty() || hour == 24 || second == 60) {
    // Here the reference is its older self: up to nanoseconds, of a day that exists.
    const std::string_view date = text.substr(0, 10);
    std::array<char, 20> noon;
    std::memcpy(noon.data(), date.data(), date.size());
    std::memcpy(noon.data() + date.size(), "T12:00:00Z", 10);
    if (fraction > 9 || !repo::Datetime::Parse(std::string_view(noon.data(), noon.size()))) return false;
  }
  if (zone.empty() || zone == "Z") return true;
  return zone.size() == 6 && (zone[0] == '+' || zone[0] == '-') && TwoDigits(zone, 1) <= 23 &&
         zone[3] == ':' && TwoDigits(zone, 4) <= 59 && zone != "-00:00";
}

// ---- language ----

bool IsTolerableLanguage(std::string_view text) {
  std::array<char, 128> lower;
  if (text.size() > lower.size()) return false;
  std::string_view language = text.substr(0, text.find('-'));
  if (language.size() < 2 || language.size() > 8 || !std::all_of(language.begin(), language.end(), IsAlpha))
    return false;
  const std::string_view rest = text.substr(language.size());
  // A reserved language of 4 to 8 letters is as good as any.
  const size_t size = language.size() > 3 ? 2 : language.size();
  for (size_t i = 0; i < size; ++i) lower[i] = static_cast<char>(language[i] | 0x20);
  std::memcpy(lower.data() + size, rest.data(), rest.size());
  return repo::IsLanguageSyntax(std::string_view(lower.data(), size + rest.size()));
}

// ---- at-uri, uri ----

bool IsTolerableAtUri(std::string_view text) {
  constexpr size_t kMaxBytes = 8192;
  constexpr std::string_view kMarks = "._~:@!$&')(*+,;=%[]/-";
  const size_t hash = text.find('#');
  if (hash == std::string_view::npos || text.size() > kMaxBytes) return false;
  const std::string_view pointer = text.substr(hash + 1);
  return pointer.starts_with('/') &&
         std::all_of(
             pointer.begin(), pointer.end(),
             [&](char c) { return IsAlpha(c) || IsDigit(c) || kMarks.find(c) != std::string_view::npos; }) &&
         repo::AtUri::Parse(text.substr(0, hash)).has_value();
}

// Whitespace of Unicode that is not ASCII, in UTF-8: no URI holds it.
bool HoldsWideSpace(std::string_view text) {
  constexpr std::array<std::string_view, 8> kSpaces = {"\u00a0", "\u1680", "\u2028", "\u2029",
                                                       "\u202f", "\u205f", "\u3000", "\ufeff"};
  for (const std::string_view space : kSpaces) {
    if (text.find(space) != std::string_view::npos) return true;
  }
  // U+2000 to U+200A differ in their last byte.
  for (size_t at = text.find("\xe2\x80"); at != std::string_view::npos; at = text.find("\xe2\x80", at + 1)) {
    const uint8_t last = at + 2 < text.size() ? static_cast<uint8_t>(text[at + 2]) : 0;
    if (last >= 0x80 && last <= 0x8a) return true;
  }
  return false;
}

bool IsTolerableUri(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == 0 || colon == std::string_view::npos) return false;
  const std::string_view scheme = text.substr(0, colon);
  if (!std::all_of(scheme.begin(), scheme.end(), [](char c) { return IsAlpha(c) || IsDigit(c) || c == '_'; }))
    return false;
  std::string_view rest = text.substr(colon + 1);
  if (rest.starts_with("//")) rest.remove_prefix(2);
  return !rest.empty() && rest.front() != '/' && std::none_of(rest.begin(), rest.end(), [](char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
  }) && !HoldsWideSpace(rest);
}

// ---- cid ----

constexpr std::string_view kBase32 = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::string_view kBase36 = "0123456789abcdefghijklmnopqrstuvwxyz";
constexpr std::string_view kBase58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

constexpr std::array<int8_t, 256> kBase32Values = [] {
  std::array<int8_t, 256> values{};
  values.fill(-1);
  for (size_t i = 0; i < kBase32.size(); ++i)
    values[static_cast<uint8_t>(kBase32[i])] = static_cast<int8_t>(i);
  return values;
}();

// Bytes of a CID from one of its text forms, without a heap.
class CidText {
 public:
  // Longer ones are no CIDs: CIDv1 with a digest of 64 bytes has 110 characters in base32. It also bounds the
  // work of base 36 and 58, which grows with the square.
  static constexpr size_t kMaxBytes = 128;

  // CIDv1 of dag-cbor or raw with SHA-256, as nearly all are: 01 71|55 12 20 and 32 bytes in base32. The
  // first six characters are fixed, the next holds two zero bits, the last two bits of padding.
  static bool IsBlessed(std::string_view text) {
    constexpr size_t kSize = 59;
    if (text.size() != kSize || !(text.starts_with("bafyrei") || text.starts_with("bafkrei"))) return false;
    int bad = 0;
    for (const char c : text.substr(7)) bad |= kBase32Values[static_cast<uint8_t>(c)];
    return bad >= 0 && kBase32Values[static_cast<uint8_t>(text[7])] < 8 &&
           (kBase32Values[static_cast<uint8_t>(text.back())] & 3) == 0;
  }

  bool IsCid(std::string_view text) {
    if (text.empty() || text.size() > kMaxBytes) return false;
    cbor::CidView cid;
    switch (text.front()) {
      case 'b':
        return FromBase32(text.substr(1)) && cbor::CidView::Parse(bytes(), &cid) && cid.version() == 1;
      case 'z':
        return FromBase(kBase58, text.substr(1)) && cbor::CidView::Parse(bytes(), &cid) && cid.version() == 1;
      case 'k':
        return FromBase(kBase36, text.substr(1)) && cbor::CidView::Parse(bytes(), &cid) && cid.version() == 1;
      case 'Q':  // version 0 has no prefix
        return FromBase(kBase58, text) && cbor::CidView::Parse(bytes(), &cid) && cid.version() == 0;
      default:
        return false;
    }
  }

 private:
  Bytes bytes() const { return Bytes(bytes_.data(), size_); }

  bool FromBase32(std::string_view text) {
    uint32_t bits = 0, held = 0;
    size_ = 0;
    for (const char c : text) {
      const int value = kBase32Values[static_cast<uint8_t>(c)];
      if (value < 0) return false;
      bits = bits << 5 | static_cast<uint32_t>(value);
      held += 5;
      if (held >= 8) {
        held -= 8;
        bytes_[size_++] = static_cast<uint8_t>(bits >> held);
      }
    }
    return held < 5 && (bits & ((1u << held) - 1)) == 0;
  }

  // Any base, as one large number; each leading zero digit is a zero byte.
  bool FromBase(std::string_view alphabet, std::string_view text) {
    const size_t zeros = std::min(text.find_first_not_of(alphabet.front()), text.size());
    size_ = 0;  // bytes of the number, the least significant first
    for (const char c : text.substr(zeros)) {
      const size_t digit = alphabet.find(c);
      if (digit == std::string_view::npos) return false;
      uint32_t carry = static_cast<uint32_t>(digit);
      for (size_t i = 0; i < size_; ++i) {
        carry += bytes_[i] * static_cast<uint32_t>(alphabet.size());
        bytes_[i] = static_cast<uint8_t>(carry);
        carry >>= 8;
      }
      for (; carry > 0; carry >>= 8) bytes_[size_++] = static_cast<uint8_t>(carry);
    }
    for (size_t i = 0; i < zeros; ++i) bytes_[size_++] = 0;
    std::reverse(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size_));
    return true;
  }

  std::array<uint8_t, kMaxBytes> bytes_{};  // no base packs more than a byte into a character
  size_t size_ = 0;
};

FormatVerdict CheckCid(std::string_view text) {
  if (CidText::IsBlessed(text) || CidText().IsCid(text)) return FormatVerdict::kGood;
  return repo::IsCidSyntax(text) ? FormatVerdict::kDoubtful : FormatVerdict::kBad;
}

}  // namespace

std::optional<Format> FormatFromName(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<Format>(found - kNames.begin());
}

std::string_view FormatName(Format format) { return kNames[static_cast<size_t>(format)]; }

FormatVerdict CheckFormat(Format format, std::string_view text) {
  switch (format) {
    case Format::kAtIdentifier:
      return GoodIf(repo::IsAtIdentifier(text));
    case Format::kAtUri:
      if (repo::AtUri::Parse(text)) return FormatVerdict::kGood;
      return ToleratedIf(IsTolerableAtUri(text));
    case Format::kCid:
      return CheckCid(text);
    case Format::kDatetime:
      if (repo::Datetime::Parse(text)) return FormatVerdict::kGood;
      return ToleratedIf(IsTolerableDatetime(text));
    case Format::kDid:
      return GoodIf(repo::Did::Parse(text).has_value());
    case Format::kHandle:
      return GoodIf(repo::Handle::Parse(text).has_value());
    case Format::kLanguage:
      if (repo::IsLanguageSyntax(text)) return FormatVerdict::kGood;
      return ToleratedIf(IsTolerableLanguage(text));
    case Format::kNsid:
      return GoodIf(repo::Nsid::Parse(text).has_value());
    case Format::kRecordKey:
      return GoodIf(repo::RecordKey::Parse(text).has_value());
    case Format::kTid:
      return GoodIf(repo::Tid::Parse(text).has_value());
    case Format::kUri:
      if (repo::IsUriSyntax(text)) return FormatVerdict::kGood;
      return ToleratedIf(IsTolerableUri(text));
  }
  return FormatVerdict::kBad;
}

}  // namespace penstock::lexicon
