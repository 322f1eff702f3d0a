// DAG-CBOR, CID and JSON vectors of other projects, read in place. Each case is named, each source's count
// printed.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/status.h"
#include "cbor/json_in.h"
#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "cbor/second_opinion.h"
#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"
#include "tests/cbor/differential.h"
#include "tests/cbor/random_item.h"
#include "tests/support/shared_data.h"

namespace penstock::cbor {
namespace {

namespace json = boost::json;
using test::Outcome;

// The folder of one source, or the test is skipped.
#define VECTORS_OR_SKIP(variable, source)                                   \
  const auto variable##_root = test::VectorsFolder();                       \
  if (!variable##_root) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS"; \
  const std::filesystem::path variable = *variable##_root / source;         \
  if (!std::filesystem::is_directory(variable)) GTEST_SKIP() << "no folder " << variable

json::value ParseFile(const std::filesystem::path& path) {
  json::parse_options options;
  options.max_depth = 256;
  return json::parse(test::ReadFileText(path), {}, options);
}

// By value: a loop over it keeps it alive, which it would not do for the value that it came out of.
json::array ParseArray(const std::filesystem::path& path) { return ParseFile(path).as_array(); }

std::string StringOf(const json::value& object, const char* key) {
  return std::string(object.at(key).as_string());
}

// How many cases of a source ran: none means that the file is not what we think, and fails.
void Ran(const char* source, size_t cases) {
  std::printf("[ vectors  ] %s: %zu cases\n", source, cases);
  EXPECT_GT(cases, 0u) << source;
}

// Decodes and encodes again.
std::string Recoded(Bytes item) {
  Reader reader(item);
  std::string copy;
  if (!test::CopyItem(reader, &copy)) return Outcome(reader.status());
  return ToHex(AsBytes(copy));
}

// ---- dasl-testing ----

// What an encoder must refuse: floats that DRISL lacks. The other values of these entries have no call in
// Writer.
void ExpectUnwritable(Bytes item) {
  LenientReader reader(item);
  LenientItem head;
  ASSERT_EQ(reader.Next(&head), LenientReader::Result::kItem);
  std::string out;
  switch (head.kind) {
    case LenientKind::kFloat:
      EXPECT_FALSE(Writer(&out).Float(head.number));
      EXPECT_EQ(out, "");
      break;
    case LenientKind::kTag:
    case LenientKind::kUndefined:
    case LenientKind::kSimple:
    case LenientKind::kMap:
      EXPECT_FALSE(CheckItem(item).ok());
      break;
    default:
      ADD_FAILURE() << "an unforeseen kind of value";
  }
}

TEST(CborVectors, DaslTesting) {
  VECTORS_OR_SKIP(folder, "dasl-testing");
  const Limits dasl = {.dasl_cids_only = true};
  std::map<std::string, size_t> ran;
  size_t other_profiles = 0, blessed = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    for (const json::value& vector : ParseArray(entry.path())) {
      SCOPED_TRACE(entry.path().filename().string() + ": " + StringOf(vector, "type") + ": " +
                   StringOf(vector, "name"));
      std::set<std::string> tags;
      for (const json::value& tag : vector.at("tags").as_array()) tags.emplace(tag.as_string());
      if (!tags.contains("basic") && !tags.contains("dag-cbor") && !tags.contains("dasl-cid")) {
        ++other_profiles;
        continue;
      }
      const auto item = FromHex(StringOf(vector, "data"));
      ASSERT_TRUE(item.has_value());
      const std::string type = StringOf(vector, "type");
      ++ran[type];
      if (type == "roundtrip") {
        EXPECT_EQ(Outcome(CheckItem(*item, dasl)), "ok");
        EXPECT_EQ(Recoded(*item), ToHex(*item));
        Reader reader(*item);
        CidView cid;
        if (reader.Peek() == Kind::kLink && reader.ReadLink(&cid)) blessed += cid.IsBlessed();
      } else if (type == "invalid_in") {
        EXPECT_NE(Outcome(CheckItem(*item, dasl)), "ok");
      } else if (type == "invalid_out") {
        ExpectUnwritable(*item);
      } else {
        ADD_FAILURE() << "an unforeseen type of entry";
      }
    }
  }
  Ran("dasl-testing roundtrip", ran["roundtrip"]);
  Ran("dasl-testing invalid_in", ran["invalid_in"]);
  Ran("dasl-testing invalid_out", ran["invalid_out"]);
  std::printf(
      "[ vectors  ] dasl-testing: %zu entries belong to other profiles (rfc8949, dCBOR, CBOR-Core, CDE)\n",
      other_profiles);
  EXPECT_GT(blessed, 0u);
}

// ---- ipld-codec-fixtures ----

// Whether `ours`, atproto JSON, says the same as `theirs`, DAG-JSON: bytes and links are written differently
// there, and an integral float has no point. Numbers are compared as Boost.JSON reads them.
bool SameValue(const json::value& ours, const json::value& theirs) {
  if (const json::object* object = theirs.if_object()) {
    const json::value* reserved = object->size() == 1 ? object->if_contains("/") : nullptr;
    if (!ours.is_object()) return false;
    if (reserved != nullptr && reserved->is_string()) {
      const json::value* link = ours.as_object().if_contains("$link");
      if (link == nullptr) return false;
      // DAG-JSON may write a CIDv1 in another base than ours; the binary form is compared by the round trip.
      return link->as_string() == reserved->as_string() || !reserved->as_string().starts_with("b");
    }
    if (reserved != nullptr && reserved->is_object() && reserved->as_object().contains("bytes")) {
      const json::value* bytes = ours.as_object().if_contains("$bytes");
      return bytes != nullptr && bytes->as_string() == reserved->as_object().at("bytes").as_string();
    }
    if (ours.as_object().size() != object->size()) return false;
    for (const auto& [key, value] : *object) {
      const json::value* mine = ours.as_object().if_contains(key);
      if (mine == nullptr || !SameValue(*mine, value)) return false;
    }
    return true;
  }
  if (const json::array* array = theirs.if_array()) {
    if (!ours.is_array() || ours.as_array().size() != array->size()) return false;
    for (size_t i = 0; i < array->size(); ++i) {
      if (!SameValue(ours.as_array()[i], (*array)[i])) return false;
    }
    return true;
  }
  if (theirs.is_double() || ours.is_double()) {
    if (!theirs.is_number() || !ours.is_number()) return false;
    const double a = ours.to_number<double>(), b = theirs.to_number<double>();
    return std::abs(a - b) <= 1e-12 * std::abs(b);  // Boost 1.81 does not round the last digit exactly
  }
  return ours == theirs;
}

TEST(CborVectors, IpldCodecFixtures) {
  VECTORS_OR_SKIP(folder, "ipld-codec-fixtures");
  size_t cases = 0, values = 0, atproto_accepts = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".dag-cbor") continue;
    SCOPED_TRACE(entry.path().parent_path().filename().string());
    const std::vector<uint8_t> item = test::ReadFileBytes(entry.path());
    ++cases;
    EXPECT_EQ(Outcome(CheckItem(item)), "ok");
    EXPECT_EQ(Recoded(item), ToHex(item));
    EXPECT_EQ(Cid::OfBlock(item).ToString(), entry.path().stem().string());
    EXPECT_EQ(test::Disagreement(item), "");
    std::string text;
    ASSERT_TRUE(AppendJson(item, {}, &text).ok());
    const auto back = JsonToCbor(text, {}, DataModel::kDrisl);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(ToHex(AsBytes(*back)), ToHex(item));
    for (const auto& sibling : std::filesystem::directory_iterator(entry.path().parent_path())) {
      if (sibling.path().extension() != ".dag-json") continue;
      ++values;
      EXPECT_TRUE(SameValue(json::parse(text), ParseFile(sibling.path()))) << text;
    }
    // The atproto layer: whatever the kind of value, wrapped in an object so that only the value can offend.
    std::string wrapped;
    MapWriter map;
    map.Key("x").Raw(item);
    map.Finish(&wrapped);
    const std::string data = Outcome(CheckData(AsBytes(wrapped), nullptr));
    const std::string name = entry.path().parent_path().filename().string();
    if (name.starts_with("float-")) {
      EXPECT_EQ(data, "record_float");
    } else if (name.starts_with("cid-Qm")) {
      EXPECT_EQ(data, "cid_unsupported");
    } else if (name == "int-11959030306112471731" || name == "int-18446744073709551615" ||
               name == "int--11959030306112471732" || name == "int--18446744073709551616") {
      EXPECT_EQ(data, "record_integer_range");
    }
    atproto_accepts += data == "ok";
  }
  Ran("ipld-codec-fixtures", cases);
  Ran("ipld-codec-fixtures as JSON", values);
  Ran("ipld-codec-fixtures that are atproto data", atproto_accepts);
}

