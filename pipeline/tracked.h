#pragma once

// Which accounts have to be followed though nothing in an event of theirs matches the filter, because the chain needs every
// commit (docs/architecture.md). Asked by the intake for every frame; thread-safe.
//
// Holds a salted 64-bit hash per account: a false hit costs one look by a worker. An account that the intake saw a first match of
// is followed at once, and forgotten again when the worker finds that nothing came of it.

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace penstock::pipeline {

class TrackedAccounts {
 public:
  TrackedAccounts();

  // The account has a state in the store.
  void Add(std::string_view did);
  bool Contains(std::string_view did) const;
  // A first match is on its way to a worker, …
  void Expect(std::string_view did);
  // … and was judged.
  void Settle(std::string_view did, bool tracked);
  // Nothing came of an account whose events had to wait.
  void Forget(std::string_view did);
  size_t size() const;

 private:
  struct Entry {
    uint32_t expected = 0;
    bool tracked = false;
  };
  uint64_t Key(std::string_view did) const;

  const uint64_t salt_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<uint64_t, Entry> accounts_;  // guarded by mutex_
};

}  // namespace penstock::pipeline
