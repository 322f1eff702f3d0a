#include "base/encoding.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace penstock {
namespace {

std::string TextOf(const std::optional<std::vector<uint8_t>>& bytes) {
  return bytes ? std::string(bytes->begin(), bytes->end()) : "(refused)";
}

TEST(Hex, BothWays) {
  EXPECT_EQ(ToHex(std::vector<uint8_t>{0x00, 0x0f, 0xa5, 0xff}), "000fa5ff");
  EXPECT_EQ(ToHex({}), "");
  EXPECT_EQ(FromHex("000fa5ff"), (std::vector<uint8_t>{0x00, 0x0f, 0xa5, 0xff}));
  EXPECT_EQ(FromHex("A5Ff"), (std::vector<uint8_t>{0xa5, 0xff}));
  EXPECT_EQ(FromHex(""), std::vector<uint8_t>{});
  EXPECT_EQ(FromHex("0"), std::nullopt);
  EXPECT_EQ(FromHex("0g"), std::nullopt);
  EXPECT_EQ(FromHex("0x00"), std::nullopt);
}

// RFC 4648 section 10, in lower case and without padding.
constexpr struct {
  const char* text;
  const char* base32;
  const char* base64;
} kRfc4648[] = {
    {"", "", ""},
    {"f", "my", "Zg"},
    {"fo", "mzxq", "Zm8"},
    {"foo", "mzxw6", "Zm9v"},
    {"foob", "mzxw6yq", "Zm9vYg"},
    {"fooba", "mzxw6ytb", "Zm9vYmE"},
    {"foobar", "mzxw6ytboi", "Zm9vYmFy"},
};

TEST(Encoding, Rfc4648) {
  for (const auto& row : kRfc4648) {
    EXPECT_EQ(ToBase32(AsBytes(row.text)), row.base32);
    EXPECT_EQ(TextOf(FromBase32(row.base32)), row.text);
    EXPECT_EQ(ToBase64(AsBytes(row.text)), row.base64);
    EXPECT_EQ(TextOf(FromBase64(row.base64)), row.text);
  }
}

TEST(Encoding, AppendsBehindWhatIsThere) {
  std::string out = "x";
  AppendBase32(AsBytes("f"), &out);
  AppendBase64(AsBytes("f"), &out);
  EXPECT_EQ(out, "xmyZg");
}

TEST(Base32, IsStrict) {
  EXPECT_EQ(FromBase32("MY"), std::nullopt) << "upper case";
  EXPECT_EQ(FromBase32("my======"), std::nullopt) << "padding";
  EXPECT_EQ(FromBase32("m1"), std::nullopt) << "not in the alphabet";
  EXPECT_EQ(FromBase32("mz"), std::nullopt) << "bits left over that are not zero";
  for (size_t impossible : {1, 3, 6})
    EXPECT_EQ(FromBase32(std::string(impossible, 'a')), std::nullopt) << impossible;
  for (size_t possible : {2, 4, 5, 7, 8})
    EXPECT_NE(FromBase32(std::string(possible, 'a')), std::nullopt) << possible;
}

TEST(Base64, TakesPaddingAndLeftoverBits) {
  EXPECT_EQ(TextOf(FromBase64("Zg==")), "f");
  EXPECT_EQ(TextOf(FromBase64("Zm8=")), "fo");
  EXPECT_EQ(TextOf(FromBase64("Zh")), "f") << "leftover bits";
  EXPECT_EQ(TextOf(FromBase64("Zh==")), "f");
  for (const char* bad : {"Z", "Zg=", "Zg===", "Zm8==", "Zm9v=", "Zm9v====", "=",
                          "==", "====", "Z===", "Zg==Zg==", "Zm 9v", "Zm9-", "Zm9_", "Zm9v\n"}) {
    EXPECT_EQ(FromBase64(bad), std::nullopt) << bad;
  }
}

TEST(Base64Url, IsStrict) {
  EXPECT_EQ(ToBase64Url(std::vector<uint8_t>{0xfb, 0xff, 0xbf}), "-_-_");
  EXPECT_EQ(FromBase64Url("-_-_"), (std::vector<uint8_t>{0xfb, 0xff, 0xbf}));
  EXPECT_EQ(TextOf(FromBase64Url("Zg")), "f");
  for (const char* bad : {"Z", "Zg==", "Zm8=", "Zh", "Zm9", "Zm9+", "Zm9/", "Zm9v\n", "Zm 9v", "="})
    EXPECT_EQ(FromBase64Url(bad), std::nullopt) << bad;
}

// draft-msporny-base58, "Test Vectors".
TEST(Base58, KnownTexts) {
  EXPECT_EQ(ToBase58(AsBytes("Hello World!")), "2NEpo7TZRRrLZSi2U");
  EXPECT_EQ(TextOf(FromBase58("2NEpo7TZRRrLZSi2U")), "Hello World!");
  EXPECT_EQ(ToBase58(std::vector<uint8_t>{0x00, 0x00, 0x28, 0x7f, 0xb4, 0xcd}), "11233QC4");
  EXPECT_EQ(FromBase58("11233QC4"), (std::vector<uint8_t>{0x00, 0x00, 0x28, 0x7f, 0xb4, 0xcd}));
  EXPECT_EQ(ToBase58({}), "");
  EXPECT_EQ(FromBase58(""), std::vector<uint8_t>{});
  EXPECT_EQ(FromBase58("111"), (std::vector<uint8_t>{0, 0, 0}));
  for (const char* bad : {"0", "O", "I", "l", "2N Ep", "2NEp\n", "+", "\xff"})
    EXPECT_EQ(FromBase58(bad), std::nullopt) << bad;
}

TEST(Encoding, EveryLengthSurvives) {
  std::mt19937 random(1);
  for (size_t size = 0; size < 100; ++size) {
    std::vector<uint8_t> bytes(size);
    for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
    EXPECT_EQ(FromHex(ToHex(bytes)), bytes);
    EXPECT_EQ(FromBase32(ToBase32(bytes)), bytes);
    EXPECT_EQ(FromBase58(ToBase58(bytes)), bytes);
    EXPECT_EQ(FromBase64(ToBase64(bytes)), bytes);
    EXPECT_EQ(FromBase64Url(ToBase64Url(bytes)), bytes);
  }
}

}  // namespace
}  // namespace penstock
