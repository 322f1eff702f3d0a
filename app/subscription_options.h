#pragma once

// Options of every verb that opens a live stream.

#include <cstdint>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "firehose/session/subscription.h"

namespace penstock::app {

// --ca-file, --user-agent, --ping-interval, --idle-timeout, --backoff-max
struct SubscriptionFlags {
  std::string ca_file, user_agent;
  int64_t ping_interval_s = 30;
  int64_t idle_timeout_s = 75;
  int64_t backoff_max_s = 60;

  void Bind(CLI::App* verb);
  // All but the hosts.
  absl::StatusOr<firehose::SubscriptionOptions> Make() const;
};

}  // namespace penstock::app
