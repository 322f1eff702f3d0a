#pragma once

// What is kept per account so that its next event can be judged (protocol 3.1; docs/architecture.md 4): plain values, the same in
// memory and in the table `repo`.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "cbor/cid.h"

namespace penstock::sync {

enum class SyncState : uint8_t {
  kUntracked,       // no chain is kept: SQL NULL
  kPartial,         // anchored in mid-life: the chain is whole from there on, what is older has to be fetched
  kSynchronized,
  kDesynchronized,  // the chain broke: its events are held until a resync
  kInProgress,      // a resync is at work
};
std::string_view SyncStateName(SyncState state);  // "partial", …; empty for kUntracked
std::optional<SyncState> SyncStateFromName(std::string_view name);
// Its events are held and not judged.
inline bool IsHeldState(SyncState s) { return s == SyncState::kDesynchronized || s == SyncState::kInProgress; }

// The newest commit that we verified.
struct Head {
  std::string rev;
  cbor::Cid data;
  cbor::Cid commit;
};

struct AccountState {
  SyncState sync_state = SyncState::kUntracked;
  std::optional<Head> head;
  // The status that decides on visibility, as the last #account said (active accounts have none, or one that only informs).
  bool active = true;
  std::string status;
};

}  // namespace penstock::sync
