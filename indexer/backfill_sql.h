#pragma once

// The statements of the queue of whole repositories (sync/backfill.h), the same text for both dialects:
// parameters are $1, $2, …, and the few words in which they differ stand as {PostgreSQL's|SQLite's}.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "indexer/batch_sql.h"
#include "indexer/schema.h"
#include "sync/backfill.h"

namespace penstock::indexer {

enum class QueueSql : uint8_t {
  kFindOpenRun,
  kMakeRun,
  kRunOf,
  kReopenRun,
  kRuns,
  kTotals,
  kCountOpenListings,
  kCancelRun,
  kDropTasks,
  kDropListings,
  kDropCoverage,
  kCancelledRuns,
  kEndRuns,
  kCloseGap,
  kOpenRuns,
  kDueListings,
  kClaim,
  kGiveBack,
  kRenew,
  kRecover,
  kSetOutcome,
  kDropTask,
  kNextDue,
  kUnsettled,
  kOpenGaps,
  kKnown,
  kFindKnown,
  kCovered,
  kDeleted,
  kCount,  // how many there are
};

struct QueueStatement {
  std::string_view sql;
  std::string_view types;  // of the parameters: 't' for text, 'i' for a number
};
const QueueStatement& StatementOf(QueueSql which);
std::string RenderQueueSql(QueueSql which, Dialect dialect);

// How many rows one statement removes, so that a run of millions does not keep others waiting.
inline constexpr int64_t kDropAtOnce = 2'000;

// The order in which Claim takes tasks: column `priority`.
int64_t PriorityOf(sync::RunKind kind);
sync::RunKind KindOfPriority(int64_t priority);
inline constexpr int64_t kPriorities = 4;

// A row of backfill_task that begins its life.
struct NewTask {
  int64_t run = 0;
  int64_t priority = 0;
  std::string_view did = {}, rev = {}, host = {};
  int64_t created_at = 0;
  int64_t not_before = 0;
  int64_t imports = 0;
};

const Insert& SeedInsert();       // of a listing; one that is done is queued again for a greater rev
const Insert& UnsettledInsert();  // of an account's state; one that has ended is queued again
const Insert& ListingInsert();    // one that is there stays
const Insert& SavePageInsert();   // replaces, but for `found`, which grows

template <typename Row>
void GiveTask(const NewTask& task, Arena* scratch, Row* out) {
  out->Int(task.run);
  out->Text(CleanText(task.did, scratch));
  out->Int(task.priority);
  out->Text(sync::TaskStateName(sync::TaskState::kQueued));
  out->TextOrNull(CleanText(task.rev, scratch));
  out->TextOrNull(CleanText(task.host, scratch));
  out->Int(0);  // attempts
  out->Int(task.not_before);
  out->Int(task.created_at);
  out->Int(task.imports);
}

template <typename Row>
void GiveListing(const sync::Listing& listing, Arena* scratch, Row* out) {
  out->Int(listing.run);
  out->Text(CleanText(listing.host, scratch));
  out->Text(CleanText(listing.method, scratch));
  out->Text(CleanText(listing.argument, scratch));
  out->Bool(listing.trusted);
  out->TextOrNull(CleanText(listing.cursor, scratch));
  out->Bool(listing.done);
  out->Int(static_cast<int64_t>(listing.found));
  out->Int(listing.attempts);
  out->Int(listing.not_before);
  out->TextOrNull(CleanText(listing.cause, scratch));
}

}  // namespace penstock::indexer
