#include "indexer/sqlite/sqlite_store.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/status.h"
#include "indexer/batch.h"
#include "indexer/lease.h"
#include "indexer/schema.h"
#include "indexer/sqlite/connection.h"
#include "indexer/sqlite/file_lock.h"
#include "indexer/sqlite/tables.h"

namespace penstock::indexer {
namespace {

class SqliteStore final : public Store {
 public:
  SqliteStore(const StoreOptions& options, std::string path)
      : options_(options),
        path_(std::move(path)),
        tables_(options.shard),
        applier_(&tables_, options.counters) {}
  ~SqliteStore() override { SqliteStore::Close(); }

  absl::Status Open() override;
  void Close() override;
  absl::StatusOr<std::vector<SourceCursor>> LoadCursors() override;
  absl::StatusOr<std::vector<StoredQuarantine>> LoadQuarantine() override;
  absl::Status Apply(const Batch& batch, ApplyResult* result) override;
  absl::Status SetCursor(std::string_view source, std::optional<int64_t> position) override;
  absl::StatusOr<TextTable> Query(std::string_view sql) override;
  int64_t epoch() const override { return epoch_; }
  std::string_view dialect() const override { return "sqlite"; }

 private:
  absl::Status OpenUnderLease();
  absl::Status HeldError();
  absl::Status Migrate();
  absl::Status TakeEpoch();
  absl::Status RememberLevel();
  absl::StatusOr<int64_t> QueryInt(std::string_view sql);
  absl::Status WriteSetCursor(std::string_view source, std::optional<int64_t> position);

  // Somebody else's write should be over in a moment; what lasts longer is for the caller to wait out.
  int64_t BusyTimeout() const { return std::min<int64_t>(options_.statement_timeout_us, 5'000'000); }
  int64_t Now() const { return options_.clock->NowMicros(); }

  const StoreOptions options_;
  const std::string path_;
  FileLock lock_;
  std::optional<SqliteConnection> db_;
  SqliteTables tables_;
  BatchApplier applier_;
  int64_t epoch_ = 0;
};

absl::Status SqliteStore::Open() {
  Close();
  ASSIGN_OR_RETURN(const bool taken,
                   WaitForLease(options_.lease_wait_us, [this] { return lock_.TryTake(path_ + ".lock"); }));
  if (!taken) return HeldError();
  absl::Status status = OpenUnderLease();
  if (!status.ok()) Close();
  return status;
}

void SqliteStore::Close() {
  tables_.Finalize();
  db_.reset();
  applier_.Forget();
  epoch_ = 0;
  lock_.Release();
}

absl::Status SqliteStore::OpenUnderLease() {
  ASSIGN_OR_RETURN(db_, SqliteConnection::Open(path_, BusyTimeout()));
  RETURN_IF_ERROR(Migrate());
  RETURN_IF_ERROR(TakeEpoch());
  RETURN_IF_ERROR(db_->Execute(ResetInterruptedSql(Now())));
  RETURN_IF_ERROR(RememberLevel());
  return tables_.Prepare(&*db_, epoch_);
}

// Reads who it is from the database that the other one has open: WAL lets us.
absl::Status SqliteStore::HeldError() {
  std::string owner;
  int64_t taken_at = 0;
  if (auto db = SqliteConnection::Open(path_, BusyTimeout()); db.ok()) {
    // Any shard's: the lock is on the file.
    if (auto row = db->Prepare("SELECT owner, taken_at FROM lease ORDER BY taken_at DESC LIMIT 1");
        row.ok()) {
      if (row->Step().value_or(false)) {
        owner = row->text(0);
        taken_at = row->int64(1);
      }
    }
  }
  return LeaseHeldError(options_.shard, owner, taken_at);
}

absl::StatusOr<int64_t> SqliteStore::QueryInt(std::string_view sql) {
  ASSIGN_OR_RETURN(SqliteStatement statement, db_->Prepare(sql));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row ? statement.int64(0) : 0;
}

absl::Status SqliteStore::Migrate() {
  RETURN_IF_ERROR(db_->Execute("BEGIN IMMEDIATE"));
  RETURN_IF_ERROR(db_->Execute(CreateMigrationTableSql(Dialect::kSqlite)));
  ASSIGN_OR_RETURN(const int64_t version, QueryInt("SELECT coalesce(max(version), 0) FROM schema_migration"));
  ASSIGN_OR_RETURN(const std::vector<std::string> pending,
                   PendingMigrations(version, Dialect::kSqlite, Now()));
  for (const std::string& statement : pending) RETURN_IF_ERROR(db_->Execute(statement));
  return db_->Execute("COMMIT");
}

absl::Status SqliteStore::TakeEpoch() {
  ASSIGN_OR_RETURN(
      SqliteStatement take,
      db_->Prepare("INSERT INTO lease (shard, epoch, owner, taken_at, renewed_at) VALUES (?1, 1, ?2, ?3, ?3) "
                   "ON CONFLICT (shard) DO UPDATE SET epoch = lease.epoch + 1, owner = excluded.owner, "
                   "taken_at = excluded.taken_at, renewed_at = excluded.renewed_at RETURNING epoch"));
  take.Text(options_.shard);
  take.Text(options_.owner);
  take.Int(Now());
  ASSIGN_OR_RETURN(const bool row, take.Step());
  if (!row) return InternalError("sqlite: the lease has no row");
  epoch_ = take.int64(0);
  return take.Run();
}

// The level comes last: if we fail before, the next start looks through the rows again.
absl::Status SqliteStore::RememberLevel() {
  if (!options_.verify) return absl::OkStatus();
  ASSIGN_OR_RETURN(SqliteStatement last,
                   db_->Prepare("SELECT coalesce(verify, '') FROM lease WHERE shard = ?1"));
  last.Text(options_.shard);
  ASSIGN_OR_RETURN(const bool row, last.Step());
  const bool mark = row && MustMarkWeakerRows(options_.verify, last.text(0));
  last.Reset();
  if (mark) RETURN_IF_ERROR(db_->Execute(MarkWeakerRowsSql(Now())));
  ASSIGN_OR_RETURN(SqliteStatement remember, db_->Prepare("UPDATE lease SET verify = ?1 WHERE shard = ?2"));
  remember.Text(VerificationName(*options_.verify));
  remember.Text(options_.shard);
  return remember.Run();
}

absl::StatusOr<std::vector<SourceCursor>> SqliteStore::LoadCursors() {
  ASSIGN_OR_RETURN(
      SqliteStatement select,
      db_->Prepare("SELECT source, position FROM stream_cursor WHERE shard = ?1 ORDER BY source"));
  select.Text(options_.shard);
  std::vector<SourceCursor> cursors;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return cursors;
    cursors.push_back({std::string(select.text(0)), select.int64(1)});
  }
}

absl::StatusOr<std::vector<StoredQuarantine>> SqliteStore::LoadQuarantine() {
  ASSIGN_OR_RETURN(
      SqliteStatement select,
      db_->Prepare("SELECT source, position, frame_sha256 FROM quarantine ORDER BY source, position"));
  std::vector<StoredQuarantine> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return all;
    all.push_back({std::string(select.text(0)), select.int64(1), std::string(select.text(2))});
  }
}

