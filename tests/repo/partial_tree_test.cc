#include "repo/partial_tree.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::AddTree;
using test::Blocks;
using test::KeyOfHeight;
using test::NodeBlock;
using test::Outcome;
using test::Tree;

const cbor::Cid kValue = cbor::Cid::OfBlock(AsBytes("value"));

// A tree together with what it views.
struct Loaded {
  std::string car;
  car::BlockIndex blocks;
  PartialTree tree;
  std::string outcome;

  Loaded(const Blocks& from, const cbor::Cid& root) : car(from.Car(root)) {
    EXPECT_EQ(Outcome(blocks.Load(AsBytes(car))), "ok");
    outcome = Outcome(tree.Load(blocks, root.view()));
  }
  Lookup Find(std::string_view path) const {
    cbor::CidView value;
    return tree.Find(path, &value);
  }
};

// The outcome of loading the last of `nodes` as the root.
std::string LoadOutcome(const std::vector<std::string>& nodes) {
  Blocks blocks;
  cbor::Cid root;
  for (const std::string& node : nodes) root = blocks.Add(node);
  const Loaded loaded(blocks, root);
  EXPECT_EQ(loaded.tree.items().empty(), loaded.outcome != "ok") << "nothing of a refused tree is left";
  return loaded.outcome;
}

std::string Node(const std::vector<MstEntry>& entries, const cbor::Cid& left = cbor::Cid()) {
  return NodeBlock(left.view(), entries);
}
// An entry without prefix.
MstEntry Entry(std::string_view key, const cbor::Cid& right = cbor::Cid()) {
  // The view must outlive the call: callers keep `right` alive until the node is encoded.
  return MstEntry{0, key, kValue.view(), right.empty() ? cbor::CidView() : right.view()};
}
cbor::Cid CidOf(std::string_view block) { return cbor::Cid::OfBlock(AsBytes(block)); }

Tree RandomTree(std::mt19937_64& random, size_t size) {
  Tree tree;
  while (tree.size() < size) {
    const std::string key = "app.test.thing/" + std::to_string(random() % 1'000'000);
    tree[key] = CidOf(key);
  }
  return tree;
}

TEST(PartialTree, TheEmptyTree) {
  Blocks blocks;
  const Loaded loaded(blocks, blocks.Add(Node({})));
  EXPECT_EQ(loaded.outcome, "ok");
  EXPECT_TRUE(loaded.tree.complete());
  EXPECT_EQ(loaded.tree.node_count(), 1u);
  EXPECT_TRUE(loaded.tree.items().empty());
  EXPECT_EQ(loaded.Find("app.test.thing/a"), Lookup::kAbsent);
}

TEST(PartialTree, AWholeTreeGivesItsContents) {
  std::mt19937_64 random(1);
  for (const size_t size : {1, 2, 3, 10, 100, 2000}) {
    const Tree tree = RandomTree(random, size);
    Blocks blocks;
    const cbor::Cid root = AddTree(tree, &blocks);
    const Loaded loaded(blocks, root);
    ASSERT_EQ(loaded.outcome, "ok");
    EXPECT_TRUE(loaded.tree.complete());
    EXPECT_EQ(loaded.tree.node_count(), blocks.all().size());
    ASSERT_EQ(loaded.tree.items().size(), size);
    auto item = loaded.tree.items().begin();
    for (const auto& [key, cid] : tree) {
      EXPECT_EQ(item->key, key);
      EXPECT_EQ(item->value, cid.view());
      EXPECT_EQ(item->level, KeyHeight(key));
      ++item;
      cbor::CidView value;
      EXPECT_EQ(loaded.tree.Find(key, &value), Lookup::kFound);
      EXPECT_EQ(value, cid.view());
      EXPECT_EQ(loaded.Find(key + "0"), tree.contains(key + "0") ? Lookup::kFound : Lookup::kAbsent);
    }
  }
}

