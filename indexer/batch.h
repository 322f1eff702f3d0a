#pragma once

// How a batch becomes rows, the same for both stores: what is merged, what is written in which order, and how
// a row that the database refuses is isolated. What differs between databases stands behind BatchTables.
//
// Everything here acts as if the change sets had been applied one after the other, so the final rows do not
// depend on where a batch happened to end. (One exception, by choice: a row that is superseded within its own
// batch is never shown to the database, so it cannot be refused either.)

#include <cstdint>
#include <limits>
#include <optional>
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

// `source` and `seq` are the change set's own but for an event that had been held, and where there is no
// event at all.
struct PlannedDeadLetter {
  PlannedDeadLetter(const ChangeSet& change, const DeadLetterRow& letter)
      : source(change.letter_source.empty() ? change.source : change.letter_source),
        seq(change.letter_source.empty() ? change.seq : change.letter_seq),
        did(change.did),
        row(letter) {}
  PlannedDeadLetter(const HeldRow& held, const DeadLetterRow& letter)
      : source(held.source), seq(held.seq), did(held.did), row(letter) {}

  std::string_view source;
  int64_t seq;
  std::string_view did;
  DeadLetterRow row;
};

// What becomes of an account's row in `repo`: the state of the last change, the head of the last that has
// one.
struct PlannedRepo {
  std::string_view did;
  RepoRow row;
};

// What becomes of an identity: kept, marked as purged, or both (kept, and purged later in the same run).
struct PlannedIdentity {
  std::string_view did;
  const identity::Identity* identity = nullptr;  // null: what is there stays
  bool purged = false;
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

  // Rows with distinct keys, through the guard; references and proofs of those that got through. Adds to
  // `*written`.
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
  // Distinct accounts. Makes the rows that are missing; a row that would stay as it is is not touched.
  // Heads that are to be forgotten are, before one is written.
  virtual absl::Status StoreRepos(std::span<const PlannedRepo> repos, int64_t now_us) = 0;
  // What imports end and cover: tasks, coverage. In the order of `changes`, each of which has an import.
  virtual absl::Status StoreImports(std::span<const ChangeSet* const> changes, int64_t now_us) = 0;
  // Removes up to `rows` rows of the account, with references and proofs, and its coverage.
  virtual absl::Status PurgeAccount(std::string_view did, uint64_t rows) = 0;
  // An event that is held already stays as it is.
  virtual absl::Status InsertHeld(std::span<const HeldRow* const> rows) = 0;
  virtual absl::Status DeleteHeld(std::span<const HeldDone> done) = 0;
  // Distinct accounts. One that is only purged makes no row.
  virtual absl::Status StoreIdentities(std::span<const PlannedIdentity> identities) = 0;
  virtual absl::Status WriteGap(const ChangeSet& change, const GapRow& gap, int64_t now_us) = 0;
  virtual absl::Status WriteQuarantine(const ChangeSet& change, const QuarantineRow& row, int64_t now_us) = 0;
  virtual absl::Status MoveCursor(const SourceCursor& cursor, int64_t now_us) = 0;
};

// What a run of change sets comes to. Views of them; reusable. Only the first of them may purge: that comes
// before all that is planned here.
class BatchPlan {
 public:
  void Build(std::span<const ChangeSetPtr> changes);
  // Of one change set alone, without its records.
  void BuildWithoutRecords(const ChangeSet& change);

  std::span<const PlannedRecord> records() const {
    return records_;
  }  // one per key, the one that the guard prefers
  size_t merged() const { return merged_; }
  // Of the records, each once; not those that repos() makes rows for.
  std::span<const std::string_view> dids() const { return dids_; }
  std::span<const PlannedDeadLetter> dead_letters() const { return dead_letters_; }
  std::span<const PlannedRecord> others() const {
    return others_;
  }  // change sets with gaps or quarantine; row is null

