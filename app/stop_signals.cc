#include "app/stop_signals.h"

#include <csignal>

namespace penstock::app {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set from a signal handler");

void OnSignal(int signal) {
  stop.store(true, std::memory_order_relaxed);
  std::signal(signal, SIG_DFL);  // the next one is not ours
}

}  // namespace

const std::atomic<bool>& StopOnSignals() {
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
  return stop;
}

}  // namespace penstock::app
