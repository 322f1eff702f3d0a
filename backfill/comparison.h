#pragma once

// What a repository has that our rows have not, and the other way round (protocol 3.5): one walk over both, side by side,
// collection by collection. Both sides come in pages, so memory does not grow with either.
//
// Paths are not compared as a whole: '/' sorts after '-' and '.', so in an archive "a.b.c-d/x" comes before "a.b.c/x", and
// the table's key (collection, rkey) has it the other way round. Within one collection both orders are the same.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "backfill/spilled_records.h"
#include "indexer/filter.h"
#include "indexer/readers.h"
#include "repo/op.h"

namespace penstock::backfill {

struct Difference {
  enum class Kind : uint8_t {
    kMissing,  // the repository has a record that we have not: create
    kChanged,  // both have it, with another CID: update
    kWeaker,   // we have it, but what proved it was less than a whole repository: as if we had it not
    kGone,     // we have a record (or know less surely that there is none) that the repository has not: delete
  } kind = Kind::kMissing;
  std::string_view collection, rkey;
  const SpilledRecord* record = nullptr;  // null for kGone
  // Names the row among all of this repository at this rev, whatever has been written already: a record's place in the
  // repository in key order; -2 and below for what is gone (dead_letter.op).
  int32_t index = 0;

  repo::Action action() const;
};

// Which of its ops the filter wants for a collection.
struct WantedOps {
  bool create = false, update = false, remove = false;
  bool contents() const { return create || update; }
  bool any() const { return create || update || remove; }
};
WantedOps WantedOpsOf(const indexer::Filter& filter, std::string_view did, std::string_view collection);

class Comparison {
 public:
  // `records`: what the filter wants of the repository of `did` at `rev`. `scan` reads our rows; null: there are none.
  Comparison(const indexer::Filter* filter, std::string_view did, std::string_view rev, SpilledRecords* records,
             indexer::AccountScan* scan)
      : filter_(filter), did_(did), rev_(rev), records_(records), scan_(scan) {}

  // Visits the differences that the filter wants as ops, those of one collection in key order; views for the time of the
  // visit. Ends at the first error of `visit` and returns it. Others: those of SpilledRecords and AccountScan. May be run
  // again.
  using Visit = absl::FunctionRef<absl::Status(const Difference&)>;
  absl::Status Run(Visit visit);
  // Records of the repository that are held as they are, in the last run.
  uint64_t unchanged() const { return unchanged_; }

 private:
  struct Row {
    std::string rkey, cid, rev;
    bool deleted = false, strong = false, whole = false;
  };

  absl::Status EnterCollection(std::string_view collection);
  // Our rows that come before `rkey`, or all the rest of the collection, are gone from the repository.
  absl::Status PassRowsBefore(std::string_view rkey, Visit visit);
  absl::Status PassAllRows(Visit visit);
  absl::Status PassRow(const Row& row, Visit visit);
  absl::Status CompareRecord(const SpilledRecord& record, Visit visit);
  // Ours, in the present collection; null behind the last.
  const Row* row() const { return row_ < rows_ ? &page_[row_] : nullptr; }
  absl::Status LoadRows();
  absl::Status NextRow();

  const indexer::Filter* filter_;
  const std::string_view did_, rev_;
  SpilledRecords* records_;
  indexer::AccountScan* scan_;

  std::vector<std::string> held_;  // collections that we have rows of, sorted
  std::vector<bool> met_;          // of these, what the repository has
  std::string collection_;
  bool in_collection_ = false;
  WantedOps wanted_;
  std::vector<Row> page_;  // its strings are used again and again
  size_t rows_ = 0, row_ = 0;
  bool last_page_ = true;
  uint64_t unchanged_ = 0;
  int32_t gone_ = 0;  // rows of ours that the repository has not, tombstones included
  std::string cid_;   // scratch
};

}  // namespace penstock::backfill
