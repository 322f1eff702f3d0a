#include "tests/support/database/sql.h"

#include <libpq-fe.h>
#include <sqlite3.h>

#include <memory>
#include <stdexcept>

namespace penstock::test {
namespace {

using Rows = indexer::TextTable;

Rows RunSqlite(const std::string& path, const std::string& sql) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE, nullptr);
  const std::unique_ptr<sqlite3, decltype(&sqlite3_close_v2)> db(raw, sqlite3_close_v2);
  if (opened != SQLITE_OK) throw std::runtime_error("cannot open " + path);
  sqlite3_busy_timeout(raw, 10'000);
  Rows rows;
  const auto take_row = [](void* to, int columns, char** values, char** names) {
    Rows& table = *static_cast<Rows*>(to);
    if (table.columns.empty()) table.columns.assign(names, names + columns);
    auto& row = table.rows.emplace_back();
    for (int i = 0; i < columns; ++i) {
      values[i] == nullptr ? (void)row.emplace_back() : (void)row.emplace_back(values[i]);
    }
    return 0;
  };
  if (sqlite3_exec(raw, sql.c_str(), take_row, &rows, nullptr) != SQLITE_OK)
    throw std::runtime_error(sqlite3_errmsg(raw));
  return rows;
}

Rows RunPostgres(const std::string& url, const std::string& sql) {
  const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(PQconnectdb(url.c_str()), PQfinish);
  if (PQstatus(connection.get()) != CONNECTION_OK) throw std::runtime_error(PQerrorMessage(connection.get()));
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  const std::unique_ptr<PGresult, decltype(&PQclear)> result(PQexec(connection.get(), sql.c_str()), PQclear);
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
    throw std::runtime_error(PQerrorMessage(connection.get()));
  Rows rows;
  for (int c = 0; c < PQnfields(result.get()); ++c) rows.columns.emplace_back(PQfname(result.get(), c));
  for (int r = 0; r < PQntuples(result.get()); ++r) {
    auto& row = rows.rows.emplace_back();
    for (int c = 0; c < PQnfields(result.get()); ++c) {
      if (PQgetisnull(result.get(), r, c) != 0) {
        row.emplace_back();
      } else {
        row.emplace_back(PQgetvalue(result.get(), r, c));
      }
    }
  }
  return rows;
}

}  // namespace

indexer::TextTable RunSql(const std::string& url, const std::string& sql) {
  constexpr std::string_view kSqlite = "sqlite:";
  return url.starts_with(kSqlite) ? RunSqlite(url.substr(kSqlite.size()), sql) : RunPostgres(url, sql);
}

std::string RunSqlValue(const std::string& url, const std::string& sql) {
  const Rows rows = RunSql(url, sql);
  return rows.rows.empty() || rows.rows[0].empty() ? "" : rows.rows[0][0].value_or("");
}

}  // namespace penstock::test