// Whatever is missing, what the tree says is never wrong; and it never hides what it was given.
TEST(PartialTree, ASliceNeverLies) {
  std::mt19937_64 random(2);
  int unknown = 0, found = 0, absent = 0;
  for (int round = 0; round < 200; ++round) {
    const Tree tree = RandomTree(random, 1 + random() % 150);
    Blocks blocks;
    const cbor::Cid root = AddTree(tree, &blocks);
    Blocks slice;
    for (const auto& [cid, block] : blocks.all()) {
      if (cid == root || random() % 4 != 0) slice.Add(block);
    }
    const Loaded loaded(slice, root);
    ASSERT_EQ(loaded.outcome, "ok");
    std::string_view last;
    bool last_opaque = false;
    size_t opaque = 0;
    for (const PartialTree::Item& item : loaded.tree.items()) {
      EXPECT_FALSE(last_opaque && item.opaque());
      last_opaque = item.opaque();
      opaque += item.opaque();
      if (item.opaque()) continue;
      EXPECT_LT(last, item.key);
      last = item.key;
    }
    EXPECT_EQ(loaded.tree.complete(), opaque == 0);
    for (const auto& [key, cid] : tree) {
      EXPECT_NE(loaded.Find(key), Lookup::kAbsent);
      found += loaded.Find(key) == Lookup::kFound;
      for (int i = 0; i < 3; ++i) {
        const std::string other = key + static_cast<char>('0' + i);
        if (tree.contains(other)) continue;
        EXPECT_NE(loaded.Find(other), Lookup::kFound);
        unknown += loaded.Find(other) == Lookup::kUnknown;
        absent += loaded.Find(other) == Lookup::kAbsent;
      }
    }
  }
  EXPECT_GT(unknown, 100);
  EXPECT_GT(found, 100);
  EXPECT_GT(absent, 100);
}

TEST(PartialTree, APathAboveAMissingSubtreeIsNotInsideIt) {
  // Root of height 3 with one key and a missing subtree (level 2) on its right.
  const std::string key = KeyOfHeight(3);
  const cbor::Cid missing = CidOf("missing");
  Blocks blocks;
  const cbor::Cid root = blocks.Add(Node({Entry(key, missing)}));
  const Loaded loaded(blocks, root);
  ASSERT_EQ(loaded.outcome, "ok");
  EXPECT_FALSE(loaded.tree.complete());
  const std::string after = "app.test.thing/9";
  EXPECT_EQ(loaded.Find(KeyOfHeight(0, 0, after)), Lookup::kUnknown);
  EXPECT_EQ(loaded.Find(KeyOfHeight(2, 0, after)), Lookup::kUnknown);
  EXPECT_EQ(loaded.Find(KeyOfHeight(3, 0, after)), Lookup::kAbsent);
  EXPECT_EQ(loaded.Find(KeyOfHeight(4, 0, after)), Lookup::kAbsent);
  EXPECT_EQ(loaded.Find(KeyOfHeight(0, 0, "app.test.thing/0")), Lookup::kAbsent)
      << "left of the key nothing is missing";
}

TEST(PartialTree, IsReusable) {
  std::mt19937_64 random(3);
  Blocks first, second;
  const cbor::Cid first_root = AddTree(RandomTree(random, 300), &first);
  const Tree small = RandomTree(random, 3);
  const cbor::Cid second_root = AddTree(small, &second);
  const std::string first_car = first.Car(first_root), second_car = second.Car(second_root);
  car::BlockIndex blocks;
  PartialTree tree;
  ASSERT_EQ(Outcome(blocks.Load(AsBytes(first_car))), "ok");
  ASSERT_EQ(Outcome(tree.Load(blocks, first_root.view())), "ok");
  ASSERT_EQ(Outcome(blocks.Load(AsBytes(second_car))), "ok");
  ASSERT_EQ(Outcome(tree.Load(blocks, second_root.view())), "ok");
  EXPECT_EQ(tree.items().size(), 3u);
  EXPECT_EQ(tree.node_count(), blocks.blocks().size());
  EXPECT_EQ(Outcome(tree.Load(blocks, first_root.view())), "car_missing_block");
  EXPECT_TRUE(tree.items().empty());
}

TEST(PartialTree, TheRootMustBeThereAndBlessed) {
  Blocks blocks;
  blocks.Add("something");
  EXPECT_EQ(Loaded(blocks, CidOf("absent")).outcome, "car_missing_block");
  car::BlockIndex index;
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("x"), cbor::kCodecRaw);
  std::string car;
  car::Writer writer(&car);
  writer.Header(std::span(&raw, 1));
  writer.Block(raw.view(), AsBytes("x"));
  ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
  EXPECT_EQ(Outcome(PartialTree().Load(index, raw.view())), "mst_bad_link");
}

