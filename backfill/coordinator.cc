#include "backfill/coordinator.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "backfill/fetch_crew.h"
#include "backfill/inbox.h"
#include "backfill/run_watch.h"
#include "backfill/task_ledger.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

// While the store is away.
constexpr int64_t kStoreWaitFirstUs = 100'000, kStoreWaitMostUs = 5'000'000;
constexpr size_t kUnsettledAtOnce = 1'000;
constexpr size_t kPurgesAtOnce = 100;

// The directory is one host; did:web accounts have one each.
std::string IdentityHost(std::string_view did) { return did.starts_with("did:plc:") ? "did:plc" : std::string(did); }

StepResult FaultOf(std::string_view cause, absl::Status fault) {
  StepResult result;
  result.end = StepResult::End::kFault;
  result.cause = cause;
  result.fault = std::move(fault);
  return result;
}

}  // namespace

// One thread decides, and is the only one that speaks with the queue's store; the crew's threads fetch. Callbacks of the resolver
// and of the crew go into the inbox.
class Coordinator::Impl {
 public:
  Impl(CoordinatorOptions options, CoordinatorResources resources)
      : options_(std::move(options)),
        resources_(std::move(resources)),
        inbox_(std::make_shared<Inbox>()),
        crew_(&options_, &resources_,
              [inbox = inbox_](FetchCrew::JobPtr job, FetchResult result) {
                inbox->PostEnded(std::move(job), std::move(result));
              }),
        ledger_(&options_, resources_.clock, resources_.counters),
        runs_(resources_.counters, resources_.log) {}

  ~Impl() { Stop(); }

