#include "sync/policies.h"

#include "base/status.h"

namespace penstock::sync {

std::string_view AllowName(Allow allow) {
  switch (allow) {
    case Allow::kLegacyCommits:
      return "legacy-commits";
    case Allow::kPartialProofs:
      return "partial-proofs";
    case Allow::kSinceMismatch:
      return "since-mismatch";
  }
  return "";
}

absl::StatusOr<Policies> Policies::Make(const std::vector<std::string>& names) {
  Policies policies;
  for (const std::string& name : names) {
    bool known = false;
    for (Allow allow : kAllAllows) {
      if (AllowName(allow) != name) continue;
      policies.Add(allow);
      known = true;
    }
    if (known) continue;
    std::string all;
    for (Allow allow : kAllAllows) all.append(all.empty() ? "" : ", ").append(AllowName(allow));
    return InvalidInputError("--allow: '" + name + "' is none of " + all);
  }
  return policies;
}

}  // namespace penstock::sync
