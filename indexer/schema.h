#pragma once

// The one definition of our tables, rendered to both dialects. docs/schema.md says what each column means and
// how to read them. Pure.
//
// A table's definition belongs to the migration that creates it. Once that migration has been released, later
// ones add to the table by statements of their own and never edit the definition.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace penstock::indexer {

enum class Dialect : uint8_t { kSqlite, kPostgres };

enum class ColumnType : uint8_t {
  kKey,    // text compared byte by byte: COLLATE "C" / BINARY. DIDs, NSIDs, record keys, revs
  kText,   // text that is never ordered by
  kInt64,  // seqs, and microseconds since the Unix epoch
  kBool,   // boolean / INTEGER 0 or 1
  kBytes,  // bytea / BLOB
  kJson,   // jsonb / TEXT
};

struct Column {
  std::string_view name;
  ColumnType type;
  bool not_null = false;
};

struct Index {
  std::string_view name;
  std::string_view columns;  // "collection, indexed_at"
};

struct Table {
  std::string_view name;
  std::span<const Column> columns;
  std::string_view primary_key;  // "did, collection, rkey"
  std::span<const Index> indexes;
};

// A column that a later migration gives to a table. Rows that are there already have NULL in it.
struct AddedColumn {
  std::string_view table;
  Column column;
};

// A view, made or made anew. In PostgreSQL it is replaced in place, so that views of others upon it stay;
// that only allows new columns at the end.
struct View {
  std::string_view name;
  std::string_view select;  // the same text in both dialects
};

struct Migration {
  int64_t version;
  std::string_view name;
  std::span<const Table> creates;
  std::span<const std::string_view> statements;  // after the tables; the same text in both dialects
  std::span<const AddedColumn> adds = {};        // after those
  std::span<const View> views = {};              // at last
};

// In the order of their versions, 1, 2, …
std::span<const Migration> Migrations();

// The version of the schema that this program reads and writes: the last migration's.
int64_t SchemaVersion();

// The table that remembers which migrations ran; made before all others, if it is not there.
std::string CreateMigrationTableSql(Dialect dialect);

// The statements of one migration.
std::vector<std::string> RenderMigration(const Migration& migration, Dialect dialect);

// What brings a database of version `current` (0 for an empty one) to SchemaVersion(), each migration's row
// in schema_migration included; to run in one transaction, under the lease. Nothing when it is there already.
// Errors: kFailedPrecondition if `current` is newer than this program.
absl::StatusOr<std::vector<std::string>> PendingMigrations(int64_t current, Dialect dialect, int64_t now_us);

// For who only reads and cannot migrate. Errors: kFailedPrecondition unless `current` is SchemaVersion().
absl::Status CheckSchemaVersion(int64_t current);

// A write of one table: its columns, and what happens to a row whose key is there already.
struct Insert {
  std::string_view table;
  std::span<const Column> columns;
  std::string_view on_conflict;  // "ON CONFLICT (…) DO …", the same text in both dialects
};

// SQLite: one row, parameter ?N is column N. PostgreSQL: any number of rows, parameter $N is the array of
// column N.
std::string RenderInsert(const Insert& insert, Dialect dialect);

}  // namespace penstock::indexer
