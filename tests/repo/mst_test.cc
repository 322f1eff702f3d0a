#include "repo/mst.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>

#include "repo/mst_node.h"
#include "repo/partial_tree.h"
#include "repo/tree_builder.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::AddTree;
using test::Blocks;
using test::KeyOfHeight;
using test::Outcome;
using test::Tree;

cbor::Cid CidOf(std::string_view text) { return cbor::Cid::OfBlock(AsBytes(text)); }

// A tree and the blocks that it was loaded from.
struct Loaded {
  Blocks blocks;
  cbor::Cid root;
  absl::StatusOr<Mst> mst;

  explicit Loaded(const Tree& tree) : root(AddTree(tree, &blocks)), mst(Load(blocks, root)) {}
  static absl::StatusOr<Mst> Load(const Blocks& blocks, const cbor::Cid& root) {
    const std::string car = blocks.Car(root);
    car::BlockIndex index;
    EXPECT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
    return Mst::Load(index, root.view());  // which keeps nothing of `car`
  }
};

Tree RandomTree(std::mt19937_64& random, size_t size) {
  Tree tree;
  while (tree.size() < size) {
    const std::string key = KeyOfHeight(static_cast<int>(random() % 4), static_cast<int>(random() % 20));
    tree[key] = CidOf(std::to_string(random() % 5));
  }
  return tree;
}

Mst MstOf(const Tree& tree) {
  Mst mst;
  for (const auto& [key, cid] : tree) mst.Set(key, cid.view());
  return mst;
}

Tree ContentsOf(const Mst& mst) {
  Tree contents;
  std::string last;
  mst.VisitRecords([&](std::string_view key, const cbor::CidView& value) {
    EXPECT_LT(last, key);
    last = key;
    contents[last] = cbor::Cid(value);
  });
  EXPECT_EQ(contents.size(), mst.size());
  return contents;
}

std::map<cbor::Cid, std::string> NodesOf(Mst& mst) {
  std::map<cbor::Cid, std::string> nodes;
  mst.VisitNodes([&](const cbor::Cid& cid, Bytes block) {
    EXPECT_EQ(cid, cbor::Cid::OfBlock(block));
    EXPECT_TRUE(nodes.emplace(cid, AsText(block)).second) << "once";
  });
  return nodes;
}

TEST(Mst, TheEmptyTree) {
  Mst mst;
  EXPECT_EQ(mst.Root().ToString(), "bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm");
  EXPECT_EQ(mst.size(), 0u);
  EXPECT_FALSE(mst.Find("app.test.thing/a").has_value());
  EXPECT_FALSE(mst.Remove("app.test.thing/a").has_value());
  EXPECT_EQ(NodesOf(mst).size(), 1u);
  Loaded loaded(Tree{});
  ASSERT_EQ(Outcome(loaded.mst.status()), "ok");
  EXPECT_EQ(loaded.mst->Root(), loaded.root);
}

TEST(Mst, LoadsWhatIsThere) {
  std::mt19937_64 random(1);
  for (const size_t size : {1, 2, 5, 20, 70}) {
    const Tree tree = RandomTree(random, size);
    Loaded loaded(tree);
    ASSERT_EQ(Outcome(loaded.mst.status()), "ok");
    EXPECT_EQ(ContentsOf(*loaded.mst), tree);
    EXPECT_EQ(loaded.mst->Root(), loaded.root);
    EXPECT_EQ(NodesOf(*loaded.mst), loaded.blocks.all());
    for (const auto& [key, cid] : tree) EXPECT_EQ(loaded.mst->Find(key), cid.view());
  }
}

TEST(Mst, LoadsAgainWhatItHasChanged) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 200; ++round) {
    Tree tree = RandomTree(random, random() % 30);
    Loaded loaded(tree);
    ASSERT_EQ(Outcome(loaded.mst.status()), "ok");
    for (int i = 0; i < 6; ++i) {
      const std::string key = KeyOfHeight(static_cast<int>(random() % 4), static_cast<int>(random() % 20));
      if (random() % 2 == 0) {
        loaded.mst->Remove(key);
        tree.erase(key);
      } else {
        tree[key] = CidOf(std::to_string(random()));
        loaded.mst->Set(key, tree[key].view());
      }
    }
    Blocks defined;
    EXPECT_EQ(loaded.mst->Root(), AddTree(tree, &defined));
    EXPECT_EQ(NodesOf(*loaded.mst), defined.all());
  }
}

