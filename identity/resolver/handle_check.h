#pragma once

// Whether a handle leads to the account that claims it (protocol 6.4; atproto.com/specs/handle,
// "Resolution"). DNS first, which wins; HTTPS where DNS says nothing.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/counters.h"
#include "identity/did_location.h"
#include "net/host_gate.h"
#include "net/http_client.h"

namespace penstock::identity {

enum class HandleVerdict : uint8_t {
  kValid,
  kInvalid,
  kUnknown,  // nobody answered: nothing is known that was not known before
};

// What DNS says: the DID if exactly one is named; `conflict` if several different ones are.
struct HandleRecords {
  std::string did;
  bool conflict = false;
};
// Of TXT records: those that begin with "did=" count, whatever else there is.
HandleRecords ReadHandleRecords(const std::vector<std::string>& records);

// The DID that the body of /.well-known/atproto-did names, white space around it ignored; empty if that is no
// DID.
std::string ReadHandleBody(std::string_view body);

struct HandleCheckOptions {
  LocalNames local = LocalNames::kRefused;  // handles under .test
  std::chrono::microseconds timeout =
      std::chrono::seconds(5);  // of the HTTPS question, and of the DNS question
  // All handles together are one host here: they are asked at DNS servers and at hosts that we know nothing
  // of.
  net::HostGateOptions gate{.per_second = 10, .burst = 50, .concurrency = 16, .max_waiting = 10'000};
};

// Counts: handle_valid, handle_invalid, handle_unknown, handle_dropped (the queue is full).
class HandleChecker {
 public:
  // Everything must outlive it, and happens on `executor`, which is that of `http`.
  HandleChecker(boost::asio::any_io_executor executor, HandleCheckOptions options, net::HttpClient* http,
                Counters* counters);

  // `done` is called once on the executor, or never if the queue is full or Stop came first.
  using Done = std::function<void(HandleVerdict)>;
  void Check(const std::string& did, const std::string& handle, Done done);

  size_t waiting() const { return gate_.waiting(); }
  void Stop();

 private:
  struct Question {
    std::string did, handle;
    Done done;
  };
  boost::asio::awaitable<HandleVerdict> Ask(const Question& question);
  boost::asio::awaitable<HandleVerdict> AskHost(const Question& question, bool dns_answered);

  const boost::asio::any_io_executor executor_;
  const HandleCheckOptions options_;
  net::HttpClient* const http_;
  Counters* const counters_;
  net::HostGate gate_;
  bool stopped_ = false;
};

}  // namespace penstock::identity
