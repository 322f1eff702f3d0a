#include "indexer/postgres/tables.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "indexer/batch_sql.h"
#include "indexer/lease.h"

namespace penstock::indexer {
namespace {

constexpr Column kKeyColumns[] = {
    {"did", ColumnType::kKey}, {"collection", ColumnType::kKey}, {"rkey", ColumnType::kKey}};
constexpr Column kWinnerColumns[] = {{"did", ColumnType::kKey},     {"collection", ColumnType::kKey},
                                     {"rkey", ColumnType::kKey},    {"rev", ColumnType::kKey},
                                     {"strong", ColumnType::kBool}, {"cid", ColumnType::kText}};
constexpr Column kStateColumns[] = {{"did", ColumnType::kKey},
                                    {"collection", ColumnType::kKey},
                                    {"rkey", ColumnType::kKey},
                                    {"rev", ColumnType::kKey}};
constexpr Column kDoneColumns[] = {{"did", ColumnType::kKey}, {"ordinal", ColumnType::kInt64}};
constexpr Column kImportColumns[] = {
    {"did", ColumnType::kKey},     {"started_at", ColumnType::kInt64}, {"rev", ColumnType::kKey},
    {"host", ColumnType::kText},   {"cause", ColumnType::kText},       {"records", ColumnType::kInt64},
    {"bytes", ColumnType::kInt64}, {"ended_at", ColumnType::kInt64},
};
constexpr Column kSourceColumns[] = {{"did", ColumnType::kKey}, {"source", ColumnType::kKey}};

constexpr char kWinnersSql[] =
    "SELECT k.n FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[], $6::text[]) "
    "WITH ORDINALITY AS k (did, collection, rkey, rev, strong, cid, n) "
    "JOIN record r ON r.did = k.did AND r.collection = k.collection AND r.rkey = k.rkey "
    "WHERE r.rev = k.rev AND (r.verification NOT IN ('cid', 'signature')) = k.strong "
    "AND r.cid IS NOT DISTINCT FROM k.cid";
constexpr char kDeleteRefsSql[] =
    "DELETE FROM record_ref r "
    "USING unnest($1::text[], $2::text[], $3::text[]) AS k (did, collection, rkey) "
    "WHERE r.did = k.did AND r.collection = k.collection AND r.rkey = k.rkey";
// A row that was there already, and has come again without its proof, keeps it.
constexpr char kDeleteProofsSql[] =
    "DELETE FROM record_proof p "
    "USING unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (did, collection, rkey, rev) "
    "WHERE p.did = k.did AND p.collection = k.collection AND p.rkey = k.rkey AND p.rev <> k.rev";
constexpr char kDeleteHeldSql[] =
    "DELETE FROM held_event h USING unnest($1::text[], $2::bigint[]) AS k (did, ordinal) "
    "WHERE h.did = k.did AND h.ordinal <= k.ordinal";
constexpr char kPurgeIdentitiesSql[] =
    "UPDATE identity i SET purged = true FROM unnest($1::text[]) AS k (did) WHERE i.did = k.did";
constexpr char kClearHeadsSql[] =
    "UPDATE repo r SET rev = NULL, data = NULL, commit_cid = NULL, baseline_rev = NULL "
    "FROM unnest($1::text[]) AS k (did) WHERE r.did = k.did";
constexpr char kEndTasksSql[] =
    "UPDATE backfill_task t SET state = 'done', rev = k.rev, host = k.host, cause = k.cause, "
    "records = k.records, bytes = k.bytes, detail = NULL, owner = NULL, lease_until = NULL, "
    "ended_at = k.ended_at, imports = t.imports + (k.cause IS NULL)::int, "
    "imported_at = CASE WHEN k.cause IS NULL THEN k.ended_at ELSE t.imported_at END "
    "FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], "
    "$8::bigint[]) AS k (did, started_at, rev, host, cause, records, bytes, ended_at) "
    "WHERE t.did = k.did AND t.created_at <= k.started_at AND t.state IN ('queued', 'running')";
constexpr char kKnownReposSql[] =
    "SELECT k.n FROM unnest($1::text[]) WITH ORDINALITY AS k (did, n) JOIN repo r ON r.did = k.did";
constexpr char kAccountSeqsSql[] =
    "SELECT k.n, s.account_seq FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (did, source, n) "
    "JOIN repo_source s ON s.did = k.did AND s.source = k.source";

}  // namespace

PgTables::PgTables(std::string shard)
    : shard_(std::move(shard)),
      records_("record", RecordInsert()),
      refs_("record_ref", RecordRefInsert()),
      repos_("repo", RepoInsert()),
      repo_status_("repo_status", RepoStatusInsert()),
      repo_source_("repo_source", RepoSourceInsert()),
      dead_letters_("dead_letter", DeadLetterInsert()),
      refused_("refused", RefusedInsert()),
      gaps_("gap", GapInsert()),
      quarantine_("quarantine", QuarantineInsert()),
      cursors_("stream_cursor", CursorInsert()),
      proofs_("record_proof", RecordProofInsert()),
      repo_states_("repo_state", RepoStateInsert()),
      held_("held_event", HeldEventInsert()),
      identities_("identity", IdentityInsert()),
      clear_heads_("clear_heads", kClearHeadsSql, std::span(kSourceColumns).first(1)),
      end_tasks_("end_tasks", kEndTasksSql, kImportColumns),
      coverage_("coverage", CoverageInsert()),
      winners_("winners", kWinnersSql, kWinnerColumns),
      delete_refs_("delete_refs", kDeleteRefsSql, kKeyColumns),
      delete_proofs_("delete_proofs", kDeleteProofsSql, kStateColumns),
      known_repos_("known_repos", kKnownReposSql, std::span(kSourceColumns).first(1)),
      account_seqs_("account_seqs", kAccountSeqsSql, kSourceColumns),
      delete_held_("delete_held", kDeleteHeldSql, kDoneColumns),
      purge_identities_("purge_identities", kPurgeIdentitiesSql, std::span(kSourceColumns).first(1)) {}

absl::Status PgTables::Prepare(PgConnection* connection, int64_t epoch) {
  connection_ = connection;
  epoch_ = epoch;
  for (PgBulk* bulk : {&records_,          &refs_,          &repos_,       &repo_status_,  &repo_source_,
                       &dead_letters_,     &refused_,       &gaps_,        &quarantine_,   &cursors_,
                       &proofs_,           &repo_states_,   &held_,        &identities_,   &winners_,
                       &delete_refs_,      &delete_proofs_, &known_repos_, &account_seqs_, &delete_held_,
                       &purge_identities_, &clear_heads_,   &end_tasks_,   &coverage_}) {
    bulk->arrays.Clear();
    RETURN_IF_ERROR(connection_->Prepare(bulk->name, bulk->sql, bulk->arrays.Parameters()));
    bulk->arrays.Clear();
  }
  ASSIGN_OR_RETURN(const PgResult any_proof, connection_->Execute("SELECT 1 FROM record_proof LIMIT 1"));
  may_have_proofs_ = any_proof.rows() > 0;
  return absl::OkStatus();
}

absl::Status PgTables::Begin(int64_t now_us) {
  scratch_.Reset();
  // The row lock makes a successor wait for the end of this transaction, so it never sees half of ours.
  auto fenced = connection_->Execute("BEGIN; UPDATE lease SET renewed_at = " + std::to_string(now_us) +
                                     " WHERE shard = " + connection_->Quote(shard_) +
                                     " AND epoch = " + std::to_string(epoch_));
  absl::Status status = fenced.status();
  if (status.ok() && fenced->affected() != 1) status = FencedError(shard_, epoch_);
  if (!status.ok()) Rollback();
  return status;
}

void PgTables::Rollback() {
  // A connection that is lost has rolled back already, or its server will; the store drops it.
  if (connection_->alive()) (void)connection_->Execute("ROLLBACK");
}

absl::StatusOr<PgResult> PgTables::Run(PgBulk* bulk) {
  absl::StatusOr<PgResult> result = connection_->ExecutePrepared(bulk->name, bulk->arrays.Parameters());
  bulk->arrays.Clear();
  return result;
}

absl::Status PgTables::UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us, size_t* written) {
  size_t first = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    GiveRecord(rows[i], now_us, &scratch_, &records_.arrays);
    if (!records_.full() && i + 1 < rows.size()) continue;
    RETURN_IF_ERROR(WriteRecords(rows.subspan(first, i + 1 - first), written));
    first = i + 1;
  }
  return absl::OkStatus();
}

