#pragma once

// What account synchronisation reads back from where its state is kept: the interface that the stores implement (indexer/).
// Reading only: what is to be kept travels in change sets, in one transaction with the rows.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "identity/identity.h"
#include "sync/account_state.h"

namespace penstock::sync {

// Everything about one account in one read.
struct StoredAccount {
  bool known = false;  // it has a row in `repo`
  AccountState state;
  std::map<std::string, int64_t, std::less<>> account_seqs;  // per source: the last #account applied
  uint64_t held_events = 0, held_bytes = 0;
  int64_t held_last = 0;  // the highest ordinal held
  identity::IdentityPtr identity;  // null if none is kept, or it was purged
};

// A row of held_event.
struct StoredHeldEvent {
  int64_t ordinal = 0;  // order within the account
  std::string source;
  int64_t seq = 0;
  std::string reason;
  bool gated = false;  // it was found active when it arrived
  std::string frame;   // the WebSocket message
  int64_t arrived_at = 0;
};

struct HeldAccount {
  std::string did;
  uint64_t events = 0, bytes = 0;
  int64_t last = 0;  // highest ordinal
  SyncState sync_state = SyncState::kUntracked;
};

// Each worker has its own; used by one thread. Sees what has been committed when it is called.
// Errors: kUnavailable (ask again), kInternal, kDataLoss.
class StateStore {
 public:
  virtual ~StateStore() = default;

  virtual absl::Status LoadAccount(std::string_view did, StoredAccount* account) = 0;
  // In order of `ordinal`, those above `after`, until `max_bytes` of frames are reached (at least one, if there is one).
  virtual absl::Status LoadHeld(std::string_view did, int64_t after, size_t max_bytes, std::vector<StoredHeldEvent>* events) = 0;

  // At start.
  virtual absl::Status ForEachHeldAccount(const std::function<void(const HeldAccount&)>& visit) = 0;
  // Every account with a sync_state.
  virtual absl::Status ForEachTracked(const std::function<void(std::string_view did)>& visit) = 0;
};

}  // namespace penstock::sync
