#include "firehose/session/web_socket.h"

#include <algorithm>
#include <array>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <type_traits>

#include "net/tls.h"

namespace penstock::firehose {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using SteadyClock = net::steady_timer::clock_type;

// A common frame and its neighbourhood; larger ones grow by doubling.
constexpr size_t kReadBytes = 8 * 1024;
// Of a refusal's body, for the log.
constexpr size_t kBodyBytes = 512;

using PlainLayer = beast::tcp_stream;
using TlsLayer = beast::ssl_stream<beast::tcp_stream>;

std::string Text(beast::string_view view) { return std::string(view.data(), view.size()); }

template <typename Layer>
class WebSocketOver final : public WebSocket {
 public:
  // No permessage-deflate (the second template argument of stream): it costs several times the work of all
  // the rest.
  template <typename... Args>
  explicit WebSocketOver(const net::any_io_executor& executor, Args&&... args)
      : ws_(executor, std::forward<Args>(args)...), keepalive_(executor), deadline_(executor) {
    ws_.set_option(websocket::stream_base::timeout{websocket::stream_base::none(),
                                                   websocket::stream_base::none(), false});
    ws_.read_message_max(
        0);  // ReadMessage has its own bound, and must be able to read over what is beyond it
    ws_.control_callback([this](websocket::frame_type, beast::string_view) { heard_ = SteadyClock::now(); });
  }

  net::awaitable<error_code> Connect(const std::vector<net::ip::tcp::endpoint>& addresses,
                                     std::chrono::microseconds timeout) override {
    error_code ec;
    tcp().expires_after(timeout);
    co_await tcp().async_connect(addresses, net::redirect_error(net::use_awaitable, ec));
    if (!ec) {
      error_code ignored;
      tcp().socket().set_option(net::ip::tcp::no_delay(true), ignored);
    }
    co_return ec;
  }

  net::awaitable<error_code> SecureFor(const std::string& host, std::chrono::microseconds timeout) override {
    error_code ec;
    if constexpr (std::is_same_v<Layer, TlsLayer>) {
      TlsLayer& layer = ws_.next_layer();
      ec = penstock::net::ExpectHost(layer, host);
      if (ec) co_return ec;
      tcp().expires_after(timeout);
      co_await layer.async_handshake(net::ssl::stream_base::client,
                                     net::redirect_error(net::use_awaitable, ec));
    }
    co_return ec;
  }

  net::awaitable<error_code> Upgrade(const std::string& host_header, const std::string& target,
                                     const std::string& user_agent, std::chrono::microseconds timeout,
                                     HttpAnswer* answer) override {
    error_code ec;
    const auto decorate = [user_agent](websocket::request_type& request) {
      request.set(http::field::user_agent, user_agent);
    };
    ws_.set_option(websocket::stream_base::decorator(decorate));
    tcp().expires_after(timeout);
    websocket::response_type response;
    co_await ws_.async_handshake(response, host_header, target, net::redirect_error(net::use_awaitable, ec));
    if (ec == websocket::error::upgrade_declined) {
      answer->status = static_cast<int>(response.result_int());
      answer->location = Text(response[http::field::location]);
      answer->retry_after = Text(response[http::field::retry_after]);
      answer->body = response.body().substr(0, kBodyBytes);
    }
    if (ec) co_return ec;
    tcp().expires_never();  // from here on KeepAlive decides
    heard_ = SteadyClock::now();
    co_return ec;
  }

