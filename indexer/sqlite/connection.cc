#include "indexer/sqlite/connection.h"

#include <sqlite3.h>

#include "absl/strings/str_cat.h"
#include "base/reject.h"
#include "base/status.h"

namespace penstock::indexer {
namespace {

absl::Status FromSqlite(sqlite3* db, int code) {
  std::string words = "sqlite: ";
  words.append(db != nullptr ? sqlite3_errmsg(db) : sqlite3_errstr(code));
  words.append(" (").append(std::to_string(db != nullptr ? sqlite3_extended_errcode(db) : code)).append(")");
  switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
      return RejectError(Reject::kStoreRefused, words);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT:
      return UnavailableError(words);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return DataLossError(words);
    default:
      return InternalError(words);
  }
}

}  // namespace

void SqliteStatement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

// Binding fails only for an index that is not there or a value over SQLite's limit; the former is found by
// the first test that runs, the latter shows as NULL in a NOT NULL column or is far above what a record can
// hold.
void SqliteStatement::Text(std::string_view text) {
  const char* at = text.data() != nullptr ? text.data() : "";
  sqlite3_bind_text(statement_.get(), ++parameter_, at, static_cast<int>(text.size()), SQLITE_STATIC);
}

void SqliteStatement::BytesOrNull(Bytes bytes) {
  if (bytes.empty()) return Null();
  sqlite3_bind_blob(statement_.get(), ++parameter_, bytes.data(), static_cast<int>(bytes.size()),
                    SQLITE_STATIC);
}

void SqliteStatement::Int(int64_t value) { sqlite3_bind_int64(statement_.get(), ++parameter_, value); }

absl::Status SqliteStatement::Run() {
  const int code = sqlite3_step(statement_.get());
  absl::Status status;
  if (code != SQLITE_DONE && code != SQLITE_ROW)
    status = FromSqlite(sqlite3_db_handle(statement_.get()), code);
  Reset();
  return status;
}

absl::StatusOr<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return FromSqlite(sqlite3_db_handle(statement_.get()), code);
}

void SqliteStatement::Reset() {
  sqlite3_reset(statement_.get());
  sqlite3_clear_bindings(statement_.get());
  parameter_ = 0;
}

int SqliteStatement::columns() const { return sqlite3_column_count(statement_.get()); }
std::string_view SqliteStatement::column_name(int column) const {
  return sqlite3_column_name(statement_.get(), column);
}
bool SqliteStatement::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}
bool SqliteStatement::is_blob(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_BLOB;
}
int64_t SqliteStatement::int64(int column) const { return sqlite3_column_int64(statement_.get(), column); }
std::string_view SqliteStatement::text(int column) const { return AsText(bytes(column)); }
Bytes SqliteStatement::bytes(int column) const {
  // In this order: column_text converts a number in place, column_bytes then measures the text.
  const void* at = is_blob(column) ? sqlite3_column_blob(statement_.get(), column)
                                   : static_cast<const void*>(sqlite3_column_text(statement_.get(), column));
  return Bytes(static_cast<const uint8_t*>(at),
               static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column)));
}
bool SqliteStatement::read_only() const { return sqlite3_stmt_readonly(statement_.get()) != 0; }

void SqliteConnection::Close::operator()(sqlite3* db) const { sqlite3_close_v2(db); }

absl::StatusOr<SqliteConnection> SqliteConnection::OpenWith(const std::string& path, int flags,
                                                            int64_t busy_timeout_us) {
  sqlite3* db = nullptr;
  // NOMUTEX: a connection belongs to one thread.
  const int code = sqlite3_open_v2(path.c_str(), &db, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteConnection connection;
  connection.db_.reset(db);
  if (code != SQLITE_OK) {
    absl::Status status = FromSqlite(db, code);
    return absl::Status(status.code(), absl::StrCat(ToAbsl(Message(status)), ": ", path));
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, static_cast<int>(busy_timeout_us / 1000));
  return connection;
}

absl::StatusOr<SqliteConnection> SqliteConnection::Open(const std::string& path, int64_t busy_timeout_us) {
  ASSIGN_OR_RETURN(SqliteConnection connection,
                   OpenWith(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, busy_timeout_us));
  // WAL with synchronous=NORMAL: a crashed process loses nothing; a power cut may take the last transactions,
  // whole, rows and cursor together, and they come again from the stream. The long wal_autocheckpoint (64 MB)
  // and the small cache are measured choices (docs/architecture.md 6).
  for (const char* sql : {"PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL",
                          "PRAGMA wal_autocheckpoint=16000", "PRAGMA cache_size=-8192"}) {
    RETURN_IF_ERROR(connection.Execute(sql));
  }
  return connection;
}

absl::StatusOr<SqliteConnection> SqliteConnection::OpenReadOnly(const std::string& path,
                                                                int64_t busy_timeout_us) {
  ASSIGN_OR_RETURN(SqliteConnection connection, OpenWith(path, SQLITE_OPEN_READONLY, busy_timeout_us));
  // Look-ups by key, or one pass over everything: neither gains from a large cache.
  RETURN_IF_ERROR(connection.Execute("PRAGMA cache_size=-2048"));
  return connection;
}

absl::StatusOr<SqliteConnection> SqliteConnection::OpenExisting(const std::string& path,
                                                                int64_t busy_timeout_us) {
  ASSIGN_OR_RETURN(SqliteConnection connection, OpenWith(path, SQLITE_OPEN_READWRITE, busy_timeout_us));
  // The checkpoint as seldom as the writer's: it comes with whoever's commit it is due at.
  for (const char* sql :
       {"PRAGMA synchronous=NORMAL", "PRAGMA wal_autocheckpoint=16000", "PRAGMA cache_size=-2048"}) {
    RETURN_IF_ERROR(connection.Execute(sql));
  }
  return connection;
}

absl::StatusOr<SqliteStatement> SqliteConnection::Prepare(std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  const int code = sqlite3_prepare_v3(db_.get(), sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &raw, &rest);
  SqliteStatement statement;
  statement.statement_.reset(raw);
  if (code != SQLITE_OK) return FromSqlite(db_.get(), code);
  const std::string_view after = sql.substr(static_cast<size_t>(rest - sql.data()));
  if (raw == nullptr || after.find_first_not_of(" \t\r\n;") != after.npos)
    return InvalidInputError("sqlite: not one statement");
  return statement;
}

absl::Status SqliteConnection::Execute(const std::string& sql) {
  const int code = sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : FromSqlite(db_.get(), code);
}

int64_t SqliteConnection::changes() const { return sqlite3_changes64(db_.get()); }
int64_t SqliteConnection::last_insert_rowid() const { return sqlite3_last_insert_rowid(db_.get()); }
void SqliteConnection::set_last_insert_rowid(int64_t rowid) {
  sqlite3_set_last_insert_rowid(db_.get(), rowid);
}
bool SqliteConnection::in_transaction() const { return sqlite3_get_autocommit(db_.get()) == 0; }

}  // namespace penstock::indexer
