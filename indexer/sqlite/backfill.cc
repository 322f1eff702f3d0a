#include "indexer/sqlite/backfill.h"

#include <array>
#include <utility>
#include <variant>

#include "base/status.h"
#include "indexer/backfill_queue.h"
#include "indexer/sqlite/session.h"

namespace penstock::indexer {
namespace {

class SqliteRow final : public SqlRow {
 public:
  explicit SqliteRow(const SqliteStatement& statement) : statement_(statement) {}
  std::string_view text(int column) const override { return statement_.text(column); }
  int64_t int64(int column) const override { return statement_.int64(column); }
  bool is_null(int column) const override { return statement_.is_null(column); }

 private:
  const SqliteStatement& statement_;
};

class SqliteQueue final : public QueueConnection {
 public:
  SqliteQueue(const StoreOptions& options, std::string path)
      : session_(options, std::move(path), SqliteSession::Mode::kReadWrite) {}

  absl::Status Begin() override {
    RETURN_IF_ERROR(EnsureOpen());
    scratch_.Reset();
    return begin_.Run();
  }
  absl::Status Commit() override { return commit_.Run(); }
  void Rollback() override {
    // Some errors (disk full, I/O) have ended the transaction already.
    if (session_.db().in_transaction()) (void)session_.db().Execute("ROLLBACK");
  }
  absl::StatusOr<int64_t> Run(QueueSql which, std::span<const SqlValue> values, const Visit& visit) override;
  absl::StatusOr<int64_t> PutTasks(TaskInsert how, std::span<const NewTask> tasks) override;
  absl::Status PutListings(ListingInsert how, std::span<const sync::Listing> listings) override;

 private:
  absl::Status EnsureOpen();

  SqliteSession session_;
  SqliteStatement begin_, commit_, seed_, unsettled_, add_listing_, save_page_;
  std::array<SqliteStatement, static_cast<size_t>(QueueSql::kCount)> statements_;
  Arena scratch_;
};

absl::Status SqliteQueue::EnsureOpen() {
  return session_.EnsureOpen([this](SqliteConnection& db) -> absl::Status {
    RETURN_IF_ERROR(Prepare(db, "BEGIN IMMEDIATE", &begin_));
    RETURN_IF_ERROR(Prepare(db, "COMMIT", &commit_));
    RETURN_IF_ERROR(Prepare(db, RenderInsert(SeedInsert(), Dialect::kSqlite), &seed_));
    RETURN_IF_ERROR(Prepare(db, RenderInsert(UnsettledInsert(), Dialect::kSqlite), &unsettled_));
    RETURN_IF_ERROR(Prepare(db, RenderInsert(indexer::ListingInsert(), Dialect::kSqlite), &add_listing_));
    RETURN_IF_ERROR(Prepare(db, RenderInsert(SavePageInsert(), Dialect::kSqlite), &save_page_));
    for (size_t i = 0; i < statements_.size(); ++i) {
      const std::string sql = RenderQueueSql(static_cast<QueueSql>(i), Dialect::kSqlite);
      RETURN_IF_ERROR(Prepare(db, sql, &statements_[i]));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<int64_t> SqliteQueue::Run(QueueSql which, std::span<const SqlValue> values,
                                         const Visit& visit) {
  RETURN_IF_ERROR(EnsureOpen());
  SqliteStatement& statement = statements_[static_cast<size_t>(which)];
  for (const SqlValue& value : values) {
    if (const int64_t* number = std::get_if<int64_t>(&value)) {
      statement.Int(*number);
    } else {
      statement.Text(std::get<std::string_view>(value));
    }
  }
  const SqliteRow row(statement);
  RETURN_IF_ERROR(ForEachRow(statement, [&] {
    if (visit) visit(row);
    return absl::OkStatus();
  }));
  return session_.db().changes();
}

absl::StatusOr<int64_t> SqliteQueue::PutTasks(TaskInsert how, std::span<const NewTask> tasks) {
  SqliteStatement& statement = how == TaskInsert::kSeed ? seed_ : unsettled_;
  int64_t changed = 0;
  for (const NewTask& task : tasks) {
    GiveTask(task, &scratch_, &statement);
    RETURN_IF_ERROR(statement.Run());
    changed += session_.db().changes();
  }
  return changed;
}

absl::Status SqliteQueue::PutListings(ListingInsert how, std::span<const sync::Listing> listings) {
  SqliteStatement& statement = how == ListingInsert::kAdd ? add_listing_ : save_page_;
  for (const sync::Listing& listing : listings) {
    GiveListing(listing, &scratch_, &statement);
    RETURN_IF_ERROR(statement.Run());
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<sync::BackfillStore> MakeSqliteBackfillStore(const StoreOptions& options, std::string path) {
  return std::make_unique<BackfillQueue>(std::make_unique<SqliteQueue>(options, std::move(path)));
}

}  // namespace penstock::indexer
