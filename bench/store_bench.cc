// How close the stores come to the bare database: rows a second through Store::Apply, beside the same rows in
// the simplest loop that writes them durably at all, in the same run and on databases of its own.
//
//   store_bench [rows] [rounds]       (200000 rows, 3 rounds; the best of each is reported)
//
// SQLite: the bare loop is the store's own prepared upsert, bound and stepped, 1000 rows a transaction.
// PostgreSQL: COPY BINARY into the same table with the same indexes, once with a transaction per 1000 rows as
// the store has it, once all rows in one.

#include <libpq-fe.h>
#include <sqlite3.h>
#include <sys/utsname.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "indexer/batch_sql.h"
#include "indexer/schema.h"
#include "indexer/store.h"
#include "tests/support/database/postgres_cluster.h"
#include "tests/support/database/temp_folder.h"

namespace penstock {
namespace {

using indexer::ChangeSetPtr;
using SteadyClock = std::chrono::steady_clock;

constexpr size_t kBatchRows = 1000;

[[noreturn]] void Die(const std::string& words) {
  std::fprintf(stderr, "store_bench: %s\n", words.c_str());
  std::exit(1);
}

// ---- Rows: posts of 5,000 accounts, 300 to 600 bytes of record each, a commit each. The same for every
// contestant.

class Rows {
 public:
  // The batch with this number; its change sets are recycled by the next call.
  std::span<const ChangeSetPtr> Batch(size_t number) {
    random_ = 0x9E3779B97F4A7C15ull * (number + 1);
    batch_.clear();
    for (size_t i = 0; i < kBatchRows; ++i) batch_.push_back(Change(number * kBatchRows + i));
    return batch_;
  }

 private:
  uint64_t Next(uint64_t below) {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_ % below;
  }
  void Letters(size_t count, std::string* out) {
    constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
    for (size_t i = 0; i < count; ++i) out->push_back(kAlphabet[Next(kAlphabet.size())]);
  }
  // Increasing with `number`, as TIDs are.
  static std::string Tid(size_t number) {
    constexpr std::string_view kAlphabet = "234567abcdefghijklmnopqrstuvwxyz";
    std::string tid(13, '2');
    tid[0] = '3';
    for (size_t i = 12; i > 0 && number > 0; --i, number /= 32) tid[i] = kAlphabet[number % 32];
    return tid;
  }

  ChangeSetPtr Change(size_t number) {
    ChangeSetPtr change = recycler_.Take();
    Arena& arena = change->arena;
    const std::string account = std::to_string(Next(5000));
    text_ = "did:plc:" + std::string(24 - account.size(), 'a') + account;
    change->did = arena.Copy(text_);
    change->source = "relay.example";
    change->seq = static_cast<int64_t>(number) + 1;
    change->verification = indexer::Verification::kFull;
    change->rev = arena.Copy(Tid(number));
    text_ = "bafyrei";
    Letters(52, &text_);
    change->commit_cid = arena.Copy(text_);
    indexer::RecordRow row;
    constexpr std::string_view kCollections[] = {"space.atbb.post", "space.atbb.reaction",
                                                 "com.huddle.booking", "sh.tangled.repo.issue"};
    row.collection = kCollections[Next(4)];
    row.rkey = change->rev;
    text_ = "bafyrei";
    Letters(52, &text_);
    row.cid = arena.Copy(text_);
    text_ =
        "{\"$type\":\"space.atbb.post\",\"createdAt\":\"2025-06-01T12:00:00.000Z\",\"reply\":{\"root\":{"
        "\"cid\":\"";
    text_ += row.cid;
    text_ +=
        "\",\"uri\":\"at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/space.atbb.post/3k222222222aa\"}},\"text\":\"";
    Letters(60 + Next(300), &text_);
    text_ += "\"}";
    row.value = arena.Copy(text_);
    row.cbor = AsBytes(row.value).first(row.value.size() - 20);  // records are a little shorter in CBOR
    row.validation = indexer::Validation::kOk;
    row.created_at = "2025-06-01T12:00:00.000Z";
    row.created_us = 1'748'779'200'000'000;
    change->records.push_back(row);
    return change;
  }

