#include "pipeline/file_feed.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "base/status.h"
#include "firehose/capture.h"
#include "firehose/stream_guard.h"
#include "repo/syntax.h"

namespace penstock::pipeline {
namespace {

// Between two offers to a full pipeline: short against a batch, long against a queue's step.
constexpr std::chrono::microseconds kOfferAgain(200);

// One file, with the frame that comes next.
class Stream {
 public:
  Stream(const FileFeed& feed, Pipeline* pipeline, Counters* counters, const Logger& log)
      : feed_(feed),
        pipeline_(pipeline),
        guard_(feed_.source, firehose::StreamGuard::Mode::kFile, &pipeline->sink(), counters, log) {}

  absl::Status Open() {
    ASSIGN_OR_RETURN(reader_, firehose::CaptureReader::Open(feed_.path));
    guard_.Start(pipeline_->sink().Position(feed_.source));
    return Advance();
  }

  // To the next frame that is to be delivered; `next()` is null at the end.
  absl::Status Advance() {
    for (;;) {
      next_ = pipeline_->deliveries().Take();
      next_->buffer = pipeline_->buffers().Take();
      ASSIGN_OR_RETURN(const bool more, reader_->Next(&next_->buffer));
      if (!more) {
        next_.reset();
        return absl::OkStatus();
      }
      if (guard_.OnMessage(next_.get()).action != firehose::StreamAction::kDeliver) continue;
      int64_t time = next_->buffer.arrival_us;
      if (time == 0) {
        if (const auto said = repo::Datetime::Parse(next_->frame.time)) time = said->micros;
      }
      time_us_ = std::max(time_us_, time);
      return absl::OkStatus();
    }
  }

  firehose::DeliveryPtr& next() { return next_; }
  int64_t time_us() const { return time_us_; }
  const std::string& source() const { return feed_.source; }

 private:
  const FileFeed& feed_;
  Pipeline* const pipeline_;
  firehose::StreamGuard guard_;
  std::unique_ptr<firehose::CaptureReader> reader_;
  firehose::DeliveryPtr next_;
  int64_t time_us_ = 0;  // of next_, never less than of one before it
};

}  // namespace

absl::Status FeedFrames(const std::vector<FileFeed>& feeds, const FeedOptions& options, Pipeline* pipeline, Counters* counters,
                        const Logger& log) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (const FileFeed& feed : feeds) {
    streams.push_back(std::make_unique<Stream>(feed, pipeline, counters, log));
    RETURN_IF_ERROR(streams.back()->Open());
  }
  const auto stopped = [&] { return options.stop != nullptr && options.stop->load(std::memory_order_relaxed); };
  while (!stopped()) {
    Stream* earliest = nullptr;
    for (const auto& stream : streams) {
      if (stream->next() && (earliest == nullptr || stream->time_us() < earliest->time_us())) earliest = stream.get();
    }
    if (earliest == nullptr) break;
    while (!pipeline->sink().Offer(earliest->source(), &earliest->next())) {
      if (stopped()) return absl::OkStatus();
      if (options.tick) options.tick();
      std::this_thread::sleep_for(kOfferAgain);
    }
    RETURN_IF_ERROR(earliest->Advance());
    if (options.tick) options.tick();
  }
  return absl::OkStatus();
}

}  // namespace penstock::pipeline
