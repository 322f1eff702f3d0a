#include "cbor/writer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/cbor/cbor_testing.h"
#include "tests/cbor/random_item.h"

namespace penstock::cbor {
namespace {

using test::Outcome;

template <typename Write>
std::string Written(Write write) {
  std::string out;
  Writer writer(&out);
  write(writer);
  EXPECT_EQ(Outcome(CheckItem(AsBytes(out))), "ok");
  return ToHex(AsBytes(out));
}

TEST(Writer, HeadsAreShortest) {
  const auto number = [](int64_t value) { return Written([=](Writer& w) { w.Int(value); }); };
  EXPECT_EQ(number(0), "00");
  EXPECT_EQ(number(23), "17");
  EXPECT_EQ(number(24), "1818");
  EXPECT_EQ(number(255), "18ff");
  EXPECT_EQ(number(256), "190100");
  EXPECT_EQ(number(65535), "19ffff");
  EXPECT_EQ(number(65536), "1a00010000");
  EXPECT_EQ(number(4294967295), "1affffffff");
  EXPECT_EQ(number(4294967296), "1b0000000100000000");
  EXPECT_EQ(number(INT64_MAX), "1b7fffffffffffffff");
  EXPECT_EQ(number(-1), "20");
  EXPECT_EQ(number(-24), "37");
  EXPECT_EQ(number(-25), "3818");
  EXPECT_EQ(number(INT64_MIN), "3b7fffffffffffffff");
  EXPECT_EQ(Written([](Writer& w) { w.Integer({true, UINT64_MAX}); }), "3bffffffffffffffff");
}

TEST(Writer, EachKind) {
  EXPECT_EQ(Written([](Writer& w) { w.Text("é"); }), "62c3a9");
  EXPECT_EQ(Written([](Writer& w) { w.ByteString(AsBytes("a")); }), "4161");
  EXPECT_EQ(Written([](Writer& w) { w.Bool(true); }), "f5");
  EXPECT_EQ(Written([](Writer& w) { w.Bool(false); }), "f4");
  EXPECT_EQ(Written([](Writer& w) { w.Null(); }), "f6");
  EXPECT_EQ(Written([](Writer& w) { EXPECT_TRUE(w.Float(1.5)); }), "fb3ff8000000000000");
  EXPECT_EQ(Written([](Writer& w) { w.ArrayHeader(0); }), "80");
  EXPECT_EQ(Written([](Writer& w) { w.MapHeader(0); }), "a0");
  const Cid cid = Cid::OfBlock(AsBytes("abc"));
  EXPECT_EQ(Written([&](Writer& w) { w.Link(cid); }), "d82a582500" + ToHex(cid.bytes()));
}

TEST(Writer, RefusesFloatsThatDrislCannotHold) {
  std::string out;
  Writer writer(&out);
  EXPECT_FALSE(writer.Float(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(writer.Float(std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(writer.Float(-std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(writer.Float(-0.0));
  EXPECT_EQ(out, "");
  EXPECT_TRUE(writer.Float(0.0));
}

TEST(MapWriter, SortsByLengthThenBytes) {
  MapWriter map;
  const std::vector<std::string> keys = {"zz", "é", "b", "", "aaa", "a", "z", "aa", "$type"};
  for (size_t i = 0; i < keys.size(); ++i) map.Key(keys[i]).Int(static_cast<int64_t>(i));
  EXPECT_EQ(map.size(), keys.size());
  std::string out;
  map.Finish(&out);
  EXPECT_EQ(Outcome(CheckItem(AsBytes(out))), "ok");
  Reader reader(AsBytes(out));
  MapCursor cursor;
  ASSERT_TRUE(reader.BeginMap(&cursor));
  std::vector<std::string> got;
  std::string_view key;
  while (reader.NextKey(&cursor, &key)) {
    int64_t value;
    ASSERT_TRUE(reader.ReadInt64(&value));
    EXPECT_EQ(keys[static_cast<size_t>(value)], key) << "a value went with another key";
    got.emplace_back(key);
  }
  EXPECT_EQ(got, (std::vector<std::string>{"", "a", "b", "z", "aa", "zz", "é", "aaa", "$type"}));
}

TEST(MapWriter, IsEmptyAgainAfterFinish) {
  MapWriter map;
  map.Key("a").Int(1);
  std::string out = "x";
  map.Finish(&out);
  EXPECT_EQ(out, "x\xa1\x61\x61\x01");
  EXPECT_EQ(map.size(), 0u);
  out.clear();
  map.Finish(&out);
  EXPECT_EQ(out, "\xa0");
  map.Key("b").Null();
  out.clear();
  map.Finish(&out);
  EXPECT_EQ(out, "\xa1\x61\x62\xf6");
}

TEST(MapWriter, ValuesMayBeContainers) {
  MapWriter map;
  {
    Writer value = map.Key("b");
    value.ArrayHeader(2);
    value.Int(1);
    value.Text("x");
  }
  map.Key("a").MapHeader(0);
  std::string out;
  map.Finish(&out);
  EXPECT_EQ(ToHex(AsBytes(out)),
            "a26161a061628201"
            "6178");
}

// What the writer makes, the reader takes, and copying it through both gives the same bytes.
TEST(WriterAndReader, RandomItemsSurviveTheRoundTrip) {
  const uint64_t seed = test::SeedOfThisRun();
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  test::RandomItem random(seed);
  for (int round = 0; round < 5'000; ++round) {
    const std::string item = random.Make();
    ASSERT_EQ(Outcome(CheckItem(AsBytes(item))), "ok") << ToHex(AsBytes(item));
    std::string copy;
    Reader reader(AsBytes(item));
    ASSERT_TRUE(test::CopyItem(reader, &copy)) << ToHex(AsBytes(item));
    ASSERT_TRUE(reader.AtEnd());
    ASSERT_EQ(ToHex(AsBytes(copy)), ToHex(AsBytes(item)));
  }
}

// One changed, lost or added byte: either it is refused, or it is another item in its one canonical form.
TEST(WriterAndReader, WhatIsAcceptedIsCanonical) {
  const uint64_t seed = test::SeedOfThisRun();
  SCOPED_TRACE("PENSTOCK_SEED=" + std::to_string(seed));
  test::RandomItem random(seed);
  size_t accepted = 0, refused = 0;
  for (int round = 0; round < 5'000; ++round) {
    std::string item = random.Make();
    for (int change = 0; change < 8; ++change) {
      std::string changed = item;
      const size_t at = random.Below(changed.size());
      switch (random.Below(3)) {
        case 0:
          changed[at] = static_cast<char>(random.Below(256));
          break;
        case 1:
          changed.erase(at, 1);
          break;
        default:
          changed.insert(at, 1, static_cast<char>(random.Below(256)));
      }
      if (!CheckItem(AsBytes(changed)).ok()) {
        ++refused;
        continue;
      }
      ++accepted;
      std::string copy;
      Reader reader(AsBytes(changed));
      ASSERT_TRUE(test::CopyItem(reader, &copy));
      ASSERT_EQ(ToHex(AsBytes(copy)), ToHex(AsBytes(changed)));
    }
  }
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace penstock::cbor
