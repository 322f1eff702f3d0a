#include "indexer/lease.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/time/time.h"
#include "base/status.h"

namespace penstock::indexer {

absl::StatusOr<bool> WaitForLease(int64_t wait_us, const std::function<absl::StatusOr<bool>()>& try_take) {
  // Short enough that a successor starts at once, long enough not to be a load on the database.
  constexpr std::chrono::microseconds kPause(100'000);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(wait_us);
  for (;;) {
    absl::StatusOr<bool> taken = try_take();
    if (!taken.ok() || *taken) return taken;
    const auto left = deadline - std::chrono::steady_clock::now();
    if (left <= left.zero()) return false;
    std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(left, kPause));
  }
}

absl::Status LeaseHeldError(std::string_view shard, std::string_view owner, int64_t taken_at_us) {
  std::string message = "another instance holds the lease of shard ";
  message.append(shard).append(": ");
  if (owner.empty()) {
    message.append("it has not said who it is");
  } else {
    message.append(owner).append(", since ");
    message.append(
        absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixMicros(taken_at_us), absl::UTCTimeZone()));
  }
  return FailedPreconditionError(message);
}

absl::Status FencedError(std::string_view shard, int64_t epoch) {
  std::string message = "another instance has taken over the lease of shard ";
  message.append(shard).append(" since our epoch ").append(std::to_string(epoch));
  return FailedPreconditionError(message);
}

bool MustMarkWeakerRows(std::optional<repo::Verification> now, std::string_view last) {
  // A chain is kept at `full` alone, so only there is anything to fetch again.
  return now && repo::IsStrong(*now) && last != repo::VerificationName(*now);
}

std::string MarkWeakerRowsSql(int64_t now_us) {
  const std::string now = std::to_string(now_us);
  return "INSERT INTO repo (did, sync_state, reason, active, updated_at) "
         "SELECT DISTINCT did, 'desynchronized', 'weaker_rows', TRUE, " +
         now +
         " FROM record WHERE verification IN ('cid', 'signature') AND allowed IS NULL "
         "ON CONFLICT (did) DO UPDATE SET sync_state = excluded.sync_state, reason = excluded.reason, "
         "updated_at = excluded.updated_at "
         "WHERE repo.sync_state IS DISTINCT FROM excluded.sync_state";
}

std::string ResetInterruptedSql(int64_t now_us) {
  // The first condition is the partial index's (schema.cc).
  return "UPDATE repo SET sync_state = 'desynchronized', reason = 'resync_interrupted', updated_at = " +
         std::to_string(now_us) +
         " WHERE sync_state IN ('partial', 'desynchronized', 'in_progress') AND sync_state = 'in_progress'";
}

}  // namespace penstock::indexer
