// Random lexicons and random records: the validator against the slow checker, and against damage.

#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cbor/json_in.h"
#include "gtest/gtest.h"
#include "tests/lexicon/lexicon_testing.h"
#include "tests/lexicon/slow_checker.h"

namespace penstock::lexicon {
namespace {

namespace json = boost::json;

// The seed is printed with a failure; PENSTOCK_SEED takes one.
uint32_t Seed() {
  const char* const given = std::getenv("PENSTOCK_SEED");
  return given != nullptr ? static_cast<uint32_t>(std::strtoul(given, nullptr, 10)) : 20261121;
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  size_t Below(size_t n) { return engine_() % n; }
  bool Chance(size_t percent) { return Below(100) < percent; }
  template <typename T>
  const T& Pick(const std::vector<T>& list) {
    return list[Below(list.size())];
  }

 private:
  std::mt19937 engine_;
};

// Names whose order by length and bytes is not the alphabet's.
const std::vector<std::string> kNames = {"a",       "b",     "aa",    "Z",    "zz",      "$a",   "ref",
                                         "cid",     "size",  "text",  "é",    "ab c",    "type", "kind",
                                         "subject", "$typf", "$typd", "link", "mimeType"};
const std::vector<std::string> kTexts = {"",
                                         "a",
                                         "bb",
                                         "é",
                                         "👩‍👩‍👦‍👦",
                                         "क्षत्रिय",
                                         "a somewhat longer text",
                                         "com.example.thing",
                                         "did:plc:abc",
                                         "at://did:plc:abc/a.b.c/d",
                                         "at://did:plc:abc#/x",
                                         "2024-01-01T00:00:00Z",
                                         "2024-01-01T00:00:00",
                                         "en",
                                         "EN",
                                         "https://example.com",
                                         "HTTPS://ä",
                                         "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
                                         "bafyreiclp"};
const std::vector<std::string> kFormats = {"at-identifier", "at-uri", "cid",      "datetime",
                                           "did",           "handle", "language", "nsid",
                                           "record-key",    "tid",    "uri"};
// What a reference may name; the last of them nobody defines.
const std::vector<std::string> kTargets = {"com.example.thing#o1", "com.example.thing#o2",
                                           "com.example.other#o1", "com.example.thing",
                                           "com.example.other",    "com.example.gone#x"};

class SchemaMaker {
 public:
  explicit SchemaMaker(Random* random) : random_(*random) {}

  json::object Field(int depth) {
    switch (random_.Below(depth > 0 ? 12 : 9)) {
      case 0:
        return With({{"type", "boolean"}}, "const", random_.Chance(50), 20);
      case 1: {
        json::object schema = {{"type", "integer"}};
        if (random_.Chance(30)) schema["minimum"] = static_cast<int64_t>(random_.Below(5));
        if (random_.Chance(30)) schema["maximum"] = static_cast<int64_t>(5 + random_.Below(5));
        if (random_.Chance(20)) schema["enum"] = {1, 7, static_cast<int64_t>(random_.Below(9))};
        return With(schema, random_.Chance(50) ? "const" : "default", static_cast<int64_t>(random_.Below(9)),
                    20);
      }
      case 2:
      case 3:
        return Text();
      case 4:
        return Bounds({{"type", "bytes"}}, "Length", 4);
      case 5:
        return {{"type", "cid-link"}};
      case 6: {
        json::object schema = With({{"type", "blob"}}, "maxSize", 10, 50);
        return random_.Chance(50) ? With(schema, "accept", json::array{"image/*", "text/plain"}, 100)
                                  : schema;
      }
      case 7:
        return {{"type", "unknown"}};
      case 8:
        return {{"type", "ref"}, {"ref", random_.Pick(kTargets)}};
      case 9: {
        json::object schema = Bounds({{"type", "array"}}, "Length", 3);
        schema["items"] = Field(depth - 1);
        return schema;
      }
      case 10: {
        json::array refs;
        for (const std::string& target : kTargets) {
          if (random_.Chance(50)) refs.emplace_back(target);
        }
        const bool closed = !refs.empty() && random_.Chance(40);
        return {{"type", "union"}, {"refs", refs}, {"closed", closed}};
      }
      default:
        return Object(depth - 1);
    }
  }

