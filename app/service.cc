#include "app/service.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <exception>
#include <set>
#include <utility>

#include "app/backfill_options.h"
#include "app/patience.h"
#include "app/progress.h"
#include "app/resolver_options.h"
#include "base/status.h"
#include "firehose/session/endpoint.h"
#include "pipeline/pipeline.h"

namespace penstock::app {
namespace {

namespace net = boost::asio;
using boost::system::error_code;

constexpr auto kTick = std::chrono::milliseconds(50);

// Everything that lives on the I/O thread.
class Service {
 public:
  Service(const ServiceOptions& options, pipeline::Output* output)
      : options_(options), pipeline_(options.pipeline, output), timer_(io_) {}

  absl::Status Run() {
    RETURN_IF_ERROR(MakeSubscriptions());
    AddSources();
    if (options_.identities != nullptr) options_.identities->KeepWith(pipeline_.IdentityKeeper());
    RETURN_IF_ERROR(Patiently(options_.pipeline, options_.stop, [this] {
      return pipeline_.Start([this] { net::post(io_, [this] { Stop("writing ended"); }); });
    }));
    RETURN_IF_ERROR(StartBackfill());
    Progress progress(options_.name, &pipeline_, options_.show_progress ? options_.pipeline.log : Logger());
    progress_ = options_.show_progress ? &progress : nullptr;
    if (options_.backfill != nullptr) progress.ShowBackfill([this] { return options_.backfill->figures(); });
    Tick();
    for (size_t i = 0; i < subscriptions_.size(); ++i) Spawn(i);
    io_.run();
    progress.Finish();
    const absl::Status written = FinishBoth(options_.backfill, &pipeline_, options_.shutdown_timeout_us);
    LogEnd();
    RETURN_IF_ERROR(written);
    // A source that only an operator can help does not stop the others; when none is left, that is the result.
    RETURN_IF_ERROR(backfill_failed_);
    return stopping_ ? absl::OkStatus() : failed_;
  }

 private:
  absl::Status MakeSubscriptions() {
    for (const ServiceSource& source : options_.sources) {
      firehose::SubscriptionOptions subscription = options_.subscription;
      subscription.hosts = source.hosts;
      firehose::SubscriptionResources resources;
      resources.sink = &pipeline_.sink();
      resources.buffers = &pipeline_.buffers();
      resources.deliveries = &pipeline_.deliveries();
      resources.counters = options_.pipeline.counters;
      resources.clock = options_.pipeline.clock;
      resources.log = options_.pipeline.log;
      ASSIGN_OR_RETURN(auto made, firehose::Subscription::Create(io_.get_executor(), std::move(subscription), std::move(resources)));
      subscriptions_.push_back(std::move(made));
    }
    return absl::OkStatus();
  }

  void AddSources() {
    std::set<std::string> added;
    for (size_t i = 0; i < subscriptions_.size(); ++i) {
      const std::vector<std::string>& names = subscriptions_[i]->sources();
      for (size_t host = 0; host < names.size(); ++host) {
        const std::string& name = names[host];
        if (!added.insert(name).second) continue;
        std::optional<int64_t> cursor = options_.start_cursor;
        for (const indexer::SourceCursor& known : options_.cursors) {
          if (known.source == name) cursor = known.position;
        }
        pipeline::SourceOptions source;
        source.pds = options_.sources[i].pds;
        // The same host answers questions about its accounts.
        source.origin = OriginOf(options_.sources[i].hosts[std::min(host, options_.sources[i].hosts.size() - 1)]);
        pipeline_.AddSource(name, cursor, options_.quarantine, source);
      }
    }
  }

  absl::Status StartBackfill() {
    if (options_.backfill == nullptr) return absl::OkStatus();
    const auto on_failure = [this](const absl::Status& status) {
      net::post(io_, [this, status] {
        backfill_failed_.Update(status);
        Stop("backfill ended");
      });
    };
    const absl::Status started = Patiently(options_.pipeline, options_.stop, [&] {
      return options_.backfill->Start(pipeline_.imports(), on_failure);
    });
    if (!started.ok()) {
      (void)FinishBoth(options_.backfill, &pipeline_, options_.shutdown_timeout_us);
    }
    return started;
  }

  void Spawn(size_t index) {
    ++running_;
    // The completion handler runs on the I/O thread; what a coroutine throws (out of memory) ends the program.
    auto done = [this](std::exception_ptr error, absl::Status status) {
      if (error) std::rethrow_exception(error);
      if (!status.ok()) {
        Log(options_.pipeline.log, LogLevel::kError, "a source is stopped: " + std::string(Message(status)));
        failed_ = std::move(status);
      }
      if (--running_ == 0) End();
    };
    net::co_spawn(io_, subscriptions_[index]->Run(), std::move(done));
  }

  void Tick() {
    std::optional<int64_t> lag;
    for (const auto& subscription : subscriptions_) {
      const firehose::SubscriptionStatus status = subscription->status();
      if (status.lag_us && (!lag || *status.lag_us > *lag)) lag = status.lag_us;
    }
    if (progress_ != nullptr) progress_->Tick(lag);
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) Stop("stopping: asked to");
    if (options_.finished && !stopping_) {
      std::vector<indexer::SourceCursor> durable;
      for (const auto& source : pipeline_.sources()) {
        if (source.durable) durable.push_back({source.name, *source.durable});
      }
      if (options_.finished(durable)) Stop("");
    }
    timer_.expires_after(kTick);
    timer_.async_wait([this](const error_code& error) {
      if (!error && !ended_) Tick();
    });
  }

  void Stop(const char* why) {
    if (std::exchange(stopping_, true)) return;
    if (*why != '\0') Log(options_.pipeline.log, LogLevel::kInfo, why);
    for (const auto& subscription : subscriptions_) subscription->Stop();
  }

  // Nothing delivers any more: let io_.run() return.
  void End() {
    ended_ = true;
    timer_.cancel();
  }

  void LogEnd() const {
    for (const auto& source : pipeline_.sources()) {
      if (!source.received && !source.durable) continue;
      Log(options_.pipeline.log, LogLevel::kInfo,
          source.name + ": received up to " + (source.received ? std::to_string(*source.received) : "-") +
              ", durable up to " + (source.durable ? std::to_string(*source.durable) : "-"));
    }
  }

  const ServiceOptions& options_;
  pipeline::Pipeline pipeline_;
  net::io_context io_{1};
  net::steady_timer timer_;
  std::vector<std::unique_ptr<firehose::Subscription>> subscriptions_;
  Progress* progress_ = nullptr;
  size_t running_ = 0;
  bool stopping_ = false;
  bool ended_ = false;
  absl::Status failed_;           // why the last source ended
  absl::Status backfill_failed_;  // set on the I/O thread
};

}  // namespace

std::string OriginOf(const std::string& host) {
  const auto endpoint = firehose::ParseEndpoint(host);
  return endpoint.ok() ? (endpoint->tls ? "https://" : "http://") + endpoint->Name() : "";
}

absl::Status RunService(const ServiceOptions& options, pipeline::Output* output) {
  return Service(options, output).Run();
}

}  // namespace penstock::app
