#pragma once

// One lookup of one DID over the network (protocol 6.4): what is asked, and which answers are conclusive. No
// cache, no limits but those of a single question. docs/identity.md has the table.

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "identity/did_location.h"
#include "identity/identity.h"
#include "net/host_gate.h"
#include "net/http_client.h"

namespace penstock::identity {

struct DidLookupOptions {
  std::string directory = "https://plc.directory";               // an origin
  std::chrono::microseconds timeout = std::chrono::seconds(10);  // of each question
  bool plc_audit = false;
  LocalNames local = LocalNames::kRefused;
};

struct DidLookupResult {
  // Conclusive: an identity with a key or with a fault. Null: `status` says why there is no answer now.
  IdentityPtr identity;
  absl::Status status;
  int64_t asked_us = 0;  // monotonic, when the first question was sent
  // What it means for the host that was asked.
  net::HostGate::Outcome host = net::HostGate::Outcome::kAbandoned;
  std::chrono::microseconds pause{};
};

class DidLookup {
 public:
  // Both must outlive this.
  DidLookup(DidLookupOptions options, net::HttpClient* http, const Clock* clock)
      : options_(std::move(options)), http_(http), clock_(clock) {}

  // On the executor of `http`. The arguments must live until it is done.
  boost::asio::awaitable<DidLookupResult> Run(const std::string& did, const DidLocation& location);

  // "https://host/.well-known/did.json"; http for localhost, which only tests may name.
  static std::string WebUrl(const DidLocation& location);

 private:
  boost::asio::awaitable<void> AskDirectory(const std::string& did, DidLookupResult* result);
  boost::asio::awaitable<void> Audit(const std::string& did, DidLookupResult* result);
  boost::asio::awaitable<void> AskWeb(const std::string& did, const DidLocation& location,
                                      DidLookupResult* result);

  const DidLookupOptions options_;
  net::HttpClient* const http_;
  const Clock* const clock_;
};

}  // namespace penstock::identity
