#include "cbor/reader.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"

namespace penstock::cbor {
namespace {

using test::Hex;
using test::Outcome;

std::string Check(std::string_view hex, const Limits& limits = {}) {
  return Outcome(CheckItem(Hex(hex), limits));
}

// Skip is the whole strict check; every rule has its case here, and each case its reason.
struct SkipCase {
  const char* what;
  const char* hex;
  const char* expect;
};

class ReaderSkip : public testing::TestWithParam<SkipCase> {};

TEST_P(ReaderSkip, JudgesTheItem) { EXPECT_EQ(Check(GetParam().hex), GetParam().expect) << GetParam().hex; }

constexpr SkipCase kSkipCases[] = {
    {"smallest_integers", "00", "ok"},
    {"one_byte_integer", "18 18", "ok"},
    {"two_byte_integer", "19 0100", "ok"},
    {"four_byte_integer", "1a 00010000", "ok"},
    {"eight_byte_integer", "1b 0000000100000000", "ok"},
    {"largest_integer", "1b ffffffffffffffff", "ok"},
    {"smallest_negative", "3b ffffffffffffffff", "ok"},
    {"one_byte_not_minimal", "18 17", "cbor_non_minimal"},
    {"two_bytes_not_minimal", "19 00ff", "cbor_non_minimal"},
    {"four_bytes_not_minimal", "1a 0000ffff", "cbor_non_minimal"},
    {"eight_bytes_not_minimal", "1b 00000000ffffffff", "cbor_non_minimal"},
    {"negative_not_minimal", "38 00", "cbor_non_minimal"},
    {"text_length_not_minimal", "78 01 61", "cbor_non_minimal"},
    {"bytes_length_not_minimal", "58 01 61", "cbor_non_minimal"},
    {"array_length_not_minimal", "98 00", "cbor_non_minimal"},
    {"map_length_not_minimal", "b8 00", "cbor_non_minimal"},
    {"tag_not_minimal", "d9 002a 41 00", "cbor_non_minimal"},
    {"info_28", "1c", "cbor_reserved_head"},
    {"info_29", "5d", "cbor_reserved_head"},
    {"info_30", "fe", "cbor_reserved_head"},
    {"indefinite_bytes", "5f 41 00 ff", "cbor_indefinite"},
    {"indefinite_text", "7f 61 61 ff", "cbor_indefinite"},
    {"indefinite_array", "9f ff", "cbor_indefinite"},
    {"indefinite_map", "bf ff", "cbor_indefinite"},
    {"stray_break", "ff", "cbor_indefinite"},
    {"break_in_array", "81 ff", "cbor_indefinite"},
    {"indefinite_integer", "1f", "cbor_indefinite"},
    {"empty", "", "cbor_truncated"},
    {"argument_cut", "19 01", "cbor_truncated"},
    {"argument_absent", "18", "cbor_truncated"},
    {"text_cut", "62 61", "cbor_truncated"},
    {"bytes_cut", "42 61", "cbor_truncated"},
    {"array_cut", "82 00", "cbor_truncated"},
    {"array_of_arrays_cut", "82 81 00", "cbor_truncated"},
    {"map_without_its_value", "a1 61 61", "cbor_truncated"},
    {"link_without_content", "d8 2a", "cbor_truncated"},
    {"float_cut", "fb 3ff0", "cbor_truncated"},
    {"half_float_cut", "f9 3c", "cbor_truncated"},
    {"huge_text", "7b ffffffffffffffff", "cbor_truncated"},
    {"huge_bytes", "5b 7fffffffffffffff", "cbor_truncated"},
    {"huge_array", "9b ffffffffffffffff", "cbor_truncated"},
    {"huge_map", "bb ffffffffffffffff", "cbor_truncated"},
    {"map_needs_two_bytes_a_pair", "a2 60 00", "cbor_truncated"},
    {"huge_key", "a1 7b ffffffffffffffff", "cbor_truncated"},
    {"two_items", "00 00", "cbor_trailing_bytes"},
    {"text", "64 f09f9880", "ok"},
    {"text_overlong", "62 c080", "cbor_bad_utf8"},
    {"text_surrogate", "63 eda080", "cbor_bad_utf8"},
    {"text_above_unicode", "64 f4908080", "cbor_bad_utf8"},
    {"text_cut_in_a_character", "61 c3", "cbor_bad_utf8"},
    {"key_bad_utf8", "a1 61 ff 00", "cbor_bad_utf8"},
    {"key_integer", "a1 00 00", "cbor_map_key_not_text"},
    {"key_bytes", "a1 41 61 00", "cbor_map_key_not_text"},
    {"key_null", "a1 f6 00", "cbor_map_key_not_text"},
    {"keys_ordered", "a4 60 00 61 61 00 61 62 00 62 61 61 00", "ok"},
    {"keys_by_bytes", "a2 62 6162 00 62 6161 00", "cbor_map_key_order"},
    {"keys_by_length", "a2 62 6161 00 61 62 00", "cbor_map_key_order"},
    {"keys_by_unsigned_bytes", "a2 62 7a7a 00 62 c3a9 00", "ok"},
    {"empty_key_last", "a2 61 61 00 60 00", "cbor_map_key_order"},
    {"keys_equal", "a2 61 61 00 61 61 00", "cbor_map_key_duplicate"},
    {"empty_keys_equal", "a2 60 00 60 00", "cbor_map_key_duplicate"},
    {"nested_maps_have_their_own_order", "a2 61 62 a1 61 61 00 61 63 00", "ok"},
    {"order_survives_a_nested_map", "a2 61 62 a1 61 63 00 61 61 00", "cbor_map_key_order"},
    {"tag_0", "c0 60", "cbor_unsupported_tag"},
    {"bignum", "c2 41 01", "cbor_unsupported_tag"},
    {"tag_43", "d8 2b 41 00", "cbor_unsupported_tag"},
    {"link_to_text", "d8 2a 61 00", "cbor_bad_link"},
    {"link_empty", "d8 2a 40", "cbor_bad_link"},
    {"link_without_prefix",
     "d8 2a 58 24 01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "cbor_bad_link"},
    {"link_with_prefix_01",
     "d8 2a 58 25 01 01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "cbor_bad_link"},
    {"link_prefix_only", "d8 2a 41 00", "cbor_bad_link"},
    {"link_with_a_byte_too_many",
     "d8 2a 58 26 00 01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f 00",
     "cbor_bad_link"},
    {"link_length_not_minimal",
     "d8 2a 59 0025 00 01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "cbor_non_minimal"},
    {"link", "d8 2a 58 25 00 01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "ok"},
    {"link_raw", "d8 2a 58 25 00 01551220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "ok"},
    {"link_of_another_codec",
     "d8 2a 58 25 00 01701220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "ok"},
    {"link_blake3",
     "d8 2a 58 25 00 01711e20 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "ok"},
    {"link_cid_v0", "d8 2a 58 23 00 1220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
     "ok"},
    {"link_identity", "d8 2a 47 00 01550002 abcd", "ok"},
    {"false", "f4", "ok"},
    {"true", "f5", "ok"},
    {"null", "f6", "ok"},
    {"undefined", "f7", "cbor_unsupported_simple"},
    {"simple_16", "f0", "cbor_unsupported_simple"},
    {"simple_255", "f8 ff", "cbor_unsupported_simple"},
    {"simple_true_in_two_bytes", "f8 15", "cbor_unsupported_simple"},
    {"float", "fb 3ff8000000000000", "ok"},
    {"float_smallest", "fb 0000000000000001", "ok"},
    {"float_zero", "fb 0000000000000000", "ok"},
    {"float_minus_zero", "fb 8000000000000000", "cbor_unsupported_float"},
    {"float_infinity", "fb 7ff0000000000000", "cbor_unsupported_float"},
    {"float_minus_infinity", "fb fff0000000000000", "cbor_unsupported_float"},
    {"float_nan", "fb 7ff8000000000000", "cbor_unsupported_float"},
    {"float_other_nan", "fb fff0000000000001", "cbor_unsupported_float"},
    {"float_16", "f9 3c00", "cbor_unsupported_float"},
    {"float_32", "fa 3fc00000", "cbor_unsupported_float"},
    {"everything_nested", "a2 61 61 82 a0 80 61 62 a1 60 83 f6 f5 40", "ok"},
};

INSTANTIATE_TEST_SUITE_P(Strict, ReaderSkip, testing::ValuesIn(kSkipCases),
                         [](const auto& param_info) { return param_info.param.what; });

TEST(Reader, EveryTruncationOfAGoodItemIsTruncated) {
  const std::vector<uint8_t> item =
      Hex("a6 60 19 0100 61 61 83 64 f09f9880 43 010203 fb 3ff8000000000000 61 62" + test::DataLinkHex() +
          "61 63 a1 78 18 616161616161616161616161616161616161616161616161 f6"
          "61 64 1b 0000000100000000 61 65 d82a 58 23 00 1220" +
          ToHex(std::vector<uint8_t>(32, 9)));
  ASSERT_EQ(Outcome(CheckItem(item)), "ok");
  for (size_t size = 0; size < item.size(); ++size) {
    // An allocation of exactly this size, so that a sanitizer sees a read beyond it.
    const std::vector<uint8_t> cut(item.begin(), item.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_EQ(Outcome(CheckItem(cut)), "cbor_truncated") << "cut at " << size;
  }
}

TEST(Reader, ReadsEachKind) {
  const std::vector<uint8_t> item = Hex("89 01 20 43 010203 63 616263 f5 f6 fb 3ff8000000000000" +
                                        test::DataLinkHex() + "a1 61 61 1b ffffffffffffffff");
  Reader reader(item);
  uint64_t count;
  ASSERT_EQ(reader.Peek(), Kind::kArray);
  ASSERT_TRUE(reader.ReadArrayHeader(&count));
  EXPECT_EQ(count, 9u);
  int64_t number;
  EXPECT_EQ(reader.Peek(), Kind::kUint);
  EXPECT_TRUE(reader.ReadInt64(&number));
  EXPECT_EQ(number, 1);
  EXPECT_EQ(reader.Peek(), Kind::kNegative);
  EXPECT_TRUE(reader.ReadInt64(&number));
  EXPECT_EQ(number, -1);
  Bytes bytes;
  EXPECT_EQ(reader.Peek(), Kind::kBytes);
  EXPECT_TRUE(reader.ReadBytes(&bytes));
  EXPECT_EQ(ToHex(bytes), "010203");
  EXPECT_EQ(bytes.data(), item.data() + 4) << "a view into the input";
  std::string_view text;
  EXPECT_EQ(reader.Peek(), Kind::kText);
  EXPECT_TRUE(reader.ReadText(&text));
  EXPECT_EQ(text, "abc");
  bool boolean = false;
  EXPECT_EQ(reader.Peek(), Kind::kBool);
  EXPECT_TRUE(reader.ReadBool(&boolean));
  EXPECT_TRUE(boolean);
  EXPECT_EQ(reader.Peek(), Kind::kNull);
  EXPECT_TRUE(reader.ReadNull());
  double real;
  EXPECT_EQ(reader.Peek(), Kind::kFloat);
  EXPECT_TRUE(reader.ReadFloat(&real));
  EXPECT_EQ(real, 1.5);
  CidView cid;
  EXPECT_EQ(reader.Peek(), Kind::kLink);
  EXPECT_TRUE(reader.ReadLink(&cid));
  EXPECT_TRUE(cid.IsBlessedData());
  EXPECT_EQ(Bytes(cid.bytes()).size(), kBlessedCidSize);
  MapCursor map;
  EXPECT_EQ(reader.Peek(), Kind::kMap);
  EXPECT_TRUE(reader.BeginMap(&map));
  EXPECT_EQ(map.remaining, 1u);
  std::string_view key;
  EXPECT_TRUE(reader.NextKey(&map, &key));
  EXPECT_EQ(key, "a");
  Integer integer;
  EXPECT_TRUE(reader.ReadInteger(&integer));
  EXPECT_FALSE(integer.negative);
  EXPECT_EQ(integer.value, UINT64_MAX);
  EXPECT_FALSE(reader.NextKey(&map, &key)) << "the end of the map";
  EXPECT_TRUE(reader.AtEnd());
  EXPECT_TRUE(reader.ok());
  EXPECT_EQ(reader.Peek(), Kind::kEnd);
  EXPECT_TRUE(reader.status().ok());
  EXPECT_EQ(reader.offset(), item.size());
}

TEST(Reader, IntegersAtTheBorders) {
  const auto int64_of = [](std::string_view hex) -> std::string {
    const std::vector<uint8_t> item = Hex(hex);
    Reader reader(item);
    int64_t value;
    return reader.ReadInt64(&value) ? std::to_string(value) : Outcome(reader.status());
  };
  EXPECT_EQ(int64_of("1b 7fffffffffffffff"), "9223372036854775807");
  EXPECT_EQ(int64_of("3b 7fffffffffffffff"), "-9223372036854775808");
  EXPECT_EQ(int64_of("1b 8000000000000000"), "cbor_integer_range");
  EXPECT_EQ(int64_of("3b 8000000000000000"), "cbor_integer_range");
}

// Asking for another kind than the one that is there fails, whatever is there.
TEST(Reader, AnotherKindIsUnexpected) {
  const struct {
    const char* name;
    std::function<bool(Reader&)> read;
    const char* own;  // first digits of items that this read takes
  } reads[] = {
      {"integer",
       [](Reader& r) {
         Integer v;
         return r.ReadInteger(&v);
       },
       "00 20"},
      {"int64",
       [](Reader& r) {
         int64_t v;
         return r.ReadInt64(&v);
       },
       "00 20"},
      {"bool",
       [](Reader& r) {
         bool v;
         return r.ReadBool(&v);
       },
       "f4"},
      {"null", [](Reader& r) { return r.ReadNull(); }, "f6"},
      {"float",
       [](Reader& r) {
         double v;
         return r.ReadFloat(&v);
       },
       "fb"},
      {"bytes",
       [](Reader& r) {
         Bytes v;
         return r.ReadBytes(&v);
       },
       "40"},
      {"text",
       [](Reader& r) {
         std::string_view v;
         return r.ReadText(&v);
       },
       "60"},
      {"link",
       [](Reader& r) {
         CidView v;
         return r.ReadLink(&v);
       },
       "d8"},
      {"array",
       [](Reader& r) {
         uint64_t v;
         return r.ReadArrayHeader(&v);
       },
       "80"},
      {"map",
       [](Reader& r) {
         MapCursor v;
         return r.BeginMap(&v);
       },
       "a0"},
  };
  const std::vector<std::string> items = {
      "00", "20", "40", "60", "80", "a0", "f4", "f6", "fb3ff8000000000000", "f7", test::DataLinkHex()};
  for (const auto& read : reads) {
    for (const std::string& hex : items) {
      const bool own = std::string_view(read.own).find(hex.substr(0, 2)) != std::string_view::npos;
      const std::vector<uint8_t> item = Hex(hex);
      Reader reader(item);
      EXPECT_EQ(read.read(reader), own) << read.name << " of " << hex;
      if (!own) {
        EXPECT_EQ(Outcome(reader.status()), "cbor_unexpected_type") << read.name << " of " << hex;
      }
    }
    Reader nothing{Bytes()};
    EXPECT_FALSE(read.read(nothing));
    EXPECT_EQ(nothing.error(), Reject::kCborTruncated) << read.name;
  }
}

TEST(Reader, TheFirstFailureSticks) {
  const std::vector<uint8_t> item = Hex("83 18 01 00 00");
  Reader reader(item);
  uint64_t count;
  ASSERT_TRUE(reader.ReadArrayHeader(&count));
  int64_t value;
  EXPECT_FALSE(reader.ReadInt64(&value));
  EXPECT_EQ(reader.error(), Reject::kCborNonMinimal);
  EXPECT_EQ(reader.offset(), 1u);
  // Whatever is tried next, the first reason and its place stay.
  std::string_view text;
  Bytes bytes;
  CidView cid;
  MapCursor map{1};
  bool boolean;
  double real;
  EXPECT_FALSE(reader.ReadText(&text));
  EXPECT_FALSE(reader.ReadBytes(&bytes));
  EXPECT_FALSE(reader.ReadLink(&cid));
  EXPECT_FALSE(reader.ReadBool(&boolean));
  EXPECT_FALSE(reader.ReadNull());
  EXPECT_FALSE(reader.ReadFloat(&real));
  EXPECT_FALSE(reader.NextKey(&map, &text));
  EXPECT_FALSE(reader.BeginMap(&map));
  EXPECT_FALSE(reader.Skip());
  EXPECT_FALSE(reader.Fail(Reject::kMstBadNode));
  EXPECT_EQ(reader.Peek(), Kind::kEnd);
  EXPECT_FALSE(reader.AtEnd());
  EXPECT_FALSE(reader.ok());
  EXPECT_EQ(reader.error(), Reject::kCborNonMinimal);
  EXPECT_EQ(Message(reader.status()), "cbor_non_minimal: at byte 1");
}

TEST(Reader, ADecoderFailsItWithARuleOfItsOwn) {
  const std::vector<uint8_t> item = Hex("82 00 01");
  Reader reader(item);
  uint64_t count;
  int64_t value;
  ASSERT_TRUE(reader.ReadArrayHeader(&count) && reader.ReadInt64(&value));
  EXPECT_FALSE(reader.Fail(Reject::kMstBadNode, 1));
  EXPECT_EQ(Message(reader.status()), "mst_bad_node: at byte 1");
  EXPECT_FALSE(reader.ReadInt64(&value));
}

TEST(Reader, OffsetsNameTheItemThatIsRefused) {
  const auto offset_of = [](std::string_view hex) {
    const std::vector<uint8_t> item = Hex(hex);
    Reader reader(item);
    EXPECT_FALSE(reader.Skip());
    return reader.offset();
  };
  EXPECT_EQ(offset_of("82 00 18 01"), 2u);
  EXPECT_EQ(offset_of("a2 61 62 00 61 61 00"), 4u) << "the key out of order";
  EXPECT_EQ(offset_of("83 00 63 616161 ff"), 6u);
  EXPECT_EQ(offset_of("82 00 63 ff6161"), 2u) << "the text that is no UTF-8";
  EXPECT_EQ(offset_of("82 00 d82a 41 00"), 2u) << "the tag of the link";
  EXPECT_EQ(offset_of("82 00"), 0u) << "the array that promised more";
}

TEST(Reader, SkipGivesTheItemsBytes) {
  const std::vector<uint8_t> input = Hex("a1 61 61 82 01 02 40");
  Reader reader(input);
  Bytes item;
  EXPECT_TRUE(reader.Skip(&item));
  EXPECT_EQ(ToHex(item),
            "a161618201"
            "02");
  EXPECT_EQ(reader.Peek(), Kind::kBytes);
  EXPECT_TRUE(reader.Skip(&item));
  EXPECT_EQ(ToHex(item), "40");
  EXPECT_TRUE(reader.AtEnd());
}

std::string NestedLists(size_t depth) { return std::string(depth - 1, '\x81') + '\x80'; }

TEST(Reader, DepthIsBounded) {
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(kMaxDepth)))), "ok");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(kMaxDepth + 1)))), "cbor_too_deep");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(4)), {.max_depth = 4})), "ok");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(5)), {.max_depth = 4})), "cbor_too_deep");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(1)), {.max_depth = 0})), "cbor_too_deep");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(NestedLists(kMaxDepth + 1)), {.max_depth = 1'000'000})),
            "cbor_too_deep")
      << "the stack has kMaxDepth places whatever the caller asks for";
}

