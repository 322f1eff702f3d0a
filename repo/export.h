#pragma once

// A whole repository, as com.atproto.sync.getRepo gives it, verified in memory (protocol 3.5, 4, 5): commit
// object, signature, the complete tree, and every record's block. Nothing is handed out before all of it
// holds.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "car/block_index.h"
#include "cbor/cid.h"
#include "crypto/public_key.h"
#include "repo/commit.h"
#include "repo/partial_tree.h"
#include "repo/syntax.h"
#include "repo/tree_builder.h"

namespace penstock::repo {

struct ExportOptions {
  const crypto::PublicKey* key = nullptr;  // null: the signature is not looked at
  std::optional<Did> did;                  // whose repository it must be
  std::optional<int64_t> now_us;           // refuses a rev of the future, as commit_check.h does
  CommitVersions versions =
      CommitVersions::kV3Only;  // version 2 only for old files at hand, never for the network's
  size_t max_blocks = car::kMaxRepositoryBlocks;
};

// Views into the CAR (`key` also into the verifier).
struct ExportedRecord {
  std::string_view key;  // collection/rkey
  RepoPath path;
  cbor::CidView cid;
  Bytes block;  // hashes to `cid`; whether it is a good record is cbor/record_data.h's business
};

// A key of the tree that is not given out as a record: kSyntaxRepoPath, or kRecordUnverifiable (a CID of a
// kind that cannot be hashed). The repository stands (protocol 4.4).
struct UnusableRecord {
  std::string_view key;  // any bytes
  cbor::CidView cid;
  Reject reject;
};

// `block` as the commit of such a repository: commit object, whose it is, its rev, its signature. `*scratch` is
// any buffer. Rejects: those of DecodeCommit and CheckCommitSignature, kCommitDidMismatch, kCommitFutureRev.
absl::Status CheckExportedCommit(Bytes block ABSL_ATTRIBUTE_LIFETIME_BOUND, const ExportOptions& options,
                                 CommitObject* commit, std::string* scratch);

// Reusable; the last repository's tables are kept. Not thread-safe.
class ExportVerifier {
 public:
  // Verifies all of `car` and keeps views of it. After a failure there is nothing to visit.
  // Rejects: kCar… (a record's missing block is kCarMissingBlock), kCommit…, kCbor…, kSignature…, kMst…
  // (kMstPartial: a node is missing, so this is no whole repository).
  absl::Status Verify(Bytes car ABSL_ATTRIBUTE_LIFETIME_BOUND, const ExportOptions& options);

  const CommitObject& commit() const { return commit_; }
  Bytes commit_block() const { return commit_block_; }
  const cbor::CidView& commit_cid() const { return blocks_.root(); }
  size_t record_count() const { return record_count_; }  // of those that VisitRecords gives
  const std::vector<UnusableRecord>& unusable() const { return unusable_; }
  const PartialTree& tree() const { return tree_; }  // complete

  // In key order; stops at the first error and returns it.
  absl::Status VisitRecords(absl::FunctionRef<absl::Status(const ExportedRecord& record)> visit) const;

 private:
  absl::Status CheckCommit(const ExportOptions& options);
  absl::Status CheckTree();
  absl::Status CheckRecords();
  void Clear();

  car::BlockIndex blocks_;
  PartialTree tree_;
  TreeBuilder builder_;
  CommitObject commit_;
  Bytes commit_block_;
  std::vector<UnusableRecord> unusable_;  // in key order
  size_t record_count_ = 0;
  std::string unsigned_;  // scratch
};

}  // namespace penstock::repo
