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

}  // namespace penstock::indexer
