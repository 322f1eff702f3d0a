#include "pipeline/pipeline.h"

#include <chrono>
#include <utility>

#include "base/status.h"

namespace penstock::pipeline {

Pipeline::Pipeline(const PipelineOptions& options, Output* output)
    : options_(options), output_(output), writer_queue_(options.writer_queue_items, options.writer_queue_bytes) {
  // Without a filter that leaves something out, every account is followed anyway.
  const bool selects = !options_.verify_all && !options_.filter->everything();
  options_.tracked = options_.verify == indexer::Verification::kFull && selects ? &tracked_ : nullptr;
  std::vector<TaskQueue*> queues;
  for (size_t i = 0; i < options_.workers; ++i) {
    tasks_.push_back(std::make_unique<TaskQueue>(options_.worker_queue_items, options_.worker_queue_bytes));
    queues.push_back(tasks_.back().get());
    workers_.push_back(std::make_unique<Worker>(options_, queues.back(), &writer_queue_, &changes_));
  }
  intake_ = std::make_unique<Intake>(options_, std::move(queues), &writer_queue_, &changes_);
  std::vector<std::shared_ptr<Mailbox>> mailboxes;
  for (const auto& worker : workers_) mailboxes.push_back(worker->mailbox());
  imports_ = std::make_unique<Imports>(std::move(mailboxes), &writer_queue_, &changes_);
}

Pipeline::~Pipeline() {
  if (writer_thread_.joinable()) (void)Finish(0);
}

void Pipeline::AddSource(std::string name, std::optional<int64_t> cursor,
                         const std::vector<indexer::StoredQuarantine>& quarantine, const SourceOptions& options) {
  Source* source = intake_->AddSource(std::move(name), cursor, options);
  for (const indexer::StoredQuarantine& entry : quarantine) {
    if (entry.source == source->name) source->quarantined.emplace(entry.position, entry.frame_sha256);
  }
  sources_.push_back(source);
}

absl::Status Pipeline::LoadState() {
  if (!options_.state_store || options_.verify == indexer::Verification::kCid) return absl::OkStatus();
  const std::unique_ptr<sync::StateStore> store = options_.state_store();
  if (options_.tracked != nullptr) {
    RETURN_IF_ERROR(store->ForEachTracked([this](std::string_view did) { tracked_.Add(did); }));
  }
  // All or none: who asks again after an error must not count them twice.
  std::vector<sync::HeldAccount> accounts;
  RETURN_IF_ERROR(store->ForEachHeldAccount([&](const sync::HeldAccount& held) { accounts.push_back(held); }));
  for (const sync::HeldAccount& held : accounts) {
    if (options_.tracked != nullptr) tracked_.Add(held.did);
    workers_[WorkerOf(held.did, workers_.size())]->AddHeldAccount(held);
  }
  return absl::OkStatus();
}

void Pipeline::Fail() {
  imports_->Close();
  writer_queue_.Close();  // workers must not wait for room that nobody will make
  if (!failed_.exchange(true) && on_failure_) on_failure_();
}

absl::Status Pipeline::Start(std::function<void()> on_failure) {
  RETURN_IF_ERROR(LoadState());
  on_failure_ = std::move(on_failure);
  writer_ = std::make_unique<Writer>(options_, &writer_queue_, output_, sources_);
  worker_statuses_.resize(workers_.size());
  for (size_t i = 0; i < workers_.size(); ++i) {
    workers_[i]->SetSources(sources_);
    worker_threads_.emplace_back([this, i] {
      worker_statuses_[i] = workers_[i]->Run();
      if (worker_statuses_[i].ok()) return;
      tasks_[i]->Close();
      Fail();
    });
  }
  writer_thread_ = std::thread([this] {
    writer_status_ = writer_->Run();
    writer_done_.store(true);
    if (!writer_status_.ok()) Fail();
  });
  return absl::OkStatus();
}

void Pipeline::Settle(int64_t timeout_us, const std::atomic<bool>* stop) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  // A question that is answered lets events go on that ask the next one: only a second quiet look counts.
  int quiet = 0;
  while (quiet < 3 && !failed_.load() && std::chrono::steady_clock::now() < deadline) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return;
    const Stats now = stats();
    bool queues_empty = true;
    for (const auto& queue : tasks_) queues_empty = queues_empty && queue->size() == 0;
    quiet = queues_empty && now.asking == 0 ? quiet + 1 : 0;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

std::function<void(const identity::IdentityPtr&)> Pipeline::IdentityKeeper() const {
  // Answers to questions have a right to wait; these have none.
  constexpr size_t kMostWaiting = 4096;
  std::vector<std::shared_ptr<Mailbox>> mailboxes;
  for (const auto& worker : workers_) mailboxes.push_back(worker->mailbox());
  return [mailboxes = std::move(mailboxes)](const identity::IdentityPtr& identity) {
    Note note;
    note.did = identity->did;
    note.about = Note::About::kHandle;
    note.identity.identity = identity;
    mailboxes[WorkerOf(identity->did, mailboxes.size())]->Post(std::move(note), kMostWaiting);
  };
}

absl::Status Pipeline::Finish(int64_t timeout_us) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  imports_->Close();
  for (auto& queue : tasks_) queue->Close();
  // While the output is away the workers wait for the writer: give up in time, then everything unwinds.
  std::thread watchdog([this, deadline] {
    while (!writer_done_.load()) {
      if (std::chrono::steady_clock::now() >= deadline) {
        if (writer_->waiting_for_output()) writer_->GiveUp();
        for (auto& worker : workers_) worker->GiveUp();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  for (std::thread& thread : worker_threads_) thread.join();
  worker_threads_.clear();
  writer_queue_.Close();
  writer_thread_.join();
  watchdog.join();
  for (const absl::Status& status : worker_statuses_) RETURN_IF_ERROR(status);
  return writer_status_;
}

Pipeline::Stats Pipeline::stats() const {
  Stats stats;
  stats.frames = intake_->frames();
  stats.matched = intake_->matched();
  if (writer_) {
    const Writer::Totals totals = writer_->totals();
    stats.rows = totals.rows_written;
    stats.stale = totals.rows_stale;
    stats.refused = totals.rows_refused;
    stats.batches = totals.batches;
    stats.waiting_for_output = writer_->waiting_for_output();
  }
  stats.queued = writer_queue_.size();
  for (const auto& queue : tasks_) stats.queued += queue->size();
  for (const auto& worker : workers_) {
    const Worker::Stats held = worker->stats();
    stats.held_accounts += held.held_accounts;
    stats.held_events += held.held_events;
    stats.held_bytes += held.held_bytes;
    stats.asking += held.asking;
  }
  stats.tracked = tracked_.size();
  return stats;
}

std::vector<Pipeline::SourceStats> Pipeline::sources() const {
  std::vector<SourceStats> all;
  for (const Source* source : sources_) {
    const int64_t durable = source->durable.load(std::memory_order_relaxed);
    all.push_back({source->name, source->watermark.High(),
                   durable < 0 ? std::nullopt : std::optional<int64_t>(durable), source->watermark.in_flight()});
  }
  return all;
}

}  // namespace penstock::pipeline
