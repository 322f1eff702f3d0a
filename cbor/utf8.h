#pragma once

#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace penstock::cbor {

// True if `bytes` are well-formed UTF-8 (Unicode table 3-7: no overlong forms, no surrogates, nothing above
// U+10FFFF).
bool IsValidUtf8(Bytes bytes);

// True if `bytes`, at most 16 of them, are ASCII: one or two loads, which may overlap. Most map keys and many
// texts end here, without a call.
inline bool IsShortAscii(const uint8_t* at, size_t size) {
  uint64_t bits = 0;
  if (size >= 8) {
    uint64_t first, last;
    std::memcpy(&first, at, 8);
    std::memcpy(&last, at + size - 8, 8);
    bits = first | last;
  } else if (size >= 4) {
    uint32_t first, last;
    std::memcpy(&first, at, 4);
    std::memcpy(&last, at + size - 4, 4);
    bits = first | last;
  } else if (size > 0) {
    bits = static_cast<uint64_t>(at[0] | at[size / 2] | at[size - 1]);
  }
  return (bits & 0x8080808080808080u) == 0;
}

}  // namespace penstock::cbor
