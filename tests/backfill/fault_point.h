#pragma once

// What lies between the coordinator and its queue or its pipeline, where it can fail at any call, or be killed there.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "pipeline/import_port.h"
#include "sync/backfill.h"

namespace penstock::backfill {

// Where a run of the program may end, or a call may fail. Steps are the calls that mean something for a task, before and after
// they were made, in the order in which they come.
class FaultPoint {
 public:
  absl::Status Step() {
    const uint64_t step = ++steps_;
    if (step == kill_at_) killed_ = true;
    RETURN_IF_ERROR(Alive());
    return step == fail_at_ ? UnavailableError("away for a moment") : absl::OkStatus();
  }
  // Of calls that are no step.
  absl::Status Alive() const { return killed_ ? absl::CancelledError("killed") : absl::OkStatus(); }

  // At the `number`th step from now the program is dead: nothing that is asked from then on has any effect. 0: never.
  void KillAt(uint64_t number) {
    steps_ = 0;
    kill_at_ = number;
    killed_ = false;
  }
  // The `number`th step from now fails once, as with a database that is away for a moment. 0: never.
  void FailAt(uint64_t number) {
    steps_ = 0;
    fail_at_ = number;
  }
  bool killed() const { return killed_; }
  uint64_t steps() const { return steps_; }

 private:
  std::atomic<uint64_t> steps_{0}, kill_at_{0}, fail_at_{0};
  std::atomic<bool> killed_{false};
};

// The queue's store behind a fault point.
class FaultyQueue final : public sync::BackfillStore {
 public:
  FaultyQueue(std::unique_ptr<sync::BackfillStore> store, FaultPoint* fault) : store_(std::move(store)), fault_(fault) {}

  absl::StatusOr<int64_t> OpenRun(sync::RunKind kind, std::string_view subject, int64_t now_us, bool* made) override {
    return store_->OpenRun(kind, subject, now_us, made);
  }
  absl::Status LoadRuns(bool open_only, std::vector<sync::BackfillRun>* runs) override {
    return Do([&] { return store_->LoadRuns(open_only, runs); });
  }
  absl::Status LoadTotals(int64_t run, sync::RunTotals* totals) override {
    return Do([&] { return store_->LoadTotals(run, totals); });
  }
  absl::Status CancelRun(int64_t run, int64_t now_us) override { return store_->CancelRun(run, now_us); }
  absl::Status EndFinishedRuns(int64_t now_us, std::vector<sync::BackfillRun>* ended) override {
    return Do([&] { return store_->EndFinishedRuns(now_us, ended); });
  }
  absl::Status AddListings(std::span<const sync::Listing> listings) override { return store_->AddListings(listings); }
  absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<sync::Listing>* listings) override {
    return store_->LoadListings(now_us, limit, listings);
  }
  absl::Status SavePage(const sync::Listing& listing, std::span<const sync::TaskSeed> tasks,
                        std::span<const sync::Listing> further, int64_t now_us) override {
    return store_->SavePage(listing, tasks, further, now_us);
  }
  absl::Status Claim(std::string_view owner, int64_t now_us, int64_t lease_until, size_t limit,
                     std::vector<sync::BackfillTask>* tasks) override {
    RETURN_IF_ERROR(fault_->Alive());
    RETURN_IF_ERROR(store_->Claim(owner, now_us, lease_until, limit, tasks));
    return tasks->empty() ? absl::OkStatus() : fault_->Step();
  }
  absl::Status Renew(std::string_view owner, int64_t lease_until) override {
    return Do([&] { return store_->Renew(owner, lease_until); });
  }
  absl::Status Recover(std::string_view prefix, std::string_view owner, int64_t now_us) override {
    return Do([&] { return store_->Recover(prefix, owner, now_us); });
  }
  absl::Status SetOutcome(const sync::BackfillTask& task, std::string_view owner, const sync::TaskOutcome& outcome,
                          int64_t now_us) override {
    RETURN_IF_ERROR(fault_->Step());
    RETURN_IF_ERROR(store_->SetOutcome(task, owner, outcome, now_us));
    return fault_->Step();
  }
  absl::StatusOr<std::optional<int64_t>> NextDue() override { return store_->NextDue(); }
  absl::StatusOr<size_t> QueueUnsettled(const Throttle& throttle, int64_t now_us, size_t limit) override {
    RETURN_IF_ERROR(fault_->Alive());
    return store_->QueueUnsettled(throttle, now_us, limit);
  }
  absl::Status LoadOpenGaps(std::vector<sync::OpenGap>* gaps) override { return store_->LoadOpenGaps(gaps); }
  absl::Status LoadKnown(std::string_view after, size_t limit, std::vector<sync::KnownAccount>* accounts) override {
    return store_->LoadKnown(after, limit, accounts);
  }
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) override { return store_->FindKnown(did); }
  absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) override {
    RETURN_IF_ERROR(fault_->Step());
    return store_->HasCoverage(did, rule);
  }
  absl::Status LoadToPurge(int64_t before_us, size_t limit, std::vector<std::string>* dids) override {
    return Do([&] { return store_->LoadToPurge(before_us, limit, dids); });
  }

 private:
  template <typename Call>
  absl::Status Do(const Call& call) {
    RETURN_IF_ERROR(fault_->Alive());
    return call();
  }
  const std::unique_ptr<sync::BackfillStore> store_;
  FaultPoint* const fault_;
};

