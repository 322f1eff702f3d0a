#include "app/dry_run.h"

#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "base/status.h"

namespace penstock::app {
namespace {

using Key = std::tuple<std::string, std::string, std::string>;  // host, method, argument

constexpr int64_t kRun = 1;

Key KeyOf(const sync::Listing& listing) { return {listing.host, listing.method, listing.argument}; }

absl::Status NotHere() { return absl::UnimplementedError("a dry run has no tasks"); }

}  // namespace

class DryRun::Impl {
 public:
  Impl(std::unique_ptr<sync::BackfillStore> known, int attempts) : known_(std::move(known)), attempts_(attempts) {}

  absl::Status AddListings(std::span<const sync::Listing> listings) {
    std::lock_guard lock(mutex_);
    AddLocked(listings);
    return absl::OkStatus();
  }

  absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<sync::Listing>* listings) {
    std::lock_guard lock(mutex_);
    listings->clear();
    for (const auto& [key, listing] : open_) {
      if (listings->size() >= limit) break;
      if (listing.not_before <= now_us) listings->push_back(listing);
    }
    return absl::OkStatus();
  }

  absl::Status SavePage(const sync::Listing& listing, std::span<const sync::TaskSeed> seeds,
                        std::span<const sync::Listing> further) {
    std::lock_guard lock(mutex_);
    AddLocked(further);
    for (const sync::TaskSeed& seed : seeds) RETURN_IF_ERROR(CountLocked(seed));
    const bool given_up = !listing.done && listing.attempts >= attempts_;
    if (given_up || (listing.done && !listing.cause.empty())) {
      faults_.push_back({listing.host, listing.method, listing.argument, listing.cause, listing.attempts});
    }
    if (listing.done || given_up) {
      open_.erase(KeyOf(listing));
    } else {
      open_.insert_or_assign(KeyOf(listing), listing);
    }
    return absl::OkStatus();
  }

  absl::Status AddDids(const std::vector<std::string>& dids) {
    std::lock_guard lock(mutex_);
    for (const std::string& did : dids) RETURN_IF_ERROR(CountLocked({did, {}, {}}));
    return absl::OkStatus();
  }

  // What is read of the store. Own table alone: its methods are not thread-safe.
  absl::Status LoadKnown(std::string_view after, size_t limit, std::vector<sync::KnownAccount>* accounts) {
    std::lock_guard lock(mutex_);
    accounts->clear();
    return known_ != nullptr ? known_->LoadKnown(after, limit, accounts) : absl::OkStatus();
  }
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) {
    std::lock_guard lock(mutex_);
    if (known_ == nullptr) return NotFoundError("no store");
    return known_->FindKnown(did);
  }
  absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) {
    std::lock_guard lock(mutex_);
    return known_ != nullptr ? known_->HasCoverage(did, rule) : absl::StatusOr<bool>(false);
  }

  bool done() const {
    std::lock_guard lock(mutex_);
    return open_.empty();
  }
  uint64_t accounts() const {
    std::lock_guard lock(mutex_);
    return seen_.size();
  }
  uint64_t open_listings() const {
    std::lock_guard lock(mutex_);
    return open_.size();
  }
  std::vector<DryRunHost> hosts() const {
    std::lock_guard lock(mutex_);
    std::vector<DryRunHost> hosts;
    for (const auto& [name, host] : hosts_) hosts.push_back(host);
    std::stable_sort(hosts.begin(), hosts.end(),
                     [](const DryRunHost& a, const DryRunHost& b) { return a.accounts > b.accounts; });
    return hosts;
  }
  std::vector<DryRunFault> faults() const {
    std::lock_guard lock(mutex_);
    return faults_;
  }

 private:
  void AddLocked(std::span<const sync::Listing> listings) {
    for (const sync::Listing& listing : listings) {
      if (!added_.insert(absl::Hash<Key>()(KeyOf(listing))).second) continue;
      open_.emplace(KeyOf(listing), listing).first->second.run = kRun;
    }
  }

  absl::Status CountLocked(const sync::TaskSeed& seed) {
    if (!seen_.insert(absl::Hash<std::string_view>()(seed.did)).second) return absl::OkStatus();
    sync::KnownAccount known;
    bool is_known = false;
    if (known_ != nullptr) {
      absl::StatusOr<sync::KnownAccount> found = known_->FindKnown(seed.did);
      if (!found.ok() && !absl::IsNotFound(found.status())) return found.status();
      is_known = found.ok();
      if (is_known) known = *std::move(found);
    }
    // Who keeps the account, if we know; else who named it.
    const std::string& where = known.pds.empty() ? seed.host : known.pds;
    DryRunHost& host = hosts_[where];
    host.host = where;
    ++host.accounts;
    if (is_known) ++host.known;
    if (is_known && !seed.rev.empty() && known.sync_state == sync::SyncState::kSynchronized && known.rev >= seed.rev) {
      ++host.current;
    }
    return absl::OkStatus();
  }

  mutable std::mutex mutex_;  // guards all below
  std::unique_ptr<sync::BackfillStore> known_;
  const int attempts_;
  std::map<Key, sync::Listing> open_;
  absl::flat_hash_set<uint64_t> added_;  // listings, also those that ended
  absl::flat_hash_set<uint64_t> seen_;   // accounts
  std::map<std::string, DryRunHost> hosts_;
  std::vector<DryRunFault> faults_;
};

