#pragma once

// libpq's connection and results with owners, its errors as Status, and a deadline on every wait. Not
// thread-safe.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

struct pg_conn;
struct pg_result;

namespace penstock::indexer {

class PgResult {
 public:
  PgResult() = default;
  explicit PgResult(pg_result* result) : result_(result) {}

  int rows() const;
  int columns() const;
  std::string_view column_name(int column) const;
  uint32_t column_type(int column) const;  // OID
  bool is_null(int row, int column) const;
  std::string_view text(int row, int column) const;  // or the raw bytes of a binary result
  int64_t int64(int row, int column) const;          // of a binary bigint
  int64_t affected() const;                          // rows of an INSERT, UPDATE or DELETE
  pg_result* get() const { return result_.get(); }

 private:
  struct Clear {
    void operator()(pg_result* result) const;
  };
  std::unique_ptr<pg_result, Clear> result_;
};

// A parameter in binary format; views.
struct PgParam {
  uint32_t type;  // OID
  std::string_view value;
};

struct PgConnectOptions {
  std::string url;
  std::string name;  // application_name, unless the URL has one
  int64_t connect_timeout_us = 0;
  int64_t statement_timeout_us = 0;
};

// Errors of all that talks to the server: kUnavailable when it or the way to it is gone, busy or full;
// Reject::kStoreRefused when it refuses what a row holds (SQLSTATE classes 22, 23, 44, 54, P0); kDataLoss,
// kInternal.
class PgConnection {
 public:
  static absl::StatusOr<PgConnection> Connect(const PgConnectOptions& options);

  // One or more statements without parameters; the last one's result, in text form.
  absl::StatusOr<PgResult> Execute(const std::string& sql);
  // One statement without parameters; text form.
  absl::StatusOr<PgResult> ExecuteOne(const std::string& sql);
  absl::Status Prepare(const std::string& name, const std::string& sql, std::span<const PgParam> types);
  // Results in binary form.
  absl::StatusOr<PgResult> ExecutePrepared(const std::string& name, std::span<const PgParam> parameters);

  // `text` as a literal with its quotes.
  std::string Quote(std::string_view text) const;
  void set_statement_timeout_us(int64_t timeout_us) { statement_timeout_us_ = timeout_us; }
  // False once the connection is lost, also after a deadline.
  bool alive() const;
  int backend_pid() const;

 private:
  // Sends what is queued, waits for all results, keeps the last one or the first error.
  absl::StatusOr<PgResult> Finish(bool sent);
  absl::Status Poll(short events, int64_t deadline_us);
  absl::Status ConnectionError() const;

  struct Close {
    void operator()(pg_conn* connection) const;
  };
  std::unique_ptr<pg_conn, Close> connection_;
  int64_t statement_timeout_us_ = 0;
  bool timed_out_ = false;
};

}  // namespace penstock::indexer
