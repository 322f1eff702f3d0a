#include "app/patience.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

#include "base/status.h"

namespace penstock::app {

absl::Status Patiently(const pipeline::PipelineOptions& options, const std::atomic<bool>* stop,
                       const std::function<absl::Status()>& attempt) {
  auto wait = std::chrono::microseconds(options.retry_min_us);
  for (bool first = true;; first = false) {
    absl::Status status = attempt();
    if (status.ok() || !IsTransient(status)) return status;
    if (first) Log(options.log, LogLevel::kWarning, "store: unavailable, waiting: " + std::string(Message(status)));
    const auto until = std::chrono::steady_clock::now() + wait;
    while (std::chrono::steady_clock::now() < until) {
      if (stop != nullptr && stop->load()) return DeadlineExceededError("stopped while the store was unavailable");
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    wait = std::min(wait * 2, std::chrono::microseconds(options.retry_max_us));
  }
}

}  // namespace penstock::app