  net::awaitable<error_code> ReadMessage(FrameBuffer* buffer, MessageKind* kind) override {
    error_code ec;
    do {
      const size_t room = kMaxFrameBytes - buffer->size();
      if (room == 0) {
        // Full, and not done: either more is to come, or only the empty last fragment.
        const net::mutable_buffer probe(scratch_.data(), 1);
        const size_t more = co_await ws_.async_read_some(probe, net::redirect_error(net::use_awaitable, ec));
        if (ec) co_return ec;
        heard_ = SteadyClock::now();
        if (more > 0) {
          *kind = MessageKind::kTooLarge;
          co_return ec;
        }
        continue;
      }
      const std::span<uint8_t> space = buffer->Prepare(std::min(room, kReadBytes));
      const net::mutable_buffer target(space.data(), std::min(room, space.size()));
      const size_t bytes = co_await ws_.async_read_some(target, net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return ec;
      heard_ = SteadyClock::now();
      buffer->Commit(bytes);
    } while (!ws_.is_message_done());
    *kind = ws_.got_text() ? MessageKind::kText : MessageKind::kBinary;
    co_return ec;
  }

  net::awaitable<error_code> Drain(size_t limit) override {
    error_code ec;
    size_t drained = 0;
    while (!ws_.is_message_done()) {
      const net::mutable_buffer target(scratch_.data(), scratch_.size());
      drained += co_await ws_.async_read_some(target, net::redirect_error(net::use_awaitable, ec));
      if (ec) co_return ec;
      heard_ = SteadyClock::now();
      if (drained > limit) co_return error_code(websocket::error::message_too_big);
    }
    co_return ec;
  }

  void KeepAlive(std::chrono::microseconds ping_interval, std::chrono::microseconds idle_timeout) override {
    ping_interval_ = ping_interval;
    idle_timeout_ = idle_timeout;
    heard_ = SteadyClock::now();
    next_ping_ = heard_ + ping_interval_;
    ScheduleKeepAlive();
  }

  void Pause(bool paused) override {
    paused_ = paused;
    heard_ = SteadyClock::now();
  }
  bool idle() const override { return idle_; }
  uint16_t close_code() const override { return ws_.reason().code; }

  net::awaitable<void> Close(uint16_t code, std::chrono::microseconds timeout) override {
    const std::shared_ptr<WebSocket> self = shared_from_this();
    if (closing_) co_return;
    closing_ = true;
    if (ws_.is_open()) {
      keepalive_.cancel();
      deadline_.expires_after(timeout);
      deadline_.async_wait([self](error_code ec) {
        if (!ec) self->Abort();
      });
      error_code ignored;
      const websocket::close_reason reason(code);
      co_await ws_.async_close(reason, net::redirect_error(net::use_awaitable, ignored));
    }
    Abort();
  }

  void Abort() override {
    aborted_ = true;
    keepalive_.cancel();
    deadline_.cancel();
    error_code ignored;
    tcp().socket().close(ignored);
  }

 private:
  beast::tcp_stream& tcp() { return beast::get_lowest_layer(ws_); }

  void ScheduleKeepAlive() {
    keepalive_.expires_at(std::min(next_ping_, heard_ + idle_timeout_));
    keepalive_.async_wait(
        [self = std::static_pointer_cast<WebSocketOver>(shared_from_this())](error_code ec) {
          if (!ec && !self->aborted_ && !self->closing_) self->CheckAlive();
        });
  }

  void CheckAlive() {
    const auto now = SteadyClock::now();
    if (paused_) heard_ = now;
    if (now - heard_ >= idle_timeout_) {
      idle_ = true;
      Abort();
      return;
    }
    if (now >= next_ping_) {
      next_ping_ = now + ping_interval_;
      if (!ping_in_flight_) {  // one that cannot be sent is waited for by idle_timeout
        ping_in_flight_ = true;
        ws_.async_ping({}, [self = std::static_pointer_cast<WebSocketOver>(shared_from_this())](error_code) {
          self->ping_in_flight_ = false;
        });
      }
    }
    ScheduleKeepAlive();
  }

  websocket::stream<Layer, false> ws_;
  net::steady_timer keepalive_, deadline_;
  std::chrono::microseconds ping_interval_{}, idle_timeout_{};
  SteadyClock::time_point heard_, next_ping_;
  bool paused_ = false, idle_ = false, closing_ = false, aborted_ = false, ping_in_flight_ = false;
  std::array<uint8_t, 4096> scratch_;
};

}  // namespace

std::shared_ptr<WebSocket> WebSocket::Make(const net::any_io_executor& executor, net::ssl::context* tls) {
  if (tls == nullptr) return std::make_shared<WebSocketOver<PlainLayer>>(executor);
  return std::make_shared<WebSocketOver<TlsLayer>>(executor, *tls);
}

}  // namespace penstock::firehose
