#pragma once

// How whole repositories get into the pipeline (docs/backfill.md). An account belongs to its worker, which alone says what state
// it is in; who takes in a repository asks that worker before, tells it after, and hands rows to the writer in between. Live
// events of the account are held meanwhile, and judged again afterwards.
//
// All methods are thread-safe and wait for the worker's answer, or for room at the writer. Errors of all: kCancelled (the
// pipeline is ending, or its writer failed), kUnavailable (the state store is away for good).

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "indexer/change_set.h"
#include "sync/account_state.h"
#include "sync/host_status.h"

namespace penstock::pipeline {

// An account, as its worker sees it.
struct AccountView {
  bool known = false;  // the store has a row of it, or will have one
  sync::AccountState state;
};

class ImportPort {
 public:
  virtual ~ImportPort() = default;

  // The account is about to be fetched: from here on its events reach its worker, whatever the filter says of them. Those of an
  // account whose chain is not followed (untracked, desynchronised) are held until Finish or Abandon; a chain that is whole goes
  // on. Errors: kAlreadyExists (it is being taken in already).
  virtual absl::StatusOr<AccountView> Prepare(std::string_view did) = 0;

  // The archive is verified: its commit is `head`. Held from here on at the latest. Returns once all that was sent for the
  // account before is durable, so that a read of the store sees it; with `long_term` its state `in_progress` is durable, too (for
  // an import that takes more than one transaction). `*current`: our head is this very commit already.
  // Errors: kFailedPrecondition with a Reject-less status whose message is a cause: "stale_export" (ours is newer: nothing is to
  // be changed), or with kChainConflict (our rev, but another tree). The account is as before Prepare then.
  virtual absl::Status Begin(std::string_view did, const sync::Head& head, bool long_term, bool* current) = 0;

  // An empty change set, for rows or for Finish: `source`, `did`, `rev`, … are the caller's to fill in. Never null.
  virtual indexer::ChangeSetPtr NewChange() = 0;

  // A part of a long import. Waits while too much of imports is on its way to the store, so that live changes never wait long
  // behind them. Durable after WaitDurable.
  virtual absl::Status Write(indexer::ChangeSetPtr part) = 0;
  // All parts that this thread has written.
  virtual absl::Status WaitDurable() = 0;

  // The last part: its `import` and `records` become durable together with the account's new state, which the worker adds to it
  // (`synchronized` at `head`, unless held events were dropped meanwhile). Then held events are judged. `tracked`: the account
  // stays followed; false for one that had no state before and nothing that the filter wants: it is forgotten again, and only
  // `import` is written.
  virtual absl::Status Finish(std::string_view did, const sync::Head& head, bool tracked, indexer::ChangeSetPtr last) = 0;

  // Nothing came of it. The account's chain state is as before Prepare (a long import leaves it desynchronised); events that were
  // held only for this are judged as any.
  virtual absl::Status Abandon(std::string_view did) = 0;

  // What a host said of the account (getRepoStatus), by the rules for two sources that contradict each other. An inactive one
  // that was not known gets a row, `desynchronized`, so that it is fetched when it comes back. With `last` (may be null) its
  // `import` becomes durable with it.
  virtual absl::Status SetStatus(std::string_view did, const sync::HostStatus& status, indexer::ChangeSetPtr last) = 0;

  // Removes up to `rows` rows of an account that is gone, and its chain state: it becomes `desynchronized` without a head.
  virtual absl::Status Purge(std::string_view did, uint64_t rows) = 0;
};

}  // namespace penstock::pipeline
