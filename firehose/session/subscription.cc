#include "firehose/session/subscription.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/websocket/error.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <exception>
#include <mutex>
#include <random>
#include <utility>

#include "base/status.h"
#include "firehose/printable.h"
#include "firehose/session/endpoint.h"
#include "firehose/session/http_refusal.h"
#include "firehose/session/web_socket.h"
#include "firehose/stream_guard.h"
#include "net/address_rule.h"
#include "net/backoff.h"
#include "net/retry_after.h"
#include "net/tls.h"
#include "repo/syntax.h"

namespace penstock::firehose {
namespace {

namespace websocket = boost::beast::websocket;
using net::ip::tcp;
using SteadyClock = net::steady_timer::clock_type;
using std::chrono::microseconds;

constexpr int kMaxRedirects = 3;  // protocol 1.1
// How much of a message that is too large is read over, once it is known for poison. Who sends more is not
// worth it.
constexpr size_t kMaxDrainBytes = 16 * kMaxFrameBytes;
constexpr int64_t kLagSampleMicros = 1'000'000;
constexpr int64_t kNoSeq = -1;

// How an attempt ended.
struct Outcome {
  std::string_view cause;  // static, for "reconnect_<cause>"
  std::string detail;
  bool progress = false;  // an event was delivered
  std::optional<Refusal> refusal;
  std::optional<microseconds> retry_after;
  absl::Status stop;  // not OK: only an operator can help
};

std::string Seconds(microseconds time) {
  const int64_t tenths = time.count() / 100'000;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

std::string_view CauseOfBrokenStream(const error_code& ec) {
  if (ec == websocket::error::closed) return "closed";
  if (ec == websocket::condition::protocol_violation || ec == websocket::error::message_too_big)
    return "protocol";
  return "reset";
}

uint16_t CloseCodeFor(std::string_view cause) {
  return cause == "framing" ? websocket::close_code::bad_payload : websocket::close_code::normal;
}

}  // namespace

class Subscription::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(net::any_io_executor executor, SubscriptionOptions options, SubscriptionResources resources)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        resources_(std::move(resources)),
        tls_(net::ssl::context::tls_client),
        sleep_(executor_),
        goodbye_(executor_, net::steady_timer::time_point::max()),
        backoff_(options_.backoff_first, options_.backoff_max,
                 options_.backoff_seed != 0 ? options_.backoff_seed : std::random_device()()) {}

  absl::Status Prepare() {
    if (options_.hosts.empty()) return InvalidInputError("a subscription needs at least one host");
    for (const std::string& text : options_.hosts) {
      ASSIGN_OR_RETURN(Endpoint endpoint, ParseEndpoint(text));
      names_.push_back(endpoint.Name());
      hosts_.push_back(std::make_unique<Host>(std::move(endpoint), *this));
    }
    return penstock::net::PrepareTlsClient(&tls_, options_.ca_file);
  }

  const std::vector<std::string>& names() const { return names_; }
  const net::any_io_executor& executor() const { return executor_; }

  net::awaitable<absl::Status> Run() {
    const std::shared_ptr<Impl> self = shared_from_this();
    while (!stopping_) {
      Host& host = *hosts_[current_];
      SetHost(host.endpoint.Name());
      const Outcome end = co_await Follow(host);
      connected_ = false;
      if (stopping_) break;
      if (!end.stop.ok()) co_return end.stop;
      const microseconds wait = Judge(host, end);
      if (wait == microseconds::max()) {
        co_return FailedPreconditionError(names_.front() + ": refused for good: " + end.detail);
      }
      co_await Sleep(wait);
    }
    co_return absl::OkStatus();
  }

  // On the executor.
  void Stop() {
    if (stopping_) return;
    stopping_ = true;
    sleep_.cancel();
    if (resolving_ != nullptr) resolving_->cancel();
    if (socket_ == nullptr) return;
    if (connected_) {
      // Beside the coroutine that reads; Follow waits for the end of it.
      saying_goodbye_ = true;
      net::co_spawn(executor_, socket_->Close(websocket::close_code::normal, options_.close_timeout),
                    [self = shared_from_this(), socket = socket_](std::exception_ptr) {
                      self->saying_goodbye_ = false;
                      self->goodbye_.cancel();
                    });
    } else {
      socket_->Abort();
    }
  }

