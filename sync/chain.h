#pragma once

// The chain of an account's commits: does what was just verified continue what we hold? Steps 3 and 12 of protocol 3.2 and
// steps 2-5 of 3.4, as docs/architecture.md 4 decides where they leave room. Pure.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/reject.h"
#include "cbor/cid.h"
#include "repo/verification.h"
#include "sync/account_state.h"
#include "sync/policies.h"

namespace penstock::sync {

// What a commit, verified up to its inversion, says about its place.
struct ChainClaim {
  std::string_view rev;
  std::string_view since;   // empty for null
  cbor::CidView prev_data;  // empty for null
  cbor::CidView data;
  bool whole = false;       // the commit is the whole repository (repo::VerifiedCommit)
};

enum class Course : uint8_t {
  kApply,   // its changes are written, with `level`
  kIgnore,  // stale or without meaning for us: nothing changes
  kDesync,  // verified, but something is missing in between: nothing is applied, the account waits for a resync
};

struct Step {
  Course course = Course::kIgnore;
  repo::Verification level = repo::Verification::kCommit;
  SyncState next = SyncState::kUntracked;  // the account's state afterwards
  std::optional<Reject> why;               // of kDesync: kChainBroken, kChainConflict
  std::optional<Allow> allowed;            // the relaxation that was needed
};

// `rev` is not newer than what we hold. Before all costly work.
bool IsStale(const AccountState& state, std::string_view rev);

// For a commit that is not stale, of an account that is not in a held state.
Step FollowCommit(const AccountState& state, const ChainClaim& claim, const Policies& policies);

// For a verified #sync: "this is the current state". Without prior state it anchors the account (partial): the signature proves
// the state, only its contents are unknown to us.
Step FollowSync(const AccountState& state, std::string_view rev, const cbor::CidView& data);

}  // namespace penstock::sync