TEST(CborVectors, IpldCodecFixturesNegative) {
  VECTORS_OR_SKIP(folder, "ipld-codec-fixtures/negative");
  size_t cases = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    for (const json::value& vector : ParseArray(entry.path())) {
      SCOPED_TRACE(entry.path().filename().string() + ": " + StringOf(vector, "name"));
      if (!vector.as_object().contains("hex")) continue;  // a case for the other codec, DAG-JSON
      const auto item = FromHex(StringOf(vector, "hex"));
      ASSERT_TRUE(item.has_value());
      ++cases;
      EXPECT_NE(Outcome(CheckItem(*item)), "ok");
      if (entry.path().stem() == "duplicate-keys") {
        EXPECT_EQ(Outcome(CheckItem(*item)), "cbor_map_key_duplicate");
      }
    }
  }
  Ran("ipld-codec-fixtures negative", cases);
}

// ---- rfc8949 ----

// Whether a well-formed item uses only what protocol 7.1 lists, seen by libcbor: the judgement is not our
// reader's.
bool OnlyDrislKinds(Bytes item) {
  LenientReader reader(item);
  LenientItem head;
  std::vector<std::pair<uint64_t, bool>> levels;  // items left, is a map
  for (;;) {
    while (!levels.empty() && levels.back().first == 0) levels.pop_back();
    if (reader.Next(&head) != LenientReader::Result::kItem) return levels.empty();
    if (!levels.empty()) {
      auto& [left, is_map] = levels.back();
      if (is_map && left % 2 == 0 && head.kind != LenientKind::kText) return false;
      --left;
    }
    switch (head.kind) {
      case LenientKind::kArray:
        levels.emplace_back(head.argument, false);
        break;
      case LenientKind::kMap:
        levels.emplace_back(2 * head.argument, true);
        break;
      case LenientKind::kFloat:
        if (head.head_size != 9 || !std::isfinite(head.number) ||
            (head.number == 0 && std::signbit(head.number))) {
          return false;
        }
        break;
      case LenientKind::kUint:
      case LenientKind::kNegative:
      case LenientKind::kBytes:
      case LenientKind::kText:
      case LenientKind::kBool:
      case LenientKind::kNull:
        break;
      default:
        return false;  // tags (none of these vectors has 42), simple values, indefinite lengths
    }
  }
}

