#include "lexicon/validator.h"

#include <string>
#include <string_view>
#include <vector>

#include "cbor/json_in.h"
#include "cbor/record_data.h"
#include "cbor/writer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/lexicon/lexicon_testing.h"

namespace penstock::lexicon {
namespace {

using test::CatalogOf;
using test::Judge;
using test::Record;
using test::Summary;
using test::ThingDocument;

constexpr Policy kStrict = {.strict = true};
constexpr std::string_view kLink =
    R"({"$link": "bafkreiany2x56aud2awigtfj3wrndyizz3gxyee7pvwuqsi4crhxxlzgfa"})";
constexpr std::string_view kCid = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq";

// A catalog whose records have one property "p" of this schema.
class OneProperty {
 public:
  explicit OneProperty(std::string_view schema, std::string_view confidence = "published")
      : catalog_(CatalogOf({ThingDocument(std::string(R"("properties": {"p": )").append(schema).append("}"),
                                          R"("one": {"type": "object", "required": ["a"],
                                                     "properties": {"a": {"type": "integer"}}},
                                             "two": {"type": "object"})",
                                          confidence)})) {}

  std::string operator()(std::string_view value, const Policy& policy = {}) const {
    return Judge(catalog_, std::string(R"("p": )").append(value), policy);
  }
  std::string Strict(std::string_view value) const { return (*this)(value, kStrict); }

  const Catalog& catalog() const { return catalog_; }

 private:
  Catalog catalog_;
};

std::string Quote(std::string_view text) { return std::string("\"").append(text).append("\""); }

TEST(LexiconValidator, Boolean) {
  const OneProperty any(R"({"type": "boolean"})");
  EXPECT_EQ(any("true"), "valid");
  EXPECT_EQ(any("false"), "valid");
  EXPECT_EQ(any("1"), "lexicon_type p");
  EXPECT_EQ(any("null"), "lexicon_type p");
  EXPECT_EQ(any(R"("true")"), "lexicon_type p");
  EXPECT_EQ(OneProperty(R"({"type": "boolean", "const": true})")("true"), "valid");
  EXPECT_EQ(OneProperty(R"({"type": "boolean", "const": true})")("false"), "lexicon_value p");
  EXPECT_EQ(OneProperty(R"({"type": "boolean", "const": false})")("true"), "lexicon_value p");
  EXPECT_EQ(OneProperty(R"({"type": "boolean", "default": false})")("true"), "valid");
}

TEST(LexiconValidator, Integer) {
  const OneProperty range(R"({"type": "integer", "minimum": -2, "maximum": 3})");
  EXPECT_EQ(range("-2"), "valid");
  EXPECT_EQ(range("3"), "valid");
  EXPECT_EQ(range("-3"), "lexicon_range p");
  EXPECT_EQ(range("4"), "lexicon_range p");
  EXPECT_EQ(range("true"), "lexicon_type p");
  EXPECT_EQ(range(R"("1")"), "lexicon_type p");
  const OneProperty values(R"({"type": "integer", "enum": [25, -4, 9]})");
  EXPECT_EQ(values("-4"), "valid");
  EXPECT_EQ(values("25"), "valid");
  EXPECT_EQ(values("10"), "lexicon_value p");
  const OneProperty constant(R"({"type": "integer", "const": 42})");
  EXPECT_EQ(constant("42"), "valid");
  EXPECT_EQ(constant("41"), "lexicon_value p");
  EXPECT_EQ(OneProperty(R"({"type": "integer", "const": 42, "enum": [41]})")("42"), "lexicon_range p");
  const OneProperty any(R"({"type": "integer"})");
  EXPECT_EQ(any("9223372036854775807"), "valid");
  EXPECT_EQ(any("-9223372036854775808"), "valid");
}

