#include "repo/record_proof.h"

#include <optional>
#include <span>

#include "base/status.h"
#include "car/writer.h"
#include "repo/verify.h"

namespace penstock::repo {

absl::Status RecordProofVerifier::Verify(Bytes car, const Did& did, std::string_view path,
                                         const crypto::PublicKey* key, RecordProof* proof) {
  *proof = RecordProof();
  RETURN_IF_ERROR(blocks_.Load(car));
  if (!blocks_.root().IsBlessedData()) return RejectError(Reject::kCidUnsupported, "commit");
  const std::optional<Bytes> block = blocks_.Find(blocks_.root());
  if (!block) return RejectError(Reject::kCarMissingBlock, "commit");
  ASSIGN_OR_RETURN(const CommitObject commit, DecodeCommit(*block));
  if (!(commit.did == did)) return RejectError(Reject::kCommitDidMismatch);
  if (key != nullptr) RETURN_IF_ERROR(CheckCommitSignature(*key, *block, commit, &unsigned_));
  RETURN_IF_ERROR(tree_.Load(blocks_, commit.data));
  cbor::CidView cid;
  const Lookup lookup = tree_.Find(path, &cid);
  if (lookup == Lookup::kUnknown) return RejectError(Reject::kMstPartial, path);
  proof->commit = commit;
  proof->commit_block = *block;
  proof->included = lookup == Lookup::kFound;
  if (!proof->included) return absl::OkStatus();
  proof->cid = cid;
  if (cid.IsBlessedData()) proof->record = blocks_.Find(cid).value_or(Bytes());
  return absl::OkStatus();
}

cbor::CidView RecordProofWriter::NextOnPath(std::string_view path) {
  cbor::CidView next = node_.left;
  key_.clear();
  for (const MstEntry& entry : node_.entries) {
    key_.resize(static_cast<size_t>(entry.prefix));
    key_ += entry.suffix;
    if (key_ == path) return cbor::CidView();
    if (key_ > path) break;
    next = entry.right;
  }
  return next;
}

absl::Status RecordProofWriter::Append(const CheckedCommit& checked, const car::BlockIndex& blocks,
                                       std::string_view path, std::string* car) {
  const size_t begin = car->size();
  const cbor::Cid commit_cid(blocks.root());
  car::Writer writer(car);
  writer.Header(std::span(&commit_cid, 1));
  writer.Block(blocks.root(), checked.commit_block);
  // The tree was checked: every node is good, and a child is one level lower, so this ends.
  for (cbor::CidView at = checked.commit.data; !at.empty();) {
    const std::optional<Bytes> block = blocks.Find(at);
    const absl::Status status = block ? node_.Decode(*block) : RejectError(Reject::kMstPartial, path);
    if (!status.ok()) {
      car->resize(begin);
      return status;
    }
    writer.Block(at, *block);
    at = NextOnPath(path);
  }
  return absl::OkStatus();
}

}  // namespace penstock::repo
