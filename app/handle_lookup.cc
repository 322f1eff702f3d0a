#include "app/handle_lookup.h"

#include <memory>

#include "app/blocking_client.h"
#include "base/status.h"
#include "identity/did_location.h"
#include "identity/resolver/handle_check.h"
#include "repo/syntax.h"

namespace penstock::app {
namespace {

constexpr size_t kMaxBodyBytes = 2048;  // protocol 6.4

}  // namespace

absl::StatusOr<std::string> LookUpHandle(const std::string& handle, const net::HttpClientOptions& options,
                                         const Clock* clock, Counters* counters) {
  const auto local =
      options.allow_private_addresses ? identity::LocalNames::kAllowed : identity::LocalNames::kRefused;
  if (identity::HasReservedTld(handle, local))
    return FailedPreconditionError(handle + " is under a name that can be nobody's");
  ASSIGN_OR_RETURN(const std::unique_ptr<BlockingClient> client,
                   BlockingClient::Create(options, clock, counters));
  const BlockingClient::Texts texts = client->Txt("_atproto." + handle);
  const identity::HandleRecords named = identity::ReadHandleRecords(texts.records);
  if (named.conflict) return FailedPreconditionError("DNS names several DIDs for " + handle);
  if (!named.did.empty()) {
    if (!repo::Did::Parse(named.did))
      return FailedPreconditionError("what DNS names for " + handle + " is no DID");
    return named.did;
  }

  net::HttpRequest request;
  request.url = "https://" + handle + "/.well-known/atproto-did";
  request.accept = "text/plain";
  request.max_body_bytes = kMaxBodyBytes;
  const net::HttpAnswer answer = client->Get(request);
  const bool good = answer.ok() && answer.status >= 200 && answer.status < 300 && !answer.body_too_large;
  std::string did = good ? identity::ReadHandleBody(answer.body) : std::string();
  if (!did.empty()) return did;
  // A no counts only if both have said it.
  if (texts.outcome == net::DnsOutcome::kFailed)
    return UnavailableError("DNS does not answer for _atproto." + handle);
  if (!answer.ok() && answer.fault != net::HttpFault::kNameNotFound) return answer.ToStatus();
  if (answer.ok() && (answer.status == 429 || answer.status >= 500)) {
    return UnavailableError(answer.url + ": status " + std::to_string(answer.status));
  }
  return NotFoundError("neither DNS nor its host names a DID for " + handle);
}

}  // namespace penstock::app
