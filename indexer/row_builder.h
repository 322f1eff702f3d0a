#pragma once

// From a checked event to a ChangeSet: picks the ops that the filter wants, judges each record's data,
// derives the JSON and the references. Pure; reuses its buffers, so steady state allocates nothing; one per
// worker thread.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "cbor/cid.h"
#include "cbor/record_data.h"
#include "firehose/frame.h"
#include "indexer/change_set.h"
#include "indexer/filter.h"
#include "indexer/refs.h"
#include "repo/commit_check.h"

namespace penstock::indexer {

// What a dead letter keeps of its frame. Enough for any ordinary commit; the rest of a larger one is cut off.
inline constexpr size_t kMaxDeadLetterFrame = 256 * 1024;

// Each Build fills a cleared `*change`, all but what its source knows (source, ticket, arrival_us), and
// copies what it keeps: the frame may go right after. An event that the filter does not want leaves nothing
// to write.
//
// Only accounts of resolvable methods are indexed (docs/architecture.md 5); any other's event is refused as a
// whole, with kUnsupportedDidMethod.
class RowBuilder {
 public:
  explicit RowBuilder(const Filter* filter) : filter_(filter) {}  // must outlive this

  // A commit that passed the check. A record that is not valid data becomes a row with Validation::kInvalid
  // and a dead letter (any Reject of cbor::CheckRecord, or kRecordUnverifiable); it never fails the commit
  // (protocol 7.1).
  void BuildCommit(const firehose::Frame& frame, const repo::CheckedCommit& checked,
                   Verification verification, Bytes raw_frame, ChangeSet* change);
  // #identity, #account; #sync with the commit object that it brought and the CID of that.
  void BuildIdentity(const firehose::Frame& frame, ChangeSet* change);
  void BuildAccount(const firehose::Frame& frame, ChangeSet* change);
  void BuildSync(const firehose::Frame& frame, const repo::CommitObject& commit,
                 const cbor::CidView& commit_cid, ChangeSet* change);
  // An event that was refused as a whole: a dead letter with the raw frame. `why` carries a Reject.
  void BuildRefused(const firehose::Frame& frame, Bytes raw_frame, const absl::Status& why,
                    ChangeSet* change);

  // Adds one record of a repository that was taken in whole, as the op that makes the row what the repository
  // says; whether it is wanted has been decided. `*change` has its did, rev and the like already. A record that
  // is not valid data gets its dead letter as in BuildCommit; it is filed under `index`, with the record's bytes.
  // Here a record may have 1 MiB, a little more than in a commit (protocol 1.4).
  void AddImported(const repo::RepoOp& op, int32_t index, Bytes record, ChangeSet* change);

 private:
  // What all kinds have in common. False if there is nothing more to do: not wanted, or refused for its DID.
  bool Begin(const firehose::Frame& frame, EventKind kind, Bytes raw_frame, ChangeSet* change);
  // Adds the row of an op. Fails, with a Reject, for what is not valid record data; the row is there all the same.
  absl::Status AddRow(const repo::RepoOp& op, int32_t index, Bytes record, size_t max_bytes, ChangeSet* change);
  // Everything that is derived from the bytes of `row`. Fails for what is not valid record data.
  absl::Status FillFromRecord(RecordRow* row, size_t max_bytes, ChangeSet* change);
  std::string_view CidText(const cbor::CidView& cid, ChangeSet* change);

  const Filter* filter_;
  std::string text_;  // scratch: JSON, CIDs
  std::vector<RefRow> refs_;
};

}  // namespace penstock::indexer
