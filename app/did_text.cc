#include "app/did_text.h"

#include "app/inspect_text.h"
#include "base/status.h"
#include "fmt/format.h"
#include "identity/did_document.h"
#include "identity/plc_log.h"

namespace penstock::app {
namespace {

std::string OrNone(std::string_view text) { return text.empty() ? "none" : Printable(text); }

}  // namespace

void AppendKeyEntries(std::string_view did, std::string_view document, std::string* out) {
  bool found = false;
  for (const identity::KeyEntry& entry : identity::ReadKeyEntries(did, document)) {
    std::string verdict;
    if (!entry.key) {
      verdict = fmt::format("skipped: {}", Message(entry.status));
    } else {
      verdict = found ? "skipped: a valid one stands before it" : "the account's key";
      found = true;
    }
    Line(out, "method", fmt::format("{} {}: {}", OrNone(entry.id), OrNone(entry.type), verdict));
  }
}

bool AppendPlcLog(std::string_view did, std::string_view log, std::string* out) {
  const absl::StatusOr<identity::PlcLog> verified = identity::PlcLog::Verify(did, log);
  if (!verified.ok()) return Refused(verified.status(), {}, out);
  for (const identity::PlcVersion& version : verified->versions()) {
    const std::string what =
        version.tombstone ? "tombstone"
                          : fmt::format("key {}{}, pds {}, handle {}", OrNone(version.signing_key),
                                        version.key || version.signing_key.empty() ? "" : " (of no use)",
                                        OrNone(version.pds), OrNone(version.handle));
    Line(out, "operation",
         fmt::format("{} {}: {}", TimeText(version.created_us), CidText(version.cid.view()), what));
  }
  Line(out, "log",
       fmt::format("holds: {} in force, each signed as the one before it allows, from the DID's own hash on",
                   verified->versions().size()));
  return true;
}

}  // namespace penstock::app
