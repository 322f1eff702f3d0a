#include "net/retry_after.h"

#include <charconv>
#include <ctime>
#include <string>

namespace penstock::net {

std::optional<std::chrono::seconds> ParseRetryAfter(std::string_view value, int64_t now_us) {
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  while (!value.empty() && value.back() == ' ') value.remove_suffix(1);
  if (value.empty()) return std::nullopt;

  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
  if (end == value.data() + value.size()) {
    // More digits than fit mean "for ever"; the caller has a bound for that.
    if (error == std::errc::result_out_of_range) return std::chrono::seconds::max();
    if (error == std::errc() && seconds >= 0) return std::chrono::seconds(seconds);
    return std::nullopt;
  }

  const std::string text(value);
  for (const char* format :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    std::tm time{};
    const char* rest = strptime(text.c_str(), format, &time);
    if (rest == nullptr || *rest != '\0') continue;
    const int64_t from_now = static_cast<int64_t>(timegm(&time)) - now_us / 1'000'000;
    return std::chrono::seconds(from_now > 0 ? from_now : 0);
  }
  return std::nullopt;
}

}  // namespace penstock::net
