#include "lexicon/formats.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "lexicon/graphemes.h"

namespace penstock::lexicon {
namespace {

constexpr FormatVerdict kGood = FormatVerdict::kGood, kTolerated = FormatVerdict::kTolerated,
                        kDoubtful = FormatVerdict::kDoubtful, kBad = FormatVerdict::kBad;

TEST(LexiconFormats, NamesAreTheOnesOfTheLanguage) {
  for (const std::string_view name : {"at-identifier", "at-uri", "cid", "datetime", "did", "handle",
                                      "language", "nsid", "record-key", "tid", "uri"}) {
    const auto format = FormatFromName(name);
    ASSERT_TRUE(format) << name;
    EXPECT_EQ(FormatName(*format), name);
  }
  EXPECT_FALSE(FormatFromName("email"));
  EXPECT_FALSE(FormatFromName(""));
}

TEST(LexiconFormats, AsksTheSyntaxOfIdentifiers) {
  EXPECT_EQ(CheckFormat(Format::kDid, "did:plc:abc"), kGood);
  EXPECT_EQ(CheckFormat(Format::kDid, "did:plc:"), kBad);
  EXPECT_EQ(CheckFormat(Format::kHandle, "a.example.com"), kGood);
  EXPECT_EQ(CheckFormat(Format::kHandle, "example"), kBad);
  EXPECT_EQ(CheckFormat(Format::kAtIdentifier, "did:web:a.b"), kGood);
  EXPECT_EQ(CheckFormat(Format::kAtIdentifier, "a.b"), kGood);
  EXPECT_EQ(CheckFormat(Format::kAtIdentifier, "123"), kBad);
  EXPECT_EQ(CheckFormat(Format::kNsid, "com.example.a"), kGood);
  EXPECT_EQ(CheckFormat(Format::kNsid, "com.example"), kBad);
  EXPECT_EQ(CheckFormat(Format::kRecordKey, "self"), kGood);
  EXPECT_EQ(CheckFormat(Format::kRecordKey, "."), kBad);
  EXPECT_EQ(CheckFormat(Format::kTid, "3kznmn7xqxl22"), kGood);
  EXPECT_EQ(CheckFormat(Format::kTid, "3kznmn7xqxl2"), kBad);
}

TEST(LexiconFormats, Datetime) {
  const auto check = [](std::string_view text) { return CheckFormat(Format::kDatetime, text); };
  EXPECT_EQ(check("2024-02-29T12:34:56.789Z"), kGood);
  EXPECT_EQ(check("2024-02-29T12:34:56+05:45"), kGood);
  EXPECT_EQ(check("2024-02-29T12:34:56.789"), kTolerated);
  EXPECT_EQ(check("2024-02-29T12:34:56"), kTolerated);
  EXPECT_EQ(check("2024-02-30T12:34:56Z"), kTolerated);
  EXPECT_EQ(check("2024-02-29T24:00:00Z"), kTolerated);
  EXPECT_EQ(check("0000-01-01T00:00:00+01:00"), kTolerated);
  EXPECT_EQ(check("2024-02-29T12:34:60Z"), kTolerated);
  EXPECT_EQ(check("2024-02-29T12:34:56.0123456789012345678901234Z"), kTolerated);
  for (const std::string_view bad :
       {"", "2024", "2024-02-32T12:34:56Z", "2023-02-29T12:34:56", "2024-02-29T12:34", "2024-02-29T12:34Z",
        "2024-02-29T12:34:56.0123456789", "2023-02-29T12:34:60Z", "2024-02-29T24:01:00Z",
        "2024-02-29T1234:56Z", "2024-02-29 12:34:56Z", "2024-02-29T12:34:56-00:00", "2024-02-29T12:34:56.Z",
        "2024-02-29T12:34:5Z", "2024-02-29T12:34:56z", "2024-02-29T12:34:56Zx", "2024-02-29T12:34:",
        "2024-02-29T12:34:56\n", "2024-02-29T12:34:56.000000000000000000000000000000000000000000000Z"}) {
    EXPECT_EQ(check(bad), kBad) << bad;
  }
}

TEST(LexiconFormats, Language) {
  const auto check = [](std::string_view text) { return CheckFormat(Format::kLanguage, text); };
  EXPECT_EQ(check("de-CH-1996"), kGood);
  EXPECT_EQ(check("EN"), kTolerated);
  EXPECT_EQ(check("En-GB"), kTolerated);
  EXPECT_EQ(check("english"), kTolerated);
  for (const std::string_view bad : {"", "123", "e", "en_GB", "en-", "Deutschsprachig", "EN-GB-"})
    EXPECT_EQ(check(bad), kBad) << bad;
  EXPECT_EQ(check(std::string(200, 'a')), kBad);
}

TEST(LexiconFormats, Uris) {
  EXPECT_EQ(CheckFormat(Format::kUri, "https://example.com/a?b#c"), kGood);
  EXPECT_EQ(CheckFormat(Format::kUri, "dns:example"), kGood);
  EXPECT_EQ(CheckFormat(Format::kUri, "https://example.com/ä"), kTolerated);
  EXPECT_EQ(CheckFormat(Format::kUri, "HTTPS://example.com"), kTolerated);
  EXPECT_EQ(CheckFormat(Format::kUri, "https://" + std::string(9'000, 'a')), kTolerated);
  for (const std::string_view bad : {"", "123", "https:", "HTTPS:", "HTTPS:// a", "https://ä b", "HTTPS:///a",
                                     "https://ä\u2003b", "https://ä\u00a0b", ":a", "Ä:b", "HTTPS://a\n"}) {
    EXPECT_EQ(CheckFormat(Format::kUri, bad), kBad) << bad;
  }
  EXPECT_EQ(CheckFormat(Format::kAtUri, "at://did:plc:a/com.example.b/c"), kGood);
  EXPECT_EQ(CheckFormat(Format::kAtUri, "at://did:plc:a/com.example.b/c#/d"), kTolerated);
  for (const std::string_view bad :
       {"", "123", "at://did:plc:a/com.example.b/", "at://did:plc:a#", "at://did:plc:a#d",
        "at://did:plc:a/com.example.b/c#/ä", "https://example.com"}) {
    EXPECT_EQ(CheckFormat(Format::kAtUri, bad), kBad) << bad;
  }
}

TEST(LexiconFormats, Cid) {
  const auto check = [](std::string_view text) { return CheckFormat(Format::kCid, text); };
  constexpr std::string_view kData = "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq";
  EXPECT_EQ(check(kData), kGood);
  EXPECT_EQ(check("bafkreiany2x56aud2awigtfj3wrndyizz3gxyee7pvwuqsi4crhxxlzgfa"), kGood);
  // In base58, and of version 0.
  EXPECT_EQ(check("zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA"), kGood);
  EXPECT_EQ(check("QmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"), kGood);
  // One letter away from a CID: the length, a bit of padding, another version, letters of no base.
  EXPECT_EQ(check(kData.substr(0, 58)), kDoubtful);
  EXPECT_EQ(check(std::string(kData.substr(0, 58)) + "r"), kDoubtful);
  EXPECT_EQ(check("bafyreiz" + std::string(kData.substr(8))), kDoubtful);
  EXPECT_EQ(check("bafyreiA" + std::string(kData.substr(8))), kDoubtful);
  EXPECT_EQ(check("zQmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"), kDoubtful);
  EXPECT_EQ(check(std::string(200, 'b')), kDoubtful);
  EXPECT_EQ(check("kkkkkkkkk"), kDoubtful);
  EXPECT_EQ(check("zzzzzzzzz"), kDoubtful);
  for (const std::string_view bad : {"", "123", "bafy-reiclp443", "Qmbxxxxxxxxxx"})
    EXPECT_EQ(check(bad), kBad) << bad;
  EXPECT_EQ(check(std::string(300, 'b')), kBad);
}

TEST(Graphemes, CountsWhatPeopleSee) {
  const auto count = [](std::string_view text) { return CountGraphemes(text, 1'000); };
  EXPECT_EQ(count(""), 0u);
  EXPECT_EQ(count("abc"), 3u);
  EXPECT_EQ(count("e\u0301clair"), 6u);
  EXPECT_EQ(count("\r\n"), 1u);
  EXPECT_EQ(count("👩‍👩‍👦‍👦👩‍👩‍👦‍👦"), 2u);
  EXPECT_EQ(count("🇩🇪🏳️‍🌈🇩🇪🏳️‍🌈"), 4u);
  EXPECT_EQ(count("👍🏽"), 1u);
  EXPECT_EQ(count("한국"), 2u);
  EXPECT_EQ(count("ไทย"), 3u);
  EXPECT_EQ(count(std::string_view("\0\0", 2)), 2u);
  // Conjuncts: one each (GB9c).
  EXPECT_EQ(count("क्ष"), 1u);
  EXPECT_EQ(count("नमस्ते"), 3u);
  EXPECT_EQ(count("क्‍ष"), 1u);  // a joiner behind the virama
  EXPECT_EQ(count("क्\u200cष"), 2u);      // a non-joiner
  EXPECT_EQ(count("क्त्य"), 1u);
  EXPECT_EQ(count("സ്ത്രീ"), 1u);
  EXPECT_EQ(count("कष"), 2u);
}

TEST(Graphemes, StopsBeyondEnough) {
  EXPECT_EQ(CountGraphemes(std::string(1'000, 'a'), 10), 11u);
  EXPECT_EQ(CountGraphemes(std::string(10, 'a'), 10), 10u);
}

TEST(Graphemes, BytesThatAreNoTextDoNoHarm) {
  EXPECT_GT(CountGraphemes("a\xff\xfe", 100), 0u);
  EXPECT_GT(CountGraphemes("\xe2\x80", 100), 0u);
}

}  // namespace
}  // namespace penstock::lexicon
