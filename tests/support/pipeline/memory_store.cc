#include "tests/support/pipeline/memory_store.h"

#include <utility>

namespace penstock::test {

using indexer::ChangeSet;

std::vector<std::string> MemoryTables::Visible() const {
  std::vector<std::string> rows;
  for (const auto& [key, record] : records) {
    const auto& [did, collection, rkey] = key;
    const auto repo = repos.find(did);
    if (record.deleted || (repo != repos.end() && !repo->second.state.active)) continue;
    rows.push_back(did + "/" + collection + "/" + rkey + " " +
                   std::string(repo::VerificationName(record.verification)));
  }
  return rows;
}

std::vector<Reject> MemoryTables::Rejects() const {
  std::vector<Reject> rejects;
  for (const MemoryDeadLetter& letter : dead_letters) rejects.push_back(letter.reject);
  return rejects;
}

std::vector<std::string> MemoryTables::Facts() const {
  std::vector<std::string> facts;
  for (const auto& [key, record] : records) {
    const auto& [did, collection, rkey] = key;
    facts.push_back("record " + did + "/" + collection + "/" + rkey + " " + record.cid + " " + record.rev +
                    " " + record.commit_cid + " " + std::string(repo::VerificationName(record.verification)) +
                    " " + record.allowed + (record.deleted ? " deleted" : ""));
  }
  for (const auto& [did, repo] : repos) {
    const sync::AccountState& state = repo.state;
    std::string fact =
        "repo " + did + " " + std::string(sync::SyncStateName(state.sync_state)) + " " + repo.reason;
    if (state.head)
      fact += " " + state.head->rev + " " + state.head->data.ToString() + " " + state.head->commit.ToString();
    facts.push_back(fact + (state.active ? " active " : " inactive ") + state.status);
  }
  for (const auto& [did, events] : held) {
    for (const auto& [ordinal, event] : events) {
      facts.push_back("held " + did + " " + event.source + " " + std::to_string(event.seq) + " " +
                      event.reason);
    }
  }
  return facts;
}

absl::Status MemoryStore::Apply(const indexer::Batch& batch, indexer::ApplyResult* result) {
  std::lock_guard lock(mutex_);
  for (const indexer::ChangeSetPtr& change : batch.changes) Apply(*change, result);
  return absl::OkStatus();
}

void MemoryStore::Apply(const ChangeSet& change, indexer::ApplyResult* result) {
  const std::string did(change.did);
  for (const indexer::RecordRow& row : change.records) {
    MemoryRecord record;
    record.cid = row.cid;
    record.cbor = AsText(row.cbor);
    record.rev = change.rev;
    record.commit_cid = change.commit_cid;
    record.verification = change.verification;
    record.allowed = change.allowed;
    record.deleted = row.op == repo::Action::kDelete;
    const auto [at, added] =
        tables_.records.try_emplace({did, std::string(row.collection), std::string(row.rkey)}, record);
    const bool was_strong = repo::IsStrong(at->second.verification),
               is_strong = repo::IsStrong(record.verification);
    // The guard: class, rev, proven (docs/architecture.md, "Transactions").
    const bool proves = indexer::IsProven(record.verification) && !indexer::IsProven(at->second.verification);
    const bool newer = was_strong != is_strong ? is_strong
                                               : record.rev > at->second.rev || (record.rev == at->second.rev && proves);
    if (!added && !newer) {
      ++result->rows_stale;
      continue;
    }
    at->second = std::move(record);
    ++result->rows_written;
  }
  if (change.repo) {
    MemoryRepo& repo = tables_.repos[did];
    repo.state.sync_state = change.repo->sync_state;
    repo.reason = change.repo->reason;
    if (change.repo->has_head) {
      repo.state.head = sync::Head{std::string(change.repo->rev), *cbor::Cid::FromString(change.repo->data),
                                   *cbor::Cid::FromString(change.repo->commit_cid)};
    }
  }
  if (change.account) {
    MemoryRepo& repo = tables_.repos[did];
    const auto [seq, first] = repo.account_seqs.try_emplace(std::string(change.source), change.seq);
    if (first || change.seq > seq->second) {
      seq->second = change.seq;
      repo.state.active = change.account->active;
      repo.state.status = change.account->status;
    }
  }
  if (change.held_done) {
    auto& held = tables_.held[std::string(change.held_done->did)];
    held.erase(held.begin(), held.upper_bound(change.held_done->ordinal));
  }
  for (const indexer::HeldRow& row : change.held) {
    tables_.held[std::string(row.did)][row.ordinal] = {
        row.ordinal, std::string(row.source),        row.seq,       std::string(row.reason),
        row.gated,   std::string(AsText(row.frame)), row.arrived_at};
  }
  if (!change.identity_purged.empty()) tables_.identities.erase(std::string(change.identity_purged));
  if (change.identity) tables_.identities[change.identity->did] = change.identity;
  for (const indexer::DeadLetterRow& letter : change.dead_letters) {
    tables_.dead_letters.push_back(
        {std::string(change.source), did, std::string(letter.detail), change.seq, letter.op, letter.reject});
  }
  tables_.quarantined += change.quarantine.size();
}

class MemoryStore::Reader final : public sync::StateStore {
 public:
  explicit Reader(MemoryStore* store) : store_(store) {}

