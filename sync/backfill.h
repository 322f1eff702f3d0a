#pragma once

// The queue of whole repositories to fetch, as it is kept (docs/backfill.md): plain values, and the interface that the stores
// implement (indexer/). A run says why accounts are fetched, a listing where they are found, a task is one account of one run.
// All of it is durable, so that a crash loses nothing and several processes can share it.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "sync/account_state.h"

namespace penstock::sync {

enum class RunKind : uint8_t {
  kFilter,  // "filter": all accounts that have what a rule of the filter names; `subject` is the rule. Done, it is the mark that
            // this rule is covered: nothing but such a mark says so
  kGap,     // "gap": accounts that changed while we did not look; `subject` is GapKey::Text()
  kResync,  // "resync": the one standing run: accounts whose chain broke, or that were met in mid-life
  kManual,  // "manual": by an operator's verb; `subject` says which
};
std::string_view RunKindName(RunKind kind);
std::optional<RunKind> RunKindFromName(std::string_view name);

enum class RunState : uint8_t {
  kOpen,       // "open": listings or tasks are to be done
  kDone,       // "done": every listing ended, every task is done or failed conclusively
  kCancelled,  // "cancelled": not wanted any more (the rule left the filter)
};
std::string_view RunStateName(RunState state);
std::optional<RunState> RunStateFromName(std::string_view name);

enum class TaskState : uint8_t {
  kQueued,   // "queued": to be done, not before `not_before`
  kRunning,  // "running": somebody holds its lease
  kDone,     // "done": the account was taken in, or needs nothing; `cause` may say what (already_current, account_inactive)
  kFailed,   // "failed": no further attempt helps; `cause` says why
};
std::string_view TaskStateName(TaskState state);
std::optional<TaskState> TaskStateFromName(std::string_view name);

struct BackfillRun {
  int64_t id = 0;
  RunKind kind = RunKind::kManual;
  std::string subject;
  RunState state = RunState::kOpen;
  int64_t started_at = 0, ended_at = 0;  // microseconds since the epoch; 0: not yet
};

// What a run has come to, for people.
struct RunTotals {
  uint64_t queued = 0, running = 0, done = 0, failed = 0;
  uint64_t records = 0, bytes = 0;  // of the tasks that are done
  uint64_t open_listings = 0;
  struct Cause {
    std::string cause;
    uint64_t tasks = 0;
  };
  std::vector<Cause> causes;  // of queued tasks that were tried, and of failed ones; most first
};

// Where accounts of a run come from. `host` is an origin ("https://host[:port]"), or empty for our own store.
// Methods: "listReposByCollection" (argument: an NSID), "listRepos", "listHosts", "describeRepo" (argument: a DID), "known" (our
// table `repo`), "compare" (our table `repo`, each against its host's getLatestCommit), "given" (accounts that an operator names:
// open while they are being added, by whoever adds them).
struct Listing {
  int64_t run = 0;
  std::string host = {}, method = {}, argument = {};
  bool trusted = false;  // the operator chose the host
  std::string cursor = {};  // where the next page begins; empty at the start
  bool done = false;
  int64_t attempts = 0;    // in a row, without an answer
  int64_t not_before = 0;  // microseconds since the epoch
  std::string cause = {};  // of the last fault, or why it is done without an end: "not_served", …
  uint64_t found = 0;      // accounts that became tasks
};

// A task to be made.
struct TaskSeed {
  std::string did = {};
  std::string rev = {};   // the account has at least this one; empty if nobody said
  std::string host = {};  // who listed it: asked for the archive if its document names nobody else
};

struct BackfillTask {
  int64_t run = 0;
  RunKind kind = RunKind::kManual;
  std::string did = {};
  std::string rev = {}, host = {};  // of its seed
  int64_t attempts = 0;
  int64_t created_at = 0;
};

// What became of a task that did not end with an import (that one ends with its rows, in their transaction: change_set.h).
struct TaskOutcome {
  TaskState state = TaskState::kQueued;  // kQueued: once more at `not_before`
  std::string cause;                     // a Reject's name, or one of backfill/policy.h
  std::string detail;                    // for people, bounded
  int64_t not_before = 0;
  bool counts = true;  // as an attempt; false: it says nothing of the account (its host was away), and `attempts` stays
};

// A row of `gap`.
struct OpenGap {
  std::string source, shard;
  int64_t opened_seq = 0;
  std::string reason;
  int64_t opened_at = 0;
  // The subject of its run: "source shard opened_seq reason opened_at".
  std::string Text() const;
};

// An account that has a row in `repo`.
struct KnownAccount {
  std::string did;
  SyncState sync_state = SyncState::kUntracked;
  std::string rev;
  bool active = true;
  std::string status;
  std::string pds;  // origin, from the kept identity; empty if none
};

// Its writes are small transactions of their own, beside the writer's; it takes no part in the lease of the store, so any
// process may queue work. One thread. Errors: kUnavailable (again, later), kInternal, kDataLoss; kFailedPrecondition (schema).
class BackfillStore {
 public:
  virtual ~BackfillStore() = default;