TEST(Reader, LimitsOnElementsAndKeys) {
  EXPECT_EQ(Check("83 00 00 00", {.max_elements = 3}), "ok");
  EXPECT_EQ(Check("83 00 00 00", {.max_elements = 2}), "cbor_too_many_elements");
  EXPECT_EQ(Check("a2 61 61 00 61 62 00", {.max_elements = 1}), "cbor_too_many_elements");
  EXPECT_EQ(Check("a1 63 616161 00", {.max_key_bytes = 3}), "ok");
  EXPECT_EQ(Check("a1 63 616161 00", {.max_key_bytes = 2}), "cbor_map_key_too_long");
  EXPECT_EQ(Check("a1 63 6161", {.max_key_bytes = 2}), "cbor_truncated") << "cut before it could be judged";
  std::string list;
  Writer(&list).ArrayHeader(131072);
  EXPECT_EQ(Outcome(CheckItem(AsBytes(list + std::string(131072, '\0')))), "ok");
  list.clear();
  Writer(&list).ArrayHeader(131073);
  EXPECT_EQ(Outcome(CheckItem(AsBytes(list + std::string(131073, '\0')))), "cbor_too_many_elements");
}

TEST(Reader, LinksMayBeLimitedToDasl) {
  const std::string digest = ToHex(std::vector<uint8_t>(32, 7));
  const Limits dasl = {.dasl_cids_only = true};
  EXPECT_EQ(Check(test::DataLinkHex(), dasl), "ok");
  EXPECT_EQ(Check(test::RawLinkHex(), dasl), "ok");
  EXPECT_EQ(Check("d82a 5825 00 01551e20" + digest, dasl), "ok") << "BLAKE3";
  EXPECT_EQ(Check("d82a 5823 00 1220" + digest, dasl), "cid_unsupported") << "CIDv0";
  EXPECT_EQ(Check("d82a 5825 00 01701220" + digest, dasl), "cid_unsupported") << "dag-pb";
  EXPECT_EQ(Check("d82a 5819 00 01551114" + digest.substr(24), dasl), "cid_unsupported") << "SHA-1";
  EXPECT_EQ(Check("d82a 5823 00 1220" + digest), "ok") << "not limited";
}

