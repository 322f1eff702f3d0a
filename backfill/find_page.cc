#include "backfill/find_page.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <string_view>
#include <utility>

#include "backfill/find_rules.h"
#include "backfill/policy.h"
#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::backfill {
namespace {

using sync::KnownAccount;
using sync::Listing;
using sync::RunKind;
using sync::SyncState;

constexpr size_t kKnownAtOnce = 500;
constexpr size_t kComparedAtOnce = 200;
// Rows of `repo` that are looked through for those of one host before what was found is saved.
constexpr size_t kScannedAtOnce = 10'000;

// Causes of listings that no task has; docs/backfill.md.
constexpr std::string_view kNotServed = "not_served";
constexpr std::string_view kRepeatedCursor = "repeated_cursor";
constexpr std::string_view kTooManyAccounts = "too_many_accounts";
constexpr std::string_view kUnknownMethod = "unknown_method";

bool IsTracked(const KnownAccount& account) { return account.sync_state != SyncState::kUntracked; }

// What listHosts calls a host: a name, perhaps with a port. A host on loopback has no TLS either if its relay, which the
// operator chose, has none.
std::string OriginOf(std::string_view hostname, std::string_view relay) {
  const std::string host = HostOf(hostname);
  const std::string_view name = std::string_view(host).substr(0, host.find(':'));
  const bool loopback = name == "localhost" || name == "127.0.0.1";
  return (loopback && relay.starts_with("http://") ? "http://" : "https://") + host;
}

// A host that is offline cannot be asked, a banned one not be believed. What else there may be is tried.
bool IsWorthAsking(std::string_view host_status) { return host_status != "offline" && host_status != "banned"; }

}  // namespace

FindPage::FindPage(const FindContext* context, const sync::BackfillRun& run, Listing listing, ListingProgress* progress,
                   uint64_t random)
    : context_(context), run_(run), listing_(std::move(listing)), progress_(progress), random_(random) {}

void FindPage::Start() {
  const net::XrpcHost host{listing_.host, listing_.trusted || IsTrusted(*context_->options, listing_.host)};
  const auto mailbox = context_->mailbox;
  const auto self = weak_from_this();
  const auto on_repos = [mailbox, self](const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedRepo>& page) {
    mailbox->Push([self, outcome, page] {
      if (const auto me = self.lock()) me->OnRepos(outcome, page);
    });
  };
  const auto on_hosts = [mailbox, self](const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedHost>& page) {
    mailbox->Push([self, outcome, page] {
      if (const auto me = self.lock()) me->OnHosts(outcome, page);
    });
  };
  waiting_ = true;
  if (listing_.method == "listReposByCollection") {
    context_->client->ListReposByCollection(host, listing_.argument, listing_.cursor, on_repos);
  } else if (listing_.method == "listRepos") {
    context_->client->ListRepos(host, listing_.cursor, on_repos);
  } else if (listing_.method == "listHosts") {
    context_->client->ListHosts(host, listing_.cursor, on_hosts);
  } else {
    waiting_ = false;
    if (listing_.method == "known") {
      ListKnown();
    } else if (listing_.method == "compare") {
      Compare();
    } else if (listing_.method == "describeRepo") {
      DescribeOne();
    } else {
      Fault(kUnknownMethod, context_->options->retry_most_us, false);  // of a newer program that shares the store
    }
  }
}

void FindPage::Tick() {
  if (ended_ || round_ == nullptr) return;
  round_->Pump();
  if (round_->ended()) OnRoundEnd();
}

bool FindPage::asking() const { return !ended_ && (waiting_ || (round_ != nullptr && round_->asking() > 0)); }

int64_t FindPage::due() const { return round_ != nullptr ? round_->due() : std::numeric_limits<int64_t>::max(); }

bool FindPage::IsRelay() const {
  const FinderHost* const host = FindHost(*context_->options, listing_.host);
  return host != nullptr && !host->pds;
}

