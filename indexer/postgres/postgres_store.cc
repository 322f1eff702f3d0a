#include "indexer/postgres/postgres_store.h"

#include <utility>

#include "base/status.h"
#include "indexer/batch.h"
#include "indexer/batch_sql.h"
#include "indexer/lease.h"
#include "indexer/postgres/arrays.h"
#include "indexer/postgres/connection.h"
#include "indexer/schema.h"

namespace penstock::indexer {
namespace {

// Of the order that docs/architecture.md 6 names; beyond it nothing gets faster. The bytes bound our memory and the server's.
constexpr size_t kMaxRows = 1000;
constexpr size_t kMaxBytes = 2 << 20;

// How long a reconnect waits for the server to let go of our former session.
constexpr int64_t kFormerSessionWaitUs = 2'000'000;

// At the end, when there may be nobody to answer.
constexpr int64_t kGiveBackWaitUs = 1'000'000;

// Every statement of this session that matters is a look-up by key. The planner, which knows nothing of a table that has grown
// by millions since it was last analysed, must not turn a thousand look-ups into a scan.
constexpr char kSessionSql[] =
    "SET client_min_messages = warning; SET lock_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    "SET plan_cache_mode = force_generic_plan; SET jit = off; "
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";
// For Query, whose statements are anybody's.
constexpr char kReadSql[] =
    "BEGIN READ ONLY; SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on; SET LOCAL enable_mergejoin = on";

constexpr uint32_t kBoolOid = 16, kByteaOid = 17;

constexpr Column kKeyColumns[] = {
    {"did", ColumnType::kKey}, {"collection", ColumnType::kKey}, {"rkey", ColumnType::kKey}};
constexpr Column kWinnerColumns[] = {{"did", ColumnType::kKey},  {"collection", ColumnType::kKey}, {"rkey", ColumnType::kKey},
                                     {"rev", ColumnType::kKey},  {"strong", ColumnType::kBool},    {"cid", ColumnType::kText}};
constexpr Column kSourceColumns[] = {{"did", ColumnType::kKey}, {"source", ColumnType::kKey}};

// A prepared statement over arrays, with the rows under construction.
struct Bulk {
  Bulk(std::string statement_name, std::string sql_text, std::span<const Column> columns)
      : name(std::move(statement_name)), sql(std::move(sql_text)), arrays(columns) {}
  Bulk(std::string statement_name, const Insert& insert)
      : Bulk(std::move(statement_name), RenderInsert(insert, Dialect::kPostgres), insert.columns) {}
  bool full() const { return arrays.rows() >= kMaxRows || arrays.bytes() >= kMaxBytes; }

  std::string name, sql;
  PgArrays arrays;
};

class PostgresStore final : public Store, private BatchTables {
 public:
  explicit PostgresStore(const StoreOptions& options) : options_(options), applier_(this, options.counters) {}
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
  absl::Status PrepareStatements();
  absl::Status WriteSetCursor(std::string_view source, std::optional<int64_t> position);
  // Drops a connection that is of no use any more.
  absl::Status Checked(absl::Status status);