  absl::Status Start(std::function<void(const absl::Status&)> on_failure) {
    on_failure_ = std::move(on_failure);
    if (store_ == nullptr) store_ = resources_.queue();
    RETURN_IF_ERROR(store_->Recover(options_.owner_prefix, options_.owner, Now()));
    RETURN_IF_ERROR(crew_.Start());
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Stop() {
    inbox_->PostStop();
    if (thread_.joinable()) thread_.join();
    crew_.Stop();
  }

  void Wake() { inbox_->PostWake(); }

  Stats stats() const {
    Stats stats;
    {
      std::lock_guard lock(stats_mutex_);
      stats = stats_;
    }
    ledger_.AddTo(&stats);
    stats.downloading = crew_.under_way();
    return stats;
  }

 private:
  // A task, or a purge, until its outcome is known.
  struct Job {
    uint64_t id = 0;
    FetchJob::What what = FetchJob::What::kFetch;
    sync::BackfillTask task;
    bool covered = false;
  };

  int64_t Now() const { return resources_.clock->NowMicros(); }
  void Say(LogLevel level, const std::string& line) { Log(resources_.log, level, "backfill: " + line); }

  void Run() {
    int64_t until_us = 0, store_back_us = 0, store_wait_us = 0;  // monotonic
    for (;;) {
      Inbox::Events events = inbox_->Take(until_us);
      if (events.stop) break;
      for (const Inbox::Resolved& resolved : events.resolved) OnResolved(resolved);
      for (const Inbox::Ended& ended : events.ended) OnEnded(*ended.job, ended.result);
      if (events.woken) next_poll_us_ = 0;
      if (failed_.ok() && MonotonicMicros() >= store_back_us) {
        const absl::Status status = Work();
        if (IsTransient(status)) {
          if (store_wait_us == 0) Say(LogLevel::kWarning, "the queue is away: " + status.ToString());
          store_wait_us = std::clamp(2 * store_wait_us, kStoreWaitFirstUs, kStoreWaitMostUs);
          store_back_us = MonotonicMicros() + store_wait_us;
        } else if (!status.ok()) {
          Fail(status);
        } else if (std::exchange(store_wait_us, 0) > 0) {
          Say(LogLevel::kInfo, "the queue is back");
        }
      }
      PublishStats();
      const int64_t next_us = std::max(store_back_us, std::min(next_poll_us_, next_renewal_us_));
      until_us = failed_.ok() ? next_us : MonotonicMicros() + options_.poll_us;
    }
    GiveBack();
  }

  // All that the store has to be asked for. Whatever it does not get to is done when it is called again.
  absl::Status Work() {
    if (held() > 0 && Now() > leased_until_us_) LoseLease();
    RETURN_IF_ERROR(ledger_.Write(store_.get()));
    if (MonotonicMicros() >= next_renewal_us_) RETURN_IF_ERROR(Renew());
    if (MonotonicMicros() >= next_poll_us_) RETURN_IF_ERROR(Poll());
    RETURN_IF_ERROR(Claim());
    return BeginClaimed();
  }

  absl::Status Poll() {
    if (options_.queue_unsettled) {
      ASSIGN_OR_RETURN(const size_t queued, store_->QueueUnsettled(options_.throttle, Now(), kUnsettledAtOnce));
      if (queued > 0) resources_.counters->Count("backfill_unsettled", queued);
    }
    RETURN_IF_ERROR(runs_.Look(store_.get(), Now()));
    if (options_.purge_after_us >= 0 && MonotonicMicros() >= next_purge_us_) RETURN_IF_ERROR(FindPurges());
    MakeRoom();
    more_may_be_due_ = true;
    next_poll_us_ = MonotonicMicros() + options_.poll_us;
    return absl::OkStatus();
  }

  void Fail(const absl::Status& status) {
    if (!failed_.ok()) return;
    failed_ = status;
    Say(LogLevel::kError, status.ToString());
    crew_.RecallAll();
    if (on_failure_) on_failure_(status);
  }

  // ---- Leases

  size_t held() const { return jobs_.size() + claimed_.size(); }

  absl::Status Renew() {
    if (held() > 0) {
      const int64_t until_us = Now() + options_.lease_us;
      RETURN_IF_ERROR(store_->Renew(options_.owner, until_us));
      leased_until_us_ = until_us;
    }
    // Others may have died, too.
    RETURN_IF_ERROR(store_->Recover(options_.owner_prefix, options_.owner, Now()));
    next_renewal_us_ = MonotonicMicros() + options_.lease_us / 4;
    return absl::OkStatus();
  }

  // We were away for longer than others wait: what is under way may be somebody else's by now.
  void LoseLease() {
    Say(LogLevel::kWarning, "the lease of " + std::to_string(held()) + " tasks is over; they are given up");
    resources_.counters->Count("backfill_lease_lost");
    crew_.RecallAll();
    jobs_.clear();
    dids_.clear();
    claimed_.clear();
    letting_go_ = true;
    next_renewal_us_ = 0;
  }

  // At the end: what is not done is anybody's.
  void GiveBack() {
    crew_.Stop();
    // What ended at the last moment has its outcome.
    const Inbox::Events events = inbox_->Take(0);
    for (const Inbox::Ended& ended : events.ended) OnEnded(*ended.job, ended.result);
    if (!failed_.ok()) return;
    absl::Status status = ledger_.Write(store_.get());
    if (status.ok() && held() > 0) status = store_->Renew(options_.owner, Now() - 1);
    if (!status.ok()) Say(LogLevel::kWarning, "tasks keep their lease: " + status.ToString());
  }

  // ---- Tasks

  absl::Status Claim() {
    // Nobody is taken in twice at once.
    if (letting_go_ && crew_.under_way() > 0) return absl::OkStatus();
    letting_go_ = false;
    if (in_doubt_since_us_ > 0) RETURN_IF_ERROR(SettleDoubt());
    if (in_doubt_since_us_ > 0 || !more_may_be_due_) return absl::OkStatus();
    // Some at a time, and not one for each that ends.
    const size_t room = options_.claim - std::min(options_.claim, held());
    if (room == 0 || room < options_.claim / 4) return absl::OkStatus();
    const int64_t now_us = Now(), until_us = now_us + options_.lease_us;
    std::vector<sync::BackfillTask> tasks;
    const absl::Status claimed = store_->Claim(options_.owner, now_us, until_us, room, &tasks);
    if (!claimed.ok()) in_doubt_since_us_ = MonotonicMicros();
    RETURN_IF_ERROR(claimed);
    leased_until_us_ = held() == 0 ? until_us : std::min(leased_until_us_, until_us);
    more_may_be_due_ = tasks.size() == room;
    has_looked_ = true;
    claimed_.insert(claimed_.end(), std::make_move_iterator(tasks.begin()), std::make_move_iterator(tasks.end()));
    return absl::OkStatus();
  }

  // A claim whose answer was lost may have taken tasks that we know nothing of, and that are ours as long as we renew the others.
  // So all that we hold comes to its end first, or is given up after the time of a lease; what is left then is nobody's.
  absl::Status SettleDoubt() {
    if (held() > 0 || crew_.under_way() > 0) {
      if (MonotonicMicros() - in_doubt_since_us_ > options_.lease_us && held() > 0) LoseLease();
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(store_->Renew(options_.owner, Now() - 1));
    RETURN_IF_ERROR(store_->Recover(options_.owner_prefix, options_.owner, Now()));
    in_doubt_since_us_ = 0;
    return absl::OkStatus();
  }

  absl::Status BeginClaimed() {
    while (!claimed_.empty()) {
      Job job;
      job.covered = !options_.rules.empty();
      for (size_t i = 0; i < options_.rules.size() && job.covered; ++i) {
        ASSIGN_OR_RETURN(job.covered, store_->HasCoverage(claimed_.front().did, options_.rules[i]));
      }
      job.task = std::move(claimed_.front());
      claimed_.pop_front();
      if (jobs_.contains(job.task.did)) {
        // Its rows are being purged, or another run's task of it is at work.
        ledger_.Ended(job.task, FaultOf(kCauseInProgress, absl::OkStatus()));
      } else {
        Resolve(std::move(job));
      }
    }
    return absl::OkStatus();
  }

  void Resolve(Job job) {
    const uint64_t id = job.id = ++last_id_;
    const std::string did = job.task.did;
    dids_[id] = did;
    jobs_[did] = std::move(job);
    resources_.resolver->Resolve(
        did, {}, identity::Ask::kCached,
        [inbox = inbox_, id](const identity::Answer& answer) { inbox->PostResolved(id, answer); });
  }

  void OnResolved(const Inbox::Resolved& resolved) {
    const auto found = dids_.find(resolved.job);
    if (found == dids_.end()) return;  // given up meanwhile
    const Job& job = jobs_.at(found->second);
    const identity::Answer& answer = resolved.answer;
    if (!answer.status.ok() || answer.identity == nullptr) {
      StepResult fault = FaultOf(kCauseIdentityUnavailable, answer.status);
      fault.retry_after_us = answer.retry_after_us;
      fault.host = IdentityHost(job.task.did);
      return Finish(job, fault);
    }
    ledger_.HostAnswered(IdentityHost(job.task.did));
    auto fetch = std::make_unique<FetchJob>();
    fetch->id = job.id;
    fetch->what = job.what;
    fetch->task = job.task;
    fetch->identity = answer.identity;
    fetch->covered = job.covered;
    fetch->host = !answer.identity->pds.empty() ? answer.identity->pds : job.task.host;
    if (fetch->host.empty() && !options_.upstreams.empty()) fetch->host = options_.upstreams.front();
    crew_.Add(std::move(fetch));
  }

  void OnEnded(const FetchJob& fetch, const FetchResult& result) {
    const auto found = jobs_.find(fetch.task.did);
    if (found == jobs_.end() || found->second.id != fetch.id) return;  // given up meanwhile
    switch (result.step.end) {
      case StepResult::End::kGood:
        if (fetch.what == FetchJob::What::kFetch) {
          ledger_.TakenIn(result.archive, result.step.host);
        } else {
          // A piece of it; the next one follows.
          purging_.insert(fetch.task.did);
          next_purge_us_ = 0;
        }
        return Forget(found->second);
      case StepResult::End::kFault:
        return Finish(found->second, result.step);
      case StepResult::End::kRecalled:
        // If not by us, then the pipeline has ended.
        if (!fetch.recall->raised()) Fail(absl::CancelledError("the pipeline has ended"));
        return;
      case StepResult::End::kBroken:
        return Fail(result.step.fault);
    }
  }

  void Finish(const Job& job, const StepResult& result) {
    if (job.what == FetchJob::What::kFetch) ledger_.Ended(job.task, result);
    Forget(job);
  }

  void Forget(const Job& job) {
    dids_.erase(job.id);
    jobs_.erase(std::string(job.task.did));
  }

  // ---- Around hosts that are away

  // Accounts whose own host is down are asked for where else they may be; and where they fill the room for all, they go back to
  // the queue. Some at a time: that is a request or a transaction each.
  void MakeRoom() {
    const size_t at_once = std::max<size_t>(1, options_.claim / 4);
    if (!options_.upstreams.empty() && !crew_.IsBusy(options_.upstreams.front())) {
      const std::string& upstream = options_.upstreams.front();
      const auto is_out = [&](const std::string& host) {
        return host != upstream && ledger_.IsOut(host) && crew_.IsBusy(host);
      };
      for (FetchCrew::JobPtr& job : crew_.TakeBack(is_out, at_once)) {
        job->host = upstream;
        job->skip_home = true;
        crew_.Add(std::move(job));
      }
    }
    if (held() + options_.claim / 4 < options_.claim) return;
    for (const FetchCrew::JobPtr& job : crew_.TakeBack([&](const std::string& host) { return crew_.IsBusy(host); }, at_once)) {
      const bool is_out = ledger_.IsOut(job->host);
      StepResult fault = FaultOf(is_out ? kCauseHostUnavailable : kCauseHostLimited, UnavailableError(job->host + ": busy"));
      crew_.IsBusy(job->host, &fault.retry_after_us);
      fault.host = job->host;
      fault.answered = !is_out;
      Finish(jobs_.at(job->task.did), fault);
    }
  }

  // ---- Accounts that are gone

  absl::Status FindPurges() {
    std::vector<std::string> dids;
    RETURN_IF_ERROR(store_->LoadToPurge(Now() - options_.purge_after_us, kPurgesAtOnce, &dids));
    next_purge_us_ = MonotonicMicros() + options_.purge_poll_us;
    const std::set<std::string> left(dids.begin(), dids.end());
    for (auto it = purging_.begin(); it != purging_.end();) {
      if (left.contains(*it) || jobs_.contains(*it)) {
        ++it;
        continue;
      }
      Say(LogLevel::kInfo, "removed the rows of " + *it + ", which was deleted");
      resources_.counters->Count("backfill_purged");
      it = purging_.erase(it);
    }
    for (const std::string& did : dids) {
      if (jobs_.contains(did)) continue;
      Job job;
      job.what = FetchJob::What::kPurge;
      job.task.did = did;
      if (!purging_.contains(did)) {
        // What is kept of it is not good enough for something that cannot be undone.
        resources_.resolver->Purge(did);
        Resolve(std::move(job));
        continue;
      }
      auto purge = std::make_unique<FetchJob>();
      purge->id = job.id = ++last_id_;
      purge->what = job.what;
      purge->task = job.task;
      purge->confirmed = true;
      jobs_[did] = std::move(job);
      crew_.Add(std::move(purge));
    }
    return absl::OkStatus();
  }

  void PublishStats() {
    std::lock_guard lock(stats_mutex_);
    stats_.claimed = held();
    stats_.open_tasks = runs_.open_tasks();
    stats_.open_listings = runs_.open_listings();
    stats_.idle = held() == 0 && ledger_.written() && has_looked_ && !more_may_be_due_;
  }

  const CoordinatorOptions options_;
  const CoordinatorResources resources_;
  const std::shared_ptr<Inbox> inbox_;
  FetchCrew crew_;
  std::function<void(const absl::Status&)> on_failure_;
  std::thread thread_;

  // Of the thread.
  std::unique_ptr<sync::BackfillStore> store_;
  TaskLedger ledger_;
  RunWatch runs_;
  std::deque<sync::BackfillTask> claimed_;  // not begun yet
  std::map<std::string, Job> jobs_;         // by DID
  std::map<uint64_t, std::string> dids_;    // by the id of the job
  std::set<std::string> purging_;           // accounts that are gone, with rows left
  uint64_t last_id_ = 0;
  bool more_may_be_due_ = false, has_looked_ = false;
  bool letting_go_ = false;                 // the lease is over, and some are not back yet
  int64_t leased_until_us_ = 0;             // by the clock; all below are monotonic
  int64_t next_poll_us_ = 0, next_renewal_us_ = 0, next_purge_us_ = 0;
  int64_t in_doubt_since_us_ = 0;           // a claim's answer was lost
  absl::Status failed_;

  mutable std::mutex stats_mutex_;
  Stats stats_;  // guarded by it
};

Coordinator::Coordinator(CoordinatorOptions options, CoordinatorResources resources)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(resources))) {}
Coordinator::~Coordinator() = default;

absl::Status Coordinator::Start(std::function<void(const absl::Status&)> on_failure) {
  return impl_->Start(std::move(on_failure));
}
void Coordinator::Stop() { impl_->Stop(); }
void Coordinator::Wake() { impl_->Wake(); }
Coordinator::Stats Coordinator::stats() const { return impl_->stats(); }

}  // namespace penstock::backfill
