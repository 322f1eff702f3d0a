#include "backfill/download.h"

#include <memory>
#include <utility>

#include "backfill/policy.h"
#include "base/clock.h"
#include "base/status.h"

namespace penstock::backfill {
namespace {

StepResult Fault(std::string_view cause, absl::Status fault) {
  StepResult result;
  result.end = StepResult::End::kFault;
  result.cause = cause;
  result.fault = std::move(fault);
  return result;
}

StepResult Recalled() {
  StepResult result;
  result.end = StepResult::End::kRecalled;
  return result;
}

// Tells when a host is too slow. Only the time that we waited for it counts, and not that in which it waited for us.
class Pace {
 public:
  explicit Pace(const DownloadLimits& limits) : limits_(limits) {}

  // False: it is too slow.
  bool Waited(int64_t us, size_t bytes) {
    waited_us_ += us;
    bytes_ += bytes;
    if (waited_us_ < limits_.slow_window_us) return true;
    const double least = static_cast<double>(limits_.min_bytes_per_second) * static_cast<double>(waited_us_) / 1e6;
    const bool fast_enough = static_cast<double>(bytes_) >= least;
    waited_us_ = 0;
    bytes_ = 0;
    return fast_enough;
  }

 private:
  const DownloadLimits& limits_;
  int64_t waited_us_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace

StepResult OfOutcome(const net::XrpcOutcome& outcome, std::string_view host) {
  StepResult result;
  result.host = host;
  result.error = outcome.error;
  result.fault = outcome.status;
  result.retry_after_us = outcome.retry_after_us;
  result.end = outcome.status.ok() ? StepResult::End::kGood : StepResult::End::kFault;
  result.answered = true;
  if (outcome.status.ok()) return result;
  if (absl::IsNotFound(outcome.status)) {
    result.cause = kCauseRepoNotFound;
  } else if (outcome.error == "RepoTakendown" || outcome.error == "RepoSuspended" || outcome.error == "RepoDeactivated") {
    result.cause = kCauseAccountInactive;
  } else if (absl::IsInvalidArgument(outcome.status)) {
    result.cause = kCauseNoHost;
    result.answered = false;
  } else if (IsTransient(outcome.status)) {
    result.cause = outcome.limited ? kCauseHostLimited : kCauseHostUnavailable;
    result.answered = outcome.limited;
  } else {
    result.cause = kCauseHostRefused;
  }
  return result;
}

StepResult OfImport(const absl::Status& status) {
  if (status.ok()) return {};
  if (absl::IsCancelled(status)) return Recalled();
  if (const std::optional<Reject> reject = RejectOf(status)) {
    const bool too_large = *reject == Reject::kCarTooLarge || *reject == Reject::kCarTooManyBlocks;
    return Fault(too_large ? kCauseArchiveTooLarge : RejectName(*reject), status);
  }
  if (absl::IsFailedPrecondition(status)) {
    for (const std::string_view cause : {kCauseStaleExport, kCauseAlreadyCurrent}) {
      if (Message(status) == cause) return Fault(cause, status);
    }
  }
  if (absl::IsAlreadyExists(status)) return Fault(kCauseInProgress, status);
  if (IsTransient(status)) return Fault(kCauseStoreUnavailable, status);
  StepResult result = Fault("", status);
  result.end = StepResult::End::kBroken;
  return result;
}

StepResult Download(net::XrpcClient* client, const net::XrpcHost& host, ArchiveImport::Subject subject,
                    const DownloadLimits& limits, const Recall& recall, ArchiveImport* import) {
  subject.host = host.origin;
  absl::Status verdict = import->Begin(subject);
  if (!verdict.ok()) return OfImport(verdict);

  const auto pipe = std::make_shared<net::BodyPipe>();
  client->GetRepo(host, subject.did, pipe);
  // Whatever ends it, the sender must not be left waiting for room.
  const std::unique_ptr<net::BodyPipe, void (*)(net::BodyPipe*)> cancel(pipe.get(), [](net::BodyPipe* p) { p->Cancel(); });

  const int64_t begun_us = MonotonicMicros();
  const int64_t slice_us = std::chrono::microseconds(kLookUp).count();
  Pace pace(limits);
  bool any = false;
  std::string piece;
  StepResult result;
  for (;;) {
    const int64_t before_us = MonotonicMicros();
    bool timed_out = false;
    const bool got = pipe->Read(&piece, slice_us, &timed_out);
    if (recall.raised()) return Recalled();
    if (!got && !timed_out) break;
    const int64_t now_us = MonotonicMicros();
    if (got) {
      verdict = import->Feed(AsBytes(piece));
      if (!verdict.ok()) {
        result = OfImport(verdict);
        break;
      }
    }
    // Until the first byte it may be we who do not let the request go; the client has a limit for a host's silence.
    const bool in_time = !any || pace.Waited(now_us - before_us, got ? piece.size() : 0);
    any |= got;
    if (!in_time || now_us - begun_us > limits.max_download_us) {
      result = Fault(kCauseTooSlow, DeadlineExceededError(host.origin + (in_time ? ": it took too long" : ": too slow")));
      break;
    }
  }
  if (!result.good()) {
    result.host = host.origin;
    result.answered = result.cause != kCauseTooSlow;
    return result;
  }
  const std::string origin = pipe->origin().empty() ? host.origin : pipe->origin();
  result = OfOutcome(pipe->outcome(), origin);
  if (!result.good()) return result;
  verdict = import->EndOfArchive();
  if (!verdict.ok()) {
    result = OfImport(verdict);
    result.host = origin;
    result.answered = true;
  }
  return result;
}

}  // namespace penstock::backfill
