#pragma once

// What an HTTP answer other than 101 means for who asked for a stream (protocol 1.1). Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::firehose {

enum class Refusal : uint8_t {
  kRedirect,   // 301, 302, 303, 307, 308
  kTemporary,  // 408, 425, 429, 5xx: back off, honour Retry-After
  kWrong,      // the other 4xx, and answers that make no sense here: nothing that a quick retry could cure
  kNever,      // 405, 426 (our request is wrong), 501 (there is no such stream): do not ask this host again
};
Refusal RefusalOf(int http_status);

// The value of a Retry-After header, seconds or an HTTP date (RFC 9110, all three forms), as time from now,
// not less than zero; nullopt for anything else. `now_us`: microseconds since the epoch.
std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, int64_t now_us);

}  // namespace penstock::firehose
