#pragma once

// How long hosts have been away, so that their accounts come back less and less often and not by the thousand each minute. What a
// single account saw of it does not matter: the first failure begins the outage, whoever met it, and any answer ends it. Pure; not
// thread-safe.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"

namespace penstock::backfill {

class HostOutages {
 public:
  // Which names there are is the choice of strangers. Beyond so many all are forgotten: that makes a host no worse than a new one.
  explicit HostOutages(size_t max_hosts = 10'000) : max_hosts_(max_hosts) {}

  void Failed(std::string_view host, int64_t now_us) {
    if (since_us_.size() >= max_hosts_ && !IsOut(host)) since_us_.clear();
    since_us_.try_emplace(std::string(host), now_us);
  }
  void Answered(std::string_view host) { since_us_.erase(ToAbsl(host)); }
  bool IsOut(std::string_view host) const { return since_us_.contains(ToAbsl(host)); }

  // How many waits, the first of `first_us` and each twice the one before, have passed since it went away: the `attempts` for
  // DecideOutcome. The next wait is then about as long as the outage has been.
  int64_t Waits(std::string_view host, int64_t now_us, int64_t first_us) const {
    const auto found = since_us_.find(ToAbsl(host));
    if (found == since_us_.end()) return 0;
    int64_t waits = 0;
    for (int64_t end = first_us; end > 0 && end <= now_us - found->second && waits < 40; end = 2 * end + first_us) ++waits;
    return waits;
  }

 private:
  const size_t max_hosts_;
  absl::flat_hash_map<std::string, int64_t> since_us_;
};

}  // namespace penstock::backfill