TEST(CborVectors, Rfc8949) {
  VECTORS_OR_SKIP(folder, "rfc8949");
  std::map<std::string, size_t> ran;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    for (const json::value& vector : ParseArray(entry.path())) {
      SCOPED_TRACE(StringOf(vector, "hex"));
      const auto item = FromHex(StringOf(vector, "hex"));
      ASSERT_TRUE(item.has_value());
      std::set<std::string> flags;
      for (const json::value& flag : vector.at("flags").as_array()) flags.emplace(flag.as_string());
      const bool accepted = CheckItem(*item).ok();
      EXPECT_EQ(test::Disagreement(*item), "");
      (void)Diagnose(*item);
      if (flags.contains("invalid")) {
        ++ran["invalid"];
        EXPECT_FALSE(accepted);
      } else if (!flags.contains("canonical")) {
        ++ran["valid, not canonical"];
        EXPECT_FALSE(accepted);
      } else {
        const bool expected = OnlyDrislKinds(*item);
        ++ran[expected ? "canonical, DRISL" : "canonical, of other kinds"];
        EXPECT_EQ(accepted, expected);
        if (expected) {
          EXPECT_EQ(Recoded(*item), ToHex(*item));
        }
      }
    }
  }
  for (const char* group :
       {"invalid", "valid, not canonical", "canonical, DRISL", "canonical, of other kinds"}) {
    Ran((std::string("rfc8949 ") + group).c_str(), ran[group]);
  }
}

