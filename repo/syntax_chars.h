#pragma once

// Character classes of the syntax parsers: one table, one load a character. ASCII only; every other byte has
// no class. Private to repo/syntax*.cc.

#include <array>
#include <cstdint>
#include <string_view>

namespace penstock::repo::chars {

enum Class : uint16_t {
  kLower = 1,
  kUpper = 2,
  kDigit = 4,
  kHyphen = 8,
  kRecordKeyMark = 16,  // . - _ ~ :
  kDidMark = 32,        // . - _ : %
  kGraph = 64,          // any visible character
  kBase32 = 128,        // a-z2-7, as did:plc
  kSchemeMark = 256,    // . -
  kCidMark = 512,       // + =
};
inline constexpr uint16_t kAlpha = kLower | kUpper;
inline constexpr uint16_t kAlnum = kAlpha | kDigit;

inline constexpr std::array<uint16_t, 256> kClasses = [] {
  std::array<uint16_t, 256> table{};
  for (int c = 0x21; c <= 0x7e; ++c) table[c] |= kGraph;
  for (int c = 'a'; c <= 'z'; ++c) table[c] |= kLower | kBase32;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] |= kUpper;
  for (int c = '0'; c <= '9'; ++c) table[c] |= kDigit;
  for (int c = '2'; c <= '7'; ++c) table[c] |= kBase32;
  table['-'] |= kHyphen;
  for (char c : std::string_view(".-_~:")) table[static_cast<uint8_t>(c)] |= kRecordKeyMark;
  for (char c : std::string_view(".-_:%")) table[static_cast<uint8_t>(c)] |= kDidMark;
  for (char c : std::string_view(".-")) table[static_cast<uint8_t>(c)] |= kSchemeMark;
  for (char c : std::string_view("+=")) table[static_cast<uint8_t>(c)] |= kCidMark;
  return table;
}();

inline bool Is(char c, uint16_t classes) { return (kClasses[static_cast<uint8_t>(c)] & classes) != 0; }

// True also for the empty text.
inline bool All(std::string_view text, uint16_t classes) {
  for (char c : text) {
    if (!Is(c, classes)) return false;
  }
  return true;
}

inline char ToLower(char c) { return Is(c, kUpper) ? static_cast<char>(c | 0x20) : c; }

}  // namespace penstock::repo::chars
