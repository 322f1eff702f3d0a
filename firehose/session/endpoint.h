#pragma once

// Where a stream is served, from the forms in which people and HTTP redirects write it. Pure.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace penstock::firehose {

inline constexpr std::string_view kSubscribePath = "/xrpc/com.atproto.sync.subscribeRepos";

struct Endpoint {
  bool tls = true;
  std::string host;  // lower case; an IPv6 address without brackets
  uint16_t port = 443;
  std::string target{kSubscribePath};  // path and query, without the cursor unless a redirect put it there

  // host[:port], the port only if it is not the scheme's own: the Host header, and the name of the source
  // that keys its cursor, so ws:// and wss:// of one host are one source.
  std::string Name() const;
  // "wss://relay.example", for people.
  std::string Url() const;
  bool SameHost(const Endpoint& other) const { return host == other.host; }
};

// `text`: a URL with the scheme ws, wss, http or https, or a bare host[:port], which means wss. Its path is
// empty, "/" or the one of subscribeRepos. Errors: kInvalidArgument; among them credentials, a query or a
// fragment in the URL.
absl::StatusOr<Endpoint> ParseEndpoint(std::string_view text);

// Where `location`, the header of a redirect answered by `from`, leads to: any path and query; relative forms
// too.
absl::StatusOr<Endpoint> ParseRedirect(const Endpoint& from, std::string_view location);

}  // namespace penstock::firehose
