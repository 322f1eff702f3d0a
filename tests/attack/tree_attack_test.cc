// Trees that are none. The attacker here is the strongest one: the account's own host, which signs whatever
// it likes. The check of the tree comes before that of the signature, so whoever has no key fares no better.

#include "repo/mst_node.h"
#include "tests/attack/attack.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {
namespace {

using builder::CommitMessage;
using repo::MstEntry;

class TreeAttack : public Attack {
 protected:
  std::string Key(int height, int n = 0) const { return KeyOfHeight(height, n, std::string(kNote) + "/"); }
  cbor::Cid Value(std::string_view text) const { return cbor::Cid::OfBlock(AsBytes(Note(text).bytes())); }

  // A commit of the victim that brings `nodes` and calls `root` its tree, with one create of `path`; rightly
  // signed.
  CommitMessage CommitOf(const cbor::Cid& root, const Blocks& nodes, const std::string& path) {
    CommitMessage message = Draft();
    const builder::Item record = Note("planted");
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record.bytes()));
    message.blocks.resize(1);
    for (const auto& [node, block] : nodes.all()) message.blocks.push_back({node, block});
    message.blocks.push_back({cid, record.bytes()});
    message.ops = {{repo::Action::kCreate, path, cid, std::nullopt}};
    message.data = root;
    builder::SignAgain(victim_.key(), &message);
    return message;
  }
  void ExpectTreeRefused(const std::string& root, Blocks nodes, const std::string& path, Reject why) {
    SCOPED_TRACE(RejectName(why));
    const cbor::Cid cid = nodes.Add(root);
    ExpectRefused(Numbered(CommitOf(cid, nodes, path)), why);
    // The same without the key: no sooner, no later.
    CommitMessage forged = CommitOf(cid, nodes, path);
    builder::SignAgain(other_.key(), &forged);
    ExpectRefused(Numbered(forged), why);
  }
  std::string planted() const { return Note("planted").bytes(); }
  cbor::Cid Planted() const { return cbor::Cid::OfBlock(AsBytes(planted())); }
};

TEST_P(TreeAttack, AKeyAtTheWrongHeight) {
  const std::string low = Key(0), high = Key(2);
  {
    // Beside a lower one in one node: the first says the level.
    const std::string first = std::min(low, high), second = std::max(low, high);
    std::string block;
    repo::EncodeMstNode(
        {}, std::vector<repo::MstKeyEntry>{{first, Planted().view(), {}}, {second, Planted().view(), {}}},
        &block);
    ExpectTreeRefused(block, {}, first, Reject::kMstWrongHeight);
  }
  {
    // In a child, too high for it.
    Blocks nodes;
    std::string child, root;
    const cbor::Cid planted = Planted();
    const std::string top = Key(2, 1), inside = Key(2, 0);
    repo::EncodeMstNode({}, std::vector<repo::MstKeyEntry>{{inside, planted.view(), {}}}, &child);
    const cbor::Cid left = nodes.Add(child);
    repo::EncodeMstNode(left.view(), std::vector<repo::MstKeyEntry>{{top, planted.view(), {}}}, &root);
    ExpectTreeRefused(root, nodes, inside, Reject::kMstWrongHeight);
  }
  ExpectGoesOn();
}

TEST_P(TreeAttack, NodesThatShouldHaveBeenPruned) {
  const cbor::Cid planted = Planted();
  const std::string low = Key(0), high = Key(1);
  {
    // A root that only points.
    Blocks nodes;
    std::string child;
    repo::EncodeMstNode({}, std::vector<repo::MstKeyEntry>{{low, planted.view(), {}}}, &child);
    const cbor::Cid left = nodes.Add(child);
    ExpectTreeRefused(NodeBlock(left.view(), {}), nodes, low, Reject::kMstRootWithoutKey);
  }
  {
    // An empty leaf.
    Blocks nodes;
    const cbor::Cid left = nodes.Add(NodeBlock({}, {}));
    std::string root;
    repo::EncodeMstNode(left.view(), std::vector<repo::MstKeyEntry>{{high, planted.view(), {}}}, &root);
    ExpectTreeRefused(root, nodes, high, Reject::kMstEmptyNode);
  }
  {
    // Below a leaf of level 0.
    Blocks nodes;
    std::string child, root;
    repo::EncodeMstNode({}, std::vector<repo::MstKeyEntry>{{Key(0, 0), planted.view(), {}}}, &child);
    const cbor::Cid left = nodes.Add(child);
    repo::EncodeMstNode(left.view(), std::vector<repo::MstKeyEntry>{{Key(0, 1), planted.view(), {}}}, &root);
    ExpectTreeRefused(root, nodes, Key(0, 1), Reject::kMstTooDeep);
  }
  ExpectGoesOn();
}