  json::object Object(int depth) {
    json::object properties;
    json::array required, nullable;
    for (size_t n = random_.Below(6); n > 0; --n) {
      const std::string& name = random_.Pick(kNames);
      if (properties.contains(name)) continue;
      properties[name] = Field(depth);
      if (random_.Chance(30)) required.emplace_back(name);
      if (random_.Chance(15)) nullable.emplace_back(name);
    }
    return {{"type", "object"}, {"required", required}, {"nullable", nullable}, {"properties", properties}};
  }

  Document Whole(std::string_view nsid) {
    json::object definitions = {
        {"main", json::object{{"type", "record"}, {"key", "any"}, {"record", Object(3)}}},
        {"o1", Object(2)},
        {"o2", Object(2)}};
    const char* const confidence = random_.Chance(75) ? "published" : "reconstructed";
    return test::Parsed(json::serialize(json::object{{"lexicon", 1},
                                                     {"id", json::string_view(nsid.data(), nsid.size())},
                                                     {"confidence", confidence},
                                                     {"defs", definitions}}));
  }

 private:
  json::object With(json::object schema, std::string_view key, json::value value, size_t percent) {
    if (random_.Chance(percent)) schema[json::string_view(key.data(), key.size())] = std::move(value);
    return schema;
  }
  json::object Bounds(json::object schema, std::string_view what, size_t middle) {
    const std::string name(what);
    if (random_.Chance(30)) schema["min" + name] = static_cast<int64_t>(random_.Below(middle));
    if (random_.Chance(30)) schema["max" + name] = static_cast<int64_t>(middle + random_.Below(middle));
    return schema;
  }
  json::object Text() {
    json::object schema = Bounds(Bounds({{"type", "string"}}, "Length", 8), "Graphemes", 4);
    if (random_.Chance(30)) schema["format"] = random_.Pick(kFormats);
    for (const std::string_view key : {"enum", "knownValues"}) {
      if (!random_.Chance(20)) continue;
      json::array values;
      for (size_t n = 1 + random_.Below(4); n > 0; --n) values.emplace_back(random_.Pick(kTexts));
      schema[json::string_view(key.data(), key.size())] = values;
    }
    return With(schema, random_.Chance(50) ? "const" : "default", json::string(random_.Pick(kTexts)), 15);
  }

  Random& random_;
};

// Values that mostly fit a schema. Valid data, always.
class ValueMaker {
 public:
  ValueMaker(Random* random, const std::vector<Document>* documents)
      : random_(*random), documents_(*documents) {}

  json::value Fitting(const Schema& schema, int depth) {
    if (depth <= 0 || random_.Chance(6)) return Any(2);
    switch (schema.type) {
      case Type::kBoolean:
        return schema.bool_const.value_or(random_.Chance(50));
      case Type::kInteger:
        return schema.int_const && random_.Chance(90) ? *schema.int_const
                                                      : static_cast<int64_t>(random_.Below(11));
      case Type::kString:
        if (schema.string_const && random_.Chance(90)) return json::string(*schema.string_const);
        if (!schema.string_enum.empty() && random_.Chance(90))
          return json::string(random_.Pick(schema.string_enum));
        return json::string(random_.Pick(kTexts));
      case Type::kBytes:
        return json::object{{"$bytes", std::string(random_.Below(3) * 4, 'Y')}};
      case Type::kCidLink:
        return Link();
      case Type::kBlob:
        return random_.Chance(90) ? BlobValue() : LegacyBlob();
      case Type::kArray: {
        json::array array;
        for (size_t n = random_.Below(5); n > 0; --n)
          array.push_back(Fitting(schema.items.front(), depth - 1));
        return array;
      }
      case Type::kObject:
        return Map(schema, depth, {});
      case Type::kRecord:
        return Map(schema.items.front(), depth, "com.example.thing");
      case Type::kRef:
        return Referred(schema.refs.front(), depth);
      case Type::kUnion: {
        if (schema.refs.empty()) return json::object{{"$type", "com.example.new"}};
        const std::string& target = random_.Pick(schema.refs);
        json::value value = Referred(target, depth);
        if (!value.is_object() || value.as_object().contains("$link") || value.as_object().contains("$bytes"))
          return value;
        const bool main = target.ends_with("#main") && random_.Chance(80);
        value.as_object()["$type"] = main ? target.substr(0, target.size() - 5) : target;
        return value;
      }
      default:
        return Any(2);
    }
  }

