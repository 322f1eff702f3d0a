#include "app/blocking_client.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <exception>
#include <future>
#include <utility>

#include "base/status.h"

namespace penstock::app {

absl::StatusOr<std::unique_ptr<BlockingClient>> BlockingClient::Create(const net::HttpClientOptions& options,
                                                                       const Clock* clock,
                                                                       Counters* counters) {
  std::unique_ptr<BlockingClient> client(new BlockingClient);
  ASSIGN_OR_RETURN(client->http_, net::HttpClient::Create(client->io_.executor(), options, clock, counters));
  return client;
}

BlockingClient::~BlockingClient() {
  io_.Stop([this] {
    if (http_ != nullptr) http_->Stop();
  });
}

net::HttpAnswer BlockingClient::Get(const net::HttpRequest& request) {
  const auto promise = std::make_shared<std::promise<net::HttpAnswer>>();
  auto done = [promise](std::exception_ptr error, net::HttpAnswer answer) {
    if (error) answer.fault = net::HttpFault::kProtocol;
    promise->set_value(std::move(answer));
  };
  boost::asio::co_spawn(io_.executor(), http_->Get(request), std::move(done));
  return promise->get_future().get();
}

BlockingClient::Texts BlockingClient::Txt(const std::string& name) {
  const auto promise = std::make_shared<std::promise<Texts>>();
  boost::asio::post(io_.executor(), [this, name, promise] {
    http_->dns().Txt(name, [promise](net::DnsOutcome outcome, std::vector<std::string> records) {
      promise->set_value({outcome, std::move(records)});
    });
  });
  return promise->get_future().get();
}

}  // namespace penstock::app
