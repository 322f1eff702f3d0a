#include "indexer/sqlite/reader.h"

#include <utility>

#include "base/status.h"
#include "indexer/batch_sql.h"
#include "indexer/sqlite/session.h"
#include "indexer/state_row.h"

namespace penstock::indexer {
namespace {

class SqliteStateStore final : public sync::StateStore {
 public:
  SqliteStateStore(const StoreOptions& options, std::string path) : reader_(options, std::move(path)) {}

  absl::Status LoadAccount(std::string_view did, sync::StoredAccount* account) override;
  absl::Status LoadHeld(std::string_view did, int64_t after, size_t max_bytes,
                        std::vector<sync::StoredHeldEvent>* events) override;
  absl::Status ForEachHeldAccount(const std::function<void(const sync::HeldAccount&)>& visit) override;
  absl::Status ForEachTracked(const std::function<void(std::string_view did)>& visit) override;

 private:
  absl::Status EnsureOpen();
  absl::Status ReadAccount(std::string_view did, sync::StoredAccount* account);

  SqliteSession reader_;
  SqliteStatement begin_, end_, repo_, sources_, held_size_, identity_, held_;
};

absl::Status SqliteStateStore::EnsureOpen() {
  return reader_.EnsureOpen([this](SqliteConnection& db) -> absl::Status {
    RETURN_IF_ERROR(Prepare(db, "BEGIN", &begin_));
    RETURN_IF_ERROR(Prepare(db, "COMMIT", &end_));
    RETURN_IF_ERROR(Prepare(
        db, "SELECT rev, data, commit_cid, sync_state, status, active FROM repo WHERE did = ?1", &repo_));
    RETURN_IF_ERROR(Prepare(db, "SELECT source, account_seq FROM repo_source WHERE did = ?1", &sources_));
    RETURN_IF_ERROR(Prepare(db,
                            "SELECT count(*), coalesce(sum(length(frame)), 0), coalesce(max(ordinal), 0) "
                            "FROM held_event WHERE did = ?1",
                            &held_size_));
    RETURN_IF_ERROR(Prepare(db,
                            "SELECT fault, did_key, pds, handle, handle_state, document, fetched_at "
                            "FROM identity WHERE did = ?1 AND NOT purged",
                            &identity_));
    return Prepare(db,
                   "SELECT ordinal, source, seq, reason, gated, frame, arrived_at FROM held_event "
                   "WHERE did = ?1 AND ordinal > ?2 ORDER BY ordinal",
                   &held_);
  });
}

absl::Status SqliteStateStore::LoadAccount(std::string_view did, sync::StoredAccount* account) {
  RETURN_IF_ERROR(EnsureOpen());
  // One transaction, so that no batch gets in between the parts.
  RETURN_IF_ERROR(begin_.Run());
  const absl::Status read = ReadAccount(did, account);
  const absl::Status ended = end_.Run();
  return read.ok() ? ended : read;
}

absl::Status SqliteStateStore::ReadAccount(std::string_view did, sync::StoredAccount* account) {
  *account = {};
  repo_.Text(did);
  RETURN_IF_ERROR(ForEachRow(repo_, [&] {
    account->known = true;
    return ReadRepo({.rev = repo_.text(0),
                     .data = repo_.text(1),
                     .commit_cid = repo_.text(2),
                     .sync_state = repo_.text(3),
                     .status = repo_.text(4),
                     .active = repo_.int64(5) != 0},
                    &account->state);
  }));
  sources_.Text(did);
  RETURN_IF_ERROR(ForEachRow(sources_, [&] {
    account->account_seqs.emplace(sources_.text(0), sources_.int64(1));
    return absl::OkStatus();
  }));
  held_size_.Text(did);
  RETURN_IF_ERROR(ForEachRow(held_size_, [&] {
    account->held_events = static_cast<uint64_t>(held_size_.int64(0));
    account->held_bytes = static_cast<uint64_t>(held_size_.int64(1));
    account->held_last = held_size_.int64(2);
    return absl::OkStatus();
  }));
  identity_.Text(did);
  return ForEachRow(identity_, [&] {
    account->identity = ReadIdentity(did, {.fault = identity_.text(0),
                                           .did_key = identity_.text(1),
                                           .pds = identity_.text(2),
                                           .handle = identity_.text(3),
                                           .handle_state = identity_.text(4),
                                           .document = identity_.text(5),
                                           .fetched_at = identity_.int64(6)});
    return absl::OkStatus();
  });
}

absl::Status SqliteStateStore::LoadHeld(std::string_view did, int64_t after, size_t max_bytes,
                                        std::vector<sync::StoredHeldEvent>* events) {
  events->clear();
  RETURN_IF_ERROR(EnsureOpen());
  held_.Text(did);
  held_.Int(after);
  absl::Status status;
  for (size_t bytes = 0; events->empty() || bytes < max_bytes;) {
    const absl::StatusOr<bool> row = held_.Step();
    status = row.status();
    if (!row.value_or(false)) break;
    events->push_back({.ordinal = held_.int64(0),
                       .source = std::string(held_.text(1)),
                       .seq = held_.int64(2),
                       .reason = std::string(held_.text(3)),
                       .gated = held_.int64(4) != 0,
                       .frame = std::string(held_.text(5)),
                       .arrived_at = held_.int64(6)});
    bytes += events->back().frame.size();
  }
  held_.Reset();
  return status;
}

absl::Status SqliteStateStore::ForEachHeldAccount(
    const std::function<void(const sync::HeldAccount&)>& visit) {
  RETURN_IF_ERROR(EnsureOpen());
  ASSIGN_OR_RETURN(SqliteStatement select,
                   reader_.db().Prepare("SELECT h.did, h.events, h.bytes, h.last, r.sync_state FROM ("
                                        "SELECT did, count(*) AS events, sum(length(frame)) AS bytes, "
                                        "max(ordinal) AS last FROM held_event GROUP BY did) h "
                                        "LEFT JOIN repo r ON r.did = h.did ORDER BY h.did"));
  return ForEachRow(select, [&]() -> absl::Status {
    sync::AccountState state;
    RETURN_IF_ERROR(ReadRepo({.sync_state = select.text(4)}, &state));
    visit({.did = std::string(select.text(0)),
           .events = static_cast<uint64_t>(select.int64(1)),
           .bytes = static_cast<uint64_t>(select.int64(2)),
           .last = select.int64(3),
           .sync_state = state.sync_state});
    return absl::OkStatus();
  });
}

absl::Status SqliteStateStore::ForEachTracked(const std::function<void(std::string_view did)>& visit) {
  RETURN_IF_ERROR(EnsureOpen());
  ASSIGN_OR_RETURN(SqliteStatement select,
                   reader_.db().Prepare("SELECT did FROM repo WHERE sync_state IS NOT NULL ORDER BY did"));
  return ForEachRow(select, [&] {
    visit(select.text(0));
    return absl::OkStatus();
  });
}

class SqliteRecordScan final : public RecordScan {
 public:
  SqliteRecordScan(const StoreOptions& options, std::string path) : reader_(options, std::move(path)) {}