bool FindPage::Wanted(std::string_view did) const {
  const std::optional<repo::Did> parsed = repo::Did::Parse(did);
  return parsed && parsed->IsResolvable() && context_->filter->WantsAccount(did);
}

void FindPage::AddSeed(std::string_view did, std::string_view rev, std::string_view host) {
  seeds_.push_back({std::string(did), UsableRev(rev, context_->clock->NowMicros()), std::string(host)});
}

// ---- Our own table

void FindPage::ListKnown() {
  std::vector<KnownAccount> accounts;
  if (const absl::Status status = context_->store->LoadKnown(listing_.cursor, kKnownAtOnce, &accounts); !status.ok()) {
    return StoreFault(status);
  }
  for (const KnownAccount& account : accounts) {
    // One that was deleted says so itself if it comes back.
    if (Wanted(account.did) && account.status != "deleted") AddSeed(account.did, {}, account.pds);
  }
  last_ = accounts.size() < kKnownAtOnce;
  if (!accounts.empty()) next_cursor_ = accounts.back().did;
  Finish();
}

void FindPage::Compare() {
  const FinderHost* const host = FindHost(*context_->options, listing_.host);
  const bool one_host = host != nullptr && host->pds;  // only its accounts are in question
  std::vector<AccountQuestion> questions;
  std::vector<KnownAccount> accounts;
  next_cursor_ = listing_.cursor;
  for (size_t scanned = 0; !last_ && questions.size() < kComparedAtOnce && scanned < kScannedAtOnce;) {
    if (const absl::Status status = context_->store->LoadKnown(next_cursor_, kComparedAtOnce, &accounts); !status.ok()) {
      return StoreFault(status);
    }
    last_ = accounts.size() < kComparedAtOnce;
    scanned += accounts.size();
    if (!accounts.empty()) next_cursor_ = accounts.back().did;
    for (const KnownAccount& account : accounts) {
      // One without a chain counts as unknown: the listings for new accounts find it. One that was deleted may have come back.
      if (!IsTracked(account) || !Wanted(account.did)) continue;
      if (one_host && !account.pds.empty() && HostOf(account.pds) != HostOf(listing_.host)) continue;
      AccountQuestion question;
      question.did = account.did;
      question.known_rev = account.rev;
      question.known_active = account.active;
      question.origin = one_host ? listing_.host : account.pds;
      question.maybe_elsewhere = one_host && account.pds.empty();
      questions.push_back(std::move(question));
    }
  }
  Ask(AccountRound::Method::kGetLatestCommit, {}, std::move(questions));
}

// ---- Pages of others

bool FindPage::AcceptPage(const net::XrpcOutcome& outcome, std::string_view cursor, size_t entries, size_t malformed) {
  waiting_ = false;
  if (!outcome.status.ok()) {
    if (outcome.error == "MethodNotImplemented") {
      NotServed();
    } else if (IsTransient(outcome.status)) {
      Fault(outcome.limited ? kCauseHostLimited : kCauseHostUnavailable, outcome.retry_after_us, false);
    } else {
      Fault(outcome.error == "RepeatedCursor" ? kRepeatedCursor : kCauseHostRefused, outcome.retry_after_us, true);
    }
    return false;
  }
  if (malformed > 0) context_->counters->Count("backfill_listed_malformed", malformed);
  progress_->empty_pages = entries > 0 ? 0 : progress_->empty_pages + 1;
  last_ = cursor.empty();
  const std::hash<std::string_view> hash;
  if (!last_) {
    if (!listing_.cursor.empty()) progress_->cursors.insert(hash(listing_.cursor));
    if (progress_->cursors.contains(hash(cursor)) || progress_->empty_pages > kMaxEmptyPages) {
      Fault(kRepeatedCursor, 0, true);
      return false;
    }
  }
  next_cursor_ = cursor;
  return true;
}

