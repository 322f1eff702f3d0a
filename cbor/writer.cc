#include "cbor/writer.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace penstock::cbor {

void Writer::Head(uint8_t major, uint64_t argument) {
  const uint8_t type = static_cast<uint8_t>(major << 5);
  char head[9];
  size_t size;
  if (argument < 24) {
    head[0] = static_cast<char>(type | argument);
    size = 1;
  } else {
    const int width = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffffffff ? 2 : 3;
    const int bytes = 1 << width;
    head[0] = static_cast<char>(type | (24 + width));
    for (int i = 0; i < bytes; ++i) head[1 + i] = static_cast<char>(argument >> (8 * (bytes - 1 - i)));
    size = static_cast<size_t>(1 + bytes);
  }
  out_->append(head, size);
}

void Writer::Int(int64_t value) {
  if (value >= 0) {
    Head(0, static_cast<uint64_t>(value));
  } else {
    Head(1, ~static_cast<uint64_t>(value));
  }
}

void Writer::Integer(const cbor::Integer& value) { Head(value.negative ? 1 : 0, value.value); }
void Writer::Bool(bool value) { out_->push_back(static_cast<char>(value ? 0xf5 : 0xf4)); }
void Writer::Null() { out_->push_back(static_cast<char>(0xf6)); }

bool Writer::Float(double value) {
  if (!std::isfinite(value) || (value == 0 && std::signbit(value))) return false;
  const uint64_t bits = std::bit_cast<uint64_t>(value);
  out_->push_back(static_cast<char>(0xfb));
  for (int i = 7; i >= 0; --i) out_->push_back(static_cast<char>(bits >> (8 * i)));
  return true;
}

void Writer::Text(std::string_view text) {
  Head(3, text.size());
  out_->append(text);
}

void Writer::ByteString(Bytes bytes) {
  Head(2, bytes.size());
  out_->append(AsText(bytes));
}

void Writer::Link(const CidView& cid) {
  Head(6, 42);
  Head(2, cid.bytes().size() + 1);
  out_->push_back('\0');
  out_->append(AsText(cid.bytes()));
}

void Writer::ArrayHeader(uint64_t count) { Head(4, count); }
void Writer::MapHeader(uint64_t pairs) { Head(5, pairs); }
void Writer::Raw(Bytes item) { out_->append(AsText(item)); }

Writer MapWriter::Key(std::string_view key) {
  pairs_.push_back({std::string(key), values_.size()});
  return Writer(&values_);
}

void MapWriter::Finish(std::string* out) {
  std::vector<size_t> order(pairs_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return KeyBefore(pairs_[a].key, pairs_[b].key); });
  Writer writer(out);
  writer.MapHeader(pairs_.size());
  for (size_t i : order) {
    const size_t end = i + 1 < pairs_.size() ? pairs_[i + 1].begin : values_.size();
    writer.Text(pairs_[i].key);
    writer.Raw(AsBytes(std::string_view(values_).substr(pairs_[i].begin, end - pairs_[i].begin)));
  }
  pairs_.clear();
  values_.clear();
}

}  // namespace penstock::cbor
