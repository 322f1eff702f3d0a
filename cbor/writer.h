#pragma once

// Canonical DAG-CBOR out: shortest heads, definite lengths. The caller writes map keys in canonical order
// (the reader refuses them otherwise, so a test that reads back finds out) or uses MapWriter below, which
// sorts.
//
// Appends to a std::string that the caller owns and may reuse. Not thread-safe.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "cbor/cid.h"
#include "cbor/reader.h"

namespace penstock::cbor {

class Writer {
 public:
  // Appends to `*out`, which must outlive the writer.
  explicit Writer(std::string* out) : out_(out) {}

  void Int(int64_t value);
  void Integer(const cbor::Integer& value);
  void Bool(bool value);
  void Null();
  // False, and nothing written, for what DRISL cannot hold: NaN, infinities, -0.0.
  [[nodiscard]] bool Float(double value);
  void Text(std::string_view text);  // must be valid UTF-8
  void ByteString(Bytes bytes);
  void Link(const CidView& cid);
  void Link(const Cid& cid) { Link(cid.view()); }
  void ArrayHeader(uint64_t count);
  void MapHeader(uint64_t pairs);
  // Bytes that are already one canonical item.
  void Raw(Bytes item);

 private:
  void Head(uint8_t major, uint64_t argument);

  std::string* out_;
};

// True if `a` comes before `b` among the keys of one map: shorter first, then byte order.
inline bool KeyBefore(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

// Collects pairs in any order and writes them as one map in canonical order. Keys must differ.
class MapWriter {
 public:
  // A writer for the value of `key`; use it before the next call.
  Writer Key(std::string_view key);
  // Appends the whole map to `*out` and empties this one for reuse.
  void Finish(std::string* out);
  size_t size() const { return pairs_.size(); }

 private:
  struct Pair {
    std::string key;
    size_t begin;  // of the value's bytes in values_; they end where the next pair's begin
  };
  std::vector<Pair> pairs_;
  std::string values_;
};

}  // namespace penstock::cbor
