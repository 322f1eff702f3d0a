#include "pipeline/imports.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/status.h"
#include "pipeline/mailbox.h"

namespace penstock::pipeline {
namespace {

// About what a store writes in a tenth of a second.
constexpr size_t kWindowBytes = 8 << 20;
constexpr auto kDurableCheck = std::chrono::milliseconds(2);

absl::Status Ending() { return absl::CancelledError("the pipeline is ending"); }

}  // namespace

ImportRequest::~ImportRequest() {
  if (!answered_) answer.set_value({.status = Ending()});
}

void ImportRequest::Reply(Answer reply) {
  answered_ = true;
  answer.set_value(std::move(reply));
}

std::shared_ptr<void> ImportWindow::Acquire(size_t bytes) {
  std::unique_lock lock(mutex_);
  room_.wait(lock, [&] { return closed_ || used_ == 0 || used_ + bytes <= max_bytes_; });
  if (closed_) return nullptr;
  used_ += bytes;
  return std::shared_ptr<void>(this, [self = shared_from_this(), bytes](void*) {
    std::lock_guard given_back(self->mutex_);
    self->used_ -= bytes;
    self->room_.notify_all();
  });
}

void ImportWindow::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  room_.notify_all();
}

Imports::Imports(std::vector<std::shared_ptr<Mailbox>> mailboxes, ChangeQueue* writer, indexer::ChangeSetRecycler* changes)
    : mailboxes_(std::move(mailboxes)),
      writer_(writer),
      changes_(changes),
      window_(std::make_shared<ImportWindow>(kWindowBytes)) {}

Imports::~Imports() = default;

void Imports::Close() {
  closed_.store(true, std::memory_order_relaxed);
  window_->Close();
}

ImportRequest::Answer Imports::Ask(std::string_view did, std::unique_ptr<ImportRequest> request) {
  std::future<ImportRequest::Answer> answer = request->answer.get_future();
  Note note;
  note.did = did;
  note.about = Note::About::kImport;
  note.import = std::move(request);
  mailboxes_[WorkerOf(did, mailboxes_.size())]->Post(std::move(note));
  return answer.get();
}

absl::Status Imports::WaitFor(const std::atomic<uint64_t>& durable, uint64_t number) const {
  while (durable.load(std::memory_order_acquire) < number) {
    if (closed_.load(std::memory_order_relaxed)) return Ending();
    std::this_thread::sleep_for(kDurableCheck);
  }
  return absl::OkStatus();
}

absl::StatusOr<AccountView> Imports::Prepare(std::string_view did) {
  ImportRequest::Answer answer = Ask(did, std::make_unique<ImportRequest>(ImportRequest::What::kPrepare));
  RETURN_IF_ERROR(answer.status);
  return std::move(answer.view);
}

absl::Status Imports::Begin(std::string_view did, const sync::Head& head, bool long_term, bool* current) {
  auto request = std::make_unique<ImportRequest>(ImportRequest::What::kBegin);
  request->head = head;
  request->long_term = long_term;
  const ImportRequest::Answer answer = Ask(did, std::move(request));
  RETURN_IF_ERROR(answer.status);
  *current = answer.current;
  return WaitFor(*answer.durable, answer.number);
}

indexer::ChangeSetPtr Imports::NewChange() {
  indexer::ChangeSetPtr change = changes_->Take();
  change->kind = indexer::EventKind::kControl;
  change->ticket = kNoTicket;
  return change;
}

absl::Status Imports::Write(indexer::ChangeSetPtr part) {
  const size_t cost = part->cost();
  part->credit = window_->Acquire(cost);
  if (part->credit == nullptr) return Ending();
  std::lock_guard lock(write_mutex_);
  part->number = ++written_;
  part->durable = &durable_;
  return writer_->Push(std::move(part), cost) ? absl::OkStatus() : Ending();
}

absl::Status Imports::WaitDurable() {
  uint64_t number;
  {
    std::lock_guard lock(write_mutex_);
    number = written_;
  }
  return WaitFor(durable_, number);
}

absl::Status Imports::Finish(std::string_view did, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) {
  last->credit = window_->Acquire(last->cost());
  if (last->credit == nullptr) return Ending();
  auto request = std::make_unique<ImportRequest>(ImportRequest::What::kFinish);
  request->head = head;
  request->tracked = tracked;
  request->last = std::move(last);
  return Ask(did, std::move(request)).status;
}

absl::Status Imports::Abandon(std::string_view did) {
  return Ask(did, std::make_unique<ImportRequest>(ImportRequest::What::kAbandon)).status;
}

absl::Status Imports::SetStatus(std::string_view did, const sync::HostStatus& status, indexer::ChangeSetPtr last) {
  auto request = std::make_unique<ImportRequest>(ImportRequest::What::kStatus);
  request->status = status;
  request->last = std::move(last);
  return Ask(did, std::move(request)).status;
}

absl::Status Imports::Purge(std::string_view did, uint64_t rows) {
  auto request = std::make_unique<ImportRequest>(ImportRequest::What::kPurge);
  request->rows = rows;
  return Ask(did, std::move(request)).status;
}

}  // namespace penstock::pipeline
