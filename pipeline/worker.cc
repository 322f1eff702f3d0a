#include "pipeline/worker.h"

#include <utility>

#include "base/status.h"
#include "pipeline/claim.h"

namespace penstock::pipeline {

using firehose::Frame;
using firehose::FrameKind;

void Worker::Run() {
  while (std::optional<Task> task = tasks_->Pop()) {
    indexer::ChangeSetPtr change = changes_->Take();
    change->source = task->source->name;
    change->ticket = task->ticket;
    change->seq = task->seq;
    change->arrival_us = task->delivery->buffer.arrival_us;
    Judge(task->delivery->frame, task->delivery->buffer.bytes(), change.get());
    task->delivery.reset();  // the change set owns all it needs: the buffer can take the next frame
    const size_t cost = change->cost();
    writer_->Push(std::move(change), cost);
  }
}

void Worker::Judge(const Frame& frame, Bytes raw, indexer::ChangeSet* change) {
  absl::Status status;
  switch (frame.kind) {
    case FrameKind::kCommit:
      status = JudgeCommit(frame, raw, change);
      break;
    case FrameKind::kSync:
      status = JudgeSync(frame, change);
      break;
    case FrameKind::kIdentity:
      builder_.BuildIdentity(frame, change);
      break;
    case FrameKind::kAccount:
      builder_.BuildAccount(frame, change);
      break;
    case FrameKind::kRejected:
      status = RejectError(frame.reject, frame.reject_field);
      break;
    case FrameKind::kInfo:
    case FrameKind::kError:
    case FrameKind::kIgnored:
      break;  // the intake hands none of these on
  }
  if (!status.ok()) builder_.BuildRefused(frame, raw, status, change);
  for (const indexer::DeadLetterRow& letter : change->dead_letters) options_.counters->Count(letter.reject);
}

absl::Status Worker::JudgeCommit(const Frame& frame, Bytes raw, indexer::ChangeSet* change) {
  repo::CheckedCommit checked;
  RETURN_IF_ERROR(checker_.Check(ClaimOf(frame), options_.clock->NowMicros(), &checked));
  builder_.BuildCommit(frame, checked, options_.verify, raw, change);
  return absl::OkStatus();
}

absl::Status Worker::JudgeSync(const Frame& frame, indexer::ChangeSet* change) {
  RETURN_IF_ERROR(sync_blocks_.Load(frame.blocks));
  const std::optional<Bytes> block = sync_blocks_.Find(sync_blocks_.root());
  if (!block) return RejectError(Reject::kCarMissingBlock, "the commit of a #sync");
  ASSIGN_OR_RETURN(const repo::CommitObject commit, repo::DecodeCommit(*block));
  if (commit.did.text() != frame.did.text()) return RejectError(Reject::kCommitDidMismatch);
  // The frame's rev is not compared here: after a migration a real PDS sends a #sync whose commit is older than its rev
  // (docs/gotchas.md). At this level a #sync changes nothing; where it does, the signature is checked before its rev.
  builder_.BuildSync(frame, commit, sync_blocks_.root(), change);
  return absl::OkStatus();
}

}  // namespace penstock::pipeline
