#include "backfill/find_accounts.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "backfill/find_rules.h"
#include "base/status.h"
#include "repo/op.h"
#include "repo/syntax.h"

namespace penstock::backfill {
namespace {

constexpr int64_t kSecond = 1'000'000;
// What resolving is called among the origins: the directory may be down like any host.
constexpr std::string_view kDirectory = "directory";
// How far ahead of our clock a rev may be (protocol 3.2).
constexpr int64_t kMaxAhead = 300 * kSecond;

// The account is there and does not show itself, which may change.
bool IsHidden(std::string_view error) {
  return error == "RepoDeactivated" || error == "RepoSuspended" || error == "RepoTakendown";
}
bool IsGone(const net::XrpcOutcome& outcome) { return outcome.error == "RepoNotFound"; }

}  // namespace

bool IsTrusted(const FinderOptions& options, std::string_view origin) {
  const std::string host = HostOf(origin);
  return FindHost(options, origin) != nullptr ||
         std::any_of(options.collection_hosts.begin(), options.collection_hosts.end(),
                     [&](const std::string& directory) { return HostOf(directory) == host; });
}

std::string UsableRev(std::string_view rev, int64_t now_us) {
  const std::optional<repo::Tid> tid = repo::Tid::Parse(rev);
  return tid && tid->micros() <= now_us + kMaxAhead ? std::string(rev) : std::string();
}

AccountRound::AccountRound(const FindContext* context, Method method, net::XrpcHost listing_host,
                           std::vector<std::string> patterns, std::vector<AccountQuestion> questions)
    : context_(context),
      method_(method),
      listing_host_(std::move(listing_host)),
      patterns_(std::move(patterns)),
      questions_(std::move(questions)),
      waiting_(questions_.size()),
      open_(questions_.size()) {
  std::iota(waiting_.begin(), waiting_.end(), size_t{0});
}

net::XrpcHost AccountRound::HostAt(const std::string& origin) const {
  if (origin == listing_host_.origin) return listing_host_;
  return {origin, IsTrusted(*context_->options, origin)};
}

void AccountRound::Pump() {
  const int64_t now = context_->clock->NowMicros();
  std::vector<size_t> ready;
  std::erase_if(waiting_, [&](size_t index) {
    const AccountQuestion& question = questions_[index];
    if (question.verdict != AccountVerdict::kOpen) return true;  // given up together with its host
    if (asking_ + ready.size() >= kWindow || question.due > now) return false;
    const auto origin = origins_.find(question.origin.empty() ? kDirectory : std::string_view(question.origin));
    if (origin != origins_.end() && origin->second.rest_until > now) return false;
    ready.push_back(index);
    return true;
  });
  asking_ += ready.size();
  for (const size_t index : ready) Ask(index);
}

int64_t AccountRound::due() const {
  int64_t due = std::numeric_limits<int64_t>::max();
  if (asking_ >= kWindow) return due;
  for (const size_t index : waiting_) {
    const AccountQuestion& question = questions_[index];
    const auto origin = origins_.find(question.origin.empty() ? kDirectory : std::string_view(question.origin));
    due = std::min(due, std::max(question.due, origin == origins_.end() ? 0 : origin->second.rest_until));
  }
  return due;
}

void AccountRound::Ask(size_t index) {
  const AccountQuestion& question = questions_[index];
  if (question.origin.empty()) return Resolve(index);
  const auto mailbox = context_->mailbox;
  const auto self = weak_from_this();
  if (method_ == Method::kDescribeRepo) {
    context_->client->DescribeRepo(
        HostAt(question.origin), question.did,
        [mailbox, self, index](const net::XrpcOutcome& outcome, const std::vector<std::string>& collections) {
          mailbox->Push([self, index, outcome, collections] {
            if (const auto round = self.lock()) round->OnCollections(index, outcome, collections);
          });
        });
  } else {
    context_->client->GetLatestCommit(HostAt(question.origin), question.did,
                                      [mailbox, self, index](const net::XrpcOutcome& outcome, const net::LatestCommit& commit) {
                                        mailbox->Push([self, index, outcome, commit] {
                                          if (const auto round = self.lock()) round->OnLatestCommit(index, outcome, commit);
                                        });
                                      });
  }
}

void AccountRound::Resolve(size_t index) {
  const auto mailbox = context_->mailbox;
  const auto self = weak_from_this();
  context_->resolver->Resolve(questions_[index].did, {}, identity::Ask::kCached,
                              [mailbox, self, index](const identity::Answer& answer) {
                                mailbox->Push([self, index, answer] {
                                  if (const auto round = self.lock()) round->OnIdentity(index, answer);
                                });
                              });
}

void AccountRound::OnIdentity(size_t index, const identity::Answer& answer) {
  AccountQuestion& question = questions_[index];
  if (!answer.status.ok()) return Retry(index, answer.retry_after_us, false);
  question.resolved = true;
  const std::string pds = answer.identity == nullptr ? std::string() : answer.identity->pds;
  if (pds.empty()) {
    // Nobody serves it, so there is nothing to fetch. Where we still show it, the fetch says why.
    const bool shown = method_ == Method::kGetLatestCommit && question.known_active;
    return Settle(index, shown ? AccountVerdict::kTask : AccountVerdict::kNotNeeded);
  }
  const bool here = HostOf(pds) == HostOf(listing_host_.origin);
  if (question.inactive && here) return Settle(index, AccountVerdict::kTask);
  if (question.maybe_elsewhere) {
    return Settle(index, here && question.known_active ? AccountVerdict::kTask : AccountVerdict::kNotNeeded);
  }
  question.origin = pds;
  Ask(index);
}

void AccountRound::OnCollections(size_t index, const net::XrpcOutcome& outcome, const std::vector<std::string>& collections) {
  AccountQuestion& question = questions_[index];
  if (outcome.status.ok()) return Settle(index, Wanted(collections) ? AccountVerdict::kTask : AccountVerdict::kNotNeeded);
  if (IsTransient(outcome.status)) return Retry(index, outcome.retry_after_us, outcome.limited);
  if (IsGone(outcome)) return Settle(index, AccountVerdict::kNotNeeded);
  // What it has cannot be seen. The fetch keeps it in mind until it comes back.
  if (IsHidden(outcome.error) || question.resolved) return Settle(index, AccountVerdict::kTask);
  // This host does not answer that at all: its own may. After that the archive alone can tell.
  question.origin.clear();
  Resolve(index);
}

void AccountRound::OnLatestCommit(size_t index, const net::XrpcOutcome& outcome, const net::LatestCommit& commit) {
  AccountQuestion& question = questions_[index];
  if (IsTransient(outcome.status)) return Retry(index, outcome.retry_after_us, outcome.limited);
  if (outcome.status.ok()) {
    question.rev = UsableRev(commit.rev, context_->clock->NowMicros());
    const bool same = question.known_active && !question.rev.empty() && question.rev <= question.known_rev;
    return Settle(index, same ? AccountVerdict::kNotNeeded : AccountVerdict::kTask);
  }
  if (question.maybe_elsewhere && (IsGone(outcome) || absl::IsNotFound(outcome.status))) {
    // Whether that means anything, its document knows.
    question.origin.clear();
    return Resolve(index);
  }
  // A relay that does not have it may only never have met it.
  const bool says_so = IsHidden(outcome.error) || (IsGone(outcome) && !question.fell_back);
  const bool known_so = !question.known_active && says_so;
  Settle(index, known_so ? AccountVerdict::kNotNeeded : AccountVerdict::kTask);
}

void AccountRound::Settle(size_t index, AccountVerdict verdict) {
  AccountQuestion& question = questions_[index];
  question.verdict = verdict;
  --asking_;
  --open_;
  ++answered_;
  // Its host works, so it was the account that it had nothing to say about.
  origins_.erase(question.origin);
  Pump();
}

void AccountRound::Retry(size_t index, int64_t retry_after_us, bool limited) {
  const int64_t now = context_->clock->NowMicros();
  AccountQuestion& question = questions_[index];
  --asking_;
  const std::string name = question.origin.empty() ? std::string(kDirectory) : question.origin;
  Origin& origin = origins_[name];
  limited_ = limited;
  if (origin.rest_until <= now) {
    ++(limited ? origin.limits : origin.failures);
    origin.rest_until = now + std::max(retry_after_us, kSecond << std::clamp(origin.failures - 1, 0, 10));
  }
  const bool host_is_silent = origin.failures >= kTries || origin.limits >= kRests;
  waiting_.push_back(index);
  if (!limited) ++question.tries;
  if (question.tries >= kTries) {
    GiveUp(index);
  } else {
    question.due = origin.rest_until;
  }
  if (host_is_silent) {
    // All that wait for it would only repeat this.
    for (const size_t other : std::vector<size_t>(waiting_)) {
      const AccountQuestion& waits = questions_[other];
      const std::string_view where = waits.origin.empty() ? kDirectory : std::string_view(waits.origin);
      if (waits.verdict == AccountVerdict::kOpen && where == name) GiveUp(other);
    }
  }
  Pump();
}

void AccountRound::GiveUp(size_t index) {
  AccountQuestion& question = questions_[index];
  // What the relay has of it is as good for a comparison.
  if (method_ == Method::kGetLatestCommit && !question.fell_back && question.origin != listing_host_.origin) {
    question.fell_back = true;
    question.origin = listing_host_.origin;
    question.tries = 0;
    question.due = 0;
    return;
  }
  question.verdict = AccountVerdict::kUndecided;
  --open_;
}

bool AccountRound::Wanted(const std::vector<std::string>& collections) const {
  const std::vector<std::string_view> patterns(patterns_.begin(), patterns_.end());
  return std::any_of(collections.begin(), collections.end(), [&](const std::string& collection) {
    if (!MatchesPatterns(patterns, collection)) return false;
    repo::RepoOp op;
    op.collection = collection;
    op.rkey = "self";
    const std::string path = collection + "/self";
    op.path = path;
    if (context_->filter->WantsOp(op)) return true;
    op.action = repo::Action::kUpdate;
    return context_->filter->WantsOp(op);
  });
}

}  // namespace penstock::backfill
