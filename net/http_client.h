#pragma once

// GET over HTTP and HTTPS for questions whose server is not to be trusted (protocol 8.5): everything is
// bounded (time, header, body, redirects), nothing is sent but the question, and no request reaches an
// address, port or scheme that it must not, whatever a name resolves to and wherever a redirect leads. An
// answer with any status is an answer; what it means is the caller's business.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "net/dns.h"
#include "net/rate_limit.h"

namespace penstock::net {

class BodyPipe;

struct HttpClientOptions {
  // Names the software and a contact.
  std::string user_agent = "penstock";
  // PEM file of the certificate authorities to trust instead of the system's.
  std::string ca_file;
  DnsOptions dns;

  // Hosts that the operator did not choose (HttpRequest::trusted) are asked over TLS, on port 443, at public
  // addresses. With this at any address and port, and over plain HTTP. For tests and closed networks.
  bool allow_private_addresses = false;
  // "http://ADDRESS:PORT": where hosts that the operator did not choose are asked instead of where they are,
  // with their own name as Host; their URLs must not name a port. For tests, where one loopback server is
  // everybody. Needs allow_private_addresses.
  std::string gateway;

  std::chrono::microseconds connect_timeout = std::chrono::seconds(5);  // DNS and TCP, each
  std::chrono::microseconds tls_timeout = std::chrono::seconds(5);
  int max_redirects = 5;
  size_t max_header_bytes = 16 * 1024;

  // Connections kept open for the next request to the same origin.
  size_t max_idle_connections = 32;
  std::chrono::microseconds idle_timeout = std::chrono::seconds(20);
};

struct HttpRequest {
  std::string url;
  std::string accept = "application/json";
  size_t max_body_bytes = 64 * 1024;
  // From the call to the last byte, redirects and all.
  std::chrono::microseconds timeout = std::chrono::seconds(10);
  // Longest time without a byte from the host; zero: only the time-out counts.
  std::chrono::microseconds silence{};
  // The operator chose this URL: any address, port and scheme. Ends with a redirect to another origin.
  bool trusted = false;
  // For who counts requests, and asks the host's gate before each: no more than one goes out. A redirect is
  // reported (HttpAnswer::location) and not followed; a kept connection that turns out to be closed is kStale,
  // and the next call opens a new one.
  bool one_request = false;
  // With a pipe: the media types of a body that goes into it, of an answer with status 200. Any other body is
  // read as always.
  std::vector<std::string> piped_types;
};

// Why there is no answer.
enum class HttpFault : uint8_t {
  kNone,
  kBadUrl,            // malformed, or of a scheme or port that is not allowed
  kNameNotFound,      // conclusively
  kDns,               // no answer about the name
  kForbiddenAddress,  // the name leads to no public address
  kConnect,
  kTls,
  kTimeout,
  kProtocol,  // not HTTP, cut off ("cut_off: …", if it went into a pipe), or compressed although we did not ask for it
  kHeaderTooLarge,
  kRedirect,   // too many, malformed, or from TLS to none
  kStale,      // HttpRequest::one_request: no answer on a kept connection; ask again
  kAbandoned,  // the pipe's reader cancelled
  kStopped,
};
std::string_view HttpFaultName(HttpFault fault);  // "name_not_found"

struct HttpAnswer {
  HttpFault fault = HttpFault::kNone;
  std::string detail;  // of a fault: which host, which step

  // The rest holds when there is no fault.
  int status = 0;
  std::string url;           // that answered, after redirects
  std::string content_type;  // without parameters, lower case
  // Shorter than what the server meant to send if that is more than max_body_bytes: then it is empty.
  std::string body;
  bool body_too_large = false;
  // How long the host asked to be left alone: Retry-After, or RateLimit-Remaining of 0 with RateLimit-Reset;
  // zero if it did not. Bounded to a day.
  std::chrono::microseconds pause{};
  RateLimit rate;
  bool piped = false;  // the body went into the pipe, all of it
  // Of a redirect that was not followed (one_request): where it leads, absolute. Somebody else's choice, unless it
  // stays at its origin.
  std::string location;

  bool ok() const { return fault == HttpFault::kNone; }
  // OK, kDeadlineExceeded for kTimeout, kCancelled for kAbandoned, or kUnavailable.
  absl::Status ToStatus() const;
};

// Counts in `counters`: http_requests, and http_fault_<name>.
class HttpClient {
 public:
  // Errors: kInvalidArgument (CA file, DNS servers, gateway). `clock` reads HTTP dates.
  static absl::StatusOr<std::unique_ptr<HttpClient>> Create(boost::asio::any_io_executor executor,
                                                            HttpClientOptions options, const Clock* clock,
                                                            Counters* counters);
  // Nothing may be under way: Stop, and let the executor run out of work, first.
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // On the executor (one thread, or a strand). `request` must live until it is done.
  //
  // With `pipe`: a body of HttpRequest::piped_types goes into it as it comes, as much as it wants; while it is
  // full nothing is read. It is whole if there is no fault: as long as Content-Length said, or ended as chunks
  // end, or, with neither, up to the end of the connection. Ends early when the pipe is cancelled. The pipe's
  // End is the caller's business, with or without a fault.
  boost::asio::awaitable<HttpAnswer> Get(const HttpRequest& request, BodyPipe* pipe = nullptr);

  // TXT and addresses, for who needs the names as well. On the executor.
  Dns& dns();

  // Ends all that is under way with kStopped, and what comes later. On the executor.
  void Stop();

 private:
  class Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
