// Counts allocations instead of guessing them: once its tables have grown, the checker of commits makes none.

#include <gtest/gtest.h>

#include <memory>

#include "car/block_index.h"
#include "repo/commit_check.h"
#include "repo/verify.h"
#include "tests/repo/account_testing.h"
#include "tests/repo/allocation_counter.h"
#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::Allocations;
using test::Outcome;

// A commit to a repository of `records`, with the nodes on the way to its ops and no others.
struct Message {
  std::string car;
  cbor::Cid commit;
  std::vector<std::string> paths;
  std::vector<cbor::Cid> cids;
  std::vector<RepoOp> ops;

  Message(size_t records, size_t op_count) {
    test::Tree tree;
    for (size_t i = 0; i < records; ++i) {
      const std::string path = "app.test.thing/record" + std::to_string(1'000'000 + i * 7919 % 999'983);
      tree[path] = cbor::Cid::OfBlock(AsBytes(path));
    }
    test::Blocks whole, slice;
    test::CommitFields fields;
    fields.data = test::AddTree(tree, &whole);
    auto at = tree.begin();
    for (size_t i = 0; i < op_count; ++i, std::advance(at, records / op_count)) {
      paths.push_back(at->first);
      cids.push_back(slice.Add(at->first));
      AddPath(whole, fields.data, at->first, &slice);
      if (i + 1 == op_count) break;
    }
    commit = slice.Add(test::CommitBlock(fields));
    car = slice.Car(commit);
    for (size_t i = 0; i < op_count; ++i) {
      const auto path = RepoPath::Parse(paths[i]);
      ops.push_back(
          {Action::kCreate, paths[i], path->collection.text(), path->rkey.text(), cids[i].view(), {}});
    }
  }

  // Copies the nodes from `root` down to `key`.
  static void AddPath(const test::Blocks& from, const cbor::Cid& root, std::string_view key,
                      test::Blocks* to) {
    cbor::Cid at = root;
    while (!at.empty()) {
      const std::string& block = from.all().at(at);
      to->Add(block);
      MstNode node;
      ASSERT_EQ(Outcome(node.Decode(AsBytes(block))), "ok");
      cbor::CidView next = node.left;
      std::string whole;
      for (const MstEntry& entry : node.entries) {
        whole.resize(entry.prefix);
        whole.append(entry.suffix);
        if (whole > key) break;
        next = entry.right;
        if (whole == key) return;
      }
      at = next.empty() ? cbor::Cid() : cbor::Cid(next);
    }
  }

  CommitClaim Claim() const {
    CommitClaim claim;
    claim.did = *Did::Parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
    claim.rev = "3jzfcijpj2z2a";
    claim.commit = commit.view();
    claim.blocks = AsBytes(car);
    claim.ops = ops;
    return claim;
  }
};

const int64_t kNow = Tid::Parse("3jzfcijpj2z2a")->micros();

TEST(NoAllocation, TheCounterCounts) {
  const size_t before = Allocations();
  const auto made = std::make_unique<std::string>(100, 'x');
  EXPECT_EQ(Allocations() - before, 2u);
}

TEST(NoAllocation, CheckingACommit) {
  const Message one(5000, 1), many(5000, 20), small(3, 1);
  CommitChecker checker;
  CheckedCommit checked;
  for (const Message* message : {&one, &many, &small}) {
    ASSERT_EQ(Outcome(checker.Check(message->Claim(), kNow, &checked)), "ok");
  }
  const size_t before = Allocations();
  bool ok = true;
  for (int round = 0; round < 100; ++round) {
    for (const Message* message : {&one, &many, &small}) {
      ok &= checker.Check(message->Claim(), kNow, &checked).ok();
    }
  }
  EXPECT_EQ(Allocations() - before, 0u);
  EXPECT_TRUE(ok);
}

// All of level `commit`: check, signature (OpenSSL's own malloc is not seen here), inversion.
TEST(NoAllocation, VerifyingACommit) {
  for (const builder::Curve curve : {builder::Curve::kK256, builder::Curve::kP256}) {
    builder::Account account = test::MakeAccount(curve);
    const crypto::PublicKey key = test::KeyOf(account);
    const auto path = [](int i) { return "app.bsky.feed.post/" + std::to_string(1000 + i); };
    std::vector<builder::Write> writes;
    for (int i = 0; i < 200; ++i) writes.push_back(builder::Write::Create(path(i), test::Post(path(i))));
    const test::ClaimedCommit first(account.Commit(writes, kNow));
    const test::ClaimedCommit one(account.Commit({builder::Write::Create(path(500), test::Post("one"))}, kNow));
    writes.clear();
    for (int i = 0; i < 50; ++i) writes.push_back(builder::Write::Delete(path(i * 3)));
    const test::ClaimedCommit many(account.Commit(writes, kNow));
    const test::ClaimedCommit none(account.Commit({}, kNow));

    CommitVerifier verifier;
    VerifiedCommit commit;
    const auto verify_all = [&] {
      bool ok = true;
      for (const test::ClaimedCommit* message : {&first, &one, &many, &none}) {
        ok &= verifier.Verify(message->claim(), key, kNow + builder::kDay, &commit).ok();
      }
      return ok;
    };
    ASSERT_TRUE(verify_all());
    const size_t before = Allocations();
    bool ok = true;
    for (int round = 0; round < 20; ++round) ok &= verify_all();
    EXPECT_EQ(Allocations() - before, 0u);
    EXPECT_TRUE(ok);
  }
}

TEST(NoAllocation, ParsingSyntax) {
  const std::string did = "did:plc:ewvi7nxzyoun6zhxrhs64oiz", path = "app.bsky.feed.post/3jzfcijpj2z2a";
  const size_t before = Allocations();
  const bool ok = Did::Parse(did) && Handle::Parse("alice.example.com") && RepoPath::Parse(path) &&
                  AtUri::Parse("at://alice.example.com/app.bsky.feed.post/a") &&
                  Tid::Parse("3jzfcijpj2z2a") && Datetime::Parse("1985-04-12T23:20:50.123Z") &&
                  IsLanguage("zh-cmn-Hans-CN-x-a") && IsUriSyntax("a:b");
  EXPECT_EQ(Allocations() - before, 0u);
  EXPECT_TRUE(ok);
}

// A declared length or count is a claim: memory follows the bytes that are there.
TEST(NoAllocation, DeclaredLengthsReserveNothing) {
  const std::string lie = std::string("\xa2\x61\x65\x9a\xff\xff\xff\xff", 8);  // a node of 2^32-1 entries
  MstNode node;
  car::BlockIndex blocks;
  const std::string huge = "\xff\xff\xff\xff\xff\xff\xff\xff\x7f";  // a section of 2^63-1 bytes
  EXPECT_EQ(Outcome(node.Decode(AsBytes(lie))), "cbor_truncated");
  EXPECT_EQ(node.entries.capacity(), 0u);
  EXPECT_EQ(Outcome(blocks.Load(AsBytes(huge))), "car_truncated");
  EXPECT_EQ(blocks.blocks().capacity(), 0u);
}

}  // namespace
}  // namespace penstock::repo
