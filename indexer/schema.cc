#include "indexer/schema.h"

#include <iterator>

#include "base/status.h"

namespace penstock::indexer {
namespace {

using enum ColumnType;
constexpr bool kNotNull = true;

// ---- Migration 1

constexpr Column kRecord[] = {
    {"did", kKey, kNotNull},
    {"collection", kKey, kNotNull},
    {"rkey", kKey, kNotNull},
    {"cid", kText},
    {"rev", kKey, kNotNull},
    {"commit_cid", kText},
    {"seq", kInt64},
    {"source", kText, kNotNull},
    {"op", kText, kNotNull},
    {"deleted", kBool, kNotNull},
    {"verification", kText, kNotNull},
    {"validation", kText, kNotNull},
    {"value", kJson},
    {"value_lossy", kBool, kNotNull},
    {"cbor", kBytes},
    {"created_at", kText},
    {"created_us", kInt64},
    {"indexed_at", kInt64, kNotNull},
};
constexpr Index kRecordIndexes[] = {
    {"record_collection_indexed_at", "collection, indexed_at"},
    {"record_did_rev", "did, rev"},
};

constexpr Column kRecordRef[] = {
    {"did", kKey, kNotNull},      {"collection", kKey, kNotNull},
    {"rkey", kKey, kNotNull},     {"ordinal", kInt64, kNotNull},
    {"path", kText, kNotNull},    {"target_uri", kText, kNotNull},
    {"target_cid", kText},        {"target_did", kText},
    {"target_collection", kText}, {"target_hash", kInt64, kNotNull},
};
constexpr Index kRecordRefIndexes[] = {{"record_ref_target_hash", "target_hash"}};

constexpr Column kRepo[] = {
    {"did", kKey, kNotNull}, {"rev", kKey},          {"data", kText},
    {"commit_cid", kText},   {"sync_state", kText},  {"active", kBool, kNotNull},
    {"status", kText},       {"baseline_rev", kKey}, {"updated_at", kInt64, kNotNull},
};

constexpr Column kRepoSource[] = {
    {"did", kKey, kNotNull},
    {"source", kKey, kNotNull},
    {"account_seq", kInt64, kNotNull},
};

constexpr Column kStreamCursor[] = {
    {"source", kKey, kNotNull},  {"shard", kKey, kNotNull},        {"position", kInt64, kNotNull},
    {"epoch", kInt64, kNotNull}, {"updated_at", kInt64, kNotNull},
};

constexpr Column kGap[] = {
    {"source", kKey, kNotNull},
    {"shard", kKey, kNotNull},
    {"opened_seq", kInt64, kNotNull},
    {"reason", kKey, kNotNull},
    {"from_seq", kInt64},
    {"to_seq", kInt64},
    {"detail", kText},
    {"opened_at", kInt64, kNotNull},
    {"closed_at", kInt64},
};

constexpr Column kQuarantine[] = {
    {"source", kKey, kNotNull},
    {"position", kInt64, kNotNull},
    {"frame_sha256", kKey, kNotNull},
    {"reject", kText, kNotNull},
    {"detail", kText},
    {"frame", kBytes},
    {"quarantined_at", kInt64, kNotNull},
};

constexpr Column kDeadLetter[] = {
    {"source", kKey, kNotNull},
    {"seq", kInt64, kNotNull},
    {"op", kInt64, kNotNull},
    {"did", kKey},
    {"collection", kKey},
    {"rkey", kKey},
    {"reject", kText, kNotNull},
    {"detail", kText},
    {"frame", kBytes},
    {"state_met", kJson},
    {"attempts", kInt64, kNotNull},
    {"first_at", kInt64, kNotNull},
    {"last_at", kInt64, kNotNull},
};
constexpr Index kDeadLetterIndexes[] = {{"dead_letter_reject_last_at", "reject, last_at"}};

constexpr Column kLease[] = {
    {"shard", kKey, kNotNull},      {"epoch", kInt64, kNotNull},      {"owner", kText, kNotNull},
    {"taken_at", kInt64, kNotNull}, {"renewed_at", kInt64, kNotNull},
};

constexpr Table kBaseTables[] = {
    {"record", kRecord, "did, collection, rkey", kRecordIndexes},
    {"record_ref", kRecordRef, "did, collection, rkey, ordinal", kRecordRefIndexes},
    {"repo", kRepo, "did", {}},
    {"repo_source", kRepoSource, "did, source", {}},
    {"stream_cursor", kStreamCursor, "source, shard", {}},
    {"gap", kGap, "source, shard, opened_seq, reason", {}},
    {"quarantine", kQuarantine, "source, position, frame_sha256", {}},
    {"dead_letter", kDeadLetter, "source, seq, op", kDeadLetterIndexes},
    {"lease", kLease, "shard", {}},
};

// What readers use. The columns are named, because `SELECT *` would freeze whatever the table has on that
// day.
constexpr std::string_view kBaseStatements[] = {
    "CREATE VIEW visible_record AS "
    "SELECT r.did, r.collection, r.rkey, r.cid, r.rev, r.commit_cid, r.seq, r.source, r.op, r.verification, "
    "r.validation, r.value, r.value_lossy, r.cbor, r.created_at, r.created_us, r.indexed_at "
    "FROM record r "
    "WHERE NOT r.deleted AND r.validation <> 'invalid' "
    "AND NOT EXISTS (SELECT 1 FROM repo a WHERE a.did = r.did AND NOT a.active)",
};

// ---- Migration 2: what verification needs

constexpr Column kIdentity[] = {
    {"did", kKey, kNotNull},     {"fault", kText},
    {"did_key", kText},          {"pds", kText},
    {"handle", kText},           {"handle_state", kText, kNotNull},
    {"document", kText},         {"fetched_at", kInt64, kNotNull},
    {"purged", kBool, kNotNull},
};

constexpr Column kHeldEvent[] = {
    {"did", kKey, kNotNull},       {"source", kKey, kNotNull},       {"seq", kInt64, kNotNull},
    {"ordinal", kInt64, kNotNull}, {"reason", kText, kNotNull},      {"gated", kBool, kNotNull},
    {"frame", kBytes, kNotNull},   {"arrived_at", kInt64, kNotNull},
};
constexpr Index kHeldEventIndexes[] = {{"held_event_did_ordinal", "did, ordinal"}};

constexpr Column kRecordProof[] = {
    {"did", kKey, kNotNull},     {"collection", kKey, kNotNull}, {"rkey", kKey, kNotNull},
    {"rev", kKey, kNotNull},     {"commit_cid", kText},          {"did_key", kText},
    {"proof", kBytes, kNotNull},
};

constexpr Table kVerificationTables[] = {
    {"identity", kIdentity, "did", {}},
    {"held_event", kHeldEvent, "did, source, seq", kHeldEventIndexes},
    {"record_proof", kRecordProof, "did, collection, rkey", {}},
};

constexpr AddedColumn kVerificationColumns[] = {
    {"record", {"allowed", kText}},
    {"repo", {"reason", kText}},
    {"lease", {"verify", kText}},
};

constexpr View kVerificationViews[] = {
    {"visible_record",
     "SELECT r.did, r.collection, r.rkey, r.cid, r.rev, r.commit_cid, r.seq, r.source, r.op, r.verification, "
     "r.validation, r.value, r.value_lossy, r.cbor, r.created_at, r.created_us, r.indexed_at, r.allowed "
     "FROM record r "
     "WHERE NOT r.deleted AND r.validation <> 'invalid' "
     "AND NOT EXISTS (SELECT 1 FROM repo a WHERE a.did = r.did AND NOT a.active)"},
};

// ---- Migration 3: whole repositories

constexpr Column kBackfillRun[] = {
    {"id", kInt64, kNotNull},   {"kind", kText, kNotNull},        {"subject", kKey, kNotNull},
    {"state", kText, kNotNull}, {"started_at", kInt64, kNotNull}, {"ended_at", kInt64},
};

constexpr Column kBackfillListing[] = {
    {"run", kInt64, kNotNull},
    {"host", kKey, kNotNull},
    {"method", kKey, kNotNull},
    {"argument", kKey, kNotNull},
    {"trusted", kBool, kNotNull},
    {"cursor", kText},
    {"done", kBool, kNotNull},
    {"found", kInt64, kNotNull},
    {"attempts", kInt64, kNotNull},
    {"not_before", kInt64, kNotNull},
    {"cause", kText},
};

constexpr Column kBackfillTask[] = {
    {"run", kInt64, kNotNull},
    {"did", kKey, kNotNull},
    {"priority", kInt64, kNotNull},
    {"state", kText, kNotNull},
    {"rev", kKey},
    {"host", kText},
    {"attempts", kInt64, kNotNull},
    {"not_before", kInt64, kNotNull},
    {"owner", kText},
    {"lease_until", kInt64},
    {"cause", kText},
    {"detail", kText},
    {"records", kInt64},
    {"bytes", kInt64},
    {"created_at", kInt64, kNotNull},
    {"ended_at", kInt64},
    {"imports", kInt64, kNotNull},
    {"imported_at", kInt64},
};
// The second answers for the totals of a run by itself.
constexpr Index kBackfillTaskIndexes[] = {
    {"backfill_task_did", "did"},
    {"backfill_task_run_state", "run, state, cause, records, bytes"},
};

constexpr Column kCoverage[] = {
    {"did", kKey, kNotNull},
    {"rule", kKey, kNotNull},
    {"rev", kKey, kNotNull},
    {"covered_at", kInt64, kNotNull},
};
constexpr Index kCoverageIndexes[] = {{"coverage_rule", "rule"}};

constexpr Table kBackfillTables[] = {
    {"backfill_run", kBackfillRun, "id", {}},
    {"backfill_listing", kBackfillListing, "run, host, method, argument", {}},
    {"backfill_task", kBackfillTask, "run, did", kBackfillTaskIndexes},
    {"coverage", kCoverage, "did, rule", kCoverageIndexes},
};

// Indexes over the few rows that are looked for, so that what is done costs nothing. A query must repeat the
// condition word for word to be answered from one.
constexpr std::string_view kBackfillStatements[] = {
    "CREATE UNIQUE INDEX backfill_run_open ON backfill_run (kind, subject) WHERE state = 'open'",
    "CREATE INDEX backfill_listing_open ON backfill_listing (run, not_before) WHERE NOT done",
    "CREATE INDEX backfill_task_queued ON backfill_task (priority, not_before) WHERE state = 'queued'",
    "CREATE INDEX backfill_task_running ON backfill_task (owner) WHERE state = 'running'",
    "CREATE INDEX repo_unsettled ON repo (did) "
    "WHERE sync_state IN ('partial', 'desynchronized', 'in_progress')",
    "CREATE INDEX repo_deleted ON repo (did) WHERE status = 'deleted'",
};

constexpr AddedColumn kBackfillColumns[] = {{"repo", {"status_at", kInt64}}};

constexpr Migration kMigrations[] = {
    {1, "base tables", kBaseTables, kBaseStatements},
    {2, "verification", kVerificationTables, {}, kVerificationColumns, kVerificationViews},
    {3, "backfill", kBackfillTables, kBackfillStatements, kBackfillColumns},
};

// ----

constexpr Column kSchemaMigration[] = {
    {"version", kInt64, kNotNull},
    {"name", kText, kNotNull},
    {"applied_at", kInt64, kNotNull},
};
constexpr Table kSchemaMigrationTable = {"schema_migration", kSchemaMigration, "version", {}};

std::string_view TypeSql(ColumnType type, Dialect dialect) {
  const bool postgres = dialect == Dialect::kPostgres;
  switch (type) {
    case kKey:
      return postgres ? "text COLLATE \"C\"" : "TEXT";  // SQLite compares bytes unless told otherwise
    case kText:
      return postgres ? "text" : "TEXT";
    case kInt64:
      return postgres ? "bigint" : "INTEGER";
    case kBool:
      return postgres ? "boolean" : "INTEGER";
    case kBytes:
      return postgres ? "bytea" : "BLOB";
    case kJson:
      return postgres ? "jsonb" : "TEXT";
  }
  return "";
}

std::string_view ArraySql(ColumnType type) {
  switch (type) {
    case kKey:
    case kText:
      return "text[]";
    case kInt64:
      return "bigint[]";
    case kBool:
      return "boolean[]";
    case kBytes:
      return "bytea[]";
    case kJson:
      return "jsonb[]";
  }
  return "";
}

std::string ColumnSql(const Column& column, Dialect dialect) {
  std::string sql(column.name);
  sql.append(" ").append(TypeSql(column.type, dialect));
  if (column.not_null) sql.append(" NOT NULL");
  return sql;
}

std::string CreateTableSql(const Table& table, Dialect dialect, std::string_view if_not_exists = "") {
  std::string sql = "CREATE TABLE ";
  sql.append(if_not_exists).append(table.name).append(" (");
  for (const Column& column : table.columns) {
    sql.append(ColumnSql(column, dialect)).append(", ");
  }
  sql.append("PRIMARY KEY (").append(table.primary_key).append("))");
  // STRICT makes SQLite refuse a value of the wrong type, as PostgreSQL does. Rowid tables on purpose:
  // WITHOUT ROWID is two to three times slower with rows of this size.
  if (dialect == Dialect::kSqlite) sql.append(" STRICT");
  return sql;
}

}  // namespace

std::span<const Migration> Migrations() { return kMigrations; }

int64_t SchemaVersion() { return std::rbegin(kMigrations)->version; }

std::string CreateMigrationTableSql(Dialect dialect) {
  return CreateTableSql(kSchemaMigrationTable, dialect, "IF NOT EXISTS ");
}

std::vector<std::string> RenderMigration(const Migration& migration, Dialect dialect) {
  std::vector<std::string> statements;
  for (const Table& table : migration.creates) {
    statements.push_back(CreateTableSql(table, dialect));
    for (const Index& index : table.indexes) {
      std::string sql = "CREATE INDEX ";
      sql.append(index.name).append(" ON ").append(table.name).append(" (").append(index.columns).append(")");
      statements.push_back(std::move(sql));
    }
  }
  for (std::string_view statement : migration.statements) statements.emplace_back(statement);
  for (const AddedColumn& added : migration.adds) {
    std::string sql = "ALTER TABLE ";
    sql.append(added.table).append(" ADD COLUMN ").append(ColumnSql(added.column, dialect));
    statements.push_back(std::move(sql));
  }
  for (const View& view : migration.views) {
    const bool replace = dialect == Dialect::kPostgres;
    std::string sql = replace ? "CREATE OR REPLACE VIEW " : "CREATE VIEW ";
    sql.append(view.name).append(" AS ").append(view.select);
    if (!replace) statements.push_back("DROP VIEW IF EXISTS " + std::string(view.name));
    statements.push_back(std::move(sql));
  }
  return statements;
}

absl::Status CheckSchemaVersion(int64_t current) {
  if (current == SchemaVersion()) return absl::OkStatus();
  std::string message = "the store's schema has version " + std::to_string(current);
  message.append(current > SchemaVersion() ? ", newer than this program's " : ", older than this program's ");
  message.append(std::to_string(SchemaVersion()));
  message.append(current > SchemaVersion() ? ": use the newer program"
                                           : ": whoever opens it for writing migrates it");
  return FailedPreconditionError(message);
}

absl::StatusOr<std::vector<std::string>> PendingMigrations(int64_t current, Dialect dialect, int64_t now_us) {
  if (current > SchemaVersion()) return CheckSchemaVersion(current);
  std::vector<std::string> all;
  for (const Migration& migration : kMigrations) {
    if (migration.version <= current) continue;
    for (std::string& statement : RenderMigration(migration, dialect)) all.push_back(std::move(statement));
    std::string done = "INSERT INTO schema_migration (version, name, applied_at) VALUES (";
    done.append(std::to_string(migration.version)).append(", '").append(migration.name).append("', ");
    done.append(std::to_string(now_us)).append(")");
    all.push_back(std::move(done));
  }
  return all;
}

std::string RenderInsert(const Insert& insert, Dialect dialect) {
  std::string sql = "INSERT INTO ";
  sql.append(insert.table).append(" (");
  for (size_t i = 0; i < insert.columns.size(); ++i) {
    if (i > 0) sql.append(", ");
    sql.append(insert.columns[i].name);
  }
  // In the target list, not in FROM: there the server would put each array into a tuple store of its own
  // first, which costs a fifth of the whole statement. All have the same length, so they advance in step.
  sql.append(dialect == Dialect::kPostgres ? ") SELECT " : ") VALUES (");
  for (size_t i = 0; i < insert.columns.size(); ++i) {
    if (i > 0) sql.append(", ");
    const std::string number = std::to_string(i + 1);
    if (dialect == Dialect::kPostgres) {
      sql.append("unnest($").append(number).append("::").append(ArraySql(insert.columns[i].type)).append(")");
    } else {
      sql.append("?").append(number);
    }
  }
  sql.append(dialect == Dialect::kPostgres ? " " : ") ").append(insert.on_conflict);
  return sql;
}

}  // namespace penstock::indexer
