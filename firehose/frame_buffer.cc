#include "firehose/frame_buffer.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace penstock::firehose {
namespace {

// Room for an ordinary network frame (about 4.6 KB) without growing.
constexpr size_t kFirstCapacity = 8 * 1024;

}  // namespace

FrameBuffer& FrameBuffer::operator=(FrameBuffer&& other) noexcept {
  if (this == &other) return *this;
  Release();
  arrival_us = std::exchange(other.arrival_us, 0);
  pool_ = std::exchange(other.pool_, nullptr);
  storage_ = std::move(other.storage_);
  capacity_ = std::exchange(other.capacity_, 0);
  size_ = std::exchange(other.size_, 0);
  return *this;
}

std::span<uint8_t> FrameBuffer::Prepare(size_t bytes) {
  if (bytes > capacity_ - size_) {
    const size_t capacity = std::max({size_ + bytes, 2 * capacity_, kFirstCapacity});
    auto storage = std::make_unique_for_overwrite<uint8_t[]>(capacity);
    if (size_ > 0) std::memcpy(storage.get(), storage_.get(), size_);
    storage_ = std::move(storage);
    capacity_ = capacity;
  }
  return std::span<uint8_t>(storage_.get() + size_, capacity_ - size_);
}

void FrameBuffer::Append(Bytes bytes) {
  if (bytes.empty()) return;
  std::memcpy(Prepare(bytes.size()).data(), bytes.data(), bytes.size());
  Commit(bytes.size());
}

void FrameBuffer::Release() {
  if (storage_ != nullptr && pool_ != nullptr) pool_->Return(std::move(storage_), capacity_);
  storage_.reset();
  pool_ = nullptr;
  capacity_ = 0;
  size_ = 0;
}

FrameBuffer FrameBufferPool::Take() {
  FrameBuffer buffer;
  buffer.pool_ = this;
  std::lock_guard lock(mutex_);
  if (!idle_.empty()) {
    buffer.storage_ = std::move(idle_.back().storage);  // the last one used is the warmest in cache
    buffer.capacity_ = idle_.back().capacity;
    idle_bytes_ -= buffer.capacity_;
    idle_.pop_back();
  }
  return buffer;
}

void FrameBufferPool::Return(std::unique_ptr<uint8_t[]> storage, size_t capacity) {
  if (capacity > kKeepBytes) return;
  std::lock_guard lock(mutex_);
  if (capacity > max_idle_bytes_ - idle_bytes_) return;
  idle_.push_back(Idle{std::move(storage), capacity});
  idle_bytes_ += capacity;
}

}  // namespace penstock::firehose
