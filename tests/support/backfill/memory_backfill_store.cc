#include "tests/support/backfill/memory_backfill_store.h"

#include "base/status.h"

namespace penstock::test {

using sync::BackfillRun;
using sync::Listing;
using sync::RunKind;
using sync::RunState;

class MemoryBackfillStore final : public sync::BackfillStore {
 public:
  explicit MemoryBackfillStore(MemoryQueue* queue) : q_(queue) {}

  absl::StatusOr<int64_t> OpenRun(RunKind kind, std::string_view subject, int64_t now_us, bool* made) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("OpenRun"));
    if (made != nullptr) *made = false;
    for (const BackfillRun& run : q_->runs_) {
      if (run.kind == kind && run.subject == subject && run.state == RunState::kOpen) return run.id;
    }
    if (made != nullptr) *made = true;
    BackfillRun run;
    run.id = static_cast<int64_t>(q_->runs_.size()) + 1;
    run.kind = kind;
    run.subject = subject;
    run.started_at = now_us;
    q_->runs_.push_back(run);
    return run.id;
  }
  absl::Status LoadRuns(bool open_only, std::vector<BackfillRun>* runs) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("LoadRuns"));
    runs->assign(q_->runs_.rbegin(), q_->runs_.rend());
    if (open_only) std::erase_if(*runs, [](const BackfillRun& run) { return run.state != RunState::kOpen; });
    return absl::OkStatus();
  }
  absl::Status LoadTotals(int64_t, sync::RunTotals*) override { return NotHere(); }
  absl::Status CancelRun(int64_t id, int64_t now_us) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("CancelRun"));
    BackfillRun& run = q_->runs_.at(static_cast<size_t>(id - 1));
    run.state = RunState::kCancelled;
    run.ended_at = now_us;
    q_->tasks_.erase(id);
    if (run.kind == RunKind::kFilter) {
      std::erase_if(q_->coverage_, [&](const auto& covered) { return covered.second == run.subject; });
    }
    return absl::OkStatus();
  }
  // Tasks are never done here, so a run ends only if it has none; and only if it ever had something to do.
  absl::Status EndFinishedRuns(int64_t now_us, std::vector<BackfillRun>* ended) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("EndFinishedRuns"));
    for (BackfillRun& run : q_->runs_) {
      if (run.state != RunState::kOpen || run.kind == RunKind::kResync || !q_->tasks_[run.id].empty()) continue;
      bool any = false, open = false;
      for (const Listing& listing : q_->listings_) {
        if (listing.run != run.id) continue;
        any = true;
        open |= !listing.done;
      }
      if (!any || open) continue;
      run.state = RunState::kDone;
      run.ended_at = now_us;
      if (run.kind == RunKind::kGap) {
        std::erase_if(q_->gaps_, [&](const sync::OpenGap& gap) { return gap.Text() == run.subject; });
      }
      ended->push_back(run);
    }
    return absl::OkStatus();
  }

  absl::Status AddListings(std::span<const Listing> listings) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("AddListings"));
    for (const Listing& listing : listings) Add(listing);
    return absl::OkStatus();
  }
  absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<Listing>* listings) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("LoadListings"));
    for (const Listing& listing : q_->listings_) {
      const bool open = q_->runs_.at(static_cast<size_t>(listing.run - 1)).state == RunState::kOpen;
      if (open && !listing.done && listing.not_before <= now_us && listings->size() < limit) listings->push_back(listing);
    }
    return absl::OkStatus();
  }
  absl::Status SavePage(const Listing& page, std::span<const sync::TaskSeed> seeds, std::span<const Listing> further,
                        int64_t) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("SavePage"));
    uint64_t found = 0;
    for (const sync::TaskSeed& seed : seeds) found += q_->tasks_[page.run].emplace(seed.did, seed).second ? 1 : 0;
    for (Listing& listing : q_->listings_) {
      if (KeyOf(listing) != KeyOf(page)) continue;
      const uint64_t before = listing.found;
      listing = page;
      listing.found = before + found;
    }
    for (const Listing& listing : further) Add(listing);
    ++q_->saves_;
    return absl::OkStatus();
  }

  absl::Status Claim(std::string_view, int64_t, int64_t, size_t, std::vector<sync::BackfillTask>*) override {
    return NotHere();
  }
  absl::Status Renew(std::string_view, int64_t) override { return NotHere(); }
  absl::Status Recover(std::string_view, std::string_view, int64_t) override { return NotHere(); }
  absl::Status SetOutcome(const sync::BackfillTask&, std::string_view, const sync::TaskOutcome&, int64_t) override {
    return NotHere();
  }
  absl::StatusOr<std::optional<int64_t>> NextDue() override { return NotHere(); }
  absl::StatusOr<size_t> QueueUnsettled(const Throttle&, int64_t, size_t) override { return NotHere(); }

  absl::Status LoadOpenGaps(std::vector<sync::OpenGap>* gaps) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("LoadOpenGaps"));
    *gaps = q_->gaps_;
    return absl::OkStatus();
  }
  absl::Status LoadKnown(std::string_view after, size_t limit, std::vector<sync::KnownAccount>* accounts) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("LoadKnown"));
    accounts->clear();
    for (auto it = q_->known_.upper_bound(after); it != q_->known_.end() && accounts->size() < limit; ++it) {
      accounts->push_back(it->second);
    }
    return absl::OkStatus();
  }
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("FindKnown"));
    const auto it = q_->known_.find(did);
    if (it == q_->known_.end()) return NotFoundError("no such account");
    return it->second;
  }
  absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) override {
    const std::lock_guard lock(q_->mutex_);
    RETURN_IF_ERROR(Fault("HasCoverage"));
    return q_->coverage_.contains({std::string(did), std::string(rule)});
  }
  absl::Status LoadToPurge(int64_t, size_t, std::vector<std::string>*) override { return NotHere(); }

 private:
  static absl::Status NotHere() { return InternalError("finding accounts has no business with this"); }
  static MemoryQueue::ListingKey KeyOf(const Listing& listing) {
    return {listing.run, listing.host, listing.method, listing.argument};
  }
  absl::Status Fault(std::string_view method) const { return q_->fault_ ? q_->fault_(method) : absl::OkStatus(); }
  void Add(const Listing& added) {
    for (const Listing& listing : q_->listings_) {
      if (KeyOf(listing) == KeyOf(added)) return;
    }
    q_->listings_.push_back(added);
  }

  MemoryQueue* const q_;
};

