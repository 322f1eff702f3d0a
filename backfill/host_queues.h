#pragma once

// Who is fetched next: accounts wait at the host that serves them, hosts take turns, and none is busy with more than so many at
// once. A host that is slow, down or full keeps its own accounts waiting and nobody else's. Pure; not thread-safe.

#include <cstddef>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"

namespace penstock::backfill {

class HostQueues {
 public:
  explicit HostQueues(size_t per_host) : per_host_(per_host) {}

  // True for a host that nobody should ask now.
  using IsBusy = std::function<bool(const std::string& host)>;
  struct Turn {
    std::string host, key;
  };

  // `key` waits for `host`, behind those that wait there already. A key waits once.
  void Add(std::string_view host, std::string_view key);

  // The next that may begin; nullopt if everybody has to wait. It is under way at its host until Done(host).
  std::optional<Turn> Next(const IsBusy& is_busy);
  void Done(std::string_view host);

  // Takes up to `limit` out that wait for busy hosts, those that came last first, and from the longest queues first: who waits for
  // long keeps its place, and room is made for the accounts of others.
  std::vector<Turn> TakeBack(const IsBusy& is_busy, size_t limit);
  // All that wait.
  std::vector<Turn> TakeAll();

  size_t waiting() const { return waiting_; }
  size_t under_way() const { return under_way_; }
  size_t UnderWayAt(std::string_view host) const;

 private:
  struct Host {
    std::string name;
    std::deque<std::string> keys;  // that wait
    size_t under_way = 0;
  };
  using Hosts = std::list<Host>;  // the one that has waited longest for its turn first
  Hosts::iterator Find(std::string_view name);
  // Forgets a host that nobody waits for, and that is busy with nobody.
  void Forget(Hosts::iterator host);

  const size_t per_host_;
  Hosts hosts_;
  absl::flat_hash_map<std::string, Hosts::iterator> index_;
  size_t waiting_ = 0, under_way_ = 0;
};

}  // namespace penstock::backfill
