#pragma once

// `penstock inspect did`: who an account is, as this program sees it.

#include <cstdint>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "app/resolver_options.h"

namespace penstock::app {

struct InspectDidCommand {
  ResolverFlags resolver;
  int64_t seq = -1;       // the place in a recorded stream; -1: its end
  bool document = false;  // print the document as well

  void Bind(CLI::App* verb);
  // Appends the identity to `*out`; false if it has a fault. Errors: kInvalidArgument (options), kUnavailable and
  // kDeadlineExceeded (no answer now).
  absl::StatusOr<bool> Execute(const std::string& did, std::string* out) const;
};

}  // namespace penstock::app
