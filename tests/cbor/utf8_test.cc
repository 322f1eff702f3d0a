#include "cbor/utf8.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace penstock::cbor {
namespace {

// The definition, from the code point up: what the quick version is compared with.
bool IsValidUtf8Slowly(Bytes bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const uint8_t lead = bytes[at];
    const size_t size = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (size == 0 || size > bytes.size() - at) return false;
    uint32_t point = size == 1 ? lead : lead & (0x7f >> size);
    for (size_t i = 1; i < size; ++i) {
      if (bytes[at + i] >> 6 != 2) return false;
      point = point << 6 | (bytes[at + i] & 0x3f);
    }
    static constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kSmallest[size] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff)) return false;
    at += size;
  }
  return true;
}

TEST(Utf8, EveryTwoByteSequence) {
  for (uint32_t value = 0; value < 0x10000; ++value) {
    const uint8_t bytes[] = {static_cast<uint8_t>(value >> 8), static_cast<uint8_t>(value)};
    ASSERT_EQ(IsValidUtf8(bytes), IsValidUtf8Slowly(bytes)) << std::hex << value;
  }
}

TEST(Utf8, EveryThreeByteSequenceWithAHighLead) {
  for (uint32_t value = 0xc00000; value < 0x1000000; ++value) {
    const uint8_t bytes[] = {static_cast<uint8_t>(value >> 16), static_cast<uint8_t>(value >> 8),
                             static_cast<uint8_t>(value)};
    ASSERT_EQ(IsValidUtf8(bytes), IsValidUtf8Slowly(bytes)) << std::hex << value;
  }
}

TEST(Utf8, FourByteSequencesAroundEachBorder) {
  for (uint32_t lead = 0xf0; lead < 0x100; ++lead) {
    for (uint32_t second = 0; second < 0x100; ++second) {
      for (uint8_t third : {0x7f, 0x80, 0xbf, 0xc0}) {
        for (uint8_t fourth : {0x7f, 0x80, 0xbf, 0xc0}) {
          const uint8_t bytes[] = {static_cast<uint8_t>(lead), static_cast<uint8_t>(second), third, fourth};
          ASSERT_EQ(IsValidUtf8(bytes), IsValidUtf8Slowly(bytes)) << lead << ' ' << second;
        }
      }
    }
  }
}

TEST(Utf8, ABadByteIsFoundAtEveryPlaceOfALongText) {
  for (size_t size = 1; size < 40; ++size) {
    std::vector<uint8_t> text(size, 'a');
    EXPECT_TRUE(IsValidUtf8(text));
    for (size_t at = 0; at < size; ++at) {
      text[at] = 0xff;
      EXPECT_FALSE(IsValidUtf8(text)) << at << " of " << size;
      text[at] = 'a';
    }
  }
}

TEST(Utf8, RandomMixturesAgreeWithTheDefinition) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::vector<std::string> good = {"a", "abcdefgh", "é", "⽘", "😀"};
  const std::vector<std::string> bad = {"\xff", "\xc3", "\xed\xa0\x80", "\xE2\x82"};
  int valid = 0;
  for (int round = 0; round < 50'000; ++round) {
    std::string text;
    for (uint32_t n = random() % 8; n > 0; --n) text += good[random() % good.size()];
    if (random() % 3 == 0) text += bad[random() % bad.size()];
    if (random() % 3 == 0) text += good[random() % good.size()];
    ASSERT_EQ(IsValidUtf8(AsBytes(text)), IsValidUtf8Slowly(AsBytes(text)));
    valid += IsValidUtf8(AsBytes(text));
  }
  EXPECT_GT(valid, 1000);
  EXPECT_LT(valid, 49'000);
}

TEST(Utf8, ShortAsciiSeesEveryByte) {
  for (size_t size = 0; size <= 16; ++size) {
    std::vector<uint8_t> text(size, 0x7f);
    EXPECT_TRUE(IsShortAscii(text.data(), size)) << size;
    for (size_t at = 0; at < size; ++at) {
      text[at] = 0x80;
      EXPECT_FALSE(IsShortAscii(text.data(), size)) << at << " of " << size;
      text[at] = 0x7f;
    }
  }
}

}  // namespace
}  // namespace penstock::cbor