TEST_P(TreeAttack, KeysOutOfOrderOrTwice) {
  const cbor::Cid planted = Planted();
  const std::string a = Key(0, 0), b = Key(0, 1), top = Key(1);
  const std::string prefix = b.substr(0, repo::CommonPrefix(a, b));
  {
    std::vector<MstEntry> entries(2);
    entries[0] = {0, b, planted.view(), {}};
    entries[1] = {prefix.size(), std::string_view(a).substr(prefix.size()), planted.view(), {}};
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstKeyOrder);
  }
  {
    std::vector<MstEntry> entries(2);
    entries[0] = {0, a, planted.view(), {}};
    entries[1] = {a.size(), "", planted.view(), {}};  // the same once more
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstKeyOrder);
  }
  {
    // Not compressed, or less than it could be.
    std::vector<MstEntry> entries(2);
    entries[0] = {0, a, planted.view(), {}};
    entries[1] = {0, b, planted.view(), {}};
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstBadPrefix);
    entries[1] = {prefix.size() - 1, std::string_view(b).substr(prefix.size() - 1), planted.view(), {}};
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstBadPrefix);
    entries[1] = {a.size() + 1, "x", planted.view(), {}};
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstBadPrefix);
    entries[1] = {uint64_t{1} << 63, "x", planted.view(), {}};
    ExpectTreeRefused(NodeBlock({}, entries), {}, a, Reject::kMstBadPrefix);
  }
  {
    // A child whose keys lie outside of its parent's range, so that one path could be found at two places.
    Blocks nodes;
    std::string child, root;
    int n = 0;
    while (Key(0, n) <= top) ++n;
    repo::EncodeMstNode({}, std::vector<repo::MstKeyEntry>{{Key(0, n), planted.view(), {}}}, &child);
    const cbor::Cid left = nodes.Add(child);
    repo::EncodeMstNode(left.view(), std::vector<repo::MstKeyEntry>{{top, planted.view(), {}}}, &root);
    ExpectTreeRefused(root, nodes, top, Reject::kMstKeyOrder);
  }
  ExpectGoesOn();
}

TEST_P(TreeAttack, OneNodeForTwoParents) {
  // Without keys of its own nothing else tells: a few such nodes could be linked into an endless walk.
  const cbor::Cid planted = Planted();
  Blocks nodes;
  const cbor::Cid bottom = nodes.Add(NodeBlock(cbor::Cid::OfBlock(AsBytes("not here")).view(), {}));
  const std::string top = Key(2);
  std::string root;
  repo::EncodeMstNode(bottom.view(), std::vector<repo::MstKeyEntry>{{top, planted.view(), bottom.view()}},
                      &root);
  ExpectTreeRefused(root, nodes, top, Reject::kMstKeyOrder);
  ExpectGoesOn();
}

TEST_P(TreeAttack, NodesOfAnotherShape) {
  const std::string key = Key(0);
  const auto node = [&](std::string_view more) {
    return builder::Item::Map(
               {{"e", builder::Item::List({})}, {"l", builder::Item::Null()}, {std::string(more), 1}})
        .bytes();
  };
  ExpectTreeRefused(node("z"), {}, key, Reject::kMstBadNode);
  ExpectTreeRefused(builder::Item::Map({{"e", builder::Item::List({})}}).bytes(), {}, key,
                    Reject::kMstBadNode);
  ExpectTreeRefused(builder::Item::List({}).bytes(), {}, key, Reject::kMstBadNode);
  ExpectTreeRefused(std::string("\xa2\x61") + "e\x9b\xff\xff\xff\xff\xff\xff\xff\xff", {}, key,
                    Reject::kCborTruncated);
  const std::string empty = NodeBlock({}, {});
  ExpectTreeRefused(empty + '\0', {}, key, Reject::kCborTrailingBytes);
  {
    // A subtree link to something that is no node by its own CID.
    std::string root;
    const cbor::Cid planted = Planted();
    const std::string raw = "\x01\x55\x12\x20" + std::string(32, 'r');
    cbor::CidView link;
    ASSERT_TRUE(cbor::CidView::ParsePrefix(AsBytes(raw), &link));
    repo::EncodeMstNode(link, std::vector<repo::MstKeyEntry>{{Key(1), planted.view(), {}}}, &root);
    ExpectTreeRefused(root, {}, Key(1), Reject::kMstBadLink);
  }
  {
    // A key that is too long for any repository.
    std::string root;
    const cbor::Cid planted = Planted();
    const std::string key_1025 =
        std::string(kNote) + "/" + std::string(1025 - std::string(kNote).size() - 1, 'k');
    repo::EncodeMstNode({}, std::vector<repo::MstKeyEntry>{{key_1025, planted.view(), {}}}, &root);
    ExpectTreeRefused(root, {}, key, Reject::kMstBadKey);
  }
  ExpectGoesOn();
}

