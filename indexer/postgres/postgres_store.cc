#include "indexer/postgres/postgres_store.h"

#include <utility>

#include "base/status.h"
#include "indexer/batch.h"
#include "indexer/lease.h"
#include "indexer/postgres/connection.h"
#include "indexer/postgres/tables.h"
#include "indexer/schema.h"

namespace penstock::indexer {
namespace {

// How long a reconnect waits for the server to let go of our former session.
constexpr int64_t kFormerSessionWaitUs = 2'000'000;

constexpr int64_t kScanWaitUs = 24ll * 3600 * 1'000'000;

// At the end, when there may be nobody to answer.
constexpr int64_t kGiveBackWaitUs = 1'000'000;

// For Query, whose statements are anybody's.
constexpr char kReadSql[] =
    "BEGIN READ ONLY; SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; "
    "SET LOCAL enable_mergejoin = on";

constexpr uint32_t kBoolOid = 16, kByteaOid = 17;

class PostgresStore final : public Store {
 public:
  explicit PostgresStore(const StoreOptions& options)
      : options_(options), tables_(options.shard), applier_(&tables_, options.counters) {}
  ~PostgresStore() override { PostgresStore::Close(); }

  absl::Status Open() override;
  void Close() override;
  absl::StatusOr<std::vector<SourceCursor>> LoadCursors() override;
  absl::StatusOr<std::vector<StoredQuarantine>> LoadQuarantine() override;
  absl::Status Apply(const Batch& batch, ApplyResult* result) override;
  absl::Status SetCursor(std::string_view source, std::optional<int64_t> position) override;
  absl::StatusOr<TextTable> Query(std::string_view sql) override;
  int64_t epoch() const override { return epoch_; }
  std::string_view dialect() const override { return "postgresql"; }

 private:
  absl::Status Connect();
  absl::Status OpenConnected();
  // Connects again if the connection is lost, and makes sure that the lease is still ours.
  absl::Status EnsureConnected();
  absl::Status RetakeLease();
  absl::StatusOr<bool> TryLock();
  absl::Status HeldError();
  absl::StatusOr<int64_t> StoredEpoch();
  absl::Status EndFormerSession();
  absl::Status Migrate();
  absl::Status TakeEpoch();
  absl::Status RememberLevel();
  absl::Status WriteSetCursor(std::string_view source, std::optional<int64_t> position);
  // Drops a connection that is of no use any more.
  absl::Status Checked(absl::Status status);

  int64_t Now() const { return options_.clock->NowMicros(); }

  const StoreOptions options_;
  std::optional<PgConnection> connection_;
  std::string backend_started_;  // with its pid, names our session for ever
  int backend_pid_ = 0;
  int64_t epoch_ = 0;

