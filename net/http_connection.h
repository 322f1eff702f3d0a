#pragma once

// A connection to a host, and how it is made by the rules on addresses (protocol 8.5). A part of net/http_client.cc.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/dns.h"
#include "net/http_client.h"
#include "net/url.h"

namespace penstock::net {

// Where a connection leads. `trusted` is part of it: one to a private address that the operator chose must
// not be used by a stranger's URL of the same name.
struct ConnectionKey {
  bool tls = false;
  std::string host;
  uint16_t port = 0;
  bool trusted = false;
  friend auto operator<=>(const ConnectionKey&, const ConnectionKey&) = default;
};

// Plain or TLS, with what it takes to end whatever waits on it.
struct Connection {
  // `tls_context` is null for a plain one.
  Connection(const boost::asio::any_io_executor& executor, boost::asio::ssl::context* tls_context);

  boost::beast::tcp_stream& tcp() { return tls ? boost::beast::get_lowest_layer(*tls) : *plain; }
  void Abort();

  std::optional<boost::beast::tcp_stream> plain;
  std::optional<boost::beast::ssl_stream<boost::beast::tcp_stream>> tls;
  boost::asio::steady_timer wait;  // for what is no socket: a name, room in a pipe
  boost::beast::flat_buffer buffer;
  uint64_t number = 0;    // of those under way
  bool reusable = false;  // the last answer was whole, and left the connection open
  bool aborted = false;
  std::chrono::steady_clock::time_point idle_since;
};

// Notes `fault`, or what `ec` makes of it (time-outs, stopping, limits), and where it happened.
void FailAnswer(HttpAnswer* answer, HttpFault fault, std::string_view detail);
void FailStep(HttpAnswer* answer, HttpFault fault, const Url& url, const boost::system::error_code& ec);

// Opens the connection: name, address, TCP, TLS; a fault goes into `*answer`. `open_to_all`: any address will do, else public
// ones only. All arguments outlive the coroutine.
boost::asio::awaitable<void> Dial(Connection& connection, Dns& dns, const HttpClientOptions& options, const Url& url,
                                  bool open_to_all, std::chrono::steady_clock::time_point deadline, HttpAnswer* answer);

}  // namespace penstock::net
