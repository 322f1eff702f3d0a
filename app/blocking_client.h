#pragma once

// Questions to the network of a verb that has nothing else to do meanwhile: each call waits for its answer.
// The rules and bounds are those of net/http_client.h.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "net/http_client.h"
#include "net/io_thread.h"

namespace penstock::app {

class BlockingClient {
 public:
  // Errors: kInvalidArgument (CA file, DNS servers). `clock` and `counters` outlive it.
  static absl::StatusOr<std::unique_ptr<BlockingClient>> Create(const net::HttpClientOptions& options,
                                                                const Clock* clock, Counters* counters);
  ~BlockingClient();
  BlockingClient(const BlockingClient&) = delete;
  BlockingClient& operator=(const BlockingClient&) = delete;

  net::HttpAnswer Get(const net::HttpRequest& request);

  struct Texts {
    net::DnsOutcome outcome = net::DnsOutcome::kFailed;
    std::vector<std::string> records;
  };
  Texts Txt(const std::string& name);

 private:
  BlockingClient() = default;

  net::IoThread io_;
  std::unique_ptr<net::HttpClient> http_;
};

}  // namespace penstock::app
