#include "app/backfill_options.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <future>
#include <mutex>
#include <utility>

#include "absl/strings/str_split.h"
#include "base/status.h"
#include "indexer/known_collections.h"
#include "indexer/readers.h"
#include "net/url.h"

namespace penstock::app {
namespace {

constexpr int64_t kSecond = 1'000'000;

// A TOML file says true and false.
const CLI::Validator kSwitch(
    [](std::string& text) {
      if (text == "true" || text == "1") text = "on";
      if (text == "false" || text == "0") text = "off";
      return text == "on" || text == "off" ? std::string() : "'" + text + "' is neither on nor off";
    },
    "", "on or off");

}  // namespace

std::function<std::unique_ptr<sync::BackfillStore>()> StoreFlags::BackfillStoreFactory(const Clock* clock,
                                                                                     Counters* counters) const {
  return [options = Options(clock, counters)] { return *indexer::MakeBackfillStore(options); };
}

std::function<std::unique_ptr<indexer::AccountScan>()> StoreFlags::AccountScanFactory(const Clock* clock,
                                                                                    Counters* counters) const {
  return [options = Options(clock, counters)] { return *indexer::MakeAccountScan(options); };
}

void BackfillFlags::BindSwitch(CLI::App* verb) {
  verb->add_option("--backfill", mode,
                   "on: fetch whole repositories: what was there before the first start, what fell into gaps, accounts whose "
                   "chain broke; off: only what the stream brings")
      ->capture_default_str()
      ->transform(kSwitch)
      ->type_name("WORD");
}

void BackfillFlags::Bind(CLI::App* verb) {
  verb->add_option("--backfill-threads", threads_, "Repositories that are fetched, proven and taken in at the same time")
      ->capture_default_str()
      ->check(CLI::Range(1, 256))
      ->type_name("N");
  verb->add_option("--backfill-per-host", per_host_, "Of them, from one host")
      ->capture_default_str()
      ->check(CLI::Range(1, 64))
      ->type_name("N");
  verb->add_option("--host-rate", host_rate_, "How often one host of accounts is asked at most, requests a second")
      ->capture_default_str()
      ->check(CLI::Range(0.01, 10'000.0))
      ->type_name("N");
  verb->add_option("--host-burst", host_burst_, "How many requests may come at once after a pause, before that rate holds")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 10'000.0))
      ->type_name("N");
  verb->add_option("--backfill-from", collection_hosts,
                   "Who is asked which accounts have a collection (listReposByCollection), instead of the relays; give it again "
                   "for another")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("URL");
  verb->add_option("--max-archive-mb", max_archive_mb_, "The largest repository that is taken, MiB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("MIB");
  verb->add_option("--max-archive-time", max_archive_s_, "The longest that one repository may be on its way, seconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400))
      ->type_name("S");
  verb->add_option("--temp-folder", temp_folder_,
                   "Where the parts of large repositories are put aside meanwhile; by default the system's temporary folder")
      ->type_name("DIR");
  verb->add_option("--retry-first", retry_first_s_,
                   "How long to wait after a fault of an account's repository, seconds; doubles (of a listing: 10 at most)")
      ->capture_default_str()
      ->check(CLI::Range(1, 86'400))
      ->type_name("S");
  verb->add_option("--retry-most", retry_most_s_, "The longest such wait, seconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 604'800))
      ->type_name("S");
  verb->add_option("--retry-attempts", retry_attempts_,
                   "How often a repository that does not verify is fetched before its task has failed; a host that is away is "
                   "waited for without end")
      ->capture_default_str()
      ->check(CLI::Range(1, 1'000))
      ->type_name("N");
  verb->add_option("--resync-first", resync_first_s,
                   "How long an account waits whose chain broke within a day after it was fetched, seconds; doubles")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{86'400}))
      ->type_name("S");
  verb->add_option("--resync-most", resync_most_s, "The longest such wait, seconds")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{604'800}))
      ->type_name("S");
  verb->add_option("--purge-deleted-after", purge_deleted_after_days_,
                   "How long the rows of a deleted account stay (hidden), days; negative: for ever")
      ->capture_default_str()
      ->check(CLI::Range(-1.0, 36'500.0))
      ->type_name("DAYS");
}

void BackfillFlags::LimitHosts(ResolverFlags* resolver) const {
  resolver->host_rate = host_rate_;
  resolver->host_burst = host_burst_;
  // A place is kept as long as an archive comes, and small questions want some beside.
  resolver->host_at_once = per_host_ + 2;
  resolver->hosts_at_once = 2 * threads_ + 16;
}

absl::StatusOr<std::vector<std::string>> BackfillFlags::CollectionOrigins() const {
  std::vector<std::string> origins;
  for (const std::string& host : collection_hosts) {
    const std::string origin = OriginOf(host);
    if (origin.empty()) return InvalidInputError("--backfill-from: '" + host + "' is no host such as https://relay.example");
    origins.push_back(origin);
  }
  return origins;
}

backfill::RetryPolicy BackfillFlags::Retry() const {
  backfill::RetryPolicy retry;
  retry.first_us = retry_first_s_ * kSecond;
  retry.most_us = std::max(retry_first_s_, retry_most_s_) * kSecond;
  retry.max_attempts = retry_attempts_;
  return retry;
}

absl::StatusOr<backfill::CoordinatorOptions> BackfillFlags::Coordinator() const {
  backfill::CoordinatorOptions options;
  options.threads = threads_;
  options.per_host = std::min(per_host_, threads_);
  options.max_download_us = max_archive_s_ * kSecond;
  options.retry = Retry();
  options.throttle.first_us = resync_first_s * kSecond;
  options.throttle.most_us = std::max(resync_first_s, resync_most_s) * kSecond;
  options.archive.max_bytes = static_cast<uint64_t>(max_archive_mb_) << 20;
  options.archive.folder = temp_folder_;
  options.purge_after_us =
      purge_deleted_after_days_ < 0 ? -1 : static_cast<int64_t>(purge_deleted_after_days_ * 86'400) * kSecond;
  if (std::error_code error; !temp_folder_.empty() && !std::filesystem::is_directory(temp_folder_, error)) {
    return InvalidInputError("--temp-folder: '" + temp_folder_ + "' is no folder");
  }
  return options;
}

std::vector<ServiceSource> MakeSources(const std::vector<std::string>& relays, const std::vector<std::string>& pds) {
  std::vector<ServiceSource> sources;
  for (const std::string& relay : relays) sources.push_back({absl::StrSplit(relay, ',', absl::SkipWhitespace()), /*pds=*/false});
  for (const std::string& host : pds) sources.push_back({{host}, /*pds=*/true});
  return sources;
}

std::vector<std::string> OriginsOf(const std::vector<ServiceSource>& sources) {
  std::vector<std::string> origins;
  for (const ServiceSource& source : sources) {
    for (const std::string& host : source.hosts) {
      if (std::string origin = OriginOf(host); !origin.empty()) origins.push_back(std::move(origin));
    }
  }
  return origins;
}

absl::StatusOr<backfill::FinderOptions> MakeFinderOptions(const BackfillFlags& flags, const std::vector<ServiceSource>& sources) {
  backfill::FinderOptions options;
  options.known_nsids = indexer::KnownCollections();
  // Much waits for a listing: it is asked for again sooner, but never later.
  const backfill::RetryPolicy retry = flags.Retry();
  options.retry_first_us = std::min(options.retry_first_us, retry.first_us);
  options.retry_most_us = retry.most_us;
  for (const ServiceSource& source : sources) {
    for (const std::string& host : source.hosts) {
      const std::string origin = OriginOf(host);
      if (origin.empty()) return InvalidInputError("'" + host + "' is no host");
      options.hosts.push_back({origin, source.pds});
    }
  }
  ASSIGN_OR_RETURN(options.collection_hosts, flags.CollectionOrigins());
  return options;
}

absl::StatusOr<std::unique_ptr<Backfill>> Backfill::Make(BackfillSetup setup) {
  auto made = std::unique_ptr<Backfill>(new Backfill());
  ASSIGN_OR_RETURN(made->finder_options_, MakeFinderOptions(*setup.flags, setup.sources));
  made->finder_options_.decide = setup.service;
  made->finder_options_.rules = setup.rules;
  ASSIGN_OR_RETURN(made->coordinator_options_, setup.flags->Coordinator());
  backfill::CoordinatorOptions& coordinator = made->coordinator_options_;
  const std::string shard = setup.store->shard();
  coordinator.owner_prefix = shard + "#";
  coordinator.owner = coordinator.owner_prefix + std::to_string(setup.epoch);
  coordinator.rules = setup.rules;
  for (const ServiceSource& source : setup.sources) {
    if (source.pds) continue;  // it serves the accounts whose documents name it, and nobody else's
    for (const std::string& host : source.hosts) coordinator.upstreams.push_back(OriginOf(host));
  }
  coordinator.queue_unsettled = setup.service;
  // With nothing else to do a person waits for each look at the queue.
  if (!setup.service) coordinator.poll_us = made->finder_options_.poll_us = 250'000;
  made->setup_ = std::move(setup);
  return made;
}

Backfill::~Backfill() { Stop(); }

absl::Status Backfill::Start(pipeline::ImportPort* port, std::function<void(const absl::Status&)> on_failure) {
  const pipeline::PipelineOptions& pipeline = *setup_.pipeline;
  // Two parts may fail; who asked is told once.
  auto once = std::make_shared<std::once_flag>();
  auto failed = [once, on_failure = std::move(on_failure)](const absl::Status& status) {
    std::call_once(*once, [&] {
      if (on_failure) on_failure(status);
    });
  };
  const auto queue = setup_.store->BackfillStoreFactory(pipeline.clock, pipeline.counters);
  backfill::CoordinatorResources resources;
  resources.client = setup_.client;
  resources.resolver = pipeline.resolver;
  resources.port = port;
  resources.queue = queue;
  resources.scan = setup_.store->AccountScanFactory(pipeline.clock, pipeline.counters);
  resources.filter = pipeline.filter;
  resources.clock = pipeline.clock;
  resources.counters = pipeline.counters;
  resources.log = pipeline.log;
  auto coordinator = std::make_unique<backfill::Coordinator>(coordinator_options_, std::move(resources));
  RETURN_IF_ERROR(coordinator->Start(failed));
  coordinator_ = std::move(coordinator);
  finder_ = std::make_unique<backfill::Finder>(finder_options_, queue(), setup_.client, pipeline.resolver, pipeline.filter,
                                               pipeline.clock, pipeline.counters, pipeline.log);
  finder_->Start(failed);
  return absl::OkStatus();
}

absl::Status FinishBoth(Backfill* backfill, pipeline::Pipeline* pipeline, int64_t timeout_us) {
  constexpr std::chrono::seconds kOrderly{2};
  const std::future<void> stopped = std::async(std::launch::async, [backfill] {
    if (backfill != nullptr) backfill->Stop();
  });
  (void)stopped.wait_for(kOrderly);
  const absl::Status finished = pipeline->Finish(timeout_us);
  stopped.wait();
  return finished;
}

void Backfill::Stop() {
  if (finder_ != nullptr) finder_->Stop();
  if (coordinator_ != nullptr) coordinator_->Stop();
}

void Backfill::Wake() {
  if (finder_ != nullptr) finder_->Wake();
  if (coordinator_ != nullptr) coordinator_->Wake();
}

backfill::Coordinator::Stats Backfill::stats() const {
  return coordinator_ != nullptr ? coordinator_->stats() : backfill::Coordinator::Stats();
}

BackfillFigures Backfill::figures() const {
  const backfill::Coordinator::Stats stats = this->stats();
  BackfillFigures figures;
  figures.done = stats.accounts + stats.already_current;
  figures.open = stats.open_tasks;
  figures.listings = stats.open_listings;
  figures.failed = stats.failed;
  figures.records = stats.records;
  figures.bytes = stats.bytes;
  figures.downloading = stats.downloading;
  figures.causes = stats.causes;
  return figures;
}

}  // namespace penstock::app
