#include "net/url.h"

#include <algorithm>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <charconv>

#include "base/status.h"

namespace penstock::net {
namespace {

namespace urls = boost::urls;

constexpr size_t kMaxUrlBytes = 8192;

// For a message: what a peer wrote, bounded and without control characters.
absl::Status Malformed(std::string_view what, std::string_view text) {
  std::string shown(text.substr(0, 200));
  for (char& c : shown) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return InvalidInputError(std::string(what).append(": ").append(shown));
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

absl::StatusOr<Url> FromView(const urls::url_view& view, std::string_view text) {
  Url url;
  const std::string scheme = Lower(std::string(view.scheme()));
  if (scheme != "https" && scheme != "http") return Malformed("not an http or https URL", text);
  url.tls = scheme == "https";
  if (view.has_userinfo()) return Malformed("a URL must not carry credentials", text);
  url.host = Lower(view.host_address());
  if (url.host.empty()) return Malformed("no host", text);
  // What is percent-encoded there could hold anything, line breaks for the Host header included.
  const bool printable =
      std::all_of(url.host.begin(), url.host.end(), [](char c) { return c > 0x20 && c < 0x7f; });
  if (!printable) return Malformed("not a host name", text);
  url.port = url.tls ? 443 : 80;
  if (const std::string port(view.port()); !port.empty()) {
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), url.port);
    const bool whole = error == std::errc() && end == port.data() + port.size();
    if (!whole || url.port == 0) return Malformed("bad port", text);
  }
  url.target = std::string(view.encoded_target());
  if (url.target.empty() || url.target[0] != '/') url.target.insert(0, "/");
  return url;
}

}  // namespace

std::string Url::Authority() const {
  std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  if (!HasDefaultPort()) name.append(":").append(std::to_string(port));
  return name;
}

std::string Url::Origin() const { return (tls ? "https://" : "http://") + Authority(); }

absl::StatusOr<Url> ParseUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) return Malformed("URL too long", text);
  const auto view = urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  if (!view) return Malformed("not a URL", text);
  return FromView(*view, text);
}

absl::StatusOr<Url> ParseOrigin(std::string_view text) {
  ASSIGN_OR_RETURN(Url url, ParseUrl(text));
  if (url.target != "/" || text.find('#') != std::string_view::npos) {
    return Malformed("only scheme, host and port are allowed here", text);
  }
  return url;
}

absl::StatusOr<Url> ResolveReference(const Url& from, std::string_view location) {
  if (location.size() > kMaxUrlBytes) return Malformed("URL too long", location);
  const auto reference =
      urls::parse_uri_reference(boost::core::string_view(location.data(), location.size()));
  const std::string base_text = from.Text();
  const auto base = urls::parse_uri(base_text);
  urls::url resolved;
  if (!reference || !base || !urls::resolve(*base, *reference, resolved))
    return Malformed("bad redirect", location);
  return FromView(resolved, location);
}

std::string EncodeQueryValue(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<uint8_t>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~:/").find(c) != std::string_view::npos;
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

}  // namespace penstock::net
