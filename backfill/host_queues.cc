#include "backfill/host_queues.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/status.h"

namespace penstock::backfill {

HostQueues::Hosts::iterator HostQueues::Find(std::string_view name) {
  const auto found = index_.find(ToAbsl(name));
  return found == index_.end() ? hosts_.end() : found->second;
}

void HostQueues::Forget(Hosts::iterator host) {
  if (!host->keys.empty() || host->under_way > 0) return;
  index_.erase(host->name);
  hosts_.erase(host);
}

void HostQueues::Add(std::string_view host, std::string_view key) {
  Hosts::iterator at = Find(host);
  if (at == hosts_.end()) {
    at = hosts_.insert(hosts_.end(), Host{std::string(host), {}, 0});
    index_.emplace(at->name, at);
  }
  at->keys.emplace_back(key);
  ++waiting_;
}

std::optional<HostQueues::Turn> HostQueues::Next(const IsBusy& is_busy) {
  for (auto host = hosts_.begin(); host != hosts_.end(); ++host) {
    if (host->keys.empty() || host->under_way >= per_host_ || is_busy(host->name)) continue;
    Turn turn{host->name, std::move(host->keys.front())};
    host->keys.pop_front();
    ++host->under_way;
    ++under_way_;
    --waiting_;
    hosts_.splice(hosts_.end(), hosts_, host);  // its turn is over
    return turn;
  }
  return std::nullopt;
}

void HostQueues::Done(std::string_view name) {
  const Hosts::iterator host = Find(name);
  if (host == hosts_.end() || host->under_way == 0) return;
  --host->under_way;
  --under_way_;
  Forget(host);
}

std::vector<HostQueues::Turn> HostQueues::TakeBack(const IsBusy& is_busy, size_t limit) {
  std::vector<Hosts::iterator> busy;
  for (auto host = hosts_.begin(); host != hosts_.end(); ++host) {
    if (!host->keys.empty() && is_busy(host->name)) busy.push_back(host);
  }
  std::stable_sort(busy.begin(), busy.end(), [](const auto& a, const auto& b) { return a->keys.size() > b->keys.size(); });
  std::vector<Turn> taken;
  for (const Hosts::iterator host : busy) {
    while (!host->keys.empty() && taken.size() < limit) {
      taken.push_back({host->name, std::move(host->keys.back())});
      host->keys.pop_back();
      --waiting_;
    }
    Forget(host);
  }
  return taken;
}

std::vector<HostQueues::Turn> HostQueues::TakeAll() {
  return TakeBack([](const std::string&) { return true; }, waiting_);
}

size_t HostQueues::UnderWayAt(std::string_view name) const {
  const auto found = index_.find(ToAbsl(name));
  return found == index_.end() ? 0 : found->second->under_way;
}

}  // namespace penstock::backfill
