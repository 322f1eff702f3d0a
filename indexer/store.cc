#include "indexer/store.h"

#include "base/status.h"
#include "indexer/postgres/postgres_store.h"
#include "indexer/sqlite/sqlite_store.h"

namespace penstock::indexer {
namespace {

// libpq's other form: `host=… dbname=…`. A path that begins so can be written as sqlite:PATH.
bool IsKeyValue(std::string_view url) {
  const size_t word = url.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  return word != url.npos && word > 0 && url[word] == '=';
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> MakeStore(const StoreOptions& options) {
  constexpr std::string_view kSqlite = "sqlite:";
  if (options.clock == nullptr) return InvalidInputError("a store needs a clock");
  std::string_view url = options.url;
  if (url.starts_with("postgresql://") || url.starts_with("postgres://") || IsKeyValue(url))
    return MakePostgresStore(options);
  if (url.starts_with(kSqlite)) {
    url.remove_prefix(kSqlite.size());
  } else if (const size_t scheme = url.find("://"); scheme != url.npos) {
    return InvalidInputError("no store of this kind: " + std::string(url.substr(0, scheme)) +
                             ":// (sqlite:PATH or postgresql://…)");
  }
  if (url.empty()) return InvalidInputError("a store needs a URL: sqlite:PATH or postgresql://…");
  return MakeSqliteStore(options, std::string(url));
}

}  // namespace penstock::indexer
