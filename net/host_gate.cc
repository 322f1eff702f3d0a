#include "net/host_gate.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cmath>
#include <cstdint>
#include <deque>
#include <list>
#include <random>
#include <unordered_map>
#include <utility>

#include "base/status.h"
#include "net/backoff.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;

// So that nothing is divided by zero, and nobody waits for ever.
constexpr double kLeastPerSecond = 0.001;

microseconds Until(SteadyClock::time_point when, SteadyClock::time_point now) {
  return when > now ? std::chrono::ceil<microseconds>(when - now) : microseconds(0);
}

}  // namespace

class HostGate::Impl {
 public:
  Impl(asio::any_io_executor executor, HostGateOptions options)
      : executor_(std::move(executor)),
        options_(options),
        random_(options.seed != 0 ? options.seed : std::random_device()()) {}

  void Enter(const std::string& name, Done done) {
    const auto now = SteadyClock::now();
    Host* const host = stopped_ ? nullptr : FindOrMake(name, now);
    if (host == nullptr) {
      return Refuse(done, stopped_ ? "stopped" : "too many hosts at once", options_.backoff_first);
    }
    if (host->not_before > now) return Refuse(done, Why(*host), Until(host->not_before, now), host->down);
    // One at a time finds out whether it is back.
    if (host->probing) return Refuse(done, Why(*host), options_.backoff_first, host->down);
    if (host->waiting.size() >= options_.max_waiting || waiting_ >= options_.total_waiting) {
      return Refuse(done, name + ": too many requests wait", TimeFor(*host, static_cast<double>(host->waiting.size())));
    }
    Refill(host, now);
    const double behind = static_cast<double>(host->waiting.size() + 1) - host->tokens;
    if (options_.max_wait.count() > 0 && behind > 0 && TimeFor(*host, behind) > options_.max_wait) {
      return Refuse(done, name + ": its turn is far off", TimeFor(*host, behind));
    }
    host->probing = host->down;
    host->waiting.push_back(std::move(done));
    ++waiting_;
    MakeReady(host);
    Pump();
  }

  void Leave(const std::string& name, Outcome outcome, microseconds pause, const RateLimit& limit) {
    const auto found = hosts_.find(name);
    if (found == hosts_.end() || found->second->in_flight == 0) return;
    Host& host = *found->second;
    const auto now = SteadyClock::now();
    --host.in_flight;
    --in_flight_;
    switch (outcome) {
      case Outcome::kAnswered:
        host.down = host.probing = false;
        host.failures = 0;
        host.backoff.Reset();
        break;
      case Outcome::kFailed:
        ++host.failures;
        if (host.down || host.failures >= options_.failures_until_down) GoDown(&host, now);
        break;
      case Outcome::kAbandoned:
        host.probing = false;
        break;
    }
    pause = Adapt(&host, outcome, pause, limit, now);
    if (pause.count() > 0) {
      host.not_before = std::max(host.not_before, now + std::min(pause, options_.max_pause));
      RefuseWaiting(&host, now);
    }
    if (!host.waiting.empty()) MakeReady(&host);
    Pump();
  }

  bool IsDown(const std::string& name) const {
    const auto found = hosts_.find(name);
    return found != hosts_.end() && (found->second->down || found->second->not_before > SteadyClock::now());
  }

  microseconds RetryAfter(const std::string& name) const {
    const auto found = hosts_.find(name);
    return found == hosts_.end() ? microseconds(0) : Until(found->second->not_before, SteadyClock::now());
  }

  size_t waiting() const { return waiting_; }
  size_t in_flight() const { return in_flight_; }
  size_t hosts() const { return hosts_.size(); }

  void Stop() {
    stopped_ = true;
    for (auto& [name, host] : hosts_) {
      host->timer.cancel();
      RefuseWaiting(host.get(), SteadyClock::now());
    }
    ready_.clear();
  }

 private:
  struct Host {
    Host(std::string host_name, const asio::any_io_executor& executor, const HostGateOptions& options,
         uint64_t seed)
        : name(std::move(host_name)),
          per_second(options.per_second),
          tokens(options.burst),
          timer(executor),
          backoff(options.backoff_first, options.backoff_max, seed) {}

