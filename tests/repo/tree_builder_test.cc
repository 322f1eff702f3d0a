#include "repo/tree_builder.h"

#include <gtest/gtest.h>

#include <random>

#include "repo/partial_tree.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::Blocks;
using test::KeyOfHeight;
using test::Outcome;
using test::Tree;

cbor::Cid CidOf(std::string_view text) { return cbor::Cid::OfBlock(AsBytes(text)); }

// The tree's root and nodes, as the builder makes them.
cbor::Cid Build(const Tree& tree, Blocks* blocks) {
  TreeBuilder builder(
      [blocks](const cbor::CidView& cid, Bytes block) { EXPECT_EQ(blocks->Add(AsText(block)), cid); });
  for (const auto& [key, cid] : tree) EXPECT_TRUE(builder.Add(key, cid.view(), KeyHeight(key)));
  cbor::Cid root;
  EXPECT_TRUE(builder.Finish(&root));
  return root;
}

TEST(TreeBuilder, TheEmptyTree) {
  Blocks blocks;
  EXPECT_EQ(Build({}, &blocks).ToString(), "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
  EXPECT_EQ(blocks.all().size(), 1u);
}

TEST(TreeBuilder, MakesTheNodesOfTheDefinition) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    Tree tree;
    for (size_t i = random() % 60; i > 0; --i) {
      const int height = static_cast<int>(random() % 5);
      tree[KeyOfHeight(height, static_cast<int>(random() % 5))] = CidOf(std::to_string(random()));
    }
    Blocks built, defined;
    EXPECT_EQ(Build(tree, &built), AddTree(tree, &defined));
    EXPECT_EQ(built.all(), defined.all());
  }
}

