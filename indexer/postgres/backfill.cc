#include "indexer/postgres/backfill.h"

#include <deque>
#include <utility>
#include <variant>
#include <vector>

#include "base/status.h"
#include "indexer/backfill_queue.h"
#include "indexer/postgres/session.h"
#include "indexer/postgres/tables.h"

namespace penstock::indexer {
namespace {

// What is asked for stands at the front of an index. A planner without statistics, or with those of an empty
// table, would rather collect a million tasks and sort them than read the first hundred.
constexpr char kSettings[] = "SET enable_bitmapscan = off; SET enable_sort = off";

// The queue's transactions are short, so they take turns: none of them has to think of what another one is
// about to do. The schema is part of the key, so that stores in one database do not wait for each other.
constexpr char kBeginSql[] =
    "BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('penstock queue ' || current_schema(), 0))";

std::string NameOf(QueueSql which) { return "queue" + std::to_string(static_cast<int>(which)); }

class PgRow final : public SqlRow {
 public:
  PgRow(const PgResult& result, int row) : result_(result), row_(row) {}
  std::string_view text(int column) const override { return result_.text(row_, column); }
  int64_t int64(int column) const override { return result_.int64(row_, column); }
  bool is_null(int column) const override { return result_.is_null(row_, column); }

 private:
  const PgResult& result_;
  const int row_;
};

class PgQueue final : public QueueConnection {
 public:
  explicit PgQueue(const StoreOptions& options)
      : session_(options, "penstock backfill " + options.shard, Statements(), kSettings) {}

  absl::Status Begin() override {
    RETURN_IF_ERROR(session_.EnsureConnected());
    scratch_.Reset();
    in_transaction_ = true;
    absl::Status status = session_.ExecuteConnected(kBeginSql);
    if (!status.ok()) Rollback();
    return status;
  }
  absl::Status Commit() override {
    absl::Status status = session_.ExecuteConnected("COMMIT");
    if (status.ok()) in_transaction_ = false;
    return status;
  }
  void Rollback() override {
    // A connection that is lost has rolled back already, or its server will.
    (void)session_.ExecuteConnected("ROLLBACK");
    in_transaction_ = false;
  }
  absl::StatusOr<int64_t> Run(QueueSql which, std::span<const SqlValue> values, const Visit& visit) override;
  absl::StatusOr<int64_t> PutTasks(TaskInsert how, std::span<const NewTask> tasks) override;
  absl::Status PutListings(ListingInsert how, std::span<const sync::Listing> listings) override;

 private:
  static std::vector<PgStatement> Statements();
  absl::StatusOr<int64_t> Flush(PgBulk* bulk);

  PgSession session_;
  PgBulk seeds_{"seeds", SeedInsert()}, unsettled_{"unsettled", UnsettledInsert()};
  PgBulk add_listings_{"add_listings", indexer::ListingInsert()}, save_page_{"save_page", SavePageInsert()};
  bool in_transaction_ = false;
  Arena scratch_;
};

std::vector<PgStatement> PgQueue::Statements() {
  std::vector<PgStatement> statements;
  for (size_t i = 0; i < static_cast<size_t>(QueueSql::kCount); ++i) {
    const QueueSql which = static_cast<QueueSql>(i);
    statements.push_back(
        {NameOf(which), RenderQueueSql(which, Dialect::kPostgres), PgTypes(StatementOf(which).types)});
  }
  const auto add = [&](const char* name, const Insert& insert) {
    PgArrays arrays(insert.columns);
    std::vector<PgParam> types;
    for (const PgParam& array : arrays.Parameters()) types.push_back({array.type, {}});
    statements.push_back({name, RenderInsert(insert, Dialect::kPostgres), std::move(types)});
  };
  add("seeds", SeedInsert());
  add("unsettled", UnsettledInsert());
  add("add_listings", indexer::ListingInsert());
  add("save_page", SavePageInsert());
  return statements;
}

absl::StatusOr<int64_t> PgQueue::Run(QueueSql which, std::span<const SqlValue> values, const Visit& visit) {
  if (!in_transaction_) RETURN_IF_ERROR(session_.EnsureConnected());
  std::deque<PgInt> numbers;  // keeps addresses
  std::vector<PgParam> parameters;
  for (const SqlValue& value : values) {
    if (const int64_t* number = std::get_if<int64_t>(&value)) {
      parameters.push_back(numbers.emplace_back(*number).param());
    } else {
      parameters.push_back(PgText(std::get<std::string_view>(value)));
    }
  }
  ASSIGN_OR_RETURN(const PgResult result, session_.RunConnected(NameOf(which), parameters));
  for (int i = 0; visit && i < result.rows(); ++i) visit(PgRow(result, i));
  return result.affected();
}

absl::StatusOr<int64_t> PgQueue::Flush(PgBulk* bulk) {
  const absl::StatusOr<PgResult> result = session_.RunConnected(bulk->name, bulk->arrays.Parameters());
  bulk->arrays.Clear();
  if (!result.ok()) return result.status();
  return result->affected();
}

absl::StatusOr<int64_t> PgQueue::PutTasks(TaskInsert how, std::span<const NewTask> tasks) {
  PgBulk* bulk = how == TaskInsert::kSeed ? &seeds_ : &unsettled_;
  int64_t changed = 0;
  for (size_t i = 0; i < tasks.size(); ++i) {
    GiveTask(tasks[i], &scratch_, &bulk->arrays);
    if (!bulk->full() && i + 1 < tasks.size()) continue;
    ASSIGN_OR_RETURN(const int64_t more, Flush(bulk));
    changed += more;
  }
  return changed;
}

absl::Status PgQueue::PutListings(ListingInsert how, std::span<const sync::Listing> listings) {
  PgBulk* bulk = how == ListingInsert::kAdd ? &add_listings_ : &save_page_;
  for (size_t i = 0; i < listings.size(); ++i) {
    GiveListing(listings[i], &scratch_, &bulk->arrays);
    if (bulk->full() || i + 1 == listings.size()) RETURN_IF_ERROR(Flush(bulk).status());
  }
  return absl::OkStatus();
}

}  // namespace

std::unique_ptr<sync::BackfillStore> MakePostgresBackfillStore(const StoreOptions& options) {
  return std::make_unique<BackfillQueue>(std::make_unique<PgQueue>(options));
}

}  // namespace penstock::indexer
