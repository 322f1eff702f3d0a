#pragma once

// A live source: com.atproto.sync.subscribeRepos of one relay or PDS, with an ordered list of stand-ins, one
// connection at a time (protocol section 1, docs/subscription.md). Frames go through a StreamGuard to a
// StreamSink; where to continue is always what the sink says, per host, because sequence numbers of two hosts
// have nothing to do with each other.
//
// Everything that happens is counted in `counters`, besides what StreamGuard counts:
//   connect_ok             a WebSocket was opened
//   reconnect_<cause>      an attempt or a connection ended:
//                            dns, connect, tls, handshake   a step of dialling failed or took too long
//                            http                           the upgrade was refused (and http_<status>)
//                            redirect                       one too many, malformed, or to where it must not
//                            lead closed, reset                  the peer closed; the link broke idle nothing
//                            came for too long, not even a pong protocol                       not a
//                            WebSocket stream any more framing, seq_not_increasing, consumer_too_slow,
//                            error_frame     as StreamGuard says
//   http_<status>          an answer to the upgrade other than 101, redirects included
//   failover               went on with the next host of the list
//   backpressure           had to wait for the sink (once each time it begins)

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "firehose/delivery.h"
#include "firehose/frame_buffer.h"
#include "firehose/stream_sink.h"

namespace penstock::firehose {

struct SubscriptionOptions {
  // In order of preference; the forms that ParseEndpoint takes. At least one.
  std::vector<std::string> hosts;
  // Names the software and a contact.
  std::string user_agent = "penstock";
  // PEM file of the certificate authorities to trust instead of the system's.
  std::string ca_file;

  // Each step of dialling: name resolution, TCP, TLS, HTTP upgrade.
  std::chrono::microseconds resolve_timeout = std::chrono::seconds(10);
  std::chrono::microseconds connect_timeout = std::chrono::seconds(5);
  std::chrono::microseconds tls_timeout = std::chrono::seconds(10);
  std::chrono::microseconds upgrade_timeout = std::chrono::seconds(15);
  // A quiet PDS answers our pings and is left alone; a dead one does not (protocol 1.1).
  std::chrono::microseconds ping_interval = std::chrono::seconds(30);
  std::chrono::microseconds idle_timeout = std::chrono::seconds(75);
  // For the goodbye of a connection that we end.
  std::chrono::microseconds close_timeout = std::chrono::seconds(2);

  // Wait before the next attempt: anything up to a ceiling that doubles from the first of these to the
  // second, and falls back when an event was delivered (not when a connection was made).
  std::chrono::microseconds backoff_first = std::chrono::seconds(1);
  std::chrono::microseconds backoff_max = std::chrono::seconds(60);
  uint64_t backoff_seed = 0;  // 0: from the machine
  // A host that refuses in a way that no quick retry cures is left alone for so long.
  std::chrono::microseconds refused_pause = std::chrono::minutes(10);
  // What a Retry-After is believed at most.
  std::chrono::microseconds max_retry_after = std::chrono::hours(1);
  // Attempts in a row without an event before the next host is tried.
  int failover_after = 3;
  // How often a full sink is asked again.
  std::chrono::microseconds offer_retry = std::chrono::milliseconds(3);

  // Redirects to another host are followed over TLS only and to public addresses only (protocol 8.5); with
  // this anywhere. For tests. Redirects within the host are always followed, and never from TLS to none.
  bool allow_private_redirects = false;
};

// What it works with; all must outlive it, and the deliveries that it made.
struct SubscriptionResources {
  StreamSink* sink = nullptr;
  FrameBufferPool* buffers = nullptr;
  DeliveryRecycler* deliveries = nullptr;
  Counters* counters = nullptr;
  const Clock* clock = nullptr;
  Logger log;
};

// For the progress line and the health page.
struct SubscriptionStatus {
  std::string host;  // the one in use: name of the source
  bool connected = false;
  std::optional<int64_t> last_seq;  // delivered from any host, this process
  int64_t last_frame_us = 0;        // arrival of the last message, microseconds since the epoch; 0: none yet
  uint64_t frames = 0;              // messages received
  uint64_t reconnects = 0;          // attempts and connections that ended
  // Arrival minus the event's own claim, of a recent event, microseconds; nullopt if none had a readable
  // time.
  std::optional<int64_t> lag_us;
};

class Subscription {
 public:
  // `executor`: one thread, or a strand; all work is done there, and the sink is called there. Errors:
  // kInvalidArgument (a host, the CA file).
  static absl::StatusOr<std::unique_ptr<Subscription>> Create(boost::asio::any_io_executor executor,
                                                              SubscriptionOptions options,
                                                              SubscriptionResources resources);
  // Run must have ended, or never begun.
  ~Subscription();
  Subscription(const Subscription&) = delete;
  Subscription& operator=(const Subscription&) = delete;

  // Follows the stream until Stop, then OK. Never gives up on what may pass. Call it once, on the executor.
  // Errors: kFailedPrecondition when only an operator can help: the cursor is ahead of the stream, or each
  // host refuses for good.
  boost::asio::awaitable<absl::Status> Run();

  // Ends Run: an open connection is closed properly, within close_timeout. Also before Run. From any thread,
  // any number of times.
  void Stop();

  // From any thread.
  SubscriptionStatus status() const;

  // Names of the hosts as sources (host[:port]), in order: the keys of their cursors.
  const std::vector<std::string>& sources() const;

 private:
  class Impl;
  explicit Subscription(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace penstock::firehose
