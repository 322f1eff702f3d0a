#pragma once

// `penstock verify --store`: every row of a store proven again from what is in it. Reads only, beside a
// running service or without one; can be stopped and taken up again.

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/log.h"
#include "indexer/readers.h"
#include "indexer/record_audit.h"

namespace penstock::app {

struct VerifyStoreOptions {
  std::string url;  // as --store
  // Start behind this row: at://did/collection/rkey. Empty: at the first.
  std::string after;
  // Where to remember how far it is, every few seconds and when it is stopped. If the file is there it goes
  // on from it (`after` must be empty then); when all rows have been seen the file goes. Empty: nowhere.
  std::string resume_file;
  bool json = false;                        // findings and verdict as lines of JSON
  const std::atomic<bool>* stop = nullptr;  // set from outside: stop at the next row
  std::FILE* out = stdout;                  // findings and verdict
  bool terminal = false;  // progress is one line on stderr that renews itself; else lines of `log`
  Logger log;
};

struct VerifyStoreReport {
  indexer::AuditCounts counts;  // of earlier runs too, when it was taken up again
  bool complete = false;        // every row was seen
  std::string after;            // the last row that was seen: where to go on

  // The exit code's question: everything was seen, and everything holds.
  bool ok() const { return complete && counts.failed == 0; }
};

// Prints a line for each finding (`at://…: what: detail`; as JSON {"uri":…,"finding":…,"detail":…}) and the
// verdict at the end. A row that does not verify is no error of this function: look at the report, which is
// filled in any case. A store that is away for a moment is waited for once it has been there. Errors: those
// of indexer/readers.h; kInvalidArgument (options), kUnavailable (the resume file cannot be written).
absl::Status VerifyStore(const VerifyStoreOptions& options, VerifyStoreReport* report);

}  // namespace penstock::app
