#pragma once

// Many rows as one set of parameters: each column a binary array, for `INSERT … SELECT * FROM unnest($1, $2,
// …)`. Pure; keeps its memory from use to use. Fits as the Row of batch_sql.h.

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "indexer/postgres/connection.h"
#include "indexer/schema.h"

namespace penstock::indexer {

class PgArrays {
 public:
  explicit PgArrays(std::span<const Column> columns);

  // The values of one row, in column order; after the last column the next row begins.
  void Text(std::string_view text) { Append(AsBytes(text)); }
  void TextOrNull(std::string_view text) { text.empty() ? Null() : Text(text); }
  void JsonOrNull(std::string_view json);
  void BytesOrNull(Bytes bytes) { bytes.empty() ? Null() : Append(bytes); }
  void Int(int64_t value);
  void IntOrNull(std::optional<int64_t> value) { value ? Int(*value) : Null(); }
  void Bool(bool value);
  void Null();

  size_t rows() const { return rows_; }
  size_t bytes() const { return bytes_; }
  // The parameters; views until the next Clear. Types alone matter when there are no rows.
  std::span<const PgParam> Parameters();
  void Clear();

 private:
  struct Array {
    uint32_t type, element_type;
    std::string data;
    bool has_null = false;
  };
  // The array whose turn it is, with `size` (-1: NULL) appended.
  std::string& Next(int32_t size);
  void Append(Bytes value);

  std::vector<Array> arrays_;
  std::vector<PgParam> parameters_;
  size_t column_ = 0;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

}  // namespace penstock::indexer
