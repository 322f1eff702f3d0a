#include "backfill/fetch_task.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::backfill {
namespace {

using End = StepResult::End;

// A resolver answers within its own time-outs, and a host within the client's: these are for one that does not.
constexpr std::chrono::minutes kResolveTimeout{2};
constexpr std::chrono::minutes kStatusTimeout{2};
// Protocol 3.2: a rev further ahead than this is in the future. What a listing says of such a rev is not believed.
constexpr int64_t kMaxClockSkewUs = 300'000'000;
// Rows of a deleted account that go at once, so that the writer is never away from live changes for long.
constexpr uint64_t kPurgeRows = 1'000;

StepResult Fault(std::string_view cause, absl::Status fault = absl::OkStatus()) {
  StepResult result;
  result.end = End::kFault;
  result.cause = cause;
  result.fault = std::move(fault);
  return result;
}

StepResult Recalled() {
  StepResult result;
  result.end = End::kRecalled;
  return result;
}

// The key that we know may not be the account's any more.
bool MayBeKeyFault(std::string_view cause) {
  return cause == "signature_mismatch" || cause == "did_no_key" || cause == "key_malformed" || cause == "key_unsupported";
}

// The host of the document does not have it, or does not answer: others are asked.
bool OthersMayHelp(std::string_view cause) {
  return cause == kCauseNoHost || cause == kCauseHostUnavailable || cause == kCauseHostRefused || cause == kCauseRepoNotFound;
}

// What the account's status is called that an error of getRepo tells of.
std::string_view StatusOfError(std::string_view error) {
  if (error == "RepoTakendown") return "takendown";
  if (error == "RepoSuspended") return "suspended";
  return error == "RepoDeactivated" ? "deactivated" : "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<FetchTask>> FetchTask::Create(const CoordinatorOptions* options,
                                                             const CoordinatorResources* resources) {
  std::unique_ptr<FetchTask> task(new FetchTask(options, resources));
  ASSIGN_OR_RETURN(task->import_, ArchiveImport::Create(options->archive, resources->filter, resources->counters));
  return task;
}

FetchTask::FetchTask(const CoordinatorOptions* options, const CoordinatorResources* resources)
    : options_(*options),
      resources_(*resources),
      port_(resources->port),
      scan_(resources->scan()),
      limits_{options->min_bytes_per_second, options->slow_window_us, options->max_download_us} {}

FetchResult FetchTask::Run(const FetchJob& job) {
  job_ = &job;
  identity_ = job.identity;
  view_ = {};
  refreshed_ = resolved_anew_ = false;
  // The rows that are done with this import are those made before; a clock that was set back must not keep ours.
  started_at_ = std::max(resources_.clock->NowMicros(), job.task.created_at + 1);
  port_.SetRecall(job.recall.get());

  FetchResult result;
  result.step = job.what == FetchJob::What::kPurge ? RunPurge() : RunFetch();
  const absl::Status abandoned = port_.Abandon(did());
  if (!abandoned.ok() && result.step.end == End::kFault) {
    // It is not known what the account's worker thinks, so nothing is said of the task either.
    result.step = OfImport(abandoned);
  }
  if (result.step.good() && job.what == FetchJob::What::kFetch) result.archive = import_->result();
  port_.SetRecall(nullptr);
  job_ = nullptr;
  return result;
}

StepResult FetchTask::RunFetch() {
  if (!resources_.filter->WantsAccount(did())) return Fault(kCauseNotWanted);
  const absl::StatusOr<pipeline::AccountView> view = port_.Prepare(did());
  if (!view.ok()) return OfImport(view.status());
  return TakeIn(*view);
}

StepResult FetchTask::TakeIn(const pipeline::AccountView& view) {
  view_ = view;
  if (view_.known && !view_.state.active && !identity_->fault) {
    const StepResult result = AskWhetherBack();
    if (!result.good()) return result;
  } else if (!identity_->fault && IsCurrent()) {
    return Fault(kCauseAlreadyCurrent);
  }
  StepResult result = FetchAnywhere();
  if (!result.good()) return result;
  const std::string host = std::move(result.host);
  result = OfImport(import_->Apply(&port_, scan_.get()));
  if (result.good() && view_.known && !view_.state.active) ShowAgain();
  result.host = host;
  result.answered = true;
  return result;
}

// Asked before its archive is: that is cheaper, and it is visible as soon as it is whole. Good: it is active, or its host does not
// say.
StepResult FetchTask::AskWhetherBack() {
  StepResult result;
  std::optional<net::RepoStatus> status = AskStatus(Home(), &result);
  if (status && !status->active) {
    StepResult silent = Fault(kCauseAccountInactive);
    if (HasMoved(&silent)) {
      status = AskStatus(Home(), &result);
    } else if (silent.end != End::kFault || silent.cause != kCauseAccountInactive) {
      return silent;
    }
  }
  if (!status) {
    const bool no_word = result.end == End::kFault && ClassOf(result.cause) != FaultClass::kSlowWorld;
    return no_word ? StepResult() : result;
  }
  StepResult set = SetStatus(status->active, status->status);
  if (!set.good()) return set;
  if (!status->active) return Fault(kCauseAccountInactive);
  const absl::StatusOr<pipeline::AccountView> again = port_.Prepare(did());
  if (!again.ok()) return OfImport(again.status());
  view_ = *again;
  return result;
}

// It was taken in though it is inactive as far as we know: where it lives now may say otherwise. If nobody says so it stays
// hidden; that is no fault of what was taken in.
void FetchTask::ShowAgain() {
  StepResult result;
  const std::optional<net::RepoStatus> status = AskStatus(Home(), &result);
  if (!status || !status->active || !port_.Prepare(did()).ok()) return;
  const StepResult set = SetStatus(true, status->status);
  if (!set.good()) Log(resources_.log, LogLevel::kWarning, "backfill: " + job_->task.did + ": " + set.fault.ToString());
}

StepResult FetchTask::FetchAnywhere() {
  StepResult home;
  if (job_->skip_home) {
    home = Fault(kCauseHostUnavailable, UnavailableError(Home().origin + ": down"));
    home.host = Home().origin;
  } else {
    home = FetchHealing({});
  }
  if (home.end != End::kFault) return home;
  if (home.cause == kCauseAccountInactive) return Conclude(std::move(home), Home());
  if (!OthersMayHelp(home.cause)) return home;

  // Where the document names a host, what others say of the account decides nothing: it is not theirs. Their archive does, since
  // it proves itself.
  StepResult last = home;
  for (const std::string& origin : options_.upstreams) {
    if (origin == Home().origin) continue;
    last = FetchHealing(origin);
    if (last.end != End::kFault || last.cause == kCauseAlreadyCurrent) return last;
    resources_.counters->Count("backfill_upstream_" + last.cause);
  }
  StepResult& verdict = home.cause == kCauseNoHost ? last : home;
  if (verdict.cause != kCauseAccountInactive && verdict.cause != kCauseRepoNotFound) return verdict;
  const net::XrpcHost host{verdict.host, IsUpstream(verdict.host)};
  return Conclude(std::move(verdict), host);
}

StepResult FetchTask::FetchHealing(std::string_view upstream) {
  for (;;) {
    const net::XrpcHost host = upstream.empty() ? Home() : net::XrpcHost{std::string(upstream), true};
    StepResult result;
    if (identity_->fault) {
      result = OnIdentityFault();
    } else if (host.origin.empty()) {
      result = Fault(kCauseNoHost);
    } else {
      result = FetchFrom(host);
    }
    if (result.end != End::kFault) return result;
    if (!refreshed_ && MayBeKeyFault(result.cause)) {
      refreshed_ = true;
      if (Relearn(identity::Ask::kRefresh, &result)) continue;
    } else if (upstream.empty() && (result.cause == kCauseRepoNotFound || result.cause == kCauseAccountInactive)) {
      if (HasMoved(&result)) continue;
    }
    return result;
  }
}

StepResult FetchTask::FetchFrom(const net::XrpcHost& host) {
  const bool unlisted = job_->task.kind == sync::RunKind::kManual && job_->task.rev.empty();
  const std::string_view ours = view_.state.head ? std::string_view(view_.state.head->rev) : std::string_view();
  ArchiveImport::Subject subject;
  subject.did = did();
  subject.key = &*identity_->key;
  if (view_.state.head) subject.proven_commit = view_.state.head->commit;
  subject.now_us = resources_.clock->NowMicros();
  subject.have_rev = LeastRev();
  // An operator who names an account wants all of it compared.
  subject.current_is_enough = view_.state.sync_state == sync::SyncState::kSynchronized && job_->covered && !unlisted &&
                              subject.have_rev == ours;
  subject.started_at = started_at_;
  subject.rules = options_.rules;
  subject.is_new = !view_.known;
  return Download(resources_.client, host, subject, limits_, *job_->recall, import_.get());
}

// Protocol 8.2. Its old host says that it is not there, or not active, and is believed only if the document names it now.
bool FetchTask::HasMoved(StepResult* result) {
  if (std::exchange(resolved_anew_, true)) return false;
  resources_.resolver->Purge(did());
  return Relearn(identity::Ask::kCached, result);
}

bool FetchTask::Relearn(identity::Ask ask, StepResult* result) {
  const auto reply = std::make_shared<Reply<identity::Answer>>();
  resources_.resolver->Resolve(did(), {}, ask, [reply](const identity::Answer& answer) { reply->Set(answer); });
  const std::optional<identity::Answer> answer = reply->Wait(*job_->recall, kResolveTimeout);
  if (job_->recall->raised()) {
    *result = Recalled();
    return false;
  }
  if (!answer || !answer->status.ok() || answer->identity == nullptr) {
    // The verdict stands for now; another one may come of the next attempt.
    if (result->cause == kCauseRepoNotFound || result->cause == kCauseAccountInactive) {
      const absl::Status why = answer ? answer->status : DeadlineExceededError("the resolver did not answer");
      *result = Fault(kCauseIdentityUnavailable, why.ok() ? UnavailableError("no identity") : why);
    }
    if (answer) result->retry_after_us = std::max(result->retry_after_us, answer->retry_after_us);
    return false;
  }
  const identity::IdentityPtr before = std::exchange(identity_, answer->identity);
  return before->fault != identity_->fault || before->pds != identity_->pds || before->key != identity_->key;
}

StepResult FetchTask::Conclude(StepResult result, const net::XrpcHost& host) {
  StepResult asked;
  if (const std::optional<net::RepoStatus> status = AskStatus(host, &asked)) {
    if (status->active) {
      // It serves no archive of an account that is active: something is wrong there, and may be right later.
      return Fault(kCauseHostRefused, FailedPreconditionError(host.origin + ": active, but " + std::string(Message(result.fault))));
    }
    const StepResult set = SetStatus(false, status->status);
    return set.good() ? Fault(kCauseAccountInactive, result.fault) : set;
  }
  if (asked.end != End::kFault) return asked;
  const bool no_word = asked.cause == kCauseRepoNotFound || asked.cause == kCauseHostRefused;
  if (!no_word) return asked.cause == kCauseAccountInactive ? result : asked;
  if (result.cause == kCauseRepoNotFound) {
    // Its own host, which the document still names, knows nothing of an account that we follow: it was deleted, and nobody told us.
    const bool gone = view_.known && host.origin == identity_->pds && result.error == "RepoNotFound" && asked.error == "RepoNotFound";
    if (!gone) return result;
    const StepResult set = SetStatus(false, "deleted");
    return set.good() ? Fault(kCauseAccountInactive, result.fault) : set;
  }
  // It does not serve getRepoStatus; its refusal was as good a word.
  const StepResult set = SetStatus(false, StatusOfError(result.error));
  return set.good() ? result : set;
}

StepResult FetchTask::SetStatus(bool active, std::string_view text) {
  sync::HostStatus status;
  status.status = absl::OkStatus();
  status.active = active;
  status.text = text;
  return OfImport(port_.SetStatus(did(), status, nullptr));
}

std::optional<net::RepoStatus> FetchTask::AskStatus(const net::XrpcHost& host, StepResult* result) {
  if (host.origin.empty()) {
    *result = Fault(kCauseNoHost);
    return std::nullopt;
  }
  struct Said {
    net::XrpcOutcome outcome;
    net::RepoStatus status;
  };
  const auto reply = std::make_shared<Reply<Said>>();
  resources_.client->GetRepoStatus(host, did(), [reply](const net::XrpcOutcome& outcome, const net::RepoStatus& status) {
    reply->Set({outcome, status});
  });
  std::optional<Said> said = reply->Wait(*job_->recall, kStatusTimeout);
  if (job_->recall->raised()) {
    *result = Recalled();
    return std::nullopt;
  }
  if (!said) said = Said{{DeadlineExceededError(host.origin + ": getRepoStatus"), {}, 0}, {}};
  *result = OfOutcome(said->outcome, host.origin);
  if (!result->good()) return std::nullopt;
  return std::move(said->status);
}

StepResult FetchTask::OnIdentityFault() {
  const Reject fault = identity_->fault.value_or(Reject::kDidNoKey);
  if (fault == Reject::kDidTombstoned && view_.known) {
    // Protocol 3.6: counts as deleted.
    const StepResult set = SetStatus(false, "deleted");
    if (!set.good()) return set;
  }
  return Fault(RejectName(fault), RejectError(fault, "the account's document"));
}

StepResult FetchTask::RunPurge() {
  if (!job_->confirmed && identity_->fault != Reject::kDidTombstoned) {
    StepResult result;
    const std::optional<net::RepoStatus> status = AskStatus(Home(), &result);
    if (!status && result.cause != kCauseRepoNotFound) return result;
    if (status && (status->active || status->status != "deleted")) {
      // It is back, or was never gone: then its worker has to know.
      const absl::StatusOr<pipeline::AccountView> view = port_.Prepare(did());
      if (!view.ok()) return OfImport(view.status());
      const StepResult set = SetStatus(status->active, status->status);
      return set.good() ? Fault(status->active ? "" : kCauseAccountInactive) : set;
    }
  }
  return OfImport(port_.Purge(did(), kPurgeRows));
}

net::XrpcHost FetchTask::Home() const {
  const std::string& origin = identity_->pds.empty() ? job_->task.host : identity_->pds;
  return {origin, IsUpstream(origin)};
}

bool FetchTask::IsUpstream(std::string_view origin) const {
  return std::find(options_.upstreams.begin(), options_.upstreams.end(), origin) != options_.upstreams.end();
}

bool FetchTask::IsCurrent() const {
  const sync::AccountState& state = view_.state;
  if (!view_.known || !state.head || state.sync_state != sync::SyncState::kSynchronized || !job_->covered) return false;
  if (!job_->task.rev.empty()) return job_->task.rev <= state.head->rev;
  // Nobody said which rev there is. What these runs are about is then what its state says, and that is whole.
  return job_->task.kind == sync::RunKind::kFilter || job_->task.kind == sync::RunKind::kResync;
}

std::string_view FetchTask::LeastRev() const {
  const std::string_view ours = view_.state.head ? std::string_view(view_.state.head->rev) : std::string_view();
  const std::string_view listed = job_->task.rev;
  if (listed <= ours) return ours;
  // A listing is not proven. What it says of a rev that cannot be is nothing, and when all attempts but one have shown an older
  // archive, that is what there is.
  const std::optional<repo::Tid> tid = repo::Tid::Parse(listed);
  const bool possible = tid && tid->micros() <= resources_.clock->NowMicros() + kMaxClockSkewUs;
  return possible && job_->task.attempts + 1 < options_.retry.max_attempts ? listed : ours;
}

}  // namespace penstock::backfill
