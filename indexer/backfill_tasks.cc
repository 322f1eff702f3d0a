// The life of a task: BackfillQueue's other half.

#include <algorithm>
#include <tuple>

#include "indexer/backfill_queue.h"

namespace penstock::indexer {
namespace {

using enum QueueSql;
using sync::BackfillTask;
using sync::RunKind;
using sync::TaskState;

// For people, and one of many.
constexpr size_t kMaxDetail = 1'024;

// `first_us` doubled `imports` - 1 times.
int64_t Wait(const sync::BackfillStore::Throttle& throttle, int64_t imports) {
  int64_t wait = throttle.first_us;
  for (int64_t i = 1; i < imports && wait < throttle.most_us; ++i) wait *= 2;
  return std::min(wait, throttle.most_us);
}

}  // namespace

// ---- Tasks

absl::Status BackfillQueue::Claim(std::string_view owner, int64_t now_us, int64_t lease_until, size_t limit,
                                  std::vector<BackfillTask>* tasks) {
  tasks->clear();
  std::vector<Claimed> claimed;
  RETURN_IF_ERROR(db_->Begin());
  const auto body = [&]() -> absl::Status {
    for (const auto& [run, did] : unsure_) RETURN_IF_ERROR(db_->Run(kGiveBack, {run, did, owner}).status());
    for (int64_t priority = 0; priority < kPriorities && claimed.size() < limit; ++priority) {
      RETURN_IF_ERROR(ClaimPriority(priority, owner, now_us, lease_until, limit - claimed.size(), &claimed));
    }
    return db_->Commit();
  };
  const absl::Status status = body();
  if (!status.ok()) {
    db_->Rollback();
    for (Claimed& one : claimed) unsure_.emplace_back(one.task.run, std::move(one.task.did));
    return status;
  }
  unsure_.clear();
  for (Claimed& one : claimed) tasks->push_back(std::move(one.task));
  return absl::OkStatus();
}

absl::Status BackfillQueue::ClaimPriority(int64_t priority, std::string_view owner, int64_t now_us,
                                          int64_t lease_until, size_t limit, std::vector<Claimed>* claimed) {
  const size_t first = claimed->size();
  RETURN_IF_ERROR(Read(kClaim, {priority, now_us, static_cast<int64_t>(limit), owner, lease_until},
                       [&](const SqlRow& row) {
                         claimed->push_back({{.run = row.int64(0),
                                              .kind = KindOfPriority(priority),
                                              .did = std::string(row.text(1)),
                                              .rev = std::string(row.text(2)),
                                              .host = std::string(row.text(3)),
                                              .attempts = row.int64(4),
                                              .created_at = row.int64(5)},
                                             row.int64(6)});
                       }));
  // The rows of an UPDATE come in any order.
  std::sort(claimed->begin() + static_cast<ptrdiff_t>(first), claimed->end(),
            [](const Claimed& a, const Claimed& b) {
              return std::tie(a.not_before, a.task.created_at, a.task.did) <
                     std::tie(b.not_before, b.task.created_at, b.task.did);
            });
  return absl::OkStatus();
}

absl::Status BackfillQueue::Renew(std::string_view owner, int64_t lease_until) {
  return InTransaction([&] { return db_->Run(kRenew, {owner, lease_until}).status(); });
}

absl::Status BackfillQueue::Recover(std::string_view prefix, std::string_view owner, int64_t now_us) {
  RETURN_IF_ERROR(InTransaction([&] { return db_->Run(kRecover, {prefix, owner, now_us}).status(); }));
  std::vector<int64_t> cancelled;
  RETURN_IF_ERROR(Read(kCancelledRuns, {}, [&](const SqlRow& row) { cancelled.push_back(row.int64(0)); }));
  for (const int64_t run : cancelled) RETURN_IF_ERROR(DropAll(run));
  return absl::OkStatus();
}

absl::Status BackfillQueue::SetOutcome(const BackfillTask& task, std::string_view owner,
                                       const sync::TaskOutcome& outcome, int64_t now_us) {
  Arena scratch;
  const std::string_view cause = CleanText(outcome.cause, &scratch);
  const std::string_view detail = CleanText(std::string_view(outcome.detail).substr(0, kMaxDetail), &scratch);
  const int64_t counted = outcome.state != TaskState::kDone && outcome.counts ? 1 : 0;
  return InTransaction([&]() -> absl::Status {
    ASSIGN_OR_RETURN(const int64_t held,
                     db_->Run(kSetOutcome, {task.run, task.did, owner, TaskStateName(outcome.state), cause,
                                            detail, outcome.not_before, now_us, counted}));
    if (held == 0 || outcome.state != TaskState::kQueued) return absl::OkStatus();
    return db_->Run(kDropTask, {task.run, task.did}).status();
  });
}

absl::StatusOr<std::optional<int64_t>> BackfillQueue::NextDue() {
  std::optional<int64_t> due;
  RETURN_IF_ERROR(Read(kNextDue, {}, [&](const SqlRow& row) {
    if (!row.is_null(0)) due = row.int64(0);
  }));
  return due;
}

absl::StatusOr<size_t> BackfillQueue::FindUnsettled(const Throttle& throttle, int64_t now_us, size_t limit,
                                                    std::string* after, std::vector<Unsettled>* found) {
  size_t examined = 0;
  std::string last;
  const auto examine = [&](const SqlRow& row) {
    if (found->size() >= limit) return;
    ++examined;
    last = row.text(0);
    const bool active = row.int64(1) != 0, has_open_task = row.int64(2) != 0;
    if (!active || has_open_task) return;
    const int64_t imported_at = row.int64(4), ended_at = row.int64(5), failed_at = row.int64(6),
                  status_at = row.int64(7);
    const bool calm = imported_at == 0 || now_us - imported_at >= throttle.calm_us;
    const int64_t imports = calm ? 0 : row.int64(3);
    int64_t not_before = calm ? now_us : std::max(now_us, imported_at + Wait(throttle, imports));
    // Nothing came of it last time, and nothing has happened since that would make a difference.
    if (ended_at > imported_at && status_at <= ended_at) {
      if (failed_at == ended_at && now_us - ended_at < throttle.calm_us) return;
      not_before = std::max(not_before, ended_at + throttle.first_us);
    }
    found->push_back({last, not_before, imports});
  };
  RETURN_IF_ERROR(Read(kUnsettled, {*after, static_cast<int64_t>(kExaminedAtOnce)}, examine));
  *after = last;
  return examined;
}

absl::StatusOr<size_t> BackfillQueue::QueueUnsettled(const Throttle& throttle, int64_t now_us, size_t limit) {
  std::vector<Unsettled> found;
  std::string after = unsettled_after_;
  // Read without a transaction: that an account got a task meanwhile does no harm, the two are done together.
  for (size_t examined = 0; examined < kMaxExamined && found.size() < limit;) {
    ASSIGN_OR_RETURN(const size_t page, FindUnsettled(throttle, now_us, limit, &after, &found));
    examined += page;
    if (page >= kExaminedAtOnce || found.size() >= limit) continue;
    after.clear();  // the end: the next call begins anew
    break;
  }
  int64_t queued = 0;
  const auto queue = [&]() -> absl::Status {
    bool made = false;
    ASSIGN_OR_RETURN(const int64_t run, FindOrMakeRun(RunKind::kResync, "", now_us, &made));
    std::vector<NewTask> tasks;  // in the order of DIDs, as the writer locks them
    tasks.reserve(found.size());
    for (const Unsettled& account : found) {
      tasks.push_back({.run = run,
                       .priority = PriorityOf(RunKind::kResync),
                       .did = account.did,
                       .created_at = now_us,
                       .not_before = account.not_before,
                       .imports = account.imports});
    }
    ASSIGN_OR_RETURN(queued, db_->PutTasks(QueueConnection::TaskInsert::kUnsettled, tasks));
    return absl::OkStatus();
  };
  if (!found.empty()) RETURN_IF_ERROR(InTransaction(queue));
  unsettled_after_ = std::move(after);
  return static_cast<size_t>(queued);
}

}  // namespace penstock::indexer
