#pragma once

// Is what a `#commit` claims consistent with the blocks that it brings? Steps 1, 4-7, 9 and 10 of
// protocol 3.2: sizes, ops, future rev, CAR, commit object, tree, and each op against the tree. This is
// verification level `cid`; the signature (step 8) and the inversion (step 11) stand on its result.
//
// A pure function of the message and the clock, made a class only so that its tables are reused from frame to
// frame.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "repo/commit.h"
#include "repo/op.h"
#include "repo/partial_tree.h"
#include "repo/syntax.h"

namespace penstock::repo {

inline constexpr size_t kMaxOps = 200;                // protocol 1.4
inline constexpr size_t kMaxBlocksBytes = 2'000'000;  // protocol 1.4
// A rev may be this far ahead of our clock (protocol 3.2 step 4).
inline constexpr int64_t kMaxFutureUs = 5 * 60 * 1'000'000LL;

// What a message asserts. Views into the frame.
struct CommitClaim {
  Did did;
  std::string_view rev;    // a valid Tid
  std::string_view since;  // empty when null, absent or ""
  cbor::CidView commit;
  cbor::CidView prev_data;  // empty when null or absent
  Bytes blocks;
  std::span<const RepoOp> ops;
};

// What holds after the check. Views into the frame and into the checker's tables: use it before the next
// Check.
struct CheckedCommit {
  CommitObject commit;
  Bytes commit_block;
  // For each op of the claim, in order: the record's block (create, update), or empty for a delete, and for a
  // record whose CID is of a kind that cannot be hashed (that record is unverifiable; the commit stands,
  // protocol 4.4, 6.1).
  std::span<const Bytes> records;
};

class CommitChecker {
 public:
  // Rejects: kCommit…, kCar…, kMst…, kCbor…, kSyntaxRepoPath. An update whose `prev` equals `cid` is
  // kCommitBadOp. `prev` absent on an update or a delete is accepted here (messages older than Sync v1.1 lack
  // it): inversion needs it and refuses there. `now_us` is the clock, microseconds since the epoch.
  absl::Status Check(const CommitClaim& claim ABSL_ATTRIBUTE_LIFETIME_BOUND, int64_t now_us,
                     CheckedCommit* checked);

  const car::BlockIndex& blocks() const { return blocks_; }
  const PartialTree& tree() const { return tree_; }

 private:
  // Steps 6 and 7. Fills the commit of `*checked`.
  absl::Status CheckCommitObject(const CommitClaim& claim, CheckedCommit* checked) const;
  // Step 10.
  absl::Status CheckOpAgainstTree(const RepoOp& op, Bytes* record) const;

  car::BlockIndex blocks_;
  PartialTree tree_;
  std::vector<Bytes> records_;
};

}  // namespace penstock::repo
