#include "repo/syntax.h"

#include <gtest/gtest.h>

#include <functional>
#include <random>

namespace penstock::repo {
namespace {

std::string Times(size_t count, char c) { return std::string(count, c); }

using Accepts = std::function<bool(std::string_view)>;

struct Format {
  const char* name;
  Accepts accepts;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

std::vector<Format> Formats() {
  const std::string label = Times(63, 'a');
  return {
      {"Did",
       [](std::string_view t) { return Did::Parse(t).has_value(); },
       {"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:m:%.", "did:a::::a", "did:m:" + Times(2048 - 6, 'x')},
       {"", "did", "did:", "did::", "did::a", "did:m:", "did:M:a", "did:m1:a", "did:m:a:", "did:m:a%",
        "did:m:a/b", "did:m:a~b", "did:m:a?b", "DID:m:a", " did:m:a", "did:m:" + Times(2048 - 5, 'x'),
        "did:m:\xc3\xa9"}},
      {"Handle",
       [](std::string_view t) { return Handle::Parse(t).has_value(); },
       {"a.b", "A.B1", "1.a", label + ".com", label + "." + label + "." + label + "." + Times(61, 'a'),
        "a-b.c-d"},
       {"", ".", "a", "a.", ".a", "a..b", "-a.b", "a-.b", "a.1b", "a.b-", "a_b.c", label + "a.com",
        label + "." + label + "." + label + "." + Times(62, 'a'), "a.\xc3\xa9"}},
      {"AtIdentifier", IsAtIdentifier, {"did:m:a", "a.b"}, {"", "did:m:", "did:", "a", "DID:m:a"}},
      {"Nsid",
       [](std::string_view t) { return Nsid::Parse(t).has_value(); },
       {"a.b.c", "com.example.fooBar2", "a.1.b", "a-b.c-d.e", "a.b." + label,
        // An authority of exactly 253 bytes.
        label + "." + label + "." + label + "." + Times(61, 'a') + "." + label},
       {"", "a", "a.b", "a.b.", ".b.c", "a..c", "a.b.1", "a.b.c-d", "1.b.c", "-a.b.c", "a-.b.c", "a.b-.c",
        "a.b.c_d", "a.b.*", "a.b." + label + "a", label + "a.b.c",
        label + "." + label + "." + label + "." + Times(62, 'a') + ".b"}},
      {"RecordKey",
       [](std::string_view t) { return RecordKey::Parse(t).has_value(); },
       {"a", "-", "_", "~", ":", "...", "self", "A.b-c_d~e:f", Times(512, 'o')},
       {"", ".", "..", "a/b", "a b", "#", "@a", "a%", "a=", Times(513, 'o'), "\xc3\xa9"}},
      {"RepoPath",
       [](std::string_view t) { return RepoPath::Parse(t).has_value(); },
       {"a.b.c/d", "com.example.thing/3jzfcijpj2z2a", "a.b.c/pre:fix"},
       {"", "/", "a.b.c", "a.b.c/", "/a.b.c", "a.b.c//d", "a.b.c/d/", "a.b.c/d/e", "/a.b.c/d", "a.b.c/.",
        "a.b.c/..", "a.b/d", "a.b.c/d e"}},
      {"Tid",
       [](std::string_view t) { return Tid::Parse(t).has_value(); },
       {"3jzfcijpj2z2a", "2222222222222", "7777777777777", "jzzzzzzzzzzzz"},
       {"", "3jzfcijpj2z2", "3jzfcijpj2z2aa", "kzzzzzzzzzzzz", "zzzzzzzzzzzzz", "3jzfcijpj2z21",
        "3jzfcijpj2z2A", "3jzfcijpj2z28", "3jzf-cij-pj2z", "1222222222222"}},
      {"AtUri",
       [](std::string_view t) { return AtUri::Parse(t).has_value(); },
       {"at://did:m:a", "at://a.b", "at://did:m:a/a.b.c", "at://a.b/a.b.c/d"},
       {"", "at://", "at:///", "at://a", "at://a.b/", "at://a.b/a.b.c/", "at://a.b/a.b.c/d/",
        "at://a.b/a.b.c/d/e", "at://a.b#x", "at://a.b/a.b.c?x", "AT://a.b", "at:/a.b", "http://a.b",
        "at://a.b/d"}},
      {"Datetime",
       [](std::string_view t) { return Datetime::Parse(t).has_value(); },
       {"1985-04-12T23:20:50.123Z", "0000-01-01T00:00:00Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z",
        "9999-12-31T23:59:59.99999999999999999999-23:59", "0000-01-01T01:00:00+01:00",
        "1985-04-12T23:20:50+00:00"},
       {"",
        "1985-04-12",
        "1985-04-12T23:20:50",
        "1985-04-12T23:20:50z",
        "1985-04-12t23:20:50Z",
        "1985-04-12 23:20:50Z",
        "1985-4-12T23:20:50Z",
        "1985-04-12T23:20:50.Z",
        "1985-04-12T23:20:50.123456789012345678901Z",
        "1985-04-12T23:20:50-00:00",
        "1985-04-12T23:20:50+0000",
        "1985-04-12T23:20:50+00",
        "1985-04-12T23:20:50+24:00",
        "1985-04-12T23:20:50+00:60",
        "1985-00-12T23:20:50Z",
        "1985-13-12T23:20:50Z",
        "1985-04-00T23:20:50Z",
        "1985-04-31T23:20:50Z",
        "2023-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "1985-04-12T24:00:00Z",
        "1985-04-12T23:60:50Z",
        "1985-04-12T23:20:60Z",
        "0000-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00+01:00",
        "1985-04-12T23:20:50.123ZZ",
        "+1985-04-12T23:20:50Z",
        "-985-04-12T23:20:50Z",
        "1985-04-12T23:20:5 Z"}},
      {"LanguageSyntax",
       IsLanguageSyntax,
       {"ja", "ban", "en-GB", "zh-cmn-Hans-CN", "sl-rozaj-biske-1994", "de-CH-1901", "es-419", "x-a",
        "X-fr-CH", "de-X-foo", "en-a-bbb-x-a-ccc", "en-u-co-phonebk-t-it", "i-default", "sgn-BE-NL",
        "zh-hakka", "zh-min-nan", "en-rozaj-rozaj", "en-u-aa-u-bb", "zh-aaa-bbb-ccc"},
       {"",
        "j",
        "JA",
        "Ja",
        "jaja",
        "jajaj",
        "jaja1",
        "en-",
        "-en",
        "en--GB",
        "en-GB-",
        "en_GB",
        "i-nonsense",
        "x",
        "x-",
        "x-123456789",
        "en-x",
        "en-u",
        "en-u-a",
        "en-u-co-",
        "en-GB-US",
        "en-Latn-Cyrl",
        "en-12",
        "a-DE",
        "419",
        "zh-aaa-bbb-ccc-ddd",
        "en-\xc3\xa9",
        "en-" + Times(128, 'a')}},
      {"Language",
       IsLanguage,
       {"ja", "sl-rozaj-biske", "en-u-aa-t-bb", "de-1901-1996", "en-a-bbb-x-a-ccc-a", "en-a-uu-b-uu"},
       {"de-DE-1901-1901", "en-rozaj-ROZAJ", "en-u-co-U-ca", "en-a-bbb-a-ccc", "JA"}},
      {"Uri",
       IsUriSyntax,
       {"a:b", "at://x", "did:m:a", "microsoft.windows.camera:thing", "a:" + Times(8190, 'x'),
        Times(81, 'a') + ":b"},
       {"", ":", "a:", ":a", "A:b", "1a:b", "a b:c", "a:b c", "example.com", "a+b:c", "a:\x7f", "a:\xc3\xa9",
        "a:" + Times(8191, 'x'), Times(82, 'a') + ":b"}},
      {"Cid",
       IsCidSyntax,
       {"bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm", "12345678", "mBcDxtdWx0aWhhc2g+",
        "Qma45678", Times(256, 'a')},
       {"", "1234567", "Qmb45678", "bafy rei", "bafy/rei", "bafyrei-e", Times(257, 'a')}},
  };
}

TEST(Syntax, AcceptsWhatTheGrammarGives) {
  for (const Format& format : Formats()) {
    for (const std::string& text : format.good) {
      EXPECT_TRUE(format.accepts(text)) << format.name << ": " << text;
    }
  }
}

TEST(Syntax, RefusesWhatItDoesNot) {
  for (const Format& format : Formats()) {
    for (const std::string& text : format.bad) {
      EXPECT_FALSE(format.accepts(text)) << format.name << ": " << text;
    }
  }
}

// The trap of `$` in regular expressions, and of C strings.
TEST(Syntax, NothingMayFollowOrPrecede) {
  for (const Format& format : Formats()) {
    for (const std::string& text : format.good) {
      for (const std::string& extra :
           {std::string("\n"), std::string("\r\n"), std::string(" "), std::string(1, '\0')}) {
        EXPECT_FALSE(format.accepts(text + extra)) << format.name << ": " << text;
        EXPECT_FALSE(format.accepts(extra + text)) << format.name << ": " << text;
      }
    }
  }
}

TEST(Syntax, NoByteAboveAsciiIsPartOfAnyFormat) {
  for (const Format& format : Formats()) {
    for (const std::string& text : format.good) {
      if (text.size() > 100) continue;
      for (size_t i = 0; i < text.size(); ++i) {
        std::string changed = text;
        changed[i] = static_cast<char>(changed[i] | 0x80);
        EXPECT_FALSE(format.accepts(changed)) << format.name << ": " << text << " at " << i;
      }
    }
  }
}

TEST(Did, Parts) {
  EXPECT_EQ(Did::Parse("did:web:example.com")->method(), "web");
  EXPECT_EQ(Did().method(), "");
}

TEST(Did, Resolvable) {
  for (const char* good : {"did:plc:ewvi7nxzyoun6zhxrhs64oiz", "did:web:example.com"}) {
    EXPECT_TRUE(Did::Parse(good)->IsResolvable()) << good;
  }
  for (const char* bad : {"did:plc:ewvi7nxzyoun6zhxrhs64oi", "did:plc:ewvi7nxzyoun6zhxrhs64oizz",
                          "did:plc:Ewvi7nxzyoun6zhxrhs64oiz", "did:plc:ewvi7nxzyoun6zhxrhs64oi1",
                          "did:web:localhost%3A1234", "did:web:localhost", "did:web:example.com:user",
                          "did:key:zQ3sh", "did:plcx:ewvi7nxzyoun6zhxrhs64oiz"}) {
    EXPECT_FALSE(Did::Parse(bad)->IsResolvable()) << bad;
  }
  EXPECT_FALSE(Did().IsResolvable());
}

TEST(Handle, NormalizedIsLowerCase) {
  EXPECT_EQ(Handle::Parse("Alice.Example-1.COM")->Normalized(), "alice.example-1.com");
}

TEST(Nsid, Parts) {
  EXPECT_EQ(Nsid::Parse("com.example.fooBar")->authority(), "com.example");
  EXPECT_EQ(Nsid::Parse("com.example.fooBar")->name(), "fooBar");
  EXPECT_EQ(Nsid().authority(), "");
  EXPECT_EQ(Nsid().name(), "");
}

TEST(RepoPath, Halves) {
  const auto path = RepoPath::Parse("com.example.thing/self");
  EXPECT_EQ(path->collection.text(), "com.example.thing");
  EXPECT_EQ(path->rkey.text(), "self");
}

TEST(AtUri, Parts) {
  const auto uri = AtUri::Parse("at://did:plc:a/com.example.thing/self");
  EXPECT_EQ(uri->authority(), "did:plc:a");
  EXPECT_EQ(uri->collection(), "com.example.thing");
  EXPECT_EQ(uri->rkey(), "self");
  EXPECT_EQ(AtUri::Parse("at://a.b")->collection(), "");
  // The whole, not a part, is what is bounded last.
  EXPECT_FALSE(AtUri::Parse("at://a.b/a.b.c/" + Times(8192, 'x')).has_value());
}

TEST(Tid, KnownValues) {
  EXPECT_EQ(Tid::Parse("2222222222222")->value(), 0u);
  EXPECT_EQ(Tid::Parse("2222222222223")->value(), 1u);
  EXPECT_EQ(Tid::Parse("bzzzzzzzzzzzz")->value(), (uint64_t{8} << 60) - 1);
  // 2023-01-09T22:58:00.000000Z, clock 0.
  EXPECT_EQ(Tid::FromMicros(1673305080000000, 0).micros(), 1673305080000000);
}

TEST(Tid, TextAndValueAgreeInOrder) {
  std::mt19937_64 random(20240731);
  for (int i = 0; i < 10'000; ++i) {
    const Tid a = Tid::FromMicros(static_cast<int64_t>(random() >> 11), static_cast<uint32_t>(random()));
    const Tid b = Tid::FromMicros(static_cast<int64_t>(random() >> 11), static_cast<uint32_t>(random()));
    ASSERT_EQ(Tid::Parse(a.ToString()), a);
    ASSERT_EQ(a < b, a.ToString() < b.ToString());
  }
}

TEST(Tid, FromMicrosKeepsItsFields) {
  const Tid tid = Tid::FromMicros((int64_t{1} << 53) - 1, 1023);
  EXPECT_EQ(tid.micros(), (int64_t{1} << 53) - 1);
  EXPECT_EQ(tid.value() & 1023, 1023u);
  EXPECT_EQ(Tid::FromMicros(1, 1024 + 5).value(), 1024u + 5);
}

TEST(Datetime, Micros) {
  EXPECT_EQ(Datetime::Parse("1970-01-01T00:00:00Z")->micros, 0);
  EXPECT_EQ(Datetime::Parse("1969-12-31T23:59:59.999999Z")->micros, -1);
  EXPECT_EQ(Datetime::Parse("1985-04-12T23:20:50.123Z")->micros, 482196050'123000);
  EXPECT_EQ(Datetime::Parse("1985-04-12T23:20:50.1239999Z")->micros,
            482196050'123999);  // cut off, not rounded
  EXPECT_EQ(Datetime::Parse("1985-04-12T23:20:50.5-07:00")->micros, 482221250'500000);
  EXPECT_EQ(Datetime::Parse("1985-04-13T06:20:50+07:00")->micros, 482196050'000000);
  EXPECT_EQ(Datetime::Parse("2000-03-01T00:00:00Z")->micros, 951868800'000000);
  EXPECT_EQ(Datetime::Parse("2100-03-01T00:00:00Z")->micros, 4107542400'000000);
  EXPECT_EQ(Datetime::Parse("0000-01-01T00:00:00Z")->micros, -62167219200'000000);
  EXPECT_EQ(Datetime::Parse("0001-01-01T00:00:00Z")->micros, -62135596800'000000);
  EXPECT_EQ(Datetime::Parse("9999-12-31T23:59:59.999999Z")->micros, 253402300799'999999);
}

TEST(Datetime, EveryDayFollowsTheOneBefore) {
  int64_t last = Datetime::Parse("1999-12-31T00:00:00Z")->micros;
  for (int year = 2000; year < 2009; ++year) {
    int days = 0;
    for (int month = 1; month <= 12; ++month) {
      for (int day = 1; day <= 31; ++day) {
        char text[40];
        std::snprintf(text, sizeof text, "%04d-%02d-%02dT00:00:00Z", year, month, day);
        const auto datetime = Datetime::Parse(text);
        if (!datetime) continue;
        ASSERT_EQ(datetime->micros - last, 86'400'000'000) << text;
        last = datetime->micros;
        ++days;
      }
    }
    EXPECT_EQ(days, year % 4 == 0 ? 366 : 365) << year;
  }
}

}  // namespace
}  // namespace penstock::repo
