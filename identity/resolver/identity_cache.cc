#include "identity/resolver/identity_cache.h"

#include <algorithm>
#include <cstdlib>

#include "base/status.h"

namespace penstock::identity {
namespace {

// What an entry costs besides the texts: nodes, the parsed key, the index.
constexpr size_t kEntryBytes = 600;

size_t CostOf(const std::string& did, const Identity* identity) {
  size_t cost = kEntryBytes + 2 * did.size();
  if (identity != nullptr) cost += identity->document.size() + identity->pds.size() + identity->handle.size();
  return cost;
}

}  // namespace

IdentityCache::Found IdentityCache::Find(std::string_view did, int64_t now_us) {
  const auto found = index_.find(ToAbsl(did));
  if (found == index_.end()) return {};
  entries_.splice(entries_.begin(), entries_, found->second);
  const IdentityPtr& identity = found->second->identity;
  if (identity == nullptr) return {};
  // A clock that was set back makes ages negative; the same distance then counts as age.
  const int64_t age = std::abs(now_us - identity->fetched_us);
  const bool negative = identity->fault.has_value();
  if (age < (negative ? options_.negative : options_.fresh).count()) return {identity, Age::kFresh};
  if (!negative && age < options_.stale.count()) return {identity, Age::kStale};
  return {};
}

void IdentityCache::Put(IdentityPtr identity) {
  Entry& entry = Touch(identity->did);
  Set(&entry, std::move(identity));
  Evict();
}

bool IdentityCache::Keep(IdentityPtr identity) {
  if (WasPurgedSince(*identity)) return false;
  const auto found = index_.find(ToAbsl(identity->did));
  if (found != index_.end() && found->second->identity != nullptr &&
      found->second->identity->fetched_us >= identity->fetched_us) {
    return false;
  }
  Put(std::move(identity));
  return true;
}

bool IdentityCache::Replace(const IdentityPtr& before, IdentityPtr after) {
  const auto found = index_.find(ToAbsl(before->did));
  if (found == index_.end() || found->second->identity != before) return false;
  Set(&*found->second, std::move(after));
  return true;
}

void IdentityCache::Purge(std::string_view did, int64_t now_us) {
  const auto found = index_.find(ToAbsl(did));
  if (found != index_.end()) Set(&*found->second, nullptr);  // how often it may be asked about stays
  purged_us_[std::string(did)] = now_us;
  purge_order_.emplace_back(now_us, did);
  while (!purge_order_.empty()) {
    const auto& [time, oldest] = purge_order_.front();
    const bool old = now_us - time > options_.purge_memory.count();
    if (purge_order_.size() <= options_.max_purges && !old) break;
    if (!old) purge_floor_us_ = std::max(purge_floor_us_, time);
    const auto mark = purged_us_.find(oldest);
    if (mark != purged_us_.end() && mark->second == time) purged_us_.erase(mark);
    purge_order_.pop_front();
  }
}

Pace* IdentityCache::PaceOf(std::string_view did) {
  Entry& entry = Touch(did);
  Evict();
  return &entry.pace;
}

// The entry, made if it is not there, as the most recently used.
IdentityCache::Entry& IdentityCache::Touch(std::string_view did) {
  const auto found = index_.find(ToAbsl(did));
  if (found != index_.end()) {
    entries_.splice(entries_.begin(), entries_, found->second);
    return *found->second;
  }
  entries_.emplace_front();
  Entry& entry = entries_.front();
  entry.did = did;
  entry.cost = CostOf(entry.did, nullptr);
  bytes_ += entry.cost;
  index_.emplace(ToAbsl(entry.did), entries_.begin());
  return entry;
}

void IdentityCache::Set(Entry* entry, IdentityPtr identity) {
  bytes_ -= entry->cost;
  entry->identity = std::move(identity);
  entry->cost = CostOf(entry->did, entry->identity.get());
  bytes_ += entry->cost;
}

// The entry at the front stays, whatever it costs.
void IdentityCache::Evict() {
  while (entries_.size() > 1 && (entries_.size() > options_.max_entries || bytes_ > options_.max_bytes)) {
    const Entry& last = entries_.back();
    bytes_ -= last.cost;
    index_.erase(ToAbsl(last.did));
    entries_.pop_back();
  }
}

bool IdentityCache::WasPurgedSince(const Identity& identity) const {
  if (identity.fetched_us <= purge_floor_us_) return true;
  const auto mark = purged_us_.find(identity.did);
  return mark != purged_us_.end() && identity.fetched_us <= mark->second;
}

}  // namespace penstock::identity
