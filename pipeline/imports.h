#pragma once

// The pipeline's side of pipeline/import_port.h: carries requests to the workers, and bounds what is on its way to the writer.

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "pipeline/import_port.h"
#include "pipeline/intake.h"
#include "pipeline/tracked.h"

namespace penstock::pipeline {

class Mailbox;

// What a worker is asked to do with an account, and its answer. Whoever drops it unanswered answers kCancelled.
struct ImportRequest {
  enum class What : uint8_t { kPrepare, kBegin, kFinish, kAbandon, kStatus, kPurge };
  struct Answer {
    absl::Status status;
    AccountView view = {};  // kPrepare
    bool current = false;  // kBegin
    // kBegin: durable once `*durable` has reached this.
    uint64_t number = 0;
    const std::atomic<uint64_t>* durable = nullptr;
  };

  explicit ImportRequest(What request) : what(request) {}
  ~ImportRequest();
  ImportRequest(const ImportRequest&) = delete;
  ImportRequest& operator=(const ImportRequest&) = delete;
  // Once.
  void Reply(Answer answer);

  const What what;
  sync::Head head;            // kBegin, kFinish
  bool long_term = false;     // kBegin
  bool tracked = true;        // kFinish
  indexer::ChangeSetPtr last;  // kFinish, kStatus
  sync::HostStatus status;    // kStatus
  uint64_t rows = 0;          // kPurge
  std::promise<Answer> answer;

 private:
  bool answered_ = false;
};

// How much of imports may be on its way to the store at once: what is beyond it waits, so that a live change never waits for more
// than this.
class ImportWindow : public std::enable_shared_from_this<ImportWindow> {
 public:
  explicit ImportWindow(size_t max_bytes) : max_bytes_(max_bytes) {}
  // Waits for room; one larger than the window has it alone. Null once closed. Its end gives the room back.
  std::shared_ptr<void> Acquire(size_t bytes);
  void Close();

 private:
  const size_t max_bytes_;
  std::mutex mutex_;
  std::condition_variable room_;
  size_t used_ = 0;      // guarded by mutex_, as all below
  bool closed_ = false;
};

class Imports final : public ImportPort {
 public:
  // All pointers outlive it. `mailboxes`: of the workers, in their order.
  Imports(std::vector<std::shared_ptr<Mailbox>> mailboxes, ChangeQueue* writer, indexer::ChangeSetRecycler* changes);
  ~Imports() override;

  absl::StatusOr<AccountView> Prepare(std::string_view did) override;
  absl::Status Begin(std::string_view did, const sync::Head& head, bool long_term, bool* current) override;
  indexer::ChangeSetPtr NewChange() override;
  absl::Status Write(indexer::ChangeSetPtr part) override;
  absl::Status WaitDurable() override;
  absl::Status Finish(std::string_view did, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) override;
  absl::Status Abandon(std::string_view did) override;
  absl::Status SetStatus(std::string_view did, const sync::HostStatus& status, indexer::ChangeSetPtr last) override;
  absl::Status Purge(std::string_view did, uint64_t rows) override;

  // Nothing more gets durable: whoever waits is told kCancelled. From any thread.
  void Close();

 private:
  ImportRequest::Answer Ask(std::string_view did, std::unique_ptr<ImportRequest> request);
  absl::Status WaitFor(const std::atomic<uint64_t>& durable, uint64_t number) const;

  const std::vector<std::shared_ptr<Mailbox>> mailboxes_;
  ChangeQueue* const writer_;
  indexer::ChangeSetRecycler* const changes_;
  const std::shared_ptr<ImportWindow> window_;
  std::mutex write_mutex_;    // numbers go to the writer in their order
  uint64_t written_ = 0;      // guarded by write_mutex_: number of the last part
  std::atomic<uint64_t> durable_{0};
  std::atomic<bool> closed_{false};
};

}  // namespace penstock::pipeline
