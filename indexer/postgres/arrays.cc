#include "indexer/postgres/arrays.h"

#include <cstring>

namespace penstock::indexer {
namespace {

// pg_type.dat of the server: these never change.
struct ArrayType {
  uint32_t array, element;
};
ArrayType TypeOf(ColumnType type) {
  switch (type) {
    case ColumnType::kKey:
    case ColumnType::kText:
      return {1009, 25};
    case ColumnType::kInt64:
      return {1016, 20};
    case ColumnType::kBool:
      return {1000, 16};
    case ColumnType::kBytes:
      return {1001, 17};
    case ColumnType::kJson:
      return {3807, 3802};
  }
  return {};
}

// array_recv: dimensions, has nulls, element type, then size and lower bound of each dimension; all big
// endian.
constexpr size_t kHeaderBytes = 20;
constexpr char kJsonbVersion = 1;

void PutBig32(uint32_t value, char* to) {
  value = __builtin_bswap32(value);
  std::memcpy(to, &value, sizeof(value));
}

}  // namespace

PgArrays::PgArrays(std::span<const Column> columns) {
  for (const Column& column : columns) {
    const ArrayType type = TypeOf(column.type);
    arrays_.push_back({type.array, type.element, std::string(kHeaderBytes, '\0'), false});
    parameters_.push_back({type.array, {}});
  }
}

std::string& PgArrays::Next(int32_t size) {
  std::string& data = arrays_[column_].data;
  char big[4];
  PutBig32(static_cast<uint32_t>(size), big);
  data.append(big, sizeof(big));
  bytes_ += sizeof(big) + static_cast<size_t>(size > 0 ? size : 0);
  if (++column_ == arrays_.size()) {
    column_ = 0;
    ++rows_;
  }
  return data;
}

void PgArrays::Append(Bytes value) { Next(static_cast<int32_t>(value.size())).append(AsText(value)); }

void PgArrays::JsonOrNull(std::string_view json) {
  if (json.empty()) return Null();
  std::string& data = Next(static_cast<int32_t>(json.size()) + 1);
  data.push_back(kJsonbVersion);
  data.append(json);
}

void PgArrays::Int(int64_t value) {
  const uint64_t big = __builtin_bswap64(static_cast<uint64_t>(value));
  char bytes[sizeof(big)];
  std::memcpy(bytes, &big, sizeof(big));
  Next(sizeof(big)).append(bytes, sizeof(big));
}

void PgArrays::Bool(bool value) { Next(1).push_back(value ? 1 : 0); }

void PgArrays::Null() {
  arrays_[column_].has_null = true;
  Next(-1);
}

std::span<const PgParam> PgArrays::Parameters() {
  for (size_t i = 0; i < arrays_.size(); ++i) {
    Array& array = arrays_[i];
    PutBig32(1, &array.data[0]);
    PutBig32(array.has_null ? 1 : 0, &array.data[4]);
    PutBig32(array.element_type, &array.data[8]);
    PutBig32(static_cast<uint32_t>(rows_), &array.data[12]);
    PutBig32(1, &array.data[16]);
    parameters_[i].value = array.data;
  }
  return parameters_;
}

void PgArrays::Clear() {
  // One huge row must not hold its memory for good.
  constexpr size_t kMaxKept = 4 << 20;
  for (Array& array : arrays_) {
    if (array.data.capacity() > kMaxKept) array.data = std::string(kHeaderBytes, '\0');
    array.data.resize(kHeaderBytes);
    array.has_null = false;
  }
  column_ = rows_ = bytes_ = 0;
}

}  // namespace penstock::indexer
