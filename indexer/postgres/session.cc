#include "indexer/postgres/session.h"

#include <charconv>
#include <utility>

#include "base/reject.h"
#include "base/status.h"
#include "indexer/schema.h"

namespace penstock::indexer {

std::vector<PgParam> PgTypes(std::string_view letters) {
  std::vector<PgParam> types;
  for (const char letter : letters)
    types.push_back({letter == 'i' ? PgInt(0).param().type : PgText("").type, {}});
  return types;
}

PgSession::PgSession(const StoreOptions& options, std::string name, std::vector<PgStatement> statements,
                     std::string_view settings)
    : options_{.url = options.url,
               .name = std::move(name),
               .connect_timeout_us = options.connect_timeout_us,
               .statement_timeout_us = options.statement_timeout_us},
      statements_(std::move(statements)),
      settings_(settings) {}

absl::Status PgSession::EnsureConnected() {
  if (connection_) return absl::OkStatus();
  ASSIGN_OR_RETURN(connection_, PgConnection::Connect(options_));
  absl::Status status = Begin();
  if (!status.ok()) connection_.reset();
  return status;
}

absl::Status PgSession::Begin() {
  RETURN_IF_ERROR(connection_->Execute(kPgSessionSql + ("; " + settings_)).status());
  ASSIGN_OR_RETURN(const PgResult table,
                   connection_->Execute("SELECT to_regclass('schema_migration') IS NOT NULL"));
  if (table.text(0, 0) != "t") return FailedPreconditionError("postgresql: not a store of penstock");
  ASSIGN_OR_RETURN(const PgResult version,
                   connection_->Execute("SELECT coalesce(max(version), 0) FROM schema_migration"));
  int64_t current = 0;
  const std::string_view text = version.text(0, 0);
  std::from_chars(text.data(), text.data() + text.size(), current);
  RETURN_IF_ERROR(CheckSchemaVersion(current));
  for (const PgStatement& statement : statements_) {
    RETURN_IF_ERROR(connection_->Prepare(statement.name, statement.sql, statement.types));
  }
  return absl::OkStatus();
}

absl::StatusOr<PgResult> PgSession::Run(const std::string& name, std::span<const PgParam> parameters) {
  RETURN_IF_ERROR(EnsureConnected());
  return RunConnected(name, parameters);
}

absl::Status PgSession::Stream(const std::string& name, std::span<const PgParam> parameters,
                               const std::function<void(const PgResult&)>& visit) {
  RETURN_IF_ERROR(EnsureConnected());
  return Checked(connection_->StreamPrepared(name, parameters, visit));
}

absl::StatusOr<PgResult> PgSession::RunConnected(const std::string& name,
                                                 std::span<const PgParam> parameters) {
  if (!connection_) return Lost();
  absl::StatusOr<PgResult> result = connection_->ExecutePrepared(name, parameters);
  const absl::Status status = Checked(result.status());
  if (!status.ok()) return status;
  return result;
}

absl::Status PgSession::ExecuteConnected(const std::string& sql) {
  return connection_ ? Checked(connection_->Execute(sql).status()) : Lost();
}

absl::Status PgSession::Checked(absl::Status status) {
  if (!status.ok() && connection_ && !connection_->alive()) connection_.reset();
  return RejectOf(status) == Reject::kStoreRefused ? InternalError(Message(status)) : status;
}

absl::Status PgSession::Lost() const { return UnavailableError("postgresql: the connection was lost"); }

}  // namespace penstock::indexer
