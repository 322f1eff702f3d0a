#pragma once

// One account from its task to its end (docs/backfill.md, "One task"): asks its worker, its host and the others that may have it,
// tries again with a new identity where that may help, and says what came of it. Never leaves the account's worker waiting.
//
// One thread; blocking; reusable.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "backfill/account_port.h"
#include "backfill/archive_import.h"
#include "backfill/coordinator.h"
#include "backfill/download.h"
#include "backfill/waiting.h"
#include "identity/identity.h"

namespace penstock::backfill {

// What a thread is given.
struct FetchJob {
  enum class What : uint8_t {
    kFetch,
    kPurge,  // remove rows of an account that was deleted, if it really was
  };
  uint64_t id = 0;  // the giver's
  What what = What::kFetch;
  sync::BackfillTask task;  // only `did` counts for kPurge
  identity::IdentityPtr identity;
  bool covered = false;    // all rules of the filter, by an earlier import
  bool confirmed = false;  // kPurge: a moment ago it was deleted
  // Where it waits its turn: the PDS of the document, whoever else is asked, or empty if nobody is.
  std::string host;
  bool skip_home = false;  // it is known to be down, and somebody else may have the archive
  std::shared_ptr<Recall> recall;
};

struct FetchResult {
  // Good with kFetch: taken in, and the task is done with its rows. Good with kPurge: a piece of its rows is on its way out.
  StepResult step;
  ArchiveImport::Result archive;  // of what was taken in
};

class FetchTask {
 public:
  // All that `options` and `resources` refer to outlives it. Errors: those of ArchiveImport::Create.
  static absl::StatusOr<std::unique_ptr<FetchTask>> Create(const CoordinatorOptions* options,
                                                           const CoordinatorResources* resources);

  FetchResult Run(const FetchJob& job);

 private:
  FetchTask(const CoordinatorOptions* options, const CoordinatorResources* resources);

  StepResult RunFetch();
  StepResult RunPurge();
  // After Prepare.
  StepResult TakeIn(const pipeline::AccountView& view);
  StepResult AskWhetherBack();
  void ShowAgain();
  // From the host of the document; then from others.
  StepResult FetchAnywhere();
  // From `upstream`, or if that is empty from the host of the document; once more where the document turns out to be old.
  StepResult FetchHealing(std::string_view upstream);
  StepResult FetchFrom(const net::XrpcHost& host);
  // The document as it is now: true if it names another key or host than the one before.
  bool Relearn(identity::Ask ask, StepResult* result);
  // The same past every cache, once for a task.
  bool HasMoved(StepResult* result);
  // The host says that the account is gone or silent: asks how it is, and tells its worker.
  StepResult Conclude(StepResult result, const net::XrpcHost& host);
  StepResult SetStatus(bool active, std::string_view text);
  // What the host says of the account. Null: `*result` says why.
  std::optional<net::RepoStatus> AskStatus(const net::XrpcHost& host, StepResult* result);
  StepResult OnIdentityFault();

  std::string_view did() const { return job_->task.did; }
  // Who serves it: the document's host, else who listed it.
  net::XrpcHost Home() const;
  bool IsUpstream(std::string_view origin) const;
  bool IsCurrent() const;
  // The rev that an archive must have at least.
  std::string_view LeastRev() const;

  const CoordinatorOptions& options_;
  const CoordinatorResources& resources_;
  AccountPort port_;
  std::unique_ptr<indexer::AccountScan> scan_;
  std::unique_ptr<ArchiveImport> import_;
  DownloadLimits limits_;

  // Of the job at hand.
  const FetchJob* job_ = nullptr;
  identity::IdentityPtr identity_;
  pipeline::AccountView view_;
  int64_t started_at_ = 0;
  bool refreshed_ = false, resolved_anew_ = false;
};

}  // namespace penstock::backfill
