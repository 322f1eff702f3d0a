// The part of a worker that lets whole repositories in (pipeline/import_port.h): says what state the account is in, holds its live
// events meanwhile, and makes the new state durable together with the last of the rows.

#include <utility>

#include "base/status.h"
#include "pipeline/worker.h"

namespace penstock::pipeline {

using indexer::ChangeSetPtr;
using sync::Account;
using sync::SyncState;

namespace {

// Why an account is not what it was, where no Reject says it.
constexpr std::string_view kInterrupted = "resync_interrupted";
constexpr std::string_view kInactive = "account_inactive";
constexpr std::string_view kPurged = "purged";

indexer::RepoRow StateRow(SyncState state, std::string_view reason = {}) {
  indexer::RepoRow row;
  row.sync_state = state;
  row.reason = reason;
  return row;
}

}  // namespace

void Worker::OnImportNote(Note* note) {
  const std::unique_ptr<ImportRequest> request = std::move(note->import);
  const absl::StatusOr<Account*> found = FindAccount(note->did);
  if (!found.ok()) {
    request->Reply({.status = found.status()});
    failed_.Update(found.status());
    return;
  }
  Account* const account = *found;
  using What = ImportRequest::What;
  if (request->what != What::kPrepare && request->what != What::kPurge && !account->import) {
    return request->Reply({.status = InternalError("no import of " + account->did + " was prepared")});
  }
  ImportRequest::Answer answer;
  switch (request->what) {
    case What::kPrepare:
      answer = PrepareImport(account);
      break;
    case What::kBegin:
      answer = BeginImport(account, *request);
      break;
    case What::kFinish:
      answer.status = FinishImport(account, request.get());
      break;
    case What::kAbandon:
      AbandonImport(account);
      break;
    case What::kStatus:
      SetAccountStatus(account, request.get());
      break;
    case What::kPurge:
      if (account->import) {
        answer.status = absl::AlreadyExistsError("it is being taken in");
      } else {
        PurgeRows(account, request->rows);
      }
      break;
  }
  request->Reply(std::move(answer));
}

ImportRequest::Answer Worker::PrepareImport(Account* account) {
  if (!durable_holding() || !full()) return {.status = FailedPreconditionError("repositories are taken in at level full, into a store")};
  if (account->import) return {.status = absl::AlreadyExistsError("it is being taken in already")};
  ImportRequest::Answer answer;
  answer.view.known = account->known || account->last_change > 0;
  answer.view.state = account->state;
  account->import = Account::Import{account->state.sync_state};
  if (options_.tracked != nullptr) options_.tracked->Expect(account->did);
  // A whole chain goes on; what has none waits for what comes.
  if (account->state.sync_state == SyncState::kUntracked || account->state.sync_state == SyncState::kDesynchronized) {
    account->state.sync_state = SyncState::kInProgress;
  }
  return answer;
}

ImportRequest::Answer Worker::BeginImport(Account* account, const ImportRequest& request) {
  ImportRequest::Answer answer;
  if (account->state.head) {
    const sync::Head& ours = *account->state.head;
    if (request.head.rev < ours.rev) {
      AbandonImport(account);
      return {.status = FailedPreconditionError("stale_export")};
    }
    if (request.head.rev == ours.rev && request.head.data != ours.data) {
      AbandonImport(account);
      return {.status = RejectError(Reject::kChainConflict, "rev " + ours.rev + " is held with another tree")};
    }
    answer.current = request.head.commit == ours.commit;
  }
  account->state.sync_state = SyncState::kInProgress;
  if (request.long_term && !account->import->durable) {
    account->import->durable = true;
    ChangeSetPtr change = NewControl();
    change->did = change->arena.Copy(account->did);
    change->repo = StateRow(account->state.sync_state);
    Emit(std::move(change), account);
  }
  answer.number = account->last_change;
  answer.durable = &durable_;
  return answer;
}

absl::Status Worker::FinishImport(Account* account, ImportRequest* request) {
  ChangeSetPtr change = std::move(request->last);
  change->did = change->arena.Copy(account->did);
  const bool dropped = account->import->dropped;
  if (!request->tracked && account->import->before == SyncState::kUntracked && !account->import->durable && !dropped) {
    account->state.sync_state = SyncState::kUntracked;
    change->records.clear();
  } else {
    account->state.head = request->head;
    account->state.sync_state = dropped ? SyncState::kDesynchronized : SyncState::kSynchronized;
    indexer::RepoRow row = StateRow(account->state.sync_state, dropped ? RejectName(Reject::kHeldOverflow) : std::string_view());
    row.has_head = true;
    row.rev = row.baseline_rev = change->arena.Copy(request->head.rev);
    row.data = change->arena.Copy(request->head.data.ToString());
    row.commit_cid = change->arena.Copy(request->head.commit.ToString());
    change->repo = row;
    // Whoever was looked up for this need not be looked up for its next commit.
    const identity::IdentityPtr identity = options_.resolver->Find(account->did, {});
    if (identity && !identity->fault && identity->asked_us != identity::kAlwaysCurrent) change->identity = identity;
  }
  options_.counters->Count("imported");
  Emit(std::move(change), account);
  EndImport(account);
  return absl::OkStatus();
}

void Worker::AbandonImport(Account* account) {
  const Account::Import import = *account->import;
  if (account->state.sync_state == SyncState::kInProgress) {
    if (import.durable || import.dropped) {
      ChangeSetPtr change = NewControl();
      Desynchronize(account, kInterrupted, change.get());
      Emit(std::move(change), account);
    } else {
      account->state.sync_state = import.before;
    }
  }
  EndImport(account);
}

void Worker::SetAccountStatus(Account* account, ImportRequest* request) {
  ChangeSetPtr change = request->last ? std::move(request->last) : NewControl();
  change->did = change->arena.Copy(account->did);
  const bool unknown = account->import->before == SyncState::kUntracked && account->state.sync_state == SyncState::kInProgress;
  const bool interrupted = account->import->durable || account->import->dropped;
  if (account->state.sync_state == SyncState::kInProgress) {
    account->state.sync_state = interrupted ? SyncState::kDesynchronized : account->import->before;
  }
  if (request->status.active != account->state.active || request->status.text != account->state.status) {
    TakeStatus(account, request->status, change.get());
  }
  // So that it is fetched when it comes back, though nothing is known of it now.
  if (unknown && !request->status.active) account->state.sync_state = SyncState::kDesynchronized;
  if (interrupted || (unknown && !request->status.active)) {
    change->repo = StateRow(account->state.sync_state, request->status.active ? kInterrupted : kInactive);
  }
  Emit(std::move(change), account);
  EndImport(account);
}

void Worker::PurgeRows(Account* account, uint64_t rows) {
  ChangeSetPtr change = NewControl();
  change->did = change->arena.Copy(account->did);
  change->purge_rows = rows;
  account->state.head.reset();
  account->state.sync_state = SyncState::kDesynchronized;
  change->repo = StateRow(SyncState::kDesynchronized, kPurged);
  change->repo->clear_head = true;
  Emit(std::move(change), account);
}

void Worker::EndImport(Account* account) {
  account->import.reset();
  const bool waits = sync::IsHeldState(account->state.sync_state);
  if (account->held && !waits) failed_.Update(Drain(account));
  if (options_.tracked != nullptr) {
    const bool followed = account->held || account->state.sync_state != SyncState::kUntracked;
    options_.tracked->Settle(account->did, followed);
  }
}

}  // namespace penstock::pipeline
