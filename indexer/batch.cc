#include "indexer/batch.h"

#include <algorithm>
#include <tuple>

#include "absl/hash/hash.h"
#include "base/status.h"
#include "indexer/row_builder.h"

namespace penstock::indexer {
namespace {

// The order that the guard keeps: class first, then rev, then what is proven (docs/architecture.md 4). Ties
// go to whoever was first.
bool Supersedes(const ChangeSet& a, const ChangeSet& b) {
  const bool strong_a = IsStrong(a.verification), strong_b = IsStrong(b.verification);
  if (strong_a != strong_b) return strong_a;
  if (a.rev != b.rev) return a.rev > b.rev;
  return IsProven(a.verification) && !IsProven(b.verification);
}

}  // namespace

bool IsRefused(const absl::Status& status) { return RejectOf(status) == Reject::kStoreRefused; }

size_t ViewHash::operator()(std::string_view text) const { return absl::HashOf(ToAbsl(text)); }

size_t BatchPlan::RecordKeyHash::operator()(const RecordKey& key) const {
  return absl::HashOf(ToAbsl(key.did), ToAbsl(key.collection), ToAbsl(key.rkey));
}

size_t BatchPlan::SourceKeyHash::operator()(const SourceKey& key) const {
  return absl::HashOf(key.account, ToAbsl(key.source));
}

size_t BatchPlan::LetterKeyHash::operator()(const LetterKey& key) const {
  return absl::HashOf(ToAbsl(key.source), key.seq, key.op);
}

size_t BatchPlan::HeldKeyHash::operator()(const HeldKey& key) const {
  return absl::HashOf(ToAbsl(key.did), ToAbsl(key.source), key.seq);
}

void BatchPlan::Clear() {
  records_.clear();
  record_index_.clear();
  merged_ = 0;
  dids_.clear();
  did_set_.clear();
  dead_letters_.clear();
  letter_keys_.clear();
  others_.clear();
  repos_.clear();
  imports_.clear();
  repo_index_.clear();
  held_.clear();
  held_keys_.clear();
  held_accounts_.clear();
  held_before_.clear();
  held_after_.clear();
  held_done_.clear();
  identities_.clear();
  identity_index_.clear();
  account_events_.clear();
  accounts_.clear();
  account_index_.clear();
  account_sources_.clear();
  source_index_.clear();
}

void BatchPlan::Build(std::span<const ChangeSetPtr> changes) {
  Clear();
  size_t rows = 0;
  for (const ChangeSetPtr& change : changes) rows += change->records.size();
  record_index_.reserve(rows);
  for (const ChangeSetPtr& change : changes) {
    AddRecords(*change);
    AddRest(*change);
  }
  Finish();
}

void BatchPlan::BuildWithoutRecords(const ChangeSet& change) {
  Clear();
  AddRest(change);
  Finish();
}

void BatchPlan::Finish() {
  // In the order of the key's index: neighbours in the batch are then neighbours in the tree, and most of a
  // descent is still in the cache. Which row comes first does not matter, since each key is there once.
  std::sort(records_.begin(), records_.end(), [](const PlannedRecord& a, const PlannedRecord& b) {
    return std::tie(a.change->did, a.row->collection, a.row->rkey) <
           std::tie(b.change->did, b.row->collection, b.row->rkey);
  });
  if (!repos_.empty()) {
    std::erase_if(dids_, [this](std::string_view did) { return repo_index_.contains(did); });
  }
  for (const PlannedHeld& held : held_) {
    if (held.row != nullptr) (held.before_done ? held_before_ : held_after_).push_back(held.row);
  }
}

void BatchPlan::AddRecords(const ChangeSet& change) {
  if (change.records.empty()) return;
  if (did_set_.insert(change.did).second) dids_.push_back(change.did);
  for (const RecordRow& row : change.records) {
    const auto [at, added] =
        record_index_.try_emplace(RecordKey{change.did, row.collection, row.rkey}, records_.size());
    if (added) {
      records_.push_back({&change, &row});
      continue;
    }
    ++merged_;
    PlannedRecord& best = records_[at->second];
    if (Supersedes(change, *best.change)) best = {&change, &row};
  }
}

void BatchPlan::AddRest(const ChangeSet& change) {
  for (const DeadLetterRow& row : change.dead_letters) {
    const PlannedDeadLetter letter(change, row);
    if (letter_keys_.insert({letter.source, letter.seq, row.op}).second) dead_letters_.push_back(letter);
  }
  if (!change.gaps.empty() || !change.quarantine.empty()) others_.push_back({&change, nullptr});
  // The row first: then there is one for the status to be remembered in.
  if (change.repo.has_value()) AddRepo(change.did, *change.repo);
  if (change.account.has_value()) AddAccountEvent(change);
  if (change.import.has_value()) imports_.push_back(&change);
  // What is done first, so that nothing is lost that the same change set holds anew.
  if (change.held_done.has_value()) AddHeldDone(*change.held_done);
  for (const HeldRow& row : change.held) {
    const std::optional<HeldDone>& done = change.held_done;
    if (!done || row.did != done->did || row.ordinal > done->ordinal) AddHeld(row);
  }
  // In this order: what was learned after a purge is not what was purged.
  if (!change.identity_purged.empty()) AddIdentity(change.identity_purged, nullptr);
  if (change.identity != nullptr) AddIdentity(change.identity->did, change.identity.get());
}

void BatchPlan::AddRepo(std::string_view did, const RepoRow& row) {
  const auto [at, added] = repo_index_.try_emplace(did, repos_.size());
  if (added) {
    repos_.push_back({did, row});
    return;
  }
  RepoRow& planned = repos_[at->second].row;
  planned.sync_state = row.sync_state;
  planned.reason = row.reason;
  if (row.clear_head) {
    planned.clear_head = true;
    planned.has_head = false;
    planned.baseline_rev = {};
  }
  if (row.has_head) {
    planned.has_head = true;
    planned.rev = row.rev;
    planned.data = row.data;
    planned.commit_cid = row.commit_cid;
  }
  if (!row.baseline_rev.empty()) planned.baseline_rev = row.baseline_rev;
}

void BatchPlan::AddHeld(const HeldRow& row) {
  if (!held_keys_.try_emplace(HeldKey{row.did, row.source, row.seq}, held_.size()).second) return;
  held_accounts_[row.did].rows.push_back(held_.size());
  held_.push_back({&row});
}

void BatchPlan::AddHeldDone(const HeldDone& done) {
  HeldAccount& account = held_accounts_[done.did];
  std::erase_if(account.rows, [&](size_t index) {
    PlannedHeld& held = held_[index];
    held.before_done = true;
    if (held.row->ordinal > done.ordinal) return false;
    held_keys_.erase(HeldKey{held.row->did, held.row->source, held.row->seq});
    held.row = nullptr;
    return true;
  });
  if (!account.done) {
    account.done = held_done_.size();
    held_done_.push_back(done);
  } else {
    int64_t& ordinal = held_done_[*account.done].ordinal;
    ordinal = std::max(ordinal, done.ordinal);
  }
}

void BatchPlan::AddIdentity(std::string_view did, const identity::Identity* identity) {
  const auto [at, added] = identity_index_.try_emplace(did, identities_.size());
  if (added) identities_.push_back({.did = did});
  PlannedIdentity& planned = identities_[at->second];
  planned.purged = identity == nullptr;
  if (identity != nullptr) planned.identity = identity;
}

void BatchPlan::AddAccountEvent(const ChangeSet& change) {
  const auto [account, new_account] = account_index_.try_emplace(change.did, accounts_.size());
  if (new_account) accounts_.push_back({.did = change.did});
  const auto [source, new_source] =
      source_index_.try_emplace(SourceKey{account->second, change.source}, account_sources_.size());
  if (new_source) account_sources_.push_back({.account = account->second, .source = change.source});
  const bool row_before = did_set_.contains(change.did) || repo_index_.contains(change.did);
  account_events_.push_back({&change, source->second, row_before});
}

bool BatchPlan::FoldAccounts() {
  bool changed = false;
  for (const AccountEvent& event : account_events_) {
    const ChangeSet& change = *event.change;
    AccountSource& source = account_sources_[event.source];
    AccountState& account = accounts_[source.account];
    // Most accounts of the network are none of ours: that they are active needs no row.
    if (change.account->active && !account.known && !event.row_before) continue;
    if (change.seq <= source.account_seq) continue;  // replayed, or overtaken
    source.account_seq = change.seq;
    account.active = change.account->active;
    account.status = change.account->status;
    account.known = account.changed = source.changed = changed = true;
  }
  return changed;
}

void KnownRepos::Add(std::string_view did) {
  if (dids_.size() >= kMaxAccounts) dids_.clear();
  dids_.emplace(did);
}

absl::Status BatchApplier::Apply(const Batch& batch, int64_t now_us, ApplyResult* result) {
  now_us_ = now_us;
  result_ = {};
  RETURN_IF_ERROR(tables_->Begin(now_us));
  absl::Status status = Write(batch.changes);
  const bool isolate = IsRefused(status);
  if (isolate) {
    tables_->Rollback();
    result_ = {};
    RETURN_IF_ERROR(tables_->Begin(now_us));
    status = WriteIsolating(batch.changes);
  }
  for (const SourceCursor& cursor : batch.cursors) {
    if (status.ok()) status = tables_->MoveCursor(cursor, now_us);
  }
  if (status.ok()) status = tables_->Commit();
  if (!status.ok()) {
    tables_->Rollback();
    return IsRefused(status) ? InternalError(Message(status)) : status;
  }
  if (!isolate) {
    for (std::string_view did : unknown_) known_repos_.Add(did);
    for (const PlannedRepo& repo : plan_.repos()) known_repos_.Add(repo.did);
  }
  if (counters_ != nullptr && result_.rows_refused > 0)
    counters_->Count(Reject::kStoreRefused, result_.rows_refused);
  *result = result_;
  return absl::OkStatus();
}

absl::Status BatchApplier::Write(std::span<const ChangeSetPtr> changes) {
  // What is purged is gone before the change set that says so, and after those in front of it.
  while (!changes.empty()) {
    size_t count = 1;
    while (count < changes.size() && changes[count]->purge_rows == 0) ++count;
    RETURN_IF_ERROR(WriteFromPurge(changes.first(count)));
    changes = changes.subspan(count);
  }
  return absl::OkStatus();
}

absl::Status BatchApplier::WriteFromPurge(std::span<const ChangeSetPtr> changes) {
  const ChangeSet& first = *changes.front();
  if (first.purge_rows > 0) RETURN_IF_ERROR(tables_->PurgeAccount(first.did, first.purge_rows));
  plan_.Build(changes);
  size_t written = 0;
  RETURN_IF_ERROR(tables_->UpsertRecords(plan_.records(), now_us_, &written));
  result_.rows_written += written;
  result_.rows_stale += plan_.records().size() - written;
  result_.rows_merged += plan_.merged();
  return WriteRest();
}

absl::Status BatchApplier::WriteRest() {
  // Before the rows of `repo` are made: an #account that came before its account's first row met none.
  if (!plan_.accounts().empty())
    RETURN_IF_ERROR(tables_->LoadAccounts(plan_.accounts(), plan_.account_sources()));
  RETURN_IF_ERROR(WriteRepos());
  RETURN_IF_ERROR(WriteAccountEvents());
  RETURN_IF_ERROR(WriteImports());
  RETURN_IF_ERROR(WriteHeld());
  if (!plan_.identities().empty()) RETURN_IF_ERROR(tables_->StoreIdentities(plan_.identities()));
  return WriteNotes();
}

absl::Status BatchApplier::WriteRepos() {
  RETURN_IF_ERROR(EnsureRepos(plan_.dids()));
  return plan_.repos().empty() ? absl::OkStatus() : tables_->StoreRepos(plan_.repos(), now_us_);
}

absl::Status BatchApplier::WriteAccountEvents() {
  if (plan_.accounts().empty() || !plan_.FoldAccounts()) return absl::OkStatus();
  return tables_->StoreAccounts(plan_.accounts(), plan_.account_sources(), now_us_);
}

absl::Status BatchApplier::WriteImports() {
  return plan_.imports().empty() ? absl::OkStatus() : tables_->StoreImports(plan_.imports(), now_us_);
}

absl::Status BatchApplier::WriteHeld() {
  if (!plan_.held_before().empty()) RETURN_IF_ERROR(tables_->InsertHeld(plan_.held_before()));
  if (!plan_.held_done().empty()) RETURN_IF_ERROR(tables_->DeleteHeld(plan_.held_done()));
  return plan_.held_after().empty() ? absl::OkStatus() : tables_->InsertHeld(plan_.held_after());
}

absl::Status BatchApplier::WriteNotes() {
  if (!plan_.dead_letters().empty()) {
    RETURN_IF_ERROR(tables_->WriteDeadLetters(plan_.dead_letters(), /*replace=*/false, now_us_));
  }
  for (const PlannedRecord& other : plan_.others()) {
    for (const GapRow& gap : other.change->gaps)
      RETURN_IF_ERROR(tables_->WriteGap(*other.change, gap, now_us_));
    for (const QuarantineRow& row : other.change->quarantine) {
      RETURN_IF_ERROR(tables_->WriteQuarantine(*other.change, row, now_us_));
    }
  }
  return absl::OkStatus();
}

absl::Status BatchApplier::EnsureRepos(std::span<const std::string_view> dids) {
  unknown_.clear();
  for (std::string_view did : dids) {
    if (!known_repos_.Contains(did)) unknown_.push_back(did);
  }
  return unknown_.empty() ? absl::OkStatus() : tables_->EnsureRepos(unknown_, now_us_);
}

absl::Status BatchApplier::WriteIsolating(std::span<const ChangeSetPtr> changes) {
  if (changes.empty()) return absl::OkStatus();
  const ApplyResult before = result_;
  RETURN_IF_ERROR(tables_->Savepoint());
  absl::Status status = Write(changes);
  if (status.ok()) return tables_->ReleaseSavepoint();
  if (!IsRefused(status)) return status;
  result_ = before;
  RETURN_IF_ERROR(tables_->RollbackToSavepoint());
  if (changes.size() == 1) return WriteRowByRow(*changes.front());
  const size_t half = changes.size() / 2;
  RETURN_IF_ERROR(WriteIsolating(changes.first(half)));
  return WriteIsolating(changes.subspan(half));
}

template <typename Part>
absl::Status BatchApplier::Try(const Part& part, absl::Status* refusal) {
  *refusal = absl::OkStatus();
  RETURN_IF_ERROR(tables_->Savepoint());
  absl::Status status = part();
  if (status.ok()) return tables_->ReleaseSavepoint();
  if (!IsRefused(status)) return status;
  *refusal = std::move(status);
  return tables_->RollbackToSavepoint();
}

absl::Status BatchApplier::WriteRowByRow(const ChangeSet& change) {
  absl::Status refusal;
  if (change.purge_rows > 0) {
    RETURN_IF_ERROR(Try([&] { return tables_->PurgeAccount(change.did, change.purge_rows); }, &refusal));
    if (!refusal.ok()) RETURN_IF_ERROR(RefusePart(change, "the removal of an account's rows", refusal));
  }
  for (const RecordRow& row : change.records) {
    const PlannedRecord one[] = {{&change, &row}};
    const std::string_view did[] = {change.did};
    size_t written = 0;
    const auto write = [&]() -> absl::Status {
      RETURN_IF_ERROR(tables_->UpsertRecords(one, now_us_, &written));
      return EnsureRepos(did);
    };
    RETURN_IF_ERROR(Try(write, &refusal));
    if (!refusal.ok()) {
      RETURN_IF_ERROR(RefuseRow(change, row, refusal));
      continue;
    }
    result_.rows_written += written;
    result_.rows_stale += 1 - written;
  }
  plan_.BuildWithoutRecords(change);
  RETURN_IF_ERROR(Try([this] { return WriteRest(); }, &refusal));
  return refusal.ok() ? absl::OkStatus() : WritePartByPart(change);
}

// Each of the others must not suffer for the one that the database refuses.
absl::Status BatchApplier::WritePartByPart(const ChangeSet& change) {
  plan_.BuildWithoutRecords(change);
  absl::Status refusal;
  const auto part = [&](std::string_view what, const auto& write) -> absl::Status {
    RETURN_IF_ERROR(Try(write, &refusal));
    return refusal.ok() ? absl::OkStatus() : RefusePart(change, what, refusal);
  };
  if (!plan_.accounts().empty())
    RETURN_IF_ERROR(tables_->LoadAccounts(plan_.accounts(), plan_.account_sources()));
  RETURN_IF_ERROR(part("the account's chain state", [&] { return WriteRepos(); }));
  RETURN_IF_ERROR(part("the account's status", [&] { return WriteAccountEvents(); }));
  RETURN_IF_ERROR(part("what a whole repository ends and covers", [&] { return WriteImports(); }));
  if (!plan_.held_done().empty()) RETURN_IF_ERROR(tables_->DeleteHeld(plan_.held_done()));
  for (const HeldRow* row : plan_.held_after()) {
    RETURN_IF_ERROR(Try([&] { return tables_->InsertHeld(std::span(&row, 1)); }, &refusal));
    if (!refusal.ok()) RETURN_IF_ERROR(RefuseHeld(*row, refusal));
  }
  for (const PlannedIdentity& identity : plan_.identities()) {
    RETURN_IF_ERROR(part("an identity", [&] { return tables_->StoreIdentities(std::span(&identity, 1)); }));
  }
  // Our own notes are the last line of defence, so a database that does not take them stops us.
  for (const DeadLetterRow& row : change.dead_letters)
    RETURN_IF_ERROR(WriteDeadLetter({change, row}, /*replace=*/false));
  for (const GapRow& gap : change.gaps) RETURN_IF_ERROR(tables_->WriteGap(change, gap, now_us_));
  for (const QuarantineRow& row : change.quarantine)
    RETURN_IF_ERROR(tables_->WriteQuarantine(change, row, now_us_));
  return absl::OkStatus();
}

absl::Status BatchApplier::RefuseRow(const ChangeSet& change, const RecordRow& row, const absl::Status& why) {
  // With these and the record's bytes the row can be made again.
  std::string detail(Message(why));
  detail.append("; rev ").append(change.rev);
  if (!row.cid.empty()) detail.append(", cid ").append(row.cid);
  DeadLetterRow letter;
  letter.op = row.op_index;
  letter.collection = row.collection;
  letter.rkey = row.rkey;
  letter.frame = row.cbor;
  return Refuse({change, letter}, detail);
}

absl::Status BatchApplier::RefusePart(const ChangeSet& change, std::string_view what,
                                      const absl::Status& why) {
  std::string detail(what);
  return Refuse({change, {}}, detail.append(": ").append(Message(why)));
}

absl::Status BatchApplier::RefuseHeld(const HeldRow& row, const absl::Status& why) {
  std::string detail = "an event that was to be held (";
  detail.append(row.reason).append("): ").append(Message(why));
  DeadLetterRow letter;
  letter.frame = row.frame.first(std::min(row.frame.size(), kMaxDeadLetterFrame));
  return Refuse({row, letter}, detail);
}

absl::Status BatchApplier::Refuse(PlannedDeadLetter letter, std::string_view detail) {
  ++result_.rows_refused;
  letter.row.reject = Reject::kStoreRefused;
  letter.row.detail = detail;
  return WriteDeadLetter(letter, /*replace=*/true);
}

absl::Status BatchApplier::WriteDeadLetter(const PlannedDeadLetter& letter, bool replace) {
  absl::Status refusal;
  RETURN_IF_ERROR(
      Try([&] { return tables_->WriteDeadLetters(std::span(&letter, 1), replace, now_us_); }, &refusal));
  if (refusal.ok()) return refusal;
  // Perhaps it is the bytes or the state that are too much for the database: the cause is worth keeping
  // without them.
  PlannedDeadLetter bare = letter;
  bare.row.frame = {};
  bare.row.state_met = {};
  return tables_->WriteDeadLetters(std::span(&bare, 1), replace, now_us_);
}

}  // namespace penstock::indexer
