#pragma once

// One record of a live repository: who the account is, what its PDS gives as proof, and whether that holds.

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "app/verify_car.h"
#include "app/verify_report.h"

namespace penstock::app {

struct LiveQuestion {
  std::string authority;  // a DID or a handle
  std::string collection, rkey;
  int64_t now_us = 0;
};

// Who answers. Each may fail with kUnavailable or kDeadlineExceeded (no answer), or conclusively.
struct LiveSources {
  std::function<absl::StatusOr<std::string>(const std::string& handle)> resolve_handle;
  std::function<absl::StatusOr<identity::IdentityPtr>(std::string_view did)> find_identity;
  std::string identity_origin;  // for the report
  // com.atproto.sync.getRecord of the host at `origin`.
  std::function<absl::StatusOr<std::string>(const std::string& origin, const std::string& did,
                                            const LiveQuestion& question)>
      get_record;
};

// Steps: handle (for a handle), identity, proof, and those of VerifyRecord. `*car` is what the PDS gave, held
// or not.
void VerifyLiveRecord(const LiveQuestion& question, const LiveSources& sources, std::string* car,
                      VerifyReport* report);

}  // namespace penstock::app
