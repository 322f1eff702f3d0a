#pragma once

// Many documents compiled into flat tables: references resolved, properties in the order in which CBOR's map
// keys come, so that a record is compared with its schema in one pass (lexicon/validator.h). Immutable once
// built, so every thread may use it.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lexicon/document.h"

namespace penstock::lexicon {

// ---- The tables. Their reader is the validator; everybody else wants Catalog. ----

inline constexpr uint32_t kNoBound = std::numeric_limits<uint32_t>::max();

enum class Op : uint8_t {
  kBoolean,     // a: 0 any, 1 false, 2 true
  kInteger,     // a: rule in `integers`
  kString,      // a: rule in `strings`
  kBytes,       // a: least, b: most bytes
  kCidLink,     //
  kBlob,        // a: rule in `blobs`
  kArray,       // a: least, b: most elements, c: node of an element
  kObject,      // a: first of b in `properties`
  kUnion,       // a: first of b in `variants`; c: 1 if closed
  kUnknown,     //
  kRecord,      // a: node of the object; b: text of the NSID
  kUnresolved,  // a: text of the name that leads nowhere
  kNothing,     // no value passes: a token, or a definition that describes no data
};

struct Node {
  Op op = Op::kNothing;
  bool soft = false;  // its document is somebody's reading: findings never refuse
  uint32_t a = 0, b = 0, c = 0;
};

// A part of Tables::text.
struct TextRef {
  uint32_t offset = 0, size = 0;
};
// A part of Tables::texts, ascending by (size, bytes).
struct TextList {
  uint32_t first = 0, count = 0;
};

struct IntegerRule {
  int64_t minimum = std::numeric_limits<int64_t>::min();
  int64_t maximum = std::numeric_limits<int64_t>::max();
  uint32_t first_value = 0, values = 0;  // in `numbers`, ascending; none: any
};

struct StringRule {
  uint32_t min_bytes = 0, max_bytes = kNoBound, min_graphemes = 0, max_graphemes = kNoBound;
  std::optional<Format> format;
  bool closed = false;  // `values` lists all that may be; else they are the known ones
  TextList values;
};

struct BlobRule {
  uint64_t max_size = std::numeric_limits<uint64_t>::max();
  TextList accept;  // in the file's order; none: any
};

struct PropertyRule {
  TextRef name;
  uint32_t node = 0;
  bool required = false;
  bool nullable = false;
  bool has_default = false;
};

struct Variant {
  TextRef name;  // as $type is written: without "#main"
  uint32_t node = 0;
};

struct Tables {
  std::string text;
  std::vector<TextRef> texts;
  std::vector<int64_t> numbers;
  std::vector<Node> nodes;
  std::vector<IntegerRule> integers;
  std::vector<StringRule> strings;
  std::vector<BlobRule> blobs;
  std::vector<PropertyRule> properties;  // of one object: ascending by (size, bytes) of the name
  std::vector<Variant> variants;         // of one union: ascending likewise

  std::string_view Text(TextRef ref) const { return std::string_view(text.data() + ref.offset, ref.size); }
};

// One collection.
struct RecordSchema {
  uint32_t node = 0;  // Op::kRecord
  KeyType key = KeyType::kAny;
  std::string key_literal;
  Confidence confidence = Confidence::kPublished;
};

// ---- The catalog ----

class Catalog {
 public:
  // A reference to a definition that no document has.
  struct Unresolved {
    std::string file, path;       // where it stands
    std::string target;           // "nsid#name"
    std::string Message() const;  // "FILE: PATH: refers to …"
  };

  Catalog() = default;

  // Compiles `documents`. Errors (kInvalidArgument, naming file and path): two documents of one NSID, a
  // reference to a definition that is no schema of data (a token, a query), a variant that is no object, or
  // more than the tables hold. A reference that leads nowhere is no error: whoever publishes one lexicon
  // refers to others'. See unresolved(); a record that comes to one is judged as Policy says.
  static absl::StatusOr<Catalog> Build(std::span<const Document> documents);

  // Null for a collection of which no record schema is here. `nsid` without "#main".
  const RecordSchema* Find(std::string_view nsid) const;

  // References that lead nowhere, in the order of the documents; those of queries and other methods do not
  // count. A catalog that should be whole has none.
  const std::vector<Unresolved>& unresolved() const { return unresolved_; }
  // Collections with a schema, sorted.
  std::vector<std::string> Collections() const;

  const Tables& tables() const { return tables_; }

 private:
  friend class CatalogBuilder;

  Tables tables_;
  absl::flat_hash_map<std::string, RecordSchema> records_;
  std::vector<Unresolved> unresolved_;
};

// `base` with `more` on top: a document of `more` takes the place of one of `base` with the same NSID.
std::vector<Document> Overlay(std::vector<Document> base, std::vector<Document> more);

// True if `a` comes before `b` among the keys of a CBOR map: by length, then by bytes.
inline bool KeyComesBefore(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

}  // namespace penstock::lexicon
