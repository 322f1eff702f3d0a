#include "net/http_connection.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/error.hpp>
#include <memory>
#include <utility>

#include "net/address_rule.h"
#include "net/tls.h"

namespace penstock::net {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using beast::error_code;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::microseconds;

// Of one name; the rest is not tried.
constexpr size_t kMaxAddresses = 8;

asio::awaitable<void> Resolve(Connection& connection, Dns& dns, const HttpClientOptions& options, const Url& url,
                              SteadyClock::time_point deadline, std::vector<tcp::endpoint>* endpoints,
                              HttpAnswer* answer) {
  error_code not_address;
  const asio::ip::address address = asio::ip::make_address(url.host, not_address);
  if (!not_address) {
    endpoints->emplace_back(address, url.port);
    co_return;
  }
  struct Query {
    bool answered = false;
    DnsOutcome outcome = DnsOutcome::kFailed;
    std::vector<asio::ip::address> addresses;
    asio::steady_timer* wait = nullptr;
  };
  const auto query = std::make_shared<Query>();
  query->wait = &connection.wait;
  connection.wait.expires_at(std::min(deadline, SteadyClock::now() + options.connect_timeout));
  const auto done = [query](DnsOutcome outcome, std::vector<asio::ip::address> addresses) {
    query->answered = true;
    query->outcome = outcome;
    query->addresses = std::move(addresses);
    if (query->wait != nullptr) query->wait->cancel();
  };
  dns.Addresses(url.host, done);
  error_code ignored;
  co_await connection.wait.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  query->wait = nullptr;
  for (const asio::ip::address& found : query->addresses) {
    if (endpoints->size() < kMaxAddresses) endpoints->emplace_back(found, url.port);
  }
  if (!query->answered) {
    FailAnswer(answer, HttpFault::kTimeout, url.host + ": name resolution");
  } else if (query->outcome == DnsOutcome::kNotFound) {
    FailAnswer(answer, HttpFault::kNameNotFound, url.host);
  } else if (endpoints->empty()) {
    FailAnswer(answer, HttpFault::kDns, url.host);
  }
}

}  // namespace

Connection::Connection(const asio::any_io_executor& executor, asio::ssl::context* tls_context) : wait(executor) {
  if (tls_context != nullptr) {
    tls.emplace(executor, *tls_context);
  } else {
    plain.emplace(executor);
  }
}

void Connection::Abort() {
  aborted = true;
  wait.cancel();
  error_code ignored;
  tcp().socket().close(ignored);
}

void FailAnswer(HttpAnswer* answer, HttpFault fault, std::string_view detail) {
  answer->fault = fault;
  answer->detail = detail;
}

void FailStep(HttpAnswer* answer, HttpFault fault, const Url& url, const error_code& ec) {
  if (ec == beast::error::timeout) fault = HttpFault::kTimeout;
  if (ec == http::error::header_limit || ec == http::error::buffer_overflow) fault = HttpFault::kHeaderTooLarge;
  FailAnswer(answer, fault, url.Origin() + ": " + ec.message());
}

asio::awaitable<void> Dial(Connection& connection, Dns& dns, const HttpClientOptions& options, const Url& url,
                           bool open_to_all, SteadyClock::time_point deadline, HttpAnswer* answer) {
  std::vector<tcp::endpoint> endpoints;
  co_await Resolve(connection, dns, options, url, deadline, &endpoints, answer);
  if (!answer->ok()) co_return;
  // The addresses found here are the ones connected to: the name is not asked again, so it cannot change
  // its mind.
  if (!open_to_all) {
    std::erase_if(endpoints,
                  [](const tcp::endpoint& endpoint) { return !IsPublicAddress(endpoint.address()); });
    if (endpoints.empty()) FailAnswer(answer, HttpFault::kForbiddenAddress, url.Origin());
  }
  if (!answer->ok()) co_return;

  error_code ec = asio::error::host_unreachable;
  // Each address gets its share of the time, so that a dead first one leaves some to the second.
  const auto share = std::max<microseconds>(options.connect_timeout / static_cast<int>(endpoints.size()),
                                            options.connect_timeout / 4);
  const auto until = std::min(deadline, SteadyClock::now() + options.connect_timeout);
  for (const tcp::endpoint& endpoint : endpoints) {
    connection.tcp().expires_at(std::min(until, SteadyClock::now() + share));
    co_await connection.tcp().async_connect(endpoint, asio::redirect_error(asio::use_awaitable, ec));
    if (!ec || connection.aborted || SteadyClock::now() >= until) break;
    error_code ignored;
    connection.tcp().socket().close(ignored);
  }
  if (ec || connection.aborted) {
    FailStep(answer, HttpFault::kConnect, url, ec);
    co_return;
  }
  error_code ignored;
  connection.tcp().socket().set_option(tcp::no_delay(true), ignored);
  const tcp::endpoint peer = connection.tcp().socket().remote_endpoint(ec);
  if (ec || (!open_to_all && !IsPublicAddress(peer.address()))) {
    FailAnswer(answer, HttpFault::kForbiddenAddress, url.Origin());
    co_return;
  }
  if (!connection.tls.has_value()) co_return;
  ec = ExpectHost(*connection.tls, url.host);
  if (!ec) {
    connection.tcp().expires_at(std::min(deadline, SteadyClock::now() + options.tls_timeout));
    co_await connection.tls->async_handshake(asio::ssl::stream_base::client,
                                             asio::redirect_error(asio::use_awaitable, ec));
  }
  if (ec || connection.aborted) FailStep(answer, HttpFault::kTls, url, ec);
}

}  // namespace penstock::net