  // BatchTables
  absl::Status Begin(int64_t now_us) override;
  absl::Status Commit() override { return connection_->Execute("COMMIT").status(); }
  void Rollback() override;
  absl::Status Savepoint() override { return connection_->Execute("SAVEPOINT isolate").status(); }
  absl::Status ReleaseSavepoint() override { return connection_->Execute("RELEASE isolate").status(); }
  absl::Status RollbackToSavepoint() override {
    return connection_->Execute("ROLLBACK TO isolate; RELEASE isolate").status();
  }
  absl::Status UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) override;
  absl::Status EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) override;
  absl::Status LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) override;
  absl::Status StoreAccounts(std::span<const AccountState> accounts, std::span<const AccountSource> sources,
                             int64_t now_us) override;
  absl::Status WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace, int64_t now_us) override;
  absl::Status WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) override;
  absl::Status WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) override;
  absl::Status MoveCursor(const SourceCursor& cursor, int64_t now_us) override;

  // Runs `bulk` over its rows, if it has any, and makes it ready for the next ones.
  absl::StatusOr<PgResult> Run(Bulk* bulk);
  absl::Status WriteRecords(std::span<const PlannedRecord> rows, size_t* written);
  // Which of `rows` are what the table holds now.
  absl::Status FindWinners(std::span<const PlannedRecord> rows);
  absl::Status ReplaceRefs();
  int64_t Now() const { return options_.clock->NowMicros(); }

  const StoreOptions options_;
  std::optional<PgConnection> connection_;
  std::string backend_started_;  // with its pid, names our session for ever
  int backend_pid_ = 0;
  int64_t epoch_ = 0;

  Bulk records_{"record", RecordInsert()};
  Bulk refs_{"record_ref", RecordRefInsert()};
  Bulk repos_{"repo", RepoInsert()};
  Bulk repo_status_{"repo_status", RepoStatusInsert()};
  Bulk repo_source_{"repo_source", RepoSourceInsert()};
  Bulk dead_letters_{"dead_letter", DeadLetterInsert()};
  Bulk refused_{"refused", RefusedInsert()};
  Bulk gaps_{"gap", GapInsert()};
  Bulk quarantine_{"quarantine", QuarantineInsert()};
  Bulk cursors_{"stream_cursor", CursorInsert()};
  Bulk winners_{"winners",
                "SELECT k.n FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[]) "
                "WITH ORDINALITY AS k (did, collection, rkey, rev, strong, cid, n) "
                "JOIN record r ON r.did = k.did AND r.collection = k.collection AND r.rkey = k.rkey "
                "WHERE r.rev = k.rev AND (r.verification NOT IN ('cid', 'signature')) = k.strong "
                "AND r.cid IS NOT DISTINCT FROM k.cid",
                kWinnerColumns};
  Bulk delete_refs_{"delete_refs",
                    "DELETE FROM record_ref r USING unnest($1::text[], $2::text[], $3::text[]) AS k (did, collection, rkey) "
                    "WHERE r.did = k.did AND r.collection = k.collection AND r.rkey = k.rkey",
                    kKeyColumns};
  Bulk known_repos_{"known_repos",
                    "SELECT k.n FROM unnest($1::text[]) WITH ORDINALITY AS k (did, n) JOIN repo r ON r.did = k.did",
                    std::span(kSourceColumns).first(1)};
  Bulk account_seqs_{"account_seqs",
                     "SELECT k.n, s.account_seq FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (did, source, n) "
                     "JOIN repo_source s ON s.did = k.did AND s.source = k.source",
                     kSourceColumns};

  BatchApplier applier_;
  Arena scratch_;
  std::vector<PlannedRecord> won_;
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
  ASSIGN_OR_RETURN(PgConnection connection, PgConnection::Connect({.url = options_.url,
                                                                   .name = "penstock writer " + options_.shard,
                                                                   .connect_timeout_us = options_.connect_timeout_us,
                                                                   .statement_timeout_us = options_.statement_timeout_us}));
  connection_ = std::move(connection);
  absl::Status status = Checked(connection_->Execute(kSessionSql).status());
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status PostgresStore::OpenConnected() {
  ASSIGN_OR_RETURN(const bool taken, WaitForLease(options_.lease_wait_us, [this] { return TryLock(); }));
  if (!taken) return HeldError();
  RETURN_IF_ERROR(Migrate());
  RETURN_IF_ERROR(TakeEpoch());
  return PrepareStatements();
}

