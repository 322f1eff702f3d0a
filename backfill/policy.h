#pragma once

// What a fault of a fetch means: try again and when, or never. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "sync/backfill.h"

namespace penstock::backfill {

// Causes of a task's outcome that are no Reject; the same words in table backfill_task, counters (backfill_<cause>) and docs.
inline constexpr std::string_view kCauseAlreadyCurrent = "already_current";    // our rev is at least the host's
inline constexpr std::string_view kCauseStaleExport = "stale_export";          // the host serves an older rev than ours
inline constexpr std::string_view kCauseAccountInactive = "account_inactive";  // deactivated, taken down, …: its status says so
inline constexpr std::string_view kCauseRepoNotFound = "repo_not_found";
inline constexpr std::string_view kCauseNoHost = "no_host";                    // nobody is known to serve it
inline constexpr std::string_view kCauseHostUnavailable = "host_unavailable";  // no answer, 5xx, cut off
inline constexpr std::string_view kCauseHostLimited = "host_limited";          // 429, or it asked to be left alone
inline constexpr std::string_view kCauseHostRefused = "host_refused";          // another 4xx
inline constexpr std::string_view kCauseTooSlow = "too_slow";
inline constexpr std::string_view kCauseIdentityUnavailable = "identity_unavailable";
inline constexpr std::string_view kCauseArchiveTooLarge = "archive_too_large";
inline constexpr std::string_view kCauseNotWanted = "not_wanted";              // the filter excludes the account
inline constexpr std::string_view kCauseHeldOverflow = "held_overflow";
inline constexpr std::string_view kCauseStoreUnavailable = "store_unavailable";  // our own, or no room for temporary files
inline constexpr std::string_view kCauseInProgress = "in_progress";            // somebody here takes it in already

struct RetryPolicy {
  int64_t first_us = 60'000'000;   // protocol 3.5: one minute, doubling,
  int64_t most_us = 3'600'000'000;  // to an hour
  int max_attempts = 12;            // for faults of the archive itself; a host that is away is waited for without end
};

// What a cause says.
enum class FaultClass : uint8_t {
  kSettled,     // nobody's fault, nothing is left to do: the task is done
  kConclusive,  // asking again gives the same: the task failed
  kBadData,     // of this account, at this host, now: again, but not for ever
  kSlowWorld,   // says nothing of the account: again, for ever, and it does not count as an attempt
};
// Every Reject and every word that is not known is bad data, unless the table in policy.cc says otherwise.
FaultClass ClassOf(std::string_view cause);

// `fault`: what the fetch, the archive or the import ended with; `cause`: its word (a Reject's name or one of the above).
// `attempts`: how many failed before this one: of the account for bad data, while a slow world is rather counted by how long its
// host has been away (host_outages.h). `retry_after_us`: what the host asked for, which is a lower bound. `random`: any number,
// for the jitter (half of the wait to all of it).
// Bad data: again, since a host may be in the middle of something, but not for ever. A slow world: again, for ever. What is
// conclusive ends the task: done if it is no fault of anybody, else failed.
sync::TaskOutcome DecideOutcome(std::string_view cause, const absl::Status& fault, int64_t attempts, int64_t retry_after_us,
                                int64_t now_us, uint64_t random, const RetryPolicy& policy);

}  // namespace penstock::backfill
