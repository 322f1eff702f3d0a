#include "repo/commit_check.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>

#include "base/status.h"

namespace penstock::repo {
namespace {

// Which CIDs an op of each action must and may bring.
absl::Status CheckOp(const RepoOp& op) {
  if (op.collection.empty() || op.rkey.empty()) return RejectError(Reject::kSyntaxRepoPath);
  const bool wants_cid = op.action != Action::kDelete;
  if (wants_cid == op.cid.empty()) return RejectError(Reject::kCommitBadOp, "cid");
  if (op.action == Action::kCreate && !op.prev.empty()) {
    return RejectError(Reject::kCommitBadOp, "prev of a create");
  }
  if (op.action == Action::kUpdate && op.prev == op.cid) {
    return RejectError(Reject::kCommitBadOp, "update to the same");
  }
  return absl::OkStatus();
}

// Sorts positions, not ops: their order is kept, and 200 bytes on the stack are enough.
absl::Status CheckPathsDiffer(std::span<const RepoOp> ops) {
  static_assert(kMaxOps <= 256, "positions are one byte");
  if (ops.size() < 2) return absl::OkStatus();
  std::array<uint8_t, kMaxOps> positions;
  const auto end = positions.begin() + static_cast<std::ptrdiff_t>(ops.size());
  std::iota(positions.begin(), end, uint8_t{0});
  std::sort(positions.begin(), end, [ops](uint8_t a, uint8_t b) { return ops[a].path < ops[b].path; });
  const auto twice = std::adjacent_find(positions.begin(), end,
                                        [ops](uint8_t a, uint8_t b) { return ops[a].path == ops[b].path; });
  return twice == end ? absl::OkStatus() : RejectError(Reject::kCommitDuplicatePath);
}

absl::Status CheckMessage(const CommitClaim& claim, int64_t now_us) {
  if (claim.blocks.size() > kMaxBlocksBytes) return RejectError(Reject::kCommitBlocksTooLarge);
  if (claim.ops.size() > kMaxOps) return RejectError(Reject::kCommitTooManyOps);
  const std::optional<Tid> rev = Tid::Parse(claim.rev);
  if (!rev) return RejectError(Reject::kSyntaxTid, "rev");
  if (!claim.since.empty() && !Tid::Parse(claim.since)) return RejectError(Reject::kSyntaxTid, "since");
  if (rev->micros() > now_us + kMaxFutureUs) return RejectError(Reject::kCommitFutureRev);
  for (const RepoOp& op : claim.ops) RETURN_IF_ERROR(CheckOp(op));
  return CheckPathsDiffer(claim.ops);
}

}  // namespace

absl::Status CommitChecker::Check(const CommitClaim& claim, int64_t now_us, CheckedCommit* checked) {
  RETURN_IF_ERROR(CheckMessage(claim, now_us));  // steps 1 and 4: no block is touched before they hold
  RETURN_IF_ERROR(blocks_.Load(claim.blocks));
  RETURN_IF_ERROR(CheckCommitObject(claim, checked));
  RETURN_IF_ERROR(tree_.Load(blocks_, checked->commit.data));
  records_.clear();
  for (const RepoOp& op : claim.ops) {
    records_.emplace_back();
    RETURN_IF_ERROR(CheckOpAgainstTree(op, &records_.back()));
  }
  checked->records = records_;
  return absl::OkStatus();
}

absl::Status CommitChecker::CheckCommitObject(const CommitClaim& claim, CheckedCommit* checked) const {
  if (!(claim.commit == blocks_.root())) return RejectError(Reject::kCommitCidNotRoot);
  if (!claim.commit.IsBlessedData()) return RejectError(Reject::kCidUnsupported, "commit");
  const std::optional<Bytes> block = blocks_.Find(claim.commit);
  if (!block) return RejectError(Reject::kCarMissingBlock, "commit");
  ASSIGN_OR_RETURN(checked->commit, DecodeCommit(*block));
  checked->commit_block = *block;
  if (!(checked->commit.did == claim.did)) return RejectError(Reject::kCommitDidMismatch);
  if (checked->commit.rev != claim.rev) return RejectError(Reject::kCommitRevMismatch);
  return absl::OkStatus();
}

absl::Status CommitChecker::CheckOpAgainstTree(const RepoOp& op, Bytes* record) const {
  cbor::CidView value;
  const Lookup lookup = tree_.Find(op.path, &value);
  if (lookup == Lookup::kUnknown) return RejectError(Reject::kMstPartial, op.path);
  if (op.action == Action::kDelete) {
    return lookup == Lookup::kAbsent ? absl::OkStatus() : RejectError(Reject::kCommitOpStillInTree, op.path);
  }
  if (lookup == Lookup::kAbsent || !(value == op.cid)) {
    return RejectError(Reject::kCommitOpNotInTree, op.path);
  }
  if (!op.cid.IsBlessedData()) return absl::OkStatus();  // unverifiable, whatever is in the CAR
  const std::optional<Bytes> block = blocks_.Find(op.cid);
  if (!block) return RejectError(Reject::kCommitMissingRecord, op.path);
  *record = *block;
  return absl::OkStatus();
}

}  // namespace penstock::repo
