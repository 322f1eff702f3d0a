#pragma once

// TLS as a client, the same for streams and for requests: 1.2 at least, the peer's certificate checked
// against the authorities and against the host that was asked for.

#include <openssl/ssl.h>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/core/error.hpp>
#include <string>

#include "absl/status/status.h"

namespace penstock::net {

// `ca_file`: PEM of the authorities to trust instead of the system's; empty: the system's. Errors:
// kInvalidArgument (the file), kInternal (no TLS 1.2).
absl::Status PrepareTlsClient(boost::asio::ssl::context* context, const std::string& ca_file);

// To be called before the handshake of `stream` (boost::asio or boost::beast ssl_stream): sends `host` as SNI
// if it is a name, and refuses a certificate that is not for it (a name, or an address as text).
template <typename TlsStream>
boost::beast::error_code ExpectHost(TlsStream& stream, const std::string& host) {
  boost::beast::error_code not_address;
  boost::asio::ip::make_address(host, not_address);
  // RFC 6066: SNI carries names only.
  if (not_address && SSL_set_tlsext_host_name(stream.native_handle(), host.c_str()) != 1) {
    return boost::asio::error::invalid_argument;
  }
  boost::beast::error_code ec;
  stream.set_verify_mode(boost::asio::ssl::verify_peer, ec);
  if (!ec) stream.set_verify_callback(boost::asio::ssl::host_name_verification(host), ec);
  return ec;
}

}  // namespace penstock::net
