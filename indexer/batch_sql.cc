#include "indexer/batch_sql.h"

#include <cstring>

#include "cbor/utf8.h"

namespace penstock::indexer {
namespace {

using enum ColumnType;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

constexpr Column kRecord[] = {
    {"did", kKey},          {"collection", kKey},   {"rkey", kKey},          {"cid", kText},
    {"rev", kKey},          {"commit_cid", kText},  {"seq", kInt64},         {"source", kText},
    {"op", kText},          {"deleted", kBool},     {"verification", kText}, {"validation", kText},
    {"value", kJson},       {"value_lossy", kBool}, {"cbor", kBytes},        {"created_at", kText},
    {"created_us", kInt64}, {"indexed_at", kInt64}, {"allowed", kText},
};
// A row of a weaker class never replaces one of a stronger, a stronger always replaces a weaker, and within a
// class only a greater rev does, or at the same rev a proven row one that is not (an anchor's, when the whole
// repository comes in). An equal one changes nothing, so that a replay leaves no trace, not even in
// indexed_at.
constexpr std::string_view kRecordConflict =
    "ON CONFLICT (did, collection, rkey) DO UPDATE SET "
    "cid = excluded.cid, rev = excluded.rev, commit_cid = excluded.commit_cid, seq = excluded.seq, "
    "source = excluded.source, op = excluded.op, deleted = excluded.deleted, "
    "verification = excluded.verification, validation = excluded.validation, "
    "value = excluded.value, value_lossy = excluded.value_lossy, cbor = excluded.cbor, "
    "created_at = excluded.created_at, created_us = excluded.created_us, indexed_at = excluded.indexed_at, "
    "allowed = excluded.allowed "
    "WHERE (excluded.verification NOT IN ('cid', 'signature'), excluded.rev, "
    "excluded.verification IN ('full', 'export')) > "
    "(record.verification NOT IN ('cid', 'signature'), record.rev, record.verification IN ('full', "
    "'export'))";

constexpr Column kRecordRef[] = {
    {"did", kKey},           {"collection", kKey},  {"rkey", kKey},
    {"ordinal", kInt64},     {"path", kText},       {"target_uri", kText},
    {"target_cid", kText},   {"target_did", kText}, {"target_collection", kText},
    {"target_hash", kInt64},
};
constexpr Column kRepo[] = {{"did", kKey}, {"active", kBool}, {"updated_at", kInt64}};
constexpr Column kRecordProof[] = {
    {"did", kKey},         {"collection", kKey}, {"rkey", kKey},    {"rev", kKey},
    {"commit_cid", kText}, {"did_key", kText},   {"proof", kBytes},
};
constexpr Column kRepoState[] = {
    {"did", kKey},          {"rev", kKey},         {"data", kText},
    {"commit_cid", kText},  {"sync_state", kText}, {"reason", kText},
    {"baseline_rev", kKey}, {"active", kBool},     {"updated_at", kInt64},
};
constexpr Column kHeldEvent[] = {
    {"did", kKey},     {"source", kKey}, {"seq", kInt64},   {"ordinal", kInt64},
    {"reason", kText}, {"gated", kBool}, {"frame", kBytes}, {"arrived_at", kInt64},
};
constexpr Column kIdentity[] = {
    {"did", kKey},       {"fault", kText},       {"did_key", kText},
    {"pds", kText},      {"handle", kText},      {"handle_state", kText},
    {"document", kText}, {"fetched_at", kInt64}, {"purged", kBool},
};
constexpr Column kRepoStatus[] = {
    {"did", kKey}, {"active", kBool}, {"status", kText}, {"updated_at", kInt64}, {"status_at", kInt64}};
constexpr Column kRepoSource[] = {{"did", kKey}, {"source", kKey}, {"account_seq", kInt64}};
constexpr Column kDeadLetter[] = {
    {"source", kKey},     {"seq", kInt64},      {"op", kInt64},      {"did", kKey},     {"collection", kKey},
    {"rkey", kKey},       {"reject", kText},    {"detail", kText},   {"frame", kBytes}, {"state_met", kJson},
    {"attempts", kInt64}, {"first_at", kInt64}, {"last_at", kInt64},
};
constexpr Column kGap[] = {
    {"source", kKey},     {"shard", kKey},    {"opened_seq", kInt64}, {"reason", kKey},
    {"from_seq", kInt64}, {"to_seq", kInt64}, {"detail", kText},      {"opened_at", kInt64},
};
constexpr Column kCoverage[] = {{"did", kKey}, {"rule", kKey}, {"rev", kKey}, {"covered_at", kInt64}};
constexpr Column kQuarantine[] = {
    {"source", kKey},  {"position", kInt64}, {"frame_sha256", kKey},     {"reject", kText},
    {"detail", kText}, {"frame", kBytes},    {"quarantined_at", kInt64},
};
constexpr Column kCursor[] = {
    {"source", kKey}, {"shard", kKey}, {"position", kInt64}, {"epoch", kInt64}, {"updated_at", kInt64},
};

constexpr Insert kRecordInsert = {"record", kRecord, kRecordConflict};
constexpr Insert kRecordRefInsert = {"record_ref", kRecordRef, ""};
constexpr Insert kRepoInsert = {"repo", kRepo, "ON CONFLICT (did) DO NOTHING"};
constexpr Insert kRepoStatusInsert = {"repo", kRepoStatus,
                                      "ON CONFLICT (did) DO UPDATE SET active = excluded.active, "
                                      "status = excluded.status, updated_at = excluded.updated_at, "
                                      "status_at = CASE WHEN repo.active <> excluded.active "
                                      "OR repo.status IS DISTINCT FROM excluded.status "
                                      "THEN excluded.status_at ELSE repo.status_at END"};
// A commit without a head leaves the head. Written again it changes nothing, not even updated_at.
constexpr Insert kRepoStateInsert = {
    "repo", kRepoState,
    "ON CONFLICT (did) DO UPDATE SET rev = coalesce(excluded.rev, repo.rev), "
    "data = coalesce(excluded.data, repo.data), commit_cid = coalesce(excluded.commit_cid, repo.commit_cid), "
    "sync_state = excluded.sync_state, reason = excluded.reason, "
    "baseline_rev = coalesce(excluded.baseline_rev, repo.baseline_rev), updated_at = excluded.updated_at "
    "WHERE repo.sync_state IS DISTINCT FROM excluded.sync_state "
    "OR repo.reason IS DISTINCT FROM excluded.reason "
    "OR repo.rev <> excluded.rev OR repo.data <> excluded.data OR repo.commit_cid <> excluded.commit_cid "
    "OR (repo.rev IS NULL AND excluded.rev IS NOT NULL) "
    "OR (excluded.baseline_rev IS NOT NULL AND repo.baseline_rev IS DISTINCT FROM excluded.baseline_rev)"};
constexpr Insert kRepoSourceInsert = {
    "repo_source", kRepoSource, "ON CONFLICT (did, source) DO UPDATE SET account_seq = excluded.account_seq"};
// Of the same commit it is the same proof, unless the first was made before the key was known.
constexpr Insert kRecordProofInsert = {
    "record_proof", kRecordProof,
    "ON CONFLICT (did, collection, rkey) DO UPDATE SET rev = excluded.rev, commit_cid = excluded.commit_cid, "
    "did_key = excluded.did_key, proof = excluded.proof "
    "WHERE record_proof.rev <> excluded.rev OR record_proof.commit_cid IS DISTINCT FROM excluded.commit_cid "
    "OR (record_proof.did_key IS NULL AND excluded.did_key IS NOT NULL)"};
constexpr Insert kHeldEventInsert = {"held_event", kHeldEvent, "ON CONFLICT (did, source, seq) DO NOTHING"};
constexpr Insert kIdentityInsert = {
    "identity", kIdentity,
    "ON CONFLICT (did) DO UPDATE SET fault = excluded.fault, did_key = excluded.did_key, "
    "pds = excluded.pds, handle = excluded.handle, handle_state = excluded.handle_state, "
    "document = excluded.document, fetched_at = excluded.fetched_at, purged = excluded.purged"};
constexpr Insert kDeadLetterInsert = {
    "dead_letter", kDeadLetter, "ON CONFLICT (source, seq, op) DO UPDATE SET last_at = excluded.last_at"};
constexpr Insert kRefusedInsert = {"dead_letter", kDeadLetter,
                                   "ON CONFLICT (source, seq, op) DO UPDATE SET reject = excluded.reject, "
                                   "detail = excluded.detail, last_at = excluded.last_at"};
// The same gap seen again may reach further; then it is open again, however it was closed before, and another
// one to who is at work on closing it.
constexpr Insert kGapInsert = {
    "gap", kGap,
    "ON CONFLICT (source, shard, opened_seq, reason) DO UPDATE SET to_seq = excluded.to_seq, "
    "detail = excluded.detail, opened_at = excluded.opened_at, closed_at = NULL "
    "WHERE excluded.to_seq > gap.to_seq"};
// What was covered at a later rev stays so.
constexpr Insert kCoverageInsert = {"coverage", kCoverage,
                                    "ON CONFLICT (did, rule) DO UPDATE SET rev = excluded.rev, "
                                    "covered_at = excluded.covered_at WHERE excluded.rev > coverage.rev"};
constexpr Insert kQuarantineInsert = {"quarantine", kQuarantine,
                                      "ON CONFLICT (source, position, frame_sha256) DO NOTHING"};
constexpr Insert kCursorInsert = {"stream_cursor", kCursor,
                                  "ON CONFLICT (source, shard) DO UPDATE SET position = excluded.position, "
                                  "epoch = excluded.epoch, updated_at = excluded.updated_at "
                                  "WHERE excluded.position > stream_cursor.position"};

}  // namespace

const Insert& RecordInsert() { return kRecordInsert; }
const Insert& RecordRefInsert() { return kRecordRefInsert; }
const Insert& RepoInsert() { return kRepoInsert; }
const Insert& RepoStatusInsert() { return kRepoStatusInsert; }
const Insert& RepoStateInsert() { return kRepoStateInsert; }
const Insert& RepoSourceInsert() { return kRepoSourceInsert; }
const Insert& RecordProofInsert() { return kRecordProofInsert; }
const Insert& HeldEventInsert() { return kHeldEventInsert; }
const Insert& IdentityInsert() { return kIdentityInsert; }
const Insert& DeadLetterInsert() { return kDeadLetterInsert; }
const Insert& RefusedInsert() { return kRefusedInsert; }
const Insert& GapInsert() { return kGapInsert; }
const Insert& CoverageInsert() { return kCoverageInsert; }
const Insert& QuarantineInsert() { return kQuarantineInsert; }
const Insert& CursorInsert() { return kCursorInsert; }

std::string PurgeSql::Delete(std::string_view table, bool some_stay) {
  std::string sql = "DELETE FROM ";
  sql.append(table).append(" WHERE did = $1");
  if (some_stay) sql.append(" AND (collection, rkey) < ($2, $3)");
  return sql;
}

std::string_view CleanText(std::string_view text, Arena* scratch) {
  if (text.empty() ||
      (std::memchr(text.data(), 0, text.size()) == nullptr && cbor::IsValidUtf8(AsBytes(text))))
    return text;
  char* out = scratch->Allocate(text.size() * kReplacement.size());
  size_t size = 0;
  for (size_t at = 0; at < text.size();) {
    // The one character that begins here, if it is one: the shortest piece that is valid.
    size_t length = text[at] == '\0' ? 5 : 1;
    while (length <= 4 && (at + length > text.size() || !cbor::IsValidUtf8(AsBytes(text.substr(at, length)))))
      ++length;
    const std::string_view piece = length <= 4 ? text.substr(at, length) : kReplacement;
    std::memcpy(out + size, piece.data(), piece.size());
    size += piece.size();
    at += length <= 4 ? length : 1;
  }
  return std::string_view(out, size);
}

}  // namespace penstock::indexer