absl::Status PgTables::WriteRecords(std::span<const PlannedRecord> rows, size_t* written) {
  ASSIGN_OR_RETURN(const PgResult result, Run(&records_));
  const size_t affected = static_cast<size_t>(result.affected());
  *written += affected;
  if (affected == rows.size()) {
    won_.assign(rows.begin(), rows.end());
  } else {
    RETURN_IF_ERROR(FindWinners(rows));
  }
  RETURN_IF_ERROR(ReplaceRefs());
  return ReplaceProofs();
}

absl::Status PgTables::FindWinners(std::span<const PlannedRecord> rows) {
  won_.clear();
  for (const PlannedRecord& row : rows) {
    PgArrays& arrays = winners_.arrays;
    arrays.Text(row.change->did);
    arrays.Text(row.row->collection);
    arrays.Text(row.row->rkey);
    arrays.Text(row.change->rev);
    arrays.Bool(IsStrong(row.change->verification));
    arrays.TextOrNull(row.row->cid);
  }
  // A row that was there already, the same in all of this, counts as well: it has the same references.
  ASSIGN_OR_RETURN(const PgResult result, Run(&winners_));
  for (int i = 0; i < result.rows(); ++i) won_.push_back(rows[static_cast<size_t>(result.int64(i, 0)) - 1]);
  return absl::OkStatus();
}