TEST(TreeBuilder, ATreeOfManyKeys) {
  Tree tree;
  for (int i = 0; i < 20'000; ++i)
    tree["app.test.thing/" + std::to_string(i * 7919)] = CidOf(std::to_string(i));
  Blocks built, defined;
  EXPECT_EQ(Build(tree, &built), AddTree(tree, &defined));
  EXPECT_EQ(built.all(), defined.all());
}

TEST(TreeBuilder, HighAndLowKeysWithNothingBetween) {
  for (const int height : {4, 6}) {
    Tree tree;
    tree[KeyOfHeight(0)] = tree[KeyOfHeight(height)] = CidOf("x");
    Blocks built, defined;
    EXPECT_EQ(Build(tree, &built), AddTree(tree, &defined));
    EXPECT_EQ(built.all().size(), static_cast<size_t>(height) + 1)
        << "a node without keys on each level between";
  }
}

TEST(TreeBuilder, LongKeysAndLongCids) {
  // A value may be of any kind: its bytes go into the node as they are.
  std::string identity("\x01\x55\x00\x50", 4);
  identity += std::string(0x50, 'x');
  cbor::CidView long_cid;
  ASSERT_TRUE(cbor::CidView::Parse(AsBytes(identity), &long_cid));
  const std::string a(1024, 'a'), b = std::string(1023, 'a') + 'b';
  TreeBuilder builder;
  ASSERT_TRUE(builder.Add(a, long_cid, 0));
  ASSERT_TRUE(builder.Add(b, long_cid, 0));
  cbor::Cid root;
  ASSERT_TRUE(builder.Finish(&root));
  std::string block;
  const std::vector<MstKeyEntry> entries = {{a, long_cid, {}}, {b, long_cid, {}}};
  EncodeMstNode({}, entries, &block);
  EXPECT_EQ(root, CidOf(block));
}

// A word for what a builder makes of keys (by their height) and subtrees ("s" and a level), in this order.
std::string Shape(const std::vector<std::string>& words) {
  TreeBuilder builder;
  const cbor::Cid subtree = CidOf("subtree");
  int n = 0;
  for (const std::string& word : words) {
    ++n;
    const bool added =
        word[0] == 's' ? builder.AddSubtree(subtree.view(), std::stoi(word.substr(1)))
                       : builder.Add("app.test.thing/" + std::to_string(n), subtree.view(), std::stoi(word));
    if (!added) {
      cbor::Cid root;
      EXPECT_FALSE(builder.Add("z", subtree.view(), 100)) << "a failure stays";
      EXPECT_FALSE(builder.Finish(&root));
      return "stops at " + std::to_string(n);
    }
  }
  cbor::Cid root;
  EXPECT_TRUE(builder.Finish(&root));
  return root == subtree ? "the subtree" : "a tree";
}

TEST(TreeBuilder, WhereASubtreeCanStand) {
  EXPECT_EQ(Shape({"s3"}), "the subtree");
  EXPECT_EQ(Shape({"4", "s3"}), "a tree");
  EXPECT_EQ(Shape({"s3", "4"}), "a tree");
  EXPECT_EQ(Shape({"7", "s3", "9"}), "a tree");
  EXPECT_EQ(Shape({"4", "s3", "4", "s3", "5", "s0"}), "a tree");
  EXPECT_EQ(Shape({"3", "s3"}), "stops at 2") << "the key belongs into the subtree";
  EXPECT_EQ(Shape({"0", "s3"}), "stops at 2");
  EXPECT_EQ(Shape({"s3", "3"}), "stops at 2");
  EXPECT_EQ(Shape({"s3", "0", "4"}), "stops at 2");
  EXPECT_EQ(Shape({"s3", "s3"}), "stops at 2") << "they would have to be merged";
  EXPECT_EQ(Shape({"5", "s3", "s4"}), "stops at 3");
  EXPECT_EQ(Shape({"5", "s4", "s3", "5"}), "stops at 3");
  EXPECT_EQ(Shape({"5", "0", "s3", "5"}), "stops at 3");
}

TEST(TreeBuilder, ASubtreeStandsForItsKeys) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    // A tree whose root has a key of height 3 or more in the middle; what is left of it becomes one subtree.
    const std::string middle = "app.test.thing/m", high = KeyOfHeight(4, 0, middle);
    Tree tree, low;
    for (int i = 0; i < 20; ++i) {
      const int height = static_cast<int>(random() % 3);
      const std::string key = KeyOfHeight(height, static_cast<int>(random() % 9), "app.test.thing/a");
      low[key] = tree[key] = CidOf(key);
    }
    tree[high] = CidOf(high);
    Blocks blocks;
    const cbor::Cid whole = AddTree(tree, &blocks);
    TreeBuilder builder;
    int level = 0;
    for (const auto& [key, cid] : low) level = std::max(level, KeyHeight(key));
    Blocks unused;
    ASSERT_TRUE(builder.AddSubtree(AddTree(low, &unused).view(), level));
    ASSERT_TRUE(builder.Add(high, tree[high].view(), 4));
    cbor::Cid root;
    ASSERT_TRUE(builder.Finish(&root));
    EXPECT_EQ(root, whole);
  }
}

TEST(TreeBuilder, IsReusable) {
  TreeBuilder builder;
  const cbor::Cid value = CidOf("value");
  cbor::Cid first, again, empty;
  for (cbor::Cid* root : {&first, &again}) {
    builder.Reset();
    ASSERT_TRUE(builder.Add("app.test.thing/1", value.view(), 3));
    ASSERT_TRUE(builder.AddSubtree(value.view(), 1));
    ASSERT_TRUE(builder.Add("app.test.thing/2", value.view(), 2));
    ASSERT_TRUE(builder.Finish(root));
    builder.Reset();
    ASSERT_TRUE(builder.Add("app.test.thing/1", value.view(), 0));
    ASSERT_FALSE(builder.AddSubtree(value.view(), 1)) << "and leaves something open";
  }
  EXPECT_EQ(first, again);
  builder.Reset();
  ASSERT_TRUE(builder.Finish(&empty));
  EXPECT_EQ(empty.ToString(), "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
}

}  // namespace
}  // namespace penstock::repo
