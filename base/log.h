#pragma once

// How the libraries speak to the operator: one line per change of state (connected, gap, database gone), never one per
// event. The program sets the receiver; tests may record the lines.

#include <cstdint>
#include <functional>
#include <string>
#include <utility>

namespace penstock {

enum class LogLevel : uint8_t { kInfo, kWarning, kError };

// Called from any thread.
using Logger = std::function<void(LogLevel level, std::string line)>;

// A logger that may be empty.
inline void Log(const Logger& logger, LogLevel level, std::string line) {
  if (logger) logger(level, std::move(line));
}

}  // namespace penstock
