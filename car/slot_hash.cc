#include "car/slot_hash.h"

#include <random>

namespace penstock::car {
namespace {

// Odd, so that no bit of the head is lost.
uint64_t SlotMultiplier() {
  static const uint64_t multiplier = [] {
    std::random_device entropy;
    return (static_cast<uint64_t>(entropy()) << 32 | entropy()) | 1;
  }();
  return multiplier;
}

}  // namespace

size_t SecretSlot(uint64_t digest_head, int shift) {
  // The high bits of the product depend on every bit of the head.
  return static_cast<size_t>((digest_head * SlotMultiplier()) >> shift);
}

}  // namespace penstock::car
