#pragma once

// Named relaxations: what an operator may let through that strict verification refuses (docs/verification.md). All off by default;
// each use is counted as allowed_<name> and written on the rows it let in, whose level is then `signature`.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace penstock::sync {

enum class Allow : uint8_t {
  kLegacyCommits,   // "legacy-commits": no prevData, or ops without prev (hosts older than Sync v1.1)
  kPartialProofs,   // "partial-proofs": undoing the ops meets a node that the commit does not bring
  kSinceMismatch,   // "since-mismatch": `since` is another rev, but prevData is the tree that we hold
};
inline constexpr Allow kAllAllows[] = {Allow::kLegacyCommits, Allow::kPartialProofs, Allow::kSinceMismatch};
std::string_view AllowName(Allow allow);

class Policies {
 public:
  // Errors: kInvalidArgument, naming what exists.
  static absl::StatusOr<Policies> Make(const std::vector<std::string>& names);
  bool Allows(Allow allow) const { return (bits_ >> static_cast<unsigned>(allow)) & 1u; }
  void Add(Allow allow) { bits_ |= static_cast<uint8_t>(1u << static_cast<unsigned>(allow)); }

 private:
  uint8_t bits_ = 0;
};

}  // namespace penstock::sync
