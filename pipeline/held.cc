// The part of a worker that waits: events that cannot be judged yet, the questions they wait for, and how they come back.

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "pipeline/worker.h"

namespace penstock::pipeline {

using identity::Answer;
using indexer::ChangeSetPtr;
using sync::Account;
using sync::HeldEvent;
using sync::HeldEvents;
using sync::Wait;

namespace {

// Of what is read back from the store, or sent there, in one piece.
constexpr size_t kPieceBytes = 1 << 20;
// How soon a worker looks again whether something of its own has become durable.
constexpr int64_t kDurableCheckUs = 5'000;
// Stands where a source's name does when a host was asked (getRepoStatus).
constexpr std::string_view kAskedSource = "getRepoStatus";

}  // namespace

void Worker::AddHeldAccount(const sync::HeldAccount& held) {
  ++held_accounts_;
  held_events_ += held.events;
  held_bytes_ += held.bytes;
  PublishStats();
  if (!sync::IsHeldState(held.sync_state)) timers_.push({0, held.did});
}

void Worker::Arm(Account* account, int64_t at_us) {
  HeldEvents& held = *account->held;
  if (held.wake_at_us != 0 && held.wake_at_us <= at_us) return;
  held.wake_at_us = at_us;
  timers_.push({at_us, account->did});
}

void Worker::Hold(Account* account, Task task, Wait wait, bool gated) {
  const bool first = account->held == nullptr;
  HeldEvent event;
  event.source = task.source->name;
  event.ticket = task.ticket;
  event.seq = task.seq;
  event.gated = gated;
  event.arrived_us = task.arrived_us;
  event.delivery = std::move(task.delivery);
  event.arrived_wall_us = event.delivery->buffer.arrival_us;
  if (event.arrived_wall_us == 0) event.arrived_wall_us = options_.clock->NowMicros();
  event.ordinal = account->next_ordinal++;
  const uint64_t cost = event.cost();
  if (first) {
    account->held = std::make_unique<HeldEvents>();
    ++held_accounts_;
  }
  HeldEvents& held = *account->held;
  options_.counters->Count("held");
  held.memory_bytes += cost;
  memory_bytes_ += cost;
  held_bytes_ += cost;
  ++held_events_;
  held.memory.push_back(std::move(event));
  in_memory_.insert(account);
  const bool too_many = held.events() > limits_.account_events || held.bytes() > limits_.account_bytes ||
                        held_events_ > limits_.total_events || held_bytes_ > limits_.total_bytes;
  if (too_many || (!durable_holding() && memory_bytes_ > limits_.memory_bytes)) return Overflow(account);
  if (durable_holding()) {
    if (memory_bytes_ > limits_.memory_bytes) StoreAll();
    else Arm(account, MonotonicMicros() + limits_.store_after_us);
  }
  if (first) StartWaiting(account, wait);
}

void Worker::StartWaiting(Account* account, Wait wait) {
  HeldEvents& held = *account->held;
  held.wait = wait;
  held.answer.reset();
  if (wait == Wait::kDesynchronized || held.asking) return;
  held.backoff_us = 0;
  Ask(account);
}

void Worker::Ask(Account* account) {
  HeldEvents& held = *account->held;
  if (held.wait == Wait::kStatus) {
    // The events in front are what is asked for; without anybody to ask they are judged as things are.
    const Source* source = held.memory.empty() ? nullptr : SourceNamed(held.memory.front().source);
    if (AskStatus(account, source)) {
      held.asking = true;
      ++asking_;
    } else {
      account->status_asked_us = MonotonicMicros();
      held.retry_at_us = account->status_asked_us;
      held.drain = true;
      Arm(account, held.retry_at_us);
    }
    return;
  }
  held.asking = true;
  ++asking_;
  // Where the first event stands, for answers that depend on it.
  identity::Position position;
  if (!held.memory.empty()) position = {held.memory.front().source, held.memory.front().seq};
  auto done = [mailbox = mailbox_, did = account->did](const Answer& answer) {
    Note note;
    note.did = did;
    note.identity = answer;
    mailbox->Post(std::move(note));
  };
  const identity::Ask how = held.wait == Wait::kRefresh ? identity::Ask::kRefresh : identity::Ask::kCached;
  options_.resolver->Resolve(account->did, position, how, std::move(done));
}

bool Worker::AskStatus(Account* account, const Source* source) {
  if (options_.host_status == nullptr) return false;
  // The account's own host knows best; a relay is the next best.
  std::string origin = source != nullptr ? source->origin : std::string();
  const identity::IdentityPtr identity = options_.resolver->Find(account->did, {});
  if (identity && !identity->pds.empty()) origin = identity->pds;
  if (origin.empty()) return false;
  account->status_asked_us = MonotonicMicros();
  options_.counters->Count("status_asked");
  options_.host_status->Ask(origin, account->did, [mailbox = mailbox_, did = account->did](const sync::HostStatus& host) {
    Note note;
    note.did = did;
    note.about = Note::About::kStatus;
    note.host = host;
    mailbox->Post(std::move(note));
  });
  return true;
}

bool Worker::MayAskStatus(const Account& account) const {
  if (options_.host_status == nullptr) return false;
  return account.status_asked_us == 0 || MonotonicMicros() - account.status_asked_us >= options_.status_interval_us;
}

void Worker::OnNotes() {
  for (Note& note : mailbox_->Take()) {
    if (!failed_.ok()) return;
    switch (note.about) {
      case Note::About::kIdentity:
        OnIdentityNote(note);
        break;
      case Note::About::kHandle:
        OnHandleNote(note);
        break;
      case Note::About::kStatus:
        OnStatusNote(note);
        break;
      case Note::About::kImport:
        OnImportNote(&note);
        break;
    }
  }
}

void Worker::OnIdentityNote(const Note& note) {
  const identity::IdentityPtr& identity = note.identity.identity;
  const bool answered = note.identity.status.ok() && identity != nullptr;
  // Not what was purged since the answer came: purges come from this thread, so the resolver knows of every one that was written.
  const bool current = answered && (identity->fault || options_.resolver->Find(note.did, {}) == identity);
  if (current && durable_holding() && identity->asked_us != identity::kAlwaysCurrent) {
    ChangeSetPtr change = NewControl();
    // Who is nobody is not kept: anybody could fill the table with DIDs that never were.
    if (identity->fault) {
      change->identity_purged = change->arena.Copy(note.did);
    } else {
      change->identity = identity;
    }
    Emit(std::move(change), accounts_.Peek(note.did));
  }
  Account* account = accounts_.Peek(note.did);
  if (account == nullptr || !account->held || !account->held->asking || account->held->wait == Wait::kStatus) return;
  HeldEvents& held = *account->held;
  held.asking = false;
  --asking_;
  if (answered) {
    held.answer = identity;
    held.backoff_us = 0;
    failed_.Update(Drain(account));
    return;
  }
  options_.counters->Count("identity_unavailable");
  // Anything between half of a growing wait and all of it, so that thousands of accounts do not come back at once.
  held.backoff_us = std::clamp(held.backoff_us * 2, options_.ask_again_min_us, options_.ask_again_max_us);
  jitter_ = jitter_ * 6364136223846793005u + 1442695040888963407u;
  const int64_t wait = held.backoff_us / 2 + static_cast<int64_t>((jitter_ >> 33) % static_cast<uint64_t>(held.backoff_us / 2 + 1));
  held.retry_at_us = MonotonicMicros() + std::max(wait, note.identity.retry_after_us);
  Arm(account, held.retry_at_us);
}

void Worker::OnHandleNote(const Note& note) {
  // Purges come from this thread: what the resolver knows now cannot be older than the last one that was written.
  const identity::IdentityPtr& identity = note.identity.identity;
  if (!durable_holding() || options_.resolver->Find(note.did, {}) != identity) return;
  ChangeSetPtr change = NewControl();
  change->identity = identity;
  Emit(std::move(change), accounts_.Peek(note.did));
}

void Worker::OnStatusNote(const Note& note) {
  Account* account = accounts_.Peek(note.did);
  if (account == nullptr) return;
  if (note.host.status.ok() && note.host.active != account->state.active) {
    ChangeSetPtr change = NewControl();
    TakeStatus(account, note.host, change.get());
    Emit(std::move(change), account);
  }
  if (!account->held || !account->held->asking || account->held->wait != Wait::kStatus) return;
  account->held->asking = false;
  --asking_;
  failed_.Update(Drain(account));
}

void Worker::TakeStatus(Account* account, const sync::HostStatus& status, indexer::ChangeSet* change) {
  change->kind = indexer::EventKind::kAccount;
  change->source = kAskedSource;
  // Answers have no seq: the time stands for it, and never goes back, or the store would take the answer for an old one.
  int64_t& seq = account->account_seqs[std::string(kAskedSource)];
  seq = std::max(seq + 1, options_.clock->NowMicros());
  change->seq = seq;
  change->did = change->arena.Copy(account->did);
  change->account = indexer::AccountRow{status.active, change->arena.Copy(status.text)};
  if (status.active && !account->state.active) MarkReturned(account, change);
  account->state.active = status.active;
  account->state.status = status.text;
  account->status_source = kAskedSource;
  options_.counters->Count("status_corrected");
}

void Worker::MarkReturned(Account* account, indexer::ChangeSet* change) {
  // Its commits were ignored while it was away, and a relay may not even have passed them on.
  if (account->state.sync_state != sync::SyncState::kSynchronized || !durable_holding()) return;
  account->state.sync_state = sync::SyncState::kPartial;
  indexer::RepoRow row;
  row.sync_state = sync::SyncState::kPartial;
  row.reason = "reactivated";
  change->repo = row;
}

void Worker::OnTimers() {
  const int64_t now = MonotonicMicros();
  while (failed_.ok() && !timers_.empty() && timers_.top().at_us <= now) {
    const Timer timer = timers_.top();
    timers_.pop();
    absl::StatusOr<Account*> found = FindAccount(timer.did);
    if (!found.ok()) {
      failed_ = found.status();
      return;
    }
    Account* const account = *found;
    if (!account->held) continue;
    HeldEvents& held = *account->held;
    if (timer.at_us != 0 && timer.at_us != held.wake_at_us) continue;  // overtaken by an earlier one
    held.wake_at_us = 0;
    if (durable_holding() && !held.memory.empty()) {
      const int64_t at = held.memory.front().arrived_us + limits_.store_after_us;
      if (at <= now) {
        StoreHeld(account);
      } else {
        Arm(account, at);
      }
    }
    if (held.asking || (held.wait == Wait::kDesynchronized && !held.drain)) continue;
    if (held.retry_at_us > now) {
      Arm(account, held.retry_at_us);
    } else if (held.drain || timer.at_us == 0) {
      failed_.Update(Drain(account));
    } else {
      Ask(account);
    }
  }
}

absl::Status Worker::Drain(Account* account) {
  account->held->drain = false;
  bool going = true;
  while (going && account->held) {
    HeldEvents& held = *account->held;
    if (held.stored_events > 0) {
      if (durable_.load(std::memory_order_acquire) < held.stored_change) {
        held.drain = true;
        held.retry_at_us = MonotonicMicros() + kDurableCheckUs;
        Arm(account, held.retry_at_us);
        return absl::OkStatus();
      }
      ASSIGN_OR_RETURN(going, DrainStored(account));
    } else if (!held.memory.empty()) {
      going = DrainMemory(account);
    } else {
      Unhold(account);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> Worker::DrainStored(Account* account) {
  std::vector<sync::StoredHeldEvent> events;
  for (;;) {
    const absl::Status status = store_->LoadHeld(account->did, account->held->judged, kPieceBytes, &events);
    if (status.ok()) break;
    if (!IsTransient(status) || give_up_.load(std::memory_order_relaxed)) return status;
    options_.counters->Count("state_store_unavailable");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  HeldEvents& held = *account->held;
  if (events.empty()) {
    // An event that came again while it was held is in the store once, and was counted twice.
    held_events_ -= held.stored_events;
    held_bytes_ -= held.stored_bytes;
    held.stored_events = held.stored_bytes = 0;
    return true;
  }
  for (const sync::StoredHeldEvent& stored : events) {
    RETURN_IF_ERROR(firehose::DecodeFrame(AsBytes(stored.frame), &stored_frame_));
    Event event;
    event.frame = &stored_frame_;
    event.raw = AsBytes(stored.frame);
    event.source_name = stored.source;
    event.source = SourceNamed(stored.source);
    event.ticket = kNoTicket;
    event.seq = stored.seq;
    event.arrival_wall_us = stored.arrived_at;
    event.how = {{stored.source, stored.seq}, stored.gated, 0, stored.arrived_at, {}, Wanted(options_, stored_frame_), held.answer};
    if (event.source != nullptr) event.how.authority = event.source->authority;
    event.stored_ordinal = stored.ordinal;
    if (const std::optional<Wait> wait = Process(account, event)) {
      StartWaiting(account, *wait);
      return false;
    }
    held.answer.reset();
    held.judged = stored.ordinal;
    --held.stored_events;
    const uint64_t bytes = std::min<uint64_t>(stored.frame.size(), held.stored_bytes);
    held.stored_bytes -= bytes;
    held_bytes_ -= bytes;
    --held_events_;
  }
  return true;
}

bool Worker::DrainMemory(Account* account) {
  HeldEvents& held = *account->held;
  HeldEvent& first = held.memory.front();
  Event event;
  event.frame = &first.delivery->frame;
  event.raw = first.delivery->buffer.bytes();
  event.source = SourceNamed(first.source);
  event.source_name = first.source;
  event.ticket = first.ticket;
  event.seq = first.seq;
  event.arrival_wall_us = first.arrived_wall_us;
  event.how = {{first.source, first.seq}, first.gated,        first.arrived_us,
               first.arrived_wall_us,     event.source->authority, Wanted(options_, first.delivery->frame), held.answer};
  if (const std::optional<Wait> wait = Process(account, event)) {
    StartWaiting(account, *wait);
    return false;
  }
  held.answer.reset();
  const uint64_t cost = first.cost();
  held.memory_bytes -= cost;
  memory_bytes_ -= cost;
  held_bytes_ -= cost;
  --held_events_;
  held.memory.pop_front();
  if (held.memory.empty()) in_memory_.erase(account);
  return true;
}

void Worker::StoreHeld(Account* account) {
  HeldEvents& held = *account->held;
  while (!held.memory.empty()) {
    ChangeSetPtr change = NewControl();
    change->source = held.memory.front().source;
    while (!held.memory.empty() && change->arena.bytes() < kPieceBytes) {
      HeldEvent& event = held.memory.front();
      indexer::HeldRow row;
      row.did = change->arena.Copy(account->did);
      row.source = event.source;
      row.seq = event.seq;
      row.ordinal = event.ordinal;
      row.reason = sync::WaitName(held.wait);
      row.gated = event.gated;
      row.frame = change->arena.Copy(event.delivery->buffer.bytes());
      row.arrived_at = event.arrived_wall_us;
      change->held.push_back(row);
      change->settles.push_back({event.source, event.ticket});
      const uint64_t cost = event.cost();
      held.memory_bytes -= cost;
      memory_bytes_ -= cost;
      held_bytes_ = held_bytes_ - cost + row.frame.size();
      held.stored_bytes += row.frame.size();
      ++held.stored_events;
      held.stored_last = event.ordinal;
      held.memory.pop_front();
    }
    options_.counters->Count("held_stored", change->held.size());
    Emit(std::move(change), account);
    held.stored_change = number_;
  }
  in_memory_.erase(account);
}

void Worker::StoreAll() {
  if (!durable_holding()) return;
  const std::vector<Account*> accounts(in_memory_.begin(), in_memory_.end());
  for (Account* account : accounts) StoreHeld(account);
}

void Worker::Overflow(Account* account) {
  HeldEvents& held = *account->held;
  ChangeSetPtr change = NewControl();
  change->source = held.memory.front().source;
  Desynchronize(account, RejectName(Reject::kHeldOverflow), change.get());
  if (account->import) account->import->dropped = true;
  change->held_done = indexer::HeldDone{change->did, account->next_ordinal - 1};
  for (const HeldEvent& event : held.memory) change->settles.push_back({event.source, event.ticket});
  options_.counters->Count(Reject::kHeldOverflow);
  options_.counters->Count("held_dropped", held.events());
  Emit(std::move(change), account);
  Unhold(account);
}

void Worker::Unhold(Account* account) {
  HeldEvents& held = *account->held;
  held_events_ -= held.events();
  held_bytes_ -= held.bytes();
  memory_bytes_ -= held.memory_bytes;
  if (held.asking) --asking_;
  --held_accounts_;
  in_memory_.erase(account);
  account->held.reset();
  if (options_.tracked != nullptr && account->state.sync_state == sync::SyncState::kUntracked) {
    options_.tracked->Forget(account->did);
  }
}

}  // namespace penstock::pipeline
