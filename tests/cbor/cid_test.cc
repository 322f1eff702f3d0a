#include "cbor/cid.h"

#include <gtest/gtest.h>

#include "tests/cbor/cbor_testing.h"

namespace penstock::cbor {
namespace {

using test::Hex;
using test::Outcome;

// SHA-256 of "abc" (FIPS 180-2), as a raw CID.
constexpr char kAbcRaw[] = "bafkreif2pall7dybz7vecqka3zo24irdwabwdi4wc55jznaq75q7eaavvu";

TEST(Cid, OfABlock) {
  const Cid cid = Cid::OfBlock(AsBytes("abc"), kCodecRaw);
  EXPECT_EQ(cid.ToString(), kAbcRaw);
  EXPECT_EQ(ToHex(cid.bytes()), "01551220ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_TRUE(cid.view().IsBlessed());
  EXPECT_TRUE(cid.view().IsBlessedRaw());
  EXPECT_FALSE(cid.view().IsBlessedData());
  EXPECT_TRUE(BlockMatches(cid.view(), AsBytes("abc")));
  EXPECT_FALSE(BlockMatches(cid.view(), AsBytes("abd")));
  EXPECT_TRUE(Cid::OfBlock(AsBytes("abc")).view().IsBlessedData());
}

TEST(Cid, StringFormIsStrict) {
  const auto parse = [](std::string_view text) { return Outcome(Cid::FromString(text).status()); };
  const std::string good = kAbcRaw;
  ASSERT_EQ(parse(good), "ok");
  EXPECT_EQ(Cid::FromString(good)->ToString(), good);
  EXPECT_EQ(parse(""), "cid_malformed");
  EXPECT_EQ(parse("b"), "cid_malformed");
  EXPECT_EQ(parse("."), "cid_malformed");
  EXPECT_EQ(parse("z" + good.substr(1)), "cid_malformed") << "another multibase";
  EXPECT_EQ(parse("B" + good.substr(1)), "cid_malformed");
  EXPECT_EQ(parse(good + " "), "cid_malformed");
  EXPECT_EQ(parse(" " + good), "cid_malformed");
  EXPECT_EQ(parse(good + "="), "cid_malformed") << "padding";
  EXPECT_EQ(parse(good + "a"), "cid_malformed");
  EXPECT_EQ(parse(good.substr(0, good.size() - 1)), "cid_malformed");
  std::string changed = good;
  changed[10] = 'A';
  EXPECT_EQ(parse(changed), "cid_malformed") << "upper case";
  changed[10] = '1';
  EXPECT_EQ(parse(changed), "cid_malformed") << "not in the alphabet";
  changed = good;
  changed.back() = 'v';  // 36 bytes leave two bits over; 'u' has them zero, 'v' does not
  EXPECT_EQ(parse(changed), "cid_malformed") << "padding bits";
}

TEST(Cid, VersionZeroIsBase58) {
  const std::string text = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
  const auto cid = Cid::FromString(text);
  ASSERT_TRUE(cid.ok());
  EXPECT_EQ(cid->view().version(), 0);
  EXPECT_EQ(cid->bytes().size(), 34u);
  EXPECT_FALSE(cid->view().IsBlessed());
  EXPECT_EQ(cid->ToString(), text);
  EXPECT_EQ(Outcome(Cid::FromString(text.substr(0, 45)).status()), "cid_malformed");
  EXPECT_EQ(Outcome(Cid::FromString("Qm" + std::string(44, '0')).status()), "cid_malformed");
  // The binary form of version 0 in the string form of version 1 is neither.
  EXPECT_EQ(Outcome(Cid::FromString("b" + ToBase32(cid->bytes())).status()), "cid_malformed");
}

TEST(Cid, BinaryFormIsStrict) {
  const auto parses = [](std::string_view hex) {
    CidView cid;
    const std::vector<uint8_t> bytes = Hex(hex);
    const bool ok = CidView::Parse(bytes, &cid);
    EXPECT_EQ(cid.empty(), !ok) << hex;
    return ok;
  };
  const std::string digest = ToHex(std::vector<uint8_t>(32, 0xab));
  EXPECT_TRUE(parses("01711220" + digest));
  EXPECT_TRUE(parses("01551220" + digest));
  EXPECT_TRUE(parses("1220" + digest)) << "version 0";
  EXPECT_TRUE(parses("01701220" + digest)) << "dag-pb";
  EXPECT_TRUE(parses("01711e20" + digest)) << "BLAKE3";
  EXPECT_TRUE(parses("01a9021220" + digest)) << "a codec of two bytes";
  EXPECT_TRUE(parses("01550000")) << "identity, nothing";
  EXPECT_TRUE(parses("01550002abcd"));
  EXPECT_FALSE(parses(""));
  EXPECT_FALSE(parses("01711220" + digest + "00")) << "a byte too many";
  EXPECT_FALSE(parses("01711220" + digest.substr(2))) << "a byte too few";
  EXPECT_FALSE(parses("02711220" + digest)) << "version 2";
  EXPECT_FALSE(parses("00711220" + digest)) << "version 0 has no codec";
  EXPECT_FALSE(parses("0171121f" + digest.substr(2))) << "31 bytes of SHA-256";
  EXPECT_FALSE(
      parses("81007112"
             "20" +
             digest))
      << "a varint that is not minimal";
  EXPECT_FALSE(parses("01ffffffffffffffffff7f1220" + digest)) << "a varint of ten bytes";
  EXPECT_FALSE(parses("01"));
  EXPECT_FALSE(parses("0171"));
  EXPECT_FALSE(parses("017112"));
  EXPECT_FALSE(parses("0155 00 ffffffffffffffff7f")) << "a digest longer than memory";
  EXPECT_TRUE(parses("0155 00 60" + ToHex(std::vector<uint8_t>(96, 1)))) << "100 bytes";
  EXPECT_FALSE(parses("0155 00 61" + ToHex(std::vector<uint8_t>(97, 1)))) << "101 bytes";
}

TEST(Cid, APrefixSaysHowLongItIs) {
  const std::string digest = ToHex(std::vector<uint8_t>(32, 0xab));
  CidView cid;
  std::vector<uint8_t> bytes = Hex("01711220" + digest + "ffff");
  ASSERT_TRUE(CidView::ParsePrefix(bytes, &cid));
  EXPECT_EQ(cid.bytes().size(), kBlessedCidSize);
  EXPECT_EQ(cid.digest().size(), 32u);
  EXPECT_EQ(cid.digest().data(), bytes.data() + 4);
  bytes = Hex("1220" + digest + "ffff");
  ASSERT_TRUE(CidView::ParsePrefix(bytes, &cid));
  EXPECT_EQ(cid.bytes().size(), 34u);
  bytes = Hex("01550002abcdff");
  ASSERT_TRUE(CidView::ParsePrefix(bytes, &cid));
  EXPECT_EQ(ToHex(cid.digest()), "abcd");
  EXPECT_FALSE(BlockMatches(cid, Hex("abcd"))) << "only SHA-256 can be checked";
}

TEST(Cid, OwnedCopiesOutliveTheirBytes) {
  Cid copy;
  EXPECT_TRUE(copy.empty());
  EXPECT_TRUE(copy.view().empty());
  EXPECT_EQ(copy.ToString(), "");
  {
    std::vector<uint8_t> bytes = Hex(test::kDataCidHex);
    CidView view;
    ASSERT_TRUE(CidView::Parse(bytes, &view));
    copy = Cid(view);
    EXPECT_TRUE(copy == view);
  }
  EXPECT_EQ(ToHex(copy.bytes()), ToHex(Hex(test::kDataCidHex)));
  EXPECT_TRUE(copy.view().IsBlessedData());
  EXPECT_FALSE(copy == Cid::OfBlock(AsBytes("abc")));
}

}  // namespace
}  // namespace penstock::cbor
