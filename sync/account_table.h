#pragma once

// The accounts that one worker is busy with: their state in memory, bounded, over what the store keeps. What was sent to the
// store but is not durable yet is newer than what a read would give, so such an account stays until it is.

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "sync/account_state.h"
#include "sync/held_events.h"
#include "sync/state_store.h"

namespace penstock::sync {

struct Account {
  std::string did;
  AccountState state;  // after everything that was judged, durable or not
  std::map<std::string, int64_t, std::less<>> account_seqs;  // per source: the last #account applied
  std::string status_source;     // whose #account said the present status; empty if it came from the store
  int64_t status_asked_us = 0;   // monotonic: when its host was last asked for the status
  std::unique_ptr<HeldEvents> held;  // null when nothing waits
  int64_t next_ordinal = 1;            // of the next event that has to wait
  uint64_t last_change = 0;      // number of the newest change that was sent and touches what is stored
  bool known = false;            // it had a row when it was read
  // While its repository is being fetched and taken in: what it was before. Not evicted meanwhile.
  struct Import {
    SyncState before = SyncState::kUntracked;
    bool durable = false;  // that it is in_progress is in the store
    bool dropped = false;  // more of its events were held than may, and are gone
  };
  std::optional<Import> import;

  std::list<Account*>::iterator place;  // in the table's order of use
};

// One thread.
class AccountTable {
 public:
  // `store`: null when nothing is kept (NDJSON output): then accounts stay in memory, and the oldest are forgotten beyond
  // `max_accounts`. `durable`: the number of the newest change that is; both outlive the table.
  AccountTable(StateStore* store, size_t max_accounts, const std::atomic<uint64_t>* durable)
      : store_(store), max_accounts_(max_accounts), durable_(durable) {}

  // In memory, or read from the store; made if it is nowhere. The pointer is good until the next Find.
  // `identity`: what the store keeps, when it had to be read; else null. Errors: those of StateStore.
  absl::StatusOr<Account*> Find(std::string_view did, identity::IdentityPtr* identity);
  // Only if it is in memory.
  Account* Peek(std::string_view did);

  size_t size() const { return accounts_.size(); }

 private:
  void EvictOne();

  StateStore* const store_;
  const size_t max_accounts_;
  const std::atomic<uint64_t>* const durable_;
  absl::flat_hash_map<std::string, std::unique_ptr<Account>> accounts_;
  std::list<Account*> by_use_;  // newest first
  StoredAccount scratch_;
};

}  // namespace penstock::sync
