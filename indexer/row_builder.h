#pragma once

// From a checked event to a ChangeSet: picks the ops that the filter wants, judges each record's data, derives the JSON and
// the references. Pure; reuses its buffers, so one per worker thread.

#include <string>
#include <vector>

#include "firehose/frame.h"
#include "indexer/change_set.h"
#include "indexer/filter.h"
#include "repo/commit_check.h"

namespace penstock::indexer {

class RowBuilder {
 public:
  explicit RowBuilder(const Filter* filter) : filter_(filter) {}  // must outlive this

  // A commit that passed the check. Records that are not valid data become rows with Validation::kInvalid and a dead letter
  // each; they never fail the commit (protocol 7.1).
  void BuildCommit(const firehose::Frame& frame, const repo::CheckedCommit& checked, Verification verification,
                   Bytes raw_frame, ChangeSet* change);
  // #identity, #account; #sync with the commit object that it brought.
  void BuildIdentity(const firehose::Frame& frame, ChangeSet* change);
  void BuildAccount(const firehose::Frame& frame, ChangeSet* change);
  void BuildSync(const firehose::Frame& frame, const repo::CommitObject& commit, ChangeSet* change);
  // An event that was refused as a whole: a dead letter with the raw frame (at most kMaxDeadLetterFrame bytes of it).
  void BuildRefused(const firehose::Frame& frame, Bytes raw_frame, const absl::Status& why, ChangeSet* change);

 private:
  const Filter* filter_;
  std::string json_;
  std::vector<RefRow> refs_;
};

// Enough for any ordinary commit; the rest of a larger frame is cut off (its hash tells).
inline constexpr size_t kMaxDeadLetterFrame = 256 * 1024;

}  // namespace penstock::indexer
