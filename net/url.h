#pragma once

// The URLs that may be asked: http and https, absolute, without credentials. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock::net {

struct Url {
  bool tls = true;
  std::string host;  // lower case; an IPv6 address without brackets
  uint16_t port = 443;
  std::string target = "/";  // path and query, percent-encoded

  bool HasDefaultPort() const { return port == (tls ? 443 : 80); }
  // host[:port], the port only if it is not the scheme's own: the Host header.
  std::string Authority() const;
  // "https://host[:port]".
  std::string Origin() const;
  std::string Text() const { return Origin() + target; }
  bool SameOrigin(const Url& other) const {
    return tls == other.tls && host == other.host && port == other.port;
  }
};

// A fragment is dropped. Errors: kInvalidArgument.
absl::StatusOr<Url> ParseUrl(std::string_view text);

// As ParseUrl, and nothing but scheme, host and port may be there (a trailing "/" apart).
absl::StatusOr<Url> ParseOrigin(std::string_view text);

// Where `location`, the header of a redirect answered by `from`, leads to; relative forms too.
absl::StatusOr<Url> ResolveReference(const Url& from, std::string_view location);

// `text` for a query: everything but unreserved characters, ":" and "/" as %XX.
std::string EncodeQueryValue(std::string_view text);

}  // namespace penstock::net