  indexer::ChangeSetRecycler recycler_{2 * kBatchRows};
  std::vector<ChangeSetPtr> batch_;
  std::string text_;
  uint64_t random_ = 1;
};

// Times `write` over all batches; making the rows is not part of it.
double RowsPerSecond(
    size_t rows, const std::function<void(std::span<const ChangeSetPtr>)>& write,
    const std::function<void()>& finish = [] {}) {
  Rows source;
  SteadyClock::duration spent{};
  for (size_t batch = 0; batch < rows / kBatchRows; ++batch) {
    const std::span<const ChangeSetPtr> changes = source.Batch(batch);
    const auto begin = SteadyClock::now();
    write(changes);
    spent += SteadyClock::now() - begin;
  }
  const auto begin = SteadyClock::now();
  finish();
  spent += SteadyClock::now() - begin;
  return static_cast<double>(rows) / std::chrono::duration<double>(spent).count();
}

std::unique_ptr<indexer::Store> OpenStore(const std::string& url, const Clock* clock) {
  indexer::StoreOptions options;
  options.url = url;
  options.owner = "store_bench";
  options.clock = clock;
  auto store = indexer::MakeStore(options);
  if (!store.ok()) Die(std::string(Message(store.status())));
  if (absl::Status opened = (*store)->Open(); !opened.ok()) Die(std::string(Message(opened)));
  return *std::move(store);
}

double Through(indexer::Store& store, size_t rows) {
  return RowsPerSecond(rows, [&](std::span<const ChangeSetPtr> changes) {
    indexer::ApplyResult result;
    const absl::Status applied = store.Apply({changes, {{"relay.example", changes.back()->seq}}}, &result);
    if (!applied.ok() || result.rows_written != changes.size())
      Die("Apply: " + std::string(Message(applied)));
  });
}

// ---- SQLite, bare

class BareSqliteRow {
 public:
  explicit BareSqliteRow(sqlite3_stmt* statement) : statement_(statement) {}
  void Text(std::string_view text) {
    sqlite3_bind_text(statement_, ++at_, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
  }
  void Null() { ++at_; }
  void TextOrNull(std::string_view text) { text.empty() ? (void)++at_ : Text(text); }
  void JsonOrNull(std::string_view json) { TextOrNull(json); }
  void BytesOrNull(Bytes bytes) {
    sqlite3_bind_blob(statement_, ++at_, bytes.data(), static_cast<int>(bytes.size()), SQLITE_STATIC);
  }
  void Int(int64_t value) { sqlite3_bind_int64(statement_, ++at_, value); }
  void IntOrNull(std::optional<int64_t> value) { value ? Int(*value) : (void)++at_; }
  void Bool(bool value) { Int(value ? 1 : 0); }

 private:
  sqlite3_stmt* statement_;
  int at_ = 0;
};

double BareSqlite(const std::string& path, size_t rows, const Clock* clock) {
  OpenStore("sqlite:" + path, clock)->Close();  // makes the tables
  sqlite3* db = nullptr;
  sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const auto run = [db](const char* sql) {
    if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) Die(sqlite3_errmsg(db));
  };
  run("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=16000; PRAGMA "
      "cache_size=-8192");
  sqlite3_stmt* upsert = nullptr;
  const std::string sql = RenderInsert(indexer::RecordInsert(), indexer::Dialect::kSqlite);
  sqlite3_prepare_v3(db, sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &upsert, nullptr);
  Arena scratch;
  const double speed = RowsPerSecond(rows, [&](std::span<const ChangeSetPtr> changes) {
    run("BEGIN");
    const int64_t now_us = clock->NowMicros();
    for (const ChangeSetPtr& change : changes) {
      BareSqliteRow row(upsert);
      indexer::GiveRecord({change.get(), &change->records[0]}, now_us, &scratch, &row);
      if (sqlite3_step(upsert) != SQLITE_DONE) Die(sqlite3_errmsg(db));
      sqlite3_reset(upsert);
    }
    run("COMMIT");
  });
  sqlite3_finalize(upsert);
  sqlite3_close(db);
  return speed;
}

// ---- PostgreSQL, COPY BINARY

class CopyRow {
 public:
  explicit CopyRow(std::string* out) : out_(out) {}
  void Begin(int16_t columns) { Big(static_cast<uint16_t>(columns), 2); }
  void Text(std::string_view text) {
    Big(text.size(), 4);
    out_->append(text);
  }
  void TextOrNull(std::string_view text) { text.empty() ? Null() : Text(text); }
  void JsonOrNull(std::string_view json) {
    if (json.empty()) return Null();
    Big(json.size() + 1, 4);
    out_->push_back(1);
    out_->append(json);
  }
  void BytesOrNull(Bytes bytes) { TextOrNull(AsText(bytes)); }
  void Int(int64_t value) {
    Big(8, 4);
    Big(static_cast<uint64_t>(value), 8);
  }
  void IntOrNull(std::optional<int64_t> value) { value ? Int(*value) : Null(); }
  void Bool(bool value) {
    Big(1, 4);
    out_->push_back(value ? 1 : 0);
  }
  void Null() { Big(0xFFFFFFFF, 4); }