void FindPage::OnHosts(const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedHost>& page) {
  if (!AcceptPage(outcome, page.cursor, page.entries.size(), page.malformed)) return;
  for (const net::ListedHost& host : page.entries) {
    if (!IsWorthAsking(host.status)) continue;
    Listing next;
    next.run = listing_.run;
    next.host = OriginOf(host.hostname, listing_.host);
    next.method = "listRepos";
    next.argument = listing_.argument;
    next.trusted = IsTrusted(*context_->options, next.host);
    further_.push_back(std::move(next));
  }
  Finish();
}

void FindPage::OnRepos(const net::XrpcOutcome& outcome, const net::ListedPage<net::ListedRepo>& page) {
  if (!AcceptPage(outcome, page.cursor, page.entries.size(), page.malformed)) return;
  if (!listing_.trusted && listing_.found + page.entries.size() > kMaxStrangers) {
    context_->counters->Count("backfill_listing_too_many_accounts");
    last_ = true;
    listing_.cause = kTooManyAccounts;
    return Finish();
  }
  std::vector<AccountQuestion> questions;
  absl::flat_hash_set<std::string_view> seen;
  for (const net::ListedRepo& repo : page.entries) {
    if (!Wanted(repo.did) || !seen.insert(repo.did).second) continue;
    if (const absl::Status status = Sort(repo, &questions); !status.ok()) return StoreFault(status);
  }
  std::vector<std::string> patterns;
  for (const std::string_view pattern : SplitPatterns(listing_.argument)) patterns.emplace_back(pattern);
  Ask(AccountRound::Method::kDescribeRepo, std::move(patterns), std::move(questions));
}

absl::Status FindPage::Sort(const net::ListedRepo& repo, std::vector<AccountQuestion>* questions) {
  const bool by_collection = listing_.method == "listReposByCollection";
  if (run_.kind == RunKind::kFilter) {
    ASSIGN_OR_RETURN(const bool covered, context_->store->HasCoverage(repo.did, run_.subject));
    if (covered) return absl::OkStatus();
  } else if (run_.kind == RunKind::kGap) {
    const absl::StatusOr<KnownAccount> known = context_->store->FindKnown(repo.did);
    if (!known.ok() && !absl::IsNotFound(known.status())) return known.status();
    if (known.ok() && IsTracked(*known)) {
      // Whose chain is not whole is fetched anyway (the standing run). A list by collection says nothing but names; "compare"
      // asks about those.
      const bool newer = !UsableRev(repo.rev, context_->clock->NowMicros()).empty() && repo.rev > known->rev;
      if (by_collection) return absl::OkStatus();
      // Whether it is active is no matter of revs: without one nobody takes ours for good enough.
      if (repo.active != known->active) {
        AddSeed(repo.did, {}, listing_.host);
      } else if (newer) {
        AddSeed(repo.did, repo.rev, listing_.host);
      }
      return absl::OkStatus();
    }
  }
  if (!repo.active && repo.status == "deleted") return absl::OkStatus();
  if (by_collection || listing_.argument.empty()) {
    AddSeed(repo.did, repo.rev, listing_.host);
    return absl::OkStatus();
  }
  AccountQuestion question;
  question.did = repo.did;
  question.rev = repo.rev;
  question.inactive = !repo.active;
  // A relay does not have what it lists. An inactive account may live elsewhere by now, and only its document says so.
  if (!IsRelay() && repo.active) question.origin = listing_.host;
  questions->push_back(std::move(question));
  return absl::OkStatus();
}

// ---- Accounts one by one

void FindPage::DescribeOne() {
  const std::vector<std::string_view> words = SplitPatterns(listing_.argument);
  AccountQuestion question;
  std::vector<std::string> patterns;
  if (!words.empty()) {
    question.did = words.front();
    patterns.assign(words.begin() + 1, words.end());
  }
  if (!Wanted(question.did)) {
    last_ = true;
    return Finish();
  }
  if (!IsRelay()) question.origin = listing_.host;
  std::vector<AccountQuestion> questions;
  questions.push_back(std::move(question));
  Ask(AccountRound::Method::kDescribeRepo, std::move(patterns), std::move(questions));
  last_ = true;
}