absl::Status PgTables::ReplaceRefs() {
  for (const PlannedRecord& row : won_) {
    delete_refs_.arrays.Text(row.change->did);
    delete_refs_.arrays.Text(row.row->collection);
    delete_refs_.arrays.Text(row.row->rkey);
  }
  if (delete_refs_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&delete_refs_).status());
  for (const PlannedRecord& row : won_) {
    for (size_t i = 0; i < row.row->refs.size(); ++i) {
      GiveRef(row, i, &scratch_, &refs_.arrays);
      if (refs_.full()) RETURN_IF_ERROR(Run(&refs_).status());
    }
  }
  return refs_.arrays.rows() > 0 ? Run(&refs_).status() : absl::OkStatus();
}

absl::Status PgTables::ReplaceProofs() {
  for (const PlannedRecord& row : won_) {
    if (!may_have_proofs_ || HasProof(*row.row)) continue;
    PgArrays& arrays = delete_proofs_.arrays;
    arrays.Text(row.change->did);
    arrays.Text(row.row->collection);
    arrays.Text(row.row->rkey);
    arrays.Text(row.change->rev);
  }
  if (delete_proofs_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&delete_proofs_).status());
  for (const PlannedRecord& row : won_) {
    if (!HasProof(*row.row)) continue;
    may_have_proofs_ = true;
    GiveProof(row, &proofs_.arrays);
    if (proofs_.full()) RETURN_IF_ERROR(Run(&proofs_).status());
  }
  return proofs_.arrays.rows() > 0 ? Run(&proofs_).status() : absl::OkStatus();
}

absl::Status PgTables::StoreRepos(std::span<const PlannedRepo> repos, int64_t now_us) {
  for (const PlannedRepo& repo : repos) {
    if (repo.row.clear_head) clear_heads_.arrays.Text(repo.did);
  }
  if (clear_heads_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&clear_heads_).status());
  for (size_t i = 0; i < repos.size(); ++i) {
    GiveRepoState(repos[i], now_us, &repo_states_.arrays);
    if (repo_states_.full() || i + 1 == repos.size()) RETURN_IF_ERROR(Run(&repo_states_).status());
  }
  return absl::OkStatus();
}

absl::Status PgTables::StoreImports(std::span<const ChangeSet* const> changes, int64_t now_us) {
  // Tasks are locked in the order of their DIDs, as the queue does it: then neither waits for the other in a
  // circle.
  std::vector<const ChangeSet*> sorted(changes.begin(), changes.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const ChangeSet* a, const ChangeSet* b) { return a->did < b->did; });
  std::string_view last;
  for (const ChangeSet* change : sorted) {
    // An account's second import meets what the first one left.
    if (change->did == last || end_tasks_.full() || coverage_.full()) RETURN_IF_ERROR(FlushImports());
    last = change->did;
    GiveImport(*change, now_us, &end_tasks_.arrays);
    const std::span<const std::string_view> rules = change->import->rules;
    for (size_t i = 0; i < rules.size(); ++i) {
      if (std::find(rules.begin(), rules.begin() + i, rules[i]) != rules.begin() + i) continue;
      GiveCoverage(*change, rules[i], now_us, &coverage_.arrays);
    }
  }
  return FlushImports();
}

absl::Status PgTables::FlushImports() {
  if (end_tasks_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&end_tasks_).status());
  return coverage_.arrays.rows() > 0 ? Run(&coverage_).status() : absl::OkStatus();
}

absl::Status PgTables::PurgeAccount(std::string_view did, uint64_t rows) {
  // Seldom enough to go without prepared statements.
  const PgInt count(static_cast<int64_t>(rows));
  const PgParam bounds[] = {PgText(did), count.param()};
  ASSIGN_OR_RETURN(const PgResult kept,
                   connection_->ExecuteParams(std::string(PurgeSql::kFirstKept), bounds));
  const bool some_stay = kept.rows() > 0;
  const PgParam key[] = {PgText(did), PgText(some_stay ? kept.text(0, 0) : std::string_view()),
                         PgText(some_stay ? kept.text(0, 1) : std::string_view())};
  for (const std::string_view table : PurgeSql::kTables) {
    RETURN_IF_ERROR(
        connection_->ExecuteParams(PurgeSql::Delete(table, some_stay), std::span(key, some_stay ? 3 : 1))
            .status());
  }
  return connection_->ExecuteParams(std::string(PurgeSql::kCoverage), std::span(key, 1)).status();
}

