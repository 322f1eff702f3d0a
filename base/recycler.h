#pragma once

// A thread-safe free list: objects that keep their capacity from use to use. `T` needs a `void Clear()` that makes it as
// new; it is called when the object comes back.

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace penstock {

template <typename T>
class Recycler {
 public:
  struct Return {
    Recycler* recycler = nullptr;
    void operator()(T* object) const { recycler->TakeBack(std::unique_ptr<T>(object)); }
  };
  // Goes back to its recycler when it is dropped, on whatever thread; must not outlive the recycler.
  using Ptr = std::unique_ptr<T, Return>;

  explicit Recycler(size_t max_idle) : max_idle_(max_idle) { idle_.reserve(max_idle); }
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;

  Ptr Take() {
    {
      std::lock_guard lock(mutex_);
      if (!idle_.empty()) {
        T* object = idle_.back().release();
        idle_.pop_back();
        return Ptr(object, Return{this});
      }
    }
    return Ptr(new T(), Return{this});
  }

 private:
  void TakeBack(std::unique_ptr<T> object) {
    object->Clear();
    std::lock_guard lock(mutex_);
    if (idle_.size() < max_idle_) idle_.push_back(std::move(object));
  }

  const size_t max_idle_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> idle_;  // guarded by mutex_
};

}  // namespace penstock
