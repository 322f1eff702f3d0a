#pragma once

// The bytes of one WebSocket message, owned, in storage that is recycled: steady state allocates nothing per
// frame.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/bytes.h"

namespace penstock::firehose {

inline constexpr size_t kMaxFrameBytes = 5'000'000;  // protocol 1.4

class FrameBufferPool;

// Move-only. Goes back to its pool when destroyed, on whatever thread; must not outlive the pool.
class FrameBuffer {
 public:
  FrameBuffer() = default;
  FrameBuffer(FrameBuffer&& other) noexcept { *this = std::move(other); }
  FrameBuffer& operator=(FrameBuffer&& other) noexcept;
  ~FrameBuffer() { Release(); }

  Bytes bytes() const { return Bytes(storage_.get(), size_); }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }
  int64_t arrival_us = 0;  // when its last byte came, microseconds since the epoch; 0 if not known

  // Room for at least `bytes` after what is there (grows by doubling, keeps the contents).
  std::span<uint8_t> Prepare(size_t bytes);
  // `bytes` of what Prepare gave have been written.
  void Commit(size_t bytes) { size_ += bytes; }
  void Append(Bytes bytes);
  void Clear() { size_ = 0; }

 private:
  friend class FrameBufferPool;
  void Release();

  FrameBufferPool* pool_ = nullptr;
  std::unique_ptr<uint8_t[]> storage_;
  size_t capacity_ = 0;
  size_t size_ = 0;
};

// Thread-safe. Keeps at most `max_idle_bytes` of storage for reuse; buffers that grew above kKeepBytes (a
// rare large frame) are freed instead of kept, so that a burst of large frames does not stay in memory for
// good.
class FrameBufferPool {
 public:
  static constexpr size_t kKeepBytes = 256 * 1024;

  explicit FrameBufferPool(size_t max_idle_bytes = 4 * 1024 * 1024) : max_idle_bytes_(max_idle_bytes) {}
  FrameBufferPool(const FrameBufferPool&) = delete;
  FrameBufferPool& operator=(const FrameBufferPool&) = delete;

  FrameBuffer Take();

 private:
  friend class FrameBuffer;
  void Return(std::unique_ptr<uint8_t[]> storage, size_t capacity);

  struct Idle {
    std::unique_ptr<uint8_t[]> storage;
    size_t capacity;
  };
  const size_t max_idle_bytes_;
  std::mutex mutex_;
  std::vector<Idle> idle_;  // guarded by mutex_
  size_t idle_bytes_ = 0;   // guarded by mutex_
};

}  // namespace penstock::firehose
