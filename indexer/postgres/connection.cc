#include "indexer/postgres/connection.h"

#include <libpq-fe.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "base/reject.h"
#include "base/status.h"

namespace penstock::indexer {
namespace {

int64_t SteadyMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// libpq ends its messages with a newline and spreads them over lines.
std::string OneLine(const char* message) {
  std::string text(message != nullptr ? message : "");
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

// https://www.postgresql.org/docs/15/errcodes-appendix.html
bool RefusesTheRow(std::string_view sqlstate) {
  // The bytes of an array did not parse: that is our own mistake, and must not turn every row into a dead
  // letter.
  if (sqlstate == "22P03") return false;
  const std::string_view kind = sqlstate.substr(0, 2);
  return kind == "22"      // data exception
         || kind == "23"   // constraint violation
         || kind == "44"   // WITH CHECK OPTION
         || kind == "54"   // program limit exceeded: too long for an index, nested too deeply
         || kind == "P0";  // RAISE in somebody's trigger
}

bool WorthARetry(std::string_view sqlstate) {
  const std::string_view kind = sqlstate.substr(0, 2);
  return kind == "08"             // connection
         || kind == "40"          // serialization failure, deadlock
         || kind == "53"          // disk full, out of memory, too many connections
         || kind == "55"          // lock not available
         || kind == "57"          // shutting down, starting up, cancelled
         || kind == "58"          // the system below: I/O
         || sqlstate == "25006"   // read-only: a standby on its way to become the primary
         || sqlstate == "25P03";  // idle in transaction for too long: it has ended the session
}

absl::Status FromResult(const PGresult* result) {
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  if (sqlstate == nullptr) return UnavailableError("postgresql: " + OneLine(PQresultErrorMessage(result)));
  // The primary message only: the detail quotes whole rows.
  std::string words = "postgresql: ";
  words.append(OneLine(PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)));
  words.append(" (SQLSTATE ").append(sqlstate).append(")");
  if (RefusesTheRow(sqlstate)) return RejectError(Reject::kStoreRefused, words);
  if (WorthARetry(sqlstate)) return UnavailableError(words);
  if (std::string_view(sqlstate).starts_with("XX00") && std::string_view(sqlstate) != "XX000")
    return DataLossError(words);
  return InternalError(words);
}

}  // namespace

void PgResult::Clear::operator()(pg_result* result) const { PQclear(result); }
int PgResult::rows() const { return PQntuples(result_.get()); }
int PgResult::columns() const { return PQnfields(result_.get()); }
std::string_view PgResult::column_name(int column) const { return PQfname(result_.get(), column); }
uint32_t PgResult::column_type(int column) const { return PQftype(result_.get(), column); }
bool PgResult::is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
std::string_view PgResult::text(int row, int column) const {
  return std::string_view(PQgetvalue(result_.get(), row, column),
                          static_cast<size_t>(PQgetlength(result_.get(), row, column)));
}
int64_t PgResult::int64(int row, int column) const {
  uint64_t value = 0;
  for (const char byte : text(row, column)) value = value << 8 | static_cast<uint8_t>(byte);
  return static_cast<int64_t>(value);
}
int64_t PgResult::affected() const { return std::strtoll(PQcmdTuples(result_.get()), nullptr, 10); }

void PgConnection::Close::operator()(pg_conn* connection) const { PQfinish(connection); }

absl::StatusOr<PgConnection> PgConnection::Connect(const PgConnectOptions& options) {
  // libpq takes whole seconds, two at least.
  const std::string connect_timeout =
      std::to_string(std::max<int64_t>(2, (options.connect_timeout_us + 999'999) / 1'000'000));
  const std::string user_timeout = std::to_string(options.statement_timeout_us / 1000);
  // What comes later overrides, so the URL (expanded from "dbname") beats our defaults, but not the encoding.
  const char* const keywords[] = {"fallback_application_name",
                                  "connect_timeout",
                                  "keepalives_idle",
                                  "keepalives_interval",
                                  "keepalives_count",
                                  "tcp_user_timeout",
                                  "dbname",
                                  "client_encoding",
                                  nullptr};
  const char* const values[] = {options.name.c_str(), connect_timeout.c_str(), "15",   "5",    "3",
                                user_timeout.c_str(), options.url.c_str(),     "UTF8", nullptr};
  PgConnection connection;
  connection.connection_.reset(PQconnectdbParams(keywords, values, /*expand_dbname=*/1));
  connection.statement_timeout_us_ = options.statement_timeout_us;
  pg_conn* raw = connection.connection_.get();
  if (PQstatus(raw) != CONNECTION_OK) return connection.ConnectionError();
  PQsetNoticeProcessor(
      raw, [](void*, const char*) {}, nullptr);
  if (PQsetnonblocking(raw, 1) != 0) return connection.ConnectionError();
  return connection;
}

absl::Status PgConnection::ConnectionError() const {
  return UnavailableError("postgresql: " + OneLine(PQerrorMessage(connection_.get())));
}

bool PgConnection::alive() const { return !timed_out_ && PQstatus(connection_.get()) == CONNECTION_OK; }
int PgConnection::backend_pid() const { return PQbackendPID(connection_.get()); }

absl::Status PgConnection::Poll(short events, int64_t deadline_us) {
  for (;;) {
    const int64_t left_us = deadline_us - SteadyMicros();
    pollfd polled = {PQsocket(connection_.get()), events, 0};
    const int ready =
        left_us <= 0 ? 0
                     : poll(&polled, 1, static_cast<int>(std::min<int64_t>(left_us / 1000 + 1, 1'000'000)));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR)
      return UnavailableError(std::string("postgresql: poll: ") + std::strerror(errno));
    if (ready == 0 && left_us <= 0) {
      // Whatever it does with our statement now, we are not listening any more.
      timed_out_ = true;
      return UnavailableError("postgresql: no answer within " + std::to_string(statement_timeout_us_ / 1000) +
                              " ms");
    }
  }
}

absl::StatusOr<PgResult> PgConnection::Finish(bool sent,
                                              const std::function<void(const PgResult&)>& visit_row) {
  pg_conn* raw = connection_.get();
  if (!sent) return ConnectionError();
  int64_t deadline_us = SteadyMicros() + statement_timeout_us_;
  for (int more = PQflush(raw); more != 0; more = PQflush(raw)) {
    if (more < 0) return ConnectionError();
    RETURN_IF_ERROR(Poll(POLLIN | POLLOUT, deadline_us));
    // Also while sending: a server that has something to say may not read before we have listened.
    if (PQconsumeInput(raw) == 0) return ConnectionError();
  }
  PgResult last;
  absl::Status error;
  for (;;) {
    while (PQisBusy(raw) != 0) {
      RETURN_IF_ERROR(Poll(POLLIN, deadline_us));
      if (PQconsumeInput(raw) == 0) return ConnectionError();
    }
    PgResult result(PQgetResult(raw));
    if (result.get() == nullptr) break;
    const ExecStatusType status = PQresultStatus(result.get());
    if (status == PGRES_SINGLE_TUPLE) {
      visit_row(result);
      deadline_us =
          SteadyMicros() + statement_timeout_us_;  // it is silence that counts, not the rows' number
      continue;
    }
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_EMPTY_QUERY) {
      if (error.ok()) error = FromResult(result.get());
    } else {
      last = std::move(result);
    }
    if (PQstatus(raw) != CONNECTION_OK) break;  // it would repeat the same error for ever
  }
  if (!error.ok()) return error;
  if (last.get() == nullptr) return ConnectionError();
  return last;
}

absl::StatusOr<PgResult> PgConnection::Execute(const std::string& sql) {
  return Finish(PQsendQuery(connection_.get(), sql.c_str()) == 1);
}

absl::StatusOr<PgResult> PgConnection::ExecuteOne(const std::string& sql) {
  return Finish(PQsendQueryParams(connection_.get(), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) ==
                1);
}

absl::Status PgConnection::Prepare(const std::string& name, const std::string& sql,
                                   std::span<const PgParam> types) {
  std::vector<Oid> oids;
  for (const PgParam& type : types) oids.push_back(type.type);
  const int count = static_cast<int>(oids.size());
  return Finish(PQsendPrepare(connection_.get(), name.c_str(), sql.c_str(), count, oids.data()) == 1)
      .status();
}

bool PgConnection::SendPrepared(const std::string& name, std::span<const PgParam> parameters) {
  return Send(name, nullptr, parameters);
}

absl::StatusOr<PgResult> PgConnection::ExecuteParams(const std::string& sql,
                                                     std::span<const PgParam> parameters) {
  return Finish(Send("", &sql, parameters));
}

bool PgConnection::Send(const std::string& name, const std::string* sql,
                        std::span<const PgParam> parameters) {
  constexpr size_t kMaxParameters = 32;
  Oid types[kMaxParameters];
  const char* values[kMaxParameters];
  int lengths[kMaxParameters], formats[kMaxParameters];
  if (parameters.size() > kMaxParameters) return false;
  for (size_t i = 0; i < parameters.size(); ++i) {
    values[i] =
        parameters[i].value.data() != nullptr ? parameters[i].value.data() : "";  // nullptr would be NULL
    lengths[i] = static_cast<int>(parameters[i].value.size());
    formats[i] = 1;
    types[i] = parameters[i].type;
  }
  const int count = static_cast<int>(parameters.size());
  constexpr int kBinary = 1;
  if (sql != nullptr)
    return PQsendQueryParams(connection_.get(), sql->c_str(), count, types, values, lengths, formats,
                             kBinary) == 1;
  return PQsendQueryPrepared(connection_.get(), name.c_str(), count, values, lengths, formats, kBinary) == 1;
}

absl::StatusOr<PgResult> PgConnection::ExecutePrepared(const std::string& name,
                                                       std::span<const PgParam> parameters) {
  return Finish(SendPrepared(name, parameters));
}

absl::Status PgConnection::StreamPrepared(const std::string& name, std::span<const PgParam> parameters,
                                          const std::function<void(const PgResult&)>& visit) {
  return Finish(SendPrepared(name, parameters) && PQsetSingleRowMode(connection_.get()) == 1, visit).status();
}

std::string PgConnection::Quote(std::string_view text) const {
  char* quoted = PQescapeLiteral(connection_.get(), text.data(), text.size());
  std::string result(quoted != nullptr ? quoted : "NULL");
  PQfreemem(quoted);
  return result;
}

}  // namespace penstock::indexer
