#include "app/allocation_counter.h"

#include <cstdlib>
#include <new>

// Replaces the program's operator new by one that counts: one thread-local increment, so it may stay in for good, and
// "no allocation per frame" is a number that every user can see. Sanitizers bring their own operators.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PENSTOCK_COUNT_ALLOCATIONS 0
#else
#define PENSTOCK_COUNT_ALLOCATIONS 1
#endif

namespace {
thread_local uint64_t allocations = 0;
}  // namespace

namespace penstock::app {
uint64_t ThreadAllocations() { return allocations; }
}  // namespace penstock::app

#if PENSTOCK_COUNT_ALLOCATIONS

void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size != 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

#endif
