#include "identity/resolver/network_resolver.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/status.h"
#include "identity/did_document.h"
#include "identity/did_location.h"
#include "identity/resolver/did_lookup.h"
#include "net/io_thread.h"
#include "net/url.h"

namespace penstock::identity {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;

// While the directory is down and everybody is served from memory: how often somebody is sent to look.
constexpr auto kProbeInterval = std::chrono::seconds(1);

int64_t Micros(SteadyClock::time_point time) {
  return std::chrono::duration_cast<microseconds>(time.time_since_epoch()).count();
}

Answer Found(IdentityPtr identity) {
  Answer answer;
  answer.identity = std::move(identity);
  return answer;
}

Answer NotNow(absl::Status status, microseconds retry_after) {
  Answer answer;
  answer.status = std::move(status);
  answer.retry_after_us = std::max<int64_t>(retry_after.count(), 1000);
  return answer;
}

}  // namespace

class NetworkResolver::Impl {
 public:
  Impl(NetworkResolverOptions options, NetworkResolverResources resources)
      : options_(std::move(options)),
        resources_(std::move(resources)),
        local_(options_.http.allow_private_addresses ? LocalNames::kAllowed : LocalNames::kRefused),
        cache_(options_.cache),
        jitter_(std::random_device()()) {}

  ~Impl() {
    std::vector<Pending> left;
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
    }
    io_.Stop([this] {
      if (http_ != nullptr) http_->Stop();
      if (directory_gate_ != nullptr) directory_gate_->Stop();
      if (web_gate_ != nullptr) web_gate_->Stop();
      if (handles_ != nullptr) handles_->Stop();
    });
    // Every lookup has ended and told its callers; this is for those whose beginning the end overtook.
    for (auto& [did, pending] : pending_) left.push_back(std::move(pending));
    pending_.clear();
    for (const Pending& pending : left) {
      for (const Caller& caller : pending.callers) caller.done(Closing());
    }
    FlushHits();
  }

  absl::Status Start() {
    ASSIGN_OR_RETURN(const net::Url directory, net::ParseOrigin(options_.directory));
    directory_ = directory.Origin();
    ASSIGN_OR_RETURN(
        http_, net::HttpClient::Create(io_.executor(), options_.http, resources_.clock, resources_.counters));
    directory_gate_ = std::make_unique<net::HostGate>(io_.executor(), options_.directory_gate);
    web_gate_ = std::make_unique<net::HostGate>(io_.executor(), options_.web_gate);
    HandleCheckOptions handles = options_.handles;
    handles.local = local_;
    handles_ = std::make_unique<HandleChecker>(io_.executor(), handles, http_.get(), resources_.counters);
    DidLookupOptions lookup;
    lookup.directory = directory_;
    lookup.timeout = options_.lookup_timeout;
    lookup.plc_audit = options_.plc_audit;
    lookup.local = local_;
    lookup_ = std::make_unique<DidLookup>(lookup, http_.get(), resources_.clock);
    return absl::OkStatus();
  }

  IdentityPtr Find(std::string_view did) {
    const int64_t now_us = resources_.clock->NowMicros();
    std::lock_guard lock(mutex_);
    const IdentityCache::Found found = cache_.Find(did, now_us);
    if (found.age == IdentityCache::Age::kFresh) {
      ++hits_;
      return found.identity;
    }
    if (found.age != IdentityCache::Age::kStale || !NobodyAnswers(did)) return nullptr;
    resources_.counters->Count("resolver_stale");
    ProbeDirectory(did);
    return found.identity;
  }

  void Resolve(std::string_view did, Ask ask, Done done) {
    const absl::StatusOr<DidLocation> location = LocateDid(did, local_);
    if (!location.ok()) {
      Identity nobody = NoIdentity(did, RejectOf(location.status()).value_or(Reject::kSyntaxDid));
      nobody.fetched_us = resources_.clock->NowMicros();
      nobody.asked_us = Micros(SteadyClock::now());
      return done(Found(std::make_shared<const Identity>(std::move(nobody))));
    }
    const Answer answer = AnswerOrWait(std::string(did), *location, ask, &done);
    if (done != nullptr) done(answer);
  }

  void Purge(std::string_view did) {
    const int64_t now_us = resources_.clock->NowMicros();
    std::lock_guard lock(mutex_);
    cache_.Purge(did, now_us);
    const auto found = pending_.find(ToAbsl(did));
    // An answer to a question sent before now may be the old one.
    if (found != pending_.end()) found->second.valid_from_us = Micros(SteadyClock::now());
    resources_.counters->Count("resolver_purged");
  }

  void Keep(IdentityPtr identity) {
    if (identity == nullptr) return;
    std::lock_guard lock(mutex_);
    if (!cache_.Keep(identity)) return;
    if (identity->handle_state == HandleState::kUnchecked) CheckHandle(std::move(identity));
  }

  NetworkResolverStats stats() {
    FlushHits();
    NetworkResolverStats stats;
    std::lock_guard lock(mutex_);
    stats.hits = hits_;
    stats.misses = misses_;
    stats.lookups = lookups_;
    stats.lookup_micros = lookup_micros_;
    stats.callers = callers_;
    stats.pending = pending_.size();
    stats.cached = cache_.size();
    stats.cached_bytes = cache_.bytes();
    stats.directory_down = directory_down_;
    return stats;
  }

 private:
  struct Caller {
    Done done;
    // Only an answer to a question sent from then on will do; 0: any. Monotonic.
    int64_t asked_from_us = 0;
    bool stale_will_do = false;
  };
  // A DID that is being looked up, or waits for its turn.
  struct Pending {
    DidLocation location;
    std::vector<Caller> callers;
    int64_t valid_from_us = 0;  // answers to questions sent before are void: it was purged
    bool forced = false;        // a refresh was granted for it
  };

  static Answer Closing() {
    return NotNow(UnavailableError("the resolver is closing"), std::chrono::seconds(1));
  }

  net::HostGate& GateOf(const DidLocation& location) {
    return location.method == DidMethod::kPlc ? *directory_gate_ : *web_gate_;
  }
  const std::string& HostOf(const DidLocation& location) const {
    return location.method == DidMethod::kPlc ? directory_ : location.host;
  }

  // Under the lock: whether asking about this DID is known to be of no use now.
  bool NobodyAnswers(std::string_view did) {
    if (directory_down_ && did.starts_with("did:plc:")) return true;
    return cache_.PaceOf(did)->error_until > SteadyClock::now();
  }

  // Under the lock: while everybody is content with what is stale, somebody has to find out whether the
  // directory is back.
  void ProbeDirectory(std::string_view did) {
    const auto now = SteadyClock::now();
    if (!directory_down_ || now < probe_from_ || closed_) return;
    std::string text(did);
    const absl::StatusOr<DidLocation> location = LocateDid(did, local_);
    if (!location.ok() || location->method != DidMethod::kPlc || pending_.contains(text)) return;
    probe_from_ = now + kProbeInterval;
    if (MayAsk(text, now).ok()) Enlist(std::move(text), *location, {}, false);
  }

  // --- Asking

  // Takes `*done` if it has to wait; leaves it, and returns what to tell it, if not.
  Answer AnswerOrWait(std::string did, const DidLocation& location, Ask ask, Done* done) {
    const auto now = SteadyClock::now();
    const int64_t now_us = resources_.clock->NowMicros();
    Counters& counters = *resources_.counters;
    std::lock_guard lock(mutex_);
    if (closed_) return Closing();
    Caller caller;
    const auto pending = pending_.find(did);
    if (ask == Ask::kCached) {
      const IdentityCache::Found found = cache_.Find(did, now_us);
      if (found.age == IdentityCache::Age::kFresh) {
        ++hits_;
        return Found(found.identity);
      }
      ++misses_;
      counters.Count("resolver_miss");
      caller.stale_will_do = true;
      if (pending == pending_.end()) {
        const absl::Status paced = MayAsk(did, now);
        if (!paced.ok()) return StaleOr(found, NotNow(paced, RetryAfter(did, now)));
      }
    } else {
      Pace* const pace = cache_.PaceOf(did);
      if (pace->refresh_from > now) {
        // Somebody was granted one. If it is still under way its answer may do here, too.
        if (pending == pending_.end()) {
          counters.Count("resolver_refresh_limited");
          return NotNow(UnavailableError(did + ": refreshed a moment ago"), Until(pace->refresh_from, now));
        }
      } else {
        const absl::Status paced = MayAsk(did, now);
        if (!paced.ok()) return NotNow(paced, RetryAfter(did, now));
        counters.Count("resolver_refresh");
        cache_.PaceOf(did)->refresh_from = now + options_.refresh_interval;
        caller.asked_from_us = Micros(now);
      }
    }

    if (callers_ >= options_.max_callers) {
      return NotNow(UnavailableError("too many wait for identities"), std::chrono::seconds(1));
    }
    caller.done = std::exchange(*done, nullptr);
    ++callers_;
    const bool forced = caller.asked_from_us != 0;
    if (pending != pending_.end()) {
      pending->second.callers.push_back(std::move(caller));
      pending->second.forced = pending->second.forced || forced;
      return {};
    }
    std::vector<Caller> callers;
    callers.push_back(std::move(caller));
    Enlist(std::move(did), location, std::move(callers), forced);
    return {};
  }

  // Under the lock: a lookup begins, or takes its place in the queue.
  void Enlist(std::string did, const DidLocation& location, std::vector<Caller> callers, bool forced) {
    Pending begun;
    begun.location = location;
    begun.callers = std::move(callers);
    begun.forced = forced;
    pending_.emplace(did, std::move(begun));
    asio::post(io_.executor(), [this, did = std::move(did), location] { Begin(did, location); });
  }

  static microseconds Until(SteadyClock::time_point when, SteadyClock::time_point now) {
    return when > now ? std::chrono::ceil<microseconds>(when - now) : microseconds(0);
  }

  // Under the lock: takes one of the DID's lookups, unless it had too many or the last one failed.
  absl::Status MayAsk(const std::string& did, SteadyClock::time_point now) {
    Pace* const pace = cache_.PaceOf(did);
    if (pace->error_until > now) return UnavailableError(did + ": nobody answered a moment ago");
    if (pace->tokens < 0) {
      pace->tokens = options_.lookups_burst;
    } else {
      const double passed = std::chrono::duration<double>(now - pace->refilled).count();
      const double interval = std::chrono::duration<double>(options_.lookup_interval).count();
      pace->tokens = std::min(options_.lookups_burst, pace->tokens + passed / std::max(interval, 1e-6));
    }
    pace->refilled = now;
    if (pace->tokens < 1) {
      resources_.counters->Count("resolver_limited");
      return UnavailableError(did + ": looked up too often");
    }
    pace->tokens -= 1;
    return absl::OkStatus();
  }

  // Under the lock: after MayAsk refused.
  microseconds RetryAfter(const std::string& did, SteadyClock::time_point now) {
    const Pace* const pace = cache_.PaceOf(did);
    if (pace->error_until > now) return Until(pace->error_until, now);
    return options_.lookup_interval;
  }

  // Under the lock.
  Answer StaleOr(const IdentityCache::Found& found, Answer refusal) {
    if (found.identity == nullptr || !NobodyAnswers(found.identity->did)) return refusal;
    resources_.counters->Count("resolver_stale");
    return Found(found.identity);
  }

  // --- On the thread

  void Begin(const std::string& did, const DidLocation& location) {
    GateOf(location).Enter(
        HostOf(location), [this, did, location](const net::HostGate::Admission& admission) {
          if (!admission.status.ok()) {
            resources_.counters->Count("resolver_refused");
            DidLookupResult refused;
            refused.status = admission.status;
            const bool down = GateOf(location).IsDown(HostOf(location));
            return Settle(did, refused, microseconds(admission.retry_after_us), false, down);
          }
          LookUp(did, location);
        });
  }

  void LookUp(const std::string& did, const DidLocation& location) {
    resources_.counters->Count("resolver_lookup");
    struct Question {
      std::string did;
      DidLocation location;
    };
    const auto question = std::make_shared<const Question>(Question{did, location});
    asio::co_spawn(io_.executor(), lookup_->Run(question->did, question->location),
                   [this, question](std::exception_ptr error, DidLookupResult result) {
                     if (error) {
                       result = DidLookupResult();
                       result.status = UnavailableError("lookup failed");
                       result.host = net::HostGate::Outcome::kFailed;
                     }
                     Ended(question->did, question->location, result);
                   });
  }

  // A question was answered, or was not.
  void Ended(const std::string& did, const DidLocation& location, const DidLookupResult& result) {
    FlushHits();
    net::HostGate& gate = GateOf(location);
    const std::string& host = HostOf(location);
    gate.Leave(host, result.host, result.pause);
    const bool down = gate.IsDown(host);
    if (location.method == DidMethod::kPlc) NoteDirectory(down, gate.RetryAfter(host));
    if (result.identity == nullptr) {
      resources_.counters->Count("resolver_error");
    } else if (result.identity->fault == Reject::kDidNotFound) {
      resources_.counters->Count("resolver_not_found");
    } else if (result.identity->fault.has_value()) {
      resources_.counters->Count("resolver_fault");
    }
    {
      std::lock_guard lock(mutex_);
      ++lookups_;
      lookup_micros_ +=
          static_cast<uint64_t>(std::max<int64_t>(0, Micros(SteadyClock::now()) - result.asked_us));
    }
    Settle(did, result, gate.RetryAfter(host), true, true);
  }

  void NoteDirectory(bool down, microseconds retry_after) {
    {
      std::lock_guard lock(mutex_);
      probe_from_ = SteadyClock::now() + retry_after;
      if (std::exchange(directory_down_, down) == down) return;
    }
    resources_.counters->Count(down ? "directory_down" : "directory_up");
    Log(resources_.log, down ? LogLevel::kWarning : LogLevel::kInfo,
        directory_ +
            (down ? ": does not answer; identities that are known are used meanwhile" : ": answers again"));
  }

  // Tells whoever waits for this DID, and asks again for those whom this answer is too old. `asked`: a
  // question was sent; `silent`: and if there is no answer, then because its host gives none (not because it
  // is our turn to wait).
  void Settle(const std::string& did, const DidLookupResult& result, microseconds retry_after, bool asked,
              bool silent) {
    const auto now = SteadyClock::now();
    const int64_t now_us = resources_.clock->NowMicros();
    std::vector<std::pair<Done, Answer>> tell;
    bool again = false;
    DidLocation location;
    {
      std::lock_guard lock(mutex_);
      const auto found = pending_.find(did);
      if (found == pending_.end()) return;
      Pending& pending = found->second;
      location = pending.location;
      IdentityPtr identity = result.identity;
      const bool is_void = result.identity != nullptr && result.asked_us < pending.valid_from_us;
      if (result.identity == nullptr) {
        if (asked) NoteError(did, now);
        retry_after = std::max(retry_after, Until(cache_.PaceOf(did)->error_until, now));
        // A refresh that got no answer is not the one that was granted.
        if (pending.forced) cache_.PaceOf(did)->refresh_from = now;
      } else {
        Pace* const pace = cache_.PaceOf(did);
        pace->errors = 0;
        pace->error_until = {};
        if (!is_void) identity = Take(result.identity);
      }

      std::vector<Caller> callers;
      callers.swap(pending.callers);
      for (Caller& caller : callers) {
        const bool too_old = is_void || result.asked_us < caller.asked_from_us;
        if (result.identity != nullptr && too_old) {
          pending.callers.push_back(std::move(caller));
          continue;
        }
        Answer answer;
        if (result.identity != nullptr) {
          answer = Found(identity);
        } else {
          answer = NotNow(closed_ ? Closing().status : result.status, retry_after);
          if (caller.stale_will_do && silent)
            answer = StaleAnswer(cache_.Find(did, now_us), std::move(answer));
        }
        tell.emplace_back(std::move(caller.done), std::move(answer));
      }
      if (!pending.callers.empty()) {
        // Purged, or refreshed, while it was under way. Repeating it counts as one more lookup of this DID.
        const absl::Status paced = closed_ ? Closing().status : MayAsk(did, now);
        if (paced.ok()) {
          again = true;
        } else {
          for (Caller& caller : pending.callers) {
            tell.emplace_back(std::move(caller.done), NotNow(paced, RetryAfter(did, now)));
          }
          // It was granted, and never came to anything.
          if (pending.forced) cache_.PaceOf(did)->refresh_from = now;
          pending.callers.clear();
        }
      }
      if (!again) pending_.erase(found);
      callers_ -= tell.size();
    }
    for (const auto& [done, answer] : tell) done(answer);
    if (again) {
      resources_.counters->Count("resolver_repeated");
      Begin(did, location);
    }
  }

  // Under the lock.
  Answer StaleAnswer(const IdentityCache::Found& known, Answer refusal) {
    if (known.identity == nullptr) return refusal;
    resources_.counters->Count("resolver_stale");
    return Found(known.identity);
  }

  // Under the lock.
  void NoteError(const std::string& did, SteadyClock::time_point now) {
    Pace* const pace = cache_.PaceOf(did);
    microseconds wait = options_.error_first;
    for (int i = 0; i < pace->errors && wait < options_.error_max; ++i) wait *= 2;
    wait = std::min(wait, options_.error_max);
    ++pace->errors;
    // Between half of it and all of it, so that those who failed together do not come back together.
    std::uniform_int_distribution<int64_t> part(wait.count() / 2, wait.count());
    pace->error_until = now + microseconds(part(jitter_));
  }

  // Under the lock: the newest identity of its account, as it is kept.
  IdentityPtr Take(const IdentityPtr& identity) {
    IdentityPtr taken = identity;
    const IdentityCache::Found before = cache_.Find(identity->did, identity->fetched_us);
    const bool same_handle = before.identity != nullptr && before.identity->handle == identity->handle;
    const bool nothing_claimed = identity->handle.empty();
    if (same_handle || nothing_claimed) {
      // What was known of the handle holds until the new check says otherwise.
      Identity known = *identity;
      known.handle_state = nothing_claimed ? HandleState::kInvalid : before.identity->handle_state;
      taken = std::make_shared<const Identity>(std::move(known));
    }
    cache_.Put(taken);
    CheckHandle(taken);
    return taken;
  }

  // --- Handles

  // Under the lock; the work is done on the thread.
  void CheckHandle(IdentityPtr identity) {
    if (!options_.verify_handles || identity->handle.empty() || identity->fault.has_value()) return;
    asio::post(io_.executor(), [this, identity] {
      handles_->Check(identity->did, identity->handle,
                      [this, identity](HandleVerdict verdict) { HandleChecked(identity, verdict); });
    });
  }

  void HandleChecked(const IdentityPtr& identity, HandleVerdict verdict) {
    if (verdict == HandleVerdict::kUnknown) return;
    Identity checked = *identity;
    checked.handle_state = verdict == HandleVerdict::kValid ? HandleState::kValid : HandleState::kInvalid;
    const auto shared = std::make_shared<const Identity>(std::move(checked));
    {
      std::lock_guard lock(mutex_);
      // Not what is known any more: purged, or newer. Then this says nothing.
      if (!cache_.Replace(identity, shared)) return;
    }
    if (options_.on_handle) options_.on_handle(shared);
  }

  void FlushHits() {
    uint64_t hits = 0;
    {
      std::lock_guard lock(mutex_);
      hits = hits_ - std::exchange(flushed_hits_, hits_);
    }
    if (hits > 0) resources_.counters->Count("resolver_hit", hits);
  }

  const NetworkResolverOptions options_;
  const NetworkResolverResources resources_;
  const LocalNames local_;
  std::string directory_;

  mutable std::mutex mutex_;
  // All below are guarded by mutex_, which is never held while anybody is told anything.
  IdentityCache cache_;
  absl::flat_hash_map<std::string, Pending> pending_;
  std::mt19937_64 jitter_;
  size_t callers_ = 0;
  uint64_t hits_ = 0, flushed_hits_ = 0, misses_ = 0, lookups_ = 0, lookup_micros_ = 0;
  bool closed_ = false;
  bool directory_down_ = false;
  SteadyClock::time_point probe_from_{};

  net::IoThread io_;
  // On the thread only; made before it gets to see them, and gone before it.
  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::HostGate> directory_gate_, web_gate_;
  std::unique_ptr<HandleChecker> handles_;
  std::unique_ptr<DidLookup> lookup_;
};

absl::StatusOr<std::unique_ptr<NetworkResolver>> NetworkResolver::Create(NetworkResolverOptions options,
                                                                         NetworkResolverResources resources) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(resources));
  RETURN_IF_ERROR(impl->Start());
  return std::unique_ptr<NetworkResolver>(new NetworkResolver(std::move(impl)));
}

NetworkResolver::NetworkResolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
NetworkResolver::~NetworkResolver() = default;

IdentityPtr NetworkResolver::Find(std::string_view did, const Position&) { return impl_->Find(did); }
void NetworkResolver::Resolve(std::string_view did, const Position&, Ask ask, Done done) {
  impl_->Resolve(did, ask, std::move(done));
}
void NetworkResolver::Purge(std::string_view did) { impl_->Purge(did); }
void NetworkResolver::Keep(IdentityPtr identity) { impl_->Keep(std::move(identity)); }
NetworkResolverStats NetworkResolver::stats() const { return impl_->stats(); }

}  // namespace penstock::identity
