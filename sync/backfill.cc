#include "sync/backfill.h"

#include <array>
#include <utility>

namespace penstock::sync {
namespace {

template <typename Enum, size_t kSize>
std::string_view NameIn(const std::array<std::string_view, kSize>& names, Enum value) {
  return names[static_cast<size_t>(value)];
}

template <typename Enum, size_t kSize>
std::optional<Enum> FromName(const std::array<std::string_view, kSize>& names, std::string_view name) {
  for (size_t i = 0; i < kSize; ++i) {
    if (names[i] == name) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

constexpr std::array<std::string_view, 4> kRunKinds = {"filter", "gap", "resync", "manual"};
constexpr std::array<std::string_view, 3> kRunStates = {"open", "done", "cancelled"};
constexpr std::array<std::string_view, 4> kTaskStates = {"queued", "running", "done", "failed"};

}  // namespace

std::string_view RunKindName(RunKind kind) { return NameIn(kRunKinds, kind); }
std::optional<RunKind> RunKindFromName(std::string_view name) { return FromName<RunKind>(kRunKinds, name); }
std::string_view RunStateName(RunState state) { return NameIn(kRunStates, state); }
std::optional<RunState> RunStateFromName(std::string_view name) { return FromName<RunState>(kRunStates, name); }
std::string_view TaskStateName(TaskState state) { return NameIn(kTaskStates, state); }
std::optional<TaskState> TaskStateFromName(std::string_view name) { return FromName<TaskState>(kTaskStates, name); }

std::string OpenGap::Text() const {
  return source + " " + shard + " " + std::to_string(opened_seq) + " " + reason + " " + std::to_string(opened_at);
}

}  // namespace penstock::sync
