#include "indexer/backfill_queue.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <tuple>

namespace penstock::indexer {
namespace {

using enum QueueSql;
using sync::BackfillRun;
using sync::Listing;
using sync::RunKind;
using sync::RunState;
using sync::TaskSeed;
using sync::TaskState;

template <typename Enum>
absl::Status ReadName(std::optional<Enum> value, std::string_view name, Enum* out) {
  if (!value) return DataLossError("backfill: a later program's word: " + std::string(name));
  *out = *value;
  return absl::OkStatus();
}

absl::Status ReadKnown(const SqlRow& row, sync::KnownAccount* account) {
  account->did = row.text(0);
  RETURN_IF_ERROR(ReadName(sync::SyncStateFromName(row.text(1)), row.text(1), &account->sync_state));
  account->rev = row.text(2);
  account->active = row.int64(3) != 0;
  account->status = row.text(4);
  account->pds = row.text(5);
  return absl::OkStatus();
}

}  // namespace

// ---- Runs

absl::StatusOr<std::optional<int64_t>> BackfillQueue::FindOpenRun(RunKind kind, std::string_view subject) {
  std::optional<int64_t> id;
  RETURN_IF_ERROR(
      Read(kFindOpenRun, {RunKindName(kind), subject}, [&](const SqlRow& row) { id = row.int64(0); }));
  return id;
}

absl::StatusOr<int64_t> BackfillQueue::FindOrMakeRun(RunKind kind, std::string_view subject, int64_t now_us,
                                                     bool* made) {
  ASSIGN_OR_RETURN(const std::optional<int64_t> found, FindOpenRun(kind, subject));
  if (found) return *found;
  int64_t id = 0;
  RETURN_IF_ERROR(
      Read(kMakeRun, {RunKindName(kind), subject, now_us}, [&](const SqlRow& row) { id = row.int64(0); }));
  *made = true;
  return id;
}

absl::StatusOr<int64_t> BackfillQueue::OpenRun(RunKind kind, std::string_view subject, int64_t now_us,
                                               bool* made) {
  int64_t id = 0;
  bool is_new = false;
  const auto find = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(id, FindOrMakeRun(kind, subject, now_us, &is_new));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(InTransaction(find));
  if (made != nullptr) *made = is_new;
  return id;
}

absl::Status BackfillQueue::LoadRuns(bool open_only, std::vector<BackfillRun>* runs) {
  runs->clear();
  absl::Status status;
  RETURN_IF_ERROR(Read(kRuns, {int64_t{open_only}}, [&](const SqlRow& row) {
    BackfillRun& run = runs->emplace_back();
    run.id = row.int64(0);
    if (status.ok()) status = ReadName(sync::RunKindFromName(row.text(1)), row.text(1), &run.kind);
    run.subject = row.text(2);
    if (status.ok()) status = ReadName(sync::RunStateFromName(row.text(3)), row.text(3), &run.state);
    run.started_at = row.int64(4);
    run.ended_at = row.int64(5);
  }));
  return status;
}

absl::Status BackfillQueue::LoadTotals(int64_t run, sync::RunTotals* totals) {
  *totals = {};
  absl::Status status;
  std::vector<sync::RunTotals::Cause> queued;
  const auto add = [&](const SqlRow& row) {
    TaskState state = TaskState::kQueued;
    if (status.ok()) status = ReadName(sync::TaskStateFromName(row.text(0)), row.text(0), &state);
    const std::string_view cause = row.text(1);
    const uint64_t tasks = static_cast<uint64_t>(row.int64(2));
    switch (state) {
      case TaskState::kQueued:
        totals->queued += tasks;
        if (!cause.empty()) totals->causes.push_back({std::string(cause), tasks});
        break;
      case TaskState::kRunning:
        totals->running += tasks;
        break;
      case TaskState::kDone:
        totals->done += tasks;
        totals->records += static_cast<uint64_t>(row.int64(3));
        totals->bytes += static_cast<uint64_t>(row.int64(4));
        break;
      case TaskState::kFailed:
        totals->failed += tasks;
        totals->causes.push_back({std::string(cause), tasks});
        break;
    }
  };
  RETURN_IF_ERROR(Read(kTotals, {run}, add));
  RETURN_IF_ERROR(status);
  // A cause may stand behind tasks that are tried again and behind some that are not.
  std::vector<sync::RunTotals::Cause>& causes = totals->causes;
  std::sort(causes.begin(), causes.end(), [](const auto& a, const auto& b) { return a.cause < b.cause; });
  size_t kept = 0;
  for (size_t i = 1; i < causes.size(); ++i) {
    if (causes[i].cause == causes[kept].cause) {
      causes[kept].tasks += causes[i].tasks;
    } else if (++kept != i) {
      causes[kept] = std::move(causes[i]);
    }
  }
  if (!causes.empty()) causes.resize(kept + 1);
  std::stable_sort(causes.begin(), causes.end(),
                   [](const auto& a, const auto& b) { return a.tasks > b.tasks; });
  return Read(kCountOpenListings, {run},
              [&](const SqlRow& row) { totals->open_listings = static_cast<uint64_t>(row.int64(0)); });
}

absl::StatusOr<bool> BackfillQueue::DropSome(int64_t run) {
  bool more = false;
  for (const QueueSql drop : {kDropTasks, kDropListings, kDropCoverage}) {
    ASSIGN_OR_RETURN(const int64_t dropped, db_->Run(drop, {run, kDropAtOnce}));
    more |= dropped >= kDropAtOnce;
  }
  return more;
}

absl::Status BackfillQueue::DropAll(int64_t run) {
  bool more = true;
  const auto drop = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(more, DropSome(run));
    return absl::OkStatus();
  };
  while (more) RETURN_IF_ERROR(InTransaction(drop));
  return absl::OkStatus();
}

