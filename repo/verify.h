#pragma once

// Commit verification, pure: from a message, a key and the clock to what holds, or one Reject (protocol 3.2
// steps 1, 4-11). What came before (stale revs, the chain, the account's state) is sync/'s business.

#include <cstdint>
#include <string>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "crypto/public_key.h"
#include "repo/commit_check.h"
#include "repo/inversion.h"

namespace penstock::repo {

// The root of the tree without keys (protocol 4.3).
const cbor::Cid& EmptyTreeRoot();

// Views into the frame and into the verifier's tables: use it before the next call.
struct VerifiedCommit {
  CheckedCommit checked;
  // The whole repository is in this commit: `since` is null and the tree before was empty (3.2 step 12).
  bool whole = false;
};

// A class only so that its tables are reused from frame to frame. Not thread-safe.
class CommitVerifier {
 public:
  // The three stages, in this order, for who has something to decide between them; each needs the one before
  // it.
  //
  // Level `cid`: CommitChecker::Check.
  absl::Status Check(const CommitClaim& claim ABSL_ATTRIBUTE_LIFETIME_BOUND, int64_t now_us,
                     VerifiedCommit* commit);
  // Step 8, level `signature`: the key signed the commit block without its `sig`, extra fields kept
  // (4.1, 4.2). Rejects: kSignatureLength, kSignatureHighS, kSignatureMismatch.
  absl::Status CheckSignature(const crypto::PublicKey& key, const VerifiedCommit& commit);
  // Step 11, level `commit`. Sets `whole`. Rejects: those of Inverter; kCommitPrevDataMissing,
  // kCommitPrevDataMismatch. A claim without prevData passes only with `since` null and ops that undo to the
  // empty tree.
  absl::Status Invert(const CommitClaim& claim, VerifiedCommit* commit);

  // All three.
  absl::Status Verify(const CommitClaim& claim ABSL_ATTRIBUTE_LIFETIME_BOUND, const crypto::PublicKey& key,
                      int64_t now_us, VerifiedCommit* commit);

  const CommitChecker& checker() const { return checker_; }

 private:
  CommitChecker checker_;
  Inverter inverter_;
  std::string unsigned_;  // scratch
};

// What a commit's signature covers: SHA-256 of its map without `sig`, every other byte as it stands. `block`
// is the very one that `commit` was decoded from and views; `scratch` is reused.
crypto::Sha256Digest UnsignedCommitDigest(Bytes block, const CommitObject& commit, std::string* scratch);

// Step 8 on its own, for a #sync, an export or a record proof: `block` is a decoded commit's, `scratch` is
// reused. Rejects: kSignatureLength, kSignatureHighS, kSignatureMismatch.
absl::Status CheckCommitSignature(const crypto::PublicKey& key, Bytes block, const CommitObject& commit,
                                  std::string* scratch);

}  // namespace penstock::repo
