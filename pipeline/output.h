#pragma once

// Where batches end: a store, or a stream of NDJSON lines. Called from the writer's thread only.

#include <cstdio>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "indexer/store.h"

namespace penstock::pipeline {

class Output {
 public:
  virtual ~Output() = default;
  // The contract of indexer::Store::Apply.
  virtual absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) = 0;
};

// Rows and cursors into a store (not owned).
class StoreOutput final : public Output {
 public:
  explicit StoreOutput(indexer::Store* store) : store_(store) {}
  absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) override {
    return store_->Apply(batch, result);
  }

 private:
  indexer::Store* store_;
};

// One line per change that passed (docs/cli.md, "NDJSON"); refused events as one line each on `errors`. Nothing is durable:
// cursors are not kept. A reader that goes away ends the program (kInternal), a slow one makes it wait.
class NdjsonOutput final : public Output {
 public:
  // Both stay open and belong to the caller; `errors` may be null.
  NdjsonOutput(std::FILE* out, std::FILE* errors) : out_(out), errors_(errors) {}
  absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) override;

 private:
  std::FILE* out_;
  std::FILE* errors_;
  std::string lines_;
};

}  // namespace penstock::pipeline
