#include <array>

#include "repo/syntax.h"

namespace penstock::repo {
namespace {

constexpr size_t kTidBytes = 13;
constexpr std::string_view kAlphabet = "234567abcdefghijklmnopqrstuvwxyz";  // in byte order
constexpr uint8_t kNoDigit = 0xff;

constexpr std::array<uint8_t, 256> kDigits = [] {
  std::array<uint8_t, 256> table{};
  table.fill(kNoDigit);
  for (uint8_t digit = 0; digit < kAlphabet.size(); ++digit) {
    table[static_cast<uint8_t>(kAlphabet[digit])] = digit;
  }
  return table;
}();

}  // namespace

std::optional<Tid> Tid::Parse(std::string_view text) {
  if (text.size() != kTidBytes) return std::nullopt;
  // 13 digits are 65 bits: the first one ("2" to "j") must leave its highest bit clear.
  if (kDigits[static_cast<uint8_t>(text[0])] >= 16) return std::nullopt;
  uint64_t value = 0;
  for (char c : text) {
    const uint8_t digit = kDigits[static_cast<uint8_t>(c)];
    if (digit == kNoDigit) return std::nullopt;
    value = value << 5 | digit;
  }
  return Tid(value);
}

Tid Tid::FromMicros(int64_t micros, uint32_t clock_id) {
  constexpr uint64_t kMicrosMask = (uint64_t{1} << 53) - 1;
  return Tid((static_cast<uint64_t>(micros) & kMicrosMask) << 10 | (clock_id & 0x3ff));
}

std::string Tid::ToString() const {
  std::string text(kTidBytes, kAlphabet[0]);
  uint64_t rest = value_;
  for (size_t i = kTidBytes; i-- > 0; rest >>= 5) text[i] = kAlphabet[rest & 31];
  return text;
}

}  // namespace penstock::repo
