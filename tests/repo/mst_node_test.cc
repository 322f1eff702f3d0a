#include "repo/mst_node.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::Outcome;

const cbor::Cid kA = cbor::Cid::OfBlock(AsBytes("a"));
const cbor::Cid kB = cbor::Cid::OfBlock(AsBytes("b"));
const cbor::CidView kNone;
const cbor::Cid kRaw = cbor::Cid::OfBlock(AsBytes("a"), cbor::kCodecRaw);

std::string DecodeOutcome(const std::string& block) { return Outcome(MstNode().Decode(AsBytes(block))); }
std::string HexOutcome(std::string_view hex) { return Outcome(MstNode().Decode(*FromHex(hex))); }

std::string LinkHex(const cbor::Cid& cid) { return "d82a582500" + ToHex(cid.bytes()); }

// An entry with each field as hex.
std::string EntryHex(std::string_view k, std::string_view p, std::string_view t, std::string_view v) {
  return std::string("a4616b")
      .append(k)
      .append("6170")
      .append(p)
      .append("6174")
      .append(t)
      .append("6176")
      .append(v);
}
std::string NodeHex(const std::vector<std::string>& entries, std::string_view left = "f6") {
  std::string hex =
      "a26165" + ToHex(Bytes(std::initializer_list<uint8_t>{static_cast<uint8_t>(0x80 + entries.size())}));
  for (const std::string& entry : entries) hex += entry;
  return hex.append("616c").append(left);
}

TEST(MstNode, TheEmptyTree) {
  std::string block;
  EncodeMstNode(cbor::CidView(), {}, &block);
  EXPECT_EQ(ToHex(AsBytes(block)), "a2616580616cf6");
  EXPECT_EQ(cbor::Cid::OfBlock(AsBytes(block)).ToString(),
            "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
  MstNode node;
  ASSERT_EQ(Outcome(node.Decode(AsBytes(block))), "ok");
  EXPECT_TRUE(node.left.empty());
  EXPECT_TRUE(node.entries.empty());
}

TEST(MstNode, DecodesWhatIsEncoded) {
  const std::vector<MstKeyEntry> entries = {{"abc", kA.view(), cbor::CidView()},
                                            {"abd", kB.view(), kA.view()},
                                            {"abdx", kRaw.view(), kB.view()},
                                            {"b", kA.view(), {}}};
  std::string block;
  EncodeMstNode(kB.view(), entries, &block);
  MstNode node;
  ASSERT_EQ(Outcome(node.Decode(AsBytes(block))), "ok");
  EXPECT_EQ(node.left, kB.view());
  ASSERT_EQ(node.entries.size(), 4u);
  EXPECT_EQ(node.entries[0].prefix, 0u);
  EXPECT_EQ(node.entries[0].suffix, "abc");
  EXPECT_TRUE(node.entries[0].right.empty());
  EXPECT_EQ(node.entries[1].prefix, 2u);
  EXPECT_EQ(node.entries[1].suffix, "d");
  EXPECT_EQ(node.entries[1].right, kA.view());
  EXPECT_EQ(node.entries[2].prefix, 3u);
  EXPECT_EQ(node.entries[2].suffix, "x");
  EXPECT_EQ(node.entries[2].value, kRaw.view()) << "a record's link is kept as it stands";
  EXPECT_EQ(node.entries[3].prefix, 0u);
  std::string again;
  EncodeMstNode(node, &again);
  EXPECT_EQ(again, block);
}

// Sizes at which a head grows by a byte, and beyond what the short way of reading takes.
TEST(MstNode, NodesOfAnySize) {
  for (const size_t suffix : {1, 23, 24, 255, 256, 1024}) {
    for (const size_t count : {1, 23, 24, 255, 256, 300}) {
      MstNode node;
      const std::string text(suffix, 'k');
      for (size_t i = 0; i < count; ++i)
        node.entries.push_back({i, text, kA.view(), i % 2 ? kB.view() : kNone});
      std::string block, again;
      EncodeMstNode(node, &block);
      MstNode decoded;
      ASSERT_EQ(Outcome(decoded.Decode(AsBytes(block))), "ok");
      ASSERT_EQ(decoded.entries.size(), count);
      EXPECT_EQ(decoded.entries.back().prefix, count - 1);
      EXPECT_EQ(decoded.entries.back().suffix, text);
      EncodeMstNode(decoded, &again);
      EXPECT_EQ(again, block);
    }
  }
}

TEST(MstNode, IsReusable) {
  std::string full, empty;
  const MstKeyEntry entry{"abc", kA.view(), kB.view()};
  EncodeMstNode(kA.view(), std::span(&entry, 1), &full);
  EncodeMstNode(cbor::CidView(), {}, &empty);
  MstNode node;
  ASSERT_EQ(Outcome(node.Decode(AsBytes(full))), "ok");
  ASSERT_EQ(Outcome(node.Decode(AsBytes(empty))), "ok");
  EXPECT_TRUE(node.left.empty());
  EXPECT_TRUE(node.entries.empty());
}

TEST(MstNode, ExactlyTheFieldsOfANode) {
  EXPECT_EQ(HexOutcome("a2616580616cf6"), "ok");
  EXPECT_EQ(HexOutcome("a1616580"), "mst_bad_node");              // no l
  EXPECT_EQ(HexOutcome("a1616cf6"), "mst_bad_node");              // no e
  EXPECT_EQ(HexOutcome("a3616580616cf6617af6"), "mst_bad_node");  // one more
  EXPECT_EQ(HexOutcome("a2616680616cf6"), "mst_bad_node");        // f, l
  EXPECT_EQ(HexOutcome("a2616580616df6"), "mst_bad_node");        // e, m
  EXPECT_EQ(HexOutcome("a2616cf6616580"),
            "mst_bad_node");  // l first: not canonical, so "e" is not where it must be
  EXPECT_EQ(HexOutcome("a0"), "mst_bad_node");
  EXPECT_EQ(HexOutcome("80"), "mst_bad_node");
  EXPECT_EQ(HexOutcome("f6"), "mst_bad_node");
}

TEST(MstNode, ExactlyTheFieldsOfAnEntry) {
  const std::string v = LinkHex(kA);
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", "f6", v)})), "ok");
  EXPECT_EQ(HexOutcome(NodeHex({"a3616b41616170006174f6"})), "mst_bad_node");                // no v
  EXPECT_EQ(HexOutcome(NodeHex({"a5616b4161617000616e006174f66176" + v})), "mst_bad_node");  // n more
  EXPECT_EQ(HexOutcome(NodeHex({"a4616b4161617100"
                                "6174f66176" +
                                v})),
            "mst_bad_node");  // q for p
  EXPECT_EQ(HexOutcome(NodeHex({"80"})), "mst_bad_node");
}

TEST(MstNode, TypesOfFields) {
  const std::string v = LinkHex(kA);
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("6161", "00", "f6", v)})), "mst_bad_node") << "k is bytes, not text";
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "20", "f6", v)})), "mst_bad_node") << "p is not negative";
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "f6", "f6", v)})), "mst_bad_node");
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", "00", v)})), "mst_bad_node");
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", "f6", "f6")})), "mst_bad_node") << "v is never null";
  EXPECT_EQ(HexOutcome("a26165a0616cf6"), "mst_bad_node");
  EXPECT_EQ(HexOutcome("a26165f6616cf6"), "mst_bad_node");
  EXPECT_EQ(HexOutcome("a2616580616c80"), "mst_bad_node");
}

