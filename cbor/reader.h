#pragma once

// Pull reader over strict DAG-CBOR: DRISL (dasl.ing/drisl), protocol 7.1. Every item is checked as it is
// passed, also by Skip: shortest heads, definite lengths, valid UTF-8, text map keys in strict (length,
// bytes) order, tag 42 only, float64 only (finite, not -0.0). The record's tighter rules (no floats, 64-bit
// integers) are cbor/record_data.h.
//
// Allocates nothing; cheap to create; not thread-safe. Views that it hands out point into the input.
//
// The first failure sticks: every later call returns false, error() names the reason and offset() the byte at
// which the refused item starts. So a decoder may read a whole structure and look at ok() once.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/base/attributes.h"
#include "absl/base/optimization.h"
#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "cbor/cid.h"
#include "cbor/utf8.h"

namespace penstock::cbor {

// Bounds that hold whatever the bytes declare.
struct Limits {
  // Nested containers within one item. 32 is recommended for records, 64-128 for a generic decoder
  // (protocol 1.4). The bound keeps Skip's stack (kMaxDepth entries) fixed in size.
  uint32_t max_depth = 128;
  uint64_t max_elements = 131072;  // of one array, or pairs of one map (protocol 1.4)
  uint64_t max_key_bytes = 8192;   // (protocol 1.4)
  // Refuses links that are not CIDs of DASL (kCidUnsupported). Off, because a frame or a repository must not
  // fail for a link in somebody's record; what a record and the tree may link to is checked where they are
  // decoded.
  bool dasl_cids_only = false;
};
inline constexpr uint32_t kMaxDepth = 128;

enum class Kind : uint8_t {
  kUint,
  kNegative,
  kBytes,
  kText,
  kArray,
  kMap,
  kLink,
  kBool,
  kNull,
  kFloat,
  kEnd,
  kInvalid
};

// An integer of DRISL's whole range, -2^64 .. 2^64-1: `value` if not negative, otherwise -1 - `value`.
struct Integer {
  bool negative = false;
  uint64_t value = 0;

  // The value as int64_t; false if it does not fit.
  bool ToInt64(int64_t* out) const {
    if (value > static_cast<uint64_t>(INT64_MAX)) return false;
    *out = negative ? -1 - static_cast<int64_t>(value) : static_cast<int64_t>(value);
    return true;
  }
};

// The last key that was read of a map, for the order check; `data` is null before the first.
struct LastKey {
  const uint8_t* data;
  uint64_t size;
};

// Where a map is being read.
struct MapCursor {
  uint64_t remaining = 0;  // pairs
  LastKey last = {nullptr, 0};
};

class Reader {
 public:
  // Keeps a view of `input`.
  explicit Reader(Bytes input ABSL_ATTRIBUTE_LIFETIME_BOUND, const Limits& limits = {})
      : at_(input.data()), begin_(input.data()), end_(input.data() + input.size()), limits_(limits) {}

  // What the next item is, by its first byte; checks nothing else. kEnd when the input is used up or a read
  // has failed.
  Kind Peek() const;

  [[nodiscard]] bool ReadInteger(Integer* value);
  // Rejects with kCborIntegerRange outside of int64.
  [[nodiscard]] bool ReadInt64(int64_t* value);
  [[nodiscard]] bool ReadBool(bool* value);
  [[nodiscard]] bool ReadNull();
  [[nodiscard]] bool ReadFloat(double* value);
  [[nodiscard]] bool ReadBytes(Bytes* bytes);
  [[nodiscard]] bool ReadText(std::string_view* text);  // valid UTF-8
  [[nodiscard]] bool ReadLink(CidView* cid);            // tag 42

  // `*count` never exceeds what the remaining bytes could hold (one byte an element).
  [[nodiscard]] bool ReadArrayHeader(uint64_t* count);
  // Then NextKey and a value, until NextKey returns false: at the end of the map, or on an error (see ok()).
  [[nodiscard]] bool BeginMap(MapCursor* map);
  [[nodiscard]] bool NextKey(MapCursor* map, std::string_view* key);

  // One whole item, nested ones included, every rule checked. `*item`, when given, gets the item's bytes.
  [[nodiscard]] bool Skip(Bytes* item = nullptr);

