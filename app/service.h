#pragma once

// The service: subscriptions on one I/O thread, the pipeline behind them, and an orderly end. `run` and `demo` are this.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "firehose/session/subscription.h"
#include "indexer/store.h"
#include "pipeline/options.h"
#include "pipeline/output.h"

namespace penstock::app {

class Backfill;
class Identities;

// One source: its hosts in order of preference.
struct ServiceSource {
  std::vector<std::string> hosts;
  bool pds = false;  // they are PDS and no relays: each speaks only for its own accounts
};

struct ServiceOptions {
  std::vector<ServiceSource> sources;
  // For a host whose cursor is not known: start here (0 = the oldest event it has) instead of at the live end.
  std::optional<int64_t> start_cursor;
  firehose::SubscriptionOptions subscription;  // hosts are filled in per source
  pipeline::PipelineOptions pipeline;
  // Behind the pipeline's resolver: what becomes known of handles is kept. May be null; outlives the call.
  const Identities* identities = nullptr;
  // Fetches whole repositories beside the streams. May be null; outlives the call.
  Backfill* backfill = nullptr;
  int64_t shutdown_timeout_us = 30'000'000;
  // Known before: cursors and quarantined frames of the store.
  std::vector<indexer::SourceCursor> cursors;
  std::vector<indexer::StoredQuarantine> quarantine;
  const std::atomic<bool>* stop = nullptr;  // looked at every 50 ms: set from a signal handler, it ends the service
  bool show_progress = true;
  std::string name = "run";     // of the verb, for the progress line
  // Asked every 50 ms on the I/O thread with the durable cursors; true stops the service. For the demo.
  std::function<bool(const std::vector<indexer::SourceCursor>& durable)> finished;
};

// Where a host of a source, as --relay and --pds name it, is asked about accounts: "https://host[:port]"; empty if it is none.
std::string OriginOf(const std::string& host);

// Runs until stopped. OK after a requested stop with everything written. Errors: kFailedPrecondition when every source is
// stopped for good (a cursor in the future) or the lease was lost; what Pipeline::Finish says.
// `output` outlives the call.
absl::Status RunService(const ServiceOptions& options, pipeline::Output* output);

}  // namespace penstock::app
