#include "repo/export_stream.h"

#include "base/status.h"
#include "repo/mst_check.h"

// Why no tree is built from the records, as ExportVerifier does: every node was reached by a hash from the
// signed commit, and is strict DRISL of exactly a node's fields, so its bytes follow from its entries. The
// checks leave the entries no choice either: each key lies at its own height, children one level below,
// prefixes are maximal, keys ascend over the whole walk, and no node is empty. By induction from level 0 there
// is one such tree for these keys and values, and this is it: building it would hash the same bytes again.
//
// Nor are visited nodes marked. Each subtree of a whole walk holds a key (a node without keys has a child, and
// one of level 0 cannot), so a node that is linked twice gives that key twice, and CheckMstOrder sees it.

namespace penstock::repo {
namespace {

// Levels 128 to 0, each with a node of the one above.
constexpr size_t kMaxDepth = 129;
// Blocks of all open nodes. Hashes leave no room for large nodes high up in a tree; who pays for them all the
// same must not have 129 times the largest section. Ten thousand keys in one node are half a megabyte.
constexpr size_t kMaxOpenBytes = size_t{8} << 20;
// A buffer above this is not kept for the next repository.
constexpr size_t kKeptBytes = 64 * 1024;

template <typename T>
void GiveBack(T* buffer, size_t element) {
  if (buffer->capacity() * element > kKeptBytes) T().swap(*buffer);
}

}  // namespace

ExportStream::ExportStream(Spill* spill) : kept_(spill), open_(kMaxDepth) {}

absl::Status ExportStream::Begin(const ExportStreamOptions& options, ExportVisitor* visitor) {
  options_ = options;
  visitor_ = visitor;
  car::StreamLimits limits;
  limits.max_bytes = options.max_bytes;
  limits.max_section_bytes = options.max_section_bytes;
  limits.max_blocks = options.max_blocks;
  reader_.Reset(limits);
  step_ = ExportStep::kBlocks;
  want_ = Want::kCommit;
  wanted_ = cbor::CidView();
  at_end_ = node_is_missing_ = record_is_missing_ = false;
  commit_ = CommitObject();
  commit_block_.clear();
  for (OpenNode& node : open_) {
    GiveBack(&node.block, 1);
    GiveBack(&node.entries, sizeof(MstEntry));
  }
  GiveBack(&found_, 1);
  depth_ = open_bytes_ = 0;
  last_key_.clear();
  record_count_ = key_count_ = node_count_ = 0;
  return verdict_ = kept_.Clear();
}

size_t ExportStream::memory() const {
  size_t bytes = reader_.memory() + kept_.memory() + found_.capacity() + commit_block_.capacity();
  for (const OpenNode& node : open_) {
    bytes += sizeof node + node.block.capacity() + node.entries.capacity() * sizeof(MstEntry) + node.key.capacity();
  }
  return bytes;
}

absl::Status ExportStream::Feed(Bytes piece) {
  if (!verdict_.ok()) return verdict_;
  reader_.Feed(piece);
  car::Block block;
  while (verdict_.ok() && reader_.Next(&block)) verdict_ = Take(block);
  if (verdict_.ok() && !reader_.status().ok()) {
    step_ = ExportStep::kBlocks;
    verdict_ = reader_.status();
  }
  return verdict_;
}

absl::Status ExportStream::Take(const car::Block& block) {
  if (want_ == Want::kNothing) return absl::OkStatus();  // nothing is needed any more
  if (want_ == Want::kCommit) wanted_ = reader_.root().view();
  const bool is_wanted = block.cid == wanted_;
  // A link that needs another codec is refused where it stands; only the commit's CID is looked at later.
  if (block.cid.IsBlessedData()) RETURN_IF_ERROR(kept_.Add(block.cid, block.data));
  if (!is_wanted) return absl::OkStatus();
  RETURN_IF_ERROR(Use(block.data));
  return Walk();
}

absl::Status ExportStream::Walk() {
  for (;;) {
    if (want_ == Want::kNothing) return absl::OkStatus();
    if (wanted_.empty()) {
      RETURN_IF_ERROR(Step());
      continue;
    }
    ASSIGN_OR_RETURN(const bool found, kept_.Find(wanted_, &found_));
    if (found) {
      RETURN_IF_ERROR(Use(AsBytes(found_)));
    } else if (at_end_) {
      GoWithout();
    } else {
      return absl::OkStatus();
    }
  }
}

absl::Status ExportStream::Use(Bytes block) {
  wanted_ = cbor::CidView();
  switch (want_) {
    case Want::kCommit:
      step_ = ExportStep::kCommit;
      return UseCommit(block);
    case Want::kNode:
      step_ = ExportStep::kTree;
      return UseNode(block);
    case Want::kRecord:
      return UseRecord(block);
    case Want::kNothing:
      break;
  }
  return InternalError("a block that nobody wanted");
}

absl::Status ExportStream::UseCommit(Bytes block) {
  if (!reader_.root().view().IsBlessedData()) return RejectError(Reject::kCidUnsupported, "commit");
  commit_block_ = AsText(block);
  ExportOptions options = options_;
  if (options_.proven_commit == reader_.root()) options.key = nullptr;
  CommitObject commit;
  RETURN_IF_ERROR(CheckExportedCommit(AsBytes(commit_block_), options, &commit, &unsigned_));
  commit_ = commit;
  RETURN_IF_ERROR(visitor_->OnCommit(commit_, reader_.root().view(), AsBytes(commit_block_)));
  want_ = Want::kNode;
  wanted_ = commit_.data;
  return absl::OkStatus();
}

absl::Status ExportStream::UseNode(Bytes block) {
  open_bytes_ += block.size();
  if (open_bytes_ > kMaxOpenBytes) return RejectError(Reject::kMstBadNode, "too large, with the nodes above it");
  OpenNode& node = open_[depth_];
  node.block = AsText(block);
  node.entries.clear();
  node.key.clear();
  node.next = 0;
  node.level = depth_ == 0 ? kRootLevel : open_[depth_ - 1].level - 1;
  RETURN_IF_ERROR(DecodeMstNode(AsBytes(node.block), &node.left, &node.entries));
  RETURN_IF_ERROR(CheckMstNode(node.left, node.entries, &node.level));
  ++depth_;
  ++node_count_;
  return absl::OkStatus();
}

absl::Status ExportStream::Step() {
  step_ = ExportStep::kTree;
  if (depth_ == 0) {
    want_ = Want::kNothing;
    return absl::OkStatus();
  }
  OpenNode& node = open_[depth_ - 1];
  if (node.next > 2 * node.entries.size()) {
    --depth_;
    open_bytes_ -= node.block.size();
    return absl::OkStatus();
  }
  const size_t step = node.next++;
  if (step % 2 == 1) return StepToEntry(node, node.entries[step / 2]);
  const cbor::CidView& subtree = step == 0 ? node.left : node.entries[step / 2 - 1].right;
  if (subtree.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(CheckMstChildLevel(node.level - 1));
  want_ = Want::kNode;
  wanted_ = subtree;
  return absl::OkStatus();
}

absl::Status ExportStream::StepToEntry(OpenNode& node, const MstEntry& entry) {
  RETURN_IF_ERROR(CheckMstEntry(entry, node.key));
  node.key.resize(static_cast<size_t>(entry.prefix));
  node.key += entry.suffix;
  RETURN_IF_ERROR(CheckMstOrder(last_key_, node.key));
  RETURN_IF_ERROR(CheckMstHeight(node.key, node.level));
  last_key_ = node.key;
  ++key_count_;
  // Not the tree's fault (protocol 4.4), and nothing that could be waited for.
  if (!entry.value.IsBlessedData()) return Unusable(node.key, entry.value, Reject::kRecordUnverifiable);
  want_ = Want::kRecord;
  wanted_ = entry.value;
  return absl::OkStatus();
}

absl::Status ExportStream::UseRecord(Bytes block) {
  const OpenNode& node = open_[depth_ - 1];
  const cbor::CidView& cid = node.entries[node.next / 2 - 1].value;
  const std::optional<RepoPath> path = RepoPath::Parse(node.key);
  if (!path) return Unusable(node.key, cid, Reject::kSyntaxRepoPath);
  if (node_is_missing_ || record_is_missing_) return absl::OkStatus();  // only the verdict is left to find
  ++record_count_;
  return visitor_->OnRecord({node.key, *path, cid, block});
}

absl::Status ExportStream::Unusable(std::string_view key, const cbor::CidView& cid, Reject reject) {
  if (node_is_missing_ || record_is_missing_) return absl::OkStatus();
  return visitor_->OnUnusable({key, cid, reject});
}

void ExportStream::GoWithout() {
  (want_ == Want::kNode ? node_is_missing_ : record_is_missing_) = true;
  wanted_ = cbor::CidView();
}

absl::Status ExportStream::Finish() {
  if (!verdict_.ok()) return verdict_;
  verdict_ = reader_.Finish();
  if (!verdict_.ok()) {
    step_ = ExportStep::kBlocks;
    return verdict_;
  }
  at_end_ = true;
  if (want_ == Want::kCommit) {
    step_ = ExportStep::kCommit;
    return verdict_ = RejectError(Reject::kCarMissingBlock, "commit");
  }
  if (want_ == Want::kNode && depth_ == 0) {
    step_ = ExportStep::kTree;
    return verdict_ = RejectError(Reject::kCarMissingBlock, "tree's root");
  }
  // What is here of the tree is looked at to its end, so that the verdict does not depend on the order of the
  // blocks: a fault of the tree before a missing node, and that before a missing record.
  verdict_ = Walk();
  if (!verdict_.ok()) return verdict_;
  if (node_is_missing_) {
    verdict_ = RejectError(Reject::kMstPartial);
  } else if (record_is_missing_) {
    step_ = ExportStep::kRecords;
    verdict_ = RejectError(Reject::kCarMissingBlock, "a record");
  }
  return verdict_;
}

}  // namespace penstock::repo