// Nodes without keys, one below the other, more than any key is high.
TEST_P(TreeAttack, ADeepTree) {
  const cbor::Cid planted = Planted();
  for (const int levels : {10, 130, 5000}) {
    Blocks nodes;
    cbor::Cid below = cbor::Cid::OfBlock(AsBytes("not here"));
    for (int i = 0; i < levels; ++i) below = nodes.Add(NodeBlock(below.view(), {}));
    const std::string top = Key(4);
    std::string root;
    repo::EncodeMstNode(below.view(), std::vector<repo::MstKeyEntry>{{top, planted.view(), {}}}, &root);
    ExpectTreeRefused(root, nodes, top, Reject::kMstTooDeep);
    // And as the root, where a node without keys is refused at once.
    ExpectTreeRefused(NodeBlock(below.view(), {}), nodes, top, Reject::kMstRootWithoutKey);
  }
  ExpectGoesOn();
}

// A record more than the ops say, and one less: the tree is well formed and signed, so the account is behind.
TEST_P(TreeAttack, AnEntryMoreThanTheOpsSay) {
  const MemoryTables before = store_.tables();
  for (const bool more : {true, false}) {
    SCOPED_TRACE(more);
    store_.Set(before);
    // The victim's own tree as it is, changed behind the ops' back.
    Tree tree;
    for (const char* rkey : {"a", "b", "c"}) tree[NotePath(rkey)] = Value(rkey);
    if (more) {
      tree[NotePath("hidden")] = Value("hidden");
    } else {
      tree.erase(NotePath("b"));
    }
    tree[NotePath("x")] = Planted();
    Blocks nodes;
    const cbor::Cid root = AddTree(tree, &nodes);
    ExpectRefused(Numbered(CommitOf(root, nodes, NotePath("x"))), Reject::kCommitPrevDataMismatch,
                  Cost::kDelay);
  }
  ExpectDelayed();
}

// The control: the same with the entry that the op names and no other is taken.
TEST_P(TreeAttack, TheRightTreeMadeByHandIsTaken) {
  Tree tree;
  for (const char* rkey : {"a", "b", "c"}) tree[NotePath(rkey)] = Value(rkey);
  Blocks before_nodes, nodes;
  EXPECT_EQ(AddTree(tree, &before_nodes), victim_.data());
  tree[NotePath("x")] = Planted();
  const cbor::Cid root = AddTree(tree, &nodes);
  Send(Numbered(CommitOf(root, nodes, NotePath("x"))));
  EXPECT_TRUE(store_.tables().dead_letters.empty());
  EXPECT_EQ(store_.tables().repos.at(victim_.did()).state.head->data, root);
}

// A slice that leaves out what inversion needs: nothing of it is believed.
TEST_P(TreeAttack, AProofWithAHole) {
  for (int i = 0; i < 40; ++i) Send(Numbered(Next(victim_, "fill" + std::to_string(i))), kHonest);
  const MemoryTables before = store_.tables();
  size_t refused = 0;
  const CommitMessage good = Draft();
  for (size_t hole = 1; hole + 1 < good.blocks.size(); ++hole) {
    store_.Set(before);
    CommitMessage message = good;
    message.blocks.erase(message.blocks.begin() + static_cast<ptrdiff_t>(hole));
    Send(Numbered(message));
    const MemoryTables after = store_.tables();
    if (after.records != before.records) {
      // A node that was not needed: what is written then is exactly what the whole slice proves.
      EXPECT_EQ(after.records.size(), before.records.size() + 1);
      EXPECT_EQ(after.repos.at(victim_.did()).state.head->data, good.data);
      continue;
    }
    ASSERT_EQ(after.dead_letters.size(), 1u);
    EXPECT_THAT(RejectName(after.dead_letters[0].reject), testing::AnyOf("mst_partial", "car_missing_block"));
    ++refused;
  }
  EXPECT_GT(refused, 0u);
}

INSTANTIATE_TEST_SUITE_P(Curves, TreeAttack, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         CurveName);

}  // namespace
}  // namespace penstock::test
