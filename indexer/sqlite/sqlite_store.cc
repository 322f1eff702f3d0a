#include "indexer/sqlite/sqlite_store.h"

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "base/status.h"
#include "indexer/batch.h"
#include "indexer/batch_sql.h"
#include "indexer/lease.h"
#include "indexer/schema.h"
#include "indexer/sqlite/connection.h"
#include "indexer/sqlite/file_lock.h"

namespace penstock::indexer {
namespace {

class SqliteStore final : public Store, private BatchTables {
 public:
  SqliteStore(const StoreOptions& options, std::string path)
      : options_(options), path_(std::move(path)), applier_(this, options.counters) {}
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
  absl::Status PrepareStatements();
  absl::StatusOr<int64_t> QueryInt(std::string_view sql);
  absl::Status WriteSetCursor(std::string_view source, std::optional<int64_t> position);

  // BatchTables
  absl::Status Begin(int64_t now_us) override;
  absl::Status Commit() override { return commit_.Run(); }
  void Rollback() override;
  absl::Status Savepoint() override { return savepoint_.Run(); }
  absl::Status ReleaseSavepoint() override { return release_.Run(); }
  absl::Status RollbackToSavepoint() override;
  absl::Status UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) override;
  absl::Status EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) override;
  absl::Status LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) override;
  absl::Status StoreAccounts(std::span<const AccountState> accounts, std::span<const AccountSource> sources,
                             int64_t now_us) override;
  absl::Status WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace, int64_t now_us) override;
  absl::Status WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) override;
  absl::Status WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) override;
  absl::Status MoveCursor(const SourceCursor& cursor, int64_t now_us) override;

  absl::Status ReplaceRefs(const PlannedRecord& record, bool inserted);
  // Somebody else's write should be over in a moment; what lasts longer is for the caller to wait out.
  int64_t BusyTimeout() const { return std::min<int64_t>(options_.statement_timeout_us, 5'000'000); }
  int64_t Now() const { return options_.clock->NowMicros(); }

  const StoreOptions options_;
  const std::string path_;
  FileLock lock_;
  // Before the statements, which must be finalized first.
  std::optional<SqliteConnection> db_;
  SqliteStatement begin_, commit_, savepoint_, release_, rollback_to_, fence_;
  SqliteStatement record_, delete_refs_, ref_, repo_, repo_known_, repo_source_seq_, repo_status_, repo_source_;
  SqliteStatement dead_letter_, refused_, gap_, quarantine_, cursor_;
  BatchApplier applier_;
  Arena scratch_;
  int64_t epoch_ = 0;
};

absl::Status SqliteStore::Open() {
  Close();
  ASSIGN_OR_RETURN(const bool taken, WaitForLease(options_.lease_wait_us, [this] { return lock_.TryTake(path_ + ".lock"); }));
  if (!taken) return HeldError();
  absl::Status status = OpenUnderLease();
  if (!status.ok()) Close();
  return status;
}

void SqliteStore::Close() {
  Rollback();
  for (SqliteStatement* statement :
       {&begin_, &commit_, &savepoint_, &release_, &rollback_to_, &fence_, &record_, &delete_refs_, &ref_, &repo_,
        &repo_known_, &repo_source_seq_, &repo_status_, &repo_source_, &dead_letter_, &refused_, &gap_, &quarantine_, &cursor_}) {
    *statement = SqliteStatement();
  }
  db_.reset();
  applier_.Forget();
  epoch_ = 0;
  lock_.Release();
}

absl::Status SqliteStore::OpenUnderLease() {
  ASSIGN_OR_RETURN(db_, SqliteConnection::Open(path_, BusyTimeout()));
  RETURN_IF_ERROR(Migrate());
  RETURN_IF_ERROR(TakeEpoch());
  return PrepareStatements();
}

