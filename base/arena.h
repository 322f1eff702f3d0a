#pragma once

// A bump allocator with stable addresses: everything that one change set owns, freed at once and kept for the next one.
// Not thread-safe.

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/bytes.h"

namespace penstock {

class Arena {
 public:
  // Chunks above this are not kept by Reset(): one large commit must not hold its memory for good.
  static constexpr size_t kChunkBytes = 16 * 1024;

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  char* Allocate(size_t bytes, size_t alignment = 1) {
    size_t at = (used_ + alignment - 1) & ~(alignment - 1);
    if (current_ == nullptr || at + bytes > current_size_) {
      NewChunk(bytes + alignment);
      at = 0;
    }
    used_ = at + bytes;
    total_ += bytes;
    return current_ + at;
  }

  std::string_view Copy(std::string_view text) {
    if (text.empty()) return std::string_view("", 0);
    char* to = Allocate(text.size());
    std::memcpy(to, text.data(), text.size());
    return std::string_view(to, text.size());
  }
  Bytes Copy(Bytes bytes) { return AsBytes(Copy(AsText(bytes))); }

  // An array of trivially destructible values, not initialised beyond their default constructor.
  template <typename T>
  std::span<T> Array(size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count == 0) return {};
    T* first = reinterpret_cast<T*>(Allocate(count * sizeof(T), alignof(T)));
    for (size_t i = 0; i < count; ++i) new (first + i) T();
    return std::span<T>(first, count);
  }

  // Bytes handed out since the last Reset.
  size_t bytes() const { return total_; }

  // Frees everything handed out; keeps one chunk of the usual size.
  void Reset() {
    if (chunks_.size() > 1 || current_size_ > kChunkBytes) {
      std::unique_ptr<char[]> keep;
      if (!chunks_.empty() && first_size_ == kChunkBytes) keep = std::move(chunks_.front());
      chunks_.clear();
      current_ = nullptr;
      current_size_ = 0;
      if (keep) {
        current_ = keep.get();
        current_size_ = kChunkBytes;
        chunks_.push_back(std::move(keep));
      }
    }
    used_ = 0;
    total_ = 0;
  }

 private:
  void NewChunk(size_t at_least) {
    const size_t size = at_least > kChunkBytes ? at_least : kChunkBytes;
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    if (chunks_.size() == 1) first_size_ = size;
    current_ = chunks_.back().get();
    current_size_ = size;
  }

  std::vector<std::unique_ptr<char[]>> chunks_;
  char* current_ = nullptr;
  size_t current_size_ = 0;
  size_t first_size_ = 0;
  size_t used_ = 0;
  size_t total_ = 0;
};

}  // namespace penstock