    const std::string name;
    double per_second;        // what it bears: at most what is configured
    double policy = 0;        // what it told us of its own limit, per second; zero: nothing
    double tokens;
    SteadyClock::time_point refilled = SteadyClock::now();
    size_t in_flight = 0;
    std::deque<Done> waiting;
    bool ready = false;       // in ready_
    bool timer_runs = false;  // waits for a token
    asio::steady_timer timer;
    int failures = 0;  // in a row
    bool down = false, probing = false;
    SteadyClock::time_point not_before{};  // nothing goes there until then
    SteadyClock::time_point slowed{};      // when it was slowed down last
    // So many requests may still go there until then.
    size_t quota = 0;
    SteadyClock::time_point quota_until{};
    Backoff backoff;
  };

  static std::string Why(const Host& host) {
    return host.name + (host.down ? ": down" : ": asked to be left alone");
  }

  // Posted, so that whoever is refused may do anything, Enter included, without being in the middle of
  // something here.
  void Refuse(const Done& done, const std::string& why, microseconds retry_after, bool down = false) const {
    Admission refused;
    refused.status = UnavailableError(why);
    refused.retry_after_us = std::max<int64_t>(retry_after.count(), 1000);
    refused.down = down;
    asio::post(executor_, [done, refused] { done(refused); });
  }

  // Requests per second, and at once, that a host gets at present.
  double Rate(const Host& host) const {
    const double rate = host.policy > 0 ? std::min(host.per_second, host.policy) : host.per_second;
    return std::max(rate, kLeastPerSecond);
  }
  double Burst(const Host& host) const {
    const double share = Rate(host) / std::max(options_.per_second, kLeastPerSecond);
    return std::max(1.0, options_.burst * std::min(share, 1.0));
  }

  // What an answer teaches about the host's limits. How long it is left alone now.
  microseconds Adapt(Host* host, Outcome outcome, microseconds pause, const RateLimit& limit,
                     SteadyClock::time_point now) const {
    if (limit.per_second > 0) host->policy = limit.per_second;
    if (limit.remaining.has_value() && limit.reset.count() > 0) {
      // Requests on their way may be counted already, or not: then they will be.
      const size_t remaining = std::min<uint64_t>(*limit.remaining, SIZE_MAX);
      const size_t quota = remaining - std::min(remaining, host->in_flight);
      const auto until = now + std::min(limit.reset, options_.max_pause);
      // An answer that was overtaken by a later one of the same window does not give back what that one took.
      const bool same_window = host->quota_until > now && until < host->quota_until + std::chrono::seconds(2);
      host->quota = same_window ? std::min(host->quota, quota) : quota;
      host->quota_until = until;
    }
    if (limit.exceeded && pause.count() == 0) {
      // Several at once are one sign.
      if (now - host->slowed >= options_.pause_after_limit) {
        host->slowed = now;
        host->per_second = std::max(std::min(options_.least_per_second, options_.per_second), host->per_second / 2);
      }
      return options_.pause_after_limit;
    }
    if (outcome == Outcome::kAnswered && !limit.exceeded) {
      host->per_second = std::min(options_.per_second, host->per_second + options_.per_second * options_.recovery);
    }
    return pause;
  }

  // How long `count` requests take one host.
  microseconds TimeFor(const Host& host, double count) const {
    const double seconds = count / Rate(host);
    return microseconds(static_cast<int64_t>(std::min(seconds, 3600.0) * 1e6));
  }

  Host* FindOrMake(const std::string& name, SteadyClock::time_point now) {
    const auto found = hosts_.find(name);
    if (found != hosts_.end()) return found->second.get();
    if (hosts_.size() >= options_.max_hosts) Sweep(now);
    if (hosts_.size() >= options_.max_hosts) return nullptr;
    auto host = std::make_unique<Host>(name, executor_, options_, random_());
    return hosts_.emplace(name, std::move(host)).first->second.get();
  }

  // Forgets hosts with nothing under way: first those that are as good as new, then, if that is not a tenth
  // of them, those too that are down or were slowed. Never one whose bucket is not full: as a new one it would
  // get more than its rate.
  void Sweep(SteadyClock::time_point now) {
    for (const bool all : {false, true}) {
      for (auto it = hosts_.begin(); it != hosts_.end();) {
        Host& host = *it->second;
        Refill(&host, now);
        const bool idle = host.in_flight == 0 && host.waiting.empty() && !host.timer_runs && host.tokens >= Burst(host);
        const bool as_new = !host.down && host.not_before <= now && host.quota_until <= now &&
                            Rate(host) >= options_.per_second;
        it = idle && (as_new || all) ? hosts_.erase(it) : std::next(it);
      }
      if (hosts_.size() <= options_.max_hosts - options_.max_hosts / 10) return;
    }
  }