  absl::Status LoadAccount(std::string_view did, sync::StoredAccount* account) override {
    std::lock_guard lock(store_->mutex_);
    *account = {};
    const MemoryTables& tables = store_->tables_;
    if (const auto repo = tables.repos.find(did); repo != tables.repos.end()) {
      account->known = true;
      account->state = repo->second.state;
      account->account_seqs = repo->second.account_seqs;
    }
    if (const auto held = tables.held.find(did); held != tables.held.end()) {
      for (const auto& [ordinal, event] : held->second) {
        ++account->held_events;
        account->held_bytes += event.frame.size();
        account->held_last = ordinal;
      }
    }
    if (const auto identity = tables.identities.find(did); identity != tables.identities.end()) {
      account->identity = identity->second;
    }
    return absl::OkStatus();
  }

  absl::Status LoadHeld(std::string_view did, int64_t after, size_t max_bytes,
                        std::vector<sync::StoredHeldEvent>* events) override {
    std::lock_guard lock(store_->mutex_);
    events->clear();
    const auto held = store_->tables_.held.find(did);
    if (held == store_->tables_.held.end()) return absl::OkStatus();
    size_t bytes = 0;
    for (auto it = held->second.upper_bound(after); it != held->second.end() && bytes < max_bytes; ++it) {
      events->push_back(it->second);
      bytes += it->second.frame.size();
    }
    return absl::OkStatus();
  }

  absl::Status ForEachHeldAccount(const std::function<void(const sync::HeldAccount&)>& visit) override {
    std::lock_guard lock(store_->mutex_);
    for (const auto& [did, events] : store_->tables_.held) {
      if (events.empty()) continue;
      sync::HeldAccount held{did, events.size(), 0, events.rbegin()->first, sync::SyncState::kUntracked};
      for (const auto& [ordinal, event] : events) held.bytes += event.frame.size();
      if (const auto repo = store_->tables_.repos.find(did); repo != store_->tables_.repos.end()) {
        held.sync_state = repo->second.state.sync_state;
      }
      visit(held);
    }
    return absl::OkStatus();
  }

  absl::Status ForEachTracked(const std::function<void(std::string_view)>& visit) override {
    std::lock_guard lock(store_->mutex_);
    for (const auto& [did, repo] : store_->tables_.repos) {
      if (repo.state.sync_state != sync::SyncState::kUntracked) visit(did);
    }
    return absl::OkStatus();
  }

 private:
  MemoryStore* const store_;
};

std::unique_ptr<sync::StateStore> MemoryStore::MakeReader() { return std::make_unique<Reader>(this); }

}  // namespace penstock::test