  absl::StatusOr<size_t> Read(const RecordKey& after, size_t max_rows, const Visit& visit) override;
  absl::StatusOr<int64_t> EstimateRows() override;

 private:
  absl::Status EnsureOpen();

  SqliteSession reader_;
  SqliteStatement rows_;
};

absl::Status SqliteRecordScan::EnsureOpen() {
  return reader_.EnsureOpen([this](SqliteConnection& db) {
    return Prepare(db,
                   "SELECT r.did, r.collection, r.rkey, r.cid, r.rev, r.commit_cid, r.verification, "
                   "r.validation, r.value, r.deleted, r.value_lossy, r.cbor, p.rev, p.commit_cid, p.did_key, "
                   "p.proof FROM record r LEFT JOIN record_proof p "
                   "ON p.did = r.did AND p.collection = r.collection AND p.rkey = r.rkey "
                   "WHERE (r.did, r.collection, r.rkey) > (?1, ?2, ?3) "
                   "ORDER BY r.did, r.collection, r.rkey LIMIT ?4",
                   &rows_);
  });
}

absl::StatusOr<size_t> SqliteRecordScan::Read(const RecordKey& after, size_t max_rows, const Visit& visit) {
  RETURN_IF_ERROR(EnsureOpen());
  rows_.Text(after.did);
  rows_.Text(after.collection);
  rows_.Text(after.rkey);
  rows_.Int(static_cast<int64_t>(max_rows));
  size_t count = 0;
  RETURN_IF_ERROR(ForEachRow(rows_, [&] {
    ScannedRecord record;
    record.did = rows_.text(0);
    record.collection = rows_.text(1);
    record.rkey = rows_.text(2);
    record.cid = rows_.text(3);
    record.rev = rows_.text(4);
    record.commit_cid = rows_.text(5);
    record.verification = rows_.text(6);
    record.validation = rows_.text(7);
    record.value = rows_.text(8);
    record.deleted = rows_.int64(9) != 0;
    record.value_lossy = rows_.int64(10) != 0;
    record.cbor = rows_.bytes(11);
    if (!rows_.is_null(12)) record.proof = {rows_.text(12), rows_.text(13), rows_.text(14), rows_.bytes(15)};
    visit(record);
    ++count;
    return absl::OkStatus();
  }));
  return count;
}

absl::StatusOr<int64_t> SqliteRecordScan::EstimateRows() {
  RETURN_IF_ERROR(EnsureOpen());
  // Rows are numbered as they come and seldom removed; to count them would take a pass of its own.
  ASSIGN_OR_RETURN(SqliteStatement select, reader_.db().Prepare("SELECT max(rowid) FROM record"));
  ASSIGN_OR_RETURN(const bool row, select.Step());
  return row ? select.int64(0) : 0;
}

class SqliteAccountScan final : public AccountScan {
 public:
  SqliteAccountScan(const StoreOptions& options, std::string path) : reader_(options, std::move(path)) {}

