#include "base/status.h"

#include "absl/strings/cord.h"

namespace penstock {
namespace {

// Status payloads are keyed by a type URL; the value is the Reject's name, so that a status is readable in any log.
constexpr char kRejectPayload[] = "penstock/reject";

}  // namespace

absl::Status RejectError(Reject reject, std::string_view detail) {
  std::string message(RejectName(reject));
  if (!detail.empty()) message.append(": ").append(detail);
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kRejectPayload, absl::Cord(ToAbsl(RejectName(reject))));
  return status;
}

std::optional<Reject> RejectOf(const absl::Status& status) {
  if (status.ok()) return std::nullopt;
  auto payload = status.GetPayload(kRejectPayload);
  if (!payload.has_value()) return std::nullopt;
  return RejectFromName(std::string(*payload));
}

absl::Status UnavailableError(std::string_view detail) { return absl::UnavailableError(ToAbsl(detail)); }
absl::Status DeadlineExceededError(std::string_view detail) { return absl::DeadlineExceededError(ToAbsl(detail)); }
absl::Status InternalError(std::string_view detail) { return absl::InternalError(ToAbsl(detail)); }
absl::Status DataLossError(std::string_view detail) { return absl::DataLossError(ToAbsl(detail)); }
absl::Status FailedPreconditionError(std::string_view detail) { return absl::FailedPreconditionError(ToAbsl(detail)); }
absl::Status InvalidInputError(std::string_view detail) { return absl::InvalidArgumentError(ToAbsl(detail)); }
absl::Status NotFoundError(std::string_view detail) { return absl::NotFoundError(ToAbsl(detail)); }

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status);
}

}  // namespace penstock
