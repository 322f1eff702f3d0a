#pragma once

// The consumer in one thread: stream guard, intake, worker and a store in memory, one after the other on the
// caller's thread. What the pipeline's threads do to a stream, without the time that threads take: thousands
// of small runs a second.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "firehose/stream_guard.h"
#include "pipeline/options.h"
#include "pipeline/source.h"
#include "tests/support/pipeline/memory_store.h"

namespace penstock::test {

struct Arrival {
  std::string_view source;
  std::string_view message;  // one WebSocket message
};

// Not thread-safe. Answers of a resolver must come before Resolve returns: what is not known by then stays
// held.
class InlineConsumer {
 public:
  // `options`: filter, clock, counters and resolver set. All outlive the consumer.
  InlineConsumer(const pipeline::PipelineOptions& options, MemoryStore* store);

  // Takes the messages in their order and works until nothing is left to do. Each run starts as a process
  // does: with what the store holds. Returns what the guard said of each message.
  std::vector<firehose::StreamVerdict> Run(const std::vector<Arrival>& arrivals);

  // Who stands behind a source; by default a relay that cannot be asked.
  void Describe(std::string_view source, const pipeline::SourceOptions& options) {
    sources_[std::string(source)] = options;
  }

 private:
  pipeline::PipelineOptions options_;
  MemoryStore* const store_;
  firehose::FrameBufferPool buffers_;
  firehose::DeliveryRecycler deliveries_{64};
  indexer::ChangeSetRecycler changes_{64};
  std::map<std::string, pipeline::SourceOptions, std::less<>> sources_;
};

}  // namespace penstock::test
