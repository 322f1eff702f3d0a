// `penstock record`: raw frames of one relay or PDS into a folder of segments, nothing judged but the framing.

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>

#include "app/cli.h"
#include "app/common_options.h"
#include "app/progress.h"
#include "app/stop_signals.h"
#include "app/subscription_options.h"
#include "base/status.h"
#include "firehose/segment_writer.h"
#include "firehose/session/endpoint.h"
#include "firehose/session/subscription.h"

namespace penstock::app {
namespace {

namespace net = boost::asio;

// Takes every frame as it came. One thread: the I/O thread.
class RecordSink final : public firehose::StreamSink {
 public:
  RecordSink(firehose::SegmentWriter* writer, std::optional<int64_t> start, Logger log)
      : writer_(writer), position_(writer->cursor() ? writer->cursor() : start), log_(std::move(log)) {}

  bool Offer(std::string_view, firehose::DeliveryPtr* delivery) override {
    const firehose::Frame& frame = (*delivery)->frame;
    const absl::Status status = writer_->Append((*delivery)->buffer.bytes(), frame.seq, (*delivery)->buffer.arrival_us);
    if (IsTransient(status)) {
      // The disk is full or away: the stream waits, and goes on when there is room again.
      if (!std::exchange(waiting_, true)) Log(log_, LogLevel::kWarning, "recording waits: " + std::string(Message(status)));
      return false;
    }
    if (std::exchange(waiting_, false)) Log(log_, LogLevel::kInfo, "recording goes on");
    if (!status.ok()) Log(log_, LogLevel::kError, "a frame was not recorded: " + std::string(Message(status)));
    if (frame.seq) position_ = frame.seq;
    ++frames_;
    bytes_ += (*delivery)->buffer.size();
    delivery->reset();
    return true;
  }
  // The manifest shows holes by its seqs; the log says why.
  void OpenGap(std::string_view, firehose::StreamGap gap) override {
    Log(log_, LogLevel::kWarning, "gap: " + std::string(gap.reason) + " " + gap.detail);
  }
  void Quarantine(std::string_view, const firehose::PoisonFrame& frame) override {
    Log(log_, LogLevel::kError, "a frame after seq " + std::to_string(frame.position) + " is no frame and was left out: " +
                                    std::string(RejectName(frame.reject)));
    quarantined_position_ = frame.position;
  }
  bool IsQuarantined(std::string_view, int64_t position, Bytes) override { return position == quarantined_position_; }
  std::optional<int64_t> Position(std::string_view) override { return position_; }

  uint64_t frames() const { return frames_; }
  uint64_t bytes() const { return bytes_; }

 private:
  firehose::SegmentWriter* writer_;
  std::optional<int64_t> position_;
  Logger log_;
  int64_t quarantined_position_ = -1;
  bool waiting_ = false;
  uint64_t frames_ = 0, bytes_ = 0;
};

struct RecordCommand {
  std::string relay, folder;
  std::optional<int64_t> cursor;
  uint64_t max_frames = 0;
  int64_t seconds = 0;
  int64_t segment_mb = 256;
  int64_t segment_age_s = 3600;
  int zstd_level = 3;
  SubscriptionFlags subscription;

  absl::Status Execute() {
    if (relay.empty()) return InvalidInputError("--relay is missing: the host of a relay or PDS");
    if (folder.empty()) return InvalidInputError("--out is missing: the folder to record into");
    ASSIGN_OR_RETURN(const firehose::Endpoint endpoint, firehose::ParseEndpoint(relay));
    firehose::SegmentOptions segment;
    segment.segment_bytes = static_cast<uint64_t>(segment_mb) * 1024 * 1024;
    segment.segment_age_us = segment_age_s * 1'000'000;
    segment.zstd_level = zstd_level;
    ASSIGN_OR_RETURN(const std::unique_ptr<firehose::SegmentWriter> writer,
                     firehose::SegmentWriter::Open(folder, endpoint.Name(), segment));
    const Logger log = MakeLogger();
    const SystemClock clock;
    Counters counters;
    RecordSink sink(writer.get(), cursor, log);
    firehose::FrameBufferPool buffers;
    firehose::DeliveryRecycler deliveries(16);
    ASSIGN_OR_RETURN(firehose::SubscriptionOptions options, subscription.Make());
    options.hosts = {relay};
    firehose::SubscriptionResources resources = {&sink, &buffers, &deliveries, &counters, &clock, log};

    net::io_context io{1};
    ASSIGN_OR_RETURN(const std::unique_ptr<firehose::Subscription> stream,
                     firehose::Subscription::Create(io.get_executor(), std::move(options), std::move(resources)));
    const std::atomic<bool>& stop = StopOnSignals();
    net::steady_timer timer(io);
    absl::Status ended, ticked;
    bool over = false;
    const auto start = std::chrono::steady_clock::now();
    std::function<void()> tick = [&] {
      // A failing disk is met again at the next frame, which then waits.
      ticked = writer->Tick(clock.NowMicros());
      const bool enough = stop.load(std::memory_order_relaxed) || (max_frames != 0 && sink.frames() >= max_frames) ||
                          (seconds != 0 && std::chrono::steady_clock::now() - start >= std::chrono::seconds(seconds));
      if (enough) stream->Stop();
      timer.expires_after(std::chrono::milliseconds(50));
      timer.async_wait([&](const boost::system::error_code& error) {
        if (!error && !over) tick();
      });
    };
    tick();
    auto done = [&](std::exception_ptr error, absl::Status status) {
      if (error) std::rethrow_exception(error);
      ended = std::move(status);
      over = true;
      timer.cancel();
    };
    net::co_spawn(io, stream->Run(), std::move(done));
    io.run();
    RETURN_IF_ERROR(writer->Close());
    std::fprintf(stderr, "%s frames, %s bytes recorded; continue from seq %s\n", Grouped(sink.frames()).c_str(),
                 Grouped(sink.bytes()).c_str(), writer->cursor() ? std::to_string(*writer->cursor()).c_str() : "-");
    return ended;
  }
};

}  // namespace

void RegisterRecord(Cli& cli) {
  auto command = std::make_shared<RecordCommand>();
  CLI::App* verb = cli.AddVerb("record", "Record the raw frames of a relay or PDS into a folder; goes on where it ended", [command] {
    const absl::Status status = command->Execute();
    return status.ok() ? kExitDone : Report(status);
  });
  verb->add_option("--relay", command->relay, "wss://HOST of the relay or PDS")->type_name("URL");
  verb->add_option("--out", command->folder, "Folder of segments, arrival times and manifest.json; made if absent")->type_name("DIR");
  verb->add_option("--cursor", command->cursor, "Where a new recording begins: a seq, or 0 for the oldest event")
      ->check(CLI::Range(int64_t{0}, (int64_t{1} << 53) - 1))
      ->type_name("SEQ");
  verb->add_option("--max-frames", command->max_frames, "Stop after about so many frames; 0 = never")->capture_default_str()->type_name("N");
  verb->add_option("--seconds", command->seconds, "Stop after so long; 0 = never")
      ->capture_default_str()
      ->check(CLI::NonNegativeNumber)
      ->type_name("S");
  verb->add_option("--segment-mb", command->segment_mb, "Size at which a new segment begins, MiB uncompressed")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20))
      ->type_name("MIB");
  verb->add_option("--segment-age", command->segment_age_s, "Age at which a new segment begins, seconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 30))
      ->type_name("S");
  verb->add_option("--zstd-level", command->zstd_level, "Compression level")->capture_default_str()->check(CLI::Range(1, 19))->type_name("N");
  command->subscription.Bind(verb);
}

}  // namespace penstock::app
