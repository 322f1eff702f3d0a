#pragma once

// What both stores say and do about the writer's lease. Its liveness is the operating system's business (a
// flock, a session's advisory lock: gone with the process), its order the epoch's (a row, checked in every
// transaction).

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "repo/verification.h"

namespace penstock::indexer {

// Calls `try_take` until it is true or has failed, or `wait_us` are over (then the result is false).
absl::StatusOr<bool> WaitForLease(int64_t wait_us, const std::function<absl::StatusOr<bool>()>& try_take);

// kFailedPrecondition: another instance holds the lease. `owner` is empty when nobody knows.
absl::Status LeaseHeldError(std::string_view shard, std::string_view owner, int64_t taken_at_us);
// kFailedPrecondition: another instance has taken it from us.
absl::Status FencedError(std::string_view shard, int64_t epoch);

// Whether the rows have to be looked through for weaker ones, when a run at `now` follows one at `last` (what
// the lease remembers; empty if nothing).
bool MustMarkWeakerRows(std::optional<repo::Verification> now, std::string_view last);
// The statement that marks their accounts, in both dialects.
std::string MarkWeakerRowsSql(int64_t now_us);

// The statement that takes back what resyncs had begun when their process ended, in both dialects.
std::string ResetInterruptedSql(int64_t now_us);

}  // namespace penstock::indexer