// Reads who it is from the database that the other one has open: WAL lets us.
absl::Status SqliteStore::HeldError() {
  std::string owner;
  int64_t taken_at = 0;
  if (auto db = SqliteConnection::Open(path_, BusyTimeout()); db.ok()) {
    // Any shard's: the lock is on the file.
    if (auto row = db->Prepare("SELECT owner, taken_at FROM lease ORDER BY taken_at DESC LIMIT 1"); row.ok()) {
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
  ASSIGN_OR_RETURN(const std::vector<std::string> pending, PendingMigrations(version, Dialect::kSqlite, Now()));
  for (const std::string& statement : pending) RETURN_IF_ERROR(db_->Execute(statement));
  return db_->Execute("COMMIT");
}

absl::Status SqliteStore::TakeEpoch() {
  ASSIGN_OR_RETURN(SqliteStatement take,
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

absl::Status SqliteStore::PrepareStatements() {
  const auto prepare = [this](std::string_view sql, SqliteStatement* statement) -> absl::Status {
    ASSIGN_OR_RETURN(*statement, db_->Prepare(sql));
    return absl::OkStatus();
  };
  const auto prepare_insert = [&](const Insert& insert, SqliteStatement* statement) {
    return prepare(RenderInsert(insert, Dialect::kSqlite), statement);
  };
  RETURN_IF_ERROR(prepare("BEGIN IMMEDIATE", &begin_));
  RETURN_IF_ERROR(prepare("COMMIT", &commit_));
  RETURN_IF_ERROR(prepare("SAVEPOINT isolate", &savepoint_));
  RETURN_IF_ERROR(prepare("RELEASE isolate", &release_));
  RETURN_IF_ERROR(prepare("ROLLBACK TO isolate", &rollback_to_));
  RETURN_IF_ERROR(prepare("UPDATE lease SET renewed_at = ?1 WHERE shard = ?2 AND epoch = ?3", &fence_));
  RETURN_IF_ERROR(prepare("DELETE FROM record_ref WHERE did = ?1 AND collection = ?2 AND rkey = ?3", &delete_refs_));
  RETURN_IF_ERROR(prepare("SELECT 1 FROM repo WHERE did = ?1", &repo_known_));
  RETURN_IF_ERROR(prepare("SELECT account_seq FROM repo_source WHERE did = ?1 AND source = ?2", &repo_source_seq_));
  RETURN_IF_ERROR(prepare_insert(RecordInsert(), &record_));
  RETURN_IF_ERROR(prepare_insert(RecordRefInsert(), &ref_));
  RETURN_IF_ERROR(prepare_insert(RepoInsert(), &repo_));
  RETURN_IF_ERROR(prepare_insert(RepoStatusInsert(), &repo_status_));
  RETURN_IF_ERROR(prepare_insert(RepoSourceInsert(), &repo_source_));
  RETURN_IF_ERROR(prepare_insert(DeadLetterInsert(), &dead_letter_));
  RETURN_IF_ERROR(prepare_insert(RefusedInsert(), &refused_));
  RETURN_IF_ERROR(prepare_insert(GapInsert(), &gap_));
  RETURN_IF_ERROR(prepare_insert(QuarantineInsert(), &quarantine_));
  return prepare_insert(CursorInsert(), &cursor_);
}

absl::StatusOr<std::vector<SourceCursor>> SqliteStore::LoadCursors() {
  ASSIGN_OR_RETURN(SqliteStatement select, db_->Prepare("SELECT source, position FROM stream_cursor WHERE shard = ?1 ORDER BY source"));
  select.Text(options_.shard);
  std::vector<SourceCursor> cursors;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, select.Step());
    if (!row) return cursors;
    cursors.push_back({std::string(select.text(0)), select.int64(1)});
  }
}

absl::StatusOr<std::vector<StoredQuarantine>> SqliteStore::LoadQuarantine() {
  ASSIGN_OR_RETURN(SqliteStatement select,
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
  RETURN_IF_ERROR(Begin(Now()));
  absl::Status status = WriteSetCursor(source, position);
  if (status.ok()) status = Commit();
  if (!status.ok()) Rollback();
  return status;
}

absl::Status SqliteStore::WriteSetCursor(std::string_view source, std::optional<int64_t> position) {
  ASSIGN_OR_RETURN(SqliteStatement remove, db_->Prepare("DELETE FROM stream_cursor WHERE source = ?1 AND shard = ?2"));
  remove.Text(source);
  remove.Text(options_.shard);
  RETURN_IF_ERROR(remove.Run());
  if (position) return MoveCursor({std::string(source), *position}, Now());
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

// ---- BatchTables

absl::Status SqliteStore::Begin(int64_t now_us) {
  scratch_.Reset();
  RETURN_IF_ERROR(begin_.Run());
  fence_.Int(now_us);
  fence_.Text(options_.shard);
  fence_.Int(epoch_);
  absl::Status status = fence_.Run();
  if (status.ok() && db_->changes() != 1) status = FencedError(options_.shard, epoch_);
  if (!status.ok()) Rollback();
  return status;
}

void SqliteStore::Rollback() {
  // Some errors (disk full, I/O) have ended the transaction already.
  if (db_ && db_->in_transaction()) (void)db_->Execute("ROLLBACK");
}

absl::Status SqliteStore::RollbackToSavepoint() {
  RETURN_IF_ERROR(rollback_to_.Run());
  return release_.Run();
}

absl::Status SqliteStore::UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) {
  for (const PlannedRecord& row : rows) {
    // An insert sets the rowid, an update leaves it; a new row has no former references to remove.
    db_->set_last_insert_rowid(0);
    GiveRecord(row, now_us, &scratch_, &record_);
    RETURN_IF_ERROR(record_.Run());
    if (db_->changes() == 0) continue;  // the guard
    ++*written;
    RETURN_IF_ERROR(ReplaceRefs(row, db_->last_insert_rowid() != 0));
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::ReplaceRefs(const PlannedRecord& record, bool inserted) {
  if (!inserted) {
    delete_refs_.Text(record.change->did);
    delete_refs_.Text(record.row->collection);
    delete_refs_.Text(record.row->rkey);
    RETURN_IF_ERROR(delete_refs_.Run());
  }
  for (size_t i = 0; i < record.row->refs.size(); ++i) {
    GiveRef(record, i, &scratch_, &ref_);
    RETURN_IF_ERROR(ref_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) {
  for (std::string_view did : dids) {
    GiveRepo(did, now_us, &repo_);
    RETURN_IF_ERROR(repo_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) {
  for (AccountState& account : accounts) {
    repo_known_.Text(account.did);
    const absl::StatusOr<bool> row = repo_known_.Step();
    repo_known_.Reset();
    if (!row.ok()) return row.status();
    account.known = *row;
  }
  for (AccountSource& source : sources) {
    repo_source_seq_.Text(accounts[source.account].did);
    repo_source_seq_.Text(source.source);
    const absl::StatusOr<bool> row = repo_source_seq_.Step();
    if (row.value_or(false)) source.account_seq = repo_source_seq_.int64(0);
    repo_source_seq_.Reset();
    if (!row.ok()) return row.status();
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::StoreAccounts(std::span<const AccountState> accounts, std::span<const AccountSource> sources,
                                        int64_t now_us) {
  for (const AccountState& account : accounts) {
    if (!account.changed) continue;
    GiveRepoStatus(account, now_us, &scratch_, &repo_status_);
    RETURN_IF_ERROR(repo_status_.Run());
  }
  for (const AccountSource& source : sources) {
    if (!source.changed) continue;
    GiveRepoSource(accounts[source.account], source, &repo_source_);
    RETURN_IF_ERROR(repo_source_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace, int64_t now_us) {
  SqliteStatement& statement = replace ? refused_ : dead_letter_;
  for (const PlannedDeadLetter& letter : letters) {
    GiveDeadLetter(letter, now_us, &scratch_, &statement);
    RETURN_IF_ERROR(statement.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteStore::WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) {
  GiveGap(change, gap, options_.shard, now_us, &scratch_, &gap_);
  return gap_.Run();
}

absl::Status SqliteStore::WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) {
  GiveQuarantine(change, row, now_us, &scratch_, &quarantine_);
  return quarantine_.Run();
}

absl::Status SqliteStore::MoveCursor(const SourceCursor& cursor, int64_t now_us) {
  GiveCursor(cursor, options_.shard, epoch_, now_us, &cursor_);
  return cursor_.Run();
}

}  // namespace

std::unique_ptr<Store> MakeSqliteStore(const StoreOptions& options, std::string path) {
  return std::make_unique<SqliteStore>(options, std::move(path));
}

}  // namespace penstock::indexer
