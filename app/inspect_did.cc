#include "app/inspect_did.h"

#include <chrono>
#include <condition_variable>
#include <ctime>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <utility>

#include "app/common_options.h"
#include "app/inspect_text.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/status.h"
#include "identity/identity.h"

namespace penstock::app {
namespace {

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

std::string Time(int64_t micros) {
  const std::time_t seconds = micros / 1'000'000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::string OrNone(const std::string& text) { return text.empty() ? "none" : text; }

}  // namespace

void InspectDidCommand::Bind(CLI::App* verb) {
  resolver.Bind(verb);
  verb->add_option("--ca-file", resolver.ca_file, "Certificate authorities to trust instead of the system's, PEM")
      ->type_name("FILE");
  verb->add_option("--user-agent", resolver.user_agent, "What we call ourselves to the hosts that we ask")->type_name("TEXT");
  verb->add_option("--seq", seq, "With --did-docs: as of this seq; by default as of the end")->type_name("SEQ");
  verb->add_flag("--document", document, "Print the DID document, too");
}

absl::StatusOr<bool> InspectDidCommand::Execute(const std::string& did, std::string* out) const {
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
  std::promise<identity::Answer> promise;
  identities.resolver()->Resolve(did, position, identity::Ask::kCached,
                                 [&promise](const identity::Answer& answer) { promise.set_value(answer); });
  const identity::Answer answer = promise.get_future().get();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  RETURN_IF_ERROR(answer.status);
  IdentityPtr identity = answer.identity;

  const bool wait = resolver.did_docs.empty() && resolver.verify_handles && identity->key.has_value() && !identity->handle.empty();
  if (wait) {
    const auto until = std::chrono::steady_clock::now() + kHandlePatience;
    std::unique_lock lock(checked.mutex);
    while (checked.identity == nullptr && counters.Of("handle_unknown") == 0 && std::chrono::steady_clock::now() < until) {
      checked.told.wait_for(lock, std::chrono::milliseconds(50));
    }
    if (checked.identity != nullptr) identity = checked.identity;
  }
  identities.KeepWith({});

  Line(out, "did", identity->did);
  const bool at_host = resolver.did_docs.empty() && did.starts_with("did:web:");
  Line(out, "from", (at_host ? "its own host" : resolver.Origin()) + ", " + std::to_string(took.count()) + " ms");
  if (identity->fetched_us > 0) Line(out, "fetched", Time(identity->fetched_us));
  Line(out, "key", identity->key ? identity->key->did_key() + " (" + std::string(CurveName(identity->key->curve())) + ")" : "none");
  Line(out, "pds", OrNone(identity->pds));
  Line(out, "handle", identity->handle.empty() ? "none"
                                               : identity->handle + " (" + std::string(HandleStateName(identity->handle_state)) + ")");
  if (document) Line(out, "document", OrNone(Printable(identity->document)));
  if (!identity->fault.has_value()) return true;
  Line(out, "REFUSED", RejectName(*identity->fault));
  return false;
}

}  // namespace penstock::app
