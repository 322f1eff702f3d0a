#include "sync/account_state.h"

#include <iterator>

namespace penstock::sync {
namespace {

constexpr std::string_view kNames[] = {"", "partial", "synchronized", "desynchronized", "in_progress"};

}  // namespace

std::string_view SyncStateName(SyncState state) { return kNames[static_cast<size_t>(state)]; }

std::optional<SyncState> SyncStateFromName(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<SyncState>(i);
  }
  return std::nullopt;
}

}  // namespace penstock::sync