absl::Status PostgresStore::EnsureConnected() {
  if (epoch_ == 0) return FailedPreconditionError("the store is not open");
  if (connection_) return absl::OkStatus();
  RETURN_IF_ERROR(Connect());
  if (options_.counters != nullptr) options_.counters->Count("store_reconnect");
  absl::Status status = RetakeLease();
  if (status.ok()) status = PrepareStatements();
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status PostgresStore::RetakeLease() {
  ASSIGN_OR_RETURN(bool taken, TryLock());
  if (!taken) {
    ASSIGN_OR_RETURN(const int64_t stored, StoredEpoch());
    if (stored != epoch_) return FencedError(options_.shard, epoch_);
    // The server may not have noticed that our former session is gone; it may even be at work on our last statement.
    RETURN_IF_ERROR(EndFormerSession());
    ASSIGN_OR_RETURN(taken, WaitForLease(kFormerSessionWaitUs, [this] { return TryLock(); }));
    if (!taken) return UnavailableError("postgresql: the lease's lock is still held by our former session or a new instance");
  }
  // Somebody may have had the lock in between.
  ASSIGN_OR_RETURN(const int64_t stored, StoredEpoch());
  if (stored != epoch_) return FencedError(options_.shard, epoch_);
  return absl::OkStatus();
}

absl::StatusOr<bool> PostgresStore::TryLock() {
  // The schema is part of the key, so that stores in one database do not exclude each other.
  ASSIGN_OR_RETURN(const PgResult result,
                   connection_->Execute("SELECT pg_try_advisory_lock(hashtextextended('penstock ' || current_schema() || ' ' || " +
                                        connection_->Quote(options_.shard) + ", 0)), pg_backend_pid(), "
                                        "(SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())"));
  if (result.is_null(0, 0)) return FailedPreconditionError("postgresql: search_path names no schema that exists");
  const bool taken = result.text(0, 0) == "t";
  if (taken) {
    backend_pid_ = connection_->backend_pid();
    backend_started_ = result.text(0, 2);
  }
  return taken;
}

absl::Status PostgresStore::EndFormerSession() {
  return connection_
      ->Execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = " + std::to_string(backend_pid_) +
                " AND backend_start = " + connection_->Quote(backend_started_))
      .status();
}

absl::StatusOr<int64_t> PostgresStore::StoredEpoch() {
  ASSIGN_OR_RETURN(const PgResult result, connection_->Execute("SELECT epoch FROM lease WHERE shard = " +
                                                               connection_->Quote(options_.shard)));
  return result.rows() == 0 ? 0 : std::strtoll(std::string(result.text(0, 0)).c_str(), nullptr, 10);
}

absl::Status PostgresStore::HeldError() {
  // An instance that is only now making the tables has no row yet, and no table either.
  const auto row = connection_->Execute("SELECT owner, taken_at FROM lease WHERE shard = " + connection_->Quote(options_.shard));
  if (!row.ok() || row->rows() == 0) return LeaseHeldError(options_.shard, "", 0);
  return LeaseHeldError(options_.shard, row->text(0, 0), std::strtoll(std::string(row->text(0, 1)).c_str(), nullptr, 10));
}

absl::Status PostgresStore::Migrate() {
  // Instances of other shards migrate the same tables: one at a time.
  RETURN_IF_ERROR(connection_
                      ->Execute("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('penstock migrate ' || "
                                "current_schema(), 0)); " +
                                CreateMigrationTableSql(Dialect::kPostgres))
                      .status());
  ASSIGN_OR_RETURN(const PgResult version, connection_->Execute("SELECT coalesce(max(version), 0) FROM schema_migration"));
  const int64_t current = std::strtoll(std::string(version.text(0, 0)).c_str(), nullptr, 10);
  ASSIGN_OR_RETURN(const std::vector<std::string> pending, PendingMigrations(current, Dialect::kPostgres, Now()));
  for (const std::string& statement : pending) RETURN_IF_ERROR(connection_->Execute(statement).status());
  return connection_->Execute("COMMIT").status();
}

absl::Status PostgresStore::TakeEpoch() {
  const std::string now = std::to_string(Now());
  ASSIGN_OR_RETURN(const PgResult result,
                   connection_->Execute("INSERT INTO lease (shard, epoch, owner, taken_at, renewed_at) VALUES (" +
                                        connection_->Quote(options_.shard) + ", 1, " + connection_->Quote(options_.owner) + ", " +
                                        now + ", " + now +
                                        ") ON CONFLICT (shard) DO UPDATE SET epoch = lease.epoch + 1, owner = excluded.owner, "
                                        "taken_at = excluded.taken_at, renewed_at = excluded.renewed_at RETURNING epoch"));
  epoch_ = std::strtoll(std::string(result.text(0, 0)).c_str(), nullptr, 10);
  return absl::OkStatus();
}

