#pragma once

// sync::BackfillStore over a connection to either database: what its methods do is said once, here (runs,
// listings and what decisions are made from in backfill_queue.cc, the life of a task in backfill_tasks.cc).
// The statements are in backfill_sql.h, the connections in sqlite/backfill.cc and postgres/backfill.cc.

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "indexer/backfill_sql.h"
#include "sync/backfill.h"

namespace penstock::indexer {

using SqlValue = std::variant<int64_t, std::string_view>;

// A row of a result. Views, for the time of the visit; NULL is "" or 0.
class SqlRow {
 public:
  virtual ~SqlRow() = default;
  virtual std::string_view text(int column) const = 0;
  virtual int64_t int64(int column) const = 0;  // also of a boolean
  virtual bool is_null(int column) const = 0;
};

// Connects by itself, but not within a transaction. For one thread. Errors: as sync/backfill.h.
class QueueConnection {
 public:
  virtual ~QueueConnection() = default;

  // One transaction of the queue at a time, over all processes.
  virtual absl::Status Begin() = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  // Says how many rows were changed. May be called without a transaction. `visit` makes no calls here.
  using Visit = std::function<void(const SqlRow&)>;
  virtual absl::StatusOr<int64_t> Run(QueueSql which, std::span<const SqlValue> values,
                                      const Visit& visit) = 0;
  absl::StatusOr<int64_t> Run(QueueSql which, std::initializer_list<SqlValue> values,
                              const Visit& visit = {}) {
    return Run(which, std::span(values.begin(), values.size()), visit);
  }

  // Distinct keys, within a transaction. Say how many rows were made or changed.
  enum class TaskInsert : uint8_t { kSeed, kUnsettled };
  virtual absl::StatusOr<int64_t> PutTasks(TaskInsert how, std::span<const NewTask> tasks) = 0;
  enum class ListingInsert : uint8_t { kAdd, kSavePage };
  virtual absl::Status PutListings(ListingInsert how, std::span<const sync::Listing> listings) = 0;
};

// What one call of QueueUnsettled or LoadToPurge looks at; the next one goes on behind it. Bounds what a call
// costs when a million accounts wait for a backfill already.
inline constexpr size_t kMaxExamined = 5'000;
inline constexpr size_t kExaminedAtOnce = 1'000;

class BackfillQueue final : public sync::BackfillStore {
 public:
  explicit BackfillQueue(std::unique_ptr<QueueConnection> db) : db_(std::move(db)) {}

  absl::StatusOr<int64_t> OpenRun(sync::RunKind kind, std::string_view subject, int64_t now_us,
                                  bool* made) override;
  absl::Status LoadRuns(bool open_only, std::vector<sync::BackfillRun>* runs) override;
  absl::Status LoadTotals(int64_t run, sync::RunTotals* totals) override;
  absl::Status CancelRun(int64_t run, int64_t now_us) override;
  absl::Status EndFinishedRuns(int64_t now_us, std::vector<sync::BackfillRun>* ended) override;

  absl::Status AddListings(std::span<const sync::Listing> listings) override;
  absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<sync::Listing>* listings) override;
  absl::Status SavePage(const sync::Listing& listing, std::span<const sync::TaskSeed> tasks,
                        std::span<const sync::Listing> further, int64_t now_us) override;

  absl::Status Claim(std::string_view owner, int64_t now_us, int64_t lease_until, size_t limit,
                     std::vector<sync::BackfillTask>* tasks) override;
  absl::Status Renew(std::string_view owner, int64_t lease_until) override;
  absl::Status Recover(std::string_view prefix, std::string_view owner, int64_t now_us) override;
  absl::Status SetOutcome(const sync::BackfillTask& task, std::string_view owner,
                          const sync::TaskOutcome& outcome, int64_t now_us) override;
  absl::StatusOr<std::optional<int64_t>> NextDue() override;
  absl::StatusOr<size_t> QueueUnsettled(const Throttle& throttle, int64_t now_us, size_t limit) override;

  absl::Status LoadOpenGaps(std::vector<sync::OpenGap>* gaps) override;
  absl::Status LoadKnown(std::string_view after, size_t limit,
                         std::vector<sync::KnownAccount>* accounts) override;
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) override;
  absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) override;
  absl::Status LoadToPurge(int64_t before_us, size_t limit, std::vector<std::string>* dids) override;

 private:
  struct Claimed {
    sync::BackfillTask task;
    int64_t not_before = 0;
  };
  struct Unsettled {
    std::string did;
    int64_t not_before = 0;
    int64_t imports = 0;
  };

  template <typename Body>
  absl::Status InTransaction(const Body& body);

  absl::StatusOr<std::optional<int64_t>> FindOpenRun(sync::RunKind kind, std::string_view subject);
  // Within a transaction.
  absl::StatusOr<int64_t> FindOrMakeRun(sync::RunKind kind, std::string_view subject, int64_t now_us,
                                        bool* made);
  // Of a run that is to be added to. One that is done is open again; false for one that is cancelled: nobody
  // wants more of it.
  absl::StatusOr<bool> Reopen(int64_t run, sync::RunKind* kind);
  // One statement's worth of what a cancelled run leaves; true if there is more.
  absl::StatusOr<bool> DropSome(int64_t run);
  absl::Status DropAll(int64_t run);
  absl::Status ClaimPriority(int64_t priority, std::string_view owner, int64_t now_us, int64_t lease_until,
                             size_t limit, std::vector<Claimed>* claimed);
  // Those of one page that are to be queued; `*after` moves behind what was looked at. Says how many that
  // were.
  absl::StatusOr<size_t> FindUnsettled(const Throttle& throttle, int64_t now_us, size_t limit,
                                       std::string* after, std::vector<Unsettled>* found);
  absl::Status Read(QueueSql which, std::initializer_list<SqlValue> values,
                    const QueueConnection::Visit& visit) {
    return db_->Run(which, values, visit).status();
  }

  const std::unique_ptr<QueueConnection> db_;
  // A claim whose end is not known: what it took is ours without our knowing it.
  std::vector<std::pair<int64_t, std::string>> unsure_;
  std::string unsettled_after_, purge_after_;  // where the next call goes on; empty: at the beginning
};

template <typename Body>
absl::Status BackfillQueue::InTransaction(const Body& body) {
  RETURN_IF_ERROR(db_->Begin());
  absl::Status status = body();
  if (status.ok()) status = db_->Commit();
  if (!status.ok()) db_->Rollback();
  return status;
}

}  // namespace penstock::indexer