absl::Status SqliteStore::Apply(const Batch& batch, ApplyResult* result) {
  if (!db_) return FailedPreconditionError("the store is not open");
  return applier_.Apply(batch, Now(), result);
}

absl::Status SqliteStore::SetCursor(std::string_view source, std::optional<int64_t> position) {
  if (!db_) return FailedPreconditionError("the store is not open");
  RETURN_IF_ERROR(tables_.Begin(Now()));
  absl::Status status = WriteSetCursor(source, position);
  if (status.ok()) status = tables_.Commit();
  if (!status.ok()) tables_.Rollback();
  return status;
}

absl::Status SqliteStore::WriteSetCursor(std::string_view source, std::optional<int64_t> position) {
  ASSIGN_OR_RETURN(SqliteStatement remove,
                   db_->Prepare("DELETE FROM stream_cursor WHERE source = ?1 AND shard = ?2"));
  remove.Text(source);
  remove.Text(options_.shard);
  RETURN_IF_ERROR(remove.Run());
  if (position) return tables_.MoveCursor({std::string(source), *position}, Now());
  // Without a cursor the source's numbers mean nothing to us any more, those of its #account events included.
  ASSIGN_OR_RETURN(SqliteStatement forget, db_->Prepare("DELETE FROM repo_source WHERE source = ?1"));
  forget.Text(source);
  return forget.Run();
}

absl::StatusOr<TextTable> SqliteStore::Query(std::string_view sql) {
  if (!db_) return FailedPreconditionError("the store is not open");
  ASSIGN_OR_RETURN(SqliteStatement statement, db_->Prepare(sql));
  if (!statement.read_only()) return InvalidInputError("Query only reads");
  TextTable table;
  for (int i = 0; i < statement.columns(); ++i) table.columns.emplace_back(statement.column_name(i));
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, statement.Step());
    if (!more) return table;
    auto& row = table.rows.emplace_back();
    for (int i = 0; i < statement.columns(); ++i) {
      if (statement.is_null(i)) {
        row.emplace_back();
      } else if (statement.is_blob(i)) {
        row.emplace_back(ToHex(statement.bytes(i)));
      } else {
        row.emplace_back(statement.text(i));
      }
    }
  }
}

}  // namespace

std::unique_ptr<Store> MakeSqliteStore(const StoreOptions& options, std::string path) {
  return std::make_unique<SqliteStore>(options, std::move(path));
}

}  // namespace penstock::indexer
