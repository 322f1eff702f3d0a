#pragma once

// A body on its way from the thread that receives it to the thread that reads it, piece by piece, bounded: while it is full the
// sender waits, and with it the host. One sender, one reader.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>

#include "absl/status/status.h"

namespace penstock::net {

struct XrpcOutcome;

class BodyPipe {
 public:
  explicit BodyPipe(size_t max_bytes = 1 << 20);
  ~BodyPipe();
  BodyPipe(const BodyPipe&) = delete;
  BodyPipe& operator=(const BodyPipe&) = delete;

  // ---- The reader's thread; blocks
  // The next piece into `*piece` (its memory is reused): true; false at the end, whose outcome is then known, or after
  // `timeout_us` without a piece (then `*timed_out`).
  bool Read(std::string* piece, int64_t timeout_us, bool* timed_out);
  // After Read was false and not timed out.
  const XrpcOutcome& outcome() const;
  // The host that answered at last, after redirects: an origin.
  const std::string& origin() const;
  // The reader wants no more: the sender ends soon. From any thread.
  void Cancel();

  // ---- The sender's thread; never blocks
  // False if it is full: `*piece` was not taken, and `when_room` is called once, on the reader's thread, when there is room or the
  // reader cancelled.
  bool Write(std::string* piece, std::function<void()> when_room);
  bool cancelled() const;
  void End(const XrpcOutcome& outcome, std::string origin);

 private:
  struct State;
  State* const state_;
};

}  // namespace penstock::net
