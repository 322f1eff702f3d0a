#pragma once

// sync::BackfillStore over a connection to either database: what its methods do is said once, here; the statements are in
// backfill_sql.h, the connections in sqlite/backfill.cc and postgres/backfill.cc.

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
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
  virtual absl::StatusOr<int64_t> Run(QueueSql which, std::span<const SqlValue> values, const Visit& visit) = 0;
  absl::StatusOr<int64_t> Run(QueueSql which, std::initializer_list<SqlValue> values, const Visit& visit = {}) {
    return Run(which, std::span(values.begin(), values.size()), visit);
  }

  // Distinct keys, within a transaction. Say how many rows were made or changed.
  enum class TaskInsert : uint8_t { kSeed, kUnsettled };
  virtual absl::StatusOr<int64_t> PutTasks(TaskInsert how, std::span<const NewTask> tasks) = 0;
  enum class ListingInsert : uint8_t { kAdd, kSavePage };
  virtual absl::Status PutListings(ListingInsert how, std::span<const sync::Listing> listings) = 0;
};

std::unique_ptr<sync::BackfillStore> MakeBackfillQueue(std::unique_ptr<QueueConnection> connection);

}  // namespace penstock::indexer
