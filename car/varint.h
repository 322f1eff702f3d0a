#pragma once

// The lengths in a CAR: unsigned LEB128, minimal, at most 9 bytes (protocol 5).

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"

namespace penstock::car {

enum class Varint : uint8_t { kGood, kTruncated, kBad };

// A varint at the start of `bytes`. `*value` and `*used` are set when it is good.
[[nodiscard]] inline Varint ReadVarint(Bytes bytes, uint64_t* value, size_t* used) {
  // Nearly all sections of a repository are below 16 KB: one or two bytes.
  uint64_t result = 0;
  size_t at = 0;
  for (int shift = 0; shift < 63; shift += 7) {
    if (at == bytes.size()) return Varint::kTruncated;
    const uint8_t byte = bytes[at++];
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if ((byte & 0x80) != 0) continue;
    if (byte == 0 && shift != 0) return Varint::kBad;  // a shorter form exists
    *value = result;
    *used = at;
    return Varint::kGood;
  }
  return Varint::kBad;
}

}  // namespace penstock::car
