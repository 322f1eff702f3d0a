#include "indexer/batch.h"

#include <algorithm>
#include <tuple>

#include "absl/hash/hash.h"
#include "base/status.h"

namespace penstock::indexer {
namespace {

// The order that the guard keeps: class first, then rev (docs/architecture.md 4). Ties go to whoever was
// first.
bool Supersedes(const ChangeSet& a, const ChangeSet& b) {
  const bool strong_a = IsStrong(a.verification), strong_b = IsStrong(b.verification);
  if (strong_a != strong_b) return strong_a;
  return a.rev > b.rev;
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

void BatchPlan::Clear() {
  records_.clear();
  record_index_.clear();
  merged_ = 0;
  dids_.clear();
  did_set_.clear();
  dead_letters_.clear();
  letter_keys_.clear();
  others_.clear();
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
  // In the order of the key's index: neighbours in the batch are then neighbours in the tree, and most of a
  // descent is still in the cache. Which row comes first does not matter, since each key is there once.
  std::sort(records_.begin(), records_.end(), [](const PlannedRecord& a, const PlannedRecord& b) {
    return std::tie(a.change->did, a.row->collection, a.row->rkey) <
           std::tie(b.change->did, b.row->collection, b.row->rkey);
  });
}

void BatchPlan::BuildWithoutRecords(const ChangeSet& change) {
  Clear();
  AddRest(change);
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
    if (letter_keys_.insert({change.source, change.seq, row.op}).second)
      dead_letters_.push_back({&change, row});
  }
  if (!change.gaps.empty() || !change.quarantine.empty()) others_.push_back({&change, nullptr});
  if (!change.account.has_value()) return;
  const auto [account, new_account] = account_index_.try_emplace(change.did, accounts_.size());
  if (new_account) accounts_.push_back({.did = change.did});
  const auto [source, new_source] =
      source_index_.try_emplace(SourceKey{account->second, change.source}, account_sources_.size());
  if (new_source) account_sources_.push_back({.account = account->second, .source = change.source});
  account_events_.push_back({&change, source->second, did_set_.contains(change.did)});
}

bool BatchPlan::FoldAccounts() {
  bool changed = false;
  for (const AccountEvent& event : account_events_) {
    const ChangeSet& change = *event.change;
    AccountSource& source = account_sources_[event.source];
    AccountState& account = accounts_[source.account];
    // Most accounts of the network are none of ours: that they are active needs no row.
    if (change.account->active && !account.known && !event.records_before) continue;
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
  }
  if (counters_ != nullptr && result_.rows_refused > 0)
    counters_->Count(Reject::kStoreRefused, result_.rows_refused);
  *result = result_;
  return absl::OkStatus();
}

absl::Status BatchApplier::Write(std::span<const ChangeSetPtr> changes) {
  plan_.Build(changes);
  size_t written = 0;
  RETURN_IF_ERROR(tables_->UpsertRecords(plan_.records(), now_us_, &written));
  result_.rows_written += written;
  result_.rows_stale += plan_.records().size() - written;
  result_.rows_merged += plan_.merged();
  return WriteRest();
}

absl::Status BatchApplier::WriteRest() {
  // Before the rows of `repo` are made: an #account that came before its account's first record met no row.
  const bool accounts = !plan_.accounts().empty();
  if (accounts) RETURN_IF_ERROR(tables_->LoadAccounts(plan_.accounts(), plan_.account_sources()));
  RETURN_IF_ERROR(EnsureRepos(plan_.dids()));
  if (accounts && plan_.FoldAccounts()) {
    RETURN_IF_ERROR(tables_->StoreAccounts(plan_.accounts(), plan_.account_sources(), now_us_));
  }
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

absl::Status BatchApplier::WriteRowByRow(const ChangeSet& change) {
  for (const RecordRow& row : change.records) {
    const PlannedRecord one[] = {{&change, &row}};
    const std::string_view did[] = {change.did};
    size_t written = 0;
    RETURN_IF_ERROR(tables_->Savepoint());
    absl::Status status = tables_->UpsertRecords(one, now_us_, &written);
    if (status.ok()) status = EnsureRepos(did);
    if (status.ok()) {
      RETURN_IF_ERROR(tables_->ReleaseSavepoint());
      result_.rows_written += written;
      result_.rows_stale += 1 - written;
      continue;
    }
    if (!IsRefused(status)) return status;
    RETURN_IF_ERROR(tables_->RollbackToSavepoint());
    RETURN_IF_ERROR(Refuse(change, &row, status));
  }
  RETURN_IF_ERROR(tables_->Savepoint());
  plan_.BuildWithoutRecords(change);
  absl::Status status = WriteRest();
  if (status.ok()) return tables_->ReleaseSavepoint();
  if (!IsRefused(status)) return status;
  RETURN_IF_ERROR(tables_->RollbackToSavepoint());
  // What is left is an account's status or our own notes. The notes are the last line of defence, so a
  // database that does not take them stops us; the status becomes a dead letter.
  for (const DeadLetterRow& row : change.dead_letters)
    RETURN_IF_ERROR(WriteDeadLetter({&change, row}, /*replace=*/false));
  for (const GapRow& gap : change.gaps) RETURN_IF_ERROR(tables_->WriteGap(change, gap, now_us_));
  for (const QuarantineRow& row : change.quarantine)
    RETURN_IF_ERROR(tables_->WriteQuarantine(change, row, now_us_));
  return change.account.has_value() ? Refuse(change, nullptr, status) : absl::OkStatus();
}

absl::Status BatchApplier::Refuse(const ChangeSet& change, const RecordRow* row, const absl::Status& why) {
  ++result_.rows_refused;
  DeadLetterRow letter;
  letter.reject = Reject::kStoreRefused;
  std::string detail(Message(why));
  if (row != nullptr) {
    // With these and the record's bytes the row can be made again.
    detail.append("; rev ").append(change.rev);
    if (!row->cid.empty()) detail.append(", cid ").append(row->cid);
    letter.op = row->op_index;
    letter.collection = row->collection;
    letter.rkey = row->rkey;
    letter.frame = row->cbor;
  }
  letter.detail = detail;
  return WriteDeadLetter({&change, letter}, /*replace=*/true);
}

absl::Status BatchApplier::WriteDeadLetter(const PlannedDeadLetter& letter, bool replace) {
  RETURN_IF_ERROR(tables_->Savepoint());
  absl::Status status = tables_->WriteDeadLetters(std::span(&letter, 1), replace, now_us_);
  if (status.ok()) return tables_->ReleaseSavepoint();
  if (!IsRefused(status) || letter.row.frame.empty()) return status;
  // Perhaps it is the bytes that are too much for the database: the cause is worth keeping without them.
  RETURN_IF_ERROR(tables_->RollbackToSavepoint());
  PlannedDeadLetter bare = letter;
  bare.row.frame = {};
  return tables_->WriteDeadLetters(std::span(&bare, 1), replace, now_us_);
}

}  // namespace penstock::indexer
