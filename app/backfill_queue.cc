#include "app/backfill_queue.h"

#include <algorithm>
#include <span>

#include "base/encoding.h"
#include "base/status.h"
#include "crypto/sha256.h"

namespace penstock::app {
namespace {

// Accounts that come with the request, in one transaction: long enough to be quick, short enough not to make a writer wait.
constexpr size_t kPage = 1'000;
// While they are being added their listing is open, so that the run does not end between two pages. Whoever finds listings for a
// service leaves it alone for so long, and knows nothing to do with it then.
constexpr int64_t kAddingLease = 3'600'000'000;

}  // namespace

std::string SubjectOf(const std::string& what, std::vector<std::string> dids) {
  std::sort(dids.begin(), dids.end());
  dids.erase(std::unique(dids.begin(), dids.end()), dids.end());
  if (dids.size() == 1) return what + " " + dids.front();
  std::string all;
  for (const std::string& did : dids) all += did + "\n";
  const crypto::Sha256Digest digest = crypto::Sha256(AsBytes(all));
  return what + " " + std::to_string(dids.size()) + " accounts " + ToHex(Bytes(digest).first(8));
}

absl::StatusOr<int64_t> QueueRequest(const FetchRequest& request, const Clock& clock, sync::BackfillStore* queue) {
  ASSIGN_OR_RETURN(const int64_t run,
                   queue->OpenRun(sync::RunKind::kManual, request.subject, clock.NowMicros(), /*made=*/nullptr));
  std::vector<sync::Listing> listings = request.listings;
  for (sync::Listing& listing : listings) listing.run = run;
  sync::Listing given;
  given.run = run;
  given.method = "given";
  given.argument = request.subject;
  given.trusted = true;
  given.not_before = clock.NowMicros() + kAddingLease;
  if (!request.dids.empty()) listings.push_back(given);
  RETURN_IF_ERROR(queue->AddListings(listings));

  for (size_t at = 0; at < request.dids.size(); at += kPage) {
    std::vector<sync::TaskSeed> seeds;
    for (size_t i = at; i < std::min(request.dids.size(), at + kPage); ++i) seeds.push_back({request.dids[i], {}, {}});
    given.done = at + kPage >= request.dids.size();
    given.not_before = clock.NowMicros() + kAddingLease;
    RETURN_IF_ERROR(queue->SavePage(given, seeds, {}, clock.NowMicros()));
  }
  return run;
}

absl::StatusOr<RunProgress> LoadProgress(int64_t run, sync::BackfillStore* queue) {
  RunProgress progress;
  // The state first: what is counted after it is at least as new.
  std::vector<sync::BackfillRun> runs;
  RETURN_IF_ERROR(queue->LoadRuns(/*open_only=*/false, &runs));
  const auto found = std::find_if(runs.begin(), runs.end(), [&](const sync::BackfillRun& one) { return one.id == run; });
  if (found == runs.end()) return NotFoundError("run " + std::to_string(run) + " is not in the store any more");
  progress.ended = found->state != sync::RunState::kOpen;
  RETURN_IF_ERROR(queue->LoadTotals(run, &progress.totals));
  return progress;
}

BackfillFigures FiguresOf(const sync::RunTotals& totals) {
  BackfillFigures figures;
  figures.done = totals.done;
  figures.open = totals.queued + totals.running;
  figures.failed = totals.failed;
  figures.listings = totals.open_listings;
  figures.records = totals.records;
  figures.bytes = totals.bytes;
  figures.downloading = totals.running;
  figures.causes = totals.causes;
  return figures;
}

}  // namespace penstock::app
