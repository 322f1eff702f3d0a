#pragma once

// How often this program has called operator new: the claim "steady state allocates nothing" is counted, not
// guessed.

#include <cstdint>

namespace penstock::test {

uint64_t AllocationCount();

}  // namespace penstock::test
