#pragma once

// libpq's connection and results with owners, its errors as Status, and a deadline on every wait. Not
// thread-safe.

#include <cstdint>
#include <functional>
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
  bool boolean(int row, int column) const {
    return text(row, column) != std::string_view("\0", 1);
  }                          // binary
  int64_t affected() const;  // rows of an INSERT, UPDATE or DELETE
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

// A single text or bigint as such a parameter. The latter keeps its bytes, so it must outlive the parameter.
constexpr PgParam PgText(std::string_view text) { return {25, text}; }
class PgInt {
 public:
  explicit PgInt(int64_t value) : big_endian_(__builtin_bswap64(static_cast<uint64_t>(value))) {}
  PgParam param() const {
    return {20, std::string_view(reinterpret_cast<const char*>(&big_endian_), sizeof(big_endian_))};
  }

 private:
  uint64_t big_endian_;
};

// What every session of ours sets. Every statement that matters is a look-up by key. The planner, which knows
// nothing of a table that has grown by millions since it was last analysed, must not turn a thousand look-ups
// into a scan.
inline constexpr char kPgSessionSql[] =
    "SET client_min_messages = warning; SET lock_timeout = '30s'; "
    "SET idle_in_transaction_session_timeout = '60s'; "
    "SET tcp_keepalives_idle = 15; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3; "
    "SET plan_cache_mode = force_generic_plan; SET jit = off; "
    "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off";

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
  // The same with parameters; results in binary form.
  absl::StatusOr<PgResult> ExecuteParams(const std::string& sql, std::span<const PgParam> parameters);
  absl::Status Prepare(const std::string& name, const std::string& sql, std::span<const PgParam> types);
  // Results in binary form.
  absl::StatusOr<PgResult> ExecutePrepared(const std::string& name, std::span<const PgParam> parameters);

  // The same, row by row: `visit` sees each as soon as it is here, and never more than one is in memory.
  // After an error those that it saw were good all the same.
  absl::Status StreamPrepared(const std::string& name, std::span<const PgParam> parameters,
                              const std::function<void(const PgResult&)>& visit);

  // `text` as a literal with its quotes.
  std::string Quote(std::string_view text) const;
  void set_statement_timeout_us(int64_t timeout_us) { statement_timeout_us_ = timeout_us; }
  // False once the connection is lost, also after a deadline.
  bool alive() const;
  int backend_pid() const;

 private:
  // `name`: of a prepared statement; with `sql` none is needed.
  bool Send(const std::string& name, const std::string* sql, std::span<const PgParam> parameters);
  bool SendPrepared(const std::string& name, std::span<const PgParam> parameters);
  // Sends what is queued, waits for all results, keeps the last one or the first error.
  absl::StatusOr<PgResult> Finish(bool sent, const std::function<void(const PgResult&)>& visit_row = {});
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
