#pragma once

// Proves a stored record again from what the store keeps: its bytes against its CID, what is derived against
// the bytes, and the proof that was kept down to the account's signature. Pure; the store and the network are
// not asked.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/public_key.h"
#include "indexer/readers.h"
#include "repo/record_proof.h"

namespace penstock::indexer {

// What does not hold of a row. `what` is stable: a Reject's name where one fits, otherwise one of
//
//   row_bad_word              `verification` or `validation` is none of ours
//   row_tombstone_with_data   deleted, and yet there are bytes, a CID, a value or a proof
//   row_without_bytes         no signed bytes, or no CID
//   row_cid_mismatch          the signed bytes do not hash to `cid`
//   row_value_mismatch        `value` or `value_lossy` is not what the signed bytes say
//   proof_other_state         the proof is of another commit than the row
//   proof_cid_mismatch        the signed tree holds something else, or nothing, at this path
struct Finding {
  std::string what;
  std::string detail;
};

// What an audit has seen.
struct AuditCounts {
  uint64_t rows = 0;
  uint64_t bytes = 0;       // signed bytes that were hashed
  uint64_t tombstones = 0;  // have nothing to hash
  uint64_t unhashable = 0;  // invalid records whose CID is of a kind that cannot be hashed
  uint64_t proofs = 0;
  uint64_t signatures = 0;  // proofs that held down to the signature; the others were kept without a key
  uint64_t failed = 0;      // rows with a finding
};

// Reusable; not thread-safe.
class RecordAuditor {
 public:
  // Adds what does not hold of `record` to `*findings`.
  void Check(const ScannedRecord& record, std::vector<Finding>* findings);

  const AuditCounts& counts() const { return counts_; }
  void set_counts(const AuditCounts& counts) { counts_ = counts; }

 private:
  void CheckKey(const ScannedRecord& record);
  void CheckBytes(const ScannedRecord& record);
  void CheckValue(const ScannedRecord& record);
  void CheckProof(const ScannedRecord& record);
  // Null if there is none, or it does not parse (which is a finding).
  const crypto::PublicKey* Key(std::string_view did_key);
  void Add(std::string_view what, std::string_view detail);
  void Add(const absl::Status& status);

  // Parsing a key costs as much as using it; the rows of an account come together.
  std::string key_name_;
  std::optional<crypto::PublicKey> key_;

  AuditCounts counts_;
  std::vector<Finding>* findings_ = nullptr;
  repo::RecordProofVerifier proofs_;
  repo::RecordProof proof_;
  std::string json_, path_;
};

}  // namespace penstock::indexer
