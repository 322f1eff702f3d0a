#include "repo/verification.h"

#include <iterator>

namespace penstock::repo {
namespace {

constexpr std::string_view kNames[] = {"cid", "signature", "commit", "full", "export"};

}  // namespace

std::string_view VerificationName(Verification verification) { return kNames[static_cast<size_t>(verification)]; }

std::optional<Verification> VerificationFromName(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (kNames[i] == name) return static_cast<Verification>(i);
  }
  return std::nullopt;
}

}  // namespace penstock::repo