  void Refill(Host* host, SteadyClock::time_point now) const {
    const double seconds = std::chrono::duration<double>(now - host->refilled).count();
    host->tokens = std::min(Burst(*host), host->tokens + seconds * Rate(*host));
    host->refilled = now;
  }

  void GoDown(Host* host, SteadyClock::time_point now) {
    host->down = true;
    host->probing = false;
    // At least half of the ceiling, so that a probe is never at once.
    const microseconds ceiling = host->backoff.ceiling();
    host->not_before = now + (ceiling + host->backoff.Next()) / 2;
    RefuseWaiting(host, now);
  }

  void RefuseWaiting(Host* host, SteadyClock::time_point now) {
    std::deque<Done> refused;
    refused.swap(host->waiting);
    waiting_ -= refused.size();
    host->probing = false;
    const std::string why = stopped_ ? "stopped" : Why(*host);
    const microseconds retry_after = Until(host->not_before, now);
    for (const Done& done : refused) Refuse(done, why, retry_after, host->down);
  }

  // Lists a host that has somebody waiting, unless it can do nothing before a timer or a Leave.
  void MakeReady(Host* host) {
    if (host->ready || host->timer_runs || host->in_flight >= options_.concurrency) return;
    host->ready = true;
    ready_.push_back(host->name);
  }

  // Lets in whoever may: one request per host in turn.
  void Pump() {
    if (pumping_) return;  // an admitted request may Enter or Leave before it returns
    pumping_ = true;
    while (!ready_.empty() && in_flight_ < options_.total_concurrency && !stopped_) {
      const auto found = hosts_.find(ready_.front());
      ready_.pop_front();
      if (found == hosts_.end()) continue;
      Host* const host = found->second.get();
      host->ready = false;
      if (host->waiting.empty() || host->in_flight >= options_.concurrency) continue;
      const auto now = SteadyClock::now();
      Refill(host, now);
      const bool counted = host->quota_until > now;
      if (counted && host->quota == 0) {
        host->not_before = std::max(host->not_before, host->quota_until);
        RefuseWaiting(host, now);
        continue;
      }
      if (host->tokens < 1) {
        WaitForToken(host);
        continue;
      }
      if (counted) --host->quota;
      host->tokens -= 1;
      ++host->in_flight;
      ++in_flight_;
      --waiting_;
      const Done done = std::move(host->waiting.front());
      host->waiting.pop_front();
      if (!host->waiting.empty()) MakeReady(host);
      done(Admission());
    }
    pumping_ = false;
  }

  void WaitForToken(Host* host) {
    const double seconds = (1 - host->tokens) / Rate(*host);
    host->timer_runs = true;
    host->timer.expires_after(microseconds(static_cast<int64_t>(std::ceil(seconds * 1e6))));
    host->timer.async_wait([this, name = host->name](const boost::system::error_code& ec) {
      if (ec || stopped_) return;  // then nothing here may be touched any more
      const auto found = hosts_.find(name);
      if (found == hosts_.end()) return;
      found->second->timer_runs = false;
      if (!found->second->waiting.empty()) MakeReady(found->second.get());
      Pump();
    });
  }

  const asio::any_io_executor executor_;
  const HostGateOptions options_;
  std::mt19937_64 random_;
  std::unordered_map<std::string, std::unique_ptr<Host>> hosts_;
  std::list<std::string> ready_;  // hosts that may be able to let somebody in
  size_t waiting_ = 0, in_flight_ = 0;
  bool pumping_ = false, stopped_ = false;
};

HostGate::HostGate(asio::any_io_executor executor, HostGateOptions options)
    : impl_(std::make_unique<Impl>(std::move(executor), options)) {}
HostGate::~HostGate() = default;

void HostGate::Enter(const std::string& host, Done done) { impl_->Enter(host, std::move(done)); }
void HostGate::Leave(const std::string& host, Outcome outcome, microseconds pause, const RateLimit& limit) {
  impl_->Leave(host, outcome, pause, limit);
}
bool HostGate::IsDown(const std::string& host) const { return impl_->IsDown(host); }
microseconds HostGate::RetryAfter(const std::string& host) const { return impl_->RetryAfter(host); }
size_t HostGate::waiting() const { return impl_->waiting(); }
size_t HostGate::in_flight() const { return impl_->in_flight(); }
size_t HostGate::hosts() const { return impl_->hosts(); }
void HostGate::Stop() { impl_->Stop(); }

}  // namespace penstock::net
