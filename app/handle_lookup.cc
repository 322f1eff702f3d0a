#include "app/handle_lookup.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "base/status.h"
#include "identity/did_location.h"
#include "identity/resolver/handle_check.h"
#include "net/io_thread.h"
#include "repo/syntax.h"

namespace penstock::app {
namespace {

constexpr size_t kMaxBodyBytes = 2048;  // protocol 6.4

struct Texts {
  net::DnsOutcome outcome = net::DnsOutcome::kFailed;
  std::vector<std::string> records;
};

// One client on a thread of its own, asked from another.
class Client {
 public:
  absl::Status Start(const net::HttpClientOptions& options, const Clock* clock, Counters* counters) {
    ASSIGN_OR_RETURN(http_, net::HttpClient::Create(io_.executor(), options, clock, counters));
    return absl::OkStatus();
  }
  ~Client() {
    io_.Stop([this] {
      if (http_ != nullptr) http_->Stop();
    });
  }

  // DNS has time-outs of its own.
  Texts Txt(const std::string& name) {
    const auto promise = std::make_shared<std::promise<Texts>>();
    boost::asio::post(io_.executor(), [this, name, promise] {
      http_->dns().Txt(name, [promise](net::DnsOutcome outcome, std::vector<std::string> records) {
        promise->set_value({outcome, std::move(records)});
      });
    });
    return promise->get_future().get();
  }

  net::HttpAnswer Get(const net::HttpRequest& request) {
    const auto promise = std::make_shared<std::promise<net::HttpAnswer>>();
    auto done = [promise](std::exception_ptr error, net::HttpAnswer answer) {
      if (error) answer.fault = net::HttpFault::kProtocol;
      promise->set_value(std::move(answer));
    };
    boost::asio::co_spawn(io_.executor(), http_->Get(request), std::move(done));
    return promise->get_future().get();
  }

 private:
  net::IoThread io_;
  std::unique_ptr<net::HttpClient> http_;
};

}  // namespace

absl::StatusOr<std::string> LookUpHandle(const std::string& handle, const net::HttpClientOptions& options, const Clock* clock,
                                         Counters* counters) {
  const auto local = options.allow_private_addresses ? identity::LocalNames::kAllowed : identity::LocalNames::kRefused;
  if (identity::HasReservedTld(handle, local)) return FailedPreconditionError(handle + " is under a name that can be nobody's");
  Client client;
  RETURN_IF_ERROR(client.Start(options, clock, counters));

  const Texts texts = client.Txt("_atproto." + handle);
  const identity::HandleRecords named = identity::ReadHandleRecords(texts.records);
  if (named.conflict) return FailedPreconditionError("DNS names several DIDs for " + handle);
  if (!named.did.empty()) {
    if (!repo::Did::Parse(named.did)) return FailedPreconditionError("what DNS names for " + handle + " is no DID");
    return named.did;
  }

  net::HttpRequest request;
  request.url = "https://" + handle + "/.well-known/atproto-did";
  request.accept = "text/plain";
  request.max_body_bytes = kMaxBodyBytes;
  const net::HttpAnswer answer = client.Get(request);
  const bool good = answer.ok() && answer.status >= 200 && answer.status < 300 && !answer.body_too_large;
  std::string did = good ? identity::ReadHandleBody(answer.body) : std::string();
  if (!did.empty()) return did;
  // A no counts only if both have said it.
  if (texts.outcome == net::DnsOutcome::kFailed) return UnavailableError("DNS does not answer for _atproto." + handle);
  if (!answer.ok() && answer.fault != net::HttpFault::kNameNotFound) return answer.ToStatus();
  if (answer.ok() && (answer.status == 429 || answer.status >= 500)) {
    return UnavailableError(answer.url + ": status " + std::to_string(answer.status));
  }
  return NotFoundError("neither DNS nor its host names a DID for " + handle);
}

}  // namespace penstock::app
