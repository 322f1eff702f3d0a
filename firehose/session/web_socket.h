#pragma once

// One WebSocket connection, over TCP or TLS: dialling in steps, whole messages in, liveness, an end that
// cannot hang. Internal to firehose/session. Everything happens on the executor that the socket was made
// with.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/error.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "firehose/frame_buffer.h"

namespace penstock::firehose {

namespace net = boost::asio;
using error_code = boost::beast::error_code;

enum class MessageKind : uint8_t {
  kBinary,
  kText,
  kTooLarge,  // the buffer holds its first kMaxFrameBytes; Drain() reads over the rest
};

// What a server answered that did not want to become a WebSocket.
struct HttpAnswer {
  int status = 0;  // 0: none, or 101
  std::string location, retry_after;
  std::string body;  // its beginning
};

class WebSocket : public std::enable_shared_from_this<WebSocket> {
 public:
  // `tls` must outlive it; null for plain TCP.
  static std::shared_ptr<WebSocket> Make(const net::any_io_executor& executor, net::ssl::context* tls);
  virtual ~WebSocket() = default;

  // The three steps of dialling, each to be done within `timeout`. References must live until the step is
  // done.
  virtual net::awaitable<error_code> Connect(const std::vector<net::ip::tcp::endpoint>& addresses,
                                             std::chrono::microseconds timeout) = 0;
  // Checks the certificate against `host` (a name, or an address as text). Does nothing without TLS.
  virtual net::awaitable<error_code> SecureFor(const std::string& host,
                                               std::chrono::microseconds timeout) = 0;
  // Not the error of an HTTP refusal tells what happened then, but `answer`.
  virtual net::awaitable<error_code> Upgrade(const std::string& host_header, const std::string& target,
                                             const std::string& user_agent, std::chrono::microseconds timeout,
                                             HttpAnswer* answer) = 0;

  // Reads one message, put together from its fragments, into `*buffer`, which must be empty.
  virtual net::awaitable<error_code> ReadMessage(FrameBuffer* buffer, MessageKind* kind) = 0;
  // Reads over the rest of a message that is too large; fails if that is more than `limit` bytes.
  virtual net::awaitable<error_code> Drain(size_t limit) = 0;

  // Sends pings from now on, and ends the connection when nothing at all (message, ping, pong) came for
  // `idle_timeout`.
  virtual void KeepAlive(std::chrono::microseconds ping_interval, std::chrono::microseconds idle_timeout) = 0;
  // While we read nothing because we are the ones who are busy, silence proves nothing.
  virtual void Pause(bool paused) = 0;
  // True if KeepAlive ended it.
  virtual bool idle() const = 0;
  // Code of the close frame that the peer sent; 0 without one.
  virtual uint16_t close_code() const = 0;

  // Says goodbye with `code`, and ends the connection after `timeout` whether the peer answers or not.
  virtual net::awaitable<void> Close(uint16_t code, std::chrono::microseconds timeout) = 0;
  // Ends it now; whatever waits on it fails.
  virtual void Abort() = 0;
};

}  // namespace penstock::firehose
