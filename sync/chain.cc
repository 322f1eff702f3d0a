#include "sync/chain.h"

namespace penstock::sync {

using repo::Verification;

bool IsStale(const AccountState& state, std::string_view rev) { return state.head && rev <= state.head->rev; }

Step FollowCommit(const AccountState& state, const ChainClaim& claim, const Policies& policies) {
  if (!state.head) {
    if (claim.whole) return {Course::kApply, Verification::kFull, SyncState::kSynchronized, {}, {}};
    // Anchor: the signature and the inversion prove the ops; only the history before them is unknown.
    return {Course::kApply, Verification::kCommit, SyncState::kPartial, {}, {}};
  }
  const bool same_data = state.head->data == claim.prev_data;
  const bool same_rev = claim.since == state.head->rev;
  if (same_data && same_rev) return {Course::kApply, Verification::kFull, state.sync_state, {}, {}};
  if (same_data && !claim.since.empty() && policies.Allows(Allow::kSinceMismatch)) {
    return {Course::kApply, Verification::kSignature, state.sync_state, {}, Allow::kSinceMismatch};
  }
  return {Course::kDesync, Verification::kCommit, SyncState::kDesynchronized, Reject::kChainBroken, {}};
}

Step FollowSync(const AccountState& state, std::string_view rev, const cbor::CidView& data) {
  if (!state.head) return {Course::kApply, Verification::kCommit, SyncState::kPartial, {}, {}};
  const bool same_data = state.head->data == data;
  if (rev < state.head->rev) return {Course::kIgnore, Verification::kCommit, state.sync_state, {}, {}};
  if (rev == state.head->rev) {
    if (same_data) return {Course::kIgnore, Verification::kFull, state.sync_state, {}, {}};
    return {Course::kDesync, Verification::kCommit, SyncState::kDesynchronized, Reject::kChainConflict, {}};
  }
  // The same contents under a newer rev: stored, or the next commit's `since` would not fit.
  if (same_data) return {Course::kApply, Verification::kFull, state.sync_state, {}, {}};
  return {Course::kDesync, Verification::kCommit, SyncState::kDesynchronized, Reject::kChainBroken, {}};
}

}  // namespace penstock::sync