TEST(LexiconValidator, StringLengths) {
  const OneProperty bytes(R"({"type": "string", "minLength": 2, "maxLength": 4})");
  EXPECT_EQ(bytes(R"("ab")"), "valid");
  EXPECT_EQ(bytes(R"("äö")"), "valid");
  EXPECT_EQ(bytes(R"("a")"), "lexicon_length p");
  EXPECT_EQ(bytes(R"("äöü")"), "~lexicon_length p");
  EXPECT_EQ(bytes.Strict(R"("äöü")"), "lexicon_length p");
  const OneProperty graphemes(R"({"type": "string", "minGraphemes": 2, "maxGraphemes": 3})");
  EXPECT_EQ(graphemes(R"("ab")"), "valid");
  EXPECT_EQ(graphemes(R"("👩‍👩‍👦‍👦👩‍👩‍👦‍👦👩‍👩‍👦‍👦")"),
            "valid");
  EXPECT_EQ(graphemes(R"("👩‍👩‍👦‍👦")"), "lexicon_length p");
  EXPECT_EQ(graphemes(R"("abcd")"), "~lexicon_length p");
  EXPECT_EQ(graphemes.Strict(R"("abcd")"), "lexicon_length p");
  EXPECT_EQ(OneProperty(R"({"type": "string", "minGraphemes": 1})")(R"("")"), "lexicon_length p");
  EXPECT_EQ(OneProperty(R"({"type": "string", "minGraphemes": 1})")(R"("abc")"), "valid");
  EXPECT_EQ(OneProperty(R"({"type": "string", "maxLength": 0})")(R"("")"), "valid");
}

TEST(LexiconValidator, StringValues) {
  const OneProperty closed(R"({"type": "string", "enum": ["fish", "tree", "a"]})");
  EXPECT_EQ(closed(R"("fish")"), "valid");
  EXPECT_EQ(closed(R"("a")"), "valid");
  EXPECT_EQ(closed(R"("rock")"), "lexicon_value p");
  EXPECT_EQ(closed("1"), "lexicon_type p");
  const OneProperty open(R"({"type": "string", "knownValues": ["fish", "tree"]})");
  EXPECT_EQ(open(R"("fish")"), "valid");
  EXPECT_EQ(open(R"("rock")"), "~lexicon_value p");
  EXPECT_EQ(open.Strict(R"("rock")"), "~lexicon_value p");
  EXPECT_EQ(open(R"("rock")", {.warn_unknown_values = false}), "valid");
  EXPECT_EQ(OneProperty(R"({"type": "string", "knownValues": []})")(R"("rock")"), "valid");
  const OneProperty constant(R"({"type": "string", "const": "x"})");
  EXPECT_EQ(constant(R"("x")"), "valid");
  EXPECT_EQ(constant(R"("y")"), "lexicon_value p");
  EXPECT_EQ(OneProperty(R"({"type": "string", "const": "x", "enum": ["y"]})")(R"("x")"), "lexicon_value p");
}

TEST(LexiconValidator, StringFormats) {
  const auto judge = [](std::string_view format, std::string_view text, bool strict) {
    const OneProperty property(std::string(R"({"type": "string", "format": ")").append(format).append("\"}"));
    return strict ? property.Strict(Quote(text)) : property(Quote(text));
  };
  for (const auto& [format, good] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"at-identifier", "a.example.com"},
                                                                  {"at-uri", "at://did:plc:a/b.c.d/e"},
                                                                  {"cid", kCid},
                                                                  {"datetime", "2024-01-01T00:00:00Z"},
                                                                  {"did", "did:web:a.b"},
                                                                  {"handle", "a.b"},
                                                                  {"language", "en"},
                                                                  {"nsid", "a.b.c"},
                                                                  {"record-key", "self"},
                                                                  {"tid", "3kznmn7xqxl22"},
                                                                  {"uri", "https://a.b"}}) {
    EXPECT_EQ(judge(format, good, true), "valid") << format;
    EXPECT_EQ(judge(format, "/", false), "lexicon_format p") << format;
  }
  EXPECT_EQ(judge("datetime", "2024-01-01T00:00:00", false), "~lexicon_format p");
  EXPECT_EQ(judge("datetime", "2024-01-01T00:00:00", true), "~lexicon_format p");
  EXPECT_EQ(judge("cid", "abcdefgh", false), "~lexicon_format p");
  EXPECT_EQ(judge("cid", "abcdefgh", true), "lexicon_format p");
}