absl::Status PostgresStore::PrepareStatements() {
  for (Bulk* bulk : {&records_, &refs_, &repos_, &repo_status_, &repo_source_, &dead_letters_, &refused_, &gaps_, &quarantine_,
                     &cursors_, &winners_, &delete_refs_, &known_repos_, &account_seqs_}) {
    bulk->arrays.Clear();
    RETURN_IF_ERROR(connection_->Prepare(bulk->name, bulk->sql, bulk->arrays.Parameters()));
    bulk->arrays.Clear();
  }
  return absl::OkStatus();
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
  Rollback();
  if (!result.ok()) return IsRefused(result.status()) ? InternalError(Message(result.status())) : result.status();
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
  for (const auto& row : table.rows) all.push_back({*row[0], std::strtoll(row[1]->c_str(), nullptr, 10), *row[2]});
  return all;
}

// ---- Writes

absl::Status PostgresStore::Apply(const Batch& batch, ApplyResult* result) {
  RETURN_IF_ERROR(EnsureConnected());
  return Checked(applier_.Apply(batch, Now(), result));
}

absl::Status PostgresStore::SetCursor(std::string_view source, std::optional<int64_t> position) {
  RETURN_IF_ERROR(EnsureConnected());
  RETURN_IF_ERROR(Checked(Begin(Now())));
  absl::Status status = WriteSetCursor(source, position);
  if (status.ok()) status = Commit();
  if (!status.ok()) Rollback();
  return status;
}

absl::Status PostgresStore::WriteSetCursor(std::string_view source, std::optional<int64_t> position) {
  RETURN_IF_ERROR(connection_
                      ->Execute("DELETE FROM stream_cursor WHERE source = " + connection_->Quote(source) +
                                " AND shard = " + connection_->Quote(options_.shard))
                      .status());
  if (position) return MoveCursor({std::string(source), *position}, Now());
  // Without a cursor the source's numbers mean nothing to us any more, those of its #account events included.
  return connection_->Execute("DELETE FROM repo_source WHERE source = " + connection_->Quote(source)).status();
}

absl::Status PostgresStore::Begin(int64_t now_us) {
  scratch_.Reset();
  // The row lock makes a successor wait for the end of this transaction, so it never sees half of ours.
  auto fenced = connection_->Execute("BEGIN; UPDATE lease SET renewed_at = " + std::to_string(now_us) + " WHERE shard = " +
                                     connection_->Quote(options_.shard) + " AND epoch = " + std::to_string(epoch_));
  absl::Status status = fenced.status();
  if (status.ok() && fenced->affected() != 1) status = FencedError(options_.shard, epoch_);
  if (!status.ok()) Rollback();
  return status;
}

void PostgresStore::Rollback() {
  if (!connection_) return;
  if (!connection_->alive() || !connection_->Execute("ROLLBACK").ok()) connection_.reset();
}

absl::StatusOr<PgResult> PostgresStore::Run(Bulk* bulk) {
  absl::StatusOr<PgResult> result = connection_->ExecutePrepared(bulk->name, bulk->arrays.Parameters());
  bulk->arrays.Clear();
  return result;
}

absl::Status PostgresStore::UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) {
  size_t first = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    GiveRecord(rows[i], now_us, &scratch_, &records_.arrays);
    if (!records_.full() && i + 1 < rows.size()) continue;
    RETURN_IF_ERROR(WriteRecords(rows.subspan(first, i + 1 - first), written));
    first = i + 1;
  }
  return absl::OkStatus();
}

absl::Status PostgresStore::WriteRecords(std::span<const PlannedRecord> rows, size_t* written) {
  ASSIGN_OR_RETURN(const PgResult result, Run(&records_));
  const size_t affected = static_cast<size_t>(result.affected());
  *written += affected;
  if (affected == rows.size()) {
    won_.assign(rows.begin(), rows.end());
  } else {
    RETURN_IF_ERROR(FindWinners(rows));
  }
  return ReplaceRefs();
}

