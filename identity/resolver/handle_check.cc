#include "identity/resolver/handle_check.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <utility>

#include "repo/syntax.h"

namespace penstock::identity {
namespace {

namespace asio = boost::asio;

const std::string kAll = "handles";     // the one host of the gate
constexpr size_t kMaxBodyBytes = 2048;  // protocol 6.4

}  // namespace

HandleRecords ReadHandleRecords(const std::vector<std::string>& records) {
  constexpr std::string_view kPrefix = "did=";
  HandleRecords read;
  for (const std::string& record : records) {
    if (!record.starts_with(kPrefix)) continue;
    const std::string did = record.substr(kPrefix.size());
    if (read.did.empty()) {
      read.did = did;
    } else if (read.did != did) {
      read.conflict = true;
    }
  }
  return read;
}

std::string ReadHandleBody(std::string_view body) {
  constexpr std::string_view kSpace = " \t\r\n";
  const size_t from = body.find_first_not_of(kSpace);
  if (from == std::string_view::npos) return {};
  body = body.substr(from, body.find_last_not_of(kSpace) - from + 1);
  return repo::Did::Parse(body) ? std::string(body) : std::string();
}

HandleChecker::HandleChecker(asio::any_io_executor executor, HandleCheckOptions options,
                             net::HttpClient* http, Counters* counters)
    : executor_(executor),
      options_(std::move(options)),
      http_(http),
      counters_(counters),
      gate_(std::move(executor), options_.gate) {}

void HandleChecker::Check(const std::string& did, const std::string& handle, Done done) {
  if (stopped_) return;
  if (HasReservedTld(handle, options_.local)) {
    counters_->Count("handle_invalid");
    return done(HandleVerdict::kInvalid);
  }
  const auto question = std::make_shared<Question>(Question{did, handle, std::move(done)});
  gate_.Enter(kAll, [this, question](const net::HostGate::Admission& admission) {
    if (!admission.status.ok()) return counters_->Count("handle_dropped");
    asio::co_spawn(executor_, Ask(*question),
                   [this, question](std::exception_ptr error, HandleVerdict verdict) {
                     gate_.Leave(kAll, net::HostGate::Outcome::kAnswered);
                     if (error || stopped_) return;
                     counters_->Count(verdict == HandleVerdict::kValid     ? "handle_valid"
                                      : verdict == HandleVerdict::kInvalid ? "handle_invalid"
                                                                           : "handle_unknown");
                     question->done(verdict);
                   });
  });
}

void HandleChecker::Stop() {
  stopped_ = true;
  gate_.Stop();
}

asio::awaitable<HandleVerdict> HandleChecker::Ask(const Question& question) {
  struct Texts {
    explicit Texts(const asio::any_io_executor& executor) : wait(executor) {}
    asio::steady_timer wait;
    net::DnsOutcome outcome = net::DnsOutcome::kFailed;
    std::vector<std::string> records;
  };
  const auto texts = std::make_shared<Texts>(executor_);
  texts->wait.expires_after(options_.timeout);
  const auto done = [texts](net::DnsOutcome outcome, std::vector<std::string> records) {
    texts->outcome = outcome;
    texts->records = std::move(records);
    texts->wait.cancel();
  };
  http_->dns().Txt("_atproto." + question.handle, done);
  boost::system::error_code ignored;
  co_await texts->wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));

  const HandleRecords read = ReadHandleRecords(texts->records);
  if (read.conflict) co_return HandleVerdict::kInvalid;
  if (!read.did.empty()) co_return read.did == question.did ? HandleVerdict::kValid : HandleVerdict::kInvalid;
  const bool answered = texts->outcome != net::DnsOutcome::kFailed;
  co_return co_await AskHost(question, answered);
}

// Where DNS named nobody. If it did not answer at all, only a yes counts: a no could be overruled by a
// record.
asio::awaitable<HandleVerdict> HandleChecker::AskHost(const Question& question, bool dns_answered) {
  net::HttpRequest request;
  request.url = "https://" + question.handle + "/.well-known/atproto-did";
  request.accept = "text/plain";
  request.max_body_bytes = kMaxBodyBytes;
  request.timeout = options_.timeout;
  const net::HttpAnswer answer = co_await http_->Get(request);
  const HandleVerdict no = dns_answered ? HandleVerdict::kInvalid : HandleVerdict::kUnknown;
  if (answer.fault == net::HttpFault::kNameNotFound) co_return no;
  if (!answer.ok() || answer.status == 429 || answer.status >= 500) co_return HandleVerdict::kUnknown;
  const bool good = answer.status >= 200 && answer.status < 300 && !answer.body_too_large;
  if (good && ReadHandleBody(answer.body) == question.did) co_return HandleVerdict::kValid;
  co_return no;
}

}  // namespace penstock::identity
