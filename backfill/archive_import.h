#pragma once

// One repository, from the bytes of its archive to rows in the store (docs/backfill.md, "Taking in"). First it is verified as
// a whole; what the filter wants of it is put aside meanwhile. Then it is compared with the rows that we hold, and the
// difference is written: creates, updates and deletes. Memory is bounded whatever the repository's size
// (repo/export_stream.h); there are two temporary files, each of `max_bytes` at most.
//
// Not thread-safe; blocking; reusable. Reads no clock.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/counters.h"
#include "cbor/cid.h"
#include "crypto/public_key.h"
#include "indexer/filter.h"
#include "indexer/readers.h"
#include "pipeline/import_port.h"

namespace penstock::backfill {

struct ArchiveOptions {
  uint64_t max_bytes = 4ull << 30;       // of an archive, and of the records that are put aside
  size_t max_blocks = 3'145'728;         // bounds the table of blocks: 64 MiB, and half as much again while it grows
  size_t rows_at_once = 5'000;           // in one transaction with the new state,
  size_t bytes_at_once = 16 << 20;       // and so many bytes of them; more than that is written in chunks,
  size_t chunk_rows = 1'000;             // so many rows each
  size_t chunk_bytes = 4 << 20;          // or so many bytes
  size_t memory_bytes = 1 << 20;         // records put aside up to so much stay in memory, beyond it they go to a file
  std::string folder;                    // of the files; empty: the system's (base/file_spill.h)
};

class ArchiveImport {
 public:
  // `filter` and `counters` outlive it. Errors: kUnavailable (no files can be made in the folder).
  static absl::StatusOr<std::unique_ptr<ArchiveImport>> Create(const ArchiveOptions& options, const indexer::Filter* filter,
                                                               Counters* counters);
  ~ArchiveImport();

  // ---- Verifying
  // `key` outlives the import, the rest is copied. `have_rev`: our own rev; an older archive ends at its commit with
  // "stale_export", and one of this rev with `current_is_enough` ends there as well, as "already_current" (both
  // kFailedPrecondition, the message is the word; backfill/policy.h).
  struct Subject {
    std::string_view did = {};
    const crypto::PublicKey* key = nullptr;
    std::optional<cbor::Cid> proven_commit = {};  // our head: its signature was checked when it came (repo/export_stream.h)
    int64_t now_us = 0;
    std::string_view have_rev = {};  // empty if none
    bool current_is_enough = false;
    std::string_view host = {};  // origin that serves it
    int64_t started_at = 0;
    std::span<const std::string> rules = {};  // what is covered afterwards
    // The store knows nothing of the account, so there is nothing to compare with.
    bool is_new = false;
  };
  // Begins an archive, and forgets the one before. Errors: kUnavailable (files). Rejects: kSyntaxDid, kUnsupportedDidMethod.
  absl::Status Begin(const Subject& subject);
  // The archive's next bytes. Errors, which stick: as repo::ExportStream (every fault of the archive with its Reject), those of
  // files, and the two words above. Rejects besides: kCarTooLarge: many keys have the same large records.
  absl::Status Feed(Bytes piece);
  // There are no more. OK: the archive is proven in full. Errors: as Feed.
  absl::Status EndOfArchive();

  // ---- Writing, after EndOfArchive
  // `scan` reads the store that `port` writes to; unused for who `is_new`. Calls port->Begin, twice if the difference turns
  // out to be too large for one transaction, and ends with port->Finish. Errors: those of ImportPort and AccountScan;
  // kDataLoss (a temporary file was spoilt). After one that was not Begin's the caller has to Abandon; whatever is left
  // undone is made good by the next import of the account, which writes only what is still missing.
  absl::Status Apply(pipeline::ImportPort* port, indexer::AccountScan* scan);

  struct Result {
    uint64_t records = 0;   // of the repository
    uint64_t wanted = 0;    // by the filter
    uint64_t unusable = 0;  // keys of the repository that are no paths of records, or whose CID cannot be hashed
    uint64_t bytes = 0;     // of the archive
    uint64_t blocks = 0;
    // Rows that Apply sent, and those that it found as they should be.
    uint64_t created = 0, updated = 0, deleted = 0, unchanged = 0;
    uint64_t invalid = 0;  // of those created and updated: no valid data
    bool large = false;    // written in chunks
  };
  const Result& result() const;
  // Of the archive's commit; empty before it came.
  std::string_view rev() const;

 private:
  class Impl;
  explicit ArchiveImport(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::backfill
