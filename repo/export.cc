#include "repo/export.h"

#include "base/status.h"
#include "repo/commit_check.h"
#include "repo/verify.h"

namespace penstock::repo {

absl::Status CheckExportedCommit(Bytes block, const ExportOptions& options, CommitObject* commit,
                                 std::string* scratch) {
  ASSIGN_OR_RETURN(*commit, DecodeCommit(block, options.versions));
  if (options.did && !(commit->did == *options.did)) return RejectError(Reject::kCommitDidMismatch);
  // Version 2 may come without a rev.
  const std::optional<Tid> rev = Tid::Parse(commit->rev);
  if (options.now_us && rev && rev->micros() > *options.now_us + kMaxFutureUs) {
    return RejectError(Reject::kCommitFutureRev);
  }
  if (options.key == nullptr) return absl::OkStatus();
  return CheckCommitSignature(*options.key, block, *commit, scratch);
}

void ExportVerifier::Clear() {
  commit_ = CommitObject();
  commit_block_ = Bytes();
  unusable_.clear();
  record_count_ = 0;
}

absl::Status ExportVerifier::Verify(Bytes car, const ExportOptions& options) {
  Clear();
  absl::Status status = blocks_.Load(car, car::HashCheck::kVerify, options.max_blocks);
  if (status.ok()) status = CheckCommit(options);
  if (status.ok()) status = CheckTree();
  if (status.ok()) status = CheckRecords();
  if (!status.ok()) Clear();
  return status;
}

absl::Status ExportVerifier::CheckCommit(const ExportOptions& options) {
  const std::optional<Bytes> block = blocks_.Find(blocks_.root());
  if (!block) return RejectError(Reject::kCarMissingBlock, "commit");
  if (!blocks_.root().IsBlessedData()) return RejectError(Reject::kCidUnsupported, "commit");
  commit_block_ = *block;
  return CheckExportedCommit(commit_block_, options, &commit_, &unsigned_);
}

absl::Status ExportVerifier::CheckTree() {
  RETURN_IF_ERROR(tree_.Load(blocks_, commit_.data, PartialTree::kAnyEntries));
  if (!tree_.complete()) return RejectError(Reject::kMstPartial);
  // The checks of the nodes leave one shape only for these contents. Building it says the same by other
  // means.
  builder_.Reset();
  cbor::Cid root;
  bool built = true;
  for (const PartialTree::Item& item : tree_.items()) {
    built = built && builder_.Add(item.key, item.value, item.level);
  }
  if (!built || !builder_.Finish(&root) || !(root == commit_.data)) {
    return RejectError(Reject::kMstBadNode, "its records make another tree");
  }
  return absl::OkStatus();
}

absl::Status ExportVerifier::CheckRecords() {
  for (const PartialTree::Item& item : tree_.items()) {
    if (!item.value.IsBlessedData()) {
      unusable_.push_back({item.key, item.value, Reject::kRecordUnverifiable});
      continue;
    }
    if (blocks_.PositionOf(item.value) == car::BlockIndex::kNotFound) {
      return RejectError(Reject::kCarMissingBlock, "a record");
    }
    if (!RepoPath::Parse(item.key)) {
      unusable_.push_back({item.key, item.value, Reject::kSyntaxRepoPath});
      continue;
    }
    ++record_count_;
  }
  return absl::OkStatus();
}

absl::Status ExportVerifier::VisitRecords(
    absl::FunctionRef<absl::Status(const ExportedRecord& record)> visit) const {
  if (commit_block_.empty()) return absl::OkStatus();  // nothing verified
  auto unusable = unusable_.begin();
  for (const PartialTree::Item& item : tree_.items()) {
    if (unusable != unusable_.end() && unusable->key == item.key) {
      ++unusable;
      continue;
    }
    RETURN_IF_ERROR(visit({item.key, *RepoPath::Parse(item.key), item.value, *blocks_.Find(item.value)}));
  }
  return absl::OkStatus();
}

}  // namespace penstock::repo
