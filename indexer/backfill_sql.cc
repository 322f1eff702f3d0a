#include "indexer/backfill_sql.h"

#include <array>

namespace penstock::indexer {
namespace {

using enum ColumnType;

constexpr size_t kStatements = static_cast<size_t>(QueueSql::kCount);

// In the order of QueueSql.
constexpr std::array<QueueStatement, kStatements> kQueueStatements = {{
    // ---- Runs
    {"SELECT id FROM backfill_run WHERE kind = $1 AND subject = $2 AND state = 'open'", "tt"},
    {"INSERT INTO backfill_run (id, kind, subject, state, started_at) "
     "SELECT coalesce(max(id), 0) + 1, $1, $2, 'open', $3 FROM backfill_run RETURNING id",
     "tti"},
    {"SELECT kind, state FROM backfill_run WHERE id = $1", "i"},
    {"UPDATE backfill_run SET state = 'open', ended_at = NULL WHERE id = $1 AND state = 'done' "
     "AND NOT EXISTS (SELECT 1 FROM backfill_run o WHERE o.kind = backfill_run.kind "
     "AND o.subject = backfill_run.subject AND o.state = 'open')",
     "i"},
    {"SELECT id, kind, subject, state, started_at, coalesce(ended_at, 0) FROM backfill_run "
     "WHERE $1 = 0 OR state = 'open' ORDER BY id DESC",
     "i"},
    {"SELECT state, coalesce(cause, ''), count(*), CAST(coalesce(sum(records), 0) AS bigint), "
     "CAST(coalesce(sum(bytes), 0) AS bigint) FROM backfill_task WHERE run = $1 GROUP BY state, cause",
     "i"},
    {"SELECT count(*) FROM backfill_listing WHERE run = $1 AND NOT done", "i"},
    {"UPDATE backfill_run SET state = 'cancelled', ended_at = $2 WHERE id = $1 AND state <> 'cancelled'",
     "ii"},
    // Some at a time, by their place in the file: the one way that no planner can turn into a search for each
    // of them.
    {"DELETE FROM backfill_task WHERE {ctid = ANY (ARRAY|rowid IN} (SELECT {ctid|rowid} FROM backfill_task "
     "WHERE run = $1 AND state = 'queued' LIMIT $2 {FOR UPDATE SKIP LOCKED|}){)|}",
     "ii"},
    {"DELETE FROM backfill_listing WHERE {ctid = ANY (ARRAY|rowid IN} (SELECT {ctid|rowid} FROM "
     "backfill_listing "
     "WHERE run = $1 AND NOT done LIMIT $2){)|}",
     "ii"},
    {"DELETE FROM coverage WHERE {ctid = ANY (ARRAY|rowid IN} (SELECT c.{ctid|rowid} FROM coverage c "
     "JOIN backfill_run r ON r.id = $1 AND r.kind = 'filter' AND r.subject = c.rule LIMIT $2){)|}",
     "ii"},
    {"SELECT id FROM backfill_run r WHERE state = 'cancelled' AND (EXISTS (SELECT 1 FROM backfill_task t "
     "WHERE t.run = r.id AND t.state = 'queued') OR EXISTS (SELECT 1 FROM backfill_listing l "
     "WHERE l.run = r.id AND NOT l.done)) ORDER BY id",
     ""},
    // A run to which nothing was added yet is only beginning.
    {"UPDATE backfill_run SET state = 'done', ended_at = $1 WHERE state = 'open' AND kind <> 'resync' "
     "AND NOT EXISTS (SELECT 1 FROM backfill_listing l WHERE l.run = backfill_run.id AND NOT l.done) "
     "AND NOT EXISTS (SELECT 1 FROM backfill_task t WHERE t.run = backfill_run.id "
     "AND t.state IN ('queued', 'running')) "
     "AND (EXISTS (SELECT 1 FROM backfill_listing l WHERE l.run = backfill_run.id) "
     "OR EXISTS (SELECT 1 FROM backfill_task t WHERE t.run = backfill_run.id)) "
     "RETURNING id, kind, subject, started_at",
     "i"},
    // As OpenGap::Text().
    {"UPDATE gap SET closed_at = $2 WHERE closed_at IS NULL AND "
     "source || ' ' || shard || ' ' || opened_seq || ' ' || reason || ' ' || opened_at = $1",
     "ti"},
    // ---- Listings
    {"SELECT id FROM backfill_run WHERE state = 'open' ORDER BY id", ""},
    {"SELECT host, method, argument, trusted, coalesce(cursor, ''), attempts, not_before, coalesce(cause, "
     "''), found "
     "FROM backfill_listing WHERE run = $1 AND NOT done AND not_before <= $2 ORDER BY not_before LIMIT $3",
     "iii"},
    // ---- Tasks
    // Of an account that stands in several runs of the same kind the oldest run's task is taken.
    {"WITH due AS MATERIALIZED (SELECT t.run AS due_run, t.did AS due_did FROM backfill_task t "
     "WHERE t.state = 'queued' AND t.priority = $1 AND t.not_before <= $2 "
     "AND NOT EXISTS (SELECT 1 FROM backfill_task o WHERE o.did = t.did AND (o.state = 'running' "
     "OR (o.state = 'queued' AND o.priority = t.priority AND o.not_before <= $2 AND o.run < t.run))) "
     "AND EXISTS (SELECT 1 FROM backfill_run r WHERE r.id = t.run AND r.state <> 'cancelled') "
     "ORDER BY t.not_before LIMIT $3 {FOR UPDATE OF t SKIP LOCKED|}) "
     "UPDATE backfill_task SET state = 'running', owner = $4, lease_until = $5 FROM due "
     "WHERE backfill_task.run = due_run AND backfill_task.did = due_did "
     "RETURNING run, did, coalesce(rev, ''), coalesce(host, ''), attempts, created_at, not_before",
     "iiiti"},
    {"UPDATE backfill_task SET state = 'queued', owner = NULL, lease_until = NULL "
     "WHERE run = $1 AND did = $2 AND state = 'running' AND owner = $3",
     "itt"},
    // A row that somebody has locked is just being done.
    {"WITH mine AS MATERIALIZED (SELECT run AS mine_run, did AS mine_did FROM backfill_task "
     "WHERE state = 'running' AND owner = $1 {FOR UPDATE SKIP LOCKED|}) "
     "UPDATE backfill_task SET lease_until = $2 FROM mine WHERE run = mine_run AND did = mine_did",
     "ti"},
    {"WITH lost AS MATERIALIZED (SELECT run AS lost_run, did AS lost_did FROM backfill_task "
     "WHERE state = 'running' "
     "AND (($1 <> '' AND owner <> $2 AND substr(owner, 1, length($1)) = $1) OR lease_until <= $3) "
     "{FOR UPDATE SKIP LOCKED|}) "
     "UPDATE backfill_task SET state = 'queued', owner = NULL, lease_until = NULL, not_before = $3 "
     "FROM lost WHERE run = lost_run AND did = lost_did",
     "tti"},
    {"UPDATE backfill_task SET state = $4, cause = nullif($5, ''), detail = nullif($6, ''), "
     "not_before = CASE WHEN $4 = 'queued' THEN $7 ELSE not_before END, "
     "attempts = attempts + $9, "
     "ended_at = CASE WHEN $4 = 'queued' THEN ended_at ELSE $8 END, owner = NULL, lease_until = NULL "
     "WHERE run = $1 AND did = $2 AND state = 'running' AND owner = $3",
     "itttttiii"},
    {"DELETE FROM backfill_task WHERE run = $1 AND did = $2 AND state = 'queued' "
     "AND EXISTS (SELECT 1 FROM backfill_run r WHERE r.id = $1 AND r.state = 'cancelled')",
     "it"},
    {"SELECT min(due) FROM ("
     "SELECT min(not_before) AS due FROM backfill_task WHERE state = 'queued' AND priority = 0 UNION ALL "
     "SELECT min(not_before) FROM backfill_task WHERE state = 'queued' AND priority = 1 UNION ALL "
     "SELECT min(not_before) FROM backfill_task WHERE state = 'queued' AND priority = 2 UNION ALL "
     "SELECT min(not_before) FROM backfill_task WHERE state = 'queued' AND priority = 3) q",
     ""},
    {"SELECT r.did, r.active, "
     "EXISTS (SELECT 1 FROM backfill_task t WHERE t.did = r.did AND t.state IN ('queued', 'running')), "
     "coalesce((SELECT max(t.imports) FROM backfill_task t WHERE t.did = r.did), 0), "
     "coalesce((SELECT max(t.imported_at) FROM backfill_task t WHERE t.did = r.did), 0), "
     "coalesce((SELECT max(t.ended_at) FROM backfill_task t WHERE t.did = r.did), 0), "
     "coalesce((SELECT max(t.ended_at) FROM backfill_task t WHERE t.did = r.did AND t.state = 'failed'), 0), "
     "coalesce(r.status_at, 0) FROM (SELECT did, active, status_at FROM repo WHERE sync_state IN ('partial', "
     "'desynchronized', 'in_progress') "
     "AND did > $1 ORDER BY did LIMIT $2) r ORDER BY r.did",
     "ti"},
    // ---- What decisions are made from
    {"SELECT source, shard, opened_seq, reason, opened_at FROM gap WHERE closed_at IS NULL "
     "ORDER BY source, shard, opened_seq, reason",
     ""},
    {"SELECT r.did, coalesce(r.sync_state, ''), coalesce(r.rev, ''), r.active, coalesce(r.status, ''), "
     "coalesce(i.pds, '') FROM repo r LEFT JOIN identity i ON i.did = r.did AND NOT i.purged "
     "WHERE r.did > $1 ORDER BY r.did LIMIT $2",
     "ti"},
    {"SELECT r.did, coalesce(r.sync_state, ''), coalesce(r.rev, ''), r.active, coalesce(r.status, ''), "
     "coalesce(i.pds, '') FROM repo r LEFT JOIN identity i ON i.did = r.did AND NOT i.purged WHERE r.did = "
     "$1",
     "t"},
    {"SELECT 1 FROM coverage WHERE did = $1 AND rule = $2", "tt"},
    {"SELECT r.did, r.active, coalesce(r.status_at, r.updated_at), "
     "EXISTS (SELECT 1 FROM record c WHERE c.did = r.did) "
     "FROM (SELECT did, active, status_at, updated_at FROM repo WHERE status = 'deleted' AND did > $1 "
     "ORDER BY did LIMIT $2) r ORDER BY r.did",
     "ti"},
}};

constexpr Column kTask[] = {
    {"run", kInt64},        {"did", kKey},       {"priority", kInt64}, {"state", kText},
    {"rev", kKey},          {"host", kText},     {"attempts", kInt64}, {"not_before", kInt64},
    {"created_at", kInt64}, {"imports", kInt64},
};
constexpr Column kListing[] = {
    {"run", kInt64},      {"host", kKey},         {"method", kKey}, {"argument", kKey},
    {"trusted", kBool},   {"cursor", kText},      {"done", kBool},  {"found", kInt64},
    {"attempts", kInt64}, {"not_before", kInt64}, {"cause", kText},
};

constexpr Insert kSeedInsert = {
    "backfill_task", kTask,
    "ON CONFLICT (run, did) DO UPDATE SET state = excluded.state, rev = excluded.rev, host = excluded.host, "
    "attempts = excluded.attempts, not_before = excluded.not_before, created_at = excluded.created_at, "
    "cause = NULL, detail = NULL "
    "WHERE backfill_task.state = 'done' AND excluded.rev > coalesce(backfill_task.rev, '')"};
constexpr Insert kUnsettledInsert = {
    "backfill_task", kTask,
    "ON CONFLICT (run, did) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, "
    "not_before = excluded.not_before, created_at = excluded.created_at, imports = excluded.imports, "
    "cause = NULL, detail = NULL WHERE backfill_task.state IN ('done', 'failed')"};
constexpr Insert kListingInsert = {"backfill_listing", kListing,
                                   "ON CONFLICT (run, host, method, argument) DO NOTHING"};
constexpr Insert kSavePageInsert = {
    "backfill_listing", kListing,
    "ON CONFLICT (run, host, method, argument) DO UPDATE SET trusted = excluded.trusted, cursor = "
    "excluded.cursor, "
    "done = excluded.done, found = backfill_listing.found + excluded.found, attempts = excluded.attempts, "
    "not_before = excluded.not_before, cause = excluded.cause"};

constexpr std::array<sync::RunKind, kPriorities> kKindsByPriority = {
    sync::RunKind::kResync, sync::RunKind::kGap, sync::RunKind::kManual, sync::RunKind::kFilter};

}  // namespace

const QueueStatement& StatementOf(QueueSql which) { return kQueueStatements[static_cast<size_t>(which)]; }

std::string RenderQueueSql(QueueSql which, Dialect dialect) {
  const bool sqlite = dialect == Dialect::kSqlite;
  std::string sql;
  bool inside = false, ours = true;
  for (const char c : StatementOf(which).sql) {
    if (c == '{' || c == '}') {
      inside = c == '{';
      ours = !inside || !sqlite;
    } else if (inside && c == '|') {
      ours = sqlite;
    } else if (ours) {
      // SQLite numbers $1 by where it first occurs, ?1 by its number.
      sql.push_back(c == '$' && sqlite ? '?' : c);
    }
  }
  return sql;
}

int64_t PriorityOf(sync::RunKind kind) {
  int64_t priority = 0;
  while (kKindsByPriority[static_cast<size_t>(priority)] != kind) ++priority;
  return priority;
}

sync::RunKind KindOfPriority(int64_t priority) { return kKindsByPriority[static_cast<size_t>(priority)]; }

const Insert& SeedInsert() { return kSeedInsert; }
const Insert& UnsettledInsert() { return kUnsettledInsert; }
const Insert& ListingInsert() { return kListingInsert; }
const Insert& SavePageInsert() { return kSavePageInsert; }

}  // namespace penstock::indexer