  json::object Map(const Schema& schema, int depth, std::string_view type) {
    json::object map;
    if (!type.empty()) map["$type"] = json::string_view(type.data(), type.size());
    for (const Property& property : schema.properties) {
      if (!random_.Chance(property.required ? 94 : 50)) continue;
      map[property.name] =
          property.nullable && random_.Chance(30) ? json::value() : Fitting(property.schema, depth - 1);
    }
    for (size_t n = random_.Below(3); n > 0; --n) {
      const std::string& name = random_.Pick(kNames);
      if (!map.contains(name)) map[name] = Any(1);
    }
    return map;
  }

  json::value Any(int depth) {
    switch (random_.Below(depth > 0 ? 11 : 7)) {
      case 0:
        return nullptr;
      case 1:
        return random_.Chance(50);
      case 2:
        return static_cast<int64_t>(random_.Below(20)) - 5;
      case 3:
        return json::string(random_.Pick(kTexts));
      case 4:
        return Link();
      case 5:
        return json::object{{"$bytes", "YWI"}};
      case 6:
        return random_.Chance(50) ? BlobValue() : LegacyBlob();
      case 7:
      case 8: {
        json::array array;
        for (size_t n = random_.Below(3); n > 0; --n) array.push_back(Any(depth - 1));
        return array;
      }
      default: {
        json::object map;
        if (random_.Chance(40)) map["$type"] = random_.Pick(kTargets);
        for (size_t n = random_.Below(3); n > 0; --n) map[random_.Pick(kNames)] = Any(depth - 1);
        return map;
      }
    }
  }

 private:
  json::value Referred(const std::string& target, int depth) {
    for (const Document& document : documents_) {
      for (const Definition& definition : document.definitions) {
        if (document.nsid + "#" + definition.name != target) continue;
        const Schema& schema = definition.schema;
        if (schema.type == Type::kRecord)
          return Map(schema.items.front(), depth - 1, random_.Chance(95) ? document.nsid : "a.b.c");
        return Fitting(schema, depth - 1);
      }
    }
    return Any(1);
  }
  json::value Link() {
    return json::object{{"$link", "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq"}};
  }
  json::value BlobValue() {
    return json::object{{"$type", "blob"},
                        {"ref", Link()},
                        {"mimeType", random_.Chance(50) ? "image/png" : "text/html"},
                        {"size", static_cast<int64_t>(random_.Below(12))}};
  }
  json::value LegacyBlob() { return json::object{{"cid", random_.Pick(kTexts)}, {"mimeType", "image/png"}}; }

