#include "identity/did_location.h"

#include <algorithm>
#include <charconv>

#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::identity {
namespace {

constexpr std::string_view kWebPrefix = "did:web:";
constexpr std::string_view kLocalhost = "localhost";
constexpr std::string_view kEscapedColon = "%3A";  // did:web writes the colon of a port so

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// "localhost" or "localhost%3A2583" -> "localhost:2583"; empty for anything else.
std::string LocalHost(std::string_view id) {
  if (!id.starts_with(kLocalhost)) return {};
  id.remove_prefix(kLocalhost.size());
  if (id.empty()) return std::string(kLocalhost);
  if (!id.starts_with(kEscapedColon)) return {};
  id.remove_prefix(kEscapedColon.size());
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + id.size(), port);
  if (error != std::errc() || end != id.data() + id.size() || port == 0) return {};
  return std::string(kLocalhost) + ":" + std::to_string(port);
}

}  // namespace

bool HasReservedTld(std::string_view domain, LocalNames local) {
  const std::string tld = Lower(domain.substr(domain.rfind('.') + 1));
  if (tld == "test") return local == LocalNames::kRefused;
  constexpr std::string_view kReserved[] = {"alt",     "arpa",  "example",   "internal",
                                            "invalid", "local", "localhost", "onion"};
  return std::find(std::begin(kReserved), std::end(kReserved), tld) != std::end(kReserved);
}

absl::StatusOr<DidLocation> LocateDid(std::string_view text, LocalNames local) {
  const auto did = repo::Did::Parse(text);
  if (!did) return RejectError(Reject::kSyntaxDid);
  if (did->method() == "plc") {
    if (!did->IsResolvable()) return RejectError(Reject::kSyntaxDid, "not a did:plc");
    return DidLocation{DidMethod::kPlc, {}};
  }
  if (did->method() != "web") return RejectError(Reject::kUnsupportedDidMethod);
  const std::string_view id = text.substr(kWebPrefix.size());
  if (local == LocalNames::kAllowed) {
    if (std::string host = LocalHost(id); !host.empty()) return DidLocation{DidMethod::kWeb, std::move(host)};
  }
  if (!did->IsResolvable() || HasReservedTld(id, local))
    return RejectError(Reject::kSyntaxDid, "a did:web that is no public host name");
  return DidLocation{DidMethod::kWeb, Lower(id)};
}

}  // namespace penstock::identity