TEST(Reader, HostileInputsAreCheap) {
  std::string maps;
  for (int i = 0; i < 10'000'000; ++i) maps += "\xa1\x60";
  EXPECT_EQ(Outcome(CheckItem(AsBytes(std::string(10'000'000, '\x81')))), "cbor_too_deep");
  EXPECT_EQ(Outcome(CheckItem(AsBytes(maps))), "cbor_too_deep");
  std::string links;
  Writer writer(&links);
  writer.ArrayHeader(100'000);
  const Cid cid = Cid::OfBlock(AsBytes("x"));
  for (int i = 0; i < 100'000; ++i) writer.Link(cid);
  EXPECT_EQ(Outcome(CheckItem(AsBytes(links))), "ok");
}

TEST(Reader, ALinksFormIsTheSameOnBothWays) {
  // The short way for blessed CIDs needs 41 bytes ahead; the long one takes over where they are not there.
  const std::vector<uint8_t> link = Hex(test::DataLinkHex());
  for (size_t size = 0; size < link.size(); ++size) {
    const std::vector<uint8_t> cut(link.begin(), link.begin() + static_cast<ptrdiff_t>(size));
    Reader reader(cut);
    CidView cid;
    EXPECT_FALSE(reader.ReadLink(&cid));
    EXPECT_EQ(reader.error(), Reject::kCborTruncated) << size;
    EXPECT_TRUE(cid.empty());
  }
  // Each bit of the five bytes before the CID matters; behind them the outcome is that of CidView::Parse.
  for (size_t at = 0; at < 9; ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::vector<uint8_t> flipped = link;
      flipped[at] ^= static_cast<uint8_t>(1 << bit);
      CidView parsed, read;
      const bool head_is_whole = at >= 5;
      const bool expect = head_is_whole && CidView::Parse(Bytes(flipped).subspan(5), &parsed);
      Reader reader(flipped);
      EXPECT_EQ(reader.ReadLink(&read), expect) << "byte " << at << " bit " << bit;
    }
  }
}

}  // namespace
}  // namespace penstock::cbor
