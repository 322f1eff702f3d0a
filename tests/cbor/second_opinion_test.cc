#include "cbor/second_opinion.h"

#include <gtest/gtest.h>

#include "cbor/reader.h"
#include "tests/cbor/cbor_testing.h"
#include "tests/cbor/differential.h"
#include "tests/cbor/random_item.h"

namespace penstock::cbor {
namespace {

using test::Hex;

std::string DiagnoseHex(std::string_view hex, const DiagnoseOptions& options = {}) {
  const std::vector<uint8_t> bytes = Hex(hex);
  return Diagnose(bytes, options);
}

TEST(SecondOpinion, ShowsAnElementALineWithItsOffset) {
  EXPECT_EQ(DiagnoseHex("a3 61 61 83 01 20 f5 61 62 a0 62 6363 43 010203"),
            "       0  {\n"
            "       1    \"a\": [\n"
            "       4      1\n"
            "       5      -1\n"
            "       6      true\n"
            "       7    ]\n"
            "       7    \"b\": {}\n"
            "      10    \"cc\": h'010203'\n"
            "      17  }\n");
}

TEST(SecondOpinion, ShowsLinksAsPeopleWriteThem) {
  EXPECT_EQ(DiagnoseHex(test::DataLinkHex()),
            "       0  42(h'0001711220000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f' / "
            "bafyreiaaaebagbafaydqqcikbmga2dqpcaireeyuculbogazdinryhi6d4 /)\n");
}

// One line of a scalar, without its offset.
std::string Scalar(std::string_view hex) {
  const std::string text = DiagnoseHex(hex);
  return text.substr(10, text.size() - 11);
}

TEST(SecondOpinion, MarksWhatStrictRefuses) {
  EXPECT_EQ(Scalar("00"), "0");
  EXPECT_EQ(Scalar("3b ffffffffffffffff"), "-18446744073709551616");
  EXPECT_EQ(Scalar("1b 0000000000000001"), "1  <- 0: cbor_non_minimal");
  EXPECT_EQ(Scalar("f7"), "undefined  <- 0: cbor_unsupported_simple");
  EXPECT_EQ(Scalar("f0"), "simple(16)  <- 0: cbor_unsupported_simple");
  EXPECT_EQ(Scalar("f8 ff"), "simple(255)  <- 0: cbor_unsupported_simple");
  EXPECT_EQ(Scalar("fb 3ff8000000000000"), "1.5_3");
  EXPECT_EQ(Scalar("fb 8000000000000000"), "-0.0_3  <- 0: cbor_unsupported_float");
  EXPECT_EQ(Scalar("f9 3c00"), "1.0_1  <- 0: cbor_unsupported_float");
  EXPECT_EQ(Scalar("fa 3fc00000"), "1.5_2  <- 0: cbor_unsupported_float");
  EXPECT_EQ(Scalar("f9 7e00"), "NaN_1  <- 0: cbor_unsupported_float");
  EXPECT_EQ(Scalar("fb fff0000000000000"), "-Infinity_3  <- 0: cbor_unsupported_float");
  EXPECT_EQ(Scalar("62 c328"), "text(h'c328')  <- 0: cbor_bad_utf8");
  EXPECT_EQ(Scalar("c2 41 01"), "2(h'01')  <- 0: cbor_unsupported_tag");
  EXPECT_EQ(Scalar("c1 c2 00"), "1(2(0))  <- 0: cbor_unsupported_tag  <- 1: cbor_unsupported_tag");
  EXPECT_EQ(Scalar("d82a 41 00"), "42(h'00')  <- 0: cbor_bad_link");
  EXPECT_EQ(DiagnoseHex("a4 61 62 00 61 61 00 61 61 00 00 00"),
            "       0  {\n"
            "       1    \"b\": 0\n"
            "       4    \"a\": 0  <- 4: cbor_map_key_order\n"
            "       7    \"a\": 0  <- 7: cbor_map_key_duplicate\n"
            "      10    0: 0  <- 10: cbor_map_key_not_text\n"
            "      12  }\n");
  EXPECT_EQ(DiagnoseHex("9f 5f 41 01 ff 7f 61 61 ff bf 61 61 00 ff ff"),
            "       0  [_  <- 0: cbor_indefinite\n"
            "       1    (_  <- 1: cbor_indefinite\n"
            "       2      h'01'\n"
            "       4    )\n"
            "       5    (_  <- 5: cbor_indefinite\n"
            "       6      \"a\"\n"
            "       8    )\n"
            "       9    {_  <- 9: cbor_indefinite\n"
            "      10      \"a\": 0\n"
            "      13    }\n"
            "      14  ]\n");
}

TEST(SecondOpinion, ASecondItemIsTrailingUnlessASequenceIsMeant) {
  EXPECT_EQ(DiagnoseHex("00 01 02"), "       0  0\n       1  1  <- 1: cbor_trailing_bytes\n       2  2\n");
  EXPECT_EQ(DiagnoseHex("00 01", {.sequence = true}), "       0  0\n       1  1\n");
}

TEST(SecondOpinion, StopsWhereTheBytesAreNoCbor) {
  EXPECT_EQ(DiagnoseHex("82 00 1c"), "       0  [\n       1    0\n       2    / stopped: no CBOR: h'1c' /\n");
  EXPECT_EQ(DiagnoseHex("82 00"),
            "       0  [  <- 0: cbor_truncated\n       1    0\n"
            "       2    / stopped: the bytes end here, the item does not /\n");
  EXPECT_EQ(DiagnoseHex("62 61"), "       0  / stopped: the bytes end within this: h'6261' /\n");
  EXPECT_EQ(DiagnoseHex(""), "       0  / stopped: the bytes end here, the item does not /\n");
  EXPECT_EQ(DiagnoseHex("ff"), "       0  / stopped: no CBOR: a break that ends nothing /\n");
  EXPECT_EQ(DiagnoseHex("81 ff"),
            "       0  [\n       1    / stopped: no CBOR: a break that ends nothing /\n");
  EXPECT_EQ(DiagnoseHex("bf 61 61 ff"),
            "       0  {_  <- 0: cbor_indefinite\n       1    \"a\": \n"
            "       3    / stopped: no CBOR: a break that ends nothing /\n");
  EXPECT_EQ(DiagnoseHex("5f 61 61 ff"),
            "       0  (_  <- 0: cbor_indefinite\n"
            "       1    / stopped: no CBOR: a chunk of another kind /\n");
}

TEST(SecondOpinion, LongStringsAreCutBetweenCharacters) {
  EXPECT_EQ(DiagnoseHex("64 61 62 c3a9", {.max_string = 3}), "       0  \"ab\"…(4 bytes)\n");
  EXPECT_EQ(DiagnoseHex("64 61 62 c3a9", {.max_string = 4}), "       0  \"abé\"\n");
  EXPECT_EQ(DiagnoseHex("43 010203", {.max_string = 2}), "       0  h'0102…(3 bytes)'\n");
}

TEST(SecondOpinion, HostileInputsAreCheap) {
  const DiagnoseOptions options;
  for (const std::string& input : {
           std::string(10'000'000, '\x81'),
           std::string(10'000'000, '\xc1'),
           std::string(10'000'000, '\x9f'),
           std::string("\x9b\xff\xff\xff\xff\xff\xff\xff\xff\x00", 10),
           std::string("\xbb\xff\xff\xff\xff\xff\xff\xff\xff\x60\x00", 11),
           std::string("\x7b\x7f\xff\xff\xff\xff\xff\xff\xff\x61", 10),
           "\x9a\x00\x98\x96\x80" + std::string(10'000'000, '\x00'),
       }) {
    const std::string text = Diagnose(AsBytes(input), options);
    EXPECT_LT(text.size(), options.max_output + 10'000);
    EXPECT_NE(text.find("/ stopped:"), std::string::npos);
  }
  // 1,000 levels, within the caller's limit: marked from the 129th on, shown all the same.
  const std::string text =
      Diagnose(AsBytes(std::string(999, '\x81') + '\x80'), {.max_output = 1 << 20, .max_depth = 2'000});
  EXPECT_EQ(text.find("stopped"), std::string::npos);
  EXPECT_NE(text.find("128: cbor_too_deep"), std::string::npos);
  EXPECT_EQ(text.find("127: cbor_too_deep"), std::string::npos);
}

// A diagnosis carries a mark exactly when strict refuses.
TEST(SecondOpinion, MarksAgreeWithTheStrictReader) {
  const uint64_t seed = test::SeedOfThisRun();
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  test::RandomItem random(seed);
  const DiagnoseOptions unbounded = {.max_output = 1 << 24, .max_string = 1 << 20};
  for (int round = 0; round < 3'000; ++round) {
    std::string item = random.Make();
    EXPECT_EQ(Diagnose(AsBytes(item), unbounded).find("<- "), std::string::npos);
    item[random.Below(item.size())] = static_cast<char>(random.Below(256));
    const std::string text = Diagnose(AsBytes(item), unbounded);
    const bool marked =
        text.find("  <- ") != std::string::npos || text.find("/ stopped:") != std::string::npos;
    ASSERT_EQ(marked, !CheckItem(AsBytes(item)).ok()) << ToHex(AsBytes(item)) << '\n' << text;
  }
}

TEST(Differential, LibcborReadsTheSameWhereStrictAccepts) {
  const uint64_t seed = test::SeedOfThisRun();
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  test::RandomItem random(seed);
  int compared_count = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string item = random.Make();
    bool compared;
    ASSERT_EQ(test::Disagreement(AsBytes(item), &compared), "");
    ASSERT_TRUE(compared);
    for (int change = 0; change < 4; ++change) {
      std::string changed = item;
      changed[random.Below(changed.size())] = static_cast<char>(random.Below(256));
      ASSERT_EQ(test::Disagreement(AsBytes(changed), &compared), "") << ToHex(AsBytes(changed));
      compared_count += compared;
    }
  }
  EXPECT_GT(compared_count, 1'000);
}

}  // namespace
}  // namespace penstock::cbor