TEST(Mst, RefusesWhatIsNotWhole) {
  std::mt19937_64 random(3);
  const Tree tree = RandomTree(random, 40);
  Blocks all;
  const cbor::Cid root = AddTree(tree, &all);
  for (const auto& [cid, block] : all.all()) {
    Blocks some;
    for (const auto& [other, other_block] : all.all()) {
      if (!(other == cid)) some.Add(other_block);
    }
    EXPECT_EQ(Outcome(Loaded::Load(some, root).status()), cid == root ? "car_missing_block" : "mst_partial");
  }
}

// The checks themselves are PartialTree's, and are tested there.
TEST(Mst, RefusesWhatIsNoTree) {
  Blocks blocks;
  const std::string key = KeyOfHeight(1), value = "value";
  const cbor::Cid cid = CidOf(value);
  const cbor::Cid keyless =
      blocks.Add(test::NodeBlock(blocks.Add(test::NodeBlock({}, {{0, key, cid.view(), {}}})).view(), {}));
  EXPECT_EQ(Outcome(Loaded::Load(blocks, keyless).status()), "mst_root_without_key");
  EXPECT_EQ(Outcome(Loaded::Load(blocks, blocks.Add("\xa0")).status()), "mst_bad_node");
}

TEST(Mst, SetAndRemoveSayWhatWasThere) {
  Mst mst;
  const cbor::Cid one = CidOf("one"), two = CidOf("two");
  EXPECT_FALSE(mst.Set("app.test.thing/a", one.view()).has_value());
  EXPECT_EQ(mst.Set("app.test.thing/a", two.view()), one);
  EXPECT_EQ(mst.size(), 1u);
  EXPECT_FALSE(mst.Remove("app.test.thing/b").has_value());
  EXPECT_EQ(mst.Remove("app.test.thing/a"), two);
  EXPECT_EQ(mst.size(), 0u);
}

TEST(Mst, MovesLeaveAnEmptyTreeBehind) {
  Mst mst;
  mst.Set("app.test.thing/a", CidOf("one").view());
  Mst other = std::move(mst);
  EXPECT_EQ(other.size(), 1u);
  mst = Mst();
  EXPECT_EQ(mst.size(), 0u);
  EXPECT_EQ(mst.Root(), Mst().Root());
}

// The nodes of a path are a proof: with them alone a reader finds the value, or that there is none.
TEST(Mst, APathProvesInclusionAndAbsence) {
  std::mt19937_64 random(4);
  const Tree tree = RandomTree(random, 60);
  Mst mst = MstOf(tree);
  for (int height = 0; height < 5; ++height) {
    for (int n = 0; n < 20; ++n) {
      const std::string key = KeyOfHeight(height, n);
      Blocks path;
      mst.VisitPath(key, [&](const cbor::Cid& cid, Bytes block) { EXPECT_EQ(path.Add(AsText(block)), cid); });
      EXPECT_LE(path.all().size(), 4u);
      const std::string car = path.Car(mst.Root());
      car::BlockIndex index;
      PartialTree partial;
      ASSERT_EQ(Outcome(index.Load(AsBytes(car))), "ok");
      ASSERT_EQ(Outcome(partial.Load(index, mst.Root().view())), "ok");
      cbor::CidView value;
      const Lookup lookup = partial.Find(key, &value);
      if (tree.contains(key)) {
        ASSERT_EQ(lookup, Lookup::kFound);
        EXPECT_EQ(tree.at(key), value);
      } else {
        EXPECT_EQ(lookup, Lookup::kAbsent);
      }
    }
  }
}