  // ---- Runs
  // The open run of this kind and subject; made if there is none. `made` may be null.
  virtual absl::StatusOr<int64_t> OpenRun(RunKind kind, std::string_view subject, int64_t now_us, bool* made) = 0;
  // The newest first; `open_only`: those that are to be worked at.
  virtual absl::Status LoadRuns(bool open_only, std::vector<BackfillRun>* runs) = 0;
  virtual absl::Status LoadTotals(int64_t run, RunTotals* totals) = 0;
  // Its queued tasks go with it; what a rule covered is forgotten with RunKind::kFilter (table coverage too).
  virtual absl::Status CancelRun(int64_t run, int64_t now_us) = 0;
  // Open runs (not the standing one) that have neither an open listing nor an open task become done; a gap run closes its gap,
  // in the same transaction, unless that was widened since. A run to which nothing was added yet is only beginning. Those that
  // ended are appended to `*ended`.
  virtual absl::Status EndFinishedRuns(int64_t now_us, std::vector<BackfillRun>* ended) = 0;

  // ---- Listings
  // One that is there already stays as it is. A run that is done is open again (for SavePage, too); to one that is cancelled
  // nothing is added.
  virtual absl::Status AddListings(std::span<const Listing> listings) = 0;
  // Those not done, of open runs, due at `now_us`, oldest run first.
  virtual absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<Listing>* listings) = 0;
  // A page: in one transaction `listing` as it is now (cursor, done, attempts, …; `found` grows), its tasks, and further listings
  // that it led to. A task that the run has already stays as it is, but for a greater `rev` of one that is done: that is
  // queued again.
  virtual absl::Status SavePage(const Listing& listing, std::span<const TaskSeed> tasks, std::span<const Listing> further,
                                int64_t now_us) = 0;

  // ---- Tasks
  // Takes up to `limit` queued tasks that are due, in the order resync, gap, manual, filter and then by age; each account once,
  // and none that a running task of another run has. They are ours until `lease_until`.
  virtual absl::Status Claim(std::string_view owner, int64_t now_us, int64_t lease_until, size_t limit,
                             std::vector<BackfillTask>* tasks) = 0;
  virtual absl::Status Renew(std::string_view owner, int64_t lease_until) = 0;
  // Running tasks of owners that begin with `prefix`, but not of `owner`, and those whose lease is over, are queued again.
  virtual absl::Status Recover(std::string_view prefix, std::string_view owner, int64_t now_us) = 0;
  // Only while `owner` still holds it. `attempts` grows unless the outcome is kDone or does not count.
  virtual absl::Status SetOutcome(const BackfillTask& task, std::string_view owner, const TaskOutcome& outcome,
                                  int64_t now_us) = 0;
  // When the next queued task is due; nullopt if there is none.
  virtual absl::StatusOr<std::optional<int64_t>> NextDue() = 0;
  // Queues each active account in state partial, desynchronized or in_progress that no open task of any run has, into the
  // standing run. One that was taken in within `calm_us` waits: `first_us`, doubling with each time to `most_us` at most
  // (protocol 3.5: a repository that breaks at every commit). One whose task came to nothing waits `first_us`, and one that failed
  // for good `calm_us`, unless its status changed since.
  // Looks at some thousand accounts at most; the next call goes on behind them. Returns how many were queued.
  struct Throttle {
    int64_t first_us = 60'000'000, most_us = 3'600'000'000, calm_us = 86'400'000'000;
  };
  virtual absl::StatusOr<size_t> QueueUnsettled(const Throttle& throttle, int64_t now_us, size_t limit) = 0;

  // ---- What decisions are made from
  virtual absl::Status LoadOpenGaps(std::vector<OpenGap>* gaps) = 0;
  // In order of DID, up to `limit` behind `after`.
  virtual absl::Status LoadKnown(std::string_view after, size_t limit, std::vector<KnownAccount>* accounts) = 0;
  virtual absl::StatusOr<KnownAccount> FindKnown(std::string_view did) = 0;  // kNotFound
  virtual absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) = 0;
  // Accounts that are `deleted` since before `before_us` and still have rows. Looks at some thousand at most, as above.
  virtual absl::Status LoadToPurge(int64_t before_us, size_t limit, std::vector<std::string>* dids) = 0;
};

}  // namespace penstock::sync
