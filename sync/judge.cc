#include "sync/judge.h"

#include <iterator>
#include <utility>

#include "base/status.h"

namespace penstock::sync {

using firehose::Frame;
using repo::Verification;
using Kind = Verdict::Kind;

namespace {

constexpr std::string_view kWaitNames[] = {"identity", "refresh", "status", "desynchronized"};

void Drop(absl::Status why, Verdict* verdict) {
  verdict->kind = Kind::kDrop;
  verdict->reject = std::move(why);
}

void WaitFor(Wait wait, Verdict* verdict) {
  verdict->kind = Kind::kWait;
  verdict->wait = wait;
}

void Ignore(std::string_view why, Verdict* verdict) {
  verdict->kind = Kind::kIgnore;
  verdict->ignored = why;
}

Head HeadOf(std::string_view rev, const cbor::CidView& data, const cbor::CidView& commit) {
  return Head{std::string(rev), cbor::Cid(data), cbor::Cid(commit)};
}

// host[:port] of an origin.
std::string_view HostOf(std::string_view origin) {
  const size_t scheme = origin.find("://");
  return scheme == std::string_view::npos ? origin : origin.substr(scheme + 3);
}

// The relaxation that would let a commit pass whose ops cannot be undone for this reason.
std::optional<Allow> AllowFor(Reject reject) {
  if (reject == Reject::kCommitPrevDataMissing || reject == Reject::kCommitOpWithoutPrev) return Allow::kLegacyCommits;
  if (reject == Reject::kMstPartial) return Allow::kPartialProofs;
  return std::nullopt;
}

}  // namespace

std::string_view WaitName(Wait wait) { return kWaitNames[static_cast<size_t>(wait)]; }

std::optional<Wait> WaitFromName(std::string_view name) {
  for (size_t i = 0; i < std::size(kWaitNames); ++i) {
    if (kWaitNames[i] == name) return static_cast<Wait>(i);
  }
  return std::nullopt;
}

repo::CommitClaim ClaimOf(const Frame& frame) {
  repo::CommitClaim claim;
  claim.did = frame.did;
  claim.rev = frame.rev;
  claim.since = frame.since;
  claim.commit = frame.commit;
  claim.prev_data = frame.prev_data;
  claim.blocks = frame.blocks;
  claim.ops = frame.ops;
  return claim;
}

bool Judge::Gate(const AccountState& state, const Frame& frame, const Circumstances& how, Verdict* verdict) const {
  if (options_.level != Verification::kFull) return false;
  if (!state.active && !how.gated) {
    WaitFor(Wait::kStatus, verdict);
    return true;
  }
  if (frame.kind == firehose::FrameKind::kCommit && IsStale(state, frame.rev)) {
    Ignore("stale_rev", verdict);
    return true;
  }
  if (IsHeldState(state.sync_state)) {
    WaitFor(Wait::kDesynchronized, verdict);
    return true;
  }
  // An account that nothing matched yet needs no chain.
  if (!state.head && !how.wanted) {
    Ignore("untracked", verdict);
    return true;
  }
  return false;
}

bool Judge::Identify(const Frame& frame, const Circumstances& how, Verdict* verdict) const {
  verdict->identity = how.answer ? how.answer : options_.resolver->Find(frame.did.text(), how.position);
  if (!verdict->identity) {
    WaitFor(Wait::kIdentity, verdict);
    return false;
  }
  if (verdict->identity->fault) {
    RefuseOrRefresh(RejectError(*verdict->identity->fault, "the account's identity"), how, verdict);
    return false;
  }
  return CheckAuthority(how, verdict);
}

bool Judge::CheckAuthority(const Circumstances& how, Verdict* verdict) const {
  if (how.authority.empty() || HostOf(verdict->identity->pds) == how.authority) return true;
  RefuseOrRefresh(RejectError(Reject::kAccountWrongHost, verdict->identity->pds), how, verdict);
  return false;
}

void Judge::RefuseOrRefresh(absl::Status status, const Circumstances& how, Verdict* verdict) const {
  // Only a question that was asked before the event came can be out of date for it: one refresh at most.
  const identity::Identity& identity = *verdict->identity;
  const bool older = identity.asked_us == identity::kAlwaysCurrent ? false
                     : how.arrived_us != 0                         ? identity.asked_us < how.arrived_us
                                           : identity.fetched_us < how.arrived_wall_us;
  if (older) return WaitFor(Wait::kRefresh, verdict);
  Drop(std::move(status), verdict);
}

Verdict Judge::Commit(const AccountState& state, const Frame& frame, const Circumstances& how) {
  Verdict verdict;
  if (Gate(state, frame, how, &verdict)) return verdict;  // steps 2, 3
  const repo::CommitClaim claim = ClaimOf(frame);
  // Steps 1, 4-7, 9, 10.
  if (absl::Status status = verifier_.Check(claim, options_.clock->NowMicros(), &verdict.commit); !status.ok()) {
    Drop(std::move(status), &verdict);
    return verdict;
  }
  verdict.kind = Kind::kApply;
  verdict.level = Verification::kCid;
  if (options_.level == Verification::kCid) return verdict;

  if (!Identify(frame, how, &verdict)) return verdict;
  // Step 8.
  if (absl::Status status = verifier_.CheckSignature(*verdict.identity->key, verdict.commit); !status.ok()) {
    RefuseOrRefresh(std::move(status), how, &verdict);
    return verdict;
  }
  verdict.level = Verification::kSignature;
  if (options_.level == Verification::kSignature) return verdict;

  // Step 11.
  bool inverted = true;
  if (absl::Status status = verifier_.Invert(claim, &verdict.commit); !status.ok()) {
    const std::optional<Allow> allow = AllowFor(*RejectOf(status));
    if (!allow || !options_.policies.Allows(*allow)) {
      Drop(std::move(status), &verdict);
      // The signature is good, so the account is where this commit says, and we cannot follow; also when it is the first that we
      // see: the host that made it will make more of the kind, and none of them would ever be applied.
      verdict.next = SyncState::kDesynchronized;
      return verdict;
    }
    inverted = false;
    verdict.allowed = allow;
  }
  // Step 12.
  const cbor::CidView data = verdict.commit.checked.commit.data;
  Step step;
  if (inverted) {
    step = FollowCommit(state, {frame.rev, frame.since, frame.prev_data, data, verdict.commit.whole}, options_.policies);
    if (step.allowed) verdict.allowed = step.allowed;
  } else {
    // Of a commit whose ops cannot be undone, `since` is all that can be compared.
    const bool follows = !state.head || frame.since == state.head->rev;
    step.course = follows ? Course::kApply : Course::kDesync;
    step.level = Verification::kSignature;
    step.next = !follows ? SyncState::kDesynchronized : state.head ? state.sync_state : SyncState::kPartial;
    step.why = follows ? std::nullopt : std::optional<Reject>(Reject::kChainBroken);
  }
  verdict.next = step.next;
  verdict.level = step.level;
  if (step.course == Course::kDesync) {
    verdict.kind = Kind::kDesync;
    verdict.reject = RejectError(*step.why);
    return verdict;
  }
  verdict.has_head = true;
  verdict.head = HeadOf(frame.rev, data, frame.commit);
  return verdict;
}

Verdict Judge::Sync(const AccountState& state, const Frame& frame, const Circumstances& how) {
  Verdict verdict;
  if (Gate(state, frame, how, &verdict)) return verdict;
  const auto check = [&]() -> absl::Status {
    RETURN_IF_ERROR(sync_blocks_.Load(frame.blocks));
    verdict.sync_commit_cid = sync_blocks_.root();
    if (!verdict.sync_commit_cid.IsBlessedData()) return RejectError(Reject::kCidUnsupported, "the commit of a #sync");
    const std::optional<Bytes> block = sync_blocks_.Find(verdict.sync_commit_cid);
    if (!block) return RejectError(Reject::kCarMissingBlock, "the commit of a #sync");
    ASSIGN_OR_RETURN(verdict.sync_commit, repo::DecodeCommit(*block));
    if (verdict.sync_commit.did.text() != frame.did.text()) return RejectError(Reject::kCommitDidMismatch);
    const std::optional<repo::Tid> rev = repo::Tid::Parse(frame.rev);
    if (!rev) return RejectError(Reject::kSyntaxTid, "rev");
    if (rev->micros() > options_.clock->NowMicros() + repo::kMaxFutureUs) return RejectError(Reject::kCommitFutureRev);
    return absl::OkStatus();
  };
  if (absl::Status status = check(); !status.ok()) {
    Drop(std::move(status), &verdict);
    return verdict;
  }
  verdict.kind = Kind::kApply;
  // At this level a #sync changes nothing, and its rev is not compared: after a migration a real PDS sends one whose commit is
  // older than its rev (docs/gotchas.md).
  if (options_.level == Verification::kCid) return verdict;

  if (!Identify(frame, how, &verdict)) return verdict;
  const Bytes block = *sync_blocks_.Find(verdict.sync_commit_cid);
  absl::Status status = repo::CheckCommitSignature(*verdict.identity->key, block, verdict.sync_commit, &unsigned_);
  if (!status.ok()) {
    RefuseOrRefresh(std::move(status), how, &verdict);
    return verdict;
  }
  if (verdict.sync_commit.rev != frame.rev) {
    Drop(RejectError(Reject::kCommitRevMismatch), &verdict);
    return verdict;
  }
  verdict.level = Verification::kSignature;
  if (options_.level == Verification::kSignature) return verdict;
  const Step step = FollowSync(state, frame.rev, verdict.sync_commit.data);
  verdict.next = step.next;
  verdict.level = step.level;
  switch (step.course) {
    case Course::kApply:
      verdict.has_head = true;
      verdict.head = HeadOf(frame.rev, verdict.sync_commit.data, verdict.sync_commit_cid);
      break;
    case Course::kIgnore:
      // Our own rev again, or an older one: real hosts send it after every first commit. It still passes as an event.
      Ignore(frame.rev == state.head->rev ? "" : "stale_rev", &verdict);
      break;
    case Course::kDesync:
      verdict.kind = Kind::kDesync;
      verdict.reject = RejectError(*step.why);
      break;
  }
  return verdict;
}

Verdict Judge::Account(const Frame& frame, const Circumstances& how) {
  Verdict verdict;
  verdict.kind = Kind::kApply;
  if (how.authority.empty()) return verdict;
  verdict.identity = how.answer ? how.answer : options_.resolver->Find(frame.did.text(), how.position);
  if (!verdict.identity) {
    WaitFor(Wait::kIdentity, &verdict);
    return verdict;
  }
  // Without a document nobody speaks for the account; a tombstoned one is deleted, which is what such an event says.
  if (verdict.identity->fault == Reject::kDidTombstoned) return verdict;
  (void)CheckAuthority(how, &verdict);
  return verdict;
}

}  // namespace penstock::sync
