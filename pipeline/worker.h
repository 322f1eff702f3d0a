#pragma once

// One worker: takes frames of its accounts in order, proves them at the chosen level, and makes change sets of them.

#include <thread>

#include "indexer/row_builder.h"
#include "pipeline/intake.h"
#include "repo/commit_check.h"

namespace penstock::pipeline {

class Worker {
 public:
  // All pointers outlive the worker. Run() is its thread's body: until the task queue is closed and empty.
  Worker(const PipelineOptions& options, TaskQueue* tasks, ChangeQueue* writer, indexer::ChangeSetRecycler* changes)
      : options_(options), tasks_(tasks), writer_(writer), changes_(changes), builder_(options.filter) {}

  void Run();

  // One frame into `*change`; the part of Run that knows the protocol. Public for tests and `penstock bench`.
  void Judge(const firehose::Frame& frame, Bytes raw, indexer::ChangeSet* change);

 private:
  absl::Status JudgeCommit(const firehose::Frame& frame, Bytes raw, indexer::ChangeSet* change);
  absl::Status JudgeSync(const firehose::Frame& frame, indexer::ChangeSet* change);

  PipelineOptions options_;
  TaskQueue* tasks_;
  ChangeQueue* writer_;
  indexer::ChangeSetRecycler* changes_;
  indexer::RowBuilder builder_;
  repo::CommitChecker checker_;
  car::BlockIndex sync_blocks_;
};

}  // namespace penstock::pipeline
