#pragma once

// Where a block goes in a hash table that is found by CID.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.h"

namespace penstock::car {

// The first 8 bytes of a digest of at least as many.
inline uint64_t DigestHead(Bytes digest) {
  uint64_t head;
  std::memcpy(&head, digest.data(), sizeof head);
  return head;
}

// A slot of a table of 2^(64 - shift), from DigestHead and a multiplier that is drawn at start and not known
// outside: whoever knew it could choose blocks that all fall on the same slot, and make each look-up walk over
// all of them.
size_t SecretSlot(uint64_t digest_head, int shift);

}  // namespace penstock::car
