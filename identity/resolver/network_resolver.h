#pragma once

// Identities over the network: did:plc from a directory, did:web from the account's own host, with a bounded
// cache, coalesced and rate limited lookups, and handles checked in the background. docs/identity.md
// describes the rules, and why.
//
// Runs a thread of its own. Nothing that a host does costs more memory or time than the options say: lookups
// under way, lookups that wait and those who wait for them are all bounded, and a lookup that cannot be begun
// now is answered with kUnavailable and when to ask again.
//
// Counts in `counters`, besides what net/http_client.h and identity/resolver/handle_check.h count:
//   resolver_hit, resolver_miss       Find and Resolve: answered from memory; not
//   resolver_lookup                   questions sent; those repeated because of a purge or a refresh:
//   resolver_repeated resolver_not_found, resolver_fault  conclusive: no such DID; another fault
//   resolver_error                    lookups that ended without an answer
//   resolver_refresh, resolver_refresh_limited  forced refreshes granted; refused because of the last one
//   resolver_limited                  lookups refused because this DID was asked about too often
//   resolver_refused                  lookups refused by the host's gate: down, or the queue is full
//   resolver_stale                    answers with an identity that is past its time because nobody answers
//   resolver_purged                   identities and lookups made void by Purge
//   directory_down, directory_up      changes of state

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "identity/resolver.h"
#include "identity/resolver/handle_check.h"
#include "identity/resolver/identity_cache.h"
#include "net/host_gate.h"
#include "net/http_client.h"

namespace penstock::identity {

struct NetworkResolverOptions {
  // Scheme, host and port of the PLC directory. The operator's choice: may be private and plain HTTP.
  std::string directory = "https://plc.directory";
  // Also check the directory itself: each did:plc's log of operations, from its hash to the document. Twice
  // the requests.
  bool plc_audit = false;
  // User agent, CA file, DNS servers, and whether hosts may be private: then did:web:localhost and .test are
  // allowed too.
  net::HttpClientOptions http;
  std::chrono::microseconds lookup_timeout = std::chrono::seconds(10);

  CacheOptions cache;
  // A forced refresh of one DID is granted once in this time; one that failed does not count.
  std::chrono::microseconds refresh_interval = std::chrono::minutes(5);
  // Lookups of one DID, whatever asks for them (an account that sends #identity all day): a burst, then one
  // per interval.
  double lookups_burst = 10;
  std::chrono::microseconds lookup_interval = std::chrono::seconds(10);
  // After a lookup without an answer the DID waits this long, doubling.
  std::chrono::microseconds error_first = std::chrono::seconds(2);
  std::chrono::microseconds error_max = std::chrono::minutes(2);

  // How hard the directory, and the hosts of did:web, may be pressed. The first's queue is what the service
  // waits in while the directory is slow.
  net::HostGateOptions directory_gate{.per_second = 5, .burst = 20, .concurrency = 8, .max_waiting = 10'000};
  net::HostGateOptions web_gate{.per_second = 1,
                                .burst = 5,
                                .concurrency = 2,
                                .max_waiting = 1'000,
                                .total_concurrency = 32,
                                .total_waiting = 5'000};
  // Callers that wait for lookups, all together. Each holds one callback.
  size_t max_callers = 200'000;

  // Check the handles of identities that are looked up, and call `on_handle` on the resolver's thread with
  // each identity whose handle_state has become known: for whoever keeps identities.
  bool verify_handles = false;
  HandleCheckOptions handles;
  std::function<void(const IdentityPtr&)> on_handle;
};

struct NetworkResolverResources {
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  Logger log;
};

struct NetworkResolverStats {
  uint64_t hits = 0, misses = 0;
  uint64_t lookups = 0;        // that ended, with or without an answer
  uint64_t lookup_micros = 0;  // the time they took from question to answer, in sum
  size_t callers = 0;          // that wait
  size_t pending = 0;          // DIDs that are being looked up, or wait for their turn
  size_t cached = 0, cached_bytes = 0;
  bool directory_down = false;
};

class NetworkResolver : public Resolver {
 public:
  // Errors: kInvalidArgument (directory, CA file, DNS servers).
  static absl::StatusOr<std::unique_ptr<NetworkResolver>> Create(NetworkResolverOptions options,
                                                                 NetworkResolverResources resources);
  // Ends what is under way; whoever waits is answered with kUnavailable before this returns.
  ~NetworkResolver() override;

  IdentityPtr Find(std::string_view did, const Position& position) override;
  void Resolve(std::string_view did, const Position& position, Ask ask, Done done) override;
  void Purge(std::string_view did) override;
  void Keep(IdentityPtr identity) override;

  NetworkResolverStats stats() const;

 private:
  class Impl;
  explicit NetworkResolver(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::identity
