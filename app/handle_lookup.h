#pragma once

// From a handle to a DID, asked once, for a person who typed the handle (protocol 6.4). What it says is only
// half of a handle's proof: the DID's document has to claim the handle, too.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "net/http_client.h"

namespace penstock::app {

// Waits for DNS and, where that names nobody, for the handle's own host. `handle`: a valid one, in lower
// case. Errors: kInvalidArgument (options); kFailedPrecondition (a name that can be nobody's, or DNS names
// several DIDs); kNotFound (both say that there is nobody); kUnavailable, kDeadlineExceeded (no answer).
absl::StatusOr<std::string> LookUpHandle(const std::string& handle, const net::HttpClientOptions& options,
                                         const Clock* clock, Counters* counters);

}  // namespace penstock::app
