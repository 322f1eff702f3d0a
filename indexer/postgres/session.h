#pragma once

// A session beside the store's writer, opened by its first use, and again after it was lost. For one thread.

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "indexer/postgres/connection.h"
#include "indexer/store.h"

namespace penstock::indexer {

struct PgStatement {
  std::string name;
  std::string sql;
  std::vector<PgParam> types;  // of the parameters; no values
};

// 't' for text, 'i' for bigint.
std::vector<PgParam> PgTypes(std::string_view letters);

class PgSession {
 public:
  // `name`: application_name. `statements` are prepared on each new connection, which begins with `settings`.
  PgSession(const StoreOptions& options, std::string name, std::vector<PgStatement> statements,
            std::string_view settings = "SET default_transaction_read_only = on");

  // Errors: as indexer/readers.h. Nothing of a peer's could be at fault here, so what the database refuses is
  // kInternal.
  absl::Status EnsureConnected();
  absl::StatusOr<PgResult> Run(const std::string& name, std::span<const PgParam> parameters);
  absl::Status Stream(const std::string& name, std::span<const PgParam> parameters,
                      const std::function<void(const PgResult&)>& visit);
  // Only on the connection that is there: nothing is connected anew in the midst of a transaction.
  absl::StatusOr<PgResult> RunConnected(const std::string& name, std::span<const PgParam> parameters);
  absl::Status ExecuteConnected(const std::string& sql);

 private:
  absl::Status Begin();
  absl::Status Checked(absl::Status status);
  absl::Status Lost() const;

  const PgConnectOptions options_;
  const std::vector<PgStatement> statements_;
  const std::string settings_;
  std::optional<PgConnection> connection_;
};

}  // namespace penstock::indexer