absl::Status PgTables::InsertHeld(std::span<const HeldRow* const> rows) {
  for (size_t i = 0; i < rows.size(); ++i) {
    GiveHeld(*rows[i], &held_.arrays);
    if (held_.full() || i + 1 == rows.size()) RETURN_IF_ERROR(Run(&held_).status());
  }
  return absl::OkStatus();
}

absl::Status PgTables::DeleteHeld(std::span<const HeldDone> done) {
  for (const HeldDone& account : done) {
    delete_held_.arrays.Text(account.did);
    delete_held_.arrays.Int(account.ordinal);
  }
  return Run(&delete_held_).status();
}

absl::Status PgTables::StoreIdentities(std::span<const PlannedIdentity> identities) {
  for (const PlannedIdentity& planned : identities) {
    if (planned.identity == nullptr) purge_identities_.arrays.Text(planned.did);
  }
  if (purge_identities_.arrays.rows() > 0) RETURN_IF_ERROR(Run(&purge_identities_).status());
  for (const PlannedIdentity& planned : identities) {
    if (planned.identity == nullptr) continue;
    GiveIdentity(planned, &scratch_, &identities_.arrays);
    if (identities_.full()) RETURN_IF_ERROR(Run(&identities_).status());
  }
  return identities_.arrays.rows() > 0 ? Run(&identities_).status() : absl::OkStatus();
}

absl::Status PgTables::EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) {
  for (size_t i = 0; i < dids.size(); ++i) {
    GiveRepo(dids[i], now_us, &repos_.arrays);
    if (repos_.full() || i + 1 == dids.size()) RETURN_IF_ERROR(Run(&repos_).status());
  }
  return absl::OkStatus();
}

absl::Status PgTables::LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) {
  for (const AccountState& account : accounts) known_repos_.arrays.Text(account.did);
  ASSIGN_OR_RETURN(const PgResult known, Run(&known_repos_));
  for (int i = 0; i < known.rows(); ++i) accounts[static_cast<size_t>(known.int64(i, 0)) - 1].known = true;
  for (const AccountSource& source : sources) {
    account_seqs_.arrays.Text(accounts[source.account].did);
    account_seqs_.arrays.Text(source.source);
  }
  ASSIGN_OR_RETURN(const PgResult seqs, Run(&account_seqs_));
  for (int i = 0; i < seqs.rows(); ++i)
    sources[static_cast<size_t>(seqs.int64(i, 0)) - 1].account_seq = seqs.int64(i, 1);
  return absl::OkStatus();
}

absl::Status PgTables::StoreAccounts(std::span<const AccountState> accounts,
                                     std::span<const AccountSource> sources, int64_t now_us) {
  for (const AccountState& account : accounts) {
    if (account.changed) GiveRepoStatus(account, now_us, &scratch_, &repo_status_.arrays);
  }
  RETURN_IF_ERROR(Run(&repo_status_).status());
  for (const AccountSource& source : sources) {
    if (source.changed) GiveRepoSource(accounts[source.account], source, &repo_source_.arrays);
  }
  return Run(&repo_source_).status();
}

absl::Status PgTables::WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace,
                                        int64_t now_us) {
  PgBulk* bulk = replace ? &refused_ : &dead_letters_;
  for (size_t i = 0; i < letters.size(); ++i) {
    GiveDeadLetter(letters[i], now_us, &scratch_, &bulk->arrays);
    if (bulk->full() || i + 1 == letters.size()) RETURN_IF_ERROR(Run(bulk).status());
  }
  return absl::OkStatus();
}

absl::Status PgTables::WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) {
  GiveGap(change, gap, shard_, now_us, &scratch_, &gaps_.arrays);
  return Run(&gaps_).status();
}

absl::Status PgTables::WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) {
  GiveQuarantine(change, row, now_us, &scratch_, &quarantine_.arrays);
  return Run(&quarantine_).status();
}

absl::Status PgTables::MoveCursor(const SourceCursor& cursor, int64_t now_us) {
  GiveCursor(cursor, shard_, epoch_, now_us, &cursors_.arrays);
  return Run(&cursors_).status();
}

}  // namespace penstock::indexer