std::unique_ptr<sync::BackfillStore> MemoryQueue::Open() { return std::make_unique<MemoryBackfillStore>(this); }

void MemoryQueue::AddGap(sync::OpenGap gap) {
  const std::lock_guard lock(mutex_);
  gaps_.push_back(std::move(gap));
}
void MemoryQueue::AddKnown(sync::KnownAccount account) {
  const std::lock_guard lock(mutex_);
  std::string did = account.did;
  known_[std::move(did)] = std::move(account);
}
void MemoryQueue::AddCoverage(std::string did, std::string rule) {
  const std::lock_guard lock(mutex_);
  coverage_.emplace(std::move(did), std::move(rule));
}
std::vector<BackfillRun> MemoryQueue::runs() const {
  const std::lock_guard lock(mutex_);
  return runs_;
}
std::vector<Listing> MemoryQueue::listings() const {
  const std::lock_guard lock(mutex_);
  return listings_;
}
std::vector<std::string> MemoryQueue::tasks(int64_t run) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> lines;
  if (const auto it = tasks_.find(run); it != tasks_.end()) {
    for (const auto& [did, seed] : it->second) lines.push_back(did + (seed.rev.empty() ? "" : " " + seed.rev));
  }
  return lines;
}
std::vector<sync::OpenGap> MemoryQueue::gaps() const {
  const std::lock_guard lock(mutex_);
  return gaps_;
}
size_t MemoryQueue::saves() const {
  const std::lock_guard lock(mutex_);
  return saves_;
}
void MemoryQueue::SetFault(std::function<absl::Status(std::string_view)> fault) {
  const std::lock_guard lock(mutex_);
  fault_ = std::move(fault);
}

}  // namespace penstock::test