// What the finder holds: all of it may be asked for, and it goes before the object that counts.
class DryRun::View final : public sync::BackfillStore {
 public:
  explicit View(Impl* impl) : impl_(impl) {}

  absl::StatusOr<int64_t> OpenRun(sync::RunKind, std::string_view, int64_t, bool* made) override {
    if (made != nullptr) *made = false;
    return kRun;
  }
  absl::Status LoadRuns(bool, std::vector<sync::BackfillRun>* runs) override {
    runs->assign(1, {kRun, sync::RunKind::kManual, "dry run", sync::RunState::kOpen, 0, 0});
    return absl::OkStatus();
  }
  absl::Status LoadTotals(int64_t, sync::RunTotals*) override { return absl::OkStatus(); }
  absl::Status CancelRun(int64_t, int64_t) override { return absl::OkStatus(); }
  absl::Status EndFinishedRuns(int64_t, std::vector<sync::BackfillRun>*) override { return absl::OkStatus(); }
  absl::Status AddListings(std::span<const sync::Listing> listings) override { return impl_->AddListings(listings); }
  absl::Status LoadListings(int64_t now_us, size_t limit, std::vector<sync::Listing>* listings) override {
    return impl_->LoadListings(now_us, limit, listings);
  }
  absl::Status SavePage(const sync::Listing& listing, std::span<const sync::TaskSeed> tasks,
                        std::span<const sync::Listing> further, int64_t) override {
    return impl_->SavePage(listing, tasks, further);
  }
  absl::Status Claim(std::string_view, int64_t, int64_t, size_t, std::vector<sync::BackfillTask>*) override { return NotHere(); }
  absl::Status Renew(std::string_view, int64_t) override { return NotHere(); }
  absl::Status Recover(std::string_view, std::string_view, int64_t) override { return NotHere(); }
  absl::Status SetOutcome(const sync::BackfillTask&, std::string_view, const sync::TaskOutcome&, int64_t) override {
    return NotHere();
  }
  absl::StatusOr<std::optional<int64_t>> NextDue() override { return std::optional<int64_t>(); }
  absl::StatusOr<size_t> QueueUnsettled(const Throttle&, int64_t, size_t) override { return size_t{0}; }
  absl::Status LoadOpenGaps(std::vector<sync::OpenGap>*) override { return absl::OkStatus(); }
  absl::Status LoadKnown(std::string_view after, size_t limit, std::vector<sync::KnownAccount>* accounts) override {
    return impl_->LoadKnown(after, limit, accounts);
  }
  absl::StatusOr<sync::KnownAccount> FindKnown(std::string_view did) override { return impl_->FindKnown(did); }
  absl::StatusOr<bool> HasCoverage(std::string_view did, std::string_view rule) override {
    return impl_->HasCoverage(did, rule);
  }
  absl::Status LoadToPurge(int64_t, size_t, std::vector<std::string>*) override { return absl::OkStatus(); }

 private:
  Impl* const impl_;
};

DryRun::DryRun(std::unique_ptr<sync::BackfillStore> known, int attempts)
    : impl_(std::make_unique<Impl>(std::move(known), attempts)) {}
DryRun::~DryRun() = default;

std::unique_ptr<sync::BackfillStore> DryRun::Queue() { return std::make_unique<View>(impl_.get()); }

absl::Status DryRun::Add(const std::vector<sync::Listing>& listings, const std::vector<std::string>& dids) {
  RETURN_IF_ERROR(impl_->AddListings(listings));
  return impl_->AddDids(dids);
}

bool DryRun::done() const { return impl_->done(); }
uint64_t DryRun::accounts() const { return impl_->accounts(); }
uint64_t DryRun::open_listings() const { return impl_->open_listings(); }
std::vector<DryRunHost> DryRun::hosts() const { return impl_->hosts(); }
std::vector<DryRunFault> DryRun::faults() const { return impl_->faults(); }

}  // namespace penstock::app