TEST(PartialTree, NodesAreStrict) {
  EXPECT_EQ(LoadOutcome({"\xa1\x61\x65\x80"}), "mst_bad_node");
  EXPECT_EQ(LoadOutcome({Node({}) + '\0'}), "cbor_trailing_bytes");
  const cbor::Cid bad = CidOf("\xa0");
  EXPECT_EQ(LoadOutcome({"\xa0", Node({Entry(KeyOfHeight(1), bad)})}), "mst_bad_node")
      << "below the root, too";
}

TEST(PartialTree, PrefixesAreMaximalAndWithinTheKeyBefore) {
  const std::string a = KeyOfHeight(0, 0), b = KeyOfHeight(0, 1);
  ASSERT_LT(a, b);
  const size_t shared = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  const auto with_prefix = [&](size_t prefix) {
    return LoadOutcome({Node(
        {Entry(a),
         MstEntry{prefix, std::string_view(b).substr(std::min(prefix, b.size())), kValue.view(), {}}})});
  };
  EXPECT_EQ(with_prefix(shared), "ok");
  EXPECT_EQ(with_prefix(shared - 1), "mst_bad_prefix");
  EXPECT_EQ(with_prefix(0), "mst_bad_prefix");
  EXPECT_EQ(with_prefix(a.size() + 1), "mst_bad_prefix");
  EXPECT_EQ(with_prefix(SIZE_MAX), "mst_bad_prefix");
  EXPECT_EQ(LoadOutcome({Node({MstEntry{1, a, kValue.view(), {}}})}), "mst_bad_prefix")
      << "the first has none to share";
}

TEST(PartialTree, KeysHaveASize) {
  EXPECT_EQ(LoadOutcome({Node({Entry("")})}), "mst_bad_key");
  EXPECT_EQ(LoadOutcome({Node({Entry(std::string(1024, 'k'))})}), "ok");
  const std::string too_long(1025, 'k');
  EXPECT_EQ(LoadOutcome({Node({Entry(too_long)})}), "mst_bad_key");
  // Too long only once it is put together.
  const std::string first(1000, 'k'), rest(25, 'l');
  EXPECT_EQ(LoadOutcome({Node({Entry(first), MstEntry{1000, rest, kValue.view(), {}}})}), "mst_bad_key");
}

TEST(PartialTree, KeysAscendWithinANode) {
  const std::string a = KeyOfHeight(0, 0, "a/"), b = KeyOfHeight(0, 0, "b/");
  EXPECT_EQ(LoadOutcome({Node({Entry(a), Entry(b)})}), "ok");
  EXPECT_EQ(LoadOutcome({Node({Entry(b), Entry(a)})}), "mst_key_order");
  EXPECT_EQ(LoadOutcome({Node({Entry(a), MstEntry{a.size(), "", kValue.view(), {}}})}), "mst_key_order")
      << "the same again";
  EXPECT_EQ(LoadOutcome({Node({Entry(a), MstEntry{a.size() - 1, "", kValue.view(), {}}})}), "mst_key_order");
}

TEST(PartialTree, KeysAscendAcrossNodes) {
  const std::string top = KeyOfHeight(1, 0, "m/");
  const std::string low = Node({Entry(KeyOfHeight(0, 0, "a/"))}),
                    high = Node({Entry(KeyOfHeight(0, 0, "z/"))});
  const cbor::Cid low_cid = CidOf(low), high_cid = CidOf(high);
  EXPECT_EQ(LoadOutcome({low, high, Node({Entry(top, high_cid)}, low_cid)}), "ok");
  EXPECT_EQ(LoadOutcome({low, Node({Entry(top, low_cid)})}), "mst_key_order");
  EXPECT_EQ(LoadOutcome({high, Node({Entry(top)}, high_cid)}), "mst_key_order");
  // A subtree that reaches beyond the next key of its parent.
  const std::string next = KeyOfHeight(1, 0, "p/");
  EXPECT_EQ(LoadOutcome({high, Node({Entry(top, high_cid), Entry(next)})}), "mst_key_order");
}

