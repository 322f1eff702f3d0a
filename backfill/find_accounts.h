#pragma once

// Asks about accounts one by one, many at once: which collections each has (describeRepo), or which commit is its latest
// (getLatestCommit). Goes on around hosts that are slow; whoever gives no answer after a few tries is left undecided.
//
// On the finder's thread alone; answers come through its mailbox.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "backfill/find_mailbox.h"
#include "backfill/finder.h"

namespace penstock::backfill {

// What the work at one page shares with that at others. All of it outlives them.
struct FindContext {
  const FinderOptions* options = nullptr;
  sync::BackfillStore* store = nullptr;
  net::XrpcClient* client = nullptr;
  identity::Resolver* resolver = nullptr;
  const indexer::Filter* filter = nullptr;
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  std::shared_ptr<FindMailbox> mailbox;
};

enum class AccountVerdict : uint8_t {
  kOpen,       // not answered yet
  kNotNeeded,  // it has nothing that is wanted, or nothing newer
  kTask,       // to be fetched
  kUndecided,  // nobody said anything
};

struct AccountQuestion {
  std::string did;
  std::string rev;     // of the task that may come of it; what the host says, where it says one
  std::string origin;  // who is asked; empty: the PDS that its document names
  bool inactive = false;  // it was listed as inactive, so its host will not describe it

  // getLatestCommit: what we have.
  std::string known_rev;
  bool known_active = true;
  bool maybe_elsewhere = false;  // we do not know its PDS: that a host does not have it counts if its document names that host

  AccountVerdict verdict = AccountVerdict::kOpen;
  int tries = 0;
  int64_t due = 0;
  bool resolved = false, fell_back = false;
};

class AccountRound : public std::enable_shared_from_this<AccountRound> {
 public:
  enum class Method : uint8_t { kDescribeRepo, kGetLatestCommit };

  // At once, so that a page does not hold the others up, nor our own look-ups; each host has its limits besides.
  static constexpr size_t kWindow = 8;
  // How often one account is asked about, and in how many rounds in a row a host may give no answer.
  static constexpr int kTries = 4;
  // The same for a host that works and wants to be asked less: it is worth waiting for.
  static constexpr int kRests = 20;

  // `listing_host`: where the accounts were listed. `patterns` (describeRepo): an account needs a collection that matches one of
  // them, and that the filter wants.
  AccountRound(const FindContext* context, Method method, net::XrpcHost listing_host, std::vector<std::string> patterns,
               std::vector<AccountQuestion> questions);

  // Asks whatever is due.
  void Pump();
  bool ended() const { return open_ == 0; }
  size_t asking() const { return asking_; }
  size_t answered() const { return answered_; }  // verdicts that come from an answer
  bool limited() const { return limited_; }      // whoever gave no answer last works, and wants to be asked less
  int64_t due() const;                           // when Pump makes sense; the maximum if only answers are waited for
  const std::vector<AccountQuestion>& questions() const { return questions_; }

 private:
  // Of one round: while it rests nobody is asked there.
  struct Origin {
    int64_t rest_until = 0;
    int failures = 0;  // in a row, each after a rest
    int limits = 0;
  };

  void Ask(size_t index);
  void Resolve(size_t index);
  void OnIdentity(size_t index, const identity::Answer& answer);
  void OnCollections(size_t index, const net::XrpcOutcome& outcome, const std::vector<std::string>& collections);
  void OnLatestCommit(size_t index, const net::XrpcOutcome& outcome, const net::LatestCommit& commit);
  void Settle(size_t index, AccountVerdict verdict);
  // No answer: later again, elsewhere, or never.
  void Retry(size_t index, int64_t retry_after_us, bool limited);
  void GiveUp(size_t index);
  bool Wanted(const std::vector<std::string>& collections) const;
  net::XrpcHost HostAt(const std::string& origin) const;

  const FindContext* const context_;
  const Method method_;
  const net::XrpcHost listing_host_;
  const std::vector<std::string> patterns_;
  std::vector<AccountQuestion> questions_;
  std::vector<size_t> waiting_;
  std::map<std::string, Origin, std::less<>> origins_;
  size_t open_, asking_ = 0, answered_ = 0;
  bool limited_ = false;
};

// Whether the operator chose this host.
bool IsTrusted(const FinderOptions& options, std::string_view origin);
// `rev` if it is one and not from the future; else empty: a claim that no archive could ever meet is none.
std::string UsableRev(std::string_view rev, int64_t now_us);

}  // namespace penstock::backfill
