#pragma once

// The threads that fetch. Each takes the next job whose host may be asked, and runs it to its end (fetch_task.h). They run at a
// lower priority than everything else here, so that the live stream comes first.

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "backfill/fetch_task.h"
#include "backfill/host_queues.h"

namespace penstock::backfill {

class FetchCrew {
 public:
  using JobPtr = std::unique_ptr<FetchJob>;
  // Called by its threads.
  using Done = std::function<void(JobPtr job, FetchResult result)>;

  // What the pointers lead to outlives it.
  FetchCrew(const CoordinatorOptions* options, const CoordinatorResources* resources, Done done);
  ~FetchCrew();
  FetchCrew(const FetchCrew&) = delete;
  FetchCrew& operator=(const FetchCrew&) = delete;

  // Errors: those of FetchTask::Create.
  absl::Status Start();
  // Recalls what is under way, and waits for it to end; what waits is dropped.
  void Stop();

  // Waits its turn at `job->host`. One job of an account at a time.
  void Add(JobPtr job);
  // Up to `limit` that wait for hosts of which `is_it` says so.
  std::vector<JobPtr> TakeBack(const HostQueues::IsBusy& is_it, size_t limit);
  // Recalls what is under way, which still comes back through `done`, and gives up what waits.
  void RecallAll();

  // True while nobody should ask this host; `retry_after_us` may be null.
  bool IsBusy(const std::string& host, int64_t* retry_after_us = nullptr) const;
  size_t under_way() const;
  size_t waiting() const;

 private:
  void Work(FetchTask* task);
  JobPtr Take();

  const CoordinatorOptions& options_;
  const CoordinatorResources& resources_;
  const Done done_;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<FetchTask>> tasks_;
  std::vector<std::thread> threads_;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  // All below are guarded by mutex_.
  HostQueues queues_;
  std::map<std::string, JobPtr> jobs_;                      // that wait, by DID
  std::map<std::string, std::shared_ptr<Recall>> running_;  // by DID
};

}  // namespace penstock::backfill
