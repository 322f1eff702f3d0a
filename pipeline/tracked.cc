#include "pipeline/tracked.h"

#include <random>
#include <utility>

#include "absl/hash/hash.h"
#include "base/status.h"

namespace penstock::pipeline {
namespace {

// So that nobody outside can choose DIDs that fall together.
uint64_t RandomSalt() {
  std::random_device random;
  return (uint64_t{random()} << 32) | random();
}

}  // namespace

TrackedAccounts::TrackedAccounts() : salt_(RandomSalt()) {}

uint64_t TrackedAccounts::Key(std::string_view did) const {
  return absl::Hash<std::pair<uint64_t, absl::string_view>>()({salt_, ToAbsl(did)});
}

void TrackedAccounts::Add(std::string_view did) {
  const uint64_t key = Key(did);
  std::lock_guard lock(mutex_);
  accounts_[key].tracked = true;
}

bool TrackedAccounts::Contains(std::string_view did) const {
  const uint64_t key = Key(did);
  std::lock_guard lock(mutex_);
  return accounts_.contains(key);
}

void TrackedAccounts::Expect(std::string_view did) {
  const uint64_t key = Key(did);
  std::lock_guard lock(mutex_);
  ++accounts_[key].expected;
}

void TrackedAccounts::Settle(std::string_view did, bool tracked) {
  const uint64_t key = Key(did);
  std::lock_guard lock(mutex_);
  const auto found = accounts_.find(key);
  if (found == accounts_.end()) return;
  if (found->second.expected > 0) --found->second.expected;
  found->second.tracked |= tracked;
  if (found->second.expected == 0 && !found->second.tracked) accounts_.erase(found);
}

void TrackedAccounts::Forget(std::string_view did) {
  const uint64_t key = Key(did);
  std::lock_guard lock(mutex_);
  const auto found = accounts_.find(key);
  if (found == accounts_.end()) return;
  found->second.tracked = false;
  if (found->second.expected == 0) accounts_.erase(found);
}

size_t TrackedAccounts::size() const {
  std::lock_guard lock(mutex_);
  return accounts_.size();
}

}  // namespace penstock::pipeline
