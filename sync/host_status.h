#pragma once

// Asking a host what it says of an account (com.atproto.sync.getRepoStatus, protocol 8.2): an event of an account that should be
// silent may mean that an #account was missed (3.2 step 2), and two sources may contradict each other.

#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace penstock::sync {

struct HostStatus {
  absl::Status status;  // kUnavailable and others: the host does not say, and nothing is concluded from that
  bool active = false;
  std::string text;     // "takendown", …; empty if it gives none
};

class HostStatusAsker {
 public:
  virtual ~HostStatusAsker() = default;
  // `origin`: "https://host[:port]". `done` is called once, on any thread, perhaps before this returns. Thread-safe.
  virtual void Ask(std::string_view origin, std::string_view did, std::function<void(const HostStatus&)> done) = 0;
};

}  // namespace penstock::sync
