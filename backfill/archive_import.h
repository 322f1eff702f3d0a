#pragma once

// One repository, from the bytes of its archive to rows in the store (docs/backfill.md, "Taking in"). First it is verified as a
// whole; what the filter wants of it is put aside meanwhile. Then it is compared with the rows that we hold, and the difference
// is written: creates, updates and deletes. Memory is bounded whatever the repository's size (repo/export_stream.h), files are
// bounded by `max_bytes` each.
//
// Not thread-safe; blocking; reusable. Reads no clock.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/counters.h"
#include "base/spill.h"
#include "crypto/public_key.h"
#include "indexer/filter.h"
#include "indexer/readers.h"
#include "indexer/row_builder.h"
#include "pipeline/import_port.h"
#include "repo/export_stream.h"

namespace penstock::backfill {

struct ArchiveOptions {
  uint64_t max_bytes = 4ull << 30;      // of an archive
  size_t max_blocks = 4'000'000;        // bounds the table of blocks: about 43 bytes each
  size_t rows_at_once = 5'000;          // in one transaction with the new state; more than that is written in chunks,
  size_t chunk_rows = 1'000;            // so many rows each
  size_t chunk_bytes = 4 << 20;         // or so many bytes
  size_t memory_bytes = 1 << 20;        // records put aside up to so much stay in memory, beyond it they go to a file
  std::string folder;                   // of the files; empty: the system's
};

class ArchiveImport final : private repo::ExportVisitor {
 public:
  // `filter` and `counters` outlive it. Errors: those of opening a temporary file.
  static absl::StatusOr<std::unique_ptr<ArchiveImport>> Create(const ArchiveOptions& options, const indexer::Filter* filter,
                                                               Counters* counters);
  ~ArchiveImport() override;

  // ---- Verifying
  // `key` outlives the import. `have_rev`: our own rev; an older archive ends at its commit with "stale_export", and one of this
  // rev with `current_is_enough` ends there as well, as "already_current" (both kFailedPrecondition, the message is the word).
  struct Subject {
    std::string_view did;
    const crypto::PublicKey* key = nullptr;
    int64_t now_us = 0;
    std::string_view have_rev;  // empty if none
    bool current_is_enough = false;
    std::string_view host;  // origin that serves it
    int64_t started_at = 0;
    std::span<const std::string> rules;  // what is covered afterwards
    // The store knows nothing of the account, so there is nothing to compare with.
    bool is_new = false;
  };
  absl::Status Begin(const Subject& subject);
  // The archive's next bytes. Errors: as repo::ExportStream; those of files.
  absl::Status Feed(Bytes piece);
  // There are no more. OK: the archive is proven in full.
  absl::Status EndOfArchive();

  // ---- Writing, after EndOfArchive
  // `scan` reads the store that `port` writes to. Errors: those of ImportPort and AccountScan; whatever they leave undone is made
  // good by the next import of the account.
  absl::Status Apply(pipeline::ImportPort* port, indexer::AccountScan* scan);

  struct Result {
    uint64_t records = 0;  // of the repository
    uint64_t wanted = 0;   // by the filter
    uint64_t bytes = 0;    // of the archive
    uint64_t blocks = 0;
    uint64_t created = 0, updated = 0, deleted = 0, unchanged = 0, unusable = 0;
    bool large = false;    // it was written in chunks
  };
  const Result& result() const;

 private:
  explicit ArchiveImport(const ArchiveOptions& options);
  absl::Status OnCommit(const repo::CommitObject& commit, const cbor::CidView& cid, Bytes block) override;
  absl::Status OnRecord(const repo::ExportedRecord& record) override;
  absl::Status OnUnusable(const repo::UnusableRecord& record) override;

  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::backfill
