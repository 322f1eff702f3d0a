#include "app/inspect_did.h"

#include <boost/json/parse.hpp>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>

#include "app/blocking_client.h"
#include "app/common_options.h"
#include "app/did_text.h"
#include "app/inspect_text.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/status.h"
#include "fmt/format.h"
#include "identity/did_document.h"
#include "identity/did_location.h"
#include "identity/plc_log.h"
#include "identity/resolver/did_lookup.h"

namespace penstock::app {
namespace {

namespace json = boost::json;
using identity::HandleState;
using identity::IdentityPtr;

// DNS and HTTPS with all their time-outs.
constexpr auto kHandlePatience = std::chrono::seconds(20);

// What the resolver says later of the handle.
struct Checked {
  std::mutex mutex;
  std::condition_variable told;
  IdentityPtr identity;  // guarded by mutex
};

std::string OrNone(const std::string& text) { return text.empty() ? "none" : text; }

// Where `did` is asked about; empty if nobody can be asked.
std::string PlaceOf(const std::string& did, const ResolverFlags& resolver) {
  const auto local =
      resolver.allow_private_addresses ? identity::LocalNames::kAllowed : identity::LocalNames::kRefused;
  const auto location = identity::LocateDid(did, local);
  if (!location.ok()) return "";
  return location->method == identity::DidMethod::kPlc ? resolver.directory + "/" + did
                                                       : identity::DidLookup::WebUrl(*location);
}

// Whose document or log `value` is; empty if it is neither.
std::string SubjectOf(const json::value& value) {
  const json::value* of = &value;
  if (const json::array* log = value.if_array()) of = log->empty() ? nullptr : &(*log)[0];
  const json::object* object = of != nullptr ? of->if_object() : nullptr;
  const json::value* did = object != nullptr ? object->if_contains(value.is_array() ? "did" : "id") : nullptr;
  return did != nullptr && did->is_string() ? std::string(did->get_string()) : std::string();
}

}  // namespace

void InspectDidCommand::Bind(CLI::App* verb) {
  resolver.Bind(verb);
  resolver.BindConnection(verb);
  verb->add_option("--seq", seq, "With --did-docs: as of this seq; by default as of the end")
      ->type_name("SEQ");
  verb->add_flag("--document", document, "Print the DID document, too");
}

bool InspectDidCommand::Tell(const identity::Identity& identity, std::string_view from,
                             std::string* out) const {
  Line(out, "did", Printable(identity.did));
  Line(out, "from", from);
  if (identity.fetched_us > 0) Line(out, "fetched", TimeText(identity.fetched_us));
  AppendKeyEntries(identity.did, identity.document, out);
  Line(out, "key",
       identity.key ? fmt::format("{} ({})", identity.key->did_key(), CurveName(identity.key->curve()))
                    : "none");
  Line(out, "pds", OrNone(identity.pds));
  Line(out, "handle",
       identity.handle.empty()
           ? "none"
           : fmt::format("{} ({})", identity.handle, HandleStateName(identity.handle_state)));
  if (document) Line(out, "document", OrNone(Printable(identity.document)));
  if (!identity.fault.has_value()) return true;
  Line(out, "REFUSED", RejectName(*identity.fault));
  return false;
}

absl::StatusOr<bool> InspectDidCommand::OfFile(const std::string& path, std::string* out) const {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFoundError("cannot read " + path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  // Bounds what is parsed here; the readers below have limits of their own.
  if (text.size() > identity::kMaxPlcLogBytes)
    return Refused(RejectError(Reject::kJsonMalformed, "too large"), {}, out);
  json::error_code error;
  const json::value value = json::parse(text, error);
  if (error) return Refused(RejectError(Reject::kJsonMalformed, error.message()), {}, out);
  const std::string did = SubjectOf(value);
  if (value.is_object()) return Tell(identity::ParseDidDocument(did, text), path, out);
  Line(out, "did", Printable(did));
  Line(out, "from", path);
  return AppendPlcLog(did, text, out);
}

absl::StatusOr<bool> InspectDidCommand::OfDid(const std::string& did, std::string* out) const {
  const SystemClock clock;
  Counters counters;
  Checked checked;
  pipeline::PipelineOptions options;
  options.clock = &clock;
  options.counters = &counters;
  options.log = MakeLogger();
  ASSIGN_OR_RETURN(const Identities identities, resolver.Make(options, {}));
  identities.KeepWith([&checked](const IdentityPtr& identity) {
    std::lock_guard lock(checked.mutex);
    checked.identity = identity;
    checked.told.notify_all();
  });

  const identity::Position position{"", seq >= 0 ? seq : std::numeric_limits<int64_t>::max()};
  const auto begin = std::chrono::steady_clock::now();
  const auto promise = std::make_shared<std::promise<identity::Answer>>();
  identities.resolver()->Resolve(did, position, identity::Ask::kCached,
                                 [promise](const identity::Answer& answer) { promise->set_value(answer); });
  const identity::Answer answer = promise->get_future().get();
  const auto took =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  RETURN_IF_ERROR(answer.status);
  IdentityPtr identity = answer.identity;

  const bool online = resolver.did_docs.empty();
  if (online && resolver.verify_handles && identity->key.has_value() && !identity->handle.empty()) {
    const auto until = std::chrono::steady_clock::now() + kHandlePatience;
    std::unique_lock lock(checked.mutex);
    while (checked.identity == nullptr && counters.Of("handle_unknown") == 0 &&
           std::chrono::steady_clock::now() < until) {
      checked.told.wait_for(lock, std::chrono::milliseconds(50));
    }
    if (checked.identity != nullptr) identity = checked.identity;
  }
  identities.KeepWith({});

  const std::string place = PlaceOf(did, resolver);
  const std::string from = !online         ? resolver.Origin()
                           : place.empty() ? "nowhere"
                                           : fmt::format("{}, {} ms", place, took.count());
  const bool good = Tell(*identity, from, out);
  if (!online || !resolver.plc_audit || !did.starts_with("did:plc:") ||
      identity->fault == Reject::kDidNotFound || place.empty()) {
    return good;
  }
  // The resolver has verified the log; here it is for people.
  ASSIGN_OR_RETURN(const std::unique_ptr<BlockingClient> client,
                   BlockingClient::Create(resolver.Http(), &clock, &counters));
  net::HttpRequest request;
  request.url = place + "/log/audit";
  request.max_body_bytes = identity::kMaxPlcLogBytes;
  request.trusted = true;
  const net::HttpAnswer log = client->Get(request);
  RETURN_IF_ERROR(log.ToStatus());
  if (log.status != 200 || log.body_too_large)
    return UnavailableError(fmt::format("{}: status {}", log.url, log.status));
  return AppendPlcLog(did, log.body, out) && good;
}

absl::StatusOr<bool> InspectDidCommand::Execute(const std::string& input, std::string* out) const {
  return input.starts_with("did:") ? OfDid(input, out) : OfFile(input, out);
}

}  // namespace penstock::app
