#pragma once

// A Lexicon document: one JSON file that says what records of one NSID look like (atproto.com/specs/lexicon;
// protocol 9.1, 9.2). Parse checks the whole language, so that what is compiled from it (lexicon/catalog.h)
// needs no second look. Pure, thread-safe.
//
// One key is ours: `confidence` at the top says how sure the author of the file is.
//
//   absent, "published", "published-facts"   the publisher's rules: records that break them may be refused
//   "reconstructed", "inferred"              somebody's reading of them: records are never refused for it
//
// Keys that the language does not have are ignored, unknown types are errors.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lexicon/formats.h"

namespace penstock::lexicon {

// Bounds that hold whatever a file says.
inline constexpr size_t kMaxDocumentBytes = 1 << 20;  // the largest published ones have 30 KB
inline constexpr size_t kMaxDocumentDepth = 64;       // of its JSON
inline constexpr size_t kMaxNameBytes = 256;          // of a definition or a property

enum class Confidence : uint8_t { kPublished, kReconstructed, kInferred };
std::string_view ConfidenceName(Confidence confidence);  // "published", "reconstructed", "inferred"

// The types of 9.2. Those from kRecord on stand only at the top, as `main`.
enum class Type : uint8_t {
  kBoolean,
  kInteger,
  kString,
  kBytes,
  kCidLink,
  kBlob,
  kArray,
  kObject,
  kParams,
  kToken,
  kRef,
  kUnion,
  kUnknown,
  kRecord,
  kQuery,
  kProcedure,
  kSubscription,
  kPermissionSet,
};
std::string_view TypeName(Type type);  // as written: "cid-link"

// What a record's key must be (7.5).
enum class KeyType : uint8_t { kAny, kTid, kNsid, kLiteral };

struct Property;

// One schema: a definition, a property, the items of an array. Which members mean something depends on the
// type.
struct Schema {
  Type type = Type::kUnknown;
  std::string path;  // in its file, for messages: "defs/main/record/properties/text"

  bool has_default = false;  // boolean, integer, string: a value to assume where none is written
  std::optional<bool> bool_const;

  std::optional<int64_t> int_const, minimum, maximum;
  std::vector<int64_t> int_enum;  // empty: any

  std::optional<Format> format;
  std::optional<std::string> string_const;
  std::vector<std::string> string_enum;   // closed; empty: any
  std::vector<std::string> known_values;  // open

  // Bytes of UTF-8 of a string, bytes of a byte string, elements of an array.
  std::optional<uint64_t> min_length, max_length;
  std::optional<uint64_t> min_graphemes, max_graphemes;

  std::vector<std::string> accept;   // blob: MIME patterns; empty: any
  std::optional<uint64_t> max_size;  // blob: bytes

  std::vector<Schema> items;         // array: exactly one. record: exactly one object
  std::vector<Property> properties;  // object, params: in the file's order

  // ref: exactly one; union: its variants. Complete: "nsid#name", also for what the file calls "#name" or
  // "nsid".
  std::vector<std::string> refs;
  bool closed = false;  // union

  KeyType key = KeyType::kAny;  // record
  std::string key_literal;      // of KeyType::kLiteral
};

struct Property {
  std::string name;
  Schema schema;
  bool required = false;
  bool nullable = false;
};

struct Definition {
  std::string name;  // "main", …
  Schema
      schema;  // of a query, procedure, subscription or permission set the type alone: no record meets them
};

struct Document {
  std::string file;  // as given to Parse
  std::string nsid;
  Confidence confidence = Confidence::kPublished;
  std::vector<Definition> definitions;  // in the file's order, at least one
};

// The document that `json` holds. `file` is named in every message. An error (kInvalidArgument: what the
// operator wrote is wrong) reads
//
//   space/atbb/post.json: defs/main/record/properties/text/maxLength: must be a whole number of 0 or more, is
//   a text
//
// or, where the text is no JSON at all, "space/atbb/post.json:12:3: …" with line and column. References are
// checked for their form; whether they lead somewhere is the catalog's question.
absl::StatusOr<Document> ParseDocument(std::string_view file, std::string_view json);

}  // namespace penstock::lexicon
