#pragma once

// Behind `backfill` and `resync`: what was asked for is put into the store's queue, and worked off by this process, or, where a
// service holds the store, by that one.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "app/backfill_options.h"
#include "app/backfill_queue.h"
#include "app/common_options.h"
#include "app/resolver_options.h"

namespace penstock::app {

// The options of a verb that fetches repositories.
struct FetchFlags {
  std::vector<std::string> relays, pds;
  StoreFlags store;
  FilterFlags filter;
  PipelineFlags pipeline;
  ResolverFlags resolver;
  BackfillFlags backfill;
  int64_t give_up_after_s = 0;

  void Bind(CLI::App* verb);
  std::vector<ServiceSource> sources() const { return MakeSources(relays, pds); }
};

struct FetchResult {
  int64_t run = 0;
  sync::RunTotals totals;
  bool ended = false;  // false: stopped before
};

// `rules`: what is looked for; kept as well, where --collections says nothing and no service holds the store. Errors:
// kInvalidArgument (wrong usage), those of Store, Pipeline and BackfillStore.
absl::StatusOr<FetchResult> Fetch(const std::string& verb, FetchFlags& flags, const FetchRequest& request,
                                  const std::vector<std::string>& rules);

// What is not the same at a lower level, so that wrong usage is said before anything is done.
absl::Status CheckFetchFlags(const FetchFlags& flags);

// The filter: --collections, or what the store was filled by (its runs of kind filter) and `rules`. `queue` may be null. Errors:
// kInvalidArgument when nobody says what to keep; those of BackfillStore.
absl::StatusOr<FilterFlags> CompleteFilter(const FilterFlags& given, const std::vector<std::string>& rules,
                                           sync::BackfillStore* queue);

// Says how it ended, and gives the exit status.
int ReportFetch(const std::string& verb, const FetchResult& result);

}  // namespace penstock::app
