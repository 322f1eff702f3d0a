#pragma once

// Answers on their way back to a worker: whoever answers may do so on any thread, at any time, also when the worker is gone.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "identity/resolver.h"
#include "pipeline/imports.h"
#include "pipeline/intake.h"
#include "sync/host_status.h"

namespace penstock::pipeline {

struct Note {
  std::string did;
  enum class About : uint8_t {
    kIdentity,  // the answer to a question of ours
    kHandle,    // nobody asked: more is known of an identity
    kStatus,    // the answer of a host
    kImport,    // a repository is being taken in
  } about = About::kIdentity;
  identity::Answer identity;
  sync::HostStatus host;
  std::unique_ptr<ImportRequest> import;
};

class Mailbox {
 public:
  // `queue` is woken by a task without delivery for each note; until Close.
  explicit Mailbox(TaskQueue* queue) : queue_(queue) {}

  // Dropped when more than `most` wait already.
  void Post(Note note, size_t most = std::numeric_limits<size_t>::max()) {
    std::lock_guard lock(mutex_);
    if (queue_ == nullptr || notes_.size() > most) return;
    notes_.push_back(std::move(note));
    if (notes_.size() == 1) queue_->PushNow(Task{}, 0);
  }
  std::vector<Note> Take() {
    std::lock_guard lock(mutex_);
    return std::exchange(notes_, {});
  }
  void Close() {
    std::lock_guard lock(mutex_);
    queue_ = nullptr;
    notes_.clear();
  }

 private:
  std::mutex mutex_;
  TaskQueue* queue_;         // guarded by mutex_, as the notes
  std::vector<Note> notes_;
};

}  // namespace penstock::pipeline