  SubscriptionStatus status() const {
    SubscriptionStatus status;
    {
      std::lock_guard lock(mutex_);
      status.host = host_;
    }
    status.connected = connected_;
    if (const int64_t seq = last_seq_; seq != kNoSeq) status.last_seq = seq;
    status.last_frame_us = last_frame_us_;
    status.frames = frames_;
    status.reconnects = reconnects_;
    if (has_lag_) status.lag_us = lag_us_;
    return status;
  }

 private:
  struct Host {
    Host(Endpoint where, const Impl& owner)
        : endpoint(std::move(where)),
          guard(endpoint.Name(), StreamGuard::Mode::kLive, owner.resources_.sink, owner.resources_.counters,
                owner.resources_.log) {}

    const Endpoint endpoint;
    StreamGuard guard;
    SteadyClock::time_point not_before{};  // it asked to be left alone until then, or deserves to be
    bool never = false;                    // 405, 426, 501
    std::string came_from;                 // the host followed before this one, if any
  };

  // --- From one attempt to the next

  // Counts and logs how an attempt ended, chooses the host of the next one and returns how long to wait
  // before it; max() if there is none left.
  microseconds Judge(Host& host, const Outcome& end) {
    resources_.counters->Count(std::string("reconnect_").append(end.cause));
    ++reconnects_;
    if (end.progress) {
      backoff_.Reset();
      failures_ = 0;
    } else {
      ++failures_;
    }
    microseconds wait = backoff_.Next();
    // After events the ceiling is low, and a peer that found fault with us, or we with it, must not see us at
    // once again.
    if (end.cause != "closed" && end.cause != "reset") wait = std::max(wait, options_.backoff_first / 2);

    const auto now = SteadyClock::now();
    bool leave = failures_ >= options_.failover_after;
    if (end.retry_after.has_value()) {
      const microseconds pause = std::min(*end.retry_after, options_.max_retry_after);
      host.not_before = now + pause;
      leave = leave || pause > options_.backoff_max;
    }
    if (end.refusal == Refusal::kWrong) host.not_before = now + options_.refused_pause;
    if (end.refusal == Refusal::kNever) host.never = true;
    leave = leave || end.refusal == Refusal::kWrong || end.refusal == Refusal::kNever;

    const size_t before = current_;
    if (!ChooseHost(leave, now + wait)) return microseconds::max();
    if (current_ != before) {
      resources_.counters->Count("failover");
      failures_ = 0;
    }
    const Host& next = *hosts_[current_];
    if (next.not_before > now + wait) wait = std::chrono::duration_cast<microseconds>(next.not_before - now);
    Log(resources_.log, LogLevel::kWarning,
        host.endpoint.Name() + ": " + std::string(end.cause) + (end.detail.empty() ? "" : ": " + end.detail) +
            "; " + (current_ != before ? "going on with " + next.endpoint.Name() : std::string("again")) +
            " in " + Seconds(wait));
    return wait;
  }

  // Sets current_: the same host, or if `leave` the next in the list, preferring those that are free at
  // `when`; else the one that is free first. False if all refused for good.
  bool ChooseHost(bool leave, SteadyClock::time_point when) {
    std::optional<size_t> best;
    for (size_t i = 0; i < hosts_.size(); ++i) {
      const size_t at = (current_ + i + (leave ? 1 : 0)) % hosts_.size();
      const Host& host = *hosts_[at];
      if (host.never) continue;
      if (host.not_before <= when) {
        best = at;
        break;
      }
      if (!best.has_value() || host.not_before < hosts_[*best]->not_before) best = at;
    }
    if (best.has_value()) current_ = *best;
    return best.has_value();
  }

  // --- One attempt

