#include "tests/indexer/store_fixture.h"

#include <boost/json.hpp>

#include "base/status.h"
#include "crypto/sha256.h"

namespace penstock::test {

std::string Rev(int number) {
  constexpr std::string_view kDigits = "234567abcdefghijklmnopqrstuvwxyz";
  std::string rev = "3kaaaaaaa";
  for (int shift = 15; shift >= 0; shift -= 5)
    rev.push_back(kDigits[static_cast<size_t>(number >> shift & 31)]);
  return rev;
}

TestRow Create(std::string rkey, std::string json, std::vector<std::string> refs) {
  return {repo::Action::kCreate, std::move(rkey), std::move(json), std::move(refs)};
}
TestRow Update(std::string rkey, std::string json, std::vector<std::string> refs) {
  return {repo::Action::kUpdate, std::move(rkey), std::move(json), std::move(refs)};
}
TestRow Delete(std::string rkey) { return {repo::Action::kDelete, std::move(rkey), ""}; }

ChangeSetPtr ChangeMaker::Event(indexer::EventKind kind, std::string_view did) {
  ChangeSetPtr change = recycler_.Take();
  change->kind = kind;
  change->source = source;
  change->seq = kind == indexer::EventKind::kControl ? 0 : seq++;
  change->did = change->arena.Copy(did);
  return change;
}

ChangeSetPtr ChangeMaker::Commit(std::string_view did, int rev, const std::vector<TestRow>& rows,
                                 Verification verification) {
  ChangeSetPtr change = Event(indexer::EventKind::kCommit, did);
  Arena& arena = change->arena;
  change->rev = arena.Copy(Rev(rev));
  change->commit_cid = arena.Copy("bafycommit" + std::to_string(rev));
  change->verification = verification;
  int32_t op = 0;
  for (const TestRow& from : rows) {
    indexer::RecordRow row;
    row.collection = arena.Copy(from.collection);
    row.rkey = arena.Copy(from.rkey);
    row.op = from.action;
    row.op_index = op++;
    if (from.action != repo::Action::kDelete) {
      row.cid = arena.Copy("bafy" + from.rkey + std::to_string(rev));
      row.cbor = AsBytes(arena.Copy("cbor of " + from.json));
      row.value = arena.Copy(from.json);
      row.validation = Validation::kOk;
      row.created_at = "2025-01-01T00:00:00Z";
      row.created_us = 1'735'689'600'000'000;
    }
    const std::span<indexer::RefRow> refs = arena.Array<indexer::RefRow>(from.refs.size());
    for (size_t i = 0; i < refs.size(); ++i) {
      refs[i].path = "reply.parent";
      refs[i].target_uri = arena.Copy(from.refs[i]);
      refs[i].target_cid = "bafytarget";
      refs[i].target_did = kBob;
      refs[i].target_collection = kPost;
      refs[i].target_hash = -static_cast<int64_t>(from.refs[i].size());
    }
    row.refs = refs;
    change->records.push_back(row);
  }
  return change;
}

ChangeSetPtr ChangeMaker::Account(std::string_view did, bool active, std::string_view status) {
  ChangeSetPtr change = Event(indexer::EventKind::kAccount, did);
  change->account = indexer::AccountRow{active, change->arena.Copy(status)};
  return change;
}

ChangeSetPtr ChangeMaker::DeadLetter(std::string_view did, int32_t op, Reject reject,
                                     std::string_view detail) {
  ChangeSetPtr change = Event(indexer::EventKind::kCommit, did);
  indexer::DeadLetterRow row;
  row.op = op;
  row.collection = kPost;
  row.rkey = "bad";
  row.reject = reject;
  row.detail = change->arena.Copy(detail);
  row.frame = AsBytes(change->arena.Copy("the frame"));
  change->dead_letters.push_back(row);
  return change;
}

ChangeSetPtr ChangeMaker::Control() { return Event(indexer::EventKind::kControl, ""); }

std::string DataCid(int rev) { return cbor::Cid::OfBlock(AsBytes("tree " + std::to_string(rev))).ToString(); }
std::string CommitCid(int rev) {
  return cbor::Cid::OfBlock(AsBytes("commit " + std::to_string(rev))).ToString();
}

ChangeSetPtr ChangeMaker::Chain(ChangeSetPtr change, sync::SyncState state, int head,
                                std::string_view reason) {
  indexer::RepoRow row;
  row.sync_state = state;
  row.reason = change->arena.Copy(reason);
  row.has_head = head != 0;
  if (row.has_head) {
    row.rev = change->arena.Copy(Rev(head));
    row.data = change->arena.Copy(DataCid(head));
    row.commit_cid = change->arena.Copy(CommitCid(head));
  }
  change->repo = row;
  return change;
}

ChangeSetPtr ChangeMaker::Proven(ChangeSetPtr change) {
  change->proof_key = kKey;
  for (indexer::RecordRow& row : change->records)
    row.proof = AsBytes(change->arena.Copy("proof of " + std::string(row.cid)));
  return change;
}

ChangeSetPtr ChangeMaker::Import(std::string_view did, int rev, const std::vector<TestRow>& rows,
                                 int64_t started_at, std::vector<std::string> rules) {
  ChangeSetPtr change =
      Chain(Commit(did, rev, rows, Verification::kExport), sync::SyncState::kSynchronized, rev);
  change->seq = 0;
  change->source = kPds;
  change->repo->baseline_rev = change->rev;
  indexer::ImportRow import;
  import.rev = change->rev;
  import.host = "https://pds.example";
  import.started_at = started_at;
  import.records = rows.size();
  import.bytes = 1000 + static_cast<uint64_t>(rev);
  const std::span<std::string_view> copied = change->arena.Array<std::string_view>(rules.size());
  for (size_t i = 0; i < rules.size(); ++i) copied[i] = change->arena.Copy(rules[i]);
  import.rules = copied;
  change->import = import;
  return change;
}

ChangeSetPtr ChangeMaker::Purge(std::string_view did, uint64_t rows) {
  ChangeSetPtr change =
      Chain(Event(indexer::EventKind::kControl, did), sync::SyncState::kDesynchronized, 0, "purged");
  change->repo->clear_head = true;
  change->purge_rows = rows;
  return change;
}

ChangeSetPtr ChangeMaker::Held(std::string_view did, int64_t ordinal, int64_t event_seq,
                               std::string_view frame) {
  ChangeSetPtr change = Event(indexer::EventKind::kCommit, did);
  change->held.push_back({.did = change->did,
                          .source = source,
                          .seq = event_seq,
                          .ordinal = ordinal,
                          .reason = "identity",
                          .gated = ordinal % 2 == 0,
                          .frame = AsBytes(change->arena.Copy(frame)),
                          .arrived_at = 1'700'000'000'000'000 + ordinal});
  return change;
}

ChangeSetPtr ChangeMaker::HeldDone(std::string_view did, int64_t ordinal) {
  ChangeSetPtr change = Event(indexer::EventKind::kCommit, did);
  change->held_done = indexer::HeldDone{change->did, ordinal};
  return change;
}

ChangeSetPtr ChangeMaker::Identity(std::string_view did, std::string_view handle) {
  ChangeSetPtr change = Event(indexer::EventKind::kControl, did);
  auto identity = std::make_shared<identity::Identity>();
  identity->did = did;
  identity->key = crypto::PublicKey::FromDidKey(kKey).value();
  identity->pds = "https://pds.example";
  identity->handle = handle;
  identity->document = "{\"id\":\"" + std::string(did) + "\"}";
  identity->fetched_us = 1'700'000'000'000'000;
  change->identity = std::move(identity);
  return change;
}

ChangeSetPtr ChangeMaker::Purged(std::string_view did) {
  ChangeSetPtr change = Event(indexer::EventKind::kIdentity, did);
  change->identity_purged = change->did;
  return change;
}

std::map<std::string, std::vector<std::string>> Contents(Store& store) {
  constexpr std::string_view kQueries[][2] = {
      {"record",
       "SELECT did, collection, rkey, cid, rev, commit_cid, seq, source, op, deleted, verification, "
       "validation, value, "
       "value_lossy, cbor, created_at, created_us, allowed FROM record ORDER BY did, collection, rkey"},
      {"record_ref", "SELECT * FROM record_ref ORDER BY did, collection, rkey, ordinal"},
      {"record_proof", "SELECT * FROM record_proof ORDER BY did, collection, rkey"},
      {"repo",
       "SELECT did, rev, data, commit_cid, sync_state, active, status, baseline_rev, reason FROM repo "
       "ORDER BY did"},
      {"identity", "SELECT * FROM identity ORDER BY did"},
      {"held_event", "SELECT * FROM held_event ORDER BY did, ordinal"},
      {"repo_source", "SELECT * FROM repo_source ORDER BY did, source"},
      {"stream_cursor", "SELECT source, shard, position FROM stream_cursor ORDER BY source, shard"},
      {"gap",
       "SELECT source, shard, opened_seq, reason, from_seq, to_seq, detail FROM gap "
       "ORDER BY source, shard, opened_seq, reason"},
      {"backfill_run", "SELECT id, kind, subject, state FROM backfill_run ORDER BY id"},
      {"backfill_listing", "SELECT * FROM backfill_listing ORDER BY run, host, method, argument"},
      {"backfill_task",
       "SELECT run, did, priority, state, rev, host, attempts, owner, cause, detail, records, bytes, imports "
       "FROM backfill_task ORDER BY run, did"},
      {"coverage", "SELECT did, rule, rev FROM coverage ORDER BY did, rule"},
      {"quarantine",
       "SELECT source, position, frame_sha256, reject, detail, frame FROM quarantine "
       "ORDER BY source, position, frame_sha256"},
      {"dead_letter",
       "SELECT source, seq, op, did, collection, rkey, reject, detail, frame, state_met, attempts "
       "FROM dead_letter ORDER BY source, seq, op"},
  };
  std::map<std::string, std::vector<std::string>> contents;
  for (const auto& [table, sql] : kQueries) {
    std::vector<std::string>& rows = contents[std::string(table)];
    const absl::StatusOr<indexer::TextTable> found = store.Query(sql);
    if (!found.ok()) {
      ADD_FAILURE() << found.status();
      continue;
    }
    for (const auto& row : found->rows) {
      std::string& text = rows.emplace_back();
      for (size_t i = 0; i < row.size(); ++i) {
        std::string cell = row[i].value_or("NULL");
        if (found->columns[i] == "value" && row[i]) cell = boost::json::serialize(boost::json::parse(cell));
        text += found->columns[i] + "=" + cell + " ";
      }
    }
  }
  return contents;
}

std::string StoreTest::NewDatabase() {
  if (postgres()) {
    std::string why_not;
    PostgresCluster* cluster = PostgresCluster::Shared(&why_not);
    if (cluster == nullptr) return "";
    return cluster->CreateDatabase();
  }
  if (folder_ == nullptr) folder_ = std::make_unique<TempFolder>();
  static int number = 0;
  return "sqlite:" + (folder_->path() / ("store" + std::to_string(++number) + ".db")).string();
}

void StoreTest::SetUp() {
  std::string why_not;
  if (postgres() && PostgresCluster::Shared(&why_not) == nullptr) GTEST_SKIP() << why_not;
  url_ = NewDatabase();
  store_ = OpenStore();
}

StoreOptions StoreTest::Options(std::string owner) const {
  StoreOptions options;
  options.url = url_;
  options.owner = std::move(owner);
  options.lease_wait_us = 0;
  options.clock = &clock_;
  options.counters = const_cast<Counters*>(&counters_);
  return options;
}

std::unique_ptr<Store> StoreTest::NewStore(const StoreOptions& options) {
  absl::StatusOr<std::unique_ptr<Store>> store = indexer::MakeStore(options);
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

std::unique_ptr<Store> StoreTest::OpenStore(std::string owner) {
  std::unique_ptr<Store> store = NewStore(Options(std::move(owner)));
  const absl::Status opened = store->Open();
  EXPECT_TRUE(opened.ok()) << opened;
  return store;
}

ApplyResult StoreTest::ApplyTo(Store& store, const std::vector<ChangeSetPtr>& changes,
                               std::vector<SourceCursor> cursors) {
  ApplyResult result;
  const absl::Status applied = store.Apply({changes, std::move(cursors)}, &result);
  EXPECT_TRUE(applied.ok()) << applied;
  return result;
}

ApplyResult StoreTest::Apply(const std::vector<ChangeSetPtr>& changes, std::vector<SourceCursor> cursors) {
  return ApplyTo(*store_, changes, std::move(cursors));
}

std::unique_ptr<sync::BackfillStore> StoreTest::NewQueue() {
  auto queue = indexer::MakeBackfillStore(Options());
  EXPECT_TRUE(queue.ok()) << queue.status();
  return *std::move(queue);
}

std::vector<std::string> StoreTest::RowsOf(Store& store, std::string_view sql) {
  const absl::StatusOr<indexer::TextTable> table = store.Query(sql);
  EXPECT_TRUE(table.ok()) << table.status();
  std::vector<std::string> rows;
  if (!table.ok()) return rows;
  for (const auto& row : table->rows) {
    std::string& text = rows.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) text.append(i > 0 ? "|" : "").append(row[i].value_or("-"));
  }
  return rows;
}

std::vector<std::string> StoreTest::Rows(std::string_view sql) { return RowsOf(*store_, sql); }

std::string StoreTest::Value(std::string_view sql) {
  const std::vector<std::string> rows = Rows(sql);
  return rows.empty() ? "no row" : rows[0];
}

}  // namespace penstock::test
