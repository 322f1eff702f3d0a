#include "backfill/fetch_crew.h"

#include <utility>

#ifdef __linux__
#include <sys/resource.h>
#endif

#include "base/status.h"

namespace penstock::backfill {
namespace {

// Of the threads: well behind what is not niced, and not starved by it.
constexpr int kNice = 10;
// A host that was busy says nobody when it is not any more, so whoever waits for one looks again.
constexpr std::chrono::milliseconds kLookAgain{100};

void LowerPriority() {
#ifdef __linux__
  // There it is the calling thread's own; elsewhere it would be the whole process's.
  (void)setpriority(PRIO_PROCESS, 0, kNice);
#endif
}

}  // namespace

FetchCrew::FetchCrew(const CoordinatorOptions* options, const CoordinatorResources* resources, Done done)
    : options_(*options), resources_(*resources), done_(std::move(done)), queues_(options->per_host) {}

FetchCrew::~FetchCrew() { Stop(); }

absl::Status FetchCrew::Start() {
  while (tasks_.size() < options_.threads) {
    ASSIGN_OR_RETURN(std::unique_ptr<FetchTask> task, FetchTask::Create(&options_, &resources_));
    tasks_.push_back(std::move(task));
  }
  for (const std::unique_ptr<FetchTask>& task : tasks_) threads_.emplace_back([this, raw = task.get()] { Work(raw); });
  return absl::OkStatus();
}

void FetchCrew::Stop() {
  stopping_.store(true, std::memory_order_relaxed);
  {
    std::lock_guard lock(mutex_);
    work_.notify_all();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  tasks_.clear();
  std::lock_guard lock(mutex_);
  queues_.TakeAll();
  jobs_.clear();
}

void FetchCrew::Add(JobPtr job) {
  job->recall = std::make_shared<Recall>(&stopping_);
  std::lock_guard lock(mutex_);
  queues_.Add(job->host, job->task.did);
  jobs_[job->task.did] = std::move(job);
  work_.notify_one();
}

std::vector<FetchCrew::JobPtr> FetchCrew::TakeBack(const HostQueues::IsBusy& is_it, size_t limit) {
  std::lock_guard lock(mutex_);
  std::vector<JobPtr> jobs;
  for (const HostQueues::Turn& turn : queues_.TakeBack(is_it, limit)) {
    jobs.push_back(std::move(jobs_.extract(turn.key).mapped()));
  }
  return jobs;
}

void FetchCrew::RecallAll() {
  std::lock_guard lock(mutex_);
  queues_.TakeAll();
  jobs_.clear();
  for (const auto& [did, recall] : running_) recall->Raise();
}

bool FetchCrew::IsBusy(const std::string& host, int64_t* retry_after_us) const {
  int64_t wait_us = 0;
  const bool busy = !host.empty() && resources_.client->IsBusy(host, &wait_us);
  if (retry_after_us != nullptr) *retry_after_us = wait_us;
  return busy;
}

size_t FetchCrew::under_way() const {
  std::lock_guard lock(mutex_);
  return queues_.under_way();
}

size_t FetchCrew::waiting() const {
  std::lock_guard lock(mutex_);
  return queues_.waiting();
}

void FetchCrew::Work(FetchTask* task) {
  LowerPriority();
  while (JobPtr job = Take()) {
    FetchResult result = task->Run(*job);
    {
      std::lock_guard lock(mutex_);
      queues_.Done(job->host);
      running_.erase(job->task.did);
      work_.notify_one();
    }
    done_(std::move(job), std::move(result));
  }
}

FetchCrew::JobPtr FetchCrew::Take() {
  const HostQueues::IsBusy is_busy = [this](const std::string& host) { return IsBusy(host); };
  std::unique_lock lock(mutex_);
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (const auto turn = queues_.Next(is_busy)) {
      JobPtr job = std::move(jobs_.extract(turn->key).mapped());
      running_[turn->key] = job->recall;
      return job;
    }
    if (queues_.waiting() == 0) {
      work_.wait(lock);
    } else {
      work_.wait_for(lock, kLookAgain);
    }
  }
  return nullptr;
}

}  // namespace penstock::backfill
