#pragma once

// A store that is not up yet at our start is waited for like one that goes away later.

#include <atomic>
#include <functional>

#include "absl/status/status.h"
#include "pipeline/options.h"

namespace penstock::app {

// Calls `attempt` until it gives something else than a transient error, with growing waits between; says so once in the log.
// kDeadlineExceeded when `stop` (may be null) is set meanwhile.
absl::Status Patiently(const pipeline::PipelineOptions& options, const std::atomic<bool>* stop,
                       const std::function<absl::Status()>& attempt);

}  // namespace penstock::app