TEST(LexiconValidator, BytesAndLinks) {
  const OneProperty bytes(R"({"type": "bytes", "minLength": 2, "maxLength": 3})");
  EXPECT_EQ(bytes(R"({"$bytes": "YWI"})"), "valid");
  EXPECT_EQ(bytes(R"({"$bytes": "YQ"})"), "lexicon_length p");
  EXPECT_EQ(bytes(R"({"$bytes": "YWJjZA"})"), "lexicon_length p");
  EXPECT_EQ(bytes(R"("ab")"), "lexicon_type p");
  EXPECT_EQ(bytes("{}"), "lexicon_type p");
  const OneProperty link(R"({"type": "cid-link"})");
  EXPECT_EQ(link(kLink), "valid");
  EXPECT_EQ(link(Quote(kCid)), "lexicon_type p");
}

std::string BlobJson(std::string_view type, int64_t size, std::string_view more = {}) {
  return std::string(R"({"$type": "blob", "ref": )")
      .append(kLink)
      .append(R"(, "mimeType": ")")
      .append(type)
      .append(R"(", "size": )")
      .append(std::to_string(size))
      .append(more)
      .append("}");
}

TEST(LexiconValidator, Blobs) {
  const OneProperty any(R"({"type": "blob"})");
  EXPECT_EQ(any(BlobJson("text/plain", 0)), "valid");
  EXPECT_EQ(any(BlobJson("text/plain", 1, R"(, "alt": "kept")")), "valid");
  EXPECT_EQ(any(R"("blob")"), "lexicon_type p");
  EXPECT_EQ(any("{}"), "lexicon_blob p");
  EXPECT_EQ(any(R"({"type": "blob", "mimeType": "a/b", "size": 1})"), "lexicon_blob p");
  const OneProperty image(R"({"type": "blob", "accept": ["image/*", "text/plain"], "maxSize": 20})");
  EXPECT_EQ(image(BlobJson("image/png", 20)), "valid");
  EXPECT_EQ(image(BlobJson("text/plain", 20)), "valid");
  EXPECT_EQ(image(BlobJson("image/png", 21)), "lexicon_blob p");
  EXPECT_EQ(image(BlobJson("text/html", 1)), "lexicon_blob p");
  EXPECT_EQ(image(BlobJson("imagery/png", 1)), "lexicon_blob p");
  EXPECT_EQ(OneProperty(R"({"type": "blob", "accept": ["*/*"]})")(BlobJson("a/b", 1)), "valid");
  // The form of before 2023.
  EXPECT_EQ(image(R"({"mimeType": "a/b", "cid": ")" + std::string(kCid) + "\"}"), "~lexicon_blob p");
  EXPECT_EQ(image.Strict(R"({"mimeType": "a/b", "cid": ")" + std::string(kCid) + "\"}"), "~lexicon_blob p");
  EXPECT_EQ(image(R"({"mimeType": "a/b", "cid": "abcdefgh"})"), "lexicon_blob p");
  EXPECT_EQ(image(R"({"mimeType": "a/b", "more": 1, "cid": ")" + std::string(kCid) + "\"}"),
            "lexicon_blob p");
}

TEST(LexiconValidator, Arrays) {
  const OneProperty array(
      R"({"type": "array", "items": {"type": "integer", "maximum": 9}, "minLength": 1, "maxLength": 3})");
  EXPECT_EQ(array("[1, 2, 3]"), "valid");
  EXPECT_EQ(array("[]"), "lexicon_length p");
  EXPECT_EQ(array("[1, 2, 3, 4]"), "lexicon_length p");
  EXPECT_EQ(array("[1, true]"), "lexicon_type p[1]");
  EXPECT_EQ(array("[1, 10]"), "lexicon_range p[1]");
  EXPECT_EQ(array("[null]"), "lexicon_type p[0]");
  EXPECT_EQ(array("{}"), "lexicon_type p");
  const OneProperty nested(R"({"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}})");
  EXPECT_EQ(nested("[[], [true]]"), "valid");
  EXPECT_EQ(nested("[[], [true, 1]]"), "lexicon_type p[1][1]");
}

