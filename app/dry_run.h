#pragma once

// What a backfill would fetch, found out without writing anything: a queue in memory that only counts, for the finder to fill.

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "sync/backfill.h"

namespace penstock::app {

// Of the accounts that one host named; or that our own store did, or the operator (no host).
struct DryRunHost {
  std::string host;
  uint64_t accounts = 0;
  uint64_t known = 0;    // of them, those that the store has
  uint64_t current = 0;  // of these, whose rev is at least the one that the host tells
};

struct DryRunFault {
  std::string host, method, argument, cause;
  int64_t attempts = 0;
};

// Where the finder's accounts go. It gives up a place to look after `attempts` of them, and knows accounts by a hash of their
// DIDs: 16 bytes each, so that a whole network fits.
class DryRun {
 public:
  // `known`: the store's, only read from; null if there is none.
  DryRun(std::unique_ptr<sync::BackfillStore> known, int attempts);
  ~DryRun();

  // The queue for one finder; this object outlives it. Its methods that only workers need are kUnimplemented.
  std::unique_ptr<sync::BackfillStore> Queue();

  // ---- Thread-safe
  absl::Status Add(const std::vector<sync::Listing>& listings, const std::vector<std::string>& dids);
  bool done() const;
  uint64_t accounts() const;
  uint64_t open_listings() const;
  std::vector<DryRunHost> hosts() const;  // most accounts first
  std::vector<DryRunFault> faults() const;

 private:
  class Impl;
  class View;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::app
