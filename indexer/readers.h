#pragma once

// The ways into a store that only read, beside its one writer: connections of their own, without the lease.
// Any number may be open at once; each belongs to one thread. In SQLite they see the file through its WAL, so
// they neither block the writer nor wait for it.
//
// Nothing connects before the first read. A read that fails with kUnavailable may be tried again: connecting
// anew is done inside. Other errors: kFailedPrecondition (a schema that this program does not know),
// kInternal, kDataLoss.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "indexer/store.h"
#include "sync/backfill.h"
#include "sync/state_store.h"

namespace penstock::indexer {

// What account synchronisation reads back. Of `options`: url, shard, owner and the time-outs.
absl::StatusOr<std::unique_ptr<sync::StateStore>> MakeStateStore(const StoreOptions& options);

// The key of table `record`; its order is that of the bytes.
struct RecordKey {
  std::string did, collection, rkey;
};

// A row of `record` as it is stored, with its proof. Views, for the time of the visit; empty for NULL.
struct ScannedRecord {
  std::string_view did, collection, rkey, cid, rev, commit_cid, verification, validation, value;
  bool deleted = false;
  bool value_lossy = false;
  Bytes cbor;

  struct Proof {
    std::string_view rev, commit_cid, did_key;
    Bytes bytes;
  };
  std::optional<Proof> proof;
};

// All rows of `record` in the order of their keys, some at a time.
class RecordScan {
 public:
  virtual ~RecordScan() = default;

  // Visits up to `max_rows` rows behind `after` (an empty key is before all), and says how many there were;
  // fewer than `max_rows` only at the end. After an error the visits that were made stand. What the database
  // has changed between two calls may be seen or not.
  using Visit = std::function<void(const ScannedRecord&)>;
  virtual absl::StatusOr<size_t> Read(const RecordKey& after, size_t max_rows, const Visit& visit) = 0;

  // About how many rows there are, for progress: cheap, and perhaps far off. 0 if nobody knows.
  virtual absl::StatusOr<int64_t> EstimateRows() = 0;
};

absl::StatusOr<std::unique_ptr<RecordScan>> MakeRecordScan(const StoreOptions& options);

// What an import compares a repository with. Views, for the time of the visit.
struct RecordDigest {
  std::string_view rkey, cid, rev;  // no cid: a tombstone
  Verification verification = Verification::kCid;
  bool deleted = false;
};

// The rows of one account, without their contents.
class AccountScan {
 public:
  virtual ~AccountScan() = default;

  // The collections that it has rows of, be they tombstones, in the order of their bytes. A look-up each.
  virtual absl::Status LoadCollections(std::string_view did, std::vector<std::string>* collections) = 0;
  // Up to `max_rows` rows of one collection behind `after`, tombstones included, in the order of rkey; fewer only at the end.
  using Visit = std::function<void(const RecordDigest&)>;
  virtual absl::StatusOr<size_t> Read(std::string_view did, std::string_view collection, std::string_view after,
                                      size_t max_rows, const Visit& visit) = 0;
};

absl::StatusOr<std::unique_ptr<AccountScan>> MakeAccountScan(const StoreOptions& options);

// The queue of whole repositories to fetch (sync/backfill.h): the one reader here that also writes, its own tables alone (and
// closes gaps). It does not migrate.
absl::StatusOr<std::unique_ptr<sync::BackfillStore>> MakeBackfillStore(const StoreOptions& options);

}  // namespace penstock::indexer
