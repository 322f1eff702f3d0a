#include "base/reject.h"

#include <array>

namespace penstock {
namespace {

constexpr std::array<std::string_view, kRejectCount> kNames = {
#define PENSTOCK_REJECT_NAME(enumerator, name) name,
    PENSTOCK_REJECTS(PENSTOCK_REJECT_NAME)
#undef PENSTOCK_REJECT_NAME
};

}  // namespace

std::string_view RejectName(Reject reject) { return kNames[static_cast<size_t>(reject)]; }

std::optional<Reject> RejectFromName(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Reject>(i);
  }
  return std::nullopt;
}

}  // namespace penstock
