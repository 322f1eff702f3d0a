#pragma once

// The tables of a batch in SQLite: one prepared upsert per row.

#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "indexer/batch.h"
#include "indexer/sqlite/connection.h"

namespace penstock::indexer {

class SqliteTables final : public BatchTables {
 public:
  explicit SqliteTables(std::string shard) : shard_(std::move(shard)) {}

  // Prepares the statements on `db`, which must live until Finalize, under the lease's epoch.
  absl::Status Prepare(SqliteConnection* db, int64_t epoch);
  // Rolls back what is open and lets go of the connection.
  void Finalize();

  absl::Status Begin(int64_t now_us) override;
  absl::Status Commit() override { return commit_.Run(); }
  void Rollback() override;
  absl::Status Savepoint() override { return savepoint_.Run(); }
  absl::Status ReleaseSavepoint() override { return release_.Run(); }
  absl::Status RollbackToSavepoint() override;
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
  absl::Status ReplaceRefs(const PlannedRecord& record, bool inserted);
  absl::Status InsertProof(const PlannedRecord& record);
  absl::Status DeleteProof(const PlannedRecord& record);
  // For a row that was kept out: if the one that is there is the same, it may have come without its proof.
  absl::Status AddProof(const PlannedRecord& record);

  const std::string shard_;
  SqliteConnection* db_ = nullptr;
  int64_t epoch_ = 0;
  SqliteStatement begin_, commit_, savepoint_, release_, rollback_to_, fence_;
  SqliteStatement record_, delete_refs_, ref_, repo_, repo_known_, repo_source_seq_, repo_status_,
      repo_source_;
  SqliteStatement record_holds_, delete_proof_, proof_;
  SqliteStatement clear_head_, end_tasks_, coverage_;
  SqliteStatement repo_state_, held_, delete_held_, identity_, purge_identity_;
  SqliteStatement dead_letter_, refused_, gap_, quarantine_, cursor_;
  bool may_have_proofs_ = false;  // else there is none that a new row could make obsolete
  Arena scratch_;
};

}  // namespace penstock::indexer
