#pragma once

// One worker: takes the events of its accounts in order, has them judged at the chosen level, and makes change sets of them.
// What cannot be judged yet waits (sync/held_events.h) while everybody else goes on.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "indexer/row_builder.h"
#include "pipeline/intake.h"
#include "pipeline/mailbox.h"
#include "repo/record_proof.h"
#include "sync/account_table.h"
#include "sync/judge.h"

namespace penstock::pipeline {

class Worker {
 public:
  // All pointers outlive the worker. Run() is its thread's body: until the task queue is closed and empty.
  Worker(const PipelineOptions& options, TaskQueue* tasks, ChangeQueue* writer, indexer::ChangeSetRecycler* changes);
  ~Worker();

  // Before Run: the sources of this run, and an account that has held events from an earlier one.
  void SetSources(const std::vector<Source*>& sources) { sources_ = sources; }
  void AddHeldAccount(const sync::HeldAccount& held);

  // OK, or why it ended early (the state store failed for good).
  absl::Status Run();

  // From another thread: stop waiting for a state store that is away.
  void GiveUp() { give_up_.store(true, std::memory_order_relaxed); }

  struct Stats {
    uint64_t held_accounts = 0, held_events = 0, held_bytes = 0;
    uint64_t asking = 0;    // accounts whose question is under way
    uint64_t accounts = 0;  // in memory
  };
  Stats stats() const;

  // Where answers for this worker's accounts go: from any thread, also when the worker is gone.
  std::shared_ptr<Mailbox> mailbox() const { return mailbox_; }

  // What a level-`cid` pipeline does with one frame: the part that knows no accounts. For tests and `penstock bench`.
  void JudgeAlone(const firehose::Frame& frame, Bytes raw, indexer::ChangeSet* change);

 private:
  // One event on its way through the judge: from the queue, from the held ones in memory, or from the store.
  struct Event {
    const firehose::Frame* frame = nullptr;
    Bytes raw;
    std::string_view source_name;
    const Source* source = nullptr;  // null: a source of an earlier run
    firehose::Watermark::Ticket ticket = 0;
    int64_t seq = 0;
    int64_t arrival_wall_us = 0;
    sync::Circumstances how;
    std::optional<int64_t> stored_ordinal;  // it was in the store: to be taken out with what comes of it
  };

  // worker.cc
  absl::Status OnTask(Task task);
  absl::Status OnCommitOrSync(Task task);
  absl::Status OnAccount(Task task);
  void OnIdentity(Task task);
  absl::StatusOr<sync::Account*> FindAccount(std::string_view did);
  // Judges and emits. A wait comes back without anything emitted; nullopt: the event is done.
  std::optional<sync::Wait> Process(sync::Account* account, const Event& event);
  void Apply(sync::Account* account, const Event& event, const sync::Verdict& verdict, indexer::ChangeSet* change);
  void ApplyAccount(sync::Account* account, const Event& event, indexer::ChangeSet* change);
  void Refuse(const sync::Account* account, const Event& event, const sync::Verdict& verdict, indexer::ChangeSet* change);
  void KeepProofs(const firehose::Frame& frame, const sync::Verdict& verdict, indexer::ChangeSet* change);
  indexer::ChangeSetPtr NewChange(const Event& event);
  indexer::ChangeSetPtr NewControl();
  // Hands it to the writer; `account`: whose stored state it touches, or null.
  void Emit(indexer::ChangeSetPtr change, sync::Account* account);
  void Desynchronize(sync::Account* account, std::string_view reason, indexer::ChangeSet* change);
  void WriteState(const sync::Account& account, const Event& event, const sync::Verdict& verdict);
  Event EventOf(const Task& task) const;
  const Source* SourceNamed(std::string_view name) const;
  bool full() const { return options_.verify == indexer::Verification::kFull; }
  void SettleTracked(const Task& task, const sync::Account* account);

  // held.cc
  void Hold(sync::Account* account, Task task, sync::Wait wait, bool gated);
  // The first event of `account` waits for `wait`: asks, or sets a time to ask.
  void StartWaiting(sync::Account* account, sync::Wait wait);
  void Ask(sync::Account* account);
  bool AskStatus(sync::Account* account, const Source* source);
  // A host is asked about one account only so often, whatever a source makes of it.
  bool MayAskStatus(const sync::Account& account) const;
  void OnNotes();
  void OnIdentityNote(const Note& note);
  void OnHandleNote(const Note& note);
  void OnStatusNote(const Note& note);
  void OnTimers();
  absl::Status Drain(sync::Account* account);
  // One piece, or one event; false: the first of what is left has to wait again.
  absl::StatusOr<bool> DrainStored(sync::Account* account);
  bool DrainMemory(sync::Account* account);
  // Makes the account's events in memory durable, so that the cursor may pass them.
  void StoreHeld(sync::Account* account);
  void StoreAll();
  void Overflow(sync::Account* account);
  void Unhold(sync::Account* account);
  // Looks at the account's held events at that time, if nothing does so sooner.
  void Arm(sync::Account* account, int64_t at_us);
  // importing.cc
  void OnImportNote(Note* note);
  ImportRequest::Answer PrepareImport(sync::Account* account);
  ImportRequest::Answer BeginImport(sync::Account* account, const ImportRequest& request);
  absl::Status FinishImport(sync::Account* account, ImportRequest* request);
  void AbandonImport(sync::Account* account);
  void SetAccountStatus(sync::Account* account, ImportRequest* request);
  void PurgeRows(sync::Account* account, uint64_t rows);
  // The import is over: events that were held only for it go on.
  void EndImport(sync::Account* account);
  // It was away and is back: a whole chain is whole no more.
  void MarkReturned(sync::Account* account, indexer::ChangeSet* change);
  // A status that a host was asked for, into `change` and the account.
  void TakeStatus(sync::Account* account, const sync::HostStatus& status, indexer::ChangeSet* change);

  bool durable_holding() const { return options_.state_store != nullptr; }
  void PublishStats();

  PipelineOptions options_;
  TaskQueue* tasks_;
  ChangeQueue* writer_;
  indexer::ChangeSetRecycler* changes_;
  indexer::RowBuilder builder_;
  sync::Judge judge_;
  repo::RecordProofWriter proofs_;
  std::vector<Source*> sources_;
  std::shared_ptr<Mailbox> mailbox_;
  std::unique_ptr<sync::StateStore> store_;  // null when nothing is kept
  std::atomic<uint64_t> durable_{0};
  uint64_t number_ = 0;  // of the last change set sent
  sync::AccountTable accounts_;
  sync::HeldLimits limits_;       // this worker's share
  firehose::Frame stored_frame_;  // scratch
  std::string text_;         // scratch

  // Totals over all held accounts.
  uint64_t held_accounts_ = 0, held_events_ = 0, held_bytes_ = 0, memory_bytes_ = 0, asking_ = 0;
  absl::flat_hash_set<sync::Account*> in_memory_;  // accounts with events in memory
  struct Timer {
    int64_t at_us;
    std::string did;
    bool operator>(const Timer& other) const { return at_us > other.at_us; }
  };
  std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
  absl::Status failed_;
  std::atomic<bool> give_up_{false};
  uint64_t jitter_ = 0x9e3779b97f4a7c15;
  std::atomic<uint64_t> stat_accounts_{0}, stat_events_{0}, stat_bytes_{0}, stat_asking_{0}, stat_table_{0};
};

}  // namespace penstock::pipeline
