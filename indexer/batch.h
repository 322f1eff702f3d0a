#pragma once

// How a batch becomes rows, the same for both stores: what is merged, what is written in which order, and how
// a row that the database refuses is isolated. What differs between databases stands behind BatchTables.
//
// Everything here acts as if the change sets had been applied one after the other, so the final rows do not
// depend on where a batch happened to end. (One exception, by choice: a row that is superseded within its own
// batch is never shown to the database, so it cannot be refused either.)

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "base/counters.h"
#include "base/status.h"
#include "indexer/change_set.h"
#include "indexer/store.h"

namespace penstock::indexer {

// Hashes and compares std::string_view; Debian's Abseil knows only its own.
struct ViewHash {
  size_t operator()(std::string_view text) const;
};

struct PlannedRecord {
  const ChangeSet* change = nullptr;
  const RecordRow* row = nullptr;
};

struct PlannedDeadLetter {
  const ChangeSet* change = nullptr;
  DeadLetterRow row;
};

// An account that a batch brings #account events of.
struct AccountState {
  std::string_view did;
  bool known = false;    // there is a row in repo
  bool changed = false;  // what follows is to be written
  bool active = true;
  std::string_view status = {};
};

// Where such an account stands with one source.
struct AccountSource {
  size_t account = 0;  // index of its AccountState
  std::string_view source;
  int64_t account_seq = std::numeric_limits<int64_t>::min();  // of the last #account applied
  bool changed = false;
};

// What ApplyBatch needs of a database; called within Begin … Commit. A write that the database refuses
// because of the row's own content fails with Reject::kStoreRefused and the database's words; what it wrote
// is undone by the savepoint around it.
class BatchTables {
 public:
  virtual ~BatchTables() = default;

  // Opens the transaction and makes sure that the lease is still ours. Errors: kUnavailable,
  // kFailedPrecondition.
  virtual absl::Status Begin(int64_t now_us) = 0;
  virtual absl::Status Commit() = 0;
  virtual void Rollback() = 0;

  // Savepoints nest.
  virtual absl::Status Savepoint() = 0;
  virtual absl::Status ReleaseSavepoint() = 0;
  virtual absl::Status RollbackToSavepoint() = 0;  // and releases it

  // Rows with distinct keys, through the guard; references of those that got through. Adds to `*written`.
  virtual absl::Status UpsertRecords(std::span<const PlannedRecord> rows, int64_t now_us,
                                     size_t* written) = 0;
  // Makes the rows of `repo` that are missing.
  virtual absl::Status EnsureRepos(std::span<const std::string_view> dids, int64_t now_us) = 0;
  // Fills in `known` and `account_seq`.
  virtual absl::Status LoadAccounts(std::span<AccountState> accounts, std::span<AccountSource> sources) = 0;
  // Writes those that changed.
  virtual absl::Status StoreAccounts(std::span<const AccountState> accounts,
                                     std::span<const AccountSource> sources, int64_t now_us) = 0;
  // Distinct keys. One that is there already only gets a new last_at, or with `replace` also a new cause.
  virtual absl::Status WriteDeadLetters(std::span<const PlannedDeadLetter> letters, bool replace,
                                        int64_t now_us) = 0;
  virtual absl::Status WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) = 0;
  virtual absl::Status WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) = 0;
  virtual absl::Status MoveCursor(const SourceCursor& cursor, int64_t now_us) = 0;
};

// What a run of change sets comes to. Views of them; reusable.
class BatchPlan {
 public:
  void Build(std::span<const ChangeSetPtr> changes);
  // Of one change set alone, without its records.
  void BuildWithoutRecords(const ChangeSet& change);

  std::span<const PlannedRecord> records() const {
    return records_;
  }  // one per key, the one that the guard prefers
  size_t merged() const { return merged_; }
  std::span<const std::string_view> dids() const { return dids_; }  // of the records, each once
  std::span<const PlannedDeadLetter> dead_letters() const { return dead_letters_; }
  std::span<const PlannedRecord> others() const {
    return others_;
  }  // change sets with gaps or quarantine; row is null