absl::Status PostgresStore::FindWinners(std::span<const PlannedRecord> rows) {
  won_.clear();
  for (const PlannedRecord& row : rows) {
    PgArrays& arrays = winners_.arrays;
    arrays.Text(row.change->did);
    arrays.Text(row.row->collection);
    arrays.Text(row.row->rkey);
    arrays.Text(row.change->rev);
    arrays.Bool(IsStrong(row.change->verification));
    arrays.TextOrNull(row.row->cid);
  }
  // A row that was there already, the same in all of this, counts as well: it has the same references.
  ASSIGN_OR_RETURN(const PgResult result, Run(&winners_));
  for (int i = 0; i < result.rows(); ++i) won_.push_back(rows[static_cast<size_t>(result.int64(i, 0)) - 1]);
  return absl::OkStatus();
}

absl::Status PostgresStore::ReplaceRefs() {
  for (const PlannedRecord& row : won_) {
    delete_refs_.arrays.Text(row.change->did);
    delete_refs_.arrays.Text(row.row->collection);
    delete_refs_.arrays.Text(row.row->rkey);
  }
  if (delete_refs_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&delete_refs_).status());
  for (const PlannedRecord& row : won_) {
    for (size_t i = 0; i < row.row->refs.size(); ++i) {
      GiveRef(row, i, &scratch_, &refs_.arrays);
      if (refs_.full()) RETURN_IF_ERROR(Run(&refs_).status());
    }
  }
  return refs_.arrays.rows() > 0 ? Run(&refs_).status() : absl::OkStatus();
}

absl::Status PostgresStore::EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) {
  for (size_t i = 0; i < dids.size(); ++i) {
    GiveRepo(dids[i], now_us, &repos_.arrays);
    if (repos_.full() || i + 1 == dids.size()) RETURN_IF_ERROR(Run(&repos_).status());
  }
  return absl::OkStatus();
}

absl::Status PostgresStore::LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) {
  for (const AccountState& account : accounts) known_repos_.arrays.Text(account.did);
  ASSIGN_OR_RETURN(const PgResult known, Run(&known_repos_));
  for (int i = 0; i < known.rows(); ++i) accounts[static_cast<size_t>(known.int64(i, 0)) - 1].known = true;
  for (const AccountSource& source : sources) {
    account_seqs_.arrays.Text(accounts[source.account].did);
    account_seqs_.arrays.Text(source.source);
  }
  ASSIGN_OR_RETURN(const PgResult seqs, Run(&account_seqs_));
  for (int i = 0; i < seqs.rows(); ++i) sources[static_cast<size_t>(seqs.int64(i, 0)) - 1].account_seq = seqs.int64(i, 1);
  return absl::OkStatus();
}

absl::Status PostgresStore::StoreAccounts(std::span<const AccountState> accounts, std::span<const AccountSource> sources,
                                          int64_t now_us) {
  for (const AccountState& account : accounts) {
    if (account.changed) GiveRepoStatus(account, now_us, &scratch_, &repo_status_.arrays);
  }
  RETURN_IF_ERROR(Run(&repo_status_).status());
  for (const AccountSource& source : sources) {
    if (source.changed) GiveRepoSource(accounts[source.account], source, &repo_source_.arrays);
  }
  return Run(&repo_source_).status();
}

absl::Status PostgresStore::WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace, int64_t now_us) {
  Bulk* bulk = replace ? &refused_ : &dead_letters_;
  for (size_t i = 0; i < letters.size(); ++i) {
    GiveDeadLetter(letters[i], now_us, &scratch_, &bulk->arrays);
    if (bulk->full() || i + 1 == letters.size()) RETURN_IF_ERROR(Run(bulk).status());
  }
  return absl::OkStatus();
}

absl::Status PostgresStore::WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) {
  GiveGap(change, gap, options_.shard, now_us, &scratch_, &gaps_.arrays);
  return Run(&gaps_).status();
}

absl::Status PostgresStore::WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) {
  GiveQuarantine(change, row, now_us, &scratch_, &quarantine_.arrays);
  return Run(&quarantine_).status();
}

absl::Status PostgresStore::MoveCursor(const SourceCursor& cursor, int64_t now_us) {
  GiveCursor(cursor, options_.shard, epoch_, now_us, &cursors_.arrays);
  return Run(&cursors_).status();
}

}  // namespace

std::unique_ptr<Store> MakePostgresStore(const StoreOptions& options) { return std::make_unique<PostgresStore>(options); }

}  // namespace penstock::indexer
