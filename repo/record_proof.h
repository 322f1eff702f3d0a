#pragma once

// One path of one repository, proven by a small CAR (com.atproto.sync.getRecord): the signed commit and the
// nodes on the way to the path show that it holds a record, or that it holds none.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "crypto/public_key.h"
#include "repo/commit.h"
#include "repo/commit_check.h"
#include "repo/mst_node.h"
#include "repo/partial_tree.h"
#include "repo/syntax.h"

namespace penstock::repo {

// Views into the CAR.
struct RecordProof {
  CommitObject commit;
  Bytes commit_block;
  bool included = false;  // else: provably not in the repository as of this commit
  cbor::CidView cid;      // of the record; empty when it is not included
  Bytes record;  // hashes to `cid`; empty when the CAR does not hold it, or its CID is of a kind that cannot
                 // be hashed
};

// Reusable; not thread-safe.
class RecordProofVerifier {
 public:
  // Whether `did`'s repository holds `path` (collection/rkey). `key` null: the signature is not looked at.
  // Keeps views of `car` until the next call. Rejects: kCar…, kCommit…, kCbor…, kSignature…, kMst…
  // (kMstPartial: a node on the way is missing, so nothing is proven).
  absl::Status Verify(Bytes car ABSL_ATTRIBUTE_LIFETIME_BOUND, const Did& did, std::string_view path,
                      const crypto::PublicKey* key, RecordProof* proof);

  const PartialTree& tree() const { return tree_; }

 private:
  car::BlockIndex blocks_;
  PartialTree tree_;
  std::string unsigned_;  // scratch
};

// Cuts such proofs out of commits that were checked: for each op's path the tree before or after it is there
// anyway. Reusable, steady state allocates nothing but `*car`'s growth; not thread-safe.
class RecordProofWriter {
 public:
  // Appends one CAR to `*car`: the commit, and the nodes from the root to where `path` is or would be; not
  // the record. `blocks` are those that `checked` was read from (CommitChecker::blocks()). On failure `*car`
  // is as it was. Rejects: kMstPartial when a node on the way is not there.
  absl::Status Append(const CheckedCommit& checked, const car::BlockIndex& blocks, std::string_view path,
                      std::string* car);

 private:
  // The child of `node_` where `path` would be; empty when there is none, or the node holds `path` itself.
  cbor::CidView NextOnPath(std::string_view path);

  MstNode node_;
  std::string key_;
};

}  // namespace penstock::repo
