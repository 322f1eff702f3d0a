#include "indexer/sqlite/session.h"

#include "base/status.h"
#include "indexer/schema.h"

namespace penstock::indexer {

absl::Status SqliteSession::Open() {
  if (mode_ == Mode::kReadOnly) {
    ASSIGN_OR_RETURN(db_, SqliteConnection::OpenReadOnly(path_, busy_timeout_us_));
  } else {
    ASSIGN_OR_RETURN(db_, SqliteConnection::OpenExisting(path_, busy_timeout_us_));
  }
  return CheckSchema();
}

absl::Status SqliteSession::CheckSchema() {
  ASSIGN_OR_RETURN(SqliteStatement table,
                   db_->Prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migration'"));
  ASSIGN_OR_RETURN(const bool is_store, table.Step());
  if (!is_store) return FailedPreconditionError("sqlite: not a store of penstock: " + path_);
  ASSIGN_OR_RETURN(SqliteStatement version, db_->Prepare("SELECT max(version) FROM schema_migration"));
  ASSIGN_OR_RETURN(const bool row, version.Step());
  return CheckSchemaVersion(row ? version.int64(0) : 0);
}

absl::Status Prepare(SqliteConnection& db, std::string_view sql, SqliteStatement* statement) {
  ASSIGN_OR_RETURN(*statement, db.Prepare(sql));
  return absl::OkStatus();
}

}  // namespace penstock::indexer
