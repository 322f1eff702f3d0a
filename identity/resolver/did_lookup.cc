#include "identity/resolver/did_lookup.h"

#include <utility>

#include "base/status.h"
#include "identity/did_document.h"
#include "identity/plc_log.h"

namespace penstock::identity {
namespace {

using Outcome = net::HostGate::Outcome;

// A host that says 429 or 503 without saying for how long.
constexpr auto kDefaultPause = std::chrono::seconds(5);

int64_t SteadyMicros() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::microseconds>(now).count();
}

// No answer about the DID: what that says about the host, and why.
void NoAnswer(const net::HttpAnswer& answer, DidLookupResult* result) {
  result->identity.reset();
  result->pause = answer.pause;
  if (!answer.ok()) {
    result->status = answer.ToStatus();
    result->host = answer.fault == net::HttpFault::kStopped ? Outcome::kAbandoned : Outcome::kFailed;
    return;
  }
  result->status = UnavailableError(answer.url + ": status " + std::to_string(answer.status) +
                                    (answer.body_too_large ? ", too large" : ""));
  if (answer.status == 429) {
    result->host = Outcome::kAnswered;  // it works, and asks for less
    if (result->pause.count() == 0) result->pause = kDefaultPause;
  } else {
    result->host = Outcome::kFailed;
  }
}

void Conclude(Identity identity, DidLookupResult* result) {
  result->identity = std::make_shared<const Identity>(std::move(identity));
  result->status = absl::OkStatus();
  result->host = Outcome::kAnswered;
}

// An error page in place of an answer: from a proxy or a portal in between, whatever its status.
bool IsPage(const net::HttpAnswer& answer) { return answer.content_type == "text/html"; }

}  // namespace

std::string DidLookup::WebUrl(const DidLocation& location) {
  const bool local = location.host == "localhost" || location.host.starts_with("localhost:");
  return (local ? "http://" : "https://") + location.host + "/.well-known/did.json";
}

boost::asio::awaitable<DidLookupResult> DidLookup::Run(const std::string& did, const DidLocation& location) {
  DidLookupResult result;
  result.asked_us = SteadyMicros();
  if (location.method == DidMethod::kWeb) {
    co_await AskWeb(did, location, &result);
  } else {
    co_await AskDirectory(did, &result);
    if (options_.plc_audit && result.identity != nullptr) {
      co_await Audit(did, &result);
      if (result.identity != nullptr && result.identity->fault == Reject::kPlcDocumentMismatch) {
        // The log may have grown between the two answers. Asked again in a row, they agree unless somebody
        // lies.
        co_await AskDirectory(did, &result);
        if (result.identity != nullptr) co_await Audit(did, &result);
      }
    }
  }
  if (result.identity != nullptr) {
    Identity timed = *result.identity;
    timed.asked_us = result.asked_us;
    timed.fetched_us = clock_->NowMicros();
    result.identity = std::make_shared<const Identity>(std::move(timed));
  }
  co_return result;
}

boost::asio::awaitable<void> DidLookup::AskDirectory(const std::string& did, DidLookupResult* result) {
  net::HttpRequest request;
  request.url = options_.directory + "/" + did;
  request.accept = "application/did+ld+json, application/json";
  request.max_body_bytes = kMaxDidDocumentBytes;
  request.timeout = options_.timeout;
  request.trusted = true;
  const net::HttpAnswer answer = co_await http_->Get(request);
  if (!answer.ok() || IsPage(answer) || answer.body_too_large) {
    NoAnswer(answer, result);
  } else if (answer.status == 200) {
    Identity identity = ParseDidDocument(did, answer.body);
    if (identity.fault == Reject::kDidDocumentInvalid && identity.document.empty()) {
      NoAnswer(answer, result);  // no JSON: that was not the directory speaking
      result->status = UnavailableError(answer.url + ": no JSON");
    } else {
      Conclude(std::move(identity), result);
    }
  } else if (answer.status == 404) {
    Conclude(NoIdentity(did, Reject::kDidNotFound), result);
  } else if (answer.status == 410) {
    Conclude(NoIdentity(did, Reject::kDidTombstoned), result);
  } else {
    NoAnswer(answer, result);
  }
}

// Turns the identity into a fault if the DID's signed log does not say the same.
boost::asio::awaitable<void> DidLookup::Audit(const std::string& did, DidLookupResult* result) {
  // Nothing was registered: there is no log to say otherwise.
  if (result->identity->fault == Reject::kDidNotFound) co_return;
  net::HttpRequest request;
  request.url = options_.directory + "/" + did + "/log/audit";
  request.max_body_bytes = kMaxPlcLogBytes;
  request.timeout = options_.timeout;
  request.trusted = true;
  const net::HttpAnswer answer = co_await http_->Get(request);
  if (!answer.ok() || answer.status != 200 || answer.body_too_large || IsPage(answer)) {
    NoAnswer(answer, result);
    co_return;
  }
  const absl::StatusOr<PlcLog> log = PlcLog::Verify(did, answer.body);
  absl::Status verdict = log.status();
  if (log.ok()) verdict = log->CheckDocument(*result->identity);
  const std::optional<Reject> fault = RejectOf(verdict);
  if (fault.has_value()) Conclude(NoIdentity(did, *fault), result);
}

boost::asio::awaitable<void> DidLookup::AskWeb(const std::string& did, const DidLocation& location,
                                               DidLookupResult* result) {
  net::HttpRequest request;
  request.url = WebUrl(location);
  request.accept = "application/did+ld+json, application/json";
  request.max_body_bytes = kMaxDidDocumentBytes;
  request.timeout = options_.timeout;
  const net::HttpAnswer answer = co_await http_->Get(request);
  if (answer.fault == net::HttpFault::kNameNotFound) {
    Conclude(NoIdentity(did, Reject::kDidNotFound), result);
  } else if (!answer.ok()) {
    NoAnswer(answer, result);
  } else if (answer.status == 200) {
    // Any web server answers something here; what is no document is the account's own fault.
    const bool document = !answer.body_too_large;
    Identity identity =
        document ? ParseDidDocument(did, answer.body) : NoIdentity(did, Reject::kDidDocumentInvalid);
    Conclude(std::move(identity), result);
  } else if (answer.status == 404 || answer.status == 410) {
    Conclude(NoIdentity(did, Reject::kDidNotFound), result);
  } else {
    NoAnswer(answer, result);
  }
}

}  // namespace penstock::identity
