#include "firehose/session/endpoint.h"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <charconv>

#include "base/status.h"
#include "firehose/printable.h"

namespace penstock::firehose {
namespace {

namespace urls = boost::urls;

absl::Status Malformed(std::string_view what, std::string_view text) {
  return InvalidInputError(std::string(what).append(": ").append(Printable(text)));
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// Scheme, host and port of `url`; `text` is for the message.
absl::StatusOr<Endpoint> FromUrl(const urls::url_view& url, std::string_view text) {
  Endpoint endpoint;
  const std::string scheme = Lower(std::string(url.scheme()));
  if (scheme == "wss" || scheme == "https") {
    endpoint.tls = true;
  } else if (scheme == "ws" || scheme == "http") {
    endpoint.tls = false;
  } else {
    return Malformed("not a ws, wss, http or https URL", text);
  }
  if (url.has_userinfo()) return Malformed("a stream's URL carries no credentials", text);
  endpoint.host = Lower(url.host_address());
  if (endpoint.host.empty()) return Malformed("no host", text);
  // What is percent-encoded there could hold anything, line breaks for the Host header included.
  const bool printable =
      std::all_of(endpoint.host.begin(), endpoint.host.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!printable) return Malformed("not a host name", text);
  endpoint.port = endpoint.tls ? 443 : 80;
  if (const std::string port(url.port()); !port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), endpoint.port);
    const bool whole = error == std::errc() && end == port.data() + port.size();
    if (!whole || endpoint.port == 0) return Malformed("bad port", text);
  }
  return endpoint;
}

}  // namespace

std::string Endpoint::Name() const {
  std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (port != (tls ? 443 : 80)) name.append(":").append(std::to_string(port));
  return name;
}

std::string Endpoint::Url() const { return (tls ? "wss://" : "ws://") + Name(); }

absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text) {
  std::string full(text);
  if (full.find("://") == std::string::npos) full = "wss://" + full;
  const auto url = urls::parse_uri(full);
  if (!url) return Malformed("not a URL or host name", text);
  if (url->has_query() || url->has_fragment()) {
    return Malformed("the cursor comes from the store; give only scheme, host and port", text);
  }
  const std::string path(url->encoded_path());
  if (!path.empty() && path != "/" && path != kSubscribePath) return Malformed("unexpected path", text);
  return FromUrl(*url, text);
}

absl::StatusOr<Endpoint> ParseRedirect(const Endpoint& from, std::string_view location) {
  const auto reference =
      urls::parse_uri_reference(boost::core::string_view(location.data(), location.size()));
  if (!reference) return Malformed("bad redirect", location);
  const std::string base_text = from.Url() + from.target;
  const auto base = urls::parse_uri(base_text);
  urls::url resolved;
  if (!base || !urls::resolve(*base, *reference, resolved)) return Malformed("bad redirect", location);
  ASSIGN_OR_RETURN(Endpoint endpoint, FromUrl(resolved, location));
  endpoint.target = std::string(resolved.encoded_target());
  if (endpoint.target.empty() || endpoint.target[0] != '/') endpoint.target.insert(0, "/");
  return endpoint;
}

}  // namespace penstock::firehose
