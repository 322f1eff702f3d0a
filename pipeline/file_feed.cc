#include "pipeline/file_feed.h"

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "base/status.h"
#include "firehose/capture.h"
#include "firehose/stream_guard.h"

namespace penstock::pipeline {
namespace {

// Between two offers to a full pipeline: short against a batch, long against a queue's step.
constexpr std::chrono::microseconds kOfferAgain(200);

}  // namespace

absl::Status FeedFrames(const FileFeed& feed, Pipeline* pipeline, Counters* counters, const Logger& log) {
  ASSIGN_OR_RETURN(std::unique_ptr<firehose::CaptureReader> reader, firehose::CaptureReader::Open(feed.path));
  firehose::StreamSink& sink = pipeline->sink();
  firehose::StreamGuard guard(feed.source, firehose::StreamGuard::Mode::kFile, &sink, counters, log);
  guard.Start(sink.Position(feed.source));
  const auto stopped = [&] { return feed.stop != nullptr && feed.stop->load(std::memory_order_relaxed); };
  while (!stopped()) {
    firehose::DeliveryPtr delivery = pipeline->deliveries().Take();
    delivery->buffer = pipeline->buffers().Take();
    ASSIGN_OR_RETURN(const bool more, reader->Next(&delivery->buffer));
    if (!more) break;
    if (guard.OnMessage(delivery.get()).action == firehose::StreamAction::kDeliver) {
      while (!sink.Offer(feed.source, &delivery)) {
        if (stopped()) return absl::OkStatus();
        if (feed.tick) feed.tick();
        std::this_thread::sleep_for(kOfferAgain);
      }
    }
    if (feed.tick) feed.tick();
  }
  return absl::OkStatus();
}

}  // namespace penstock::pipeline
