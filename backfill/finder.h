#pragma once

// Finds the accounts that runs are about: works off listings (sync/backfill.h), page by page, at many hosts at once and each
// within its limits; every page is durable with its cursor before the next is asked for. docs/backfill.md says which method is
// used where, and what a host that does not serve one means.
//
// Arguments of listings. "listReposByCollection": an NSID. "listRepos" and "listHosts": patterns of collections (an NSID,
// "prefix.*"), separated by spaces; accounts without a collection that matches one are left out, and without a pattern all are
// meant. "describeRepo": a DID, then such patterns. "known" and "compare": none. Of "compare" at a PDS only its accounts.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "identity/resolver.h"
#include "indexer/filter.h"
#include "net/xrpc_client.h"
#include "sync/backfill.h"

namespace penstock::backfill {

// A place to look for accounts.
struct FinderHost {
  std::string origin;   // "https://host[:port]"
  bool pds = false;     // else a relay, or a directory of collections
};

struct FinderOptions {
  // Look at the filter and the gaps (backfill/decision.h), at start and every `poll_us`, and open the runs that follow. False:
  // only the listings that are there are worked off.
  bool decide = true;
  std::vector<std::string> rules;        // what the filter includes, as written; none if it lets no record in
  std::vector<std::string> known_nsids;  // collections of the lexicons and projections known here
  int64_t poll_us = 1'000'000;
  std::vector<FinderHost> hosts;          // of the sources; the operator's choice, so trusted
  std::vector<std::string> collection_hosts;  // origins to ask for listReposByCollection instead; empty: the relays among `hosts`
  int64_t retry_first_us = 10'000'000, retry_most_us = 3'600'000'000;
  size_t concurrency = 8;                 // listings under way at once
};

// The listings with which accounts are found that have what `rule` (an NSID, "prefix.*", "*") names. A prefix is expanded into the
// exact NSIDs of `known_nsids` below it, since listReposByCollection takes no others; where that leaves nothing, and at PDSes,
// all accounts are listed and each is asked for its collections (describeRepo). Pure.
std::vector<sync::Listing> ListingsForRule(std::string_view rule, const std::vector<std::string>& known_nsids,
                                           const FinderOptions& options);

class Finder {
 public:
  // All pointers outlive it. `store` is its own.
  Finder(FinderOptions options, std::unique_ptr<sync::BackfillStore> store, net::XrpcClient* client, identity::Resolver* resolver,
         const indexer::Filter* filter, const Clock* clock, Counters* counters, Logger log);
  ~Finder();

  // Starts its thread. `on_failure`: called once if the store failed for good.
  void Start(std::function<void(const absl::Status&)> on_failure);
  // Ends it; what is under way is abandoned, and goes on where it was when it is started again.
  void Stop();
  // Look now, and not at the next tick.
  void Wake();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::backfill
