#pragma once

// What the headers of an answer say about its host's limits: Retry-After, and RateLimit-Remaining, -Reset and -Policy as
// atproto servers send them (protocol 8.1). Pure.

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace penstock::net {

// The headers as they came; empty if absent.
struct RateHeaders {
  std::string retry_after, remaining, reset, policy;
};

struct RateLimit {
  // So many requests may still come within `reset` from now.
  std::optional<uint64_t> remaining;
  std::chrono::microseconds reset{};
  // What its policy allows on average; zero if it told none.
  double per_second = 0;
  // It answered 429.
  bool exceeded = false;
};

// How long the host asked to be left alone: Retry-After, or else the reset when nothing remains. Zero if it did not. At most a
// day. `now_us`: microseconds since the epoch.
std::chrono::microseconds ReadPause(const RateHeaders& headers, int64_t now_us);

// Headers that make no sense are as if they were absent. `exceeded` is not theirs to say. The reset, a Unix time at atproto
// servers and seconds from now in the drafts, is at most a day away. Of several policies the slowest counts.
RateLimit ReadRateLimit(const RateHeaders& headers, int64_t now_us);

}  // namespace penstock::net
