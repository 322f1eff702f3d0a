#pragma once

// An HttpClient on a thread of its own, whose answers a test can wait for.

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/counters.h"
#include "net/http_client.h"
#include "net/io_thread.h"

namespace penstock::test {

class Fetcher {
 public:
  explicit Fetcher(net::HttpClientOptions options) {
    auto client = net::HttpClient::Create(io_.executor(), std::move(options), &clock_, &counters_);
    EXPECT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
  }
  ~Fetcher() { Stop(); }

  std::future<net::HttpAnswer> Begin(net::HttpRequest request) {
    const auto shared = std::make_shared<net::HttpRequest>(std::move(request));
    const auto promise = std::make_shared<std::promise<net::HttpAnswer>>();
    std::future<net::HttpAnswer> future = promise->get_future();
    boost::asio::co_spawn(io_.executor(), client_->Get(*shared),
                          [shared, promise](std::exception_ptr error, net::HttpAnswer answer) {
                            if (error) return promise->set_exception(error);
                            promise->set_value(std::move(answer));
                          });
    return future;
  }
  net::HttpAnswer Get(net::HttpRequest request) { return Begin(std::move(request)).get(); }
  // Of a URL that the operator chose.
  net::HttpAnswer Get(std::string url) {
    net::HttpRequest request;
    request.url = std::move(url);
    request.trusted = true;
    return Get(std::move(request));
  }
  // Of a URL that a stranger chose.
  net::HttpAnswer GetForeign(std::string url) {
    net::HttpRequest request;
    request.url = std::move(url);
    return Get(std::move(request));
  }

  void Stop() {
    io_.Stop([this] { client_->Stop(); });
  }
  net::IoThread& io() { return io_; }
  net::HttpClient& client() { return *client_; }
  Counters& counters() { return counters_; }

 private:
  FixedClock clock_{1'700'000'000'000'000};
  Counters counters_;
  net::IoThread io_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace penstock::test
