#pragma once

// The one place where changes become durable. Two implementations with the same tables and the same behaviour
// (tests/indexer/store_test.cc runs against both): indexer/sqlite/ and indexer/postgres/. Schema: docs/schema.md.
//
// A store belongs to one writer thread. Everything in a batch, its cursors included, becomes durable in one transaction.

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "indexer/change_set.h"
#include "repo/verification.h"

namespace penstock::indexer {

struct StoreOptions {
  std::string url;            // "sqlite:PATH" (or a bare path), "postgresql://…" / "postgres://…" / libpq "key=value …"
  std::string shard = "0/1";  // "i/n": part of the keys of lease and cursor
  std::string owner;          // who we are, for the lease's row and messages: host, pid
  // The level that whoever writes works at (kCid, kSignature, kFull), remembered with the lease. Nullopt: nobody verifies
  // (administration), and what is remembered stays.
  std::optional<repo::Verification> verify;
  int64_t lease_wait_us = 30'000'000;    // how long Open waits for another holder's lease
  int64_t connect_timeout_us = 10'000'000;
  int64_t statement_timeout_us = 60'000'000;  // a database that says nothing for so long counts as gone
  const Clock* clock = nullptr;          // for indexed_at and friends; not owned
  Counters* counters = nullptr;          // not owned; may be null
};

struct SourceCursor {
  std::string source;
  int64_t position = 0;
};

struct StoredQuarantine {
  std::string source;
  int64_t position = 0;
  std::string frame_sha256;  // hex
};

// Views of change sets in the order in which they passed, and where each source stands after them.
struct Batch {
  std::span<const ChangeSetPtr> changes;
  std::vector<SourceCursor> cursors;
};

struct ApplyResult {
  size_t rows_written = 0;   // rows of `record` that were inserted or replaced
  size_t rows_stale = 0;     // kept out by the guard: the stored row is newer or stronger
  size_t rows_refused = 0;   // refused by the database, now dead letters
  size_t rows_merged = 0;    // superseded by another row of the same key in the same batch
};

// Rows as text, for demo, admin verbs and tests: NULL is nullopt, bytes are hex.
struct TextTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;
};

class Store {
 public:
  virtual ~Store() = default;

  // Connects, takes the lease of (store, shard) with a new epoch, migrates. Errors: kUnavailable (retry);
  // kFailedPrecondition (another instance holds the lease, or the schema is newer than this program).
  //
  // At level `full`, where the last run's was weaker: accounts with rows that this level would not have let in (`cid` or
  // `signature`, and no relaxation that explains it) become `desynchronized`, reason `weaker_rows` (docs/architecture.md 4).
  // That takes one scan of `record`, once. Accounts that were `in_progress` become `desynchronized`, reason
  // `resync_interrupted`: nobody is at work on them any more.
  virtual absl::Status Open() = 0;

  // Gives the lease back and closes. Called by the destructor too.
  virtual void Close() = 0;

  virtual absl::StatusOr<std::vector<SourceCursor>> LoadCursors() = 0;
  virtual absl::StatusOr<std::vector<StoredQuarantine>> LoadQuarantine() = 0;

  // Writes the batch in one transaction: after OK all of it survives a crash, after an error nothing of it is visible.
  // Idempotent: the guard (class, rev, proven) keeps older rows out, so a batch may be applied again after an error whose outcome
  // is not known. A row that the database refuses becomes a dead letter (kStoreRefused, with the database's words) in the
  // same transaction, and all around it is written. A cursor never goes back (see SetCursor).
  // Errors: kUnavailable (connection lost, database restarting, disk full, busy: call again with the same batch; reconnecting is
  // done inside); kFailedPrecondition (the lease was taken over: stop); kInternal, kDataLoss (stop).
  virtual absl::Status Apply(const Batch& batch, ApplyResult* result) = 0;

  // `penstock cursor`: by an operator's hand only, the one way for a cursor to go back. nullopt removes it.
  virtual absl::Status SetCursor(std::string_view source, std::optional<int64_t> position) = 0;

  // Reads. One statement, no parameters.
  virtual absl::StatusOr<TextTable> Query(std::string_view sql) = 0;

  virtual int64_t epoch() const = 0;
  virtual std::string_view dialect() const = 0;  // "sqlite", "postgresql"
};

// By the URL's form. Does not connect. Errors: kInvalidArgument for a URL of neither kind.
absl::StatusOr<std::unique_ptr<Store>> MakeStore(const StoreOptions& options);

}  // namespace penstock::indexer
