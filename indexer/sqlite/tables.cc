#include "indexer/sqlite/tables.h"

#include "base/status.h"
#include "indexer/batch_sql.h"
#include "indexer/lease.h"

namespace penstock::indexer {

absl::Status SqliteTables::Prepare(SqliteConnection* db, int64_t epoch) {
  db_ = db;
  epoch_ = epoch;
  const auto prepare = [this](std::string_view sql, SqliteStatement* statement) -> absl::Status {
    ASSIGN_OR_RETURN(*statement, db_->Prepare(sql));
    return absl::OkStatus();
  };
  const auto prepare_insert = [&](const Insert& insert, SqliteStatement* statement) {
    return prepare(RenderInsert(insert, Dialect::kSqlite), statement);
  };
  RETURN_IF_ERROR(prepare("BEGIN IMMEDIATE", &begin_));
  RETURN_IF_ERROR(prepare("COMMIT", &commit_));
  RETURN_IF_ERROR(prepare("SAVEPOINT isolate", &savepoint_));
  RETURN_IF_ERROR(prepare("RELEASE isolate", &release_));
  RETURN_IF_ERROR(prepare("ROLLBACK TO isolate", &rollback_to_));
  RETURN_IF_ERROR(prepare("UPDATE lease SET renewed_at = ?1 WHERE shard = ?2 AND epoch = ?3", &fence_));
  RETURN_IF_ERROR(
      prepare("DELETE FROM record_ref WHERE did = ?1 AND collection = ?2 AND rkey = ?3", &delete_refs_));
  RETURN_IF_ERROR(prepare("SELECT 1 FROM repo WHERE did = ?1", &repo_known_));
  RETURN_IF_ERROR(
      prepare("SELECT account_seq FROM repo_source WHERE did = ?1 AND source = ?2", &repo_source_seq_));
  RETURN_IF_ERROR(prepare_insert(RecordInsert(), &record_));
  RETURN_IF_ERROR(prepare_insert(RecordRefInsert(), &ref_));
  RETURN_IF_ERROR(prepare_insert(RepoInsert(), &repo_));
  RETURN_IF_ERROR(prepare_insert(RepoStatusInsert(), &repo_status_));
  RETURN_IF_ERROR(prepare_insert(RepoSourceInsert(), &repo_source_));
  RETURN_IF_ERROR(
      prepare("SELECT 1 FROM record WHERE did = ?1 AND collection = ?2 AND rkey = ?3 AND rev = ?4 "
              "AND (verification NOT IN ('cid', 'signature')) = ?5 AND cid = ?6",
              &record_holds_));
  RETURN_IF_ERROR(
      prepare("DELETE FROM record_proof WHERE did = ?1 AND collection = ?2 AND rkey = ?3", &delete_proof_));
  RETURN_IF_ERROR(prepare_insert(RecordProofInsert(), &proof_));
  RETURN_IF_ERROR(prepare_insert(RepoStateInsert(), &repo_state_));
  RETURN_IF_ERROR(prepare(
      "UPDATE repo SET rev = NULL, data = NULL, commit_cid = NULL, baseline_rev = NULL WHERE did = ?1",
      &clear_head_));
  RETURN_IF_ERROR(prepare(
      "UPDATE backfill_task SET state = 'done', rev = ?3, host = ?4, cause = ?5, records = ?6, "
      "bytes = ?7, detail = NULL, owner = NULL, lease_until = NULL, ended_at = ?8, "
      "imports = imports + (?5 IS NULL), imported_at = CASE WHEN ?5 IS NULL THEN ?8 ELSE imported_at END "
      "WHERE did = ?1 AND created_at <= ?2 AND state IN ('queued', 'running')",
      &end_tasks_));
  RETURN_IF_ERROR(prepare_insert(CoverageInsert(), &coverage_));
  RETURN_IF_ERROR(prepare_insert(HeldEventInsert(), &held_));
  RETURN_IF_ERROR(prepare("DELETE FROM held_event WHERE did = ?1 AND ordinal <= ?2", &delete_held_));
  RETURN_IF_ERROR(prepare_insert(IdentityInsert(), &identity_));
  RETURN_IF_ERROR(prepare("UPDATE identity SET purged = TRUE WHERE did = ?1", &purge_identity_));
  RETURN_IF_ERROR(prepare_insert(DeadLetterInsert(), &dead_letter_));
  RETURN_IF_ERROR(prepare_insert(RefusedInsert(), &refused_));
  RETURN_IF_ERROR(prepare_insert(GapInsert(), &gap_));
  RETURN_IF_ERROR(prepare_insert(QuarantineInsert(), &quarantine_));
  RETURN_IF_ERROR(prepare_insert(CursorInsert(), &cursor_));
  SqliteStatement any_proof;
  RETURN_IF_ERROR(prepare("SELECT 1 FROM record_proof LIMIT 1", &any_proof));
  ASSIGN_OR_RETURN(may_have_proofs_, any_proof.Step());
  return absl::OkStatus();
}

void SqliteTables::Finalize() {
  Rollback();
  for (SqliteStatement* statement :
       {&begin_,       &commit_,      &savepoint_,    &release_,        &rollback_to_, &fence_,
        &record_,      &delete_refs_, &ref_,          &repo_,           &repo_known_,  &repo_source_seq_,
        &repo_status_, &repo_source_, &record_holds_, &delete_proof_,   &proof_,       &repo_state_,
        &held_,        &delete_held_, &identity_,     &purge_identity_, &dead_letter_, &refused_,
        &gap_,         &quarantine_,  &cursor_,       &clear_head_,     &end_tasks_,   &coverage_}) {
    *statement = SqliteStatement();
  }
  db_ = nullptr;
}

absl::Status SqliteTables::Begin(int64_t now_us) {
  scratch_.Reset();
  RETURN_IF_ERROR(begin_.Run());
  fence_.Int(now_us);
  fence_.Text(shard_);
  fence_.Int(epoch_);
  absl::Status status = fence_.Run();
  if (status.ok() && db_->changes() != 1) status = FencedError(shard_, epoch_);
  if (!status.ok()) Rollback();
  return status;
}

void SqliteTables::Rollback() {
  // Some errors (disk full, I/O) have ended the transaction already.
  if (db_ != nullptr && db_->in_transaction()) (void)db_->Execute("ROLLBACK");
}

absl::Status SqliteTables::RollbackToSavepoint() {
  RETURN_IF_ERROR(rollback_to_.Run());
  return release_.Run();
}

absl::Status SqliteTables::UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us,
                                         size_t* written) {
  for (const PlannedRecord& row : rows) {
    // An insert sets the rowid, an update leaves it; a new row has no former references to remove.
    db_->set_last_insert_rowid(0);
    GiveRecord(row, now_us, &scratch_, &record_);
    RETURN_IF_ERROR(record_.Run());
    if (db_->changes() == 0) {  // the guard
      if (HasProof(*row.row)) RETURN_IF_ERROR(AddProof(row));
      continue;
    }
    ++*written;
    const bool inserted = db_->last_insert_rowid() != 0;
    RETURN_IF_ERROR(ReplaceRefs(row, inserted));
    if (HasProof(*row.row)) {
      RETURN_IF_ERROR(InsertProof(row));
    } else if (may_have_proofs_ && !inserted) {
      RETURN_IF_ERROR(DeleteProof(row));
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::ReplaceRefs(const PlannedRecord& record, bool inserted) {
  if (!inserted) {
    delete_refs_.Text(record.change->did);
    delete_refs_.Text(record.row->collection);
    delete_refs_.Text(record.row->rkey);
    RETURN_IF_ERROR(delete_refs_.Run());
  }
  for (size_t i = 0; i < record.row->refs.size(); ++i) {
    GiveRef(record, i, &scratch_, &ref_);
    RETURN_IF_ERROR(ref_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::DeleteProof(const PlannedRecord& record) {
  delete_proof_.Text(record.change->did);
  delete_proof_.Text(record.row->collection);
  delete_proof_.Text(record.row->rkey);
  return delete_proof_.Run();
}

absl::Status SqliteTables::AddProof(const PlannedRecord& record) {
  record_holds_.Text(record.change->did);
  record_holds_.Text(record.row->collection);
  record_holds_.Text(record.row->rkey);
  record_holds_.Text(record.change->rev);
  record_holds_.Bool(IsStrong(record.change->verification));
  record_holds_.Text(record.row->cid);
  const absl::StatusOr<bool> holds = record_holds_.Step();
  record_holds_.Reset();
  if (!holds.ok()) return holds.status();
  return *holds ? InsertProof(record) : absl::OkStatus();
}

absl::Status SqliteTables::InsertProof(const PlannedRecord& record) {
  may_have_proofs_ = true;
  GiveProof(record, &proof_);
  return proof_.Run();
}

absl::Status SqliteTables::StoreRepos(std::span<const PlannedRepo> repos, int64_t now_us) {
  for (const PlannedRepo& repo : repos) {
    if (repo.row.clear_head) {
      clear_head_.Text(repo.did);
      RETURN_IF_ERROR(clear_head_.Run());
    }
    GiveRepoState(repo, now_us, &repo_state_);
    RETURN_IF_ERROR(repo_state_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::StoreImports(std::span<const ChangeSet* const> changes, int64_t now_us) {
  for (const ChangeSet* change : changes) {
    GiveImport(*change, now_us, &end_tasks_);
    RETURN_IF_ERROR(end_tasks_.Run());
    for (std::string_view rule : change->import->rules) {
      GiveCoverage(*change, rule, now_us, &coverage_);
      RETURN_IF_ERROR(coverage_.Run());
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::PurgeAccount(std::string_view did, uint64_t rows) {
  // Seldom enough to be prepared each time.
  ASSIGN_OR_RETURN(SqliteStatement beyond, db_->Prepare(PurgeSql::kFirstKept));
  beyond.Text(did);
  beyond.Int(static_cast<int64_t>(rows));
  ASSIGN_OR_RETURN(const bool some_stay, beyond.Step());
  const std::string collection(some_stay ? beyond.text(0) : ""), rkey(some_stay ? beyond.text(1) : "");
  beyond.Reset();
  for (const std::string_view table : PurgeSql::kTables) {
    ASSIGN_OR_RETURN(SqliteStatement remove, db_->Prepare(PurgeSql::Delete(table, some_stay)));
    remove.Text(did);
    if (some_stay) {
      remove.Text(collection);
      remove.Text(rkey);
    }
    RETURN_IF_ERROR(remove.Run());
  }
  ASSIGN_OR_RETURN(SqliteStatement uncover, db_->Prepare(PurgeSql::kCoverage));
  uncover.Text(did);
  return uncover.Run();
}

absl::Status SqliteTables::InsertHeld(std::span<const HeldRow* const> rows) {
  for (const HeldRow* row : rows) {
    GiveHeld(*row, &held_);
    RETURN_IF_ERROR(held_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::DeleteHeld(std::span<const HeldDone> done) {
  for (const HeldDone& account : done) {
    delete_held_.Text(account.did);
    delete_held_.Int(account.ordinal);
    RETURN_IF_ERROR(delete_held_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::StoreIdentities(std::span<const PlannedIdentity> identities) {
  for (const PlannedIdentity& planned : identities) {
    if (planned.identity == nullptr) {
      purge_identity_.Text(planned.did);
      RETURN_IF_ERROR(purge_identity_.Run());
    } else {
      GiveIdentity(planned, &scratch_, &identity_);
      RETURN_IF_ERROR(identity_.Run());
    }
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) {
  for (std::string_view did : dids) {
    GiveRepo(did, now_us, &repo_);
    RETURN_IF_ERROR(repo_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) {
  for (AccountState& account : accounts) {
    repo_known_.Text(account.did);
    const absl::StatusOr<bool> row = repo_known_.Step();
    repo_known_.Reset();
    if (!row.ok()) return row.status();
    account.known = *row;
  }
  for (AccountSource& source : sources) {
    repo_source_seq_.Text(accounts[source.account].did);
    repo_source_seq_.Text(source.source);
    const absl::StatusOr<bool> row = repo_source_seq_.Step();
    if (row.value_or(false)) source.account_seq = repo_source_seq_.int64(0);
    repo_source_seq_.Reset();
    if (!row.ok()) return row.status();
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::StoreAccounts(std::span<const AccountState> accounts,
                                         std::span<const AccountSource> sources, int64_t now_us) {
  for (const AccountState& account : accounts) {
    if (!account.changed) continue;
    GiveRepoStatus(account, now_us, &scratch_, &repo_status_);
    RETURN_IF_ERROR(repo_status_.Run());
  }
  for (const AccountSource& source : sources) {
    if (!source.changed) continue;
    GiveRepoSource(accounts[source.account], source, &repo_source_);
    RETURN_IF_ERROR(repo_source_.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace,
                                            int64_t now_us) {
  SqliteStatement& statement = replace ? refused_ : dead_letter_;
  for (const PlannedDeadLetter& letter : letters) {
    GiveDeadLetter(letter, now_us, &scratch_, &statement);
    RETURN_IF_ERROR(statement.Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteTables::WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) {
  GiveGap(change, gap, shard_, now_us, &scratch_, &gap_);
  return gap_.Run();
}

absl::Status SqliteTables::WriteQuarantine(const ChangeSet& change, const QuarantineRow& row,
                                           int64_t now_us) {
  GiveQuarantine(change, row, now_us, &scratch_, &quarantine_);
  return quarantine_.Run();
}

absl::Status SqliteTables::MoveCursor(const SourceCursor& cursor, int64_t now_us) {
  GiveCursor(cursor, shard_, epoch_, now_us, &cursor_);
  return cursor_.Run();
}

}  // namespace penstock::indexer
