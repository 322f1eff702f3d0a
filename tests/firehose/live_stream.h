#pragma once

// A Subscription on a thread of its own, with the sink that records, and timeouts short enough for tests.

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "base/counters.h"
#include "firehose/session/subscription.h"
#include "tests/firehose/recording_sink.h"

namespace penstock::test {

inline firehose::SubscriptionOptions FastOptions(std::vector<std::string> hosts) {
  using std::chrono::milliseconds;
  firehose::SubscriptionOptions options;
  options.hosts = std::move(hosts);
  options.user_agent = "penstock-test (nobody@example.com)";
  options.resolve_timeout = milliseconds(2000);
  options.connect_timeout = milliseconds(2000);
  options.tls_timeout = milliseconds(2000);
  options.upgrade_timeout = milliseconds(2000);
  options.close_timeout = milliseconds(200);
  options.backoff_first = milliseconds(4);
  options.backoff_max = milliseconds(50);
  options.refused_pause = milliseconds(100);
  options.offer_retry = milliseconds(1);
  options.backoff_seed = 1;
  return options;
}

// Waits until `done`, at most 20 s.
inline bool Eventually(const std::function<bool()>& done) {
  for (int i = 0; i < 10'000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return false;
}

class LiveStream {
 public:
  LiveStream() = default;
  ~LiveStream() { End(); }

  void Start(std::vector<firehose::SubscriptionOptions> all) {
    results_.resize(all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      firehose::SubscriptionResources resources;
      resources.sink = &sink;
      resources.buffers = &buffers_;
      resources.deliveries = &deliveries_;
      resources.counters = &counters;
      resources.clock = &clock_;
      resources.log = [this](LogLevel, std::string line) {
        std::lock_guard lock(mutex_);
        lines_.push_back(std::move(line));
      };
      auto made = firehose::Subscription::Create(io_.get_executor(), std::move(all[i]), std::move(resources));
      if (!made.ok()) {
        results_[i] = made.status();
        continue;
      }
      subscriptions_.push_back(*std::move(made));
      boost::asio::co_spawn(io_, subscriptions_.back()->Run(),
                            [this, i](std::exception_ptr error, absl::Status status) {
                              std::lock_guard lock(mutex_);
                              results_[i] = error ? absl::InternalError("exception") : status;
                            });
    }
    thread_ = std::thread([this] { io_.run(); });
  }
  void Start(firehose::SubscriptionOptions options) {
    std::vector<firehose::SubscriptionOptions> all;
    all.push_back(std::move(options));
    Start(std::move(all));
  }

  // Stops all and waits for them.
  void End() {
    for (auto& subscription : subscriptions_) subscription->Stop();
    if (thread_.joinable()) thread_.join();
  }
  // The same; what the first of them returned.
  absl::Status Stop() {
    End();
    return result(0).value_or(absl::InternalError("did not end"));
  }
  // What Run returned, if it has.
  std::optional<absl::Status> result(size_t i = 0) {
    std::lock_guard lock(mutex_);
    return results_.at(i);
  }
  bool WaitForEnd(size_t i = 0) {
    return Eventually([&] { return result(i).has_value(); });
  }
  firehose::SubscriptionStatus status() { return subscriptions_.at(0)->status(); }
  bool WaitForCount(const std::string& name, uint64_t n) {
    return Eventually([&] { return counters.Of(name) >= n; });
  }
  bool LogHas(const std::string& text) {
    std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(),
                       [&](const std::string& line) { return line.find(text) != std::string::npos; });
  }

  RecordingSink sink;
  Counters counters;

 private:
  firehose::FrameBufferPool buffers_;
  firehose::DeliveryRecycler deliveries_{16};
  SystemClock clock_;
  boost::asio::io_context io_{1};
  std::vector<std::unique_ptr<firehose::Subscription>> subscriptions_;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::optional<absl::Status>> results_;  // guarded by mutex_
  std::vector<std::string> lines_;                    // guarded by mutex_
};

}  // namespace penstock::test
