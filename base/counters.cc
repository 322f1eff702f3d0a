#include "base/counters.h"

namespace penstock {

void Counters::Count(std::string_view event, uint64_t n) {
  std::lock_guard lock(mutex_);
  auto it = events_.find(event);
  if (it == events_.end()) it = events_.emplace(std::string(event), 0).first;
  it->second += n;
}

uint64_t Counters::Of(std::string_view event) const {
  std::lock_guard lock(mutex_);
  auto it = events_.find(event);
  return it == events_.end() ? 0 : it->second;
}

std::map<std::string, uint64_t> Counters::Snapshot() const {
  std::map<std::string, uint64_t> all;
  for (size_t i = 0; i < kRejectCount; ++i) {
    const uint64_t n = rejects_[i].load(std::memory_order_relaxed);
    if (n != 0) all.emplace("reject_" + std::string(RejectName(static_cast<Reject>(i))), n);
  }
  std::lock_guard lock(mutex_);
  all.insert(events_.begin(), events_.end());
  return all;
}

}  // namespace penstock