  net::awaitable<Outcome> Follow(Host& host) {
    Outcome end;
    const std::string source = host.endpoint.Name();
    const std::optional<int64_t> cursor = resources_.sink->Position(source);
    const std::shared_ptr<WebSocket> ws = co_await Dial(host, cursor, &end);
    if (ws == nullptr) co_return end;
    resources_.counters->Count("connect_ok");
    Log(resources_.log, LogLevel::kInfo,
        source + ": connected, " +
            (cursor.has_value() ? "cursor " + std::to_string(*cursor) : std::string("without a cursor")));
    if (followed_ != source) host.came_from = PlaceBefore(source);
    followed_ = source;
    if (host.came_from.empty()) {
      host.guard.Start(cursor, "no_cursor");
    } else {
      host.guard.Start(cursor, "relay_switch", "from " + host.came_from);
    }
    connected_ = true;
    ws->KeepAlive(options_.ping_interval, options_.idle_timeout);
    co_await ReadEvents(host, *ws, &end);
    connected_ = false;
    if (saying_goodbye_) {
      error_code ignored;
      co_await goodbye_.async_wait(net::redirect_error(net::use_awaitable, ignored));
    } else {
      co_await ws->Close(CloseCodeFor(end.cause), options_.close_timeout);
    }
    socket_.reset();
    co_return end;
  }

  // The host that events came from before `source`: the one followed last, or in an earlier run any that has
  // a cursor; empty if there is none.
  std::string PlaceBefore(const std::string& source) const {
    if (!followed_.empty()) return followed_;
    for (const std::string& name : names_) {
      if (name != source && resources_.sink->Position(name).has_value()) return name;
    }
    return {};
  }

  // Reads and delivers until the connection is of no more use; fills `*end`.
  net::awaitable<void> ReadEvents(Host& host, WebSocket& ws, Outcome* end) {
    while (!stopping_) {
      DeliveryPtr delivery = resources_.deliveries->Take();
      delivery->buffer = resources_.buffers->Take();
      MessageKind kind = MessageKind::kBinary;
      const error_code ec = co_await ws.ReadMessage(&delivery->buffer, &kind);
      if (ec) {
        end->cause = ws.idle() ? std::string_view("idle") : CauseOfBrokenStream(ec);
        end->detail = ws.idle() ? "nothing heard for " + Seconds(options_.idle_timeout) : ec.message();
        if (ws.close_code() != 0) end->detail += " (code " + std::to_string(ws.close_code()) + ")";
        co_return;
      }
      delivery->buffer.arrival_us = resources_.clock->NowMicros();
      last_frame_us_ = delivery->buffer.arrival_us;
      ++frames_;

      const StreamVerdict verdict = JudgeMessage(host.guard, delivery.get(), kind);
      switch (verdict.action) {
        case StreamAction::kDeliver: {
          const std::optional<int64_t> seq = delivery->frame.seq;
          SampleLag(*delivery);
          if (!co_await Deliver(host.guard.source(), &delivery, ws)) co_return;
          if (seq.has_value()) {
            last_seq_ = *seq;
            end->progress = true;
          }
          break;
        }
        case StreamAction::kSkip:
          if (kind == MessageKind::kTooLarge) {
            const error_code drained = co_await ws.Drain(kMaxDrainBytes);
            if (drained) {
              end->cause = CauseOfBrokenStream(drained);
              end->detail = drained.message();
              co_return;
            }
          }
          break;
        case StreamAction::kReconnect:
          end->cause = verdict.cause;
          co_return;
        case StreamAction::kStop:
          end->cause = verdict.cause;
          end->stop = FailedPreconditionError(
              host.guard.source() + ": " + std::string(verdict.cause) + ": the cursor" +
              (host.guard.position().has_value() ? " " + std::to_string(*host.guard.position())
                                                 : std::string()) +
              " is ahead of the stream; it is kept, and only the operator may set or clear it");
          co_return;
      }
    }
  }

  static StreamVerdict JudgeMessage(StreamGuard& guard, Delivery* delivery, MessageKind kind) {
    switch (kind) {
      case MessageKind::kBinary:
        return guard.OnMessage(delivery);
      case MessageKind::kText:
        return guard.OnFramingError(RejectError(Reject::kFrameText), delivery->buffer.bytes());
      case MessageKind::kTooLarge:
        return guard.OnFramingError(RejectError(Reject::kFrameTooLarge), delivery->buffer.bytes());
    }
    return {};
  }

  // Hands it over, waiting while the sink is full; meanwhile nothing is read, and the relay feels it. False
  // on stop.
  net::awaitable<bool> Deliver(const std::string& source, DeliveryPtr* delivery, WebSocket& ws) {
    if (resources_.sink->Offer(source, delivery)) co_return true;
    resources_.counters->Count("backpressure");
    ws.Pause(true);
    bool taken = false;
    while (!taken && !stopping_) {
      co_await Sleep(options_.offer_retry);
      taken = !stopping_ && resources_.sink->Offer(source, delivery);
    }
    ws.Pause(false);
    co_return taken;
  }

