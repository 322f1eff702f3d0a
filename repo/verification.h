#pragma once

// What was proven of a change, weakest first (docs/verification.md). Stored with each row under its name.

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::repo {

enum class Verification : uint8_t {
  kCid,        // "cid": hashes, and the op is in the tree that the message shows
  kSignature,  // "signature": and the account signed that tree
  kCommit,     // "commit": and the ops are all that changed since the commit's own prevData
  kFull,       // "full": and that continues our chain
  kExport,     // "export": from a whole verified repository
};
std::string_view VerificationName(Verification verification);
std::optional<Verification> VerificationFromName(std::string_view name);

// The class that the guard compares: nothing that came in on a weak level may outlast what a strong one proves.
inline bool IsStrong(Verification v) { return v >= Verification::kCommit; }

}  // namespace penstock::repo
