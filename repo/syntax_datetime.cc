#include <array>

#include "repo/syntax.h"
#include "repo/syntax_chars.h"

namespace penstock::repo {
namespace {

constexpr size_t kMaxDatetimeBytes = 64;
constexpr size_t kMaxFractionDigits = 20;
constexpr int64_t kSecondsPerDay = 86400;
constexpr int64_t kMicrosPerSecond = 1'000'000;

// Reads fixed-width fields from the front of a text; the first mismatch sticks.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  int64_t Number(size_t digits) {
    int64_t value = 0;
    if (rest_.size() < digits || !chars::All(rest_.substr(0, digits), chars::kDigit)) return Fail();
    for (char c : rest_.substr(0, digits)) value = value * 10 + (c - '0');
    rest_.remove_prefix(digits);
    return value;
  }
  void Literal(char c) {
    if (!Take(c)) Fail();
  }
  bool Take(char c) {
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // All digits that follow; empty if none does.
  std::string_view Digits() {
    size_t count = 0;
    while (count < rest_.size() && chars::Is(rest_[count], chars::kDigit)) ++count;
    const std::string_view digits = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return digits;
  }
  bool AtEnd() const { return ok_ && rest_.empty(); }

 private:
  int64_t Fail() {
    ok_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool ok_ = true;
};

bool IsLeapYear(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int64_t DaysInMonth(int64_t year, int64_t month) {
  constexpr std::array<int8_t, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[static_cast<size_t>(month - 1)] + (month == 2 && IsLeapYear(year) ? 1 : 0);
}

// Days from 1970-01-01 to the first of January of `year`, which is not negative (proleptic Gregorian
// calendar).
int64_t DaysToYear(int64_t year) {
  // Leap years before `year`, the year 0 included.
  const int64_t before = year == 0 ? 0 : (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1;
  constexpr int64_t kDaysFromYear0To1970 = 719528;
  return year * 365 + before - kDaysFromYear0To1970;
}

int64_t DaysToDate(int64_t year, int64_t month, int64_t day) {
  int64_t days = DaysToYear(year);
  for (int64_t m = 1; m < month; ++m) days += DaysInMonth(year, m);
  return days + day - 1;
}

// The first six digits, as microseconds.
int64_t FractionMicros(std::string_view digits) {
  int64_t micros = 0;
  for (size_t i = 0; i < 6; ++i) micros = micros * 10 + (i < digits.size() ? digits[i] - '0' : 0);
  return micros;
}

}  // namespace

std::optional<Datetime> Datetime::Parse(std::string_view text) {
  if (text.size() > kMaxDatetimeBytes) return std::nullopt;
  Fields fields(text);
  const int64_t year = fields.Number(4);
  fields.Literal('-');
  const int64_t month = fields.Number(2);
  fields.Literal('-');
  const int64_t day = fields.Number(2);
  fields.Literal('T');
  const int64_t hour = fields.Number(2);
  fields.Literal(':');
  const int64_t minute = fields.Number(2);
  fields.Literal(':');
  const int64_t second = fields.Number(2);
  std::string_view fraction;
  if (fields.Take('.')) {
    fraction = fields.Digits();
    if (fraction.empty() || fraction.size() > kMaxFractionDigits) return std::nullopt;
  }
  int64_t offset_minutes = 0;
  if (!fields.Take('Z')) {
    const bool west = fields.Take('-');
    if (!west) fields.Literal('+');
    const int64_t hours = fields.Number(2);
    fields.Literal(':');
    const int64_t minutes = fields.Number(2);
    if (hours > 23 || minutes > 59) return std::nullopt;
    offset_minutes = hours * 60 + minutes;
    if (west && offset_minutes == 0) return std::nullopt;  // "-00:00" says that the zone is unknown
    if (west) offset_minutes = -offset_minutes;
  }
  if (!fields.AtEnd()) return std::nullopt;
  if (month < 1 || month > 12 || day < 1 || day > DaysInMonth(year, month)) return std::nullopt;
  if (hour > 23 || minute > 59 || second > 59) return std::nullopt;

  const int64_t seconds =
      DaysToDate(year, month, day) * kSecondsPerDay + hour * 3600 + (minute - offset_minutes) * 60 + second;
  if (seconds < DaysToYear(0) * kSecondsPerDay) return std::nullopt;  // before the year 0, after the offset
  return Datetime{seconds * kMicrosPerSecond + FractionMicros(fraction)};
}

}  // namespace penstock::repo