  void SampleLag(const Delivery& delivery) {
    const int64_t arrival = delivery.buffer.arrival_us;
    if (arrival - lag_sampled_us_ < kLagSampleMicros) return;
    lag_sampled_us_ = arrival;
    if (const auto time = repo::Datetime::Parse(delivery.frame.time)) {
      lag_us_ = arrival - time->micros;
      has_lag_ = true;
    }
  }

  // --- Dialling

  // A WebSocket on which the stream has been asked for, redirects followed; null with `*end` filled.
  net::awaitable<std::shared_ptr<WebSocket>> Dial(Host& host, std::optional<int64_t> cursor, Outcome* end) {
    Endpoint endpoint = host.endpoint;
    if (cursor.has_value()) endpoint.target += "?cursor=" + std::to_string(*cursor);
    bool foreign = false;  // a redirect led to another host: its name is not the operator's choice
    for (int redirects = 0;; ++redirects) {
      HttpAnswer answer;
      std::shared_ptr<WebSocket> ws = co_await DialOnce(endpoint, foreign, &answer, end);
      if (ws != nullptr || answer.status == 0 || stopping_) co_return ws;

      resources_.counters->Count("http_" + std::to_string(answer.status));
      end->refusal = RefusalOf(answer.status);
      end->cause = "http";
      end->detail = "status " + std::to_string(answer.status) + " from " + endpoint.Url() +
                    (answer.body.empty() ? std::string() : ": " + Printable(answer.body));
      if (const auto pause =
              penstock::net::ParseRetryAfter(answer.retry_after, resources_.clock->NowMicros())) {
        // Cut before the conversion to microseconds: a peer may ask for more seconds than those can hold.
        const auto most = std::chrono::ceil<std::chrono::seconds>(options_.max_retry_after);
        end->retry_after = std::min(*pause, most);
      }
      if (end->refusal != Refusal::kRedirect) co_return nullptr;

      end->refusal = Refusal::kWrong;
      end->cause = "redirect";
      const absl::StatusOr<Endpoint> next = ParseRedirect(endpoint, answer.location);
      if (!next.ok()) {
        end->detail = std::string(Message(next.status()));
        co_return nullptr;
      }
      foreign = foreign || !next->SameHost(host.endpoint);
      end->detail = "from " + endpoint.Url() + " to " + next->Url() + " not followed";
      const bool downgrade = endpoint.tls && !next->tls;
      const bool plain_abroad = foreign && !next->tls && !options_.allow_private_redirects;
      if (redirects == kMaxRedirects || downgrade || plain_abroad) co_return nullptr;
      endpoint = *next;
      end->refusal.reset();
    }
  }

  // One connection to `endpoint`, without redirects. Null with `*answer` filled when the upgrade was refused,
  // else with
  // `*end` filled.
  net::awaitable<std::shared_ptr<WebSocket>> DialOnce(const Endpoint& endpoint, bool foreign,
                                                      HttpAnswer* answer, Outcome* end) {
    std::vector<tcp::endpoint> addresses;
    error_code ec = co_await Resolve(endpoint, &addresses);
    if (stopping_) co_return nullptr;
    if (ec) co_return Failed("dns", endpoint, ec, end);
    if (foreign && !options_.allow_private_redirects) {
      std::erase_if(addresses, [](const tcp::endpoint& address) {
        return !penstock::net::IsPublicAddress(address.address());
      });
      if (addresses.empty()) {
        end->cause = "redirect";
        end->refusal = Refusal::kWrong;
        end->detail = "to " + endpoint.Url() + ", which has no public address";
        co_return nullptr;
      }
    }

    net::ssl::context* const tls = endpoint.tls ? &tls_ : nullptr;
    std::shared_ptr<WebSocket> ws = WebSocket::Make(executor_, tls);
    socket_ = ws;
    std::string_view step = "connect";
    ec = co_await ws->Connect(addresses, options_.connect_timeout);
    if (!ec && !stopping_) {
      step = "tls";
      ec = co_await ws->SecureFor(endpoint.host, options_.tls_timeout);
    }
    if (!ec && !stopping_) {
      step = "handshake";
      const std::string name = endpoint.Name();
      ec = co_await ws->Upgrade(name, endpoint.target, options_.user_agent, options_.upgrade_timeout, answer);
    }
    if (!ec && !stopping_) co_return ws;
    ws->Abort();
    socket_.reset();
    co_return Failed(step, endpoint, ec, end);
  }

