#pragma once

// A store in plain maps: where a test's pipeline ends, and what it reads back. Keeps what the tables keep, by
// the same rules (docs/schema.md), as far as verification needs them; the true stores are held to those rules
// by tests/indexer/. Thread-safe.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "pipeline/output.h"
#include "sync/state_store.h"

namespace penstock::test {

struct MemoryRecord {
  std::string cid;   // empty for a tombstone
  std::string cbor;  // the signed bytes
  std::string rev, commit_cid;
  repo::Verification verification = repo::Verification::kCid;
  std::string allowed;
  bool deleted = false;
  bool operator==(const MemoryRecord&) const = default;
};

struct MemoryRepo {
  sync::AccountState state;
  std::string reason;  // why it was desynchronised
  std::map<std::string, int64_t, std::less<>> account_seqs;
};

struct MemoryDeadLetter {
  std::string source, did, detail;
  int64_t seq = 0;
  int32_t op = -1;
  Reject reject{};
};

// All there is, by value: so that a test can go back to what it was.
struct MemoryTables {
  using RecordKey = std::tuple<std::string, std::string, std::string>;  // did, collection, rkey
  std::map<RecordKey, MemoryRecord> records;
  std::map<std::string, MemoryRepo, std::less<>> repos;
  std::map<std::string, std::map<int64_t, sync::StoredHeldEvent>, std::less<>> held;  // by did and ordinal
  std::map<std::string, identity::IdentityPtr, std::less<>> identities;
  std::vector<MemoryDeadLetter> dead_letters;
  size_t quarantined = 0;

  // "did/collection/rkey level", one each, without tombstones and hidden accounts.
  std::vector<std::string> Visible() const;
  std::vector<Reject> Rejects() const;  // of dead_letters, in their order
  // What an event may have changed, a line per fact: records, accounts and what is held. Not what was
  // refused.
  std::vector<std::string> Facts() const;
};

class MemoryStore final : public pipeline::Output {
 public:
  absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) override;
  std::unique_ptr<sync::StateStore> MakeReader();

  MemoryTables tables() const {
    std::lock_guard lock(mutex_);
    return tables_;
  }
  void Set(MemoryTables tables) {
    std::lock_guard lock(mutex_);
    tables_ = std::move(tables);
  }

 private:
  class Reader;
  void Apply(const indexer::ChangeSet& change, indexer::ApplyResult* result);

  mutable std::mutex mutex_;
  MemoryTables tables_;  // guarded by mutex_
};

}  // namespace penstock::test
