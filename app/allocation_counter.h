#pragma once

#include <cstdint>

namespace penstock::app {

// Heap allocations (operator new) of the calling thread so far. `penstock bench` prints what a frame costs.
uint64_t ThreadAllocations();

}  // namespace penstock::app