  // #account events in two steps: what has to be known of their accounts, …
  std::span<AccountState> accounts() { return accounts_; }
  std::span<AccountSource> account_sources() { return account_sources_; }
  // … and, once that is filled in, what becomes of them. True if anything changes.
  bool FoldAccounts();

 private:
  struct AccountEvent {
    const ChangeSet* change;
    size_t source;        // index in account_sources_
    bool records_before;  // the same account has records earlier in this run
  };
  struct RecordKey {
    std::string_view did, collection, rkey;
    bool operator==(const RecordKey&) const = default;
  };
  struct RecordKeyHash {
    size_t operator()(const RecordKey& key) const;
  };
  struct LetterKey {
    std::string_view source;
    int64_t seq;
    int32_t op;
    bool operator==(const LetterKey&) const = default;
  };
  struct LetterKeyHash {
    size_t operator()(const LetterKey& key) const;
  };
  struct SourceKey {
    size_t account;
    std::string_view source;
    bool operator==(const SourceKey&) const = default;
  };
  struct SourceKeyHash {
    size_t operator()(const SourceKey& key) const;
  };
  void Clear();
  void AddRecords(const ChangeSet& change);
  void AddRest(const ChangeSet& change);

  std::vector<PlannedRecord> records_;
  absl::flat_hash_map<RecordKey, size_t, RecordKeyHash> record_index_;
  size_t merged_ = 0;
  std::vector<std::string_view> dids_;
  absl::flat_hash_set<std::string_view, ViewHash> did_set_;
  std::vector<PlannedDeadLetter> dead_letters_;
  absl::flat_hash_set<LetterKey, LetterKeyHash> letter_keys_;
  std::vector<PlannedRecord> others_;
  std::vector<AccountEvent> account_events_;
  std::vector<AccountState> accounts_;
  absl::flat_hash_map<std::string_view, size_t, ViewHash> account_index_;
  std::vector<AccountSource> account_sources_;
  absl::flat_hash_map<SourceKey, size_t, SourceKeyHash> source_index_;
};

// Remembers accounts that are known to have a row in `repo`, so that a busy account does not cost a look-up
// per batch. Bounded: when full it starts afresh.
class KnownRepos {
 public:
  static constexpr size_t kMaxAccounts = 16 * 1024;  // about 1.5 MB

  bool Contains(std::string_view did) const { return dids_.contains(ToAbsl(did)); }
  void Add(std::string_view did);
  void Clear() { dids_.clear(); }

 private:
  absl::flat_hash_set<std::string> dids_;
};

// Applies batches to `tables`. Not thread-safe.
class BatchApplier {
 public:
  // Neither is owned; `counters` may be null.
  BatchApplier(BatchTables* tables, Counters* counters) : tables_(tables), counters_(counters) {}

  // One transaction. Errors: as Store::Apply.
  absl::Status Apply(const Batch& batch, int64_t now_us, ApplyResult* result);

  // What was known of the database is void: another connection, another state.
  void Forget() { known_repos_.Clear(); }

 private:
  absl::Status Write(std::span<const ChangeSetPtr> changes);
  absl::Status WriteRest();
  absl::Status EnsureRepos(std::span<const std::string_view> dids);
  // Finds the rows that the database refuses by halving, and writes all others.
  absl::Status WriteIsolating(std::span<const ChangeSetPtr> changes);
  absl::Status WriteRowByRow(const ChangeSet& change);
  absl::Status Refuse(const ChangeSet& change, const RecordRow* row, const absl::Status& why);
  absl::Status WriteDeadLetter(const PlannedDeadLetter& letter, bool replace);

  BatchTables* const tables_;
  Counters* const counters_;
  BatchPlan plan_;
  KnownRepos known_repos_;
  std::vector<std::string_view> unknown_;
  int64_t now_us_ = 0;
  ApplyResult result_;
};

// True if `status` says that the database refused what it was given.
bool IsRefused(const absl::Status& status);

}  // namespace penstock::indexer
