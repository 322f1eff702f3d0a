#include "app/common_options.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <thread>

#include "absl/strings/ascii.h"
#include "base/status.h"
#include "indexer/readers.h"
#include "repo/syntax.h"
#include "spdlog/sinks/stdout_color_sinks.h"
#include "spdlog/spdlog.h"

namespace penstock::app {

void StoreFlags::Bind(CLI::App* verb) {
  verb->add_option("--store", url,
                   "Where rows go: sqlite:PATH (or a path), or postgresql://… / libpq key=value words")
      ->type_name("URL");
  verb->add_option("--lease-wait", lease_wait_s, "How long to wait for another instance's lease of the store, seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->type_name("S");
}

indexer::StoreOptions StoreFlags::Options(const Clock* clock, Counters* counters) const {
  indexer::StoreOptions options;
  options.url = url;
  options.owner = OwnerName();
  options.lease_wait_us = lease_wait_s * 1'000'000;
  options.clock = clock;
  options.counters = counters;
  return options;
}

absl::StatusOr<std::unique_ptr<indexer::Store>> StoreFlags::Make(const Clock* clock, Counters* counters,
                                                                 std::optional<repo::Verification> level) const {
  if (url.empty()) return InvalidInputError("--store is missing: sqlite:PATH or postgresql://…");
  indexer::StoreOptions options = Options(clock, counters);
  options.verify = level;
  return indexer::MakeStore(options);
}

std::function<std::unique_ptr<sync::StateStore>()> StoreFlags::StateStoreFactory(const Clock* clock, Counters* counters) const {
  // The URL's form was checked when the store itself was made.
  return [options = Options(clock, counters)] { return *indexer::MakeStateStore(options); };
}

std::string StoreFlags::shard() const { return indexer::StoreOptions().shard; }

void FilterFlags::Bind(CLI::App* verb) {
  verb->add_option("--collections", collections,
                   "What to keep: NSIDs, prefixes such as space.atbb.*, or '*' for everything; NSID:create,… limits the actions")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NSID…");
  verb->add_option("--exclude-collections", exclude_collections, "NSIDs or prefixes to leave out; wins over --collections")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NSID…");
  verb->add_option("--dids", dids, "Only these accounts: DIDs, or a file with one in each line (- is standard input)")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("DID…");
  verb->add_option("--exclude-dids", exclude_dids, "Never these accounts: the same")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("DID…");
  verb->add_option("--actions", actions, "Only these: create, update, delete")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("ACTION…");
}

absl::StatusOr<std::vector<std::string>> ReadDids(const std::string& option, const std::vector<std::string>& entries) {
  std::vector<std::string> dids;
  for (const std::string& entry : entries) {
    if (entry.starts_with("did:")) {
      dids.push_back(entry);
      continue;
    }
    std::ifstream file;
    if (entry != "-") file.open(entry);
    std::istream& lines = entry == "-" ? std::cin : file;
    if (!lines) return InvalidInputError(option + ": '" + entry + "' is neither a DID nor a file that can be read");
    size_t number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const std::string_view did = ToStd(absl::StripAsciiWhitespace(ToAbsl(line)));
      if (did.empty() || did.starts_with('#')) continue;
      if (!repo::Did::Parse(did)) {
        return InvalidInputError(option + ": " + entry + ":" + std::to_string(number) + ": '" + std::string(did.substr(0, 80)) +
                                 "' is no DID");
      }
      dids.emplace_back(did);
    }
  }
  return dids;
}

absl::StatusOr<indexer::Filter> FilterFlags::Make(bool optional) const {
  indexer::FilterOptions options;
  options.collections = collections;
  if (options.collections.empty()) {
    if (!optional) {
      return InvalidInputError("--collections is missing: NSIDs or prefixes such as 'space.atbb.*', or '*' for everything");
    }
    options.collections = {"*"};
  }
  for (const std::string& entry : exclude_collections) options.collections.push_back("-" + entry);
  ASSIGN_OR_RETURN(options.dids, ReadDids("--dids", dids));
  ASSIGN_OR_RETURN(options.exclude_dids, ReadDids("--exclude-dids", exclude_dids));
  options.actions = actions;
  return indexer::Filter::Make(options);
}

std::vector<std::string> FilterFlags::Rules() const {
  const auto lets_records_in = [](std::string_view mask) {
    return mask.find("create") != mask.npos || mask.find("update") != mask.npos;
  };
  if (!actions.empty() && !std::any_of(actions.begin(), actions.end(), lets_records_in)) return {};
  std::vector<std::string> rules;
  for (const std::string& entry : collections) {
    const size_t colon = entry.find(':');
    if (entry.starts_with('-') || (colon != entry.npos && !lets_records_in(std::string_view(entry).substr(colon)))) continue;
    rules.push_back(entry.substr(0, colon));
  }
  if (collections.empty()) rules.push_back("*");
  return rules;
}

void PipelineFlags::Bind(CLI::App* verb) {
  verb->add_option("--verify", verify,
                   "What must be proven of a change: cid (hashes and tree), signature (and the account's signature), or full (and "
                   "its place in the account's chain)")
      ->capture_default_str()
      ->type_name("LEVEL");
  verb->add_option("--allow", allow,
                   "Let through what strict verification refuses, marked on the row: legacy-commits, partial-proofs, since-mismatch")
      ->delimiter(',')
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("NAME…");
  verb->add_flag("--verify-all", bounds.verify_all, "Verify every event, also of accounts that nothing matches (audits of a relay)");
  verb->add_flag("--keep-proofs", bounds.keep_proofs, "Keep each row's commit and tree path, so that it can be proven again");
  verb->add_option("--accounts-in-memory", bounds.accounts_in_memory, "Accounts whose state is kept at hand, over all workers")
      ->capture_default_str()
      ->check(CLI::Range(16, 100'000'000))
      ->type_name("N");
  verb->add_option("--held-account-events", bounds.held.account_events,
                   "Events of one account that may wait until they can be judged; more, and it needs a resync")
      ->capture_default_str()
      ->check(CLI::Range(1, 100'000'000))
      ->type_name("N");
  verb->add_option("--held-account-mb", held_account_mb_, "The same in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("MIB");
  verb->add_option("--held-events", bounds.held.total_events, "Events that may wait over all accounts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000'000'000))
      ->type_name("N");
  verb->add_option("--held-mb", held_total_mb_, "The same in MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 24))
      ->type_name("MIB");
  verb->add_option("--held-memory-mb", held_memory_mb_, "Of those, what may be in memory and not yet in the store, MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("MIB");
  verb->add_option("--store-held-after", store_held_after_ms_,
                   "How long an event waits in memory before the store keeps it and the cursor passes it, milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 3'600'000))
      ->type_name("MS");
  verb->add_option("--now", now, "Stop the clock at this datetime (for replays that must give the same verdicts)")
      ->type_name("DATETIME");
  verb->add_option("--workers", workers, "Threads that check commits; 0 = one less than the cores, at least 1")
      ->capture_default_str()
      ->check(CLI::Range(0, 256))
      ->type_name("N");
  verb->add_option("--batch-rows", bounds.batch_rows, "Rows that fill a batch")
      ->capture_default_str()
      ->check(CLI::Range(1, 100000))
      ->type_name("N");
  verb->add_option("--batch-kb", batch_kb_, "Size that fills a batch, KiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("KIB");
  verb->add_option("--batch-age", batch_age_ms_, "Age at which a batch is written however small, milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 60000))
      ->type_name("MS");
  verb->add_option("--cursor-interval", cursor_interval_ms_,
                   "How often the cursor is written when nothing matched, milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(10, 3600000))
      ->type_name("MS");
  verb->add_option("--queue-mb", queue_mb_, "Frames and changes that may wait between the threads, MiB; then the socket waits")
      ->capture_default_str()
      ->check(CLI::Range(1, 16384))
      ->type_name("MIB");
  verb->add_option("--shutdown-timeout", shutdown_timeout_s,
                   "How long to wait for the store when asked to stop, seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{86400}))
      ->type_name("S");
}

absl::StatusOr<std::unique_ptr<Clock>> PipelineFlags::MakeClock() const {
  if (now.empty()) return std::unique_ptr<Clock>(std::make_unique<SystemClock>());
  const auto datetime = repo::Datetime::Parse(now);
  if (!datetime) return InvalidInputError("--now: '" + now + "' is no datetime such as 2026-01-15T12:00:00Z");
  return std::unique_ptr<Clock>(std::make_unique<FixedClock>(datetime->micros));
}

absl::StatusOr<pipeline::PipelineOptions> PipelineFlags::Make(const indexer::Filter* filter, const Clock* clock,
                                                              Counters* counters) const {
  const std::optional<repo::Verification> level = repo::VerificationFromName(verify);
  if (level != repo::Verification::kCid && level != repo::Verification::kSignature && level != repo::Verification::kFull) {
    return InvalidInputError("--verify: '" + verify + "' is none of cid, signature, full");
  }
  pipeline::PipelineOptions options = bounds;
  options.verify = *level;
  ASSIGN_OR_RETURN(options.policies, sync::Policies::Make(allow));
  options.workers = workers != 0 ? workers : std::max(1u, std::thread::hardware_concurrency()) - 1;
  options.workers = std::max<size_t>(1, options.workers);
  options.batch_bytes = static_cast<size_t>(batch_kb_) * 1024;
  options.batch_age_us = batch_age_ms_ * 1000;
  options.cursor_interval_us = cursor_interval_ms_ * 1000;
  options.worker_queue_bytes = static_cast<size_t>(queue_mb_) * 1024 * 1024 / 2 / options.workers;
  options.writer_queue_bytes = static_cast<size_t>(queue_mb_) * 1024 * 1024 / 2;
  constexpr uint64_t kMib = 1024 * 1024;
  options.held.account_bytes = static_cast<uint64_t>(held_account_mb_) * kMib;
  options.held.total_bytes = static_cast<uint64_t>(held_total_mb_) * kMib;
  options.held.memory_bytes = static_cast<size_t>(held_memory_mb_) * kMib;
  options.held.store_after_us = store_held_after_ms_ * 1000;
  options.filter = filter;
  options.clock = clock;
  options.counters = counters;
  options.log = MakeLogger();
  return options;
}

Logger MakeLogger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = spdlog::stderr_color_mt("penstock");
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %v", spdlog::pattern_time_type::utc);
    return made;
  }();
  return [](LogLevel level, std::string line) {
    switch (level) {
      case LogLevel::kInfo:
        return logger->info("{}", line);
      case LogLevel::kWarning:
        return logger->warn("{}", line);
      case LogLevel::kError:
        return logger->error("{}", line);
    }
  };
}

std::string OwnerName() {
  char host[256] = "unknown";
  (void)gethostname(host, sizeof host - 1);
  return std::string(host) + " pid " + std::to_string(getpid());
}

}  // namespace penstock::app
