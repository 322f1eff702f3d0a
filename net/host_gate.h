#pragma once

// How hard a host may be pressed: requests per second, requests at once, and none at all while it is down or
// asked to be left alone. Who may not go on yet waits in a bounded queue; who would wait for a host that is
// down is told so at once.
//
// A host is down after a few failures in a row. Then one request after a backoff (with jitter, doubling) is
// let through to probe it; the rest is refused until a probe succeeded.
//
// The configured rate and burst are a ceiling that nothing exceeds. Below it a host is asked as it bears: slower after 429,
// not above the rate of its RateLimit-Policy, and not more than its RateLimit-Remaining until the reset.

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "net/rate_limit.h"

namespace penstock::net {

struct HostGateOptions {
  // Of each host: a bucket of `burst` requests that fills with `per_second`.
  double per_second = 5;
  double burst = 20;
  size_t concurrency = 8;
  size_t max_waiting = 10'000;
  std::chrono::microseconds max_wait{};  // who would wait longer for a turn is refused at once; zero: nobody
  // Of all hosts together. Queues hold a small callback per request.
  size_t total_concurrency = 64;
  size_t total_waiting = 50'000;
  // How many hosts are remembered; those with nothing under way are forgotten first.
  size_t max_hosts = 10'000;

  int failures_until_down = 3;  // in a row
  std::chrono::microseconds backoff_first = std::chrono::seconds(1);
  std::chrono::microseconds backoff_max = std::chrono::seconds(60);
  // A host that answers 429 and does not say for how long is left alone for a while, and gets half of its rate and
  // burst from then on, but not less than this; each other answer gives back a share of the configured rate.
  std::chrono::microseconds pause_after_limit = std::chrono::seconds(5);
  double least_per_second = 0.1;
  double recovery = 0.01;
  // What a Retry-After, or a RateLimit-Reset, is believed at most.
  std::chrono::microseconds max_pause = std::chrono::minutes(15);
  uint64_t seed = 0;  // of the jitter; 0: from the machine
};

class HostGate {
 public:
  HostGate(boost::asio::any_io_executor executor, HostGateOptions options);
  ~HostGate();
  HostGate(const HostGate&) = delete;
  HostGate& operator=(const HostGate&) = delete;

  // All of these on the executor (one thread, or a strand).

  struct Admission {
    absl::Status status;  // OK: go on, and Leave when done. Else kUnavailable: there is nothing to leave
    int64_t retry_after_us = 0;
    bool down = false;  // refused because the host fails, and not to spare it
  };
  // `done` is called once on the executor: at once, when it is this request's turn, or with a refusal (down,
  // paused, queue full, stopped).
  using Done = std::function<void(const Admission&)>;
  void Enter(const std::string& host, Done done);

  enum class Outcome : uint8_t {
    kAnswered,   // the host works, whatever it said
    kFailed,     // it did not answer, or not in a way that means anything
    kAbandoned,  // by us: says nothing about the host
  };
  // `pause`: it asked to be left alone for so long (Retry-After); zero: it did not. `limit`: what else it said of its limits.
  void Leave(const std::string& host, Outcome outcome, std::chrono::microseconds pause = {}, const RateLimit& limit = {});

  // True from the failures that brought it down until a probe succeeded, and while it asked to be left alone.
  bool IsDown(const std::string& host) const;
  // Until a request makes sense again; zero if now.
  std::chrono::microseconds RetryAfter(const std::string& host) const;

  size_t waiting() const;
  size_t in_flight() const;
  size_t hosts() const;

  // Refuses all that wait, and all that come.
  void Stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::net