TEST(Mst, DiffIsWhatChanged) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 500; ++round) {
    const Tree before = RandomTree(random, random() % 40);
    Tree after = before;
    for (uint64_t i = random() % 6; i > 0; --i) {
      const std::string key = KeyOfHeight(static_cast<int>(random() % 4), static_cast<int>(random() % 20));
      if (random() % 2 == 0) {
        after.erase(key);
      } else {
        after[key] = CidOf(std::to_string(random()));
      }
    }
    Mst a = MstOf(before), b = MstOf(after);
    const MstDiff diff = DiffMst(a, b);

    Tree replayed = before;
    std::string last;
    for (const MstDiff::Op& op : diff.ops) {
      EXPECT_LT(last, op.key);
      last = op.key;
      const auto old = replayed.find(op.key);
      EXPECT_EQ(old == replayed.end() ? cbor::Cid() : old->second, op.prev);
      EXPECT_EQ(op.action == Action::kCreate, op.prev.empty());
      EXPECT_EQ(op.action == Action::kDelete, op.cid.empty());
      EXPECT_FALSE(op.cid == op.prev);
      if (op.cid.empty()) {
        replayed.erase(op.key);
      } else {
        replayed[op.key] = op.cid;
      }
    }
    EXPECT_EQ(replayed, after);

    const auto old_nodes = NodesOf(a), new_nodes = NodesOf(b);
    std::vector<cbor::Cid> created, deleted;
    for (const auto& [cid, block] : new_nodes) {
      if (!old_nodes.contains(cid)) created.push_back(cid);
    }
    for (const auto& [cid, block] : old_nodes) {
      if (!new_nodes.contains(cid)) deleted.push_back(cid);
    }
    EXPECT_EQ(diff.created_nodes, created);
    EXPECT_EQ(diff.deleted_nodes, deleted);
  }
}

// Random sequences of changes: after each, the tree is the one that its sorted keys make. Every sequence is a
// seed, which a failure prints; PENSTOCK_MST_SEQUENCES sets how many.
TEST(Mst, SequencesOfChangesGiveTheTreeOfTheirKeys) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
  uint64_t sequences = 5'000;
#else
  uint64_t sequences = 100'000;
#endif
  if (const char* wanted = std::getenv("PENSTOCK_MST_SEQUENCES"))
    sequences = std::strtoull(wanted, nullptr, 10);

  // Few keys, as many of each height, so that nodes split, merge, appear and vanish all the time.
  struct Key {
    std::string key;
    int height;
  };
  std::vector<Key> keys;
  for (int height = 0; height < 5; ++height) {
    for (int n = 0; n < 6; ++n) keys.push_back({KeyOfHeight(height, n * 7), height});
  }
  std::vector<cbor::Cid> values;
  for (int i = 0; i < 4; ++i) values.push_back(CidOf(std::to_string(i)));

  TreeBuilder builder;
  size_t changes = 0, compared = 0, largest = 0;
  for (uint64_t seed = 0; seed < sequences; ++seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));  // its state is small to set up
    std::map<std::string_view, std::pair<const Key*, const cbor::Cid*>> model;
    Mst mst;
    const uint32_t length = 1 + random() % 16;
    for (uint32_t step = 0; step < length; ++step) {
      const Key& key = keys[random() % keys.size()];
      const cbor::Cid* const value = random() % 3 == 0 ? nullptr : &values[random() % values.size()];
      const std::optional<cbor::Cid> old =
          value == nullptr ? mst.Remove(key.key) : mst.Set(key.key, value->view());
      const auto at = model.find(key.key);
      ASSERT_EQ(old, at == model.end() ? std::nullopt : std::optional(*at->second.second)) << "seed " << seed;
      if (value != nullptr) {
        model[key.key] = {&key, value};
      } else if (at != model.end()) {
        model.erase(at);
      }
      ASSERT_EQ(mst.Find(key.key).has_value(), value != nullptr) << "seed " << seed;
      ASSERT_EQ(mst.size(), model.size());
      largest = std::max(largest, model.size());
      ++changes;
      // In between now and then, so that both fresh and stale nodes are changed.
      if (step + 1 < length && random() % 4 != 0) continue;
      builder.Reset();
      for (const auto& [path, entry] : model) {
        ASSERT_TRUE(builder.Add(path, entry.second->view(), entry.first->height));
      }
      cbor::Cid root;
      ASSERT_TRUE(builder.Finish(&root));
      ASSERT_EQ(mst.Root(), root) << "seed " << seed << ", step " << step;
      ++compared;
    }
  }
  std::printf("%zu sequences, %zu changes, %zu roots compared, up to %zu keys\n",
              static_cast<size_t>(sequences), changes, compared, largest);
}

}  // namespace
}  // namespace penstock::repo