void FindPage::Ask(AccountRound::Method method, std::vector<std::string> patterns, std::vector<AccountQuestion> questions) {
  if (questions.empty()) return Finish();
  net::XrpcHost host{listing_.host, listing_.trusted || IsTrusted(*context_->options, listing_.host)};
  round_ = std::make_shared<AccountRound>(context_, method, std::move(host), std::move(patterns), std::move(questions));
  round_->Pump();
}

void FindPage::OnRoundEnd() {
  const bool single = listing_.method == "describeRepo", compared = listing_.method == "compare";
  const std::vector<AccountQuestion>& questions = round_->questions();
  const bool undecided = std::any_of(questions.begin(), questions.end(), [](const AccountQuestion& question) {
    return question.verdict == AccountVerdict::kUndecided;
  });
  if (undecided && (single || (round_->answered() == 0 && listing_.attempts < kPatience))) {
    return Fault(round_->limited() ? kCauseHostLimited : kCauseHostUnavailable, 0, false);
  }
  for (const AccountQuestion& question : questions) {
    if (question.verdict == AccountVerdict::kTask) AddSeed(question.did, question.rev, listing_.host);
    if (question.verdict != AccountVerdict::kUndecided) continue;
    // What we have may be behind: the queue waits for its host. What we have nothing of is asked about again.
    if (compared) {
      AddSeed(question.did, {}, listing_.host);
    } else {
      further_.push_back(LaterDescription(question.did));
    }
  }
  round_ = nullptr;
  Finish();
}

Listing FindPage::LaterDescription(std::string_view did) const {
  Listing later;
  later.run = listing_.run;
  later.host = listing_.host;
  later.method = "describeRepo";
  later.argument = std::string(did) + " " + listing_.argument;
  later.trusted = listing_.trusted;
  later.attempts = 1;
  later.not_before = context_->clock->NowMicros() + context_->options->retry_first_us;
  later.cause = kCauseHostUnavailable;
  return later;
}

// ---- Ends

void FindPage::Finish() {
  listing_.cursor = next_cursor_;
  listing_.done = last_;
  listing_.attempts = 0;
  listing_.not_before = context_->clock->NowMicros();  // behind those that wait already
  if (listing_.cause != kTooManyAccounts) listing_.cause.clear();
  context_->counters->Count("backfill_listing_pages");
  if (!seeds_.empty()) context_->counters->Count("backfill_accounts_found", seeds_.size());
  ended_ = true;
}

void FindPage::Fault(std::string_view cause, int64_t retry_after_us, bool refused) {
  round_ = nullptr;
  const FinderOptions& options = *context_->options;
  const int shift = static_cast<int>(std::min<int64_t>(listing_.attempts, 30));
  const int64_t ceiling = std::min(options.retry_most_us, options.retry_first_us << shift);
  const int64_t wait = ceiling / 2 + static_cast<int64_t>(random_ % static_cast<uint64_t>(ceiling / 2 + 1));
  ++listing_.attempts;
  listing_.not_before = context_->clock->NowMicros() + std::max(wait, retry_after_us);
  listing_.cause = cause;
  listing_.done = refused && !listing_.trusted && listing_.attempts >= kMaxRefusals;
  seeds_.clear();
  further_.clear();
  context_->counters->Count("backfill_listing_" + std::string(cause));
  fault_ = ended_ = true;
}

void FindPage::NotServed() {
  further_ = FallbackFor(listing_, *context_->options);
  // Nobody is left to say which accounts there are. That is not the same as none, so it stays open.
  if (further_.empty()) return Fault(kNotServed, context_->options->retry_most_us, true);
  listing_.done = true;
  listing_.attempts = 0;
  listing_.not_before = 0;
  listing_.cause = kNotServed;
  context_->counters->Count("backfill_listing_" + std::string(kNotServed));
  ended_ = true;
}

void FindPage::StoreFault(const absl::Status& status) {
  store_status_ = status;
  ended_ = true;
}

}  // namespace penstock::backfill
