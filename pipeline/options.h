#pragma once

#include <cstddef>
#include <cstdint>

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "indexer/change_set.h"
#include "indexer/filter.h"

namespace penstock::pipeline {

// Bounds and intervals of the threads between the sources and the output. The defaults keep a service that follows the
// whole network with a narrow filter under 64 MB resident.
struct PipelineOptions {
  size_t workers = 1;                          // threads that check commits; an account always meets the same one
  size_t worker_queue_items = 1024;            // frames that wait for one worker
  size_t worker_queue_bytes = 8 * 1024 * 1024;
  size_t writer_queue_items = 4096;            // change sets that wait for the writer
  size_t writer_queue_bytes = 8 * 1024 * 1024;
  size_t batch_rows = 1000;                    // a batch is written when it has so many rows,
  size_t batch_bytes = 4 * 1024 * 1024;        // or so many bytes,
  int64_t batch_age_us = 200'000;              // or when its first change is this old
  int64_t cursor_interval_us = 2'000'000;      // how often a cursor that moved without rows is written
  int64_t retry_min_us = 100'000;              // waits between attempts while the output is unavailable
  int64_t retry_max_us = 5'000'000;
  indexer::Verification verify = indexer::Verification::kCid;

  const indexer::Filter* filter = nullptr;     // not owned, outlives the pipeline; as the three below
  const Clock* clock = nullptr;
  Counters* counters = nullptr;
  Logger log;
};

}  // namespace penstock::pipeline