TEST(PartialTree, KeysLiveAtTheirHeight) {
  const std::string low = KeyOfHeight(0, 0, "a/"), high = KeyOfHeight(1, 0, "b/"),
                    higher = KeyOfHeight(2, 0, "c/");
  EXPECT_EQ(LoadOutcome({Node({Entry(low), Entry(high)})}), "mst_wrong_height");
  EXPECT_EQ(LoadOutcome({Node({Entry(high), Entry(higher)})}), "mst_wrong_height");
  // Two levels down without the node between them.
  const std::string child = Node({Entry(low)});
  const cbor::Cid child_cid = CidOf(child);
  EXPECT_EQ(LoadOutcome({child, Node({Entry(higher)}, child_cid)}), "mst_wrong_height");
  const std::string between = Node({}, child_cid);
  const cbor::Cid between_cid = CidOf(between);
  EXPECT_EQ(LoadOutcome({child, between, Node({Entry(higher)}, between_cid)}), "ok");
  // And one level too many.
  EXPECT_EQ(LoadOutcome({child, between, Node({Entry(high)}, between_cid)}), "mst_too_deep");
}

TEST(PartialTree, NothingHangsBelowLevel0) {
  const std::string low = KeyOfHeight(0);
  const cbor::Cid missing = CidOf("missing");
  EXPECT_EQ(LoadOutcome({Node({Entry(low)}, missing)}), "mst_too_deep");
  EXPECT_EQ(LoadOutcome({Node({Entry(low, missing)})}), "mst_too_deep");
}

TEST(PartialTree, NoEmptyNodeBelowTheRoot) {
  const std::string empty = Node({});
  const cbor::Cid empty_cid = CidOf(empty);
  EXPECT_EQ(LoadOutcome({empty, Node({Entry(KeyOfHeight(1))}, empty_cid)}), "mst_empty_node");
}

TEST(PartialTree, TheRootHasAKeyOrNothing) {
  const std::string low = Node({Entry(KeyOfHeight(0))});
  const cbor::Cid low_cid = CidOf(low);
  EXPECT_EQ(LoadOutcome({low, Node({}, low_cid)}), "mst_root_without_key");
}

TEST(PartialTree, ANodeIsVisitedOnce) {
  const cbor::Cid missing = CidOf("missing");
  // A node without keys breaks no order when it is linked twice.
  const std::string shared = Node({}, missing);
  const cbor::Cid shared_cid = CidOf(shared);
  EXPECT_EQ(LoadOutcome({shared, Node({Entry(KeyOfHeight(2), shared_cid)}, shared_cid)}), "mst_key_order");
}

TEST(PartialTree, ALongChainEndsAtLevel0) {
  // Nodes without keys, one below the other, far longer than the root's level allows.
  std::vector<std::string> nodes = {Node({Entry(KeyOfHeight(0))})};
  for (int i = 0; i < 5000; ++i) nodes.push_back(Node({}, CidOf(nodes.back())));
  nodes.push_back(Node({Entry(KeyOfHeight(3))}, CidOf(nodes.back())));
  EXPECT_EQ(LoadOutcome(nodes), "mst_too_deep");
}

TEST(PartialTree, EntriesOfANodeAreBounded) {
  std::vector<std::string> keys;
  for (int i = 0; keys.size() < kMaxMstEntries + 1; ++i) {
    std::string key = "a/" + std::to_string(10'000 + i);
    if (KeyHeight(key) == 0) keys.push_back(std::move(key));
  }
  Blocks blocks;
  const auto outcome = [&](size_t count) {
    std::vector<MstKeyEntry> entries;
    for (size_t i = 0; i < count; ++i) entries.push_back({keys[i], kValue.view(), {}});
    std::string block;
    EncodeMstNode({}, entries, &block);
    return LoadOutcome({block});
  };
  EXPECT_EQ(outcome(kMaxMstEntries), "ok");
  EXPECT_EQ(outcome(kMaxMstEntries + 1), "mst_bad_node");
}

TEST(PartialTree, ValuesOfAnyKindStand) {
  const cbor::Cid raw = cbor::Cid::OfBlock(AsBytes("x"), cbor::kCodecRaw);
  const std::string key = KeyOfHeight(0);
  Blocks blocks;
  const cbor::Cid root = blocks.Add(Node({MstEntry{0, key, raw.view(), {}}}));
  const Loaded loaded(blocks, root);
  ASSERT_EQ(loaded.outcome, "ok");
  EXPECT_EQ(loaded.tree.items()[0].value, raw.view());
}

}  // namespace
}  // namespace penstock::repo
