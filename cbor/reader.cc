#include "cbor/reader.h"

#include <bit>
#include <cmath>
#include <string>
#include <type_traits>

#include "base/status.h"

namespace penstock::cbor {
namespace {

// Initial bytes of major type 7.
constexpr uint8_t kFalse = 0xf4, kTrue = 0xf5, kNull = 0xf6, kFloat64 = 0xfb;
constexpr uint64_t kTagLink = 42;

// One container that Skip is inside of. No default values: filling a stack of these would cost more than most
// blocks.
struct Level {
  uint64_t remaining;  // elements, or pairs
  LastKey last_key;    // of a map
  bool is_map;
};
static_assert(std::is_trivially_default_constructible_v<Level>);

template <typename T>
T LoadBigEndian(const uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  if constexpr (std::endian::native == std::endian::little) {
    if constexpr (sizeof(T) == 2) return __builtin_bswap16(value);
    if constexpr (sizeof(T) == 4) return __builtin_bswap32(value);
    if constexpr (sizeof(T) == 8) return __builtin_bswap64(value);
  }
  return value;
}

}  // namespace

bool Reader::ReadLongHead(Head* head) {
  const uint8_t* const start = at_;
  const size_t left = static_cast<size_t>(end_ - at_) - 1;
  uint64_t argument = 0, smallest = 0;
  size_t size = 0;
  switch (head->info) {
    case 24:
      size = 1;
      if (left < size) return FailAt(start, Reject::kCborTruncated);
      argument = start[1];
      smallest = 24;
      break;
    case 25:
      size = 2;
      if (left < size) return FailAt(start, Reject::kCborTruncated);
      argument = LoadBigEndian<uint16_t>(start + 1);
      smallest = 0x100;
      break;
    case 26:
      size = 4;
      if (left < size) return FailAt(start, Reject::kCborTruncated);
      argument = LoadBigEndian<uint32_t>(start + 1);
      smallest = 0x10000;
      break;
    case 27:
      size = 8;
      if (left < size) return FailAt(start, Reject::kCborTruncated);
      argument = LoadBigEndian<uint64_t>(start + 1);
      smallest = 0x100000000;
      break;
    case 31:
      return FailAt(start, Reject::kCborIndefinite);
    default:
      return FailAt(start, Reject::kCborReservedHead);
  }
  // The bits of a float are no number that could be written shorter.
  if (head->major != 7 && argument < smallest) return FailAt(start, Reject::kCborNonMinimal);
  head->argument = argument;
  at_ = start + 1 + size;
  return true;
}

bool Reader::CheckKeyOrder(const uint8_t* start, const LastKey& last, std::string_view key) {
  if (last.data == nullptr || key.size() > last.size) return true;
  if (key.size() < last.size) return FailAt(start, Reject::kCborMapKeyOrder);
  const int order = std::memcmp(last.data, key.data(), key.size());
  if (order < 0) return true;
  return FailAt(start, order == 0 ? Reject::kCborMapKeyDuplicate : Reject::kCborMapKeyOrder);
}

Kind Reader::Peek() const {
  if (at_ == end_) return Kind::kEnd;
  switch (*at_ >> 5) {
    case 0:
      return Kind::kUint;
    case 1:
      return Kind::kNegative;
    case 2:
      return Kind::kBytes;
    case 3:
      return Kind::kText;
    case 4:
      return Kind::kArray;
    case 5:
      return Kind::kMap;
    case 6:
      return Kind::kLink;
    default:
      switch (*at_) {
        case kFalse:
        case kTrue:
          return Kind::kBool;
        case kNull:
          return Kind::kNull;
        case kFloat64:
          return Kind::kFloat;
        default:
          return Kind::kInvalid;
      }
  }
}

bool Reader::ReadInteger(Integer* value) {
  if (ABSL_PREDICT_TRUE(at_ != end_) && (*at_ >> 5) > 1) return FailAt(at_, Reject::kCborUnexpectedType);
  Head head;
  if (!ReadHead(&head)) return false;
  *value = Integer{head.major == 1, head.argument};
  return true;
}

bool Reader::ReadInt64(int64_t* value) {
  const uint8_t* const start = at_;
  Integer integer;
  if (!ReadInteger(&integer)) return false;
  if (!integer.ToInt64(value)) return FailAt(start, Reject::kCborIntegerRange);
  return true;
}

bool Reader::ReadBool(bool* value) {
  if (at_ == end_) return FailAt(at_, Reject::kCborTruncated);
  if (*at_ != kFalse && *at_ != kTrue) return FailAt(at_, Reject::kCborUnexpectedType);
  *value = *at_++ == kTrue;
  return true;
}

bool Reader::ReadNull() {
  if (at_ == end_) return FailAt(at_, Reject::kCborTruncated);
  if (*at_ != kNull) return FailAt(at_, Reject::kCborUnexpectedType);
  ++at_;
  return true;
}

bool Reader::TakeFloat(const uint8_t* start, const Head& head, double* value) {
  if (head.info != 27) return FailAt(start, Reject::kCborUnsupportedFloat);
  const double number = std::bit_cast<double>(head.argument);
  if (!std::isfinite(number) || head.argument == 0x8000000000000000u) {
    return FailAt(start, Reject::kCborUnsupportedFloat);
  }
  *value = number;
  return true;
}

bool Reader::ReadFloat(double* value) {
  const uint8_t* const start = at_;
  if (at_ != end_ && (*at_ < 0xf9 || *at_ > kFloat64)) return FailAt(at_, Reject::kCborUnexpectedType);
  Head head;
  return ReadHead(&head) && TakeFloat(start, head, value);
}

bool Reader::ReadAnyLink(CidView* cid) {
  const uint8_t* const start = at_;
  Head head;
  if (!Expect(6, &head)) return false;
  if (head.argument != kTagLink) return FailAt(start, Reject::kCborUnsupportedTag);
  if (at_ == end_) return FailAt(start, Reject::kCborTruncated);
  // A byte string of 00 || CID must follow.
  if ((*at_ >> 5) != 2) return FailAt(start, Reject::kCborBadLink);
  Bytes content;
  if (!ReadBytes(&content)) return false;
  if (content.size() < 2 || content[0] != 0 || !CidView::Parse(content.subspan(1), cid)) {
    return FailAt(start, Reject::kCborBadLink);
  }
  if (limits_.dasl_cids_only && !cid->IsDasl()) return FailAt(start, Reject::kCidUnsupported);
  return true;
}

bool Reader::Skip(Bytes* item) {
  const uint8_t* const begin = at_;
  Level stack[kMaxDepth];  // not initialised: a level is written when it is entered
  const uint32_t max_depth = limits_.max_depth < kMaxDepth ? limits_.max_depth : kMaxDepth;
  uint32_t depth = 0;
  if (failed_) return false;
  for (;;) {
    const uint8_t* const start = at_;
    Head head;
    if (!ReadHead(&head)) return false;
    switch (head.major) {
      case 0:
      case 1:
        break;
      case 2:
        if (head.argument > static_cast<uint64_t>(end_ - at_)) return FailAt(start, Reject::kCborTruncated);
        at_ += head.argument;
        break;
      case 3: {
        std::string_view text;
        if (!TakeText(start, head.argument, &text)) return false;
        break;
      }
      case 4:
        if (!CheckCount(start, head.argument, 1)) return false;
        if (depth == max_depth) return FailAt(start, Reject::kCborTooDeep);
        stack[depth++] = Level{head.argument, {nullptr, 0}, false};
        break;
      case 5:
        if (!CheckCount(start, head.argument, 2)) return false;
        if (depth == max_depth) return FailAt(start, Reject::kCborTooDeep);
        stack[depth++] = Level{head.argument, {nullptr, 0}, true};
        break;
      case 6: {
        at_ = start;  // a link is read whole
        CidView cid;
        if (!ReadLink(&cid)) return false;
        break;
      }
      default:
        if (*start == kFalse || *start == kTrue || *start == kNull) break;
        if (head.info >= 25 && head.info <= 27) {
          double value;
          if (!TakeFloat(start, head, &value)) return false;
          break;
        }
        return FailAt(start, Reject::kCborUnsupportedSimple);
    }
    // Leave the containers that are full; then the next element, or the next key and its value.
    while (depth > 0 && stack[depth - 1].remaining == 0) --depth;
    if (depth == 0) break;
    Level& level = stack[depth - 1];
    --level.remaining;
    if (level.is_map) {
      std::string_view key;
      if (!TakeKey(&level.last_key, &key)) return false;
    }
  }
  if (item != nullptr) *item = Bytes(begin, static_cast<size_t>(at_ - begin));
  return true;
}

absl::Status Reader::status() const {
  if (!failed_) return absl::OkStatus();
  return RejectError(error_, "at byte " + std::to_string(offset()));
}

absl::Status CheckItem(Bytes block, const Limits& limits) {
  Reader reader(block, limits);
  if (!reader.Skip()) return reader.status();
  if (!reader.AtEnd()) (void)reader.Fail(Reject::kCborTrailingBytes);
  return reader.status();
}

}  // namespace penstock::cbor
