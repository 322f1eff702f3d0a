#pragma once

// Where the stream's own log lines go: one line per *change* (connected, gap, stopped), never one per event.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace penstock::firehose {

enum class LogLevel : uint8_t { kInfo, kWarning, kError };

// Called on the thread that met the change. An empty function is allowed wherever one is taken.
using Logger = std::function<void(LogLevel level, std::string line)>;

// Text from a peer made fit for a log line: at most `limit` bytes of it, everything outside of printable ASCII as '?',
// so that nobody can forge lines or fill the log.
std::string Printable(std::string_view text, size_t limit = 200);

}  // namespace penstock::firehose
