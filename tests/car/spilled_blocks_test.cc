#include "car/spilled_blocks.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/status.h"
#include "tests/car/car_testing.h"
#include "tests/car/memory_spill.h"

namespace penstock::car {
namespace {

using test::CidOf;
using test::MemorySpill;
using test::Outcome;

std::string Found(SpilledBlocks& blocks, const cbor::Cid& cid) {
  std::string block = "before";
  const auto found = blocks.Find(cid.view(), &block);
  if (!found.ok()) return std::string(Message(found.status()));
  return *found ? block : "absent";
}

TEST(SpilledBlocks, FindsWhatWasAdded) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  EXPECT_EQ(Found(blocks, CidOf("a")), "absent");
  for (int n = 0; n < 20'000; ++n) {
    const std::string block(static_cast<size_t>(n % 70), 'x');
    const std::string mine = std::to_string(n) + block;
    ASSERT_EQ(Outcome(blocks.Add(CidOf(mine).view(), AsBytes(mine))), "ok");
    if (n % 3 != 0) continue;
    ASSERT_EQ(Outcome(blocks.Add(CidOf(mine).view(), AsBytes(mine))), "ok") << "again";
  }
  EXPECT_EQ(blocks.size(), 20'000u);
  EXPECT_LE(blocks.memory(), 20'000u * 43) << "as the header says";
  for (int n = 0; n < 20'000; ++n) {
    const std::string mine = std::to_string(n) + std::string(static_cast<size_t>(n % 70), 'x');
    ASSERT_EQ(Found(blocks, CidOf(mine)), mine);
    ASSERT_EQ(Found(blocks, CidOf(mine + "?")), "absent");
  }
  ASSERT_TRUE(blocks.Clear().ok());
  EXPECT_EQ(blocks.size(), 0u);
  EXPECT_EQ(spill.bytes(), 0u);
  EXPECT_EQ(Found(blocks, CidOf("0")), "absent");
}

TEST(SpilledBlocks, OneThatIsThereTakesNoMoreRoom) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  ASSERT_TRUE(blocks.Add(CidOf("block").view(), AsBytes("block")).ok());
  const uint64_t bytes = spill.bytes();
  ASSERT_TRUE(blocks.Add(CidOf("block").view(), AsBytes("block")).ok());
  EXPECT_EQ(spill.bytes(), bytes);
  EXPECT_EQ(blocks.size(), 1u);
}

// Two digests with the same first bytes, which whoever tries long enough can make. Their blocks are looked at
// in turn. (No real blocks: the hash is what is told to the table here, so the second is as if spoilt.)
TEST(SpilledBlocks, TheWholeDigestDecides) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  const cbor::Cid cid = CidOf("block");
  crypto::Sha256Digest alike;
  std::copy(cid.view().digest().begin(), cid.view().digest().end(), alike.begin());
  alike.back() ^= 1;
  const cbor::Cid other = cbor::Cid::FromDigest(alike);
  ASSERT_TRUE(blocks.Add(cid.view(), AsBytes("block")).ok());
  EXPECT_EQ(Found(blocks, other), "absent");
  ASSERT_TRUE(blocks.Add(other.view(), AsBytes("other")).ok());
  EXPECT_EQ(blocks.size(), 2u);
  EXPECT_EQ(Found(blocks, cid), "block");
  EXPECT_EQ(Found(blocks, other), "a block that was put away has changed");
}

TEST(SpilledBlocks, NothingThatHasChangedComesOut) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  ASSERT_TRUE(blocks.Add(CidOf("block").view(), AsBytes("block")).ok());
  for (size_t bit = 0; bit < spill.content.size() * 8; ++bit) {
    const std::string good = spill.content;
    spill.content[bit / 8] = static_cast<char>(spill.content[bit / 8] ^ (1 << bit % 8));
    std::string block;
    EXPECT_EQ(blocks.Find(CidOf("block").view(), &block).status().code(), absl::StatusCode::kDataLoss) << bit;
    spill.content = good;
  }
  spill.content.pop_back();
  std::string block;
  EXPECT_EQ(blocks.Find(CidOf("block").view(), &block).status().code(), absl::StatusCode::kDataLoss);
}

TEST(SpilledBlocks, TroubleIsHandedOn) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  spill.appends_left = 1;
  ASSERT_TRUE(blocks.Add(CidOf("a").view(), AsBytes("a")).ok());
  EXPECT_TRUE(IsTransient(blocks.Add(CidOf("b").view(), AsBytes("b"))));
  EXPECT_EQ(Found(blocks, CidOf("b")), "absent");
  EXPECT_EQ(Found(blocks, CidOf("a")), "a");
  spill.reads_left = 0;
  EXPECT_EQ(Found(blocks, CidOf("a")), "no disk");
  EXPECT_TRUE(IsTransient(blocks.Add(CidOf("a").view(), AsBytes("a"))));
}

TEST(SpilledBlocks, ABlockThatNoSlotCanTellOf) {
  MemorySpill spill;
  SpilledBlocks blocks(&spill);
  std::string large(SpilledBlocks::kMaxBlockBytes, 'x');
  ASSERT_EQ(Outcome(blocks.Add(CidOf(large).view(), AsBytes(large))), "ok");
  EXPECT_EQ(Found(blocks, CidOf(large)), large);
  large += 'x';
  EXPECT_EQ(Outcome(blocks.Add(CidOf(large).view(), AsBytes(large))), "car_too_large");
}

}  // namespace
}  // namespace penstock::car