 private:
  void Big(uint64_t value, int bytes) {
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
      out_->push_back(static_cast<char>(value >> shift));
  }
  std::string* out_;
};

double BareCopy(const std::string& url, size_t rows, bool one_transaction, const Clock* clock) {
  OpenStore(url, clock)->Close();
  PGconn* connection = PQconnectdb(url.c_str());
  std::string begin_sql = "COPY record (";
  for (const indexer::Column& column : indexer::RecordInsert().columns)
    begin_sql.append(column.name).append(", ");
  begin_sql.resize(begin_sql.size() - 2);
  begin_sql += ") FROM STDIN (FORMAT binary)";
  std::string data;
  Arena scratch;
  const auto begin = [&] {
    PGresult* result = PQexec(connection, begin_sql.c_str());
    if (PQresultStatus(result) != PGRES_COPY_IN) Die(PQerrorMessage(connection));
    PQclear(result);
    data.assign("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
  };
  const auto put = [&] {
    if (PQputCopyData(connection, data.data(), static_cast<int>(data.size())) != 1)
      Die(PQerrorMessage(connection));
    data.clear();
  };
  const auto end = [&] {
    data.append("\xFF\xFF", 2);
    put();
    PQputCopyEnd(connection, nullptr);
    while (PGresult* result = PQgetResult(connection)) {
      if (PQresultStatus(result) != PGRES_COMMAND_OK) Die(PQerrorMessage(connection));
      PQclear(result);
    }
  };
  if (one_transaction) begin();
  const double speed = RowsPerSecond(
      rows,
      [&](std::span<const ChangeSetPtr> changes) {
        if (!one_transaction) begin();
        const int64_t now_us = clock->NowMicros();
        for (const ChangeSetPtr& change : changes) {
          CopyRow row(&data);
          row.Begin(static_cast<int16_t>(indexer::RecordInsert().columns.size()));
          indexer::GiveRecord({change.get(), &change->records[0]}, now_us, &scratch, &row);
        }
        one_transaction ? put() : end();
      },
      [&] {
        if (one_transaction) end();
      });
  PQfinish(connection);
  return speed;
}

int Main(int argc, char** argv) {
  const size_t rows = (argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000) / kBatchRows * kBatchRows;
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 3;
  if (rows == 0 || rounds <= 0) Die("usage: store_bench [rows, at least 1000] [rounds]");
  utsname machine{};
  uname(&machine);
  std::printf(
      "store_bench: %zu rows of 300-600 bytes, %zu a transaction, best of %d; %s %s, %u cores, sqlite %s\n",
      rows, kBatchRows, rounds, machine.sysname, machine.machine, std::thread::hardware_concurrency(),
      sqlite3_libversion());
  const SystemClock clock;

  double bare_sqlite = 0, sqlite = 0;
  for (int round = 0; round < rounds; ++round) {
    const test::TempFolder folder;
    bare_sqlite = std::max(bare_sqlite, BareSqlite((folder.path() / "bare.db").string(), rows, &clock));
    const auto store = OpenStore("sqlite:" + (folder.path() / "store.db").string(), &clock);
    sqlite = std::max(sqlite, Through(*store, rows));
  }
  std::printf("%-34s %9.0f rows/s\n%-34s %9.0f rows/s  %.2f\n", "sqlite, bare loop of upserts", bare_sqlite,
              "sqlite, store", sqlite, sqlite / bare_sqlite);

  std::string why_not;
  const auto cluster = test::PostgresCluster::Start(
      &why_not,
      {"shared_buffers = 1GB", "max_wal_size = 8GB", "checkpoint_timeout = 1h", "autovacuum = off"});
  if (cluster == nullptr) {
    std::printf("postgresql: skipped, %s\n", why_not.c_str());
    return 0;
  }
  double copy = 0, copy_one = 0, postgres = 0;
  for (int round = 0; round < rounds; ++round) {
    copy = std::max(copy, BareCopy(cluster->CreateDatabase(), rows, false, &clock));
    postgres = std::max(postgres, Through(*OpenStore(cluster->CreateDatabase(), &clock), rows));
    copy_one = std::max(copy_one, BareCopy(cluster->CreateDatabase(), rows, true, &clock));
  }
  std::printf(
      "%-34s %9.0f rows/s\n%-34s %9.0f rows/s\n%-34s %9.0f rows/s  %.2f of the former, %.2f of one COPY\n",
      "postgresql, COPY, 1000 a transaction", copy, "postgresql, COPY, one transaction", copy_one,
      "postgresql, store", postgres, postgres / copy, postgres / copy_one);
  return 0;
}

}  // namespace
}  // namespace penstock

int main(int argc, char** argv) { return penstock::Main(argc, argv); }
