#pragma once

// A connection beside the store's writer, opened by its first use. For one thread.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "indexer/sqlite/connection.h"
#include "indexer/store.h"

namespace penstock::indexer {

class SqliteSession {
 public:
  enum class Mode : uint8_t { kReadOnly, kReadWrite };
  SqliteSession(const StoreOptions& options, std::string path, Mode mode = Mode::kReadOnly)
      : path_(std::move(path)),
        busy_timeout_us_(std::min<int64_t>(options.statement_timeout_us, 5'000'000)),
        mode_(mode) {}

  // Ready to be used. `prepare` is called once on a new connection. Errors: as indexer/readers.h.
  template <typename PrepareAll>
  absl::Status EnsureOpen(const PrepareAll& prepare) {
    if (db_) return absl::OkStatus();
    absl::Status status = Open();
    if (status.ok()) status = prepare(*db_);
    if (!status.ok()) db_.reset();
    return status;
  }
  SqliteConnection& db() { return *db_; }

 private:
  absl::Status Open();
  absl::Status CheckSchema();

  const std::string path_;
  const int64_t busy_timeout_us_;
  const Mode mode_;
  std::optional<SqliteConnection> db_;
};

absl::Status Prepare(SqliteConnection& db, std::string_view sql, SqliteStatement* statement);

// Calls `visit` for each row, and makes the statement ready for the next use, whatever happens.
template <typename Visit>
absl::Status ForEachRow(SqliteStatement& statement, const Visit& visit) {
  absl::Status status;
  for (;;) {
    const absl::StatusOr<bool> row = statement.Step();
    status = row.status();
    if (!row.value_or(false)) break;
    status = visit();
    if (!status.ok()) break;
  }
  statement.Reset();
  return status;
}

}  // namespace penstock::indexer
