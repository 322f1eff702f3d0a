#pragma once

#include <cstddef>

namespace penstock::test {

// How often this thread has called operator new, in any of its forms. Linked into a test program,
// allocation_counter.cc replaces the operators of the whole program.
size_t Allocations();

}  // namespace penstock::test
