#include "backfill/policy.h"

#include <algorithm>
#include <array>

#include "base/reject.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

// Longer texts of a fault are cut: the column is for people.
constexpr size_t kMaxDetail = 240;
// What a host that asks to be left alone is believed at most.
constexpr int64_t kMostRetryAfterUs = 86'400'000'000;

struct Row {
  std::string_view cause;
  FaultClass fault_class;
};

// All that is not bad data.
constexpr std::array kClasses = {
    Row{kCauseAlreadyCurrent, FaultClass::kSettled},
    Row{kCauseAccountInactive, FaultClass::kSettled},
    Row{kCauseNotWanted, FaultClass::kSettled},
    // Found only after the DID was resolved anew, and its new host asked.
    Row{kCauseRepoNotFound, FaultClass::kConclusive},
    // Our own limits: what is beyond them now is beyond them tomorrow.
    Row{kCauseArchiveTooLarge, FaultClass::kConclusive},
    Row{"did_not_found", FaultClass::kConclusive},
    Row{"did_tombstoned", FaultClass::kConclusive},
    Row{"unsupported_did_method", FaultClass::kConclusive},
    Row{"syntax_did", FaultClass::kConclusive},
    Row{kCauseHostUnavailable, FaultClass::kSlowWorld},
    Row{kCauseHostLimited, FaultClass::kSlowWorld},
    Row{kCauseTooSlow, FaultClass::kSlowWorld},
    Row{kCauseIdentityUnavailable, FaultClass::kSlowWorld},
    Row{kCauseHeldOverflow, FaultClass::kSlowWorld},
    Row{kCauseStoreUnavailable, FaultClass::kSlowWorld},
    Row{kCauseInProgress, FaultClass::kSlowWorld},
};

int64_t Doubled(const RetryPolicy& policy, int64_t attempts) {
  int64_t wait = policy.first_us;
  for (int64_t i = 0; i < attempts && wait < policy.most_us; ++i) wait *= 2;
  return std::min(wait, policy.most_us);
}

// Half of it to all of it, so that those who failed together do not come back together.
int64_t Jittered(int64_t wait, uint64_t random) {
  const int64_t half = wait / 2;
  return wait - half + static_cast<int64_t>(random % (static_cast<uint64_t>(half) + 1));
}

std::string Detail(const absl::Status& fault) {
  std::string_view text = Message(fault);
  if (text.size() <= kMaxDetail) return std::string(text);
  size_t end = kMaxDetail;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xc0) == 0x80) --end;  // not within a UTF-8 character
  return std::string(text.substr(0, end)) + "…";
}

}  // namespace

FaultClass ClassOf(std::string_view cause) {
  for (const Row& row : kClasses) {
    if (row.cause == cause) return row.fault_class;
  }
  return FaultClass::kBadData;
}

sync::TaskOutcome DecideOutcome(std::string_view cause, const absl::Status& fault, int64_t attempts, int64_t retry_after_us,
                                int64_t now_us, uint64_t random, const RetryPolicy& policy) {
  sync::TaskOutcome outcome;
  outcome.cause = cause;
  outcome.detail = Detail(fault);
  const FaultClass fault_class = ClassOf(cause);
  if (fault_class == FaultClass::kSettled) {
    outcome.state = sync::TaskState::kDone;
    return outcome;
  }
  if (fault_class == FaultClass::kConclusive ||
      (fault_class == FaultClass::kBadData && attempts + 1 >= policy.max_attempts)) {
    outcome.state = sync::TaskState::kFailed;
    return outcome;
  }
  const int64_t told = std::clamp<int64_t>(retry_after_us, 0, kMostRetryAfterUs);
  int64_t wait = Jittered(Doubled(policy, attempts), random);
  // A host that limits says when it works again, and it does work: no reason to stay away for longer than it asked, but not all
  // of its accounts at once.
  if (cause == kCauseHostLimited && told > 0) wait = told + static_cast<int64_t>(random % (static_cast<uint64_t>(told) / 2 + 1));
  outcome.state = sync::TaskState::kQueued;
  outcome.counts = fault_class == FaultClass::kBadData;
  outcome.not_before = now_us + std::max(wait, told);
  return outcome;
}

}  // namespace penstock::backfill
