#pragma once

// One archive from one host, through the check as it comes: what it was, or by which word it failed.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backfill/archive_import.h"
#include "backfill/waiting.h"
#include "net/xrpc_client.h"

namespace penstock::backfill {

struct DownloadLimits {
  int64_t min_bytes_per_second = 1'024;  // while we wait for the host, over `slow_window_us` of such waiting; 0: no limit
  int64_t slow_window_us = 30'000'000;
  int64_t max_download_us = 3'600'000'000;
};

// How a step of the way ended.
struct StepResult {
  enum class End : uint8_t {
    kGood,
    kFault,   // `cause` says which
    kRecalled,
    kBroken,  // by us: `fault` says how, and nothing helps
  };
  End end = End::kGood;
  std::string cause;   // backfill/policy.h
  std::string error;   // of the host, as XRPC names it; empty if it named none
  absl::Status fault;
  int64_t retry_after_us = 0;
  std::string host;     // that it is about: who answered at last; empty if it is about no host
  bool answered = false;  // `host` said something, whatever it was

  bool good() const { return end == End::kGood; }
};

// What an answer to a question about a repository means; good if its status is OK. Errors by the host: repo_not_found,
// account_inactive (RepoTakendown, RepoSuspended, RepoDeactivated), host_refused, host_limited, host_unavailable, no_host (the
// origin is none).
StepResult OfOutcome(const net::XrpcOutcome& outcome, std::string_view host);
// What an error of ArchiveImport or ImportPort means. kCancelled is a recall: the pipeline is ending.
StepResult OfImport(const absl::Status& status);

// Fetches the repository of `subject` from `host` and verifies it; `subject.host` becomes the host's origin. Good: `import` waits
// for Apply. Blocks; looks at `recall` all the time.
StepResult Download(net::XrpcClient* client, const net::XrpcHost& host, ArchiveImport::Subject subject,
                    const DownloadLimits& limits, const Recall& recall, ArchiveImport* import);

}  // namespace penstock::backfill
