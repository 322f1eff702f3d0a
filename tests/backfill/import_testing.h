#pragma once

// The two ends of an import for tests: a port that writes to a real store, and a scan of it, which can both fail at any step.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "indexer/readers.h"
#include "indexer/store.h"
#include "pipeline/import_port.h"

namespace penstock::test {

// Writes each part at once. What a worker adds to the last part is added here as well.
class StorePort final : public pipeline::ImportPort {
 public:
  explicit StorePort(indexer::Store* store) : store_(store) {}

  absl::StatusOr<pipeline::AccountView> Prepare(std::string_view) override { return pipeline::AccountView(); }

  absl::Status Begin(std::string_view, const sync::Head& head, bool long_term, bool* current) override {
    RETURN_IF_ERROR(Step());
    *current = false;
    begun.push_back(long_term ? "long" : "short");
    begun_rev = head.rev;
    return begin_answer;
  }

  indexer::ChangeSetPtr NewChange() override {
    indexer::ChangeSetPtr change = changes_.Take();
    change->kind = indexer::EventKind::kControl;
    return change;
  }

  absl::Status Write(indexer::ChangeSetPtr part) override {
    RETURN_IF_ERROR(Step());
    parts.push_back(part->records.size());
    size_t deletes = 0;
    for (const indexer::RecordRow& row : part->records) deletes += row.op == repo::Action::kDelete;
    deletes_of_parts.push_back(deletes);
    return Apply(std::move(part));
  }
  absl::Status WaitDurable() override { return Step(); }

  absl::Status Finish(std::string_view, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) override {
    RETURN_IF_ERROR(Step());
    parts.push_back(last->records.size());
    finished = true;
    was_tracked = tracked;
    import_rules.clear();
    if (last->import) {
      for (std::string_view rule : last->import->rules) import_rules.emplace_back(rule);
      import_records = last->import->records;
      import_host = last->import->host;
    }
    if (!tracked) return absl::OkStatus();
    indexer::RepoRow row;
    row.sync_state = sync::SyncState::kSynchronized;
    row.has_head = true;
    row.rev = row.baseline_rev = last->arena.Copy(head.rev);
    row.data = last->arena.Copy(head.data.ToString());
    row.commit_cid = last->arena.Copy(head.commit.ToString());
    last->repo = row;
    return Apply(std::move(last));
  }

  absl::Status Abandon(std::string_view) override { return absl::OkStatus(); }
  absl::Status SetStatus(std::string_view, const sync::HostStatus&, indexer::ChangeSetPtr) override { return absl::OkStatus(); }
  absl::Status Purge(std::string_view, uint64_t) override { return absl::OkStatus(); }

  // As if the process ended there: so many more calls succeed.
  uint64_t steps_left = UINT64_MAX;
  uint64_t steps = 0;
  absl::Status begin_answer;

  // What was asked for.
  std::vector<std::string> begun;
  std::string begun_rev;
  std::vector<size_t> parts, deletes_of_parts;  // rows; the last part is that of Finish, and not in the second
  size_t rows_written = 0;
  bool finished = false, was_tracked = false;
  std::vector<std::string> import_rules;
  std::string import_host;
  uint64_t import_records = 0;

 private:
  absl::Status Step() {
    if (steps_left == 0) return absl::CancelledError("killed");
    --steps_left;
    ++steps;
    return absl::OkStatus();
  }
  absl::Status Apply(indexer::ChangeSetPtr change) {
    std::vector<indexer::ChangeSetPtr> changes;
    changes.push_back(std::move(change));
    indexer::ApplyResult result;
    RETURN_IF_ERROR(store_->Apply({changes, {}}, &result));
    rows_written += result.rows_written;
    return absl::OkStatus();
  }

  indexer::Store* store_;
  indexer::ChangeSetRecycler changes_{4};
};

// A scan whose database goes away.
class FaultyScan final : public indexer::AccountScan {
 public:
  explicit FaultyScan(indexer::AccountScan* scan) : scan_(scan) {}

  absl::Status LoadCollections(std::string_view did, std::vector<std::string>* collections) override {
    return scan_->LoadCollections(did, collections);
  }
  absl::StatusOr<size_t> Read(std::string_view did, std::string_view collection, std::string_view after, size_t max_rows,
                              const Visit& visit) override {
    if (reads_left == 0) return UnavailableError("the database is away");
    --reads_left;
    return scan_->Read(did, collection, after, max_rows, visit);
  }

  uint64_t reads_left = UINT64_MAX;

 private:
  indexer::AccountScan* scan_;
};

}  // namespace penstock::test