  std::span<const PlannedRepo> repos() const { return repos_; }
  std::span<const ChangeSet* const> imports() const { return imports_; }
  // Held events: those to insert before what is done is deleted, what is done, and those to insert after it.
  // The first is empty but for rows that outlive a HeldDone of their account in the same run.
  std::span<const HeldRow* const> held_before() const { return held_before_; }
  std::span<const HeldDone> held_done() const { return held_done_; }
  std::span<const HeldRow* const> held_after() const { return held_after_; }
  std::span<const PlannedIdentity> identities() const { return identities_; }

  // #account events in two steps: what has to be known of their accounts, …
  std::span<AccountState> accounts() { return accounts_; }
  std::span<AccountSource> account_sources() { return account_sources_; }
  // … and, once that is filled in, what becomes of them. True if anything changes.
  bool FoldAccounts();

 private:
  struct AccountEvent {
    const ChangeSet* change;
    size_t source;    // index in account_sources_
    bool row_before;  // something earlier in this run makes the account's row
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
  struct HeldKey {
    std::string_view did, source;
    int64_t seq;
    bool operator==(const HeldKey&) const = default;
  };
  struct HeldKeyHash {
    size_t operator()(const HeldKey& key) const;
  };
  struct PlannedHeld {
    const HeldRow* row;  // null once it is done
    bool before_done = false;
  };
  struct HeldAccount {
    std::optional<size_t> done;  // index in held_done_
    std::vector<size_t> rows;    // indexes in held_
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
  void AddRepo(std::string_view did, const RepoRow& row);
  void AddHeld(const HeldRow& row);
  void AddHeldDone(const HeldDone& done);
  void AddIdentity(std::string_view did, const identity::Identity* identity);
  void AddAccountEvent(const ChangeSet& change);
  void Finish();

  std::vector<PlannedRecord> records_;
  absl::flat_hash_map<RecordKey, size_t, RecordKeyHash> record_index_;
  size_t merged_ = 0;
  std::vector<std::string_view> dids_;
  absl::flat_hash_set<std::string_view, ViewHash> did_set_;
  std::vector<PlannedDeadLetter> dead_letters_;
  absl::flat_hash_set<LetterKey, LetterKeyHash> letter_keys_;
  std::vector<PlannedRecord> others_;
  std::vector<PlannedRepo> repos_;
  std::vector<const ChangeSet*> imports_;
  absl::flat_hash_map<std::string_view, size_t, ViewHash> repo_index_;
  std::vector<PlannedHeld> held_;
  absl::flat_hash_map<HeldKey, size_t, HeldKeyHash> held_keys_;
  absl::flat_hash_map<std::string_view, HeldAccount, ViewHash> held_accounts_;
  std::vector<const HeldRow*> held_before_, held_after_;
  std::vector<HeldDone> held_done_;
  std::vector<PlannedIdentity> identities_;
  absl::flat_hash_map<std::string_view, size_t, ViewHash> identity_index_;
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
  // The same where none but the first purges.
  absl::Status WriteFromPurge(std::span<const ChangeSetPtr> changes);
  // All of the plan but its records.
  absl::Status WriteRest();
  absl::Status WriteRepos();
  absl::Status WriteAccountEvents();
  absl::Status WriteImports();
  absl::Status WriteHeld();
  absl::Status WriteNotes();
  absl::Status EnsureRepos(std::span<const std::string_view> dids);
  // Finds the rows that the database refuses by halving, and writes all others.
  absl::Status WriteIsolating(std::span<const ChangeSetPtr> changes);
  absl::Status WriteRowByRow(const ChangeSet& change);
  absl::Status WritePartByPart(const ChangeSet& change);
  // `part` within a savepoint of its own; `*refusal` says why the database refused it, if it did.
  template <typename Part>
  absl::Status Try(const Part& part, absl::Status* refusal);
  absl::Status RefuseRow(const ChangeSet& change, const RecordRow& row, const absl::Status& why);
  absl::Status RefusePart(const ChangeSet& change, std::string_view what, const absl::Status& why);
  absl::Status RefuseHeld(const HeldRow& row, const absl::Status& why);
  absl::Status Refuse(PlannedDeadLetter letter, std::string_view detail);
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
