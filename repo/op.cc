#include "repo/op.h"

#include <array>

namespace penstock::repo {
namespace {

constexpr std::array<std::string_view, 3> kActionNames = {"create", "update", "delete"};

}  // namespace

std::string_view ActionName(Action action) { return kActionNames[static_cast<size_t>(action)]; }

std::optional<Action> ActionFromName(std::string_view name) {
  for (size_t i = 0; i < kActionNames.size(); ++i) {
    if (name == kActionNames[i]) return static_cast<Action>(i);
  }
  return std::nullopt;
}

}  // namespace penstock::repo
