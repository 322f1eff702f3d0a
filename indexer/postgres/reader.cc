#include "indexer/postgres/reader.h"

#include <charconv>
#include <utility>

#include "base/status.h"
#include "indexer/batch_sql.h"
#include "indexer/postgres/session.h"
#include "indexer/state_row.h"

namespace penstock::indexer {
namespace {

// ---- State

// One row, whatever is there: one way to the server and back.
constexpr char kAccountSql[] =
    "SELECT r.did IS NOT NULL, r.rev, r.data, r.commit_cid, r.sync_state, r.status, r.active, "
    "(SELECT string_agg(s.account_seq || ' ' || s.source, E'\n') FROM repo_source s WHERE s.did = k.did), "
    "h.events, h.bytes, h.last, "
    "i.did IS NOT NULL, i.fault, i.did_key, i.pds, i.handle, i.handle_state, i.document, i.fetched_at "
    "FROM (SELECT $1::text COLLATE \"C\" AS did) k "
    "LEFT JOIN repo r ON r.did = k.did "
    "LEFT JOIN identity i ON i.did = k.did AND NOT i.purged "
    "CROSS JOIN LATERAL (SELECT count(*) AS events, coalesce(sum(octet_length(frame)), 0)::bigint AS bytes, "
    "coalesce(max(ordinal), 0) AS last FROM held_event WHERE did = k.did) h";
// Frames are measured without being read.
constexpr char kHeldSql[] =
    "SELECT ordinal, source, seq, reason, gated, frame, arrived_at FROM ("
    "SELECT *, sum(octet_length(frame)) OVER (ORDER BY ordinal) - octet_length(frame) AS before "
    "FROM held_event WHERE did = $1 AND ordinal > $2) h WHERE before < $3 ORDER BY ordinal";
constexpr char kHeldAccountsSql[] =
    "SELECT h.did, h.events, h.bytes, h.last, r.sync_state FROM ("
    "SELECT did, count(*) AS events, sum(octet_length(frame))::bigint AS bytes, max(ordinal) AS last "
    "FROM held_event GROUP BY did) h LEFT JOIN repo r ON r.did = h.did ORDER BY h.did";
constexpr char kTrackedSql[] = "SELECT did FROM repo WHERE sync_state IS NOT NULL ORDER BY did";

std::vector<PgStatement> StateStatements() {
  return {{"account", kAccountSql, PgTypes("t")},
          {"held", kHeldSql, PgTypes("tii")},
          {"held_accounts", kHeldAccountsSql, {}},
          {"tracked", kTrackedSql, {}}};
}

class PgStateStore final : public sync::StateStore {
 public:
  explicit PgStateStore(const StoreOptions& options)
      : reader_(options, "penstock reader " + options.shard, StateStatements()) {}

  absl::Status LoadAccount(std::string_view did, sync::StoredAccount* account) override;
  absl::Status LoadHeld(std::string_view did, int64_t after, size_t max_bytes,
                        std::vector<sync::StoredHeldEvent>* events) override;
  absl::Status ForEachHeldAccount(const std::function<void(const sync::HeldAccount&)>& visit) override;
  absl::Status ForEachTracked(const std::function<void(std::string_view did)>& visit) override;