  static std::nullptr_t Failed(std::string_view step, const Endpoint& endpoint, const error_code& ec,
                               Outcome* end) {
    end->cause = step;
    end->detail = endpoint.Url() + ": " + ec.message();
    return nullptr;
  }

  // Asks the system's resolver. It cannot be interrupted, so when it takes too long its answer is left to
  // nobody.
  net::awaitable<error_code> Resolve(const Endpoint& endpoint, std::vector<tcp::endpoint>* addresses) {
    error_code not_address;
    const net::ip::address address = net::ip::make_address(endpoint.host, not_address);
    if (!not_address) {
      addresses->emplace_back(address, endpoint.port);
      co_return error_code();
    }
    struct Query {
      explicit Query(const net::any_io_executor& executor) : resolver(executor), answered(executor) {}
      tcp::resolver resolver;
      net::steady_timer answered;
      error_code ec = net::error::timed_out;
      tcp::resolver::results_type results;
    };
    const auto query = std::make_shared<Query>(executor_);
    query->answered.expires_after(options_.resolve_timeout);
    query->resolver.async_resolve(endpoint.host, std::to_string(endpoint.port),
                                  tcp::resolver::numeric_service,
                                  [query](error_code ec, tcp::resolver::results_type results) {
                                    query->ec = ec;
                                    query->results = std::move(results);
                                    query->answered.cancel();
                                  });
    resolving_ = &query->answered;
    error_code ignored;
    co_await query->answered.async_wait(net::redirect_error(net::use_awaitable, ignored));
    resolving_ = nullptr;
    for (const auto& result : query->results) addresses->push_back(result.endpoint());
    co_return query->ec;
  }

  // --- Small things

  net::awaitable<void> Sleep(microseconds time) {
    if (stopping_) co_return;
    error_code ignored;
    sleep_.expires_after(time);
    co_await sleep_.async_wait(net::redirect_error(net::use_awaitable, ignored));
  }

  void SetHost(const std::string& name) {
    std::lock_guard lock(mutex_);
    host_ = name;
  }

  const net::any_io_executor executor_;
  const SubscriptionOptions options_;
  const SubscriptionResources resources_;
  net::ssl::context tls_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<std::string> names_;

  // On the executor only.
  net::steady_timer sleep_;
  net::steady_timer goodbye_;  // never expires: cancelled when the goodbye has been said
  bool saying_goodbye_ = false;
  net::steady_timer* resolving_ = nullptr;
  std::shared_ptr<WebSocket> socket_;  // being dialled, or connected
  penstock::net::Backoff backoff_;
  size_t current_ = 0;
  int failures_ = 0;      // attempts on hosts_[current_] in a row without an event
  std::string followed_;  // the source that was connected last
  bool stopping_ = false;
  int64_t lag_sampled_us_ = 0;

  // For status().
  mutable std::mutex mutex_;
  std::string host_;  // guarded by mutex_
  std::atomic<bool> connected_{false}, has_lag_{false};
  std::atomic<int64_t> last_seq_{kNoSeq}, last_frame_us_{0}, lag_us_{0};
  std::atomic<uint64_t> frames_{0}, reconnects_{0};
};

absl::StatusOr<std::unique_ptr<Subscription>> Subscription::Create(net::any_io_executor executor,
                                                                   SubscriptionOptions options,
                                                                   SubscriptionResources resources) {
  auto impl = std::make_shared<Impl>(std::move(executor), std::move(options), std::move(resources));
  RETURN_IF_ERROR(impl->Prepare());
  return std::unique_ptr<Subscription>(new Subscription(std::move(impl)));
}

Subscription::Subscription(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Subscription::~Subscription() = default;

net::awaitable<absl::Status> Subscription::Run() { return impl_->Run(); }

void Subscription::Stop() {
  net::post(impl_->executor(), [impl = impl_] { impl->Stop(); });
}

SubscriptionStatus Subscription::status() const { return impl_->status(); }
const std::vector<std::string>& Subscription::sources() const { return impl_->names(); }

}  // namespace penstock::firehose
