#pragma once

// sqlite3 handles with owners, and its errors as Status. Not thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace penstock::indexer {

// A prepared statement. Parameters are given in order, ?1 first; what is given must live until the Step. Fits
// as the Row of batch_sql.h.
class SqliteStatement {
 public:
  SqliteStatement() = default;

  void Text(std::string_view text);
  void TextOrNull(std::string_view text) { text.empty() ? Null() : Text(text); }
  void JsonOrNull(std::string_view json) { TextOrNull(json); }
  void BytesOrNull(Bytes bytes);
  void Int(int64_t value);
  void IntOrNull(std::optional<int64_t> value) { value ? Int(*value) : Null(); }
  void Bool(bool value) { Int(value ? 1 : 0); }
  void Null() { ++parameter_; }  // Reset leaves every parameter NULL

  // Runs a statement that gives no rows, and makes it ready for the next one.
  absl::Status Run();
  // Moves to the next row: true if there is one. After the last, or an error, Reset is still due.
  absl::StatusOr<bool> Step();
  void Reset();

  // Of the current row. Views until the next Step or Reset.
  int columns() const;
  std::string_view column_name(int column) const;
  bool is_null(int column) const;
  bool is_blob(int column) const;
  int64_t int64(int column) const;
  std::string_view text(int column) const;
  Bytes bytes(int column) const;
  bool read_only() const;

 private:
  friend class SqliteConnection;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int parameter_ = 0;
};

class SqliteConnection {
 public:
  // Opens or creates the file and sets what docs/schema.md says of it. `busy_timeout_us`: how long a
  // statement waits for somebody else's write.
  static absl::StatusOr<SqliteConnection> Open(const std::string& path, int64_t busy_timeout_us);

  // To read a file that somebody else may be writing: never blocks that, nor waits for it. The file must be
  // there.
  static absl::StatusOr<SqliteConnection> OpenReadOnly(const std::string& path, int64_t busy_timeout_us);

  // To write beside the writer, in a file that is there.
  static absl::StatusOr<SqliteConnection> OpenExisting(const std::string& path, int64_t busy_timeout_us);

  absl::StatusOr<SqliteStatement> Prepare(std::string_view sql);
  absl::Status Execute(const std::string& sql);

  // Rows that the last INSERT, UPDATE or DELETE touched.
  int64_t changes() const;
  // To tell an insert from an update after an upsert: the former sets it.
  int64_t last_insert_rowid() const;
  void set_last_insert_rowid(int64_t rowid);
  bool in_transaction() const;

 private:
  static absl::StatusOr<SqliteConnection> OpenWith(const std::string& path, int flags,
                                                   int64_t busy_timeout_us);
  struct Close {
    void operator()(sqlite3* db) const;
  };
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace penstock::indexer