 private:
  PgSession reader_;
};

// "<seq> <source>" lines.
void ReadAccountSeqs(std::string_view lines, sync::StoredAccount* account) {
  while (!lines.empty()) {
    const std::string_view line = lines.substr(0, lines.find('\n'));
    lines.remove_prefix(std::min(lines.size(), line.size() + 1));
    int64_t seq = 0;
    const char* rest = std::from_chars(line.data(), line.data() + line.size(), seq).ptr;
    const std::string_view source = line.substr(static_cast<size_t>(rest - line.data()));
    account->account_seqs.emplace(source.substr(std::min<size_t>(1, source.size())), seq);
  }
}

absl::Status PgStateStore::LoadAccount(std::string_view did, sync::StoredAccount* account) {
  const PgParam parameters[] = {PgText(did)};
  ASSIGN_OR_RETURN(const PgResult row, reader_.Run("account", parameters));
  *account = {};
  const auto text = [&](int column) { return row.text(0, column); };
  if (row.boolean(0, 0)) {
    account->known = true;
    RETURN_IF_ERROR(ReadRepo({.rev = text(1),
                              .data = text(2),
                              .commit_cid = text(3),
                              .sync_state = text(4),
                              .status = text(5),
                              .active = row.boolean(0, 6)},
                             &account->state));
  }
  ReadAccountSeqs(text(7), account);
  account->held_events = static_cast<uint64_t>(row.int64(0, 8));
  account->held_bytes = static_cast<uint64_t>(row.int64(0, 9));
  account->held_last = row.int64(0, 10);
  if (row.boolean(0, 11)) {
    account->identity = ReadIdentity(did, {.fault = text(12),
                                           .did_key = text(13),
                                           .pds = text(14),
                                           .handle = text(15),
                                           .handle_state = text(16),
                                           .document = text(17),
                                           .fetched_at = row.int64(0, 18)});
  }
  return absl::OkStatus();
}

absl::Status PgStateStore::LoadHeld(std::string_view did, int64_t after, size_t max_bytes,
                                    std::vector<sync::StoredHeldEvent>* events) {
  events->clear();
  const PgInt above(after), bytes(static_cast<int64_t>(std::max<size_t>(1, max_bytes)));
  const PgParam parameters[] = {PgText(did), above.param(), bytes.param()};
  return reader_.Stream("held", parameters, [&](const PgResult& row) {
    events->push_back({.ordinal = row.int64(0, 0),
                       .source = std::string(row.text(0, 1)),
                       .seq = row.int64(0, 2),
                       .reason = std::string(row.text(0, 3)),
                       .gated = row.boolean(0, 4),
                       .frame = std::string(row.text(0, 5)),
                       .arrived_at = row.int64(0, 6)});
  });
}

absl::Status PgStateStore::ForEachHeldAccount(const std::function<void(const sync::HeldAccount&)>& visit) {
  absl::Status status;
  RETURN_IF_ERROR(reader_.Stream("held_accounts", {}, [&](const PgResult& row) {
    sync::AccountState state;
    if (status.ok()) status = ReadRepo({.sync_state = row.text(0, 4)}, &state);
    if (!status.ok()) return;
    visit({.did = std::string(row.text(0, 0)),
           .events = static_cast<uint64_t>(row.int64(0, 1)),
           .bytes = static_cast<uint64_t>(row.int64(0, 2)),
           .last = row.int64(0, 3),
           .sync_state = state.sync_state});
  }));
  return status;
}

absl::Status PgStateStore::ForEachTracked(const std::function<void(std::string_view did)>& visit) {
  return reader_.Stream("tracked", {}, [&](const PgResult& row) { visit(row.text(0, 0)); });
}

// ---- Records

constexpr char kRecordsSql[] =
    "SELECT r.did, r.collection, r.rkey, r.cid, r.rev, r.commit_cid, r.verification, r.validation, "
    "r.value::text, r.deleted, r.value_lossy, r.cbor, p.rev, p.commit_cid, p.did_key, p.proof "
    "FROM record r LEFT JOIN record_proof p "
    "ON p.did = r.did AND p.collection = r.collection AND p.rkey = r.rkey "
    "WHERE (r.did, r.collection, r.rkey) > ($1, $2, $3) "
    "ORDER BY r.did, r.collection, r.rkey LIMIT $4";
constexpr char kEstimateSql[] =
    "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'record'::regclass";

std::vector<PgStatement> RecordStatements() {
  return {{"records", kRecordsSql, PgTypes("ttti")}, {"estimate", kEstimateSql, {}}};
}

class PgRecordScan final : public RecordScan {
 public:
  explicit PgRecordScan(const StoreOptions& options)
      : reader_(options, "penstock verify", RecordStatements()) {}

