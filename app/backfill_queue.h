#pragma once

// What an operator asks to be fetched, put into the queue, and how far it is. The queue is the store's, so this works beside a
// service that holds the store as well as before our own workers begin.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "app/progress.h"
#include "base/clock.h"
#include "sync/backfill.h"

namespace penstock::app {

struct FetchRequest {
  std::string subject;                  // of the run: the same words find the same open run again
  std::vector<sync::Listing> listings;  // `run` is filled in
  std::vector<std::string> dids;        // accounts that need no looking for
};

// "resync did:plc:…" for one, "resync 12 accounts 9f3a…" for more: the same accounts in any order give the same words.
std::string SubjectOf(const std::string& what, std::vector<std::string> dids);

// Opens the run or finds the open one again, and adds what is missing in it: asking twice is harmless. If this ends while accounts
// are still being added, the run stays open until the same is asked for once more. Returns the run's id. Errors: those of
// BackfillStore.
absl::StatusOr<int64_t> QueueRequest(const FetchRequest& request, const Clock& clock, sync::BackfillStore* queue);

struct RunProgress {
  sync::RunTotals totals;
  bool ended = false;
};
// kNotFound: there is no such run.
absl::StatusOr<RunProgress> LoadProgress(int64_t run, sync::BackfillStore* queue);
BackfillFigures FiguresOf(const sync::RunTotals& totals);

}  // namespace penstock::app
