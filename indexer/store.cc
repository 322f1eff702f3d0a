#include "indexer/store.h"

#include "base/status.h"
#include "indexer/postgres/backfill.h"
#include "indexer/postgres/postgres_store.h"
#include "indexer/postgres/reader.h"
#include "indexer/readers.h"
#include "indexer/sqlite/backfill.h"
#include "indexer/sqlite/reader.h"
#include "indexer/sqlite/sqlite_store.h"

namespace penstock::indexer {
namespace {

// libpq's other form: `host=… dbname=…`. A path that begins so can be written as sqlite:PATH.
bool IsKeyValue(std::string_view url) {
  const size_t word = url.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  return word != url.npos && word > 0 && url[word] == '=';
}

// The path of an SQLite file; nullopt for what libpq understands.
absl::StatusOr<std::optional<std::string>> SqlitePath(std::string_view url) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (url.starts_with("postgresql://") || url.starts_with("postgres://") || IsKeyValue(url))
    return std::optional<std::string>();
  if (url.starts_with(kSqlite)) {
    url.remove_prefix(kSqlite.size());
  } else if (const size_t scheme = url.find("://"); scheme != url.npos) {
    return InvalidInputError("no store of this kind: " + std::string(url.substr(0, scheme)) +
                             ":// (sqlite:PATH or postgresql://…)");
  }
  if (url.empty()) return InvalidInputError("a store needs a URL: sqlite:PATH or postgresql://…");
  return std::optional<std::string>(url);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> MakeStore(const StoreOptions& options) {
  if (options.clock == nullptr) return InvalidInputError("a store needs a clock");
  ASSIGN_OR_RETURN(std::optional<std::string> path, SqlitePath(options.url));
  return path ? MakeSqliteStore(options, *std::move(path)) : MakePostgresStore(options);
}

absl::StatusOr<std::unique_ptr<sync::StateStore>> MakeStateStore(const StoreOptions& options) {
  ASSIGN_OR_RETURN(std::optional<std::string> path, SqlitePath(options.url));
  return path ? MakeSqliteStateStore(options, *std::move(path)) : MakePostgresStateStore(options);
}

absl::StatusOr<std::unique_ptr<RecordScan>> MakeRecordScan(const StoreOptions& options) {
  ASSIGN_OR_RETURN(std::optional<std::string> path, SqlitePath(options.url));
  return path ? MakeSqliteRecordScan(options, *std::move(path)) : MakePostgresRecordScan(options);
}

absl::StatusOr<std::unique_ptr<AccountScan>> MakeAccountScan(const StoreOptions& options) {
  ASSIGN_OR_RETURN(std::optional<std::string> path, SqlitePath(options.url));
  return path ? MakeSqliteAccountScan(options, *std::move(path)) : MakePostgresAccountScan(options);
}

absl::StatusOr<std::unique_ptr<sync::BackfillStore>> MakeBackfillStore(const StoreOptions& options) {
  ASSIGN_OR_RETURN(std::optional<std::string> path, SqlitePath(options.url));
  return path ? MakeSqliteBackfillStore(options, *std::move(path)) : MakePostgresBackfillStore(options);
}

}  // namespace penstock::indexer