  absl::StatusOr<size_t> Read(const RecordKey& after, size_t max_rows, const Visit& visit) override;
  absl::StatusOr<int64_t> EstimateRows() override {
    ASSIGN_OR_RETURN(const PgResult row, reader_.Run("estimate", {}));
    return row.rows() == 0 ? 0 : row.int64(0, 0);
  }

 private:
  PgSession reader_;
};

absl::StatusOr<size_t> PgRecordScan::Read(const RecordKey& after, size_t max_rows, const Visit& visit) {
  const PgInt limit(static_cast<int64_t>(max_rows));
  const PgParam parameters[] = {PgText(after.did), PgText(after.collection), PgText(after.rkey),
                                limit.param()};
  size_t count = 0;
  RETURN_IF_ERROR(reader_.Stream("records", parameters, [&](const PgResult& row) {
    ScannedRecord record;
    record.did = row.text(0, 0);
    record.collection = row.text(0, 1);
    record.rkey = row.text(0, 2);
    record.cid = row.text(0, 3);
    record.rev = row.text(0, 4);
    record.commit_cid = row.text(0, 5);
    record.verification = row.text(0, 6);
    record.validation = row.text(0, 7);
    record.value = row.text(0, 8);
    record.deleted = row.boolean(0, 9);
    record.value_lossy = row.boolean(0, 10);
    record.cbor = AsBytes(row.text(0, 11));
    if (!row.is_null(0, 12))
      record.proof = {row.text(0, 12), row.text(0, 13), row.text(0, 14), AsBytes(row.text(0, 15))};
    visit(record);
    ++count;
  }));
  return count;
}

// ---- What an import compares with

class PgAccountScan final : public AccountScan {
 public:
  explicit PgAccountScan(const StoreOptions& options)
      : reader_(options, "penstock import " + options.shard,
                {{"collections", std::string(kCollectionsSql), PgTypes("t")},
                 {"digests", std::string(kDigestsSql), PgTypes("ttti")}}) {}

  absl::Status LoadCollections(std::string_view did, std::vector<std::string>* collections) override;
  absl::StatusOr<size_t> Read(std::string_view did, std::string_view collection, std::string_view after,
                              size_t max_rows, const Visit& visit) override;

 private:
  PgSession reader_;
};

absl::Status PgAccountScan::LoadCollections(std::string_view did, std::vector<std::string>* collections) {
  collections->clear();
  const PgParam parameters[] = {PgText(did)};
  return reader_.Stream("collections", parameters,
                        [&](const PgResult& row) { collections->emplace_back(row.text(0, 0)); });
}

absl::StatusOr<size_t> PgAccountScan::Read(std::string_view did, std::string_view collection,
                                           std::string_view after, size_t max_rows, const Visit& visit) {
  const PgInt limit(static_cast<int64_t>(max_rows));
  const PgParam parameters[] = {PgText(did), PgText(collection), PgText(after), limit.param()};
  size_t count = 0;
  absl::Status status;
  RETURN_IF_ERROR(reader_.Stream("digests", parameters, [&](const PgResult& row) {
    RecordDigest digest;
    if (status.ok()) {
      status = ReadDigest({.rkey = row.text(0, 0),
                           .cid = row.text(0, 1),
                           .rev = row.text(0, 2),
                           .verification = row.text(0, 3),
                           .deleted = row.boolean(0, 4)},
                          &digest);
    }
    if (!status.ok()) return;
    visit(digest);
    ++count;
  }));
  RETURN_IF_ERROR(status);
  return count;
}

}  // namespace

std::unique_ptr<AccountScan> MakePostgresAccountScan(const StoreOptions& options) {
  return std::make_unique<PgAccountScan>(options);
}

std::unique_ptr<sync::StateStore> MakePostgresStateStore(const StoreOptions& options) {
  return std::make_unique<PgStateStore>(options);
}

std::unique_ptr<RecordScan> MakePostgresRecordScan(const StoreOptions& options) {
  return std::make_unique<PgRecordScan>(options);
}

}  // namespace penstock::indexer