// The pipeline's port behind a fault point; counts what is asked of it.
class FaultyPort final : public pipeline::ImportPort {
 public:
  explicit FaultyPort(FaultPoint* fault) : fault_(fault) {}
  void Lead(pipeline::ImportPort* port) { port_ = port; }

  absl::StatusOr<pipeline::AccountView> Prepare(std::string_view did) override {
    ++prepared;
    RETURN_IF_ERROR(fault_->Step());
    absl::StatusOr<pipeline::AccountView> view = port_->Prepare(did);
    RETURN_IF_ERROR(Made());
    return view;
  }
  absl::Status Begin(std::string_view did, const sync::Head& head, bool long_term, bool* current) override {
    ++begun;
    return Do([&] { return port_->Begin(did, head, long_term, current); });
  }
  indexer::ChangeSetPtr NewChange() override { return port_->NewChange(); }
  absl::Status Write(indexer::ChangeSetPtr part) override {
    ++written;
    return Do([&] { return port_->Write(std::move(part)); });
  }
  absl::Status WaitDurable() override {
    return Do([&] { return port_->WaitDurable(); });
  }
  absl::Status Finish(std::string_view did, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) override {
    ++finished;
    return Do([&] { return port_->Finish(did, head, tracked, std::move(last)); });
  }
  absl::Status Abandon(std::string_view did) override {
    ++abandoned;
    return Do([&] { return port_->Abandon(did); });
  }
  absl::Status SetStatus(std::string_view did, const sync::HostStatus& status, indexer::ChangeSetPtr last) override {
    return Do([&] { return port_->SetStatus(did, status, std::move(last)); });
  }
  absl::Status Purge(std::string_view did, uint64_t rows) override {
    ++purged;
    return Do([&] { return port_->Purge(did, rows); });
  }

  std::atomic<int> prepared{0}, begun{0}, written{0}, finished{0}, abandoned{0}, purged{0};

 private:
  template <typename Call>
  absl::Status Do(const Call& call) {
    RETURN_IF_ERROR(fault_->Step());
    const absl::Status status = call();
    RETURN_IF_ERROR(Made());
    return status;
  }
  // A step at which the program may end. What the pipeline answered has arrived, so it is none that could fail.
  absl::Status Made() {
    const absl::Status status = fault_->Step();
    return absl::IsUnavailable(status) ? absl::OkStatus() : status;
  }
  pipeline::ImportPort* port_ = nullptr;
  FaultPoint* const fault_;
};

}  // namespace penstock::backfill
