#pragma once

// The queue of backfills in memory, as far as finding accounts needs it: runs, listings, tasks as they are found, gaps and what
// is known of accounts. It outlives the stores that are opened on it, as a database would, and fails when it is told to.

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "sync/backfill.h"

namespace penstock::test {

// Thread-safe.
class MemoryQueue {
 public:
  std::unique_ptr<sync::BackfillStore> Open();

  // ---- What there is
  void AddGap(sync::OpenGap gap);
  void AddKnown(sync::KnownAccount account);
  void AddCoverage(std::string did, std::string rule);

  // ---- What came of it
  std::vector<sync::BackfillRun> runs() const;
  std::vector<sync::Listing> listings() const;
  // The DIDs of a run's tasks, sorted; with the rev behind a space if the task has one.
  std::vector<std::string> tasks(int64_t run) const;
  std::vector<sync::OpenGap> gaps() const;
  size_t saves() const;

  // ---- Faults. Called before each method with its name; what it returns, if not OK, is the method's answer, and nothing was
  // done.
  void SetFault(std::function<absl::Status(std::string_view method)> fault);

 private:
  friend class MemoryBackfillStore;
  using ListingKey = std::tuple<int64_t, std::string, std::string, std::string>;

  mutable std::mutex mutex_;
  std::vector<sync::BackfillRun> runs_;
  std::vector<sync::Listing> listings_;
  std::map<int64_t, std::map<std::string, sync::TaskSeed>> tasks_;
  std::vector<sync::OpenGap> gaps_;
  std::map<std::string, sync::KnownAccount, std::less<>> known_;
  std::set<std::pair<std::string, std::string>> coverage_;
  size_t saves_ = 0;
  std::function<absl::Status(std::string_view)> fault_;
};

}  // namespace penstock::test