  bool ok() const { return !failed_; }
  bool AtEnd() const { return at_ == end_ && !failed_; }
  // Bytes consumed so far; after a failure, the offset of the item that was refused.
  size_t offset() const { return static_cast<size_t>(at_ - begin_); }
  std::optional<Reject> error() const { return failed_ ? std::optional<Reject>(error_) : std::nullopt; }
  // OK, or the failure as a status with the offset in its text.
  absl::Status status() const;

  // Fails the reader from outside: a decoder that finds a rule of its own broken keeps to the sticky error.
  // Always returns false. The offset reported is the current one, or `at`, a value that offset() had before.
  bool Fail(Reject reject) { return FailAt(at_, reject); }
  bool Fail(Reject reject, size_t at) { return FailAt(begin_ + at, reject); }

 private:
  struct Head {
    uint8_t major;
    uint8_t info;
    uint64_t argument;
  };

  bool FailAt(const uint8_t* at, Reject reject) {
    if (!failed_) {
      failed_ = true;
      error_ = reject;
      at_ = at;
      end_ = at;  // nothing more can be read
    }
    return false;
  }

  // Reads a head in its shortest form; for major type 7 only the argument's bytes are taken, not judged.
  [[nodiscard]] bool ReadHead(Head* head);
  [[nodiscard]] bool ReadLongHead(Head* head);
  [[nodiscard]] bool Expect(uint8_t major, Head* head);
  [[nodiscard]] bool TakeText(const uint8_t* start, uint64_t size, std::string_view* text);
  [[nodiscard]] bool TakeKey(LastKey* last, std::string_view* key);
  [[nodiscard]] bool CheckKeyOrder(const uint8_t* start, const LastKey& last, std::string_view key);
  [[nodiscard]] bool TakeBlessedLink(CidView* cid);
  [[nodiscard]] bool ReadAnyLink(CidView* cid);
  [[nodiscard]] bool TakeFloat(const uint8_t* start, const Head& head, double* value);
  [[nodiscard]] bool CheckCount(const uint8_t* start, uint64_t count, uint64_t bytes_each);

