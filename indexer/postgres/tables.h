#pragma once

// The tables of a batch in PostgreSQL: rows as binary arrays, a thousand to a statement.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "indexer/batch.h"
#include "indexer/postgres/arrays.h"
#include "indexer/postgres/connection.h"
#include "indexer/schema.h"

namespace penstock::indexer {

// A prepared statement over arrays, with the rows under construction.
struct PgBulk {
  PgBulk(std::string statement_name, std::string sql_text, std::span<const Column> columns)
      : name(std::move(statement_name)), sql(std::move(sql_text)), arrays(columns) {}
  PgBulk(std::string statement_name, const Insert& insert)
      : PgBulk(std::move(statement_name), RenderInsert(insert, Dialect::kPostgres), insert.columns) {}
  bool full() const { return arrays.rows() >= kMaxRows || arrays.bytes() >= kMaxBytes; }

  // Of the order that docs/architecture.md 6 names; beyond it nothing gets faster. The bytes bound our memory
  // and the server's.
  static constexpr size_t kMaxRows = 1000;
  static constexpr size_t kMaxBytes = 2 << 20;

  std::string name, sql;
  PgArrays arrays;
};

class PgTables final : public BatchTables {
 public:
  explicit PgTables(std::string shard);

  // Prepares the statements on a new connection, which must live as long as this is used, under the lease's
  // epoch.
  absl::Status Prepare(PgConnection* connection, int64_t epoch);

  absl::Status Begin(int64_t now_us) override;
  absl::Status Commit() override { return connection_->Execute("COMMIT").status(); }
  void Rollback() override;
  absl::Status Savepoint() override { return connection_->Execute("SAVEPOINT isolate").status(); }
  absl::Status ReleaseSavepoint() override { return connection_->Execute("RELEASE isolate").status(); }
  absl::Status RollbackToSavepoint() override {
    return connection_->Execute("ROLLBACK TO isolate; RELEASE isolate").status();
  }
  absl::Status UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) override;
  absl::Status EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) override;
  absl::Status LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) override;
  absl::Status StoreAccounts(std::span<const AccountState> accounts, std::span<const AccountSource> sources,
                             int64_t now_us) override;
  absl::Status WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace,
                                int64_t now_us) override;
  absl::Status StoreRepos(std::span<const PlannedRepo> repos, int64_t now_us) override;
  absl::Status StoreImports(std::span<const ChangeSet* const> changes, int64_t now_us) override;
  absl::Status PurgeAccount(std::string_view did, uint64_t rows) override;
  absl::Status InsertHeld(std::span<const HeldRow* const> rows) override;
  absl::Status DeleteHeld(std::span<const HeldDone> done) override;
  absl::Status StoreIdentities(std::span<const PlannedIdentity> identities) override;
  absl::Status WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) override;
  absl::Status WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) override;
  absl::Status MoveCursor(const SourceCursor& cursor, int64_t now_us) override;

 private:
  // Runs `bulk` over its rows, and makes it ready for the next ones.
  absl::StatusOr<PgResult> Run(PgBulk* bulk);
  absl::Status WriteRecords(std::span<const PlannedRecord> rows, size_t* written);
  // Which of `rows` are what the table holds now, into won_.
  absl::Status FindWinners(std::span<const PlannedRecord> rows);
  // Of won_: the references, and the proofs.
  absl::Status ReplaceRefs();
  absl::Status ReplaceProofs();
  absl::Status FlushImports();

  const std::string shard_;
  PgConnection* connection_ = nullptr;
  int64_t epoch_ = 0;
  PgBulk records_, refs_, repos_, repo_status_, repo_source_, dead_letters_, refused_, gaps_, quarantine_,
      cursors_;
  PgBulk proofs_, repo_states_, held_, identities_;
  PgBulk clear_heads_, end_tasks_, coverage_;
  PgBulk winners_, delete_refs_, delete_proofs_, known_repos_, account_seqs_, delete_held_, purge_identities_;
  bool may_have_proofs_ = false;  // else there is none that a new row could make obsolete
  Arena scratch_;
  std::vector<PlannedRecord> won_;
};

}  // namespace penstock::indexer
