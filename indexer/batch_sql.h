#pragma once

// The writes of a batch: the columns of each table in the order in which values are given, and the guards.
// Both stores render their statements from the same Insert and take their values from the same Give…
// function, so that a column cannot mean two things.

#include "base/arena.h"
#include "indexer/batch.h"
#include "indexer/schema.h"

namespace penstock::indexer {

const Insert& RecordInsert();       // through the guard (class, rev, proven)
const Insert& RecordRefInsert();    // after the record's former references are gone
const Insert& RepoInsert();         // an account's first record
const Insert& RepoStatusInsert();   // #account
const Insert& RepoStateInsert();    // chain state; no head: the stored one stays
const Insert& RepoSourceInsert();   // the seq of that #account
const Insert& RecordProofInsert();  // of a record that got through
const Insert& HeldEventInsert();    // again: nothing
const Insert& IdentityInsert();     // replaces
const Insert& DeadLetterInsert();   // again: only last_at
const Insert& RefusedInsert();      // again: also the cause
const Insert& GapInsert();          // again: only widens
const Insert& CoverageInsert();     // again: only to a greater rev
const Insert& QuarantineInsert();   // again: nothing
const Insert& CursorInsert();       // only forwards

// Removes an account's rows in the order of their keys: what comes before the first that is kept. $1 is the
// DID; the same text in both dialects.
struct PurgeSql {
  static constexpr std::string_view kTables[] = {"record", "record_ref", "record_proof"};
  // $2: how many go. No row: nothing is kept.
  static constexpr std::string_view kFirstKept =
      "SELECT collection, rkey FROM record WHERE did = $1 ORDER BY collection, rkey LIMIT 1 OFFSET $2";
  static constexpr std::string_view kCoverage = "DELETE FROM coverage WHERE did = $1";
  // $2, $3: where the first row is that is kept.
  static std::string Delete(std::string_view table, bool some_stay);
};

// Of an account's rows, in both dialects. A look-up for each collection: the rows of one are passed by.
inline constexpr std::string_view kCollectionsSql =
    "WITH RECURSIVE c AS ("
    "SELECT (SELECT r.collection FROM record r WHERE r.did = $1 ORDER BY r.collection LIMIT 1) "
    "AS collection UNION ALL "
    "SELECT (SELECT r.collection FROM record r WHERE r.did = $1 AND r.collection > c.collection "
    "ORDER BY r.collection LIMIT 1) FROM c WHERE c.collection IS NOT NULL) "
    "SELECT collection FROM c WHERE collection IS NOT NULL";
inline constexpr std::string_view kDigestsSql =
    "SELECT rkey, cid, rev, verification, deleted FROM record "
    "WHERE did = $1 AND collection = $2 AND rkey > $3 ORDER BY rkey LIMIT $4";

// Text of a peer, or words that quote one, as both databases take it: U+0000, and what is not UTF-8, as
// U+FFFD. Views `text` itself unless something had to be replaced; then `scratch`.
std::string_view CleanText(std::string_view text, Arena* scratch);

// A tombstone has none, whatever came with it.
inline bool HasProof(const RecordRow& row) { return !row.proof.empty() && row.op != repo::Action::kDelete; }

// A Row takes one row's values in column order: Text, TextOrNull, Int, IntOrNull, Bool, BytesOrNull,
// JsonOrNull, Null. "…OrNull": NULL if empty. What it is given lives until the row is written.

template <typename Row>
void GiveRecord(const PlannedRecord& planned, int64_t now_us, Arena* scratch, Row* out) {
  const ChangeSet& change = *planned.change;
  const RecordRow& row = *planned.row;
  out->Text(change.did);
  out->Text(row.collection);
  out->Text(row.rkey);
  out->TextOrNull(row.cid);
  out->Text(change.rev);
  out->TextOrNull(change.commit_cid);
  // A repository that was taken in whole is no event.
  if (change.verification == Verification::kExport && change.seq == 0) {
    out->Null();
  } else {
    out->Int(change.seq);
  }
  out->Text(change.source);
  out->Text(repo::ActionName(row.op));
  out->Bool(row.op == repo::Action::kDelete);
  out->Text(VerificationName(change.verification));
  out->Text(ValidationName(row.validation));
  out->JsonOrNull(row.value);
  out->Bool(row.value_lossy);
  out->BytesOrNull(row.cbor);
  out->TextOrNull(CleanText(row.created_at, scratch));
  out->IntOrNull(row.created_us);
  out->Int(now_us);
  out->TextOrNull(change.allowed);
}

template <typename Row>
void GiveProof(const PlannedRecord& planned, Row* out) {
  const ChangeSet& change = *planned.change;
  out->Text(change.did);
  out->Text(planned.row->collection);
  out->Text(planned.row->rkey);
  out->Text(change.rev);
  out->TextOrNull(change.commit_cid);
  out->TextOrNull(change.proof_key);
  out->BytesOrNull(planned.row->proof);
}

template <typename Row>
void GiveRef(const PlannedRecord& planned, size_t ordinal, Arena* scratch, Row* out) {
  const RefRow& ref = planned.row->refs[ordinal];
  out->Text(planned.change->did);
  out->Text(planned.row->collection);
  out->Text(planned.row->rkey);
  out->Int(static_cast<int64_t>(ordinal));
  out->Text(CleanText(ref.path, scratch));
  out->Text(CleanText(ref.target_uri, scratch));
  out->TextOrNull(CleanText(ref.target_cid, scratch));
  out->TextOrNull(CleanText(ref.target_did, scratch));
  out->TextOrNull(CleanText(ref.target_collection, scratch));
  out->Int(ref.target_hash);
}

template <typename Row>
void GiveRepo(std::string_view did, int64_t now_us, Row* out) {
  out->Text(did);
  out->Bool(true);
  out->Int(now_us);
}

template <typename Row>
void GiveRepoState(const PlannedRepo& repo, int64_t now_us, Row* out) {
  const bool head = repo.row.has_head;
  out->Text(repo.did);
  out->TextOrNull(head ? repo.row.rev : std::string_view());
  out->TextOrNull(head ? repo.row.data : std::string_view());
  out->TextOrNull(head ? repo.row.commit_cid : std::string_view());
  out->TextOrNull(sync::SyncStateName(repo.row.sync_state));
  out->TextOrNull(repo.row.reason);
  out->TextOrNull(repo.row.baseline_rev);
  out->Bool(true);
  out->Int(now_us);
}

template <typename Row>
void GiveHeld(const HeldRow& row, Row* out) {
  out->Text(row.did);
  out->Text(row.source);
  out->Int(row.seq);
  out->Int(row.ordinal);
  out->Text(row.reason);
  out->Bool(row.gated);
  out->BytesOrNull(row.frame);
  out->Int(row.arrived_at);
}

template <typename Row>
void GiveIdentity(const PlannedIdentity& planned, Arena* scratch, Row* out) {
  const identity::Identity& identity = *planned.identity;
  out->Text(planned.did);
  out->TextOrNull(identity.fault ? RejectName(*identity.fault) : std::string_view());
  out->TextOrNull(identity.key ? identity.key->did_key() : std::string_view());
  out->TextOrNull(CleanText(identity.pds, scratch));
  out->TextOrNull(CleanText(identity.handle, scratch));
  out->Text(identity::HandleStateName(identity.handle_state));
  out->TextOrNull(CleanText(identity.document, scratch));
  out->Int(identity.fetched_us);
  out->Bool(planned.purged);
}

template <typename Row>
void GiveRepoStatus(const AccountState& account, int64_t now_us, Arena* scratch, Row* out) {
  out->Text(account.did);
  out->Bool(account.active);
  out->TextOrNull(CleanText(account.status, scratch));
  out->Int(now_us);
  out->Int(now_us);
}

template <typename Row>
void GiveRepoSource(const AccountState& account, const AccountSource& source, Row* out) {
  out->Text(account.did);
  out->Text(source.source);
  out->Int(source.account_seq);
}

template <typename Row>
void GiveDeadLetter(const PlannedDeadLetter& letter, int64_t now_us, Arena* scratch, Row* out) {
  out->Text(letter.source);
  out->Int(letter.seq);
  out->Int(letter.row.op);
  out->TextOrNull(CleanText(letter.did, scratch));
  out->TextOrNull(CleanText(letter.row.collection, scratch));
  out->TextOrNull(CleanText(letter.row.rkey, scratch));
  out->Text(RejectName(letter.row.reject));
  out->TextOrNull(CleanText(letter.row.detail, scratch));
  out->BytesOrNull(letter.row.frame);
  out->JsonOrNull(letter.row.state_met);
  out->Int(1);  // attempts
  out->Int(now_us);
  out->Int(now_us);
}

template <typename Row>
void GiveGap(const ChangeSet& change, const GapRow& gap, std::string_view shard, int64_t now_us,
             Arena* scratch, Row* out) {
  out->Text(change.source);
  out->Text(shard);
  out->Int(gap.from ? *gap.from : gap.to.value_or(0));
  out->Text(CleanText(gap.reason, scratch));
  out->IntOrNull(gap.from);
  out->IntOrNull(gap.to);
  out->TextOrNull(CleanText(gap.detail, scratch));
  out->Int(now_us);
}

// For the statement that ends an account's tasks.
template <typename Row>
void GiveImport(const ChangeSet& change, int64_t now_us, Row* out) {
  const ImportRow& import = *change.import;
  out->Text(change.did);
  out->Int(import.started_at);
  out->Text(import.rev);
  out->TextOrNull(import.host);
  out->TextOrNull(import.cause);
  out->Int(static_cast<int64_t>(import.records));
  out->Int(static_cast<int64_t>(import.bytes));
  out->Int(now_us);
}

template <typename Row>
void GiveCoverage(const ChangeSet& change, std::string_view rule, int64_t now_us, Row* out) {
  out->Text(change.did);
  out->Text(rule);
  out->Text(change.import->rev);
  out->Int(now_us);
}

template <typename Row>
void GiveQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us, Arena* scratch,
                    Row* out) {
  out->Text(change.source);
  out->Int(row.position);
  out->Text(row.frame_sha256);
  out->Text(RejectName(row.reject));
  out->TextOrNull(CleanText(row.detail, scratch));
  out->BytesOrNull(row.frame);
  out->Int(now_us);
}

template <typename Row>
void GiveCursor(const SourceCursor& cursor, std::string_view shard, int64_t epoch, int64_t now_us, Row* out) {
  out->Text(cursor.source);
  out->Text(shard);
  out->Int(cursor.position);
  out->Int(epoch);
  out->Int(now_us);
}

}  // namespace penstock::indexer
