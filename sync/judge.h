#pragma once

// One event of one account, judged: the step lists of protocol 3.2 and 3.4 in their order. Decides; changes nothing. What comes
// out tells the caller what to write, or what to wait for.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/clock.h"
#include "car/block_index.h"
#include "firehose/frame.h"
#include "identity/resolver.h"
#include "repo/verification.h"
#include "repo/verify.h"
#include "sync/account_state.h"
#include "sync/chain.h"
#include "sync/policies.h"

namespace penstock::sync {

struct JudgeOptions {
  // kCid, kSignature or kFull. At kCid no identity is asked for, below kFull no chain is kept.
  repo::Verification level = repo::Verification::kFull;
  Policies policies;
  const Clock* clock = nullptr;              // not owned
  identity::Resolver* resolver = nullptr;    // not owned; null only at kCid
};

// What an event cannot be judged without.
enum class Wait : uint8_t {
  kIdentity,        // "identity": who the account is, is not known
  kRefresh,         // "refresh": the signature failed under a key that is older than the event
  kStatus,          // "status": it comes from an account that is not active; its host has to be asked
  kDesynchronized,  // "desynchronized": the chain is broken
};
std::string_view WaitName(Wait wait);
std::optional<Wait> WaitFromName(std::string_view name);

// How the event came to us.
struct Circumstances {
  identity::Position position;
  // The account was found active when the event arrived; it is not asked again (the event waited since).
  bool gated = false;
  // When it arrived on the machine's monotonic clock, microseconds; 0 if it waited in the store, then by the wall clock.
  int64_t arrived_us = 0;
  int64_t arrived_wall_us = 0;
  // host[:port] of a source that is the account's own PDS and no relay; empty for a relay (protocol 3.6).
  std::string_view authority;
  // Something in it matches the filter: an account that is not tracked yet becomes so.
  bool wanted = true;
  // An answer to this very event's question; overrides the resolver's memory.
  identity::IdentityPtr answer;
};

struct Verdict {
  enum class Kind : uint8_t {
    kApply,   // write what it changes: level, next, head
    kIgnore,  // nothing changes, nobody is alarmed; `why` says why in a counter's name
    kDrop,    // refused: a dead letter with `reject`; if `next` is a held state the account becomes that as well
    kDesync,  // verified but not applied: the account becomes `next`, the event waits
    kWait,    // for `wait`
  };
  Kind kind = Kind::kIgnore;
  absl::Status reject;       // kDrop, kDesync
  std::string_view ignored;  // kIgnore: "stale_rev", …
  Wait wait = Wait::kIdentity;
  repo::Verification level = repo::Verification::kCid;
  std::optional<Allow> allowed;
  SyncState next = SyncState::kUntracked;
  bool has_head = false;     // of kApply at kFull: the account's new head
  Head head;
  identity::IdentityPtr identity;  // that it was judged by; null below kSignature
  // Views into the frame and the judge's tables.
  repo::VerifiedCommit commit;      // of a #commit that applies
  repo::CommitObject sync_commit;   // of a #sync that applies
  cbor::CidView sync_commit_cid;
};

// Reusable, not thread-safe.
class Judge {
 public:
  explicit Judge(const JudgeOptions& options) : options_(options) {}

  // `frame` of kind kCommit. `state` of its account (ignored below kFull).
  Verdict Commit(const AccountState& state, const firehose::Frame& frame, const Circumstances& how);
  // `frame` of kind kSync.
  Verdict Sync(const AccountState& state, const firehose::Frame& frame, const Circumstances& how);
  // `frame` of kind kAccount: only whether this source may speak for the account. kApply, kDrop or kWait.
  Verdict Account(const firehose::Frame& frame, const Circumstances& how);

  const car::BlockIndex& blocks() const { return verifier_.checker().blocks(); }
  const repo::PartialTree& tree() const { return verifier_.checker().tree(); }

 private:
  // Steps 2 and 3. True: the verdict is final.
  bool Gate(const AccountState& state, const firehose::Frame& frame, const Circumstances& how, Verdict* verdict) const;
  // Who the account is. False: the verdict is final.
  bool Identify(const firehose::Frame& frame, const Circumstances& how, Verdict* verdict) const;
  bool CheckAuthority(const Circumstances& how, Verdict* verdict) const;
  // `status` is the fault found under verdict->identity: refused, or once more under a newer identity.
  void RefuseOrRefresh(absl::Status status, const Circumstances& how, Verdict* verdict) const;

  JudgeOptions options_;
  repo::CommitVerifier verifier_;
  car::BlockIndex sync_blocks_;
  std::string unsigned_;
};

// What a frame of kind kCommit asserts. Views into the frame and its bytes.
repo::CommitClaim ClaimOf(const firehose::Frame& frame ABSL_ATTRIBUTE_LIFETIME_BOUND);

}  // namespace penstock::sync