  absl::Status LoadCollections(std::string_view did, std::vector<std::string>* collections) override;
  absl::StatusOr<size_t> Read(std::string_view did, std::string_view collection, std::string_view after,
                              size_t max_rows, const Visit& visit) override;

 private:
  absl::Status EnsureOpen();

  SqliteSession reader_;
  SqliteStatement collections_, digests_;
};

absl::Status SqliteAccountScan::EnsureOpen() {
  return reader_.EnsureOpen([this](SqliteConnection& db) -> absl::Status {
    RETURN_IF_ERROR(Prepare(db, kCollectionsSql, &collections_));
    return Prepare(db, kDigestsSql, &digests_);
  });
}

absl::Status SqliteAccountScan::LoadCollections(std::string_view did, std::vector<std::string>* collections) {
  collections->clear();
  RETURN_IF_ERROR(EnsureOpen());
  collections_.Text(did);
  return ForEachRow(collections_, [&] {
    collections->emplace_back(collections_.text(0));
    return absl::OkStatus();
  });
}

absl::StatusOr<size_t> SqliteAccountScan::Read(std::string_view did, std::string_view collection,
                                               std::string_view after, size_t max_rows, const Visit& visit) {
  RETURN_IF_ERROR(EnsureOpen());
  digests_.Text(did);
  digests_.Text(collection);
  digests_.Text(after);
  digests_.Int(static_cast<int64_t>(max_rows));
  size_t count = 0;
  const auto read = [&]() -> absl::Status {
    RecordDigest digest;
    RETURN_IF_ERROR(ReadDigest({.rkey = digests_.text(0),
                                .cid = digests_.text(1),
                                .rev = digests_.text(2),
                                .verification = digests_.text(3),
                                .deleted = digests_.int64(4) != 0},
                               &digest));
    visit(digest);
    ++count;
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(ForEachRow(digests_, read));
  return count;
}

}  // namespace

std::unique_ptr<AccountScan> MakeSqliteAccountScan(const StoreOptions& options, std::string path) {
  return std::make_unique<SqliteAccountScan>(options, std::move(path));
}

std::unique_ptr<sync::StateStore> MakeSqliteStateStore(const StoreOptions& options, std::string path) {
  return std::make_unique<SqliteStateStore>(options, std::move(path));
}

std::unique_ptr<RecordScan> MakeSqliteRecordScan(const StoreOptions& options, std::string path) {
  return std::make_unique<SqliteRecordScan>(options, std::move(path));
}

}  // namespace penstock::indexer