  PgTables tables_;
  BatchApplier applier_;
};

// ---- Connection and lease

absl::Status PostgresStore::Open() {
  Close();
  RETURN_IF_ERROR(Connect());
  absl::Status status = OpenConnected();
  if (!status.ok()) Close();
  return status;
}

void PostgresStore::Close() {
  if (connection_ && connection_->alive()) {
    // The end of the session gives the lock back too, but only once the server has seen it.
    connection_->set_statement_timeout_us(kGiveBackWaitUs);
    (void)connection_->Execute("SELECT pg_advisory_unlock_all()");
  }
  connection_.reset();
  applier_.Forget();
  epoch_ = 0;
}

absl::Status PostgresStore::Connect() {
  connection_.reset();
  applier_.Forget();
  ASSIGN_OR_RETURN(PgConnection connection,
                   PgConnection::Connect({.url = options_.url,
                                          .name = "penstock writer " + options_.shard,
                                          .connect_timeout_us = options_.connect_timeout_us,
                                          .statement_timeout_us = options_.statement_timeout_us}));
  connection_ = std::move(connection);
  absl::Status status = Checked(connection_->Execute(kPgSessionSql).status());
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status PostgresStore::OpenConnected() {
  ASSIGN_OR_RETURN(const bool taken, WaitForLease(options_.lease_wait_us, [this] { return TryLock(); }));
  if (!taken) return HeldError();
  RETURN_IF_ERROR(Migrate());
  RETURN_IF_ERROR(TakeEpoch());
  RETURN_IF_ERROR(connection_->Execute(ResetInterruptedSql(Now())).status());
  RETURN_IF_ERROR(RememberLevel());
  return tables_.Prepare(&*connection_, epoch_);
}

absl::Status PostgresStore::EnsureConnected() {
  if (epoch_ == 0) return FailedPreconditionError("the store is not open");
  if (connection_) return absl::OkStatus();
  RETURN_IF_ERROR(Connect());
  if (options_.counters != nullptr) options_.counters->Count("store_reconnect");
  absl::Status status = RetakeLease();
  if (status.ok()) status = tables_.Prepare(&*connection_, epoch_);
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status PostgresStore::RetakeLease() {
  ASSIGN_OR_RETURN(bool taken, TryLock());
  if (!taken) {
    ASSIGN_OR_RETURN(const int64_t stored, StoredEpoch());
    if (stored != epoch_) return FencedError(options_.shard, epoch_);
    // The server may not have noticed that our former session is gone; it may even be at work on our last
    // statement.
    RETURN_IF_ERROR(EndFormerSession());
    ASSIGN_OR_RETURN(taken, WaitForLease(kFormerSessionWaitUs, [this] { return TryLock(); }));
    if (!taken)
      return UnavailableError(
          "postgresql: the lease's lock is still held by our former session or a new instance");
  }
  // Somebody may have had the lock in between.
  ASSIGN_OR_RETURN(const int64_t stored, StoredEpoch());
  if (stored != epoch_) return FencedError(options_.shard, epoch_);
  return absl::OkStatus();
}

absl::StatusOr<bool> PostgresStore::TryLock() {
  // The schema is part of the key, so that stores in one database do not exclude each other.
  ASSIGN_OR_RETURN(
      const PgResult result,
      connection_->Execute(
          "SELECT pg_try_advisory_lock(hashtextextended('penstock ' || current_schema() || ' ' || " +
          connection_->Quote(options_.shard) +
          ", 0)), pg_backend_pid(), "
          "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"));
  if (result.is_null(0, 0))
    return FailedPreconditionError("postgresql: search_path names no schema that exists");
  const bool taken = result.text(0, 0) == "t";
  if (taken) {
    backend_pid_ = connection_->backend_pid();
    backend_started_ = result.text(0, 2);
  }
  return taken;
}

absl::Status PostgresStore::EndFormerSession() {
  return connection_
      ->Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = " +
                std::to_string(backend_pid_) + " AND backend_start = " + connection_->Quote(backend_started_))
      .status();
}

absl::StatusOr<int64_t> PostgresStore::StoredEpoch() {
  ASSIGN_OR_RETURN(const PgResult result, connection_->Execute("SELECT epoch FROM lease WHERE shard = " +
                                                               connection_->Quote(options_.shard)));
  return result.rows() == 0 ? 0 : std::strtoll(std::string(result.text(0, 0)).c_str(), nullptr, 10);
}

absl::Status PostgresStore::HeldError() {
  // An instance that is only now making the tables has no row yet, and no table either.
  const auto row = connection_->Execute("SELECT owner, taken_at FROM lease WHERE shard = " +
                                        connection_->Quote(options_.shard));
  if (!row.ok() || row->rows() == 0) return LeaseHeldError(options_.shard, "", 0);
  return LeaseHeldError(options_.shard, row->text(0, 0),
                        std::strtoll(std::string(row->text(0, 1)).c_str(), nullptr, 10));
}

absl::Status PostgresStore::Migrate() {
  // Instances of other shards migrate the same tables: one at a time.
  RETURN_IF_ERROR(connection_
                      ->Execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('penstock migrate ' || "
                                "current_schema(), 0)); " +
                                CreateMigrationTableSql(Dialect::kPostgres))
                      .status());
  ASSIGN_OR_RETURN(const PgResult version,
                   connection_->Execute("SELECT coalesce(max(version), 0) FROM schema_migration"));
  const int64_t current = std::strtoll(std::string(version.text(0, 0)).c_str(), nullptr, 10);
  ASSIGN_OR_RETURN(const std::vector<std::string> pending,
                   PendingMigrations(current, Dialect::kPostgres, Now()));
  for (const std::string& statement : pending) RETURN_IF_ERROR(connection_->Execute(statement).status());
  return connection_->Execute("COMMIT").status();
}

absl::Status PostgresStore::TakeEpoch() {
  const std::string now = std::to_string(Now());
  ASSIGN_OR_RETURN(const PgResult result,
                   connection_->Execute(
                       "INSERT INTO lease (shard, epoch, owner, taken_at, renewed_at) VALUES (" +
                       connection_->Quote(options_.shard) + ", 1, " + connection_->Quote(options_.owner) +
                       ", " + now + ", " + now +
                       ") ON CONFLICT (shard) DO UPDATE SET epoch = lease.epoch + 1, owner = excluded.owner, "
                       "taken_at = excluded.taken_at, renewed_at = excluded.renewed_at RETURNING epoch"));
  epoch_ = std::strtoll(std::string(result.text(0, 0)).c_str(), nullptr, 10);
  return absl::OkStatus();
}

// Under the new epoch, so that whoever wrote before cannot add weaker rows behind us. The level comes last:
// if we fail before, the next start looks through the rows again.
absl::Status PostgresStore::RememberLevel() {
  if (!options_.verify) return absl::OkStatus();
  const std::string shard = connection_->Quote(options_.shard);
  ASSIGN_OR_RETURN(const PgResult last,
                   connection_->Execute("SELECT coalesce(verify, '') FROM lease WHERE shard = " + shard));
  if (MustMarkWeakerRows(options_.verify, last.text(0, 0))) {
    // One pass over a table that may be huge takes what it takes; the keepalives notice a server that is
    // gone.
    connection_->set_statement_timeout_us(kScanWaitUs);
    RETURN_IF_ERROR(
        connection_->Execute("BEGIN; SET LOCAL enable_seqscan = on; " + MarkWeakerRowsSql(Now()) + "; COMMIT")
            .status());
    connection_->set_statement_timeout_us(options_.statement_timeout_us);
  }
  return connection_
      ->Execute("UPDATE lease SET verify = " + connection_->Quote(VerificationName(*options_.verify)) +
                " WHERE shard = " + shard)
      .status();
}

absl::Status PostgresStore::Checked(absl::Status status) {
  if (!status.ok() && connection_ && !connection_->alive()) connection_.reset();
  return status;
}

// ---- Reads

absl::StatusOr<TextTable> PostgresStore::Query(std::string_view sql) {
  RETURN_IF_ERROR(EnsureConnected());
  RETURN_IF_ERROR(Checked(connection_->Execute(kReadSql).status()));
  const absl::StatusOr<PgResult> result = connection_->ExecuteOne(std::string(sql));
  tables_.Rollback();
  (void)Checked(result.status());
  if (!result.ok())
    return IsRefused(result.status()) ? InternalError(Message(result.status())) : result.status();
  TextTable table;
  for (int c = 0; c < result->columns(); ++c) table.columns.emplace_back(result->column_name(c));
  for (int r = 0; r < result->rows(); ++r) {
    auto& row = table.rows.emplace_back();
    for (int c = 0; c < result->columns(); ++c) {
      std::string_view text = result->text(r, c);
      // As SQLite writes them.
      if (result->column_type(c) == kBoolOid) text = text == "t" ? "1" : "0";
      if (result->column_type(c) == kByteaOid && text.starts_with("\\x")) text.remove_prefix(2);
      if (result->is_null(r, c)) {
        row.emplace_back();
      } else {
        row.emplace_back(text);
      }
    }
  }
  return table;
}

absl::StatusOr<std::vector<SourceCursor>> PostgresStore::LoadCursors() {
  RETURN_IF_ERROR(EnsureConnected());
  ASSIGN_OR_RETURN(const TextTable table, Query("SELECT source, position FROM stream_cursor WHERE shard = " +
                                                connection_->Quote(options_.shard) + " ORDER BY source"));
  std::vector<SourceCursor> cursors;
  for (const auto& row : table.rows) cursors.push_back({*row[0], std::strtoll(row[1]->c_str(), nullptr, 10)});
  return cursors;
}

absl::StatusOr<std::vector<StoredQuarantine>> PostgresStore::LoadQuarantine() {
  ASSIGN_OR_RETURN(const TextTable table,
                   Query("SELECT source, position, frame_sha256 FROM quarantine ORDER BY source, position"));
  std::vector<StoredQuarantine> all;
  for (const auto& row : table.rows)
    all.push_back({*row[0], std::strtoll(row[1]->c_str(), nullptr, 10), *row[2]});
  return all;
}

// ---- Writes

absl::Status PostgresStore::Apply(const Batch& batch, ApplyResult* result) {
  RETURN_IF_ERROR(EnsureConnected());
  return Checked(applier_.Apply(batch, Now(), result));
}

absl::Status PostgresStore::SetCursor(std::string_view source, std::optional<int64_t> position) {
  RETURN_IF_ERROR(EnsureConnected());
  RETURN_IF_ERROR(Checked(tables_.Begin(Now())));
  absl::Status status = WriteSetCursor(source, position);
  if (status.ok()) status = tables_.Commit();
  if (!status.ok()) tables_.Rollback();
  return Checked(status);
}

absl::Status PostgresStore::WriteSetCursor(std::string_view source, std::optional<int64_t> position) {
  RETURN_IF_ERROR(connection_
                      ->Execute("DELETE FROM stream_cursor WHERE source = " + connection_->Quote(source) +
                                " AND shard = " + connection_->Quote(options_.shard))
                      .status());
  if (position) return tables_.MoveCursor({std::string(source), *position}, Now());
  // Without a cursor the source's numbers mean nothing to us any more, those of its #account events included.
  return connection_->Execute("DELETE FROM repo_source WHERE source = " + connection_->Quote(source))
      .status();
}

}  // namespace

std::unique_ptr<Store> MakePostgresStore(const StoreOptions& options) {
  return std::make_unique<PostgresStore>(options);
}

}  // namespace penstock::indexer
