#include "cbor/json_in.h"

#include <gtest/gtest.h>

#include "cbor/json_out.h"
#include "cbor/record_data.h"
#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"
#include "tests/cbor/random_item.h"

namespace penstock::cbor {
namespace {

using test::Outcome;

// The CBOR in hex, or why there is none.
std::string Cbor(std::string_view json, const Limits& limits = {}, DataModel model = DataModel::kAtproto) {
  const auto item = JsonToCbor(json, limits, model);
  if (!item.ok()) return Outcome(item.status());
  EXPECT_EQ(Outcome(CheckItem(AsBytes(*item))), "ok");
  return ToHex(AsBytes(*item));
}

std::string Drisl(std::string_view json) { return Cbor(json, {}, DataModel::kDrisl); }

// {"x": json}: the CBOR of the value alone.
std::string Value(std::string_view json) {
  const std::string item = Cbor("{\"x\":" + std::string(json) + "}");
  return item.starts_with("a16178") ? item.substr(6) : item;
}

constexpr char kRawCid[] = "bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4";

TEST(JsonIn, ValuesOfEachKind) {
  EXPECT_EQ(Cbor("{}"), "a0");
  EXPECT_EQ(Value("null"), "f6");
  EXPECT_EQ(Value("true"), "f5");
  EXPECT_EQ(Value("false"), "f4");
  EXPECT_EQ(Value("\"\""), "60");
  EXPECT_EQ(Value("[]"), "80");
  EXPECT_EQ(Value("[1,[\"a\",{}],-1]"),
            "83"
            "01"
            "82"
            "6161"
            "a0"
            "20");
  EXPECT_EQ(Cbor(" { \"x\" : [ 1 , 2 ] } \n"), "a16178820102");
}

TEST(JsonIn, KeysComeOutSortedAndOnce) {
  EXPECT_EQ(Cbor(R"({"bb":1,"a":2,"":3,"aa":4})"),
            "a4"
            "6003"
            "616102"
            "62616104"
            "62626201");
  EXPECT_EQ(Cbor(R"({"b":{"d":1,"c":2},"a":[{"f":3,"e":4}]})"),
            "a2"
            "6161"
            "81a2616504616603"
            "6162"
            "a2616302616401");
  EXPECT_EQ(Cbor(R"({"a":1,"a":1})"), "cbor_map_key_duplicate");
  EXPECT_EQ(Cbor(R"({"a":1,"b":{"x":1,"y":2,"x":3}})"), "cbor_map_key_duplicate");
  EXPECT_EQ(Cbor(R"({"a":1,"\u0061":2})"), "cbor_map_key_duplicate") << "escaped, the same key";
}

TEST(JsonIn, StringsAndEscapes) {
  EXPECT_EQ(Value(R"("\"\\\/\b\f\n\r\t\u0041\u00e9")"),
            "6b"
            "225c2f080c0a0d0941c3a9");
  EXPECT_EQ(Value(R"("a\u0000b")"), "63610062");
  EXPECT_EQ(Value(R"("\ud83d\ude00")"), "64f09f9880");
  EXPECT_EQ(Value("\"😀\""), "64f09f9880");
  EXPECT_EQ(Value(R"("\ud83d")"), "json_malformed") << "half a pair";
  EXPECT_EQ(Value(R"("\ude00")"), "json_malformed") << "the other half";
  EXPECT_EQ(Value("\"\xff\""), "json_malformed");
  EXPECT_EQ(Value("\"\xed\xa0\x80\""), "json_malformed") << "a surrogate in UTF-8";
  EXPECT_EQ(Value("\"\n\""), "json_malformed") << "a raw control character";
  EXPECT_EQ(Cbor(R"({"\u0000":1})"), "a1610001");
  const std::string text(100'000, 'e');  // longer than any buffer of the parser
  const auto item = JsonToCbor("{\"x\":\"" + text + "\\n" + text + "\"}");
  ASSERT_TRUE(item.ok());
  EXPECT_EQ(item->substr(8), text + "\n" + text);
}

TEST(JsonIn, NumbersAreIntegersHoweverWritten) {
  EXPECT_EQ(Value("0"), "00");
  EXPECT_EQ(Value("-0"), "00");
  EXPECT_EQ(Value("1"), "01");
  EXPECT_EQ(Value("1.0"), "01");
  EXPECT_EQ(Value("-1.000"), "20");
  EXPECT_EQ(Value("0.0"), "00");
  EXPECT_EQ(Value("-0.0"), "00");
  EXPECT_EQ(Value("0e99999"), "00");
  EXPECT_EQ(Value("1e3"), "1903e8");
  EXPECT_EQ(Value("1E+3"), "1903e8");
  EXPECT_EQ(Value("10e-1"), "01");
  EXPECT_EQ(Value("1.5e1"), "0f");
  EXPECT_EQ(Value("123.0"), "187b");
  EXPECT_EQ(Value("1230000000000000000000000000000e-28"), "187b");
  EXPECT_EQ(Value("9223372036854775807"), "1b7fffffffffffffff");
  EXPECT_EQ(Value("-9223372036854775808"), "3b7fffffffffffffff");
  EXPECT_EQ(Value("9223372036854775807.0"), "1b7fffffffffffffff") << "exact, not through a double";
  EXPECT_EQ(Value("9007199254740993.0"), "1b0020000000000001");
  EXPECT_EQ(Value("-9.223372036854775808e18"), "3b7fffffffffffffff");
}

TEST(JsonIn, OtherNumbersAreRefused) {
  EXPECT_EQ(Value("123.456"), "json_number");
  EXPECT_EQ(Value("1e-1"), "json_number");
  EXPECT_EQ(Value("0.1"), "json_number");
  EXPECT_EQ(Value("9223372036854775808"), "json_number");
  EXPECT_EQ(Value("-9223372036854775809"), "json_number");
  EXPECT_EQ(Value("9223372036854775808.0"), "json_number");
  EXPECT_EQ(Value("18446744073709551616"), "json_number");
  EXPECT_EQ(Value("1e19"), "json_number");
  EXPECT_EQ(Value("1e400"), "json_number");
  EXPECT_EQ(Value("1e-400"), "json_number");
  EXPECT_EQ(Value("1e99999999999999999999"), "json_number");
  EXPECT_EQ(Value("1e-99999999999999999999"), "json_number");
  for (const char* bad : {"01", "+1", ".5", "1.", "1e", "0x1", "NaN", "Infinity", "-", "--1"}) {
    EXPECT_EQ(Value(bad), "json_malformed") << bad;
  }
}

TEST(JsonIn, Links) {
  const std::string link = std::string("{\"$link\":\"") + kRawCid + "\"}";
  EXPECT_EQ(Value(link), ToHex(test::Hex(test::RawLinkHex())));
  EXPECT_EQ(Value(R"({"\u0024link":")" + std::string(kRawCid) + "\"}"), ToHex(test::Hex(test::RawLinkHex())));
  for (const char* bad : {
           R"({"$link":1234})",
           R"({"$link":"."})",
           R"({"$link":""})",
           R"({"$link":null})",
           R"({"$link":{"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"}})",
           R"({"$link":["bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"]})",
           R"({"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4","x":1})",
           R"({"a":1,"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"})",
           R"({"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4","$bytes":""})",
           R"({"$link":"Bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"})",
       }) {
    EXPECT_EQ(Value(bad), "json_bad_link") << bad;
  }
}

TEST(JsonIn, BytesWithAndWithoutPadding) {
  EXPECT_EQ(Value(R"({"$bytes":""})"), "40");
  EXPECT_EQ(Value(R"({"$bytes":"AQID"})"), "43010203");
  EXPECT_EQ(Value(R"({"$bytes":"/w"})"), "41ff");
  EXPECT_EQ(Value(R"({"$bytes":"/w=="})"), "41ff");
  EXPECT_EQ(Value(R"({"$bytes":"//4="})"), "42fffe");
  EXPECT_EQ(Value(R"({"$bytes":"123"})"), "42d76d") << "leftover bits that are not zero";
  for (const char* bad : {
           R"({"$bytes":[1,2,3]})",
           R"({"$bytes":1})",
           R"({"$bytes":"/w="})",
           R"({"$bytes":"/w==="})",
           R"({"$bytes":"A"})",
           R"({"$bytes":"="})",
           R"({"$bytes":"AQ ID"})",
           R"({"$bytes":"_-8"})",
           R"({"$bytes":"AQID","x":1})",
       }) {
    EXPECT_EQ(Value(bad), "json_bad_bytes") << bad;
  }
}

TEST(JsonIn, TypesAndBlobs) {
  const std::string ref = R"("ref":{"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"})";
  EXPECT_NE(Value(R"({"$type":"blob",)" + ref + R"(,"mimeType":"image/png","size":1})"), "record_bad_blob");
  EXPECT_EQ(Value(R"({"$type":"blob","mimeType":"image/png","size":1})"), "record_bad_blob");
  EXPECT_EQ(Value(R"({"$type":"blob",)" + ref + R"(,"mimeType":"image/png","size":"1"})"), "record_bad_blob");
  EXPECT_EQ(Value(R"({"$type":""})"), "record_bad_type");
  EXPECT_EQ(Value(R"({"$type":123})"), "record_bad_type");
  EXPECT_EQ(Value(R"({"$type":null})"), "record_bad_type");
  EXPECT_EQ(Value(R"({"$type":"a"})"),
            "a1"
            "652474797065"
            "6161");
  EXPECT_EQ(Value(R"({"$other":1})"),
            "a1"
            "66246f74686572"
            "01")
      << "unknown reserved keys are kept";
}

TEST(JsonIn, MalformedInput) {
  for (const char* bad :
       {"", " ", "{", "}", "{\"a\":}", "{\"a\" 1}", "{a:1}", "{'a':1}", "{\"a\":1,}", "{\"a\":[1,]}",
        "{\"a\":tru}", "{} {}", "{}x", "\"a", "// c\n{}", "\xEF\xBB\xBF{}"}) {
    EXPECT_EQ(Cbor(bad), "json_malformed") << bad;
  }
  EXPECT_EQ(Cbor(std::string_view("{}\0", 3)), "json_malformed");
}

TEST(JsonIn, TheTopOfAtprotoDataIsAnObject) {
  EXPECT_EQ(Cbor("\"blah\""), "record_not_a_map");
  EXPECT_EQ(Cbor("[]"), "record_not_a_map");
  EXPECT_EQ(Cbor("1"), "record_not_a_map");
  EXPECT_EQ(Drisl("\"blah\""), "64626c6168");
  EXPECT_EQ(Drisl("1"), "01");
  EXPECT_EQ(Drisl(" null "), "f6");
}

TEST(JsonIn, DrislHasFloatsAndLargeIntegers) {
  EXPECT_EQ(Drisl("1.0"), "fb3ff0000000000000");
  EXPECT_EQ(Drisl("1e3"), "fb408f400000000000");
  EXPECT_EQ(Drisl("0.1"), "fb3fb999999999999a");
  EXPECT_EQ(Drisl("5e-324"), "fb0000000000000001");
  EXPECT_EQ(Drisl("1.7976931348623157e308"), "fb7fefffffffffffff");
  EXPECT_EQ(Drisl("1e400"), "json_number");
  EXPECT_EQ(Drisl("-0.0"), "json_number") << "DRISL has no -0.0";
  EXPECT_EQ(Drisl("18446744073709551615"), "1bffffffffffffffff");
  EXPECT_EQ(Drisl("18446744073709551616"), "json_number");
  EXPECT_EQ(Drisl("-9223372036854775809"), "3b8000000000000000");
  EXPECT_EQ(Drisl("-18446744073709551615"), "3bfffffffffffffffe");
  EXPECT_EQ(Drisl("-18446744073709551616"), "3bffffffffffffffff");
  EXPECT_EQ(Drisl("-18446744073709551617"), "json_number");
  EXPECT_EQ(Drisl("{\"$type\":1}"), "a165247479706501") << "no rules of atproto";
}

TEST(JsonIn, DepthIsBounded) {
  const auto lists = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(Drisl(lists(kMaxDepth)).size(), 2 * kMaxDepth);
  EXPECT_EQ(Drisl(lists(kMaxDepth + 1)), "json_too_deep");
  EXPECT_EQ(Drisl(lists(kMaxDepth + 2)), "json_too_deep");
  EXPECT_EQ(Drisl(std::string(10'000'000, '[')), "json_too_deep");
  EXPECT_EQ(Cbor("[[[]]]", {.max_depth = 2}, DataModel::kDrisl), "json_too_deep");
  EXPECT_EQ(Cbor("[[{}]]", {.max_depth = 2}, DataModel::kDrisl), "json_too_deep");
  EXPECT_EQ(Cbor(R"([[{"$bytes":"AQ"}]])", {.max_depth = 2}, DataModel::kDrisl), "81814101")
      << "bytes are an object in JSON only";
  EXPECT_EQ(Cbor(R"([[{"$bytes":[]}]])", {.max_depth = 2}, DataModel::kDrisl), "json_too_deep");
  EXPECT_EQ(Drisl(lists(10)), "81818181818181818180");
  EXPECT_EQ(Cbor("{\"x\":" + lists(kMaxRecordDepth) + "}"), "record_too_deep");
}

TEST(JsonIn, LimitsOnElementsAndKeys) {
  EXPECT_EQ(Cbor("[1,2,3]", {.max_elements = 2}, DataModel::kDrisl), "cbor_too_many_elements");
  EXPECT_EQ(Cbor(R"({"a":1,"b":2})", {.max_elements = 1}), "cbor_too_many_elements");
  EXPECT_EQ(Cbor(R"({"abc":1})", {.max_key_bytes = 3}), "a16361626301");
  EXPECT_EQ(Cbor(R"({"abcd":1})", {.max_key_bytes = 3}), "cbor_map_key_too_long");
}

TEST(JsonIn, ErrorsSayWhere) {
  EXPECT_EQ(Message(JsonToCbor(R"({"a":1,"b":1.5})").status()), "json_number: near byte 11");
}

TEST(JsonIn, WhatJsonOutWritesComesBackByteForByte) {
  const uint64_t seed = test::SeedOfThisRun();
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  test::RandomItem random(seed);
  for (int round = 0; round < 5'000; ++round) {
    const std::string item = random.Make();
    std::string json;
    ASSERT_TRUE(AppendJson(AsBytes(item), {}, &json).ok());
    const auto back = JsonToCbor(json, {}, DataModel::kDrisl);
    ASSERT_TRUE(back.ok()) << back.status() << ' ' << json;
    ASSERT_EQ(ToHex(AsBytes(*back)), ToHex(AsBytes(item))) << json;
    // The same as atproto data, in an object, where the kinds allow it.
    std::string record;
    MapWriter map;
    map.Key("x").Raw(AsBytes(random.Make(/*drisl=*/false)));
    map.Finish(&record);
    json.clear();
    ASSERT_TRUE(AppendJson(AsBytes(record), {}, &json).ok());
    const auto data = JsonToCbor(json);
    ASSERT_TRUE(data.ok()) << data.status() << ' ' << json;
    ASSERT_EQ(ToHex(AsBytes(*data)), ToHex(AsBytes(record))) << json;
  }
}

}  // namespace
}  // namespace penstock::cbor
