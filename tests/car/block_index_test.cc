#include "car/block_index.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/car/car_testing.h"

namespace penstock::car {
namespace {

using test::BlockSection;
using test::CarHeader;
using test::CarOf;
using test::CidOf;
using test::Outcome;
using test::Section;

std::string TextOf(const std::optional<Bytes>& bytes) {
  return bytes ? std::string(AsText(*bytes)) : "(absent)";
}

TEST(BlockIndex, FindsEachBlockByItsCid) {
  std::string car = CarHeader({CidOf("0")});
  for (int i = 0; i < 1000; ++i) car += BlockSection(CidOf(std::to_string(i)), std::to_string(i));
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(index.root(), CidOf("0").view());
  EXPECT_EQ(index.blocks().size(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    const cbor::Cid cid = CidOf(std::to_string(i));
    EXPECT_EQ(TextOf(index.Find(cid.view())), std::to_string(i));
    EXPECT_EQ(index.PositionOf(cid.view()), static_cast<uint32_t>(i));
  }
  EXPECT_EQ(TextOf(index.Find(CidOf("1000").view())), "(absent)");
}

TEST(BlockIndex, IsEmptyBeforeTheFirstLoad) {
  const BlockIndex index;
  EXPECT_EQ(TextOf(index.Find(CidOf("a").view())), "(absent)");
  EXPECT_TRUE(index.root().empty());
}

TEST(BlockIndex, KnowsOnlyTheLastCar) {
  const std::string first = CarOf({"a", "b", "c"}), second = CarOf({"d"});
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(AsBytes(first))), "ok");
  ASSERT_EQ(Outcome(index.Load(AsBytes(second))), "ok");
  EXPECT_EQ(TextOf(index.Find(CidOf("a").view())), "(absent)");
  EXPECT_EQ(TextOf(index.Find(CidOf("d").view())), "d");
  EXPECT_EQ(index.root(), CidOf("d").view());
}

TEST(BlockIndex, RefusesABlockThatDoesNotHashToItsCid) {
  const std::string car = CarOf({"a"}) + BlockSection(CidOf("b"), "not b");
  BlockIndex index;
  EXPECT_EQ(Outcome(index.Load(AsBytes(car))), "car_block_cid_mismatch");
  EXPECT_TRUE(index.blocks().empty()) << "nothing of a refused file is left";
  EXPECT_TRUE(index.root().empty());
  EXPECT_EQ(TextOf(index.Find(CidOf("a").view())), "(absent)");
  EXPECT_EQ(Outcome(index.Load(AsBytes(car), HashCheck::kSkip)), "ok");
}

TEST(BlockIndex, ChecksABlockThatNothingNeeds) {
  const std::string car = CarOf({"a"}) + BlockSection(CidOf("nobody links here"), "x");
  BlockIndex index;
  EXPECT_EQ(Outcome(index.Load(AsBytes(car))), "car_block_cid_mismatch");
}

TEST(BlockIndex, EveryChangedBitOfABlockIsFound) {
  const std::string good = CarOf({"some block"});
  BlockIndex index;
  for (size_t i = good.size() - 10; i < good.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      EXPECT_EQ(Outcome(index.Load(AsBytes(bad))), "car_block_cid_mismatch");
    }
  }
}

TEST(BlockIndex, DuplicatesAreCountedOnce) {
  const std::string car = CarOf({"a", "b", "a", "c", "b", "a"});
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(index.blocks().size(), 3u);
  EXPECT_EQ(index.duplicates(), 3u);
  EXPECT_EQ(TextOf(index.Find(CidOf("c").view())), "c");
  EXPECT_EQ(AsText(index.blocks()[2].data), "c");
}

TEST(BlockIndex, ADuplicateWithOtherBytesIsAMismatch) {
  BlockIndex index;
  EXPECT_EQ(Outcome(index.Load(AsBytes(CarOf({"a", "b"}) + BlockSection(CidOf("a"), "A")))),
            "car_block_cid_mismatch");
}

TEST(BlockIndex, ForeignCidsAreCountedAndLeftOut) {
  // CIDv0, another codec, another hash, identity: none of them can be checked or used.
  const std::string v0 = "\x12\x20" + std::string(AsText(CidOf("v0").view().digest()));
  const cbor::Cid other_codec = cbor::Cid::OfBlock(AsBytes("x"), 0x70);
  const std::string other_hash = std::string("\x01\x71\x1e\x20", 4) + std::string(32, 'h');
  const std::string identity = std::string("\x01\x55\x00\x02", 4) + "id";
  const std::string car = CarOf({"a"}) + Section(v0 + "data") + BlockSection(other_codec, "x") +
                          Section(other_hash + "data") + Section(identity);
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(index.unverifiable(), 4u);
  EXPECT_EQ(index.blocks().size(), 1u);
  EXPECT_EQ(TextOf(index.Find(other_codec.view())), "(absent)");
  cbor::CidView foreign;
  ASSERT_TRUE(cbor::CidView::Parse(AsBytes(other_hash), &foreign));
  EXPECT_EQ(TextOf(index.Find(foreign)), "(absent)");
}

TEST(BlockIndex, RawAndDagCborOfTheSameBytesAreTwoBlocks) {
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("a"), cbor::kCodecRaw);
  BlockIndex index;
  const std::string one = CarOf({"a"});
  ASSERT_EQ(Outcome(index.Load(AsBytes(one))), "ok");
  EXPECT_EQ(TextOf(index.Find(raw.view())), "(absent)");
  const std::string both = one + BlockSection(raw, "a");
  ASSERT_EQ(Outcome(index.Load(AsBytes(both))), "ok");
  EXPECT_EQ(index.blocks().size(), 2u);
  EXPECT_EQ(TextOf(index.Find(raw.view())), "a");
}

TEST(BlockIndex, TheRootMayBeAbsent) {
  const std::string car = CarHeader({CidOf("a")});
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(index.root(), CidOf("a").view());
  EXPECT_EQ(TextOf(index.Find(index.root())), "(absent)");
}

TEST(BlockIndex, TheNumberOfBlocksIsBounded) {
  std::string car = CarHeader({CidOf("")});
  const std::string section = BlockSection(CidOf(""), "");
  for (size_t i = 0; i < kMaxBlocks; ++i) car += section;
  BlockIndex index;
  EXPECT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(index.duplicates(), kMaxBlocks - 1);
  car += section;
  EXPECT_EQ(Outcome(index.Load(AsBytes(car))), "car_too_many_blocks");
}

TEST(BlockIndex, StructureIsTheReadersBusiness) {
  BlockIndex index;
  EXPECT_EQ(Outcome(index.Load({})), "car_truncated");
  EXPECT_EQ(Outcome(index.Load(AsBytes(CarHeader({})))), "car_no_roots");
  EXPECT_EQ(Outcome(index.Load(AsBytes(CarOf({"a"}) + std::string(1, '\0')))), "car_zero_length_section");
}

}  // namespace
}  // namespace penstock::car
