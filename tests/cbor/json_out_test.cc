#include "cbor/json_out.h"

#include <gtest/gtest.h>

#include "cbor/reader.h"
#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"

namespace penstock::cbor {
namespace {

using test::Hex;
using test::Outcome;

std::string JsonOf(std::string_view hex, const JsonOptions& options = {}) {
  const std::vector<uint8_t> bytes = Hex(hex);
  std::string out;
  const absl::Status status = AppendJson(bytes, options, &out);
  return status.ok() ? out : Outcome(status);
}

std::string JsonOfText(std::string_view text, const JsonOptions& options = {}, bool* lossy = nullptr) {
  std::string item, out;
  Writer(&item).Text(text);
  const absl::Status status = AppendJson(AsBytes(item), options, &out, lossy);
  return status.ok() ? out : Outcome(status);
}

TEST(JsonOut, ScalarsAndContainers) {
  EXPECT_EQ(JsonOf("f6"), "null");
  EXPECT_EQ(JsonOf("f5"), "true");
  EXPECT_EQ(JsonOf("f4"), "false");
  EXPECT_EQ(JsonOf("80"), "[]");
  EXPECT_EQ(JsonOf("a0"), "{}");
  EXPECT_EQ(JsonOf("83 01 81 20 60"), R"([1,[-1],""])");
  EXPECT_EQ(JsonOf("a3 60 00 61 62 f6 62 61 61 a1 61 63 80"), R"({"":0,"b":null,"aa":{"c":[]}})");
}

TEST(JsonOut, IntegersAreExactOverTheWholeRange) {
  EXPECT_EQ(JsonOf("00"), "0");
  EXPECT_EQ(JsonOf("1b 0020000000000001"), "9007199254740993");
  EXPECT_EQ(JsonOf("1b 7fffffffffffffff"), "9223372036854775807");
  EXPECT_EQ(JsonOf("3b 7fffffffffffffff"), "-9223372036854775808");
  EXPECT_EQ(JsonOf("1b ffffffffffffffff"), "18446744073709551615");
  EXPECT_EQ(JsonOf("3b fffffffffffffffe"), "-18446744073709551615");
  EXPECT_EQ(JsonOf("3b ffffffffffffffff"), "-18446744073709551616");
}

TEST(JsonOut, FloatsAreShortestAndStayFloats) {
  EXPECT_EQ(JsonOf("fb 3ff8000000000000"), "1.5");
  EXPECT_EQ(JsonOf("fb 3fb999999999999a"), "0.1");
  EXPECT_EQ(JsonOf("fb 3ff0000000000000"), "1.0");
  EXPECT_EQ(JsonOf("fb c010000000000000"), "-4.0");
  EXPECT_EQ(JsonOf("fb 0000000000000000"), "0.0");
  EXPECT_EQ(JsonOf("fb 7e37e43c8800759c"), "1e+300");
  EXPECT_EQ(JsonOf("fb 0000000000000001"), "5e-324");
}

TEST(JsonOut, LinksAndBytes) {
  EXPECT_EQ(JsonOf(test::DataLinkHex()),
            R"({"$link":"bafyreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"})");
  EXPECT_EQ(JsonOf(test::RawLinkHex()),
            R"({"$link":"bafkreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4"})");
  EXPECT_EQ(JsonOf("40"), R"({"$bytes":""})");
  EXPECT_EQ(JsonOf("41 ff"), R"({"$bytes":"/w"})");
  EXPECT_EQ(JsonOf("42 fffe"), R"({"$bytes":"//4"})");
  EXPECT_EQ(JsonOf("43 010203"), R"({"$bytes":"AQID"})");
}

TEST(JsonOut, StringsAreRawUtf8ButForQuotesBackslashesAndControls) {
  EXPECT_EQ(JsonOfText("a~öñ©⽘☎𓋓😀"), "\"a~öñ©⽘☎𓋓😀\"");
  EXPECT_EQ(JsonOfText("\x7f\xE2\x80\xA8"), "\"\x7f\xE2\x80\xA8\"");
  EXPECT_EQ(JsonOfText("\"\\/\b\f\n\r\t\x01\x1f"), R"("\"\\/\b\f\n\r\t\u0001\u001f")");
}

// The scanner looks at eight bytes at a time: each special byte must be seen at each place in a word and in
// the rest.
TEST(JsonOut, EscapesAreFoundAtEveryPosition) {
  for (size_t size = 1; size < 26; ++size) {
    for (size_t at = 0; at < size; ++at) {
      for (int byte = 0; byte < 0x80; ++byte) {
        std::string text(size, 'x');
        text[at] = static_cast<char>(byte);
        std::string expected = "\"";
        for (char c : text) {
          static constexpr char kHex[] = "0123456789abcdef";
          const std::string_view named = "\b\f\n\r\t\"\\";
          const size_t name = named.find(c);
          if (name != std::string_view::npos) {
            expected += '\\';
            expected += "bfnrt\"\\"[name];
          } else if (static_cast<uint8_t>(c) < 0x20) {
            expected += "\\u00";
            expected += kHex[c >> 4];
            expected += kHex[c & 15];
          } else {
            expected += c;
          }
        }
        expected += '"';
        std::string got;
        AppendJsonString(text, &got);
        ASSERT_EQ(got, expected) << "byte " << byte << " at " << at << " of " << size;
      }
    }
  }
}

TEST(JsonOut, NulIsExactUnlessItIsReplaced) {
  using namespace std::string_literals;
  bool lossy = true;
  EXPECT_EQ(JsonOfText("a\0b"s, {}, &lossy), R"("a\u0000b")");
  EXPECT_FALSE(lossy);
  EXPECT_EQ(JsonOfText("a\0\n\"b\0"s, {.replace_nul = true}, &lossy),
            "\"a\xEF\xBF\xBD\\n\\\"b\xEF\xBF\xBD\"");
  EXPECT_TRUE(lossy);
  EXPECT_EQ(JsonOfText("ab"s, {.replace_nul = true}, &lossy), R"("ab")");
  EXPECT_FALSE(lossy);
  EXPECT_EQ(JsonOf("a1 61 00 61 00"), R"({"\u0000":"\u0000"})");
  EXPECT_EQ(JsonOf("a1 61 00 61 00", {.replace_nul = true}), "{\"\xEF\xBF\xBD\":\"\xEF\xBF\xBD\"}");
}

TEST(JsonOut, AppendsAndLeavesTheBufferAloneOnError) {
  std::string out = "x=";
  ASSERT_TRUE(AppendJson(Hex("82 01 02"), {}, &out).ok());
  EXPECT_EQ(out, "x=[1,2]");
  bool lossy = true;
  EXPECT_EQ(Outcome(AppendJson(Hex("82 01 18 02"), {}, &out, &lossy)), "cbor_non_minimal");
  EXPECT_EQ(out, "x=[1,2]");
  EXPECT_TRUE(lossy) << "untouched on error";
}

TEST(JsonOut, RefusesWhatTheReaderRefuses) {
  EXPECT_EQ(JsonOf(""), "cbor_truncated");
  EXPECT_EQ(JsonOf("0000"), "cbor_trailing_bytes");
  EXPECT_EQ(JsonOf("82 01"), "cbor_truncated");
  EXPECT_EQ(JsonOf("a2 61 62 00 61 61 00"), "cbor_map_key_order");
  EXPECT_EQ(JsonOf("f7"), "cbor_unsupported_simple");
  EXPECT_EQ(JsonOf("81 f9 3c00"), "cbor_unsupported_float");
  EXPECT_EQ(JsonOf("c1 00"), "cbor_unsupported_tag");
}

TEST(JsonOut, NestsAsDeepAsTheReaderAndNoDeeper) {
  std::string nested(kMaxDepth - 1, '\x81');
  nested += '\x80';
  std::string out;
  EXPECT_TRUE(AppendJson(AsBytes(nested), {}, &out).ok());
  EXPECT_EQ(out, std::string(kMaxDepth, '[') + std::string(kMaxDepth, ']'));
  nested.insert(nested.begin(), '\x81');
  EXPECT_EQ(Outcome(AppendJson(AsBytes(nested), {}, &out)), "cbor_too_deep");
  std::string maps;
  for (uint32_t i = 0; i <= kMaxDepth; ++i) maps += "\xa1\x60";
  EXPECT_EQ(Outcome(AppendJson(AsBytes(maps + "\xf6"), {}, &out)), "cbor_too_deep");
}

}  // namespace
}  // namespace penstock::cbor
