#pragma once

// A body on its way from the thread that receives it to the thread that reads it, piece by piece, bounded: while it is full the
// sender waits, and with it the host. One sender, one reader.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace penstock::net {

struct XrpcOutcome;

class BodyPipe {
 public:
  // Holds `max_bytes`, or one piece that is longer.
  explicit BodyPipe(size_t max_bytes = 1 << 20);
  ~BodyPipe();
  BodyPipe(const BodyPipe&) = delete;
  BodyPipe& operator=(const BodyPipe&) = delete;

  // ---- The reader's thread; blocks
  // The next piece into `*piece` (its memory is reused): true; false at the end, whose outcome is then known, or after
  // `timeout_us` without a piece (then `*timed_out`). What was written before the end is read before it, unless the reader
  // cancelled: from then on it is false at once.
  bool Read(std::string* piece, int64_t timeout_us, bool* timed_out);
  // After Read was false and not timed out; does not change any more. kCancelled if the reader cancelled before the end.
  const XrpcOutcome& outcome() const;
  // The host that answered at last, after redirects: an origin. Empty if the reader cancelled before the end.
  const std::string& origin() const;

  // From any thread: the reader wants no more. Its Read returns, and the sender ends soon.
  void Cancel();

  // ---- The sender's thread; never blocks
  // False if it is full: `*piece` was not taken, and `when_room` is called once, when it would be or when the reader cancelled.
  // After true `*piece` is empty, with memory to use again. A pipe that was cancelled takes everything, and keeps nothing.
  //
  // Both callbacks come from the reader's thread, or from the one that cancels, and not any more once End has returned. They
  // must not touch the pipe (it is locked), so they post.
  bool Write(std::string* piece, std::function<void()> when_room);
  // `when_cancelled` is called once: at once if the reader cancelled already.
  void OnCancel(std::function<void()> when_cancelled);
  bool cancelled() const;
  // There is no more. Once.
  void End(const XrpcOutcome& outcome, std::string origin);

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

}  // namespace penstock::net