TEST(LexiconValidator, Objects) {
  const Catalog catalog = CatalogOf({ThingDocument(R"(
      "required": ["bb", "ccc"], "nullable": ["n", "ccc"],
      "properties": {"a": {"type": "integer"}, "bb": {"type": "integer"}, "ccc": {"type": "integer"},
                     "n": {"type": "integer"}, "o": {"type": "object", "required": ["x"], "properties": {
                        "x": {"type": "string"}}}})")});
  EXPECT_EQ(Judge(catalog, R"("bb": 1, "ccc": 2)"), "valid");
  EXPECT_EQ(Judge(catalog, R"("a": 1, "bb": 1, "ccc": null, "n": null, "zz": [{}], "z": "unknown")"),
            "valid");
  EXPECT_EQ(Judge(catalog, R"("bb": 1)"), "lexicon_missing ccc");
  EXPECT_EQ(Judge(catalog, R"("ccc": 1)"), "lexicon_missing bb");
  EXPECT_EQ(Judge(catalog, R"("bb": null, "ccc": 1)"), "lexicon_type bb");
  EXPECT_EQ(Judge(catalog, R"("a": null, "bb": 1, "ccc": 1)"), "lexicon_type a");
  EXPECT_EQ(Judge(catalog, R"("bb": 1, "ccc": 1, "o": {})"), "lexicon_missing o.x");
  EXPECT_EQ(Judge(catalog, R"("bb": 1, "ccc": 1, "o": {"x": 1})"), "lexicon_type o.x");
  EXPECT_EQ(Judge(catalog, R"("bb": 1, "ccc": 1, "o": [])"), "lexicon_type o");
  EXPECT_EQ(Judge(catalog, R"("bb": 1, "ccc": 1, "o": "x")"), "lexicon_type o");
}

TEST(LexiconValidator, ARequiredFieldWithADefaultIsMissedButNotRefused) {
  const Catalog catalog = CatalogOf({ThingDocument(R"(
      "required": ["a", "b"], "properties": {"a": {"type": "string", "default": "x"}, "b": {"type": "ref", "ref": "#d"}})",
                                                   R"("d": {"type": "integer", "default": 1})")});
  EXPECT_EQ(Judge(catalog, "", kStrict), "~lexicon_missing a, ~lexicon_missing b");
}

TEST(LexiconValidator, Unions) {
  for (const bool closed : {false, true}) {
    const OneProperty either(
        std::string(R"({"type": "union", "refs": ["#one", "#two", "com.example.thing"], "closed": )") +
        (closed ? "true}" : "false}"));
    EXPECT_EQ(either(R"({"$type": "com.example.thing#one", "a": 1})"), "valid");
    EXPECT_EQ(either(R"({"$type": "com.example.thing#one", "a": 1, "b": "before $type"})"), "valid");
    EXPECT_EQ(either(R"({"$type": "com.example.thing#two"})"), "valid");
    EXPECT_EQ(either(R"({"$type": "com.example.thing#one"})"), "lexicon_missing p.a");
    EXPECT_EQ(either(R"({"$type": "com.example.thing#one", "a": "x"})"), "lexicon_type p.a");
    EXPECT_EQ(either(R"({"a": 1})"), "lexicon_union p");
    EXPECT_EQ(either("{}"), "lexicon_union p");
    EXPECT_EQ(either("1"), "lexicon_type p");
    EXPECT_EQ(either("[]"), "lexicon_type p");
    EXPECT_EQ(either(BlobJson("a/b", 1)), "lexicon_union p");
    EXPECT_EQ(either(R"({"$type": "com.example.thing#three", "a": "x"})"),
              closed ? "lexicon_union p" : "valid");
    EXPECT_EQ(either(R"({"$type": "one", "a": "x"})"), closed ? "lexicon_union p" : "valid");
    // A record as a variant, with `main` implied or written.
    EXPECT_EQ(either(R"({"$type": "com.example.thing", "p": {"$type": "com.example.thing#one", "a": "x"}})"),
              "lexicon_type p.p.a");
    EXPECT_EQ(either(R"({"$type": "com.example.thing", "p": {"$type": "com.example.thing#two"}})"), "valid");
  }
  EXPECT_EQ(OneProperty(R"({"type": "union", "refs": []})")(R"({"$type": "a.b.c"})"), "valid");
  const OneProperty main(R"({"type": "union", "closed": true, "refs": ["#main"]})");
  EXPECT_EQ(main(R"({"$type": "com.example.thing"})"), "valid");
}

TEST(LexiconValidator, ARecordBehindAReferenceNeedsItsType) {
  const OneProperty record(R"({"type": "ref", "ref": "#main"})");
  EXPECT_EQ(record(R"({"$type": "com.example.thing"})"), "valid");
  EXPECT_EQ(record("{}"), "lexicon_union p");
  EXPECT_EQ(record(R"({"$type": "com.example.other"})"), "lexicon_union p");
  EXPECT_EQ(record("1"), "lexicon_type p");
}

TEST(LexiconValidator, Unknown) {
  const OneProperty unknown(R"({"type": "unknown"})");
  EXPECT_EQ(unknown(R"({"a": [1, {"b": null}]})"), "valid");
  EXPECT_EQ(unknown("{}"), "valid");
  EXPECT_EQ(unknown(R"({"$type": "a.b.c"})"), "valid");
  EXPECT_EQ(unknown("[]"), "~lexicon_type p");
  EXPECT_EQ(unknown.Strict("[]"), "~lexicon_type p");
  EXPECT_EQ(unknown("1"), "lexicon_type p");
  EXPECT_EQ(unknown("null"), "lexicon_type p");
  EXPECT_EQ(unknown(kLink), "lexicon_type p");
  EXPECT_EQ(unknown(R"({"$bytes": "YQ"})"), "lexicon_type p");
  EXPECT_EQ(unknown(BlobJson("a/b", 1)), "lexicon_type p");
}

TEST(LexiconValidator, RecordKeys) {
  const auto judge = [](std::string_view key, std::string_view rkey, const Policy& policy) {
    const Catalog catalog =
        CatalogOf({std::string(R"({"lexicon": 1, "id": "com.example.thing", "defs": {"main":
        {"type": "record", "key": ")")
                       .append(key)
                       .append(R"(", "record": {"type": "object"}}}})")});
    return Summary(ValidateRecord(catalog, "com.example.thing", rkey, AsBytes(Record("")), policy));
  };
  EXPECT_EQ(judge("any", "a:b~c", kStrict), "valid");
  EXPECT_EQ(judge("any", "a/b", kStrict), "lexicon_record_key");
  EXPECT_EQ(judge("tid", "3kznmn7xqxl22", kStrict), "valid");
  EXPECT_EQ(judge("tid", "self", kStrict), "lexicon_record_key");
  EXPECT_EQ(judge("tid", "self", {}), "~lexicon_record_key");
  EXPECT_EQ(judge("tid", "", kStrict), "valid");  // not looked at
  EXPECT_EQ(judge("nsid", "com.example.thing", kStrict), "valid");
  EXPECT_EQ(judge("nsid", "self", kStrict), "lexicon_record_key");
  EXPECT_EQ(judge("literal:self", "self", kStrict), "valid");
  EXPECT_EQ(judge("literal:self", "Self", kStrict), "lexicon_record_key");
}

TEST(LexiconValidator, ModesDecideWhatNoSchemaMeans) {
  const Catalog catalog =
      CatalogOf({ThingDocument(R"("required": ["a"], "properties": {"a": {"type": "integer"}})")});
  const auto judge = [&](std::string_view nsid, Mode mode) {
    return ValidateRecord(catalog, nsid, "key", AsBytes(Record("", nsid)), {.mode = mode});
  };
  Verdict verdict = judge("com.example.other", Mode::kOptimistic);
  EXPECT_EQ(verdict.outcome, Outcome::kValid);
  EXPECT_FALSE(verdict.known);
  EXPECT_EQ(verdict.refusal(), nullptr);
  verdict = judge("com.example.other", Mode::kRequired);
  EXPECT_EQ(verdict.outcome, Outcome::kRefused);
  EXPECT_EQ(verdict.refusal()->reject, Reject::kLexiconUnknown);
  verdict = judge("com.example.thing", Mode::kNone);
  EXPECT_EQ(verdict.outcome, Outcome::kValid);
  EXPECT_FALSE(verdict.known);
  verdict = judge("com.example.thing", Mode::kOptimistic);
  EXPECT_EQ(verdict.outcome, Outcome::kRefused);
  EXPECT_TRUE(verdict.known);
}

TEST(LexiconValidator, AReadingOfALexiconNeverRefuses) {
  for (const std::string_view confidence : {"reconstructed", "inferred"}) {
    const OneProperty property(R"({"type": "array", "items": {"type": "integer", "maximum": 2}})",
                               confidence);
    EXPECT_EQ(property.Strict("[1]"), "valid");
    EXPECT_EQ(property.Strict(R"([1, 3, "x", 2, null])"),
              "~lexicon_range p[1], ~lexicon_type p[2], ~lexicon_type p[4]");
    EXPECT_EQ(property.Strict("1"), "~lexicon_type p");
    const Verdict verdict =
        ValidateRecord(property.catalog(), "com.example.thing", "a/b", AsBytes(Record(R"("p": 1)")), kStrict);
    EXPECT_EQ(verdict.outcome, Outcome::kWarnings);
    EXPECT_EQ(verdict.warnings, 2u);
  }
}

// Whoever is asked through the other: one of the two is only a reading.
TEST(LexiconValidator, ConfidenceFollowsReferences) {
  const auto catalog = [](std::string_view outer, std::string_view inner) {
    return CatalogOf(
        {ThingDocument(R"("properties": {"p": {"type": "ref", "ref": "com.example.part"},
                                                      "q": {"type": "integer"}})",
                       {}, outer),
         std::string(R"({"lexicon": 1, "id": "com.example.part", "confidence": ")")
             .append(inner)
             .append(
                 R"(", "defs": {"main": {"type": "object", "properties": {"a": {"type": "integer"}}}}})")});
  };
  const Catalog outer_sure = catalog("published", "inferred");
  EXPECT_EQ(Judge(outer_sure, R"("p": {"a": "x"}, "q": 1)"), "~lexicon_type p.a");
  EXPECT_EQ(Judge(outer_sure, R"("p": {"a": "x"}, "q": "x")"), "~lexicon_type p.a, lexicon_type q");
  EXPECT_EQ(Judge(catalog("inferred", "published"), R"("p": {"a": "x"}, "q": "x")"),
            "~lexicon_type p.a, ~lexicon_type q");
  EXPECT_EQ(Judge(catalog("published", "published"), R"("p": {"a": "x"}, "q": 1)"), "lexicon_type p.a");
}

TEST(LexiconValidator, FindingsSayWhatAndAreBounded) {
  const OneProperty text(R"({"type": "string", "maxGraphemes": 3})");
  const Verdict verdict = ValidateRecord(text.catalog(), "com.example.thing", "key",
                                         AsBytes(Record(R"("p": "secret")")), kStrict);
  ASSERT_NE(verdict.refusal(), nullptr);
  EXPECT_EQ(verdict.refusal()->path, "p");
  EXPECT_EQ(verdict.refusal()->detail, "has 6 graphemes, at most 3");

  const OneProperty array(R"({"type": "array", "items": {"type": "integer"}})", "inferred");
  std::string many = "[";
  for (int i = 0; i < 1'000; ++i) many += i == 0 ? "true" : ",true";
  const Verdict warned = ValidateRecord(array.catalog(), "com.example.thing", "key",
                                        AsBytes(Record("\"p\": " + many + "]")), {});
  EXPECT_EQ(warned.warnings, 1'000u);
  EXPECT_EQ(warned.findings.size(), kMaxFindings);
  EXPECT_EQ(warned.findings.back().path, "p[7]");
  EXPECT_EQ(warned.outcome, Outcome::kWarnings);
}

TEST(LexiconValidator, ARefusalIsKeptBehindManyWarnings) {
  const Catalog catalog = CatalogOf({ThingDocument(R"("properties": {
      "a": {"type": "array", "items": {"type": "string", "knownValues": ["x"]}}, "b": {"type": "integer"}})")});
  std::string many = "[";
  for (int i = 0; i < 20; ++i) many += i == 0 ? "\"y\"" : ",\"y\"";
  const Verdict verdict = ValidateRecord(catalog, "com.example.thing", "key",
                                         AsBytes(Record("\"b\": true, \"a\": " + many + "]")), {});
  ASSERT_NE(verdict.refusal(), nullptr);
  EXPECT_EQ(verdict.refusal()->path, "b");
  EXPECT_EQ(verdict.findings.size(), kMaxFindings);
}

TEST(LexiconValidator, PathsAreBoundedAndCutBetweenCharacters) {
  std::string schema = R"({"type": "integer"})", value = "true", name;
  for (int i = 0; i < 40; ++i) name += "ä";
  for (int i = 0; i < 20; ++i) {
    schema = R"({"type": "object", "properties": {")" + name + "\": " + schema + "}}";
    value = "{\"" + name + "\": " + value + "}";
  }
  const OneProperty deep(schema);
  const Verdict verdict =
      ValidateRecord(deep.catalog(), "com.example.thing", "key", AsBytes(Record("\"p\": " + value)), {});
  ASSERT_NE(verdict.refusal(), nullptr);
  EXPECT_LE(verdict.refusal()->path.size(), 600u);
  EXPECT_TRUE(cbor::IsValidUtf8(AsBytes(verdict.refusal()->path)));
  EXPECT_TRUE(verdict.refusal()->path.ends_with("…"));
}

// Bytes that never passed CheckRecord: judged safely.
TEST(LexiconValidator, BytesThatAreNoRecord) {
  const Catalog catalog =
      CatalogOf({ThingDocument(R"("properties": {"p": {"type": "ref", "ref": "#list"},
                                                                     "q": {"type": "unknown"}})",
                               R"("list": {"type": "array", "items": {"type": "ref", "ref": "#list"}})")});
  const auto judge = [&](std::string_view block) {
    return Summary(ValidateRecord(catalog, "com.example.thing", "key", AsBytes(block), {}));
  };
  EXPECT_EQ(judge(""), "cbor_truncated");
  EXPECT_EQ(judge("\x80"), "lexicon_type");
  EXPECT_EQ(judge("\xff"), "cbor_indefinite");
  const std::string whole = Record(R"("p": [[], []], "q": {"a": 1})");
  EXPECT_EQ(judge(whole), "valid");
  EXPECT_EQ(judge(whole + "\x01"), "cbor_trailing_bytes");
  for (size_t size = 0; size < whole.size(); ++size) EXPECT_NE(judge(whole.substr(0, size)), "valid") << size;

  // Nested as deep as no record may be: refused before the stack ends.
  std::string deep = "\xa2\x61p";
  deep.append(100'000, '\x81');
  EXPECT_THAT(judge(deep), testing::HasSubstr("record_too_deep"));
}

TEST(LexiconValidator, DepthIsThatOfRecords) {
  const Catalog catalog =
      CatalogOf({ThingDocument(R"("properties": {"p": {"type": "ref", "ref": "#list"}})",
                               R"("list": {"type": "array", "items": {"type": "ref", "ref": "#list"}})")});
  const auto nested = [](size_t depth) {
    return "\"p\": " + std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_EQ(Judge(catalog, nested(cbor::kMaxRecordDepth - 1)), "valid");
}

}  // namespace
}  // namespace penstock::lexicon
