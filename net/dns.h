#pragma once

// Questions to the domain name system, asked by c-ares: unlike getaddrinfo they can be cancelled, they know
// TXT, they tell "there is no such name" from "nobody answered", and no search domain is ever appended to a
// name that a stranger chose.

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace penstock::net {

struct DnsOptions {
  // "ADDRESS[:PORT],…"; empty: those of the system (/etc/resolv.conf), which are read again when they stop
  // answering.
  std::string servers;
  // Of the first attempt at each server; the second takes twice as long.
  std::chrono::milliseconds timeout{2000};
  int tries = 2;
};

enum class DnsOutcome : uint8_t {
  kFound,
  kNotFound,  // conclusively: no such name, or nothing of this type
  kFailed,    // nobody answered, or with an error; also after Stop
};

class Dns {
 public:
  // Errors: kInvalidArgument (servers), kInternal.
  static absl::StatusOr<std::unique_ptr<Dns>> Create(boost::asio::any_io_executor executor,
                                                     DnsOptions options);
  // Stop must have run, or nothing may be under way.
  ~Dns();
  Dns(const Dns&) = delete;
  Dns& operator=(const Dns&) = delete;

  // All of these on the executor (one thread, or a strand); `done` is called there, once, never before they
  // return.

  // IPv4 and IPv6 addresses of `host`, also from /etc/hosts, in the order to try them.
  using AddressesDone = std::function<void(DnsOutcome, std::vector<boost::asio::ip::address>)>;
  void Addresses(const std::string& host, AddressesDone done);

  // TXT records of `name`, each put together from its strings.
  using TxtDone = std::function<void(DnsOutcome, std::vector<std::string>)>;
  void Txt(const std::string& name, TxtDone done);

  // Answers all that is under way with kFailed, and what comes later.
  void Stop();

 private:
  class Impl;
  explicit Dns(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
