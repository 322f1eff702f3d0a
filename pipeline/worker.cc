#include "pipeline/worker.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"
#include "cbor/json_out.h"
#include "repo/record_proof.h"

namespace penstock::pipeline {

using firehose::Frame;
using firehose::FrameKind;
using indexer::ChangeSet;
using indexer::ChangeSetPtr;
using sync::Account;
using sync::Verdict;
using sync::Wait;

namespace {

sync::JudgeOptions JudgeOptionsOf(const PipelineOptions& options) {
  sync::JudgeOptions judge;
  judge.level = options.verify;
  judge.policies = options.policies;
  judge.clock = options.clock;
  judge.resolver = options.resolver;
  return judge;
}

sync::HeldLimits ShareOf(sync::HeldLimits limits, size_t workers) {
  limits.total_events = std::max<uint64_t>(1, limits.total_events / workers);
  limits.total_bytes = std::max<uint64_t>(1, limits.total_bytes / workers);
  limits.memory_bytes = std::max<size_t>(1, limits.memory_bytes / workers);
  return limits;
}

}  // namespace

Worker::Worker(const PipelineOptions& options, TaskQueue* tasks, ChangeQueue* writer, indexer::ChangeSetRecycler* changes)
    : options_(options),
      tasks_(tasks),
      writer_(writer),
      changes_(changes),
      builder_(options.filter),
      judge_(JudgeOptionsOf(options)),
      mailbox_(std::make_shared<Mailbox>(tasks)),
      store_(options.state_store ? options.state_store() : nullptr),
      accounts_(store_.get(), std::max<size_t>(16, options.accounts_in_memory / options.workers), &durable_),
      limits_(ShareOf(options.held, options.workers)) {}

Worker::~Worker() { mailbox_->Close(); }

absl::Status Worker::Run() {
  for (;;) {
    std::optional<Task> task;
    if (timers_.empty()) {
      task = tasks_->Pop();
    } else {
      const auto in = std::chrono::microseconds(std::max<int64_t>(0, timers_.top().at_us - MonotonicMicros()));
      task = tasks_->PopUntil(std::chrono::steady_clock::now() + in);
    }
    if (!task && tasks_->finished()) break;
    if (task && task->delivery) RETURN_IF_ERROR(OnTask(std::move(*task)));
    OnNotes();
    OnTimers();
    RETURN_IF_ERROR(failed_);
    PublishStats();
  }
  mailbox_->Close();
  // What still waits becomes durable: the next run goes on with it.
  StoreAll();
  return absl::OkStatus();
}

Worker::Stats Worker::stats() const {
  return {stat_accounts_.load(std::memory_order_relaxed), stat_events_.load(std::memory_order_relaxed),
          stat_bytes_.load(std::memory_order_relaxed), stat_asking_.load(std::memory_order_relaxed),
          stat_table_.load(std::memory_order_relaxed)};
}

void Worker::PublishStats() {
  stat_accounts_.store(held_accounts_, std::memory_order_relaxed);
  stat_events_.store(held_events_, std::memory_order_relaxed);
  stat_bytes_.store(held_bytes_, std::memory_order_relaxed);
  stat_asking_.store(asking_, std::memory_order_relaxed);
  stat_table_.store(accounts_.size(), std::memory_order_relaxed);
}

const Source* Worker::SourceNamed(std::string_view name) const {
  for (const Source* source : sources_) {
    if (source->name == name) return source;
  }
  return nullptr;
}

absl::StatusOr<Account*> Worker::FindAccount(std::string_view did) {
  for (;;) {
    identity::IdentityPtr kept;
    absl::StatusOr<Account*> found = accounts_.Find(did, &kept);
    if (found.ok()) {
      if (kept && options_.resolver != nullptr) options_.resolver->Keep(std::move(kept));
      return found;
    }
    if (!IsTransient(found.status()) || give_up_.load(std::memory_order_relaxed)) return found.status();
    options_.counters->Count("state_store_unavailable");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

Worker::Event Worker::EventOf(const Task& task) const {
  Event event;
  event.frame = &task.delivery->frame;
  event.raw = task.delivery->buffer.bytes();
  event.source = task.source;
  event.source_name = task.source->name;
  event.ticket = task.ticket;
  event.seq = task.seq;
  event.arrival_wall_us = task.delivery->buffer.arrival_us;
  if (event.arrival_wall_us == 0) event.arrival_wall_us = options_.clock->NowMicros();  // a recording without times
  event.how.position = {task.source->name, task.seq};
  event.how.arrived_us = task.arrived_us;
  event.how.arrived_wall_us = event.arrival_wall_us;
  event.how.authority = task.source->authority;
  event.how.wanted = task.wanted;
  return event;
}

ChangeSetPtr Worker::NewChange(const Event& event) {
  ChangeSetPtr change = changes_->Take();
  change->source = event.source != nullptr ? std::string_view(event.source->name) : change->arena.Copy(event.source_name);
  change->ticket = event.ticket;
  change->seq = event.seq;
  change->arrival_us = event.arrival_wall_us;
  return change;
}

ChangeSetPtr Worker::NewControl() {
  ChangeSetPtr change = changes_->Take();
  change->kind = indexer::EventKind::kControl;
  change->ticket = kNoTicket;
  return change;
}

void Worker::Emit(ChangeSetPtr change, Account* account) {
  change->number = ++number_;
  change->durable = &durable_;
  if (account != nullptr) account->last_change = number_;
  for (const indexer::DeadLetterRow& letter : change->dead_letters) options_.counters->Count(letter.reject);
  const size_t cost = change->cost();
  writer_->Push(std::move(change), cost);
}

void Worker::SettleTracked(const Task& task, const Account* account) {
  if (!task.expected || options_.tracked == nullptr) return;
  const bool followed = account != nullptr && (account->held || account->state.sync_state != sync::SyncState::kUntracked);
  options_.tracked->Settle(task.delivery->frame.did.text(), followed);
}

absl::Status Worker::OnTask(Task task) {
  const Frame& frame = task.delivery->frame;
  if (options_.verify == indexer::Verification::kCid) {
    ChangeSetPtr change = NewChange(EventOf(task));
    JudgeAlone(frame, task.delivery->buffer.bytes(), change.get());
    task.delivery.reset();  // the change set owns all it needs: the buffer can take the next frame
    Emit(std::move(change), nullptr);
    return absl::OkStatus();
  }
  switch (frame.kind) {
    case FrameKind::kCommit:
    case FrameKind::kSync:
      return OnCommitOrSync(std::move(task));
    case FrameKind::kAccount:
      return OnAccount(std::move(task));
    case FrameKind::kIdentity:
      OnIdentity(std::move(task));
      return absl::OkStatus();
    case FrameKind::kRejected: {
      const Event event = EventOf(task);
      ChangeSetPtr change = NewChange(event);
      builder_.BuildRefused(frame, event.raw, RejectError(frame.reject, frame.reject_field), change.get());
      SettleTracked(task, nullptr);
      Emit(std::move(change), nullptr);
      return absl::OkStatus();
    }
    case FrameKind::kInfo:
    case FrameKind::kError:
    case FrameKind::kIgnored:
      break;  // the intake hands none of these on
  }
  return absl::OkStatus();
}

void Worker::JudgeAlone(const Frame& frame, Bytes raw, ChangeSet* change) {
  absl::Status status;
  const sync::AccountState nobody;
  switch (frame.kind) {
    case FrameKind::kCommit: {
      const Verdict verdict = judge_.Commit(nobody, frame, {});
      status = verdict.reject;
      if (status.ok()) builder_.BuildCommit(frame, verdict.commit.checked, verdict.level, raw, change);
      break;
    }
    case FrameKind::kSync: {
      const Verdict verdict = judge_.Sync(nobody, frame, {});
      status = verdict.reject;
      if (status.ok()) builder_.BuildSync(frame, verdict.sync_commit, verdict.sync_commit_cid, change);
      break;
    }
    case FrameKind::kIdentity:
      builder_.BuildIdentity(frame, change);
      break;
    case FrameKind::kAccount:
      builder_.BuildAccount(frame, change);
      break;
    case FrameKind::kRejected:
      status = RejectError(frame.reject, frame.reject_field);
      break;
    case FrameKind::kInfo:
    case FrameKind::kError:
    case FrameKind::kIgnored:
      break;
  }
  if (!status.ok()) builder_.BuildRefused(frame, raw, status, change);
}

absl::Status Worker::OnCommitOrSync(Task task) {
  const Frame& frame = task.delivery->frame;
  const Event event = EventOf(task);
  // Only accounts of resolvable methods can be verified, so nothing of another is ever kept.
  if (!frame.did.IsResolvable()) {
    ChangeSetPtr change = NewChange(event);
    builder_.BuildRefused(frame, event.raw, RejectError(Reject::kUnsupportedDidMethod, frame.did.method()), change.get());
    SettleTracked(task, nullptr);
    Emit(std::move(change), nullptr);
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(Account* const account, FindAccount(frame.did.text()));
  std::optional<Wait> wait;
  if (account->held) {
    // Behind those that wait. One that is stale already, or of an account that is silent, need not.
    const bool silent = full() && !account->state.active && task.source->authority.empty();
    const bool stale = full() && frame.kind == FrameKind::kCommit && sync::IsStale(account->state, frame.rev);
    if (!silent && !stale) wait = account->held->wait;
  }
  if (!wait) wait = Process(account, event);
  SettleTracked(task, account);
  if (wait) {
    const bool gated = *wait != Wait::kStatus && account->state.active && task.source->authority.empty();
    Hold(account, std::move(task), *wait, gated);
  }
  return absl::OkStatus();
}

void Worker::OnIdentity(Task task) {
  const Frame& frame = task.delivery->frame;
  const Event event = EventOf(task);
  options_.resolver->Purge(frame.did.text());
  ChangeSetPtr change = NewChange(event);
  builder_.BuildIdentity(frame, change.get());
  change->identity_purged = change->arena.Copy(frame.did.text());
  Emit(std::move(change), nullptr);
}

absl::Status Worker::OnAccount(Task task) {
  const Frame& frame = task.delivery->frame;
  ASSIGN_OR_RETURN(Account* const account, FindAccount(frame.did.text()));
  const Event event = EventOf(task);
  // What a relay says of an account counts at once, even while its commits wait: it can only hide. What a PDS says waits its turn,
  // because whether it may speak for the account takes the account's document.
  std::optional<Wait> wait;
  if (!event.how.authority.empty() && account->held) {
    wait = account->held->wait;
  } else {
    wait = Process(account, event);
  }
  if (wait) Hold(account, std::move(task), *wait, false);
  return absl::OkStatus();
}

std::optional<Wait> Worker::Process(Account* account, const Event& event) {
  const Frame& frame = *event.frame;
  Verdict verdict;
  switch (frame.kind) {
    case FrameKind::kCommit:
      verdict = judge_.Commit(account->state, frame, event.how);
      break;
    case FrameKind::kSync:
      verdict = judge_.Sync(account->state, frame, event.how);
      break;
    default:
      verdict = judge_.Account(frame, event.how);
      break;
  }
  if (verdict.kind == Verdict::Kind::kWait) {
    if (verdict.wait != Wait::kStatus || (event.source != nullptr && MayAskStatus(*account))) return verdict.wait;
    verdict.kind = Verdict::Kind::kIgnore;
    verdict.ignored = "account_inactive";
  }
  ChangeSetPtr change = NewChange(event);
  if (event.stored_ordinal) {
    change->held_done = indexer::HeldDone{change->arena.Copy(account->did), *event.stored_ordinal};
  }
  std::optional<Wait> wait;
  Account* touched = event.stored_ordinal ? account : nullptr;
  switch (verdict.kind) {
    case Verdict::Kind::kApply:
      Apply(account, event, verdict, change.get());
      if (change->repo || change->account) touched = account;
      break;
    case Verdict::Kind::kIgnore:
      if (!verdict.ignored.empty()) {
        options_.counters->Count(verdict.ignored);
      } else if (frame.kind == FrameKind::kSync) {
        builder_.BuildSync(frame, verdict.sync_commit, verdict.sync_commit_cid, change.get());
      }
      break;
    case Verdict::Kind::kDrop:
      Refuse(account, event, verdict, change.get());
      if (sync::IsHeldState(verdict.next) && !sync::IsHeldState(account->state.sync_state)) {
        Desynchronize(account, RejectName(*RejectOf(verdict.reject)), change.get());
        touched = account;
      }
      break;
    case Verdict::Kind::kDesync:
      options_.counters->Count(*RejectOf(verdict.reject));
      // The event itself stays where it is, with its ticket: it waits like those after it.
      change->kind = indexer::EventKind::kControl;
      change->ticket = kNoTicket;
      change->held_done.reset();
      Desynchronize(account, RejectName(*RejectOf(verdict.reject)), change.get());
      touched = account;
      wait = Wait::kDesynchronized;
      break;
    case Verdict::Kind::kWait:
      break;  // dealt with above
  }
  Emit(std::move(change), touched);
  return wait;
}

void Worker::Desynchronize(Account* account, std::string_view reason, ChangeSet* change) {
  account->state.sync_state = sync::SyncState::kDesynchronized;
  change->did = change->arena.Copy(account->did);
  indexer::RepoRow row;
  row.sync_state = sync::SyncState::kDesynchronized;
  row.reason = reason;  // a Reject's name, or a literal
  change->repo = row;
  options_.counters->Count("desynchronized");
}

void Worker::Apply(Account* account, const Event& event, const Verdict& verdict, ChangeSet* change) {
  const Frame& frame = *event.frame;
  if (frame.kind == FrameKind::kAccount) return ApplyAccount(account, event, change);
  if (frame.kind == FrameKind::kCommit) {
    builder_.BuildCommit(frame, verdict.commit.checked, verdict.level, event.raw, change);
    if (verdict.allowed) {
      change->allowed = sync::AllowName(*verdict.allowed);
      options_.counters->Count("allowed_" + std::string(change->allowed));
    }
    if (options_.keep_proofs && verdict.identity) KeepProofs(frame, verdict, change);
  } else {
    builder_.BuildSync(frame, verdict.sync_commit, verdict.sync_commit_cid, change);
  }
  if (!change->dead_letters.empty()) {
    WriteState(*account, event, verdict);
    const std::string_view state = change->arena.Copy(text_);
    for (indexer::DeadLetterRow& letter : change->dead_letters) letter.state_met = state;
  }
  if (!verdict.has_head) return;
  account->state.sync_state = verdict.next;
  account->state.head = verdict.head;
  change->did = change->arena.Copy(account->did);
  indexer::RepoRow row;
  row.sync_state = verdict.next;
  row.has_head = true;
  row.rev = change->arena.Copy(verdict.head.rev);
  row.data = change->arena.Copy(verdict.head.data.ToString());
  row.commit_cid = change->arena.Copy(verdict.head.commit.ToString());
  change->repo = row;
}

void Worker::ApplyAccount(Account* account, const Event& event, ChangeSet* change) {
  const Frame& frame = *event.frame;
  builder_.BuildAccount(frame, change);
  const auto [seq, first] = account->account_seqs.try_emplace(std::string(event.source_name), event.seq);
  if (!first && event.seq <= seq->second) return;  // replayed: the store finds the same
  seq->second = event.seq;
  const bool contradicts = account->state.active != frame.active && !account->status_source.empty() &&
                           account->status_source != event.source_name;
  if (contradicts && frame.active && options_.host_status != nullptr && !MayAskStatus(*account)) {
    // Nobody can say yet who is right. Hidden is the safe side, and heals: the account's next commit asks.
    change->account.reset();
    options_.counters->Count("status_unconfirmed");
    return;
  }
  if (frame.active && !account->state.active) MarkReturned(account, change);
  account->state.active = frame.active;
  account->state.status = std::string(frame.status.value_or(std::string_view()));
  account->status_source = event.source_name;
  // Two sources contradict each other: the account's host decides.
  if (contradicts && MayAskStatus(*account)) (void)AskStatus(account, event.source);
}

void Worker::WriteState(const Account& account, const Event& event, const Verdict& verdict) {
  const auto member = [this](std::string_view name, std::string_view value) {
    text_.append(text_.size() > 1 ? ",\"" : "\"").append(name).append("\":");
    cbor::AppendJsonString(value, &text_);
  };
  text_ = "{";
  if (account.state.head) {
    member("rev", account.state.head->rev);
    member("data", account.state.head->data.ToString());
  }
  if (account.state.sync_state != sync::SyncState::kUntracked) {
    member("sync_state", sync::SyncStateName(account.state.sync_state));
  }
  text_.append(text_.size() > 1 ? ",\"active\":" : "\"active\":").append(account.state.active ? "true" : "false");
  if (verdict.identity && verdict.identity->key) member("key", verdict.identity->key->did_key());
  if (!event.how.authority.empty()) member("authority", event.how.authority);
  text_.append("}");
}

void Worker::Refuse(const Account* account, const Event& event, const Verdict& verdict, ChangeSet* change) {
  builder_.BuildRefused(*event.frame, event.raw, verdict.reject, change);
  WriteState(*account, event, verdict);
  const std::string_view state = change->arena.Copy(text_);
  for (indexer::DeadLetterRow& letter : change->dead_letters) letter.state_met = state;
}

void Worker::KeepProofs(const Frame& frame, const Verdict& verdict, ChangeSet* change) {
  change->proof_key = change->arena.Copy(verdict.identity->key->did_key());
  for (indexer::RecordRow& row : change->records) {
    if (row.op == repo::Action::kDelete) continue;
    text_.clear();
    const std::string_view path = frame.ops[static_cast<size_t>(row.op_index)].path;
    // Cannot fail, the check walked the same path; a row without a proof says so by having none.
    if (!proofs_.Append(verdict.commit.checked, judge_.blocks(), path, &text_).ok()) continue;
    row.proof = change->arena.Copy(AsBytes(text_));
  }
}

}  // namespace penstock::pipeline
