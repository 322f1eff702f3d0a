#pragma once

// `penstock inspect did`: who an account is, as this program sees it.

#include <cstdint>
#include <string>
#include <string_view>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "app/resolver_options.h"
#include "identity/identity.h"

namespace penstock::app {

struct InspectDidCommand {
  ResolverFlags resolver;
  int64_t seq = -1;       // the place in a recorded stream; -1: its end
  bool document = false;  // print the document as well

  void Bind(CLI::App* verb);
  // Appends to `*out` who `input` is: a DID, which is asked for, or a file with a DID document or the audit
  // log of a did:plc. False if it is refused. Errors: kInvalidArgument (options), kNotFound (the file),
  // kUnavailable and kDeadlineExceeded (no answer now).
  absl::StatusOr<bool> Execute(const std::string& input, std::string* out) const;

 private:
  absl::StatusOr<bool> OfDid(const std::string& did, std::string* out) const;
  absl::StatusOr<bool> OfFile(const std::string& path, std::string* out) const;
  bool Tell(const identity::Identity& identity, std::string_view from, std::string* out) const;
};

}  // namespace penstock::app
