#include "net/body_pipe.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "net/xrpc_answers.h"

namespace penstock::net {
namespace {

// Short pieces are joined up to so many bytes, so that a host that sends byte by byte costs no more than its bytes.
constexpr size_t kJoinedBytes = 64 * 1024;

}  // namespace

struct BodyPipe::State {
  explicit State(size_t most) : max_bytes(most) {}

  bool Fits(size_t more) const { return bytes == 0 || bytes + more <= max_bytes; }
  static void Call(std::function<void()>* callback) {
    if (const std::function<void()> call = std::exchange(*callback, nullptr)) call();
  }

  const size_t max_bytes;

  mutable std::mutex mutex;
  // All below are guarded by it; `outcome` and `origin` do not change once `ended`, and are read without it then.
  std::condition_variable changed;  // there is a piece, or it ended
  std::deque<std::string> pieces;
  size_t bytes = 0;   // of them
  std::string spare;  // memory that comes back from the reader
  std::function<void()> when_room, when_cancelled;
  size_t refused = 0;  // bytes of the piece that `when_room` is for
  bool ended = false, cancelled = false;
  XrpcOutcome outcome;
  std::string origin;
};

BodyPipe::BodyPipe(size_t max_bytes) : state_(std::make_unique<State>(max_bytes)) {}
BodyPipe::~BodyPipe() = default;

bool BodyPipe::Read(std::string* piece, int64_t timeout_us, bool* timed_out) {
  State& state = *state_;
  const auto until = std::chrono::steady_clock::now() + std::chrono::microseconds(timeout_us);
  std::unique_lock lock(state.mutex);
  *timed_out = !state.changed.wait_until(lock, until, [&] { return state.ended || !state.pieces.empty(); });
  if (state.pieces.empty()) return false;
  piece->swap(state.pieces.front());
  state.spare.swap(state.pieces.front());
  state.spare.clear();
  state.pieces.pop_front();
  state.bytes -= piece->size();
  // Not for every piece that leaves a full pipe: the sender is better woken for some work than for a little.
  if (state.Fits(state.refused) && state.bytes <= state.max_bytes / 2) State::Call(&state.when_room);
  return true;
}

const XrpcOutcome& BodyPipe::outcome() const { return state_->outcome; }
const std::string& BodyPipe::origin() const { return state_->origin; }

void BodyPipe::Cancel() {
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  if (state.cancelled) return;
  state.cancelled = true;
  state.pieces.clear();
  state.bytes = 0;
  if (!state.ended) {
    state.ended = true;
    state.outcome.status = absl::CancelledError("the reader wants no more");
  }
  State::Call(&state.when_room);
  State::Call(&state.when_cancelled);
  state.changed.notify_all();
}

bool BodyPipe::Write(std::string* piece, std::function<void()> when_room) {
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  if (state.cancelled || piece->empty()) {
    piece->clear();
    return true;
  }
  if (!state.Fits(piece->size())) {
    state.when_room = std::move(when_room);
    state.refused = piece->size();
    return false;
  }
  state.bytes += piece->size();
  if (!state.pieces.empty() && state.pieces.back().size() + piece->size() <= kJoinedBytes) {
    state.pieces.back().append(*piece);
  } else {
    state.pieces.push_back(std::move(*piece));
    *piece = std::exchange(state.spare, {});
  }
  piece->clear();
  state.changed.notify_one();
  return true;
}

void BodyPipe::OnCancel(std::function<void()> when_cancelled) {
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  state.when_cancelled = std::move(when_cancelled);
  if (state.cancelled) State::Call(&state.when_cancelled);
}

bool BodyPipe::cancelled() const {
  std::lock_guard lock(state_->mutex);
  return state_->cancelled;
}

void BodyPipe::End(const XrpcOutcome& outcome, std::string origin) {
  State& state = *state_;
  std::lock_guard lock(state.mutex);
  state.when_room = nullptr;
  state.when_cancelled = nullptr;
  if (state.ended) return;
  state.ended = true;
  state.outcome = outcome;
  // A status of its own, not one more reference: they are counted inside Abseil, where ThreadSanitizer does not look, so that
  // it takes the last of them for a race.
  state.outcome.status = absl::Status(outcome.status.code(), outcome.status.message());
  state.origin = std::move(origin);
  state.changed.notify_one();
}

}  // namespace penstock::net
