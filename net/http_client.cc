#include "net/http_client.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http.hpp>
#include <list>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/body_pipe.h"
#include "net/http_connection.h"
#include "net/rate_limit.h"
#include "net/tls.h"
#include "net/url.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;
using Request = http::request<http::empty_body>;
using HeadParser = http::response_parser<http::empty_body>;

// Of a body that is handed over while it comes: what one read takes at most.
constexpr size_t kPieceBytes = 64 * 1024;
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

RateHeaders RateHeadersOf(const http::fields& fields) {
  return {Field(fields, "Retry-After"), Field(fields, "RateLimit-Remaining"), Field(fields, "RateLimit-Reset"),
          Field(fields, "RateLimit-Policy")};
}

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
    case HttpFault::kStale:
      return "stale";
    case HttpFault::kAbandoned:
      return "abandoned";
    case HttpFault::kStopped:
      return "stopped";
  }
  return "";
}

absl::Status HttpAnswer::ToStatus() const {
  if (ok()) return absl::OkStatus();
  const std::string text = std::string(HttpFaultName(fault)) + ": " + detail;
  if (fault == HttpFault::kAbandoned) return absl::CancelledError("the reader of the body wants no more");
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

  asio::awaitable<HttpAnswer> Get(const HttpRequest& request, BodyPipe* pipe) {
    HttpAnswer answer;
    counters_->Count("http_requests");
    const auto deadline = SteadyClock::now() + request.timeout;
    bool trusted = request.trusted;
    absl::StatusOr<Url> url = ParseUrl(request.url);
    if (!url.ok()) FailAnswer(&answer, HttpFault::kBadUrl, Message(url.status()));
    for (int redirects = 0; answer.ok(); ++redirects) {
      answer = HttpAnswer();
      const Question question{*url, trusted, request, deadline, pipe};
      std::string location;
      co_await Ask(question, &answer, &location);
      if (!answer.ok() || !IsRedirect(answer.status) || location.empty()) break;
      const Url from = *url;
      url = ResolveReference(from, location);
      if (!url.ok()) {
        FailAnswer(&answer, HttpFault::kRedirect, Message(url.status()));
      } else if (from.tls && !url->tls) {
        FailAnswer(&answer, HttpFault::kRedirect, "from TLS to none: " + url->Origin());
      } else if (request.one_request) {
        answer.location = url->Text();
        break;
      } else if (redirects == options_.max_redirects) {
        FailAnswer(&answer, HttpFault::kRedirect, "too many, the last to " + url->Origin());
      }
      // From here on the name is somebody else's choice.
      trusted = trusted && url.ok() && from.SameOrigin(*url);
    }
    // Whatever step they interrupted, these are the reasons.
    if (!answer.ok() && stopped_) {
      answer.fault = HttpFault::kStopped;
    } else if (!answer.ok() && pipe != nullptr && pipe->cancelled()) {
      answer.fault = HttpFault::kAbandoned;
    }
    if (!answer.ok()) counters_->Count(std::string("http_fault_").append(HttpFaultName(answer.fault)));
    co_return answer;
  }

  Dns& dns() { return *dns_; }

  void Stop() {
    stopped_ = true;
    idle_.clear();
    sweep_.cancel();
    for (const auto& [number, connection] : active_) connection->Abort();
    dns_->Stop();
  }

 private:
  // One question to one URL, without redirects. All that is referred to outlives the coroutines.
  struct Question {
    const Url& url;
    const bool trusted;
    const HttpRequest& request;
    const SteadyClock::time_point deadline;
    BodyPipe* const pipe;  // may be null

    // When the next step must have come to something.
    SteadyClock::time_point StepDeadline() const {
      if (request.silence.count() == 0) return deadline;
      return std::min<SteadyClock::time_point>(deadline, SteadyClock::now() + request.silence);
    }
  };

  asio::awaitable<void> Ask(const Question& question, HttpAnswer* answer, std::string* location) {
    const Url& url = question.url;
    const bool trusted = question.trusted;
    if (stopped_) FailAnswer(answer, HttpFault::kStopped, url.Origin());
    if (answer->ok() && !trusted && !Allowed(url))
      FailAnswer(answer, HttpFault::kBadUrl, "not allowed: " + url.Origin());
    if (!answer->ok()) co_return;

    const bool through_gateway = !trusted && gateway_.has_value() && url.HasDefaultPort();
    const Url where = through_gateway ? *gateway_ : url;
    const ConnectionKey key{where.tls, where.host, where.port, trusted};
    std::unique_ptr<Connection> connection = TakeIdle(key);
    const bool reused = connection != nullptr;
    if (reused) {
      Begin(question, connection.get());
      const bool silent = co_await Exchange(*connection, question, answer, location);
      End(question, *connection);
      // It may have been closed just before we asked; a new one tells.
      if (!silent || connection->aborted || answer->fault == HttpFault::kTimeout) {
        KeepIfGood(key, &connection, *answer);
        co_return;
      }
      if (question.request.one_request) {
        answer->fault = HttpFault::kStale;
        std::erase_if(idle_, [&](const auto& entry) { return entry.first == key; });
        co_return;
      }
      *answer = HttpAnswer();
    }

    asio::ssl::context* const tls = where.tls ? &tls_ : nullptr;
    connection = std::make_unique<Connection>(executor_, tls);
    Begin(question, connection.get());
    const bool open_to_all = trusted || options_.allow_private_addresses;
    co_await Dial(*connection, *dns_, options_, where, open_to_all, question.deadline, answer);
    if (answer->ok()) co_await Exchange(*connection, question, answer, location);
    End(question, *connection);
    KeepIfGood(key, &connection, *answer);
  }

  // From here on Stop, and whoever reads the pipe, can end it.
  void Begin(const Question& question, Connection* connection) {
    connection->number = ++last_number_;
    active_.emplace(connection->number, connection);
    if (question.pipe == nullptr) return;
    question.pipe->OnCancel([this, number = connection->number] {
      asio::post(executor_, [this, number] {
        if (const auto found = active_.find(number); found != active_.end()) found->second->Abort();
      });
    });
  }
  void End(const Question& question, const Connection& connection) {
    active_.erase(connection.number);
    if (question.pipe != nullptr) question.pipe->OnCancel(nullptr);
  }

  // Whether a URL that the operator did not choose may be asked at all.
  bool Allowed(const Url& url) const {
    return options_.allow_private_addresses || (url.tls && url.HasDefaultPort());
  }

  // --- Question and answer

  // True if the connection ended before a byte of an answer came.
  asio::awaitable<bool> Exchange(Connection& connection, const Question& question, HttpAnswer* answer,
                                 std::string* location) {
    Request request(http::verb::get, question.url.target, 11);
    request.set(http::field::host, question.url.Authority());
    request.set(http::field::user_agent, options_.user_agent);
    request.set(http::field::accept, question.request.accept);
    request.set(http::field::accept_encoding, "identity");
    request.keep_alive(true);
    connection.reusable = false;
    connection.tcp().expires_at(question.StepDeadline());
    if (connection.tls.has_value()) {
      co_return co_await ExchangeOn(*connection.tls, connection, request, question, answer, location);
    }
    co_return co_await ExchangeOn(*connection.plain, connection, request, question, answer, location);
  }

  template <typename Stream>
  asio::awaitable<bool> ExchangeOn(Stream& stream, Connection& connection, Request& request, const Question& question,
                                   HttpAnswer* answer, std::string* location) {
    const Url& url = question.url;
    error_code ec;
    co_await http::async_write(stream, request, asio::redirect_error(asio::use_awaitable, ec));
    if (ec) {
      FailStep(answer, HttpFault::kProtocol, url, ec);
      co_return true;
    }
    connection.buffer.max_size(options_.max_header_bytes + kPieceBytes);
    for (int informational = 0;; ++informational) {
      HeadParser parser;
      parser.header_limit(static_cast<uint32_t>(options_.max_header_bytes));
      parser.body_limit(boost::none);  // who reads the body has one
      co_await http::async_read_header(stream, connection.buffer, parser,
                                       asio::redirect_error(asio::use_awaitable, ec));
      if (ec) {
        const bool silent = !parser.got_some() && connection.buffer.size() == 0;
        FailStep(answer, HttpFault::kProtocol, url, ec);
        co_return silent;
      }
      const auto& head = parser.get();
      answer->status = static_cast<int>(head.result_int());
      if (answer->status < 200) {
        if (informational < kMaxInformational && answer->status != 101) continue;
        FailAnswer(answer, HttpFault::kProtocol, url.Origin() + ": status " + std::to_string(answer->status));
        co_return false;
      }
      answer->url = url.Text();
      answer->content_type = MediaType(Field(head, "Content-Type"));
      const RateHeaders rate = RateHeadersOf(head);
      answer->pause = ReadPause(rate, clock_->NowMicros());
      answer->rate = ReadRateLimit(rate, clock_->NowMicros());
      *location = Field(head, "Location");
      const std::string encoding = Field(head, "Content-Encoding");
      if (!encoding.empty() && encoding != "identity") {
        FailAnswer(answer, HttpFault::kProtocol, url.Origin() + ": compressed although it was not asked to");
        co_return false;
      }
      const std::vector<std::string>& types = question.request.piped_types;
      answer->piped = question.pipe != nullptr && answer->status == 200 &&
                      std::find(types.begin(), types.end(), answer->content_type) != types.end();
      if (answer->piped) {
        co_await ReadIntoPipe(stream, connection, parser, question, answer);
      } else {
        co_await ReadWhole(stream, connection, parser, question, answer);
      }
      co_return false;
    }
  }

  template <typename Stream>
  asio::awaitable<void> ReadWhole(Stream& stream, Connection& connection, HeadParser& head, const Question& question,
                                  HttpAnswer* answer) {
    const uint64_t most = question.request.max_body_bytes;
    answer->body_too_large = head.content_length().value_or(0) > most;
    if (answer->body_too_large) co_return;
    http::response_parser<http::string_body> parser(std::move(head));
    parser.body_limit(most);
    error_code ec;
    if (!parser.is_done()) {
      connection.tcp().expires_at(question.StepDeadline());
      co_await http::async_read(stream, connection.buffer, parser, asio::redirect_error(asio::use_awaitable, ec));
    }
    if (ec == http::error::body_limit) {
      answer->body_too_large = true;
    } else if (ec) {
      FailStep(answer, HttpFault::kProtocol, question.url, ec);
    } else {
      answer->body = std::move(parser.get().body());
      connection.reusable = parser.get().keep_alive();
    }
  }

  template <typename Stream>
  asio::awaitable<void> ReadIntoPipe(Stream& stream, Connection& connection, HeadParser& head, const Question& question,
                                     HttpAnswer* answer) {
    http::response_parser<http::buffer_body> parser(std::move(head));
    parser.body_limit(boost::none);
    const std::unique_ptr<char[]> bytes(new char[kPieceBytes]);
    std::string piece;
    uint64_t total = 0;
    while (!parser.is_done()) {
      auto& body = parser.get().body();
      body.data = bytes.get();
      body.size = kPieceBytes;
      error_code ec;
      connection.tcp().expires_at(question.StepDeadline());
      co_await http::async_read_some(stream, connection.buffer, parser, asio::redirect_error(asio::use_awaitable, ec));
      const size_t read = kPieceBytes - body.size;
      piece.assign(bytes.get(), read);
      total += read;
      co_await HandOver(connection, question, &piece, answer);
      if (!answer->ok()) co_return;
      if (ec && ec != http::error::need_buffer) {
        FailStep(answer, HttpFault::kProtocol, question.url, ec);
        if (answer->fault == HttpFault::kProtocol) answer->detail = "cut_off: " + answer->detail;
        answer->detail += ", after " + std::to_string(total) + " bytes";
        co_return;
      }
    }
    connection.reusable = parser.get().keep_alive();
  }

  // Waits while the pipe is full.
  asio::awaitable<void> HandOver(Connection& connection, const Question& question, std::string* piece,
                                 HttpAnswer* answer) {
    // The pipe may be read just before we begin to wait; but what it posts runs after.
    const std::function<void()> when_room = [this, number = connection.number] {
      asio::post(executor_, [this, number] {
        if (const auto found = active_.find(number); found != active_.end()) found->second->wait.cancel();
      });
    };
    while (!question.pipe->Write(piece, when_room)) {
      error_code ignored;
      connection.wait.expires_at(question.deadline);
      co_await connection.wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      if (connection.aborted) {
        FailAnswer(answer, HttpFault::kAbandoned, question.url.Origin());
        co_return;
      }
      if (SteadyClock::now() >= question.deadline) {
        FailAnswer(answer, HttpFault::kTimeout, question.url.Origin() + ": its body was not read in time");
        co_return;
      }
    }
    if (question.pipe->cancelled()) FailAnswer(answer, HttpFault::kAbandoned, question.url.Origin());
  }

  // --- Connections that wait for the next question

  std::unique_ptr<Connection> TakeIdle(const ConnectionKey& key) {
    DropExpired();
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->first != key) continue;
      std::unique_ptr<Connection> connection = std::move(it->second);
      idle_.erase(std::next(it).base());
      return connection;
    }
    return nullptr;
  }

  void KeepIfGood(const ConnectionKey& key, std::unique_ptr<Connection>* connection, const HttpAnswer& answer) {
    // Bytes that came behind an answer belong to no question.
    const bool good = answer.ok() && (*connection)->reusable && (*connection)->buffer.size() == 0;
    if (!good || stopped_ || options_.max_idle_connections == 0) return connection->reset();
    (*connection)->tcp().expires_never();
    (*connection)->idle_since = SteadyClock::now();
    if (idle_.size() >= options_.max_idle_connections) idle_.pop_front();
    idle_.emplace_back(key, std::move(*connection));
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
  std::map<uint64_t, Connection*> active_;  // by number
  uint64_t last_number_ = 0;
  std::list<std::pair<ConnectionKey, std::unique_ptr<Connection>>> idle_;  // the longest idle first
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

asio::awaitable<HttpAnswer> HttpClient::Get(const HttpRequest& request, BodyPipe* pipe) {
  return impl_->Get(request, pipe);
}
Dns& HttpClient::dns() { return impl_->dns(); }
void HttpClient::Stop() { impl_->Stop(); }

}  // namespace penstock::net
