#pragma once

// From what a message says to what is checked: firehose/ knows frames, repo/ knows commits, and neither knows the other.

#include "absl/base/attributes.h"
#include "firehose/frame.h"
#include "repo/commit_check.h"

namespace penstock::pipeline {

// What a frame of kind kCommit asserts. Views into the frame and its bytes.
inline repo::CommitClaim ClaimOf(const firehose::Frame& frame ABSL_ATTRIBUTE_LIFETIME_BOUND) {
  repo::CommitClaim claim;
  claim.did = frame.did;
  claim.rev = frame.rev;
  claim.since = frame.since;
  claim.commit = frame.commit;
  claim.prev_data = frame.prev_data;
  claim.blocks = frame.blocks;
  claim.ops = frame.ops;
  return claim;
}

}  // namespace penstock::pipeline
