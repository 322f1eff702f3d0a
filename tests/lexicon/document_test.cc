#include "lexicon/document.h"

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/lexicon/lexicon_testing.h"

namespace penstock::lexicon {
namespace {

using test::Parsed;
using test::ThingDocument;

std::string ErrorOf(std::string_view json) {
  const auto document = ParseDocument("a/b.json", json);
  return document.ok() ? "no error" : std::string(Message(document.status()));
}

// A document with one definition besides main.
std::string WithDefinition(std::string_view schema) {
  return std::string(R"({"lexicon": 1, "id": "com.example.thing", "defs": {"x": )")
      .append(schema)
      .append("}}");
}
// The error about a property "p" of a record.
std::string PropertyError(std::string_view schema) {
  return ErrorOf(ThingDocument(std::string(R"("properties": {"p": )").append(schema).append("}")));
}

TEST(LexiconDocument, ReadsEveryTypeAndConstraint) {
  const Document document = Parsed(ThingDocument(R"(
      "required": ["b", "s"], "nullable": ["s"],
      "properties": {
        "b": {"type": "boolean", "const": true, "description": "words"},
        "i": {"type": "integer", "minimum": -3, "maximum": 9, "enum": [1, 2], "default": 1},
        "s": {"type": "string", "format": "at-uri", "minLength": 1, "maxLength": 2, "minGraphemes": 3,
              "maxGraphemes": 4, "enum": ["x"], "knownValues": ["y", "z"]},
        "y": {"type": "bytes", "minLength": 5, "maxLength": 6},
        "l": {"type": "cid-link"},
        "blob": {"type": "blob", "accept": ["*/*", "image/*", "image/png"], "maxSize": 1000},
        "a": {"type": "array", "items": {"type": "array", "items": {"type": "unknown"}}, "maxLength": 7},
        "o": {"type": "object", "properties": {"deep": {"type": "ref", "ref": "#part"}}},
        "u": {"type": "union", "closed": true, "refs": ["#part", "com.example.other", "com.example.other#x"]}
      })",
                                                 R"("part": {"type": "object"}, "word": {"type": "token"})"));
  EXPECT_EQ(document.nsid, "com.example.thing");
  EXPECT_EQ(document.confidence, Confidence::kPublished);
  ASSERT_EQ(document.definitions.size(), 3u);
  const Schema& main = document.definitions[0].schema;
  EXPECT_EQ(main.type, Type::kRecord);
  EXPECT_EQ(main.key, KeyType::kAny);
  const Schema& body = main.items.front();
  ASSERT_EQ(body.properties.size(), 9u);
  EXPECT_TRUE(body.properties[0].required);
  EXPECT_TRUE(body.properties[0].schema.bool_const.value());
  const Schema& integer = body.properties[1].schema;
  EXPECT_EQ(integer.minimum, -3);
  EXPECT_EQ(integer.maximum, 9);
  EXPECT_THAT(integer.int_enum, testing::ElementsAre(1, 2));
  EXPECT_TRUE(integer.has_default);
  const Schema& text = body.properties[2].schema;
  EXPECT_TRUE(body.properties[2].nullable);
  EXPECT_EQ(text.format, Format::kAtUri);
  EXPECT_EQ(text.min_length, 1u);
  EXPECT_EQ(text.max_length, 2u);
  EXPECT_EQ(text.min_graphemes, 3u);
  EXPECT_EQ(text.max_graphemes, 4u);
  EXPECT_THAT(text.known_values, testing::ElementsAre("y", "z"));
  EXPECT_EQ(text.path, "defs/main/record/properties/s");
  EXPECT_EQ(body.properties[5].schema.max_size, 1000u);
  EXPECT_EQ(body.properties[6].schema.items.front().items.front().type, Type::kUnknown);
  EXPECT_THAT(body.properties[7].schema.properties[0].schema.refs,
              testing::ElementsAre("com.example.thing#part"));
  EXPECT_THAT(
      body.properties[8].schema.refs,
      testing::ElementsAre("com.example.thing#part", "com.example.other#main", "com.example.other#x"));
  EXPECT_TRUE(body.properties[8].schema.closed);
}

TEST(LexiconDocument, ReadsMethodsAndPermissions) {
  const auto ok = [](std::string_view main) {
    return ErrorOf(std::string(R"({"lexicon": 1, "id": "com.example.do", "defs": {"main": )")
                       .append(main)
                       .append("}}")) == "no error";
  };
  EXPECT_TRUE(ok(R"({"type": "query", "parameters": {"type": "params", "required": ["a"], "properties": {
      "a": {"type": "string"}, "b": {"type": "array", "items": {"type": "integer"}}}},
      "output": {"encoding": "application/json", "schema": {"type": "ref", "ref": "#x"}},
      "errors": [{"name": "Gone"}]})"));
  EXPECT_TRUE(ok(R"({"type": "procedure", "input": {"encoding": "*/*"}, "output": {"encoding": "a/b"}})"));
  EXPECT_TRUE(ok(R"({"type": "subscription", "message": {"schema": {"type": "union", "refs": ["#a"]}}})"));
  EXPECT_TRUE(ok(R"({"type": "permission-set", "title": "t", "permissions": [
      {"type": "permission", "resource": "repo", "collection": ["*"]}]})"));

  EXPECT_FALSE(ok(R"({"type": "query", "input": {"encoding": "a/b"}})"));
  EXPECT_FALSE(ok(R"({"type": "query", "parameters": {"type": "object", "properties": {}}})"));
  EXPECT_FALSE(
      ok(R"({"type": "query", "parameters": {"type": "params", "properties": {"a": {"type": "blob"}}}})"));
  EXPECT_FALSE(ok(R"({"type": "query", "output": {"schema": {"type": "object"}}})"));
  EXPECT_FALSE(ok(R"({"type": "query", "output": {"encoding": "a/b", "schema": {"type": "string"}}})"));
  EXPECT_FALSE(ok(R"({"type": "query", "errors": [{"description": "no name"}]})"));
  EXPECT_FALSE(ok(R"({"type": "query", "errors": {"name": "Gone"}})"));
  EXPECT_FALSE(ok(R"({"type": "query", "message": {"schema": {"type": "union", "refs": []}}})"));
  EXPECT_FALSE(ok(R"({"type": "subscription", "message": {"schema": {"type": "object"}}})"));
  EXPECT_FALSE(ok(R"({"type": "subscription", "message": {}})"));
  EXPECT_FALSE(ok(R"({"type": "permission-set"})"));
  EXPECT_FALSE(ok(R"({"type": "permission-set", "permissions": [{"type": "permission"}]})"));
  EXPECT_FALSE(ok(R"({"type": "permission-set", "permissions": [{"resource": "repo"}]})"));
}

TEST(LexiconDocument, IgnoresWhatTheLanguageDoesNotHave) {
  EXPECT_EQ(
      Parsed(R"({"lexicon": 1, "id": "com.example.thing", "needsCbor": true, "$type": "x", "revision": 3,
                       "defs": {"x": {"type": "integer", "unit": "m"}}})")
          .definitions.size(),
      1u);
}

TEST(LexiconDocument, KnowsHowSureAFileIs) {
  const auto confidence = [](std::string_view name) {
    return Parsed(ThingDocument("\"x\": 1", {}, name)).confidence;
  };
  EXPECT_EQ(confidence("published"), Confidence::kPublished);
  EXPECT_EQ(confidence("published-facts"), Confidence::kPublished);
  EXPECT_EQ(confidence("reconstructed"), Confidence::kReconstructed);
  EXPECT_EQ(confidence("inferred"), Confidence::kInferred);
}

TEST(LexiconDocument, KnowsEveryKindOfKey) {
  const auto key = [](std::string_view text) {
    return ErrorOf(
        std::string(
            R"({"lexicon": 1, "id": "com.example.thing", "defs": {"main": {"type": "record", "key": ")")
            .append(text)
            .append(R"(", "record": {"type": "object"}}}})"));
  };
  for (const std::string_view good : {"tid", "nsid", "any", "literal:self", "literal:a.b"})
    EXPECT_EQ(key(good), "no error") << good;
  for (const std::string_view bad : {"", "TID", "literal", "literal:", "literal:..", "literal:a/b", "string"})
    EXPECT_NE(key(bad), "no error") << bad;
}

// Each message in full: file, path, what is wrong, how to mend it.
TEST(LexiconDocument, ErrorsNameFileAndPathAndTheMend) {
  EXPECT_EQ(ErrorOf("{\"lexicon\": 1,\n  \"id\": \"com.example.thing\"\n  \"defs\": {}}"),
            "a/b.json:3:3: is no JSON from here: syntax error");
  EXPECT_EQ(ErrorOf("{\"lexicon\": 1"),
            "a/b.json:1:14: the file ends in the middle of its JSON: is a closing brace missing?");
  EXPECT_EQ(ErrorOf("{} {}"), "a/b.json:1:4: the document ended before this: a file holds one JSON object");
  EXPECT_EQ(ErrorOf("[]"), "a/b.json: must be an object, is a list");
  EXPECT_EQ(ErrorOf("{}"), "a/b.json: has no \"lexicon\": write \"lexicon\": 1");
  EXPECT_EQ(ErrorOf(R"({"lexicon": 2})"),
            "a/b.json: lexicon: must be 1, the one version of the language that there is");
  EXPECT_EQ(ErrorOf(R"({"lexicon": 1, "id": "example"})"),
            "a/b.json: id: \"example\" is no NSID: write one such as \"com.example.post\"");
  EXPECT_EQ(ErrorOf(R"({"lexicon": 1, "id": "com.example.thing"})"),
            "a/b.json: has no \"defs\": write \"defs\": {\"main\": …}");
  EXPECT_EQ(ErrorOf(R"({"lexicon": 1, "id": "com.example.thing", "defs": {}})"),
            "a/b.json: defs: is empty: define at least one thing");
  EXPECT_EQ(ErrorOf(R"({"lexicon": 1, "id": "com.example.thing", "confidence": "sure", "defs": {}})"),
            "a/b.json: confidence: \"sure\" is no confidence: write \"published\", \"reconstructed\" or "
            "\"inferred\"");
  EXPECT_EQ(
      ErrorOf(WithDefinition(R"({"typ": "string"})")),
      "a/b.json: defs/x: has no \"type\": write one of boolean, integer, string, bytes, cid-link, blob, "
      "array, object, token");
  EXPECT_EQ(
      ErrorOf(WithDefinition(R"({"type": "text"})")),
      "a/b.json: defs/x/type: \"text\" is no type: write one of boolean, integer, string, bytes, cid-link, "
      "blob, array, object, token");
  EXPECT_EQ(ErrorOf(WithDefinition(R"({"type": "record", "key": "tid", "record": {"type": "object"}})")),
            "a/b.json: defs/x/type: \"record\" cannot be a definition: name the definition \"main\"");
  EXPECT_EQ(ErrorOf(WithDefinition(R"({"type": "array"})")),
            "a/b.json: defs/x: has no \"items\": say what the array holds");
  EXPECT_EQ(
      ErrorOf(
          WithDefinition(R"({"type": "object", "required": ["a"], "properties": {"b": {"type": "token"}}})")),
      "a/b.json: defs/x/properties/b/type: \"token\" cannot be a property: write one of boolean, integer, "
      "string, bytes, cid-link, blob, array, object, ref, union, unknown");
  EXPECT_EQ(
      PropertyError(R"({"type": "string", "maxLength": "many"})"),
      "a/b.json: defs/main/record/properties/p/maxLength: must be a whole number of 0 or more, is a text");
  EXPECT_EQ(PropertyError(R"({"type": "string", "maxLength": -1})"),
            "a/b.json: defs/main/record/properties/p/maxLength: must be 0 or more, is -1");
  EXPECT_EQ(PropertyError(R"({"type": "string", "minLength": 9, "maxLength": 1})"),
            "a/b.json: defs/main/record/properties/p/minLength: is 9, above \"maxLength\" of 1: nothing "
            "could pass");
  EXPECT_EQ(
      PropertyError(R"({"type": "integer", "minimum": 1.5})"),
      "a/b.json: defs/main/record/properties/p/minimum: must be a whole number of 64 bits, is a number with "
      "a fraction");
  EXPECT_EQ(
      PropertyError(R"({"type": "boolean", "const": true, "default": true})"),
      "a/b.json: defs/main/record/properties/p: has \"const\" and \"default\", which exclude each other: "
      "keep one of them");
  EXPECT_EQ(
      PropertyError(R"({"type": "string", "format": "date"})"),
      "a/b.json: defs/main/record/properties/p/format: \"date\" is no format: at-identifier, at-uri, cid, "
      "datetime, did, handle, language, nsid, record-key, tid or uri");
  EXPECT_EQ(PropertyError(R"({"type": "string", "enum": []})"),
            "a/b.json: defs/main/record/properties/p/enum: is empty: list a value, or leave the key out");
  EXPECT_EQ(PropertyError(R"({"type": "string", "knownValues": ["a", 1]})"),
            "a/b.json: defs/main/record/properties/p/knownValues/1: must be a text, is a whole number");
  EXPECT_EQ(PropertyError(R"({"type": "blob", "accept": ["image"]})"),
            "a/b.json: defs/main/record/properties/p/accept/0: \"image\" is no MIME type: write \"*/*\", "
            "\"image/*\" or \"image/png\"");
  EXPECT_EQ(PropertyError(R"({"type": "ref"})"),
            "a/b.json: defs/main/record/properties/p: has no \"ref\": say what it refers to");
  EXPECT_EQ(PropertyError(R"({"type": "ref", "ref": "a#b#c"})"),
            "a/b.json: defs/main/record/properties/p/ref: \"a#b#c\" is no reference: write \"nsid\", "
            "\"nsid#name\" or \"#name\"");
  EXPECT_EQ(
      PropertyError(R"({"type": "union", "refs": [], "closed": true})"),
      "a/b.json: defs/main/record/properties/p/refs: is empty in a closed union, which nothing could pass: "
      "list a variant, or open it");
  EXPECT_EQ(
      ErrorOf(ThingDocument(R"("required": ["a"], "properties": {"b": {"type": "boolean"}})")),
      "a/b.json: defs/main/record/required/0: \"a\" is not one of \"properties\": define it there, or take "
      "it out");
  EXPECT_EQ(
      ErrorOf(ThingDocument(R"("nullable": ["a"])")),
      "a/b.json: defs/main/record/nullable/0: \"a\" is not one of \"properties\": define it there, or take "
      "it out");
  EXPECT_EQ(
      ErrorOf(
          R"({"lexicon": 1, "id": "com.example.thing", "defs": {"main": {"type": "record", "record": {}}}})"),
      "a/b.json: defs/main: has no \"key\": write \"tid\", \"nsid\", \"any\" or \"literal:…\"");
}

TEST(LexiconDocument, RefusesMoreShapesThatAreNone) {
  for (const std::string_view schema : {R"("text")",
                                        R"({"type": 1})",
                                        R"({"type": "unknown"})",
                                        R"({"type": "ref", "ref": "#a"})",
                                        R"({"type": "union", "refs": []})",
                                        R"({"type": "params", "properties": {}})",
                                        R"({"type": "permission"})",
                                        R"({"type": "string", "description": 1})",
                                        R"({"type": "boolean", "default": "yes"})",
                                        R"({"type": "integer", "enum": ["a"]})",
                                        R"({"type": "integer", "maximum": 9223372036854775808})",
                                        R"({"type": "string", "const": 1})",
                                        R"({"type": "string", "minGraphemes": 2, "maxGraphemes": 1})",
                                        R"({"type": "bytes", "minLength": 2, "maxLength": 1})",
                                        R"({"type": "blob", "maxSize": -1})",
                                        R"({"type": "blob", "accept": ["*/png"]})",
                                        R"({"type": "blob", "accept": ["image/p*"]})",
                                        R"({"type": "array", "items": {"type": "params"}})",
                                        R"({"type": "array", "items": "string"})",
                                        R"({"type": "object", "properties": []})",
                                        R"({"type": "object", "properties": {"": {"type": "string"}}})",
                                        R"({"type": "object", "required": [1], "properties": {}})"}) {
    EXPECT_NE(ErrorOf(WithDefinition(schema)), "no error") << schema;
  }
  EXPECT_NE(ErrorOf(R"({"lexicon": 1, "id": "com.example.thing", "defs": {"a#b": {"type": "token"}}})"),
            "no error");
  EXPECT_NE(ErrorOf(R"({"lexicon": 1, "id": "com.example.thing", "defs": {"": {"type": "token"}}})"),
            "no error");
  EXPECT_NE(ErrorOf(R"({"lexicon": 1.0, "id": "com.example.thing", "defs": {"a": {"type": "token"}}})"),
            "no error");
  for (const std::string_view ref :
       {"", "#", "#a#b", "example", "com.example.thing#", "com.example.thing/a"}) {
    EXPECT_NE(PropertyError(std::string(R"({"type": "ref", "ref": ")").append(ref).append("\"}")), "no error")
        << ref;
  }
}

TEST(LexiconDocument, BoundsDepthAndSize) {
  std::string deep;
  for (int i = 0; i < 100; ++i) deep += R"({"type": "array", "items": )";
  EXPECT_THAT(ErrorOf(WithDefinition(deep)), testing::HasSubstr("is nested deeper than 64 levels"));
  EXPECT_THAT(ErrorOf(std::string(kMaxDocumentBytes + 1, ' ')),
              testing::HasSubstr("a lexicon at most 1048576"));
  const std::string name(kMaxNameBytes + 1, 'n');
  EXPECT_NE(
      ErrorOf(R"({"lexicon": 1, "id": "com.example.thing", "defs": {")" + name + R"(": {"type": "token"}}})"),
      "no error");
}

TEST(LexiconDocument, SurvivesEveryTruncation) {
  const std::string whole = ThingDocument(R"("required": ["a"], "properties": {"a": {"type": "string"}})");
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(ParseDocument("a/b.json", whole.substr(0, size)).ok()) << size;
  }
}

}  // namespace
}  // namespace penstock::lexicon