// ---- serde_ipld_dagcbor ----

TEST(CborVectors, SerdeIpldDagcbor) {
  VECTORS_OR_SKIP(folder, "serde_ipld_dagcbor");
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    SCOPED_TRACE(entry.path().filename().string());
    const std::vector<uint8_t> item = test::ReadFileBytes(entry.path());
    ++cases;
    EXPECT_NE(Outcome(CheckItem(item)), "ok");
    std::string text;
    EXPECT_FALSE(AppendJson(item, {}, &text).ok());
    EXPECT_FALSE(Diagnose(item).empty());
  }
  Ran("serde_ipld_dagcbor", cases);
}

// ---- atproto-interop-tests/data-model ----

TEST(CborVectors, AtprotoDataModelFixtures) {
  VECTORS_OR_SKIP(folder, "atproto-interop-tests/data-model");
  size_t cases = 0;
  for (const json::value& vector : ParseArray(folder / "data-model-fixtures.json")) {
    SCOPED_TRACE(StringOf(vector, "cid"));
    ++cases;
    const auto expected = FromBase64(StringOf(vector, "cbor_base64"));
    ASSERT_TRUE(expected.has_value());
    const auto item = JsonToCbor(json::serialize(vector.at("json")));
    ASSERT_TRUE(item.ok()) << item.status();
    EXPECT_EQ(ToHex(AsBytes(*item)), ToHex(*expected));
    EXPECT_EQ(Cid::OfBlock(*expected).ToString(), StringOf(vector, "cid"));
    std::string text;
    ASSERT_TRUE(AppendJson(*expected, {}, &text).ok());
    EXPECT_EQ(json::parse(text), vector.at("json"));
    EXPECT_EQ(Recoded(*expected), ToHex(*expected));
    EXPECT_EQ(Outcome(CheckData(*expected, nullptr)), "ok");
  }
  Ran("atproto-interop-tests/data-model fixtures", cases);
}

TEST(CborVectors, AtprotoDataModelValid) {
  VECTORS_OR_SKIP(folder, "atproto-interop-tests/data-model");
  size_t cases = 0;
  for (const json::value& vector : ParseArray(folder / "data-model-valid.json")) {
    SCOPED_TRACE(StringOf(vector, "note"));
    ++cases;
    const auto item = JsonToCbor(json::serialize(vector.at("json")));
    EXPECT_TRUE(item.ok()) << item.status();
  }
  Ran("atproto-interop-tests/data-model valid", cases);
}

TEST(CborVectors, AtprotoDataModelInvalid) {
  VECTORS_OR_SKIP(folder, "atproto-interop-tests/data-model");
  // Why, for those that we know; a case that is not here must only fail.
  const std::map<std::string, std::string> reasons = {
      {"top-level not an object", "record_not_a_map"},
      {"float", "json_number"},
      {"record with $type null", "record_bad_type"},
      {"record with $type wrong type", "record_bad_type"},
      {"record with empty $type string", "record_bad_type"},
      {"blob with string size", "record_bad_blob"},
      {"blob with missing key", "record_bad_blob"},
      {"bytes with wrong field type", "json_bad_bytes"},
      {"bytes with extra fields", "json_bad_bytes"},
      {"link with wrong field type", "json_bad_link"},
      {"link with bogus CID", "json_bad_link"},
      {"link with extra fields", "json_bad_link"},
  };
  size_t cases = 0;
  for (const json::value& vector : ParseArray(folder / "data-model-invalid.json")) {
    const std::string note = StringOf(vector, "note");
    SCOPED_TRACE(note);
    ++cases;
    const std::string outcome = Outcome(JsonToCbor(json::serialize(vector.at("json"))).status());
    const auto reason = reasons.find(note);
    if (reason != reasons.end()) {
      EXPECT_EQ(outcome, reason->second);
    } else {
      EXPECT_NE(outcome, "ok");
    }
  }
  Ran("atproto-interop-tests/data-model invalid", cases);
}

}  // namespace
}  // namespace penstock::cbor
