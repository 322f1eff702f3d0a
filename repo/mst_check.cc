#include "repo/mst_check.h"

#include <cstdint>

#include "base/status.h"

namespace penstock::repo {

absl::Status CheckMstNode(const cbor::CidView& left, std::span<const MstEntry> entries, int* level) {
  if (!entries.empty()) {
    // The first entry has no prefix, or is refused for it.
    if (*level == kRootLevel) *level = KeyHeight(entries.front().suffix);
    return absl::OkStatus();
  }
  if (*level == kRootLevel) {
    return left.empty() ? absl::OkStatus() : RejectError(Reject::kMstRootWithoutKey);
  }
  return left.empty() ? RejectError(Reject::kMstEmptyNode) : absl::OkStatus();
}

absl::Status CheckMstChildLevel(int level) {
  return level >= 0 ? absl::OkStatus() : RejectError(Reject::kMstTooDeep);
}

absl::Status CheckMstEntry(const MstEntry& entry, std::string_view before) {
  // `before` is empty for a node's first entry, which so cannot have a prefix.
  if (entry.prefix > before.size()) return RejectError(Reject::kMstBadPrefix);
  const size_t prefix = static_cast<size_t>(entry.prefix);
  const size_t size = prefix + entry.suffix.size();
  if (size == 0 || size > kMaxMstKeyBytes) return RejectError(Reject::kMstBadKey);
  // The shared bytes need no comparison: the key is greater if the first byte that is not shared is.
  if (entry.suffix.empty()) return RejectError(Reject::kMstKeyOrder);
  if (prefix == before.size()) return absl::OkStatus();
  const uint8_t here = static_cast<uint8_t>(entry.suffix.front());
  const uint8_t there = static_cast<uint8_t>(before[prefix]);
  if (here == there) return RejectError(Reject::kMstBadPrefix, "not maximal");
  return here > there ? absl::OkStatus() : RejectError(Reject::kMstKeyOrder);
}

absl::Status CheckMstOrder(std::string_view last, std::string_view key) {
  return key > last ? absl::OkStatus() : RejectError(Reject::kMstKeyOrder);
}

absl::Status CheckMstHeight(std::string_view key, int level) {
  return KeyHeight(key) == level ? absl::OkStatus() : RejectError(Reject::kMstWrongHeight);
}

}  // namespace penstock::repo
