#pragma once

// Errors are values, of three kinds with three reactions (docs/architecture.md, "Errors"):
//
//   the peer's data is bad   RejectError(...)                     drop that item, count it by its Reject, go on
//   the world is slow        UnavailableError, DeadlineExceeded   back off, retry from the durable cursor
//   we are broken            InternalError, DataLossError         stop loudly, exit non-zero
//
// Debian's Abseil is built with its own string_view and optional; the conversions live here and nowhere else.

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/reject.h"

namespace penstock {

inline absl::string_view ToAbsl(std::string_view text) { return absl::string_view(text.data(), text.size()); }
inline std::string_view ToStd(absl::string_view text) { return std::string_view(text.data(), text.size()); }

// A kInvalidArgument status that carries `reject`. `detail` says where (offset, CID, path), never the payload itself.
absl::Status RejectError(Reject reject, std::string_view detail = {});

// The Reject that `status` carries; nullopt for OK and for errors of the other two kinds.
std::optional<Reject> RejectOf(const absl::Status& status);

absl::Status UnavailableError(std::string_view detail);
absl::Status DeadlineExceededError(std::string_view detail);
absl::Status InternalError(std::string_view detail);
absl::Status DataLossError(std::string_view detail);
// Something asked of us does not fit the state we are in: another instance holds the lease, the schema is newer.
absl::Status FailedPreconditionError(std::string_view detail);
// The operator's input is wrong (an option, a file name).
absl::Status InvalidInputError(std::string_view detail);
absl::Status NotFoundError(std::string_view detail);

// True for the second kind: worth a retry.
bool IsTransient(const absl::Status& status);

// The message as std::string_view.
inline std::string_view Message(const absl::Status& status) { return ToStd(status.message()); }

}  // namespace penstock

#define PENSTOCK_CONCAT_INNER(a, b) a##b
#define PENSTOCK_CONCAT(a, b) PENSTOCK_CONCAT_INNER(a, b)

// Evaluates `expr` (an absl::Status) and returns it from the function unless it is OK.
#define RETURN_IF_ERROR(expr)                                             \
  do {                                                                    \
    if (absl::Status status_ = (expr); !status_.ok()) return status_;     \
  } while (false)

// ASSIGN_OR_RETURN(auto value, StatusOrExpression());
#define ASSIGN_OR_RETURN(lhs, expr) ASSIGN_OR_RETURN_IMPL(PENSTOCK_CONCAT(status_or_, __LINE__), lhs, expr)
#define ASSIGN_OR_RETURN_IMPL(temp, lhs, expr)     \
  auto temp = (expr);                              \
  if (!temp.ok()) return std::move(temp).status(); \
  lhs = *std::move(temp)