absl::Status BackfillQueue::CancelRun(int64_t run, int64_t now_us) {
  bool more = false;
  const auto cancel = [&]() -> absl::Status {
    RETURN_IF_ERROR(db_->Run(kCancelRun, {run, now_us}).status());
    ASSIGN_OR_RETURN(more, DropSome(run));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(InTransaction(cancel));
  // From here on nobody takes its tasks any more. If we end before they are gone, Recover goes on.
  return more ? DropAll(run) : absl::OkStatus();
}

absl::Status BackfillQueue::EndFinishedRuns(int64_t now_us, std::vector<BackfillRun>* ended) {
  std::vector<BackfillRun> done;
  absl::Status names;
  const auto read = [&](const SqlRow& row) {
    BackfillRun& run = done.emplace_back();
    run.id = row.int64(0);
    if (names.ok()) names = ReadName(sync::RunKindFromName(row.text(1)), row.text(1), &run.kind);
    run.subject = row.text(2);
    run.state = RunState::kDone;
    run.started_at = row.int64(3);
    run.ended_at = now_us;
  };
  const auto end = [&]() -> absl::Status {
    RETURN_IF_ERROR(Read(kEndRuns, {now_us}, read));
    RETURN_IF_ERROR(names);
    for (const BackfillRun& run : done) {
      // A gap that was widened meanwhile has another opened_at, so it stays.
      if (run.kind == RunKind::kGap) RETURN_IF_ERROR(db_->Run(kCloseGap, {run.subject, now_us}).status());
    }
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(InTransaction(end));
  ended->insert(ended->end(), std::make_move_iterator(done.begin()), std::make_move_iterator(done.end()));
  return absl::OkStatus();
}

absl::StatusOr<bool> BackfillQueue::Reopen(int64_t run, RunKind* kind) {
  std::optional<RunState> state;
  absl::Status status = InternalError("backfill: no such run: " + std::to_string(run));
  RETURN_IF_ERROR(Read(kRunOf, {run}, [&](const SqlRow& row) {
    status = ReadName(sync::RunKindFromName(row.text(0)), row.text(0), kind);
    state = sync::RunStateFromName(row.text(1));
  }));
  RETURN_IF_ERROR(status);
  if (state == RunState::kDone) RETURN_IF_ERROR(db_->Run(kReopenRun, {run}).status());
  return state != RunState::kCancelled;
}

// ---- Listings

absl::Status BackfillQueue::AddListings(std::span<const Listing> listings) {
  return InTransaction([&]() -> absl::Status {
    std::set<int64_t> runs;
    for (const Listing& listing : listings) runs.insert(listing.run);
    for (const int64_t run : runs) {
      RunKind kind;
      ASSIGN_OR_RETURN(const bool wanted, Reopen(run, &kind));
      std::vector<Listing> of_run;
      if (wanted) {
        std::copy_if(listings.begin(), listings.end(), std::back_inserter(of_run),
                     [run](const Listing& listing) { return listing.run == run; });
      }
      RETURN_IF_ERROR(db_->PutListings(QueueConnection::ListingInsert::kAdd, of_run));
    }
    return absl::OkStatus();
  });
}

absl::Status BackfillQueue::LoadListings(int64_t now_us, size_t limit, std::vector<Listing>* listings) {
  listings->clear();
  std::vector<int64_t> runs;
  RETURN_IF_ERROR(Read(kOpenRuns, {}, [&](const SqlRow& row) { runs.push_back(row.int64(0)); }));
  for (const int64_t run : runs) {
    if (listings->size() >= limit) break;
    const int64_t room = static_cast<int64_t>(limit - listings->size());
    RETURN_IF_ERROR(Read(kDueListings, {run, now_us, room}, [&](const SqlRow& row) {
      listings->push_back({.run = run,
                           .host = std::string(row.text(0)),
                           .method = std::string(row.text(1)),
                           .argument = std::string(row.text(2)),
                           .trusted = row.int64(3) != 0,
                           .cursor = std::string(row.text(4)),
                           .done = false,
                           .attempts = row.int64(5),
                           .not_before = row.int64(6),
                           .cause = std::string(row.text(7)),
                           .found = static_cast<uint64_t>(row.int64(8))});
    }));
  }
  return absl::OkStatus();
}

absl::Status BackfillQueue::SavePage(const Listing& listing, std::span<const TaskSeed> tasks,
                                     std::span<const Listing> further, int64_t now_us) {
  return InTransaction([&]() -> absl::Status {
    RunKind kind;
    ASSIGN_OR_RETURN(const bool wanted, Reopen(listing.run, &kind));
    if (!wanted) return absl::OkStatus();
    std::vector<NewTask> seeds;
    seeds.reserve(tasks.size());
    for (const TaskSeed& task : tasks) {
      seeds.push_back({.run = listing.run,
                       .priority = PriorityOf(kind),
                       .did = task.did,
                       .rev = task.rev,
                       .host = task.host,
                       .created_at = now_us,
                       .not_before = now_us});
    }
    // In the order of DIDs, as the writer locks them. A page may name an account twice: the greater rev
    // counts.
    std::sort(seeds.begin(), seeds.end(), [](const NewTask& a, const NewTask& b) {
      return std::tie(a.did, b.rev) < std::tie(b.did, a.rev);
    });
    seeds.erase(std::unique(seeds.begin(), seeds.end(),
                            [](const NewTask& a, const NewTask& b) { return a.did == b.did; }),
                seeds.end());
    ASSIGN_OR_RETURN(const int64_t found, db_->PutTasks(QueueConnection::TaskInsert::kSeed, seeds));
    Listing page = listing;
    page.found = static_cast<uint64_t>(found);  // is added to what was found before
    RETURN_IF_ERROR(db_->PutListings(QueueConnection::ListingInsert::kSavePage, std::span(&page, 1)));
    return db_->PutListings(QueueConnection::ListingInsert::kAdd, further);
  });
}

// ---- What decisions are made from

absl::Status BackfillQueue::LoadOpenGaps(std::vector<sync::OpenGap>* gaps) {
  gaps->clear();
  return Read(kOpenGaps, {}, [&](const SqlRow& row) {
    gaps->push_back({.source = std::string(row.text(0)),
                     .shard = std::string(row.text(1)),
                     .opened_seq = row.int64(2),
                     .reason = std::string(row.text(3)),
                     .opened_at = row.int64(4)});
  });
}

absl::Status BackfillQueue::LoadKnown(std::string_view after, size_t limit,
                                      std::vector<sync::KnownAccount>* accounts) {
  accounts->clear();
  absl::Status status;
  RETURN_IF_ERROR(Read(kKnown, {after, static_cast<int64_t>(limit)}, [&](const SqlRow& row) {
    if (status.ok()) status = ReadKnown(row, &accounts->emplace_back());
  }));
  return status;
}

absl::StatusOr<sync::KnownAccount> BackfillQueue::FindKnown(std::string_view did) {
  sync::KnownAccount account;
  absl::Status status = absl::NotFoundError("not a known account");
  RETURN_IF_ERROR(Read(kFindKnown, {did}, [&](const SqlRow& row) { status = ReadKnown(row, &account); }));
  RETURN_IF_ERROR(status);
  return account;
}

absl::StatusOr<bool> BackfillQueue::HasCoverage(std::string_view did, std::string_view rule) {
  bool covered = false;
  RETURN_IF_ERROR(Read(kCovered, {did, rule}, [&](const SqlRow&) { covered = true; }));
  return covered;
}

absl::Status BackfillQueue::LoadToPurge(int64_t before_us, size_t limit, std::vector<std::string>* dids) {
  dids->clear();
  std::string after = purge_after_;
  for (size_t examined = 0; examined < kMaxExamined && dids->size() < limit;) {
    size_t page = 0;
    RETURN_IF_ERROR(Read(kDeleted, {after, static_cast<int64_t>(kExaminedAtOnce)}, [&](const SqlRow& row) {
      if (dids->size() >= limit) return;
      ++page;
      after = row.text(0);
      const bool active = row.int64(1) != 0, has_rows = row.int64(3) != 0;
      if (!active && has_rows && row.int64(2) < before_us) dids->push_back(after);
    }));
    examined += page;
    if (page >= kExaminedAtOnce || dids->size() >= limit) continue;
    after.clear();
    break;
  }
  purge_after_ = std::move(after);
  return absl::OkStatus();
}

}  // namespace penstock::indexer
