#include "net/http_client.h"

#include <algorithm>
#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <charconv>
#include <limits>
#include <list>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/address_rule.h"
#include "net/retry_after.h"
#include "net/tls.h"
#include "net/url.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;
using Request = http::request<http::empty_body>;
using Parser = http::response_parser<http::string_body>;

constexpr std::chrono::seconds kMaxPause = std::chrono::hours(24);
// Of one name; the rest is not tried.
constexpr size_t kMaxAddresses = 8;
// 100 Continue, 103 Early Hints and the like before the answer itself.
constexpr int kMaxInformational = 4;

std::string Field(const http::fields& fields, beast::string_view name) {
  const beast::string_view value = fields[name];
  return std::string(value.data(), value.size());
}

bool IsRedirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string MediaType(std::string text) {
  text.resize(std::min(text.size(), text.find(';')));
  while (!text.empty() && text.back() == ' ') text.pop_back();
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

std::optional<int64_t> Integer(const std::string& text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// What the answer's headers ask for, from Retry-After or from the RateLimit headers as atproto servers send
// them (the reset as a Unix time; as seconds from now in the drafts).
microseconds PauseOf(const http::fields& fields, int64_t now_us) {
  std::optional<std::chrono::seconds> pause = ParseRetryAfter(Field(fields, "Retry-After"), now_us);
  if (!pause.has_value() && Integer(Field(fields, "RateLimit-Remaining")) == 0) {
    if (const auto reset = Integer(Field(fields, "RateLimit-Reset")); reset.has_value() && *reset > 0) {
      constexpr int64_t kSurelyATime = 1'000'000'000;
      pause = std::chrono::seconds(*reset >= kSurelyATime ? *reset - now_us / 1'000'000 : *reset);
    }
  }
  if (!pause.has_value() || pause->count() <= 0) return microseconds(0);
  return std::min(*pause, kMaxPause);
}

// Where a connection leads. `trusted` is part of it: one to a private address that the operator chose must
// not be used by a stranger's URL of the same name.
struct Origin {
  bool tls = false;
  std::string host;
  uint16_t port = 0;
  bool trusted = false;
  friend auto operator<=>(const Origin&, const Origin&) = default;
};

// One connection, plain or TLS, with what it takes to end whatever waits on it.
struct Connection {
  Connection(const asio::any_io_executor& executor, asio::ssl::context* tls_context) : dns_wait(executor) {
    if (tls_context != nullptr) {
      tls.emplace(executor, *tls_context);
    } else {
      plain.emplace(executor);
    }
  }

  beast::tcp_stream& tcp() { return tls ? beast::get_lowest_layer(*tls) : *plain; }
  void Abort() {
    dns_wait.cancel();
    error_code ignored;
    tcp().socket().close(ignored);
  }

  std::optional<beast::tcp_stream> plain;
  std::optional<beast::ssl_stream<beast::tcp_stream>> tls;
  asio::steady_timer dns_wait;
  beast::flat_buffer buffer;
  bool reusable = false;  // the last answer was whole, and left the connection open
  SteadyClock::time_point idle_since;
};

}  // namespace

std::string_view HttpFaultName(HttpFault fault) {
  switch (fault) {
    case HttpFault::kNone:
      return "none";
    case HttpFault::kBadUrl:
      return "bad_url";
    case HttpFault::kNameNotFound:
      return "name_not_found";
    case HttpFault::kDns:
      return "dns";
    case HttpFault::kForbiddenAddress:
      return "forbidden_address";
    case HttpFault::kConnect:
      return "connect";
    case HttpFault::kTls:
      return "tls";
    case HttpFault::kTimeout:
      return "timeout";
    case HttpFault::kProtocol:
      return "protocol";
    case HttpFault::kHeaderTooLarge:
      return "header_too_large";
    case HttpFault::kRedirect:
      return "redirect";
    case HttpFault::kStopped:
      return "stopped";
  }
  return "";
}

absl::Status HttpAnswer::ToStatus() const {
  if (ok()) return absl::OkStatus();
  const std::string text = std::string(HttpFaultName(fault)) + ": " + detail;
  return fault == HttpFault::kTimeout ? DeadlineExceededError(text) : UnavailableError(text);
}

class HttpClient::Impl {
 public:
  Impl(asio::any_io_executor executor, HttpClientOptions options, const Clock* clock, Counters* counters)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        clock_(clock),
        counters_(counters),
        tls_(asio::ssl::context::tls_client),
        sweep_(executor_) {}

  absl::Status Prepare() {
    RETURN_IF_ERROR(PrepareTlsClient(&tls_, options_.ca_file));
    if (!options_.gateway.empty()) {
      if (!options_.allow_private_addresses) {
        return InvalidInputError("a gateway is for tests, and needs private addresses to be allowed");
      }
      ASSIGN_OR_RETURN(gateway_, ParseOrigin(options_.gateway));
    }
    ASSIGN_OR_RETURN(dns_, Dns::Create(executor_, options_.dns));
    return absl::OkStatus();
  }

  asio::awaitable<HttpAnswer> Get(const HttpRequest& request) {
    HttpAnswer answer;
    counters_->Count("http_requests");
    const auto deadline = SteadyClock::now() + request.timeout;
    bool trusted = request.trusted;
    absl::StatusOr<Url> url = ParseUrl(request.url);
    if (!url.ok()) Fail(&answer, HttpFault::kBadUrl, Message(url.status()));
    for (int redirects = 0; answer.ok(); ++redirects) {
      answer = HttpAnswer();
      std::string location;
      co_await Ask(*url, trusted, request, deadline, &answer, &location);
      if (!answer.ok() || !IsRedirect(answer.status) || location.empty()) break;
      const Url from = *url;
      url = ResolveReference(from, location);
      if (!url.ok()) {
        Fail(&answer, HttpFault::kRedirect, Message(url.status()));
      } else if (redirects == options_.max_redirects) {
        Fail(&answer, HttpFault::kRedirect, "too many, the last to " + url->Origin());
      } else if (from.tls && !url->tls) {
        Fail(&answer, HttpFault::kRedirect, "from TLS to none: " + url->Origin());
      }
      // From here on the name is somebody else's choice.
      trusted = trusted && url.ok() && from.SameOrigin(*url);
    }
    if (!answer.ok()) counters_->Count(std::string("http_fault_").append(HttpFaultName(answer.fault)));
    co_return answer;
  }

  Dns& dns() { return *dns_; }

  void Stop() {
    stopped_ = true;
    idle_.clear();
    sweep_.cancel();
    for (Connection* connection : active_) connection->Abort();
    dns_->Stop();
  }

 private:
  static void Fail(HttpAnswer* answer, HttpFault fault, std::string_view detail) {
    answer->fault = fault;
    answer->detail = detail;
  }

  // The fault of a step that ended with `ec`.
  void FailStep(HttpAnswer* answer, HttpFault fault, const Url& url, const error_code& ec) const {
    if (ec == beast::error::timeout) fault = HttpFault::kTimeout;
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
      fault = HttpFault::kHeaderTooLarge;
    if (stopped_) fault = HttpFault::kStopped;
    Fail(answer, fault, url.Origin() + ": " + ec.message());
  }

  // One question to one URL, without redirects.
  asio::awaitable<void> Ask(const Url& url, bool trusted, const HttpRequest& request,
                            SteadyClock::time_point deadline, HttpAnswer* answer, std::string* location) {
    if (stopped_) Fail(answer, HttpFault::kStopped, url.Origin());
    if (answer->ok() && !trusted && !Allowed(url))
      Fail(answer, HttpFault::kBadUrl, "not allowed: " + url.Origin());
    if (!answer->ok()) co_return;

    const bool through_gateway = !trusted && gateway_.has_value() && url.HasDefaultPort();
    const Url where = through_gateway ? *gateway_ : url;
    const Origin origin{where.tls, where.host, where.port, trusted};
    std::unique_ptr<Connection> connection = TakeIdle(origin);
    const bool reused = connection != nullptr;
    if (reused) {
      active_.insert(connection.get());
      const bool silent = co_await Exchange(*connection, url, request, deadline, answer, location);
      active_.erase(connection.get());
      // It may have been closed just before we asked; a new one tells.
      if (!silent || stopped_ || answer->fault == HttpFault::kTimeout) {
        KeepIfGood(origin, &connection, *answer);
        co_return;
      }
      *answer = HttpAnswer();
    }

    asio::ssl::context* const tls = where.tls ? &tls_ : nullptr;
    connection = std::make_unique<Connection>(executor_, tls);
    active_.insert(connection.get());
    const bool open_to_all = trusted || options_.allow_private_addresses;
    co_await Dial(*connection, where, open_to_all, deadline, answer);
    if (answer->ok()) co_await Exchange(*connection, url, request, deadline, answer, location);
    active_.erase(connection.get());
    KeepIfGood(origin, &connection, *answer);
  }

  // Whether a URL that the operator did not choose may be asked at all.
  bool Allowed(const Url& url) const {
    return options_.allow_private_addresses || (url.tls && url.HasDefaultPort());
  }

  // --- Connections

  asio::awaitable<void> Dial(Connection& connection, const Url& url, bool open_to_all,
                             SteadyClock::time_point deadline, HttpAnswer* answer) {
    std::vector<tcp::endpoint> endpoints;
    co_await Resolve(connection, url, deadline, &endpoints, answer);
    if (!answer->ok()) co_return;
    // The addresses found here are the ones connected to: the name is not asked again, so it cannot change
    // its mind.
    if (!open_to_all) {
      std::erase_if(endpoints,
                    [](const tcp::endpoint& endpoint) { return !IsPublicAddress(endpoint.address()); });
      if (endpoints.empty()) Fail(answer, HttpFault::kForbiddenAddress, url.Origin());
    }
    if (!answer->ok()) co_return;

    error_code ec = asio::error::host_unreachable;
    // Each address gets its share of the time, so that a dead first one leaves some to the second.
    const auto share = std::max<microseconds>(options_.connect_timeout / static_cast<int>(endpoints.size()),
                                              options_.connect_timeout / 4);
    const auto until = std::min(deadline, SteadyClock::now() + options_.connect_timeout);
    for (const tcp::endpoint& endpoint : endpoints) {
      connection.tcp().expires_at(std::min(until, SteadyClock::now() + share));
      co_await connection.tcp().async_connect(endpoint, asio::redirect_error(asio::use_awaitable, ec));
      if (!ec || stopped_ || SteadyClock::now() >= until) break;
      error_code ignored;
      connection.tcp().socket().close(ignored);
    }
    if (ec || stopped_) {
      FailStep(answer, HttpFault::kConnect, url, ec);
      co_return;
    }
    error_code ignored;
    connection.tcp().socket().set_option(tcp::no_delay(true), ignored);
    const tcp::endpoint peer = connection.tcp().socket().remote_endpoint(ec);
    if (ec || (!open_to_all && !IsPublicAddress(peer.address()))) {
      Fail(answer, HttpFault::kForbiddenAddress, url.Origin());
      co_return;
    }
    if (!connection.tls.has_value()) co_return;
    ec = ExpectHost(*connection.tls, url.host);
    if (!ec) {
      connection.tcp().expires_at(std::min(deadline, SteadyClock::now() + options_.tls_timeout));
      co_await connection.tls->async_handshake(asio::ssl::stream_base::client,
                                               asio::redirect_error(asio::use_awaitable, ec));
    }
    if (ec || stopped_) FailStep(answer, HttpFault::kTls, url, ec);
  }

  asio::awaitable<void> Resolve(Connection& connection, const Url& url, SteadyClock::time_point deadline,
                                std::vector<tcp::endpoint>* endpoints, HttpAnswer* answer) {
    error_code not_address;
    const asio::ip::address address = asio::ip::make_address(url.host, not_address);
    if (!not_address) {
      endpoints->emplace_back(address, url.port);
      co_return;
    }
    struct Query {
      bool answered = false;
      DnsOutcome outcome = DnsOutcome::kFailed;
      std::vector<asio::ip::address> addresses;
      asio::steady_timer* wait = nullptr;
    };
    const auto query = std::make_shared<Query>();
    query->wait = &connection.dns_wait;
    connection.dns_wait.expires_at(std::min(deadline, SteadyClock::now() + options_.connect_timeout));
    const auto done = [query](DnsOutcome outcome, std::vector<asio::ip::address> addresses) {
      query->answered = true;
      query->outcome = outcome;
      query->addresses = std::move(addresses);
      if (query->wait != nullptr) query->wait->cancel();
    };
    dns_->Addresses(url.host, done);
    error_code ignored;
    co_await connection.dns_wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    query->wait = nullptr;
    for (const asio::ip::address& found : query->addresses) {
      if (endpoints->size() < kMaxAddresses) endpoints->emplace_back(found, url.port);
    }
    if (stopped_) {
      Fail(answer, HttpFault::kStopped, url.Origin());
    } else if (!query->answered) {
      Fail(answer, HttpFault::kTimeout, url.host + ": name resolution");
    } else if (query->outcome == DnsOutcome::kNotFound) {
      Fail(answer, HttpFault::kNameNotFound, url.host);
    } else if (endpoints->empty()) {
      Fail(answer, HttpFault::kDns, url.host);
    }
  }

  // --- Question and answer

  // True if the connection ended before a byte of an answer came.
  asio::awaitable<bool> Exchange(Connection& connection, const Url& url, const HttpRequest& request,
                                 SteadyClock::time_point deadline, HttpAnswer* answer,
                                 std::string* location) {
    Request question(http::verb::get, url.target, 11);
    question.set(http::field::host, url.Authority());
    question.set(http::field::user_agent, options_.user_agent);
    question.set(http::field::accept, request.accept);
    question.set(http::field::accept_encoding, "identity");
    question.keep_alive(true);
    connection.reusable = false;
    connection.tcp().expires_at(deadline);
    if (connection.tls.has_value()) {
      co_return co_await ExchangeOn(*connection.tls, connection, question, url, request, answer, location);
    }
    co_return co_await ExchangeOn(*connection.plain, connection, question, url, request, answer, location);
  }

  template <typename Stream>
  asio::awaitable<bool> ExchangeOn(Stream& stream, Connection& connection, Request& question, const Url& url,
                                   const HttpRequest& request, HttpAnswer* answer, std::string* location) {
    error_code ec;
    co_await http::async_write(stream, question, asio::redirect_error(asio::use_awaitable, ec));
    if (ec) {
      FailStep(answer, HttpFault::kProtocol, url, ec);
      co_return true;
    }
    connection.buffer.max_size(options_.max_header_bytes + 64 * 1024);
    for (int informational = 0;; ++informational) {
      Parser parser;
      parser.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
      parser.body_limit(request.max_body_bytes);
      co_await http::async_read_header(stream, connection.buffer, parser,
                                       asio::redirect_error(asio::use_awaitable, ec));
      const bool silent = ec && !parser.got_some() && connection.buffer.size() == 0;
      if (ec && ec != http::error::body_limit) {
        FailStep(answer, HttpFault::kProtocol, url, ec);
        co_return silent;
      }
      const auto& head = parser.get();
      answer->status = static_cast<int>(head.result_int());
      if (answer->status < 200) {
        if (informational < kMaxInformational && answer->status != 101) continue;
        Fail(answer, HttpFault::kProtocol, url.Origin() + ": status " + std::to_string(answer->status));
        co_return false;
      }
      answer->url = url.Text();
      answer->content_type = MediaType(Field(head, "Content-Type"));
      answer->pause = PauseOf(head, clock_->NowMicros());
      *location = Field(head, "Location");
      const std::string encoding = Field(head, "Content-Encoding");
      if (!encoding.empty() && encoding != "identity") {
        Fail(answer, HttpFault::kProtocol, url.Origin() + ": compressed although it was not asked to");
        co_return false;
      }
      if (!ec && !parser.is_done()) {
        co_await http::async_read(stream, connection.buffer, parser,
                                  asio::redirect_error(asio::use_awaitable, ec));
      }
      if (ec == http::error::body_limit) {
        answer->body_too_large = true;
      } else if (ec) {
        FailStep(answer, HttpFault::kProtocol, url, ec);
      } else {
        answer->body = std::move(parser.get().body());
        connection.reusable = parser.get().keep_alive();
      }
      co_return false;
    }
  }

  // --- Connections that wait for the next question

  std::unique_ptr<Connection> TakeIdle(const Origin& origin) {
    DropExpired();
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->first != origin) continue;
      std::unique_ptr<Connection> connection = std::move(it->second);
      idle_.erase(std::next(it).base());
      return connection;
    }
    return nullptr;
  }

  void KeepIfGood(const Origin& origin, std::unique_ptr<Connection>* connection, const HttpAnswer& answer) {
    // Bytes that came behind an answer belong to no question.
    const bool good = answer.ok() && (*connection)->reusable && (*connection)->buffer.size() == 0;
    if (!good || stopped_ || options_.max_idle_connections == 0) return connection->reset();
    (*connection)->tcp().expires_never();
    (*connection)->idle_since = SteadyClock::now();
    if (idle_.size() >= options_.max_idle_connections) idle_.pop_front();
    idle_.emplace_back(origin, std::move(*connection));
    if (!sweeping_) Sweep();
  }

  void DropExpired() {
    const auto oldest = SteadyClock::now() - options_.idle_timeout;
    while (!idle_.empty() && idle_.front().second->idle_since <= oldest) idle_.pop_front();
  }

  void Sweep() {
    sweeping_ = true;
    sweep_.expires_after(options_.idle_timeout);
    sweep_.async_wait([this](const error_code& ec) {
      if (ec) return;  // stopped: nothing here may be touched any more
      sweeping_ = false;
      DropExpired();
      if (!idle_.empty()) Sweep();
    });
  }

  const asio::any_io_executor executor_;
  const HttpClientOptions options_;
  const Clock* const clock_;
  Counters* const counters_;
  asio::ssl::context tls_;
  std::optional<Url> gateway_;
  std::unique_ptr<Dns> dns_;

  // On the executor only.
  std::set<Connection*> active_;
  std::list<std::pair<Origin, std::unique_ptr<Connection>>> idle_;  // the longest idle first
  asio::steady_timer sweep_;
  bool sweeping_ = false, stopped_ = false;
};

absl::StatusOr<std::unique_ptr<HttpClient>> HttpClient::Create(asio::any_io_executor executor,
                                                               HttpClientOptions options, const Clock* clock,
                                                               Counters* counters) {
  auto impl = std::make_unique<Impl>(std::move(executor), std::move(options), clock, counters);
  RETURN_IF_ERROR(impl->Prepare());
  return std::unique_ptr<HttpClient>(new HttpClient(std::move(impl)));
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;

asio::awaitable<HttpAnswer> HttpClient::Get(const HttpRequest& request) { return impl_->Get(request); }
Dns& HttpClient::dns() { return impl_->dns(); }
void HttpClient::Stop() { impl_->Stop(); }

}  // namespace penstock::net
