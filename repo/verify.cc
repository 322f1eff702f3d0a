#include "repo/verify.h"

#include "base/status.h"
#include "cbor/reader.h"
#include "cbor/writer.h"
#include "crypto/sha256.h"
#include "repo/tree_builder.h"

namespace penstock::repo {
namespace {

// How many bytes the shortest head of a string or map of this size takes.
size_t HeadSize(uint64_t size) {
  return size < 24 ? 1 : size <= 0xff ? 2 : size <= 0xffff ? 3 : size <= 0xffffffff ? 5 : 9;
}

// Appends what the signature covers: the commit's map without the pair `sig`, all other bytes as they stand
// (4.1, 4.2). The block was decoded, so it is canonical: each head is the shortest, and `sig` stands there
// once.
void AppendUnsigned(Bytes block, const CommitObject& commit, std::string* out) {
  constexpr size_t kKeySize = 4;  // 63 's' 'i' 'g'
  cbor::Reader reader(block);
  cbor::MapCursor map;
  if (!reader.BeginMap(&map)) return;
  const size_t value = static_cast<size_t>(commit.sig.data() - block.data());
  const size_t pair_begin = value - HeadSize(commit.sig.size()) - kKeySize;
  const size_t pair_end = value + commit.sig.size();
  cbor::Writer writer(out);
  writer.MapHeader(map.remaining - 1);
  writer.Raw(block.subspan(reader.offset(), pair_begin - reader.offset()));
  writer.Raw(block.subspan(pair_end));
}

}  // namespace

const cbor::Cid& EmptyTreeRoot() {
  static const cbor::Cid root = [] {
    TreeBuilder builder;
    cbor::Cid cid;
    (void)builder.Finish(&cid);
    return cid;
  }();
  return root;
}

crypto::Sha256Digest UnsignedCommitDigest(Bytes block, const CommitObject& commit, std::string* scratch) {
  scratch->clear();
  AppendUnsigned(block, commit, scratch);
  return crypto::Sha256(AsBytes(*scratch));
}

absl::Status CheckCommitSignature(const crypto::PublicKey& key, Bytes block, const CommitObject& commit,
                                  std::string* scratch) {
  return key.VerifyDigest(UnsignedCommitDigest(block, commit, scratch), commit.sig);
}

absl::Status CommitVerifier::Check(const CommitClaim& claim, int64_t now_us, VerifiedCommit* commit) {
  commit->whole = false;
  return checker_.Check(claim, now_us, &commit->checked);
}

absl::Status CommitVerifier::CheckSignature(const crypto::PublicKey& key, const VerifiedCommit& commit) {
  return CheckCommitSignature(key, commit.checked.commit_block, commit.checked.commit, &unsigned_);
}

absl::Status CommitVerifier::Invert(const CommitClaim& claim, VerifiedCommit* commit) {
  commit->whole = false;
  // Before anything is computed: nothing that inversion finds could make up for it.
  if (claim.prev_data.empty() && !claim.since.empty()) return RejectError(Reject::kCommitPrevDataMissing);
  cbor::Cid before;
  RETURN_IF_ERROR(inverter_.Invert(checker_.tree(), claim.ops, &before));
  const bool from_nothing = before == EmptyTreeRoot();
  if (claim.prev_data.empty()) {
    if (!from_nothing) return RejectError(Reject::kCommitPrevDataMissing);
  } else if (!(before == claim.prev_data)) {
    return RejectError(Reject::kCommitPrevDataMismatch);
  }
  commit->whole = claim.since.empty() && from_nothing;
  return absl::OkStatus();
}

absl::Status CommitVerifier::Verify(const CommitClaim& claim, const crypto::PublicKey& key, int64_t now_us,
                                    VerifiedCommit* commit) {
  RETURN_IF_ERROR(Check(claim, now_us, commit));
  RETURN_IF_ERROR(CheckSignature(key, *commit));
  return Invert(claim, commit);
}

}  // namespace penstock::repo
