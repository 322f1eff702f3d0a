#include "tests/repo/allocation_counter.h"

#include <cstdlib>
#include <new>

namespace {
thread_local size_t g_allocations = 0;
}  // namespace

size_t penstock::test::Allocations() { return g_allocations; }

// The array forms end here, too.
void* operator new(size_t size) {
  ++g_allocations;
  void* const memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
