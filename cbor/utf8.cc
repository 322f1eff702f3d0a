#include "cbor/utf8.h"

#include <cstring>

namespace penstock::cbor {
namespace {

constexpr uint64_t kHighBits = 0x8080808080808080u;

inline bool IsContinuation(uint8_t byte) { return (byte & 0xc0) == 0x80; }

}  // namespace

bool IsValidUtf8(Bytes bytes) {
  const uint8_t* at = bytes.data();
  const uint8_t* const end = at + bytes.size();
  while (at < end) {
    // Most text is ASCII: eight bytes at a time while no high bit is set.
    while (end - at >= 8) {
      uint64_t word;
      std::memcpy(&word, at, sizeof word);
      if ((word & kHighBits) != 0) break;
      at += 8;
    }
    if (at == end) return true;
    const uint8_t lead = *at;
    if (lead < 0x80) {
      ++at;
      continue;
    }
    const size_t left = static_cast<size_t>(end - at);
    if (lead < 0xc2) return false;  // a continuation byte, or the overlong forms of two bytes
    if (lead < 0xe0) {
      if (left < 2 || !IsContinuation(at[1])) return false;
      at += 2;
    } else if (lead < 0xf0) {
      if (left < 3 || !IsContinuation(at[1]) || !IsContinuation(at[2])) return false;
      if (lead == 0xe0 && at[1] < 0xa0) return false;   // overlong
      if (lead == 0xed && at[1] >= 0xa0) return false;  // surrogates
      at += 3;
    } else if (lead < 0xf5) {
      if (left < 4 || !IsContinuation(at[1]) || !IsContinuation(at[2]) || !IsContinuation(at[3]))
        return false;
      if (lead == 0xf0 && at[1] < 0x90) return false;   // overlong
      if (lead == 0xf4 && at[1] >= 0x90) return false;  // above U+10FFFF
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace penstock::cbor
