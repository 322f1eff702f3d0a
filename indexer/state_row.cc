#include "indexer/state_row.h"

#include <string>
#include <utility>

#include "base/status.h"

namespace penstock::indexer {
namespace {

absl::StatusOr<cbor::Cid> StoredCid(std::string_view text) {
  absl::StatusOr<cbor::Cid> cid = cbor::Cid::FromString(text);
  if (!cid.ok()) return DataLossError("repo: not a CID: " + std::string(text));
  return cid;
}

std::optional<identity::HandleState> HandleStateFromName(std::string_view name) {
  using enum identity::HandleState;
  for (const identity::HandleState state : {kUnchecked, kValid, kInvalid}) {
    if (identity::HandleStateName(state) == name) return state;
  }
  return std::nullopt;
}

}  // namespace

absl::Status ReadRepo(const RepoCells& cells, sync::AccountState* state) {
  const std::optional<sync::SyncState> sync_state = sync::SyncStateFromName(cells.sync_state);
  if (!sync_state) return DataLossError("repo: no such sync_state: " + std::string(cells.sync_state));
  state->sync_state = *sync_state;
  state->active = cells.active;
  state->status = cells.status;
  state->head.reset();
  if (cells.rev.empty()) return absl::OkStatus();
  sync::Head head;
  head.rev = cells.rev;
  ASSIGN_OR_RETURN(head.data, StoredCid(cells.data));
  ASSIGN_OR_RETURN(head.commit, StoredCid(cells.commit_cid));
  state->head = std::move(head);
  return absl::OkStatus();
}

absl::Status ReadDigest(const DigestCells& cells, RecordDigest* digest) {
  const std::optional<Verification> verification = repo::VerificationFromName(cells.verification);
  if (!verification) return DataLossError("record: no such verification: " + std::string(cells.verification));
  *digest = {.rkey = cells.rkey,
             .cid = cells.cid,
             .rev = cells.rev,
             .verification = *verification,
             .deleted = cells.deleted};
  return absl::OkStatus();
}

identity::IdentityPtr ReadIdentity(std::string_view did, const IdentityCells& cells) {
  auto identity = std::make_shared<identity::Identity>();
  identity->did = did;
  identity->pds = cells.pds;
  identity->handle = cells.handle;
  identity->handle_state =
      HandleStateFromName(cells.handle_state).value_or(identity::HandleState::kUnchecked);
  identity->document = cells.document;
  identity->fetched_us = cells.fetched_at;
  if (!cells.fault.empty()) {
    identity->fault = RejectFromName(cells.fault);
    return identity->fault ? identity : nullptr;  // a later program's word
  }
  absl::StatusOr<crypto::PublicKey> key = crypto::PublicKey::FromDidKey(cells.did_key);
  if (!key.ok()) return nullptr;
  identity->key = *std::move(key);
  return identity;
}

}  // namespace penstock::indexer