TEST(MstNode, LinksToSubtreesAreBlessed) {
  const std::string v = LinkHex(kA), raw = LinkHex(kRaw);
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", LinkHex(kB), v)}, LinkHex(kA))), "ok");
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", raw, v)})), "mst_bad_link");
  EXPECT_EQ(HexOutcome(NodeHex({}, raw)), "mst_bad_link");
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "00", "f6", raw)})), "ok");
  EXPECT_EQ(HexOutcome(NodeHex({},
                               "d82a41"
                               "00")),
            "cbor_bad_link");
}

TEST(MstNode, StrictEncoding) {
  const std::string v = LinkHex(kA);
  EXPECT_EQ(HexOutcome("a2616580616cf600"), "cbor_trailing_bytes");
  EXPECT_EQ(HexOutcome("a261659800616cf6"), "cbor_non_minimal");
  EXPECT_EQ(HexOutcome("a261659fff616cf6"), "cbor_indefinite");
  EXPECT_EQ(HexOutcome(NodeHex({EntryHex("4161", "1800", "f6", v)})), "cbor_non_minimal");
  EXPECT_EQ(HexOutcome("a261659bffffffffffffffff616cf6"), "cbor_truncated")
      << "nothing is reserved for a lie";
  EXPECT_EQ(HexOutcome(""), "cbor_truncated");
}

TEST(MstNode, EveryTruncationIsRefused) {
  const std::vector<MstKeyEntry> entries = {{"abc", kA.view(), kB.view()}, {"abd", kB.view(), {}}};
  std::string block;
  EncodeMstNode(kB.view(), entries, &block);
  for (size_t size = 0; size < block.size(); ++size) {
    EXPECT_NE(DecodeOutcome(block.substr(0, size)), "ok") << "cut at " << size;
  }
}

TEST(KeyHeight, KnownKeys) {
  EXPECT_EQ(KeyHeight(""), 0);
  EXPECT_EQ(KeyHeight("2653ae71"), 0);
  EXPECT_EQ(KeyHeight("blue"), 1);
  EXPECT_EQ(KeyHeight("app.bsky.feed.post/454397e440ec"), 4);
  EXPECT_EQ(KeyHeight("app.bsky.feed.post/9adeb165882c"), 8);
}

}  // namespace
}  // namespace penstock::repo