  Random& random_;
  const std::vector<Document>& documents_;
};

TEST(LexiconRandom, TheValidatorAgreesWithTheSlowChecker) {
  const uint32_t seed = Seed();
  Random random(seed);
  size_t outcomes[3] = {};
  for (int round = 0; round < 600; ++round) {
    SchemaMaker schemas(&random);
    const std::vector<Document> documents = {schemas.Whole("com.example.thing"),
                                             schemas.Whole("com.example.other")};
    const auto catalog = Catalog::Build(documents);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    ValueMaker values(&random, &documents);
    for (int i = 0; i < 40; ++i) {
      const json::value record =
          values.Map(documents[0].definitions[0].schema.items.front(), 7, "com.example.thing");
      const auto block = cbor::JsonToCbor(json::serialize(record));
      ASSERT_TRUE(block.ok()) << block.status() << " " << record;
      for (const Policy& policy :
           {Policy{}, Policy{.strict = true}, Policy{.mode = Mode::kRequired, .strict = random.Chance(50)}}) {
        const Verdict fast = ValidateRecord(*catalog, "com.example.thing", "key", AsBytes(*block), policy);
        const Outcome slow = test::SlowChecker(documents, policy).Check("com.example.thing", record);
        ASSERT_EQ(fast.outcome, slow)
            << "seed " << seed << ", round " << round << ": " << test::Summary(fast) << "\n"
            << record;
        ++outcomes[static_cast<size_t>(slow)];
      }
    }
  }
  std::printf("[ random   ] %zu valid, %zu with warnings, %zu refused\n", outcomes[0], outcomes[1],
              outcomes[2]);
  for (const size_t count : outcomes) EXPECT_GT(count, 5'000u);  // or the test tests little
}

TEST(LexiconRandom, DamagedRecordsDoNoHarm) {
  const uint32_t seed = Seed() + 1;
  Random random(seed);
  size_t judged = 0;
  for (int round = 0; round < 60; ++round) {
    SchemaMaker schemas(&random);
    const std::vector<Document> documents = {schemas.Whole("com.example.thing"),
                                             schemas.Whole("com.example.other")};
    const auto catalog = Catalog::Build(documents);
    ASSERT_TRUE(catalog.ok()) << catalog.status();
    ValueMaker values(&random, &documents);
    for (int i = 0; i < 20; ++i) {
      const auto block = cbor::JsonToCbor(json::serialize(
          values.Map(documents[0].definitions[0].schema.items.front(), 7, "com.example.thing")));
      ASSERT_TRUE(block.ok());
      for (int damage = 0; damage < 20; ++damage) {
        std::string bytes = *block;
        for (size_t n = 1 + random.Below(3); n > 0; --n)
          bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
        if (random.Chance(20)) bytes.resize(random.Below(bytes.size()));
        const Verdict verdict = ValidateRecord(*catalog, "com.example.thing", "key", AsBytes(bytes), {});
        ASSERT_LE(verdict.findings.size(), kMaxFindings);
        ++judged;
      }
    }
  }
  EXPECT_EQ(judged, 24'000u);
}

// A document with any part cut out, doubled or swapped is read or refused, with its name.
TEST(LexiconRandom, DamagedDocumentsDoNoHarm) {
  Random random(Seed() + 2);
  const std::string whole = test::ThingDocument(
      R"("required": ["a"], "properties": {"a": {"type": "string", "format": "at-uri", "enum": ["x"]},
         "b": {"type": "array", "items": {"type": "union", "refs": ["#c"]}}, "d": {"type": "blob", "accept": ["*/*"]}})",
      R"("c": {"type": "object", "nullable": [], "properties": {"e": {"type": "integer", "minimum": 1}}})");
  size_t good = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string text = whole;
    for (size_t n = 1 + random.Below(2); n > 0; --n) {
      const size_t at = random.Below(text.size()), size = random.Below(12);
      switch (random.Below(3)) {
        case 0:
          text.erase(at, size);
          break;
        case 1:
          text.insert(at, text.substr(random.Below(text.size()), size));
          break;
        default:
          text[at] = static_cast<char>(random.Below(256));
      }
    }
    const auto document = ParseDocument("damaged", text);
    if (!document.ok()) {
      ASSERT_TRUE(Message(document.status()).starts_with("damaged:")) << Message(document.status());
      continue;
    }
    ++good;
    const std::vector<Document> documents = {*document};
    (void)Catalog::Build(documents);
  }
  EXPECT_GT(good, 0u);
}

}  // namespace
}  // namespace penstock::lexicon
