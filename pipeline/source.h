#pragma once

// One place that events come from, as the threads see it: its name, its watermark, what was quarantined from it.

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "firehose/watermark.h"

namespace penstock::pipeline {

// What stands behind a source.
struct SourceOptions {
  std::string origin;  // "https://host[:port]" for questions about accounts; empty if nobody can be asked (a file)
  bool pds = false;    // it is a PDS, and speaks only for the accounts whose document names it (protocol 3.6)
  std::string authority;  // host[:port] to compare with the document's; by default the source's name
};

struct Source {
  Source(std::string source_name, std::optional<int64_t> cursor, const SourceOptions& options = {})
      : name(std::move(source_name)),
        origin(options.origin),
        authority(!options.pds ? std::string() : options.authority.empty() ? name : options.authority),
        watermark(cursor),
        durable(cursor.value_or(-1)) {}

  const std::string name;  // key of the cursor: host[:port], or file:<sha256>
  const std::string origin;
  const std::string authority;  // empty for a relay
  firehose::Watermark watermark;

  // The last cursor that the output has made durable; -1 for none. Written by the writer, read by anybody.
  std::atomic<int64_t> durable;

  // (position, SHA-256 of the frame in hex) of frames to skip. Touched by the source's own thread only.
  std::set<std::pair<int64_t, std::string>> quarantined;
};

}  // namespace penstock::pipeline
