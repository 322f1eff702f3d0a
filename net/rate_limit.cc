#include "net/rate_limit.h"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "net/retry_after.h"

namespace penstock::net {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

constexpr seconds kMost = std::chrono::hours(24);
constexpr int64_t kSurelyATime = 1'000'000'000;  // as seconds: 2001, or 31 years from now

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::optional<int64_t> Integer(std::string_view text) {
  text = Trimmed(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The part of `*text` before `separator`; it and the separator are taken off.
std::string_view TakeUntil(char separator, std::string_view* text) {
  const size_t end = std::min(text->find(separator), text->size());
  const std::string_view part = text->substr(0, end);
  text->remove_prefix(std::min(end + 1, text->size()));
  return Trimmed(part);
}

std::optional<seconds> ResetOf(const RateHeaders& headers, int64_t now_us) {
  const std::optional<int64_t> reset = Integer(headers.reset);
  if (!reset.has_value()) return std::nullopt;
  const int64_t from_now = *reset >= kSurelyATime ? *reset - now_us / 1'000'000 : *reset;
  if (from_now <= 0) return std::nullopt;
  return std::min(seconds(from_now), kMost);
}

// One item: "3000;w=300", or "\"name\";q=3000;w=300" as later drafts have it. Requests per second; zero if it is neither.
double PolicyRate(std::string_view item) {
  std::optional<int64_t> quota = Integer(TakeUntil(';', &item)), window;
  while (!item.empty()) {
    std::string_view parameter = TakeUntil(';', &item);
    const std::string_view name = TakeUntil('=', &parameter);
    if (name == "w") window = Integer(parameter);
    if (name == "q") quota = Integer(parameter);
  }
  const bool sensible = quota.value_or(0) > 0 && window.value_or(0) > 0;
  return sensible ? static_cast<double>(*quota) / static_cast<double>(*window) : 0;
}

}  // namespace

microseconds ReadPause(const RateHeaders& headers, int64_t now_us) {
  std::optional<seconds> pause = ParseRetryAfter(headers.retry_after, now_us);
  if (!pause.has_value() && Integer(headers.remaining) == 0) pause = ResetOf(headers, now_us);
  if (!pause.has_value() || pause->count() <= 0) return microseconds(0);
  return std::min(*pause, kMost);
}

RateLimit ReadRateLimit(const RateHeaders& headers, int64_t now_us) {
  RateLimit limit;
  const std::optional<int64_t> remaining = Integer(headers.remaining);
  const std::optional<seconds> reset = ResetOf(headers, now_us);
  if (remaining.has_value() && reset.has_value()) {
    limit.remaining = static_cast<uint64_t>(*remaining);
    limit.reset = *reset;
  }
  std::string_view policies = headers.policy;
  while (!policies.empty()) {
    const double rate = PolicyRate(TakeUntil(',', &policies));
    if (rate > 0 && (limit.per_second == 0 || rate < limit.per_second)) limit.per_second = rate;
  }
  return limit;
}

}  // namespace penstock::net
