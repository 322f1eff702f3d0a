#include "net/xrpc_client.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <exception>
#include <utility>

#include "base/status.h"
#include "net/io_thread.h"
#include "net/url.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;
using std::chrono::microseconds;

constexpr size_t kMaxJsonBytes = 64 * 1024;
constexpr size_t kMaxErrorBytes = 64;

// The member as text; empty if it is absent or of another type.
std::string Text(const json::object& object, std::string_view name) {
  const json::value* const value = object.if_contains(json::string_view(name.data(), name.size()));
  if (value == nullptr || !value->is_string()) return {};
  return std::string(value->get_string().data(), value->get_string().size());
}

json::object ParseObject(const std::string& body) {
  boost::system::error_code ec;
  json::value value = json::parse(body, ec);
  if (ec || !value.is_object()) return {};
  return std::move(value.get_object());
}

// The name of an XRPC error, fit for a log: letters and digits as lexicons write them.
std::string ErrorName(const std::string& body) {
  std::string name = Text(ParseObject(body), "error");
  const bool plain = std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  });
  return plain && name.size() <= kMaxErrorBytes ? name : std::string();
}

// What an answer that came says of the question.
XrpcOutcome Judge(const HttpAnswer& answer) {
  XrpcOutcome outcome;
  if (answer.status >= 200 && answer.status < 300) {
    if (answer.body_too_large)
      outcome.status = FailedPreconditionError(answer.url + ": the answer is too large");
    return outcome;
  }
  outcome.error = ErrorName(answer.body);
  std::string text = answer.url + ": status " + std::to_string(answer.status);
  if (!outcome.error.empty()) text += ", " + outcome.error;
  if (answer.status == 408 || answer.status == 425 || answer.status == 429 || answer.status >= 500) {
    outcome.status = UnavailableError(text);
  } else if (answer.status == 404 || outcome.error == "RepoNotFound" || outcome.error == "RecordNotFound") {
    outcome.status = NotFoundError(text);
  } else {
    outcome.status = FailedPreconditionError(text);
  }
  return outcome;
}

}  // namespace

class XrpcClient::Impl {
 public:
  using Done = std::function<void(const XrpcOutcome&, std::string body)>;

  Impl(XrpcClientOptions options, Counters* counters)
      : options_(std::move(options)), counters_(counters), gate_(io_.executor(), options_.gate) {}
  ~Impl() {
    io_.Stop([this] {
      gate_.Stop();
      if (http_ != nullptr) http_->Stop();
    });
  }

  absl::Status Start(const Clock* clock) {
    ASSIGN_OR_RETURN(http_, HttpClient::Create(io_.executor(), options_.http, clock, counters_));
    return absl::OkStatus();
  }

  const XrpcClientOptions& options() const { return options_; }

  // `query`: "nsid?name=value&…", encoded.
  void Get(const XrpcHost& host, const std::string& query, size_t max_bytes, const char* accept, Done done) {
    const absl::StatusOr<Url> origin = ParseOrigin(host.origin);
    if (!origin.ok()) return done({origin.status(), {}, 0}, {});
    const auto call = std::make_shared<Call>();
    call->host = origin->Origin();
    call->request.url = call->host + "/xrpc/" + query;
    call->request.accept = accept;
    call->request.max_body_bytes = max_bytes;
    call->request.timeout = options_.timeout;
    call->request.trusted = host.trusted;
    call->done = std::move(done);
    counters_->Count("xrpc_requests");
    asio::post(io_.executor(), [this, call] { Enter(call); });
  }

 private:
  struct Call {
    std::string host;
    HttpRequest request;
    Done done;
  };

  void Enter(const std::shared_ptr<Call>& call) {
    gate_.Enter(call->host, [this, call](const HostGate::Admission& admission) {
      if (!admission.status.ok()) {
        counters_->Count("xrpc_refused");
        return call->done({admission.status, {}, admission.retry_after_us}, {});
      }
      asio::co_spawn(io_.executor(), http_->Get(call->request),
                     [this, call](std::exception_ptr error, HttpAnswer answer) {
                       if (error) answer.fault = HttpFault::kProtocol;
                       Ended(*call, std::move(answer));
                     });
    });
  }

  void Ended(const Call& call, HttpAnswer answer) {
    using Outcome = HostGate::Outcome;
    XrpcOutcome outcome;
    Outcome host = Outcome::kAnswered;
    if (!answer.ok()) {
      counters_->Count("xrpc_errors");
      outcome.status = answer.ToStatus();
      host = answer.fault == HttpFault::kStopped ? Outcome::kAbandoned : Outcome::kFailed;
    } else {
      outcome = Judge(answer);
      if (answer.status >= 500) host = Outcome::kFailed;
      if (answer.status == 429 && answer.pause.count() == 0) answer.pause = std::chrono::seconds(5);
    }
    gate_.Leave(call.host, host, answer.pause);
    if (IsTransient(outcome.status)) {
      outcome.retry_after_us = std::max<int64_t>(gate_.RetryAfter(call.host).count(),
                                                 microseconds(std::chrono::seconds(1)).count());
    }
    call.done(outcome, std::move(answer.body));
  }

  const XrpcClientOptions options_;
  Counters* const counters_;
  IoThread io_;
  HostGate gate_;
  std::unique_ptr<HttpClient> http_;
};

absl::StatusOr<std::unique_ptr<XrpcClient>> XrpcClient::Create(XrpcClientOptions options, const Clock* clock,
                                                               Counters* counters) {
  auto impl = std::make_unique<Impl>(std::move(options), counters);
  RETURN_IF_ERROR(impl->Start(clock));
  return std::unique_ptr<XrpcClient>(new XrpcClient(std::move(impl)));
}

XrpcClient::XrpcClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
XrpcClient::~XrpcClient() = default;

void XrpcClient::GetRepoStatus(const XrpcHost& host, std::string_view did, RepoStatusDone done) {
  const std::string query = "com.atproto.sync.getRepoStatus?did=" + EncodeQueryValue(did);
  auto read = [did = std::string(did), done = std::move(done)](XrpcOutcome outcome, const std::string& body) {
    RepoStatus status;
    if (outcome.status.ok()) {
      const json::object object = ParseObject(body);
      const json::value* const active = object.if_contains("active");
      if (Text(object, "did") != did || active == nullptr || !active->is_bool()) {
        outcome.status = UnavailableError("getRepoStatus: no status of " + did);
        outcome.retry_after_us = microseconds(std::chrono::minutes(1)).count();
      } else {
        status.active = active->get_bool();
        status.status = Text(object, "status");
        status.rev = Text(object, "rev");
      }
    }
    done(outcome, status);
  };
  impl_->Get(host, query, kMaxJsonBytes, "application/json", std::move(read));
}

void XrpcClient::GetRecord(const XrpcHost& host, std::string_view did, std::string_view collection,
                           std::string_view rkey, CarDone done) {
  const std::string query = "com.atproto.sync.getRecord?did=" + EncodeQueryValue(did) +
                            "&collection=" + EncodeQueryValue(collection) + "&rkey=" + EncodeQueryValue(rkey);
  auto hand_over = [done = std::move(done)](const XrpcOutcome& outcome, std::string body) {
    if (!outcome.status.ok()) body.clear();
    done(outcome, std::move(body));
  };
  impl_->Get(host, query, impl_->options().max_car_bytes, "application/vnd.ipld.car", std::move(hand_over));
}

}  // namespace penstock::net
