#pragma once

// The Retry-After header (RFC 9110, 10.2.3). Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::net {

// Its value, seconds or an HTTP date (all three forms), as time from now, not less than zero; nullopt for
// anything else. `now_us`: microseconds since the epoch. May be seconds::max(): cut it before converting.
std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, int64_t now_us);

}  // namespace penstock::net