  // at_ and end_ stay apart: GCC loads neighbours as one 16-byte pair right behind an 8-byte store to at_,
  // and waiting for that store costs more than reading the item.
  const uint8_t* at_;
  const uint8_t* begin_;
  const uint8_t* end_;
  Limits limits_;
  Reject error_{};
  bool failed_ = false;
};

// OK if `block` is exactly one strict item.
absl::Status CheckItem(Bytes block, const Limits& limits = {});

// ---- inline: the parts that every item passes through ----

inline bool Reader::ReadHead(Head* head) {
  if (ABSL_PREDICT_FALSE(at_ == end_)) return FailAt(at_, Reject::kCborTruncated);
  const uint8_t first = *at_;
  head->major = first >> 5;
  head->info = first & 0x1f;
  if (ABSL_PREDICT_TRUE(head->info < 24)) {
    head->argument = head->info;
    ++at_;
    return true;
  }
  // One byte of argument: most strings that are not short, and every link.
  if (ABSL_PREDICT_TRUE(head->info == 24 && end_ - at_ >= 2 && at_[1] >= 24)) {
    head->argument = at_[1];
    at_ += 2;
    return true;
  }
  return ReadLongHead(head);
}

inline bool Reader::Expect(uint8_t major, Head* head) {
  if (ABSL_PREDICT_TRUE(at_ != end_) && ABSL_PREDICT_FALSE((*at_ >> 5) != major)) {
    return FailAt(at_, Reject::kCborUnexpectedType);
  }
  return ReadHead(head);
}

inline bool Reader::CheckCount(const uint8_t* start, uint64_t count, uint64_t bytes_each) {
  // An element takes at least one byte, a pair two: a larger count is a lie, found before anybody reserves
  // memory.
  if (ABSL_PREDICT_FALSE(count > static_cast<uint64_t>(end_ - at_) / bytes_each)) {
    return FailAt(start, Reject::kCborTruncated);
  }
  if (ABSL_PREDICT_FALSE(count > limits_.max_elements)) return FailAt(start, Reject::kCborTooManyElements);
  return true;
}

inline bool Reader::TakeText(const uint8_t* start, uint64_t size, std::string_view* text) {
  if (ABSL_PREDICT_FALSE(size > static_cast<uint64_t>(end_ - at_)))
    return FailAt(start, Reject::kCborTruncated);
  const Bytes bytes(at_, static_cast<size_t>(size));
  const bool short_ascii = size <= 16 && IsShortAscii(at_, bytes.size());
  if (!short_ascii && ABSL_PREDICT_FALSE(!IsValidUtf8(bytes))) return FailAt(start, Reject::kCborBadUtf8);
  at_ += size;
  *text = AsText(bytes);
  return true;
}

inline bool Reader::TakeKey(LastKey* last, std::string_view* key) {
  const uint8_t* const start = at_;
  Head head;
  if (ABSL_PREDICT_TRUE(at_ != end_) && ABSL_PREDICT_FALSE((*at_ >> 5) != 3)) {
    return FailAt(at_, Reject::kCborMapKeyNotText);
  }
  if (!ReadHead(&head)) return false;
  if (ABSL_PREDICT_FALSE(head.argument > limits_.max_key_bytes)) {
    return FailAt(start, head.argument > static_cast<uint64_t>(end_ - at_) ? Reject::kCborTruncated
                                                                           : Reject::kCborMapKeyTooLong);
  }
  if (!TakeText(start, head.argument, key)) return false;
  // Shorter keys come first, equal lengths in byte order: most keys are longer than the last or differ at
  // once.
  const uint8_t* const data = reinterpret_cast<const uint8_t*>(key->data());
  const bool after =
      key->size() > last->size || (key->size() == last->size && !key->empty() && data[0] > last->data[0]);
  if (!after && ABSL_PREDICT_FALSE(!CheckKeyOrder(start, *last, *key))) return false;
  *last = LastKey{data, key->size()};
  return true;
}

inline bool Reader::ReadText(std::string_view* text) {
  const uint8_t* const start = at_;
  Head head;
  return Expect(3, &head) && TakeText(start, head.argument, text);
}

inline bool Reader::ReadBytes(Bytes* bytes) {
  const uint8_t* const start = at_;
  Head head;
  if (!Expect(2, &head)) return false;
  if (ABSL_PREDICT_FALSE(head.argument > static_cast<uint64_t>(end_ - at_)))
    return FailAt(start, Reject::kCborTruncated);
  *bytes = Bytes(at_, static_cast<size_t>(head.argument));
  at_ += head.argument;
  return true;
}

// A whole link to a blessed CID, as nearly all are. False without a failure: it may still be another good
// link.
inline bool Reader::TakeBlessedLink(CidView* cid) {
  constexpr uint8_t kBefore[] = {0xd8, 0x2a, 0x58, 0x25, 0x00};  // tag 42, byte string of 37, the prefix 00
  constexpr size_t kSize = sizeof kBefore + kBlessedCidSize;
  if (static_cast<size_t>(end_ - at_) < kSize || std::memcmp(at_, kBefore, sizeof kBefore) != 0 ||
      !CidView::ParseBlessed(at_ + sizeof kBefore, cid)) {
    return false;
  }
  at_ += kSize;
  return true;
}

inline bool Reader::ReadLink(CidView* cid) {
  return ABSL_PREDICT_TRUE(TakeBlessedLink(cid)) || ReadAnyLink(cid);
}

inline bool Reader::ReadArrayHeader(uint64_t* count) {
  const uint8_t* const start = at_;
  Head head;
  if (!Expect(4, &head) || !CheckCount(start, head.argument, 1)) return false;
  *count = head.argument;
  return true;
}

inline bool Reader::BeginMap(MapCursor* map) {
  const uint8_t* const start = at_;
  Head head;
  if (!Expect(5, &head) || !CheckCount(start, head.argument, 2)) return false;
  *map = MapCursor{head.argument};
  return true;
}

inline bool Reader::NextKey(MapCursor* map, std::string_view* key) {
  if (map->remaining == 0 || failed_) return false;
  --map->remaining;
  return TakeKey(&map->last, key);
}

}  // namespace penstock::cbor
