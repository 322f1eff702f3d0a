// Every single bit of a frame turned, one at a time. What comes of it must be: the connection is dropped
// (framing), the frame is skipped as an unknown type, the message is refused or ignored, or the account is
// desynchronised. A row is never wrong; and only the fields that are not signed and decide nothing may be
// wrong without anybody noticing.

#include <bit>
#include <cstdio>
#include <map>

#include "cbor/reader.h"
#include "repo/mst_node.h"
#include "tests/attack/attack.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {
namespace {

using builder::Write;
using firehose::Frame;
using firehose::StreamAction;

enum class Fate { kDropped, kSkipped, kRefused, kIgnored, kDesynchronized, kHarmless };
constexpr const char* kFateNames[] = {"dropped", "skipped",        "refused",
                                      "ignored", "desynchronized", "harmless"};

// Where the fields of a frame's body stand: name -> its bytes, key and value. "(header)" and "(body's head)"
// are the rest.
std::map<std::string, std::pair<size_t, size_t>> FieldRanges(std::string_view frame) {
  std::map<std::string, std::pair<size_t, size_t>> ranges;
  cbor::Reader reader(AsBytes(frame));
  EXPECT_TRUE(reader.Skip());
  ranges["(header)"] = {0, reader.offset()};
  const size_t body = reader.offset();
  cbor::MapCursor map;
  EXPECT_TRUE(reader.BeginMap(&map));
  ranges["(body's head)"] = {body, reader.offset()};
  size_t begin = reader.offset();
  for (std::string_view key; reader.NextKey(&map, &key); begin = reader.offset()) {
    EXPECT_TRUE(reader.Skip());
    ranges[std::string(key)] = {begin, reader.offset()};
  }
  EXPECT_TRUE(reader.AtEnd());
  return ranges;
}

std::string FieldAt(const std::map<std::string, std::pair<size_t, size_t>>& ranges, size_t byte) {
  for (const auto& [name, range] : ranges) {
    if (byte >= range.first && byte < range.second) return name;
  }
  ADD_FAILURE() << "byte " << byte << " belongs to nothing";
  return "";
}

// The two say the same of everything that is signed, or decides anything: what is left may differ.
bool SaysTheSame(const Frame& a, const Frame& b) {
  if (a.kind != b.kind || a.did.text() != b.did.text() || a.rev != b.rev || a.since != b.since ||
      !(a.commit == b.commit) || !(a.prev_data == b.prev_data) || !Equal(a.blocks, b.blocks) ||
      a.ops.size() != b.ops.size() || a.active != b.active || a.status != b.status) {
    return false;
  }
  for (size_t i = 0; i < a.ops.size(); ++i) {
    const repo::RepoOp &x = a.ops[i], &y = b.ops[i];
    if (x.action != y.action || x.path != y.path || !(x.cid == y.cid) || !(x.prev == y.prev)) return false;
  }
  return true;
}

class BitFlips : public Attack {
 protected:
  // Turns each bit of `frame`, which the consumer would take as things are, and then lets the honest relay
  // send `honest`: the same frame and what follows it. Returns how often each fate was met, by field.
  using Table = std::map<std::string, std::map<Fate, size_t>>;
  Table TurnEveryBit(const std::string& frame, const std::vector<std::string>& honest) {
    const MemoryTables before = store_.tables();
    const std::vector<std::string> before_facts = before.Facts();
    EXPECT_EQ(Send(frame).action, StreamAction::kDeliver);
    const std::vector<std::string> taken_facts = store_.tables().Facts();
    EXPECT_NE(taken_facts, before_facts) << "the frame itself changes nothing";
    store_.Set(before);
    Run(honest);
    const std::vector<std::string> final_facts = store_.tables().Facts();
    const auto ranges = FieldRanges(frame);

    Frame original, changed;
    EXPECT_TRUE(firehose::DecodeFrame(AsBytes(frame), &original).ok());
    Table table;
    std::string turned = frame;
    int wrong = 0;
    for (size_t bit = 0; bit < frame.size() * 8 && wrong < 10; ++bit) {
      const size_t byte = bit / 8;
      turned[byte] = static_cast<char>(frame[byte] ^ (1 << (bit % 8)));
      const std::string field = FieldAt(ranges, byte);
      store_.Set(before);
      const firehose::StreamVerdict verdict = Send(turned);
      const MemoryTables after = store_.tables();
      const std::vector<std::string> facts = after.Facts();
      const bool desynchronized =
          after.repos.at(victim_.did()).state.sync_state == sync::SyncState::kDesynchronized;

      const bool decodes = firehose::DecodeFrame(AsBytes(turned), &changed).ok();
      Fate fate = Fate::kIgnored;
      if (verdict.action == StreamAction::kReconnect || verdict.action == StreamAction::kStop) {
        fate = Fate::kDropped;
      } else if (changed.kind == firehose::FrameKind::kIgnored) {
        fate = Fate::kSkipped;
      } else if (desynchronized) {
        fate = Fate::kDesynchronized;
      } else if (!after.dead_letters.empty()) {
        fate = Fate::kRefused;
      } else if (facts != before_facts) {
        fate = Fate::kHarmless;
      }
      ++table[field][fate];

      // Nothing, exactly the right thing, or desynchronised with every row as it was.
      bool good = true;
      if (fate == Fate::kHarmless) {
        good = facts == taken_facts && decodes && SaysTheSame(original, changed);
      } else if (fate == Fate::kDesynchronized) {
        good = after.records == before.records;
      } else {
        good = facts == before_facts && !(decodes && SaysTheSame(original, changed));
      }
      // And afterwards: as if it had not been, or everything waits.
      Run(honest);
      const MemoryTables end = store_.tables();
      good = good && (fate == Fate::kDesynchronized
                          ? end.records == before.records && !end.held.at(victim_.did()).empty()
                          : end.Facts() == final_facts);
      if (!good) {
        ++wrong;
        ADD_FAILURE() << "bit " << bit % 8 << " of byte " << byte << " in " << field << ": "
                      << kFateNames[static_cast<int>(fate)] << ", " << testing::PrintToString(facts);
      }
      turned[byte] = frame[byte];
    }
    return table;
  }
  void Run(const std::vector<std::string>& honest) {
    std::vector<Arrival> arrivals;
    for (const std::string& message : honest) arrivals.push_back({kHonest, message});
    consumer_->Run(arrivals);
  }
  static void Print(const char* what, const std::string& frame, const Table& table) {
    std::printf("%s of %zu bytes, every bit:\n", what, frame.size());
    for (const auto& [field, fates] : table) {
      std::printf("  %-14s", field.c_str());
      for (const auto& [fate, count] : fates)
        std::printf(" %zu %s", count, kFateNames[static_cast<int>(fate)]);
      std::printf("\n");
    }
  }
  static std::set<std::string> FieldsWith(const Table& table, Fate fate) {
    std::set<std::string> fields;
    for (const auto& [field, fates] : table) {
      if (fates.contains(fate)) fields.insert(field);
    }
    return fields;
  }
  static size_t Sum(const Table& table, Fate fate) {
    size_t sum = 0;
    for (const auto& [field, fates] : table) sum += fates.contains(fate) ? fates.at(fate) : 0;
    return sum;
  }
};

// Paths for a tree of two levels, small enough that a commit of `added` brings no block that is not needed:
// `root` in the root, `left` and `added` below it to the left, `right` to the right.
struct SmallTree {
  std::string left, added, root, right;
  SmallTree() {
    const std::string prefix = std::string(kNote) + "/";
    for (int i = 0; root.empty() || right.empty(); ++i) {
      const std::string key = prefix + std::to_string(100'000 + i);
      const int height = repo::KeyHeight(key);
      if (height == 0 && left.empty())
        left = key;
      else if (height == 0 && added.empty())
        added = key;
      else if (height == 1 && !added.empty() && root.empty())
        root = key;
      else if (height == 0 && !root.empty())
        right = key;
    }
  }
};

TEST_P(BitFlips, OfACommit) {
  // An account of its own, so that the tree is the one above.
  const SmallTree paths;
  victim_ = builder::Account({.seed = 17, .handle = "vera.test", .curve = GetParam()});
  resolver_.Know(victim_.did(), IdentityOf(victim_));
  resolver_.Serve(victim_.did(), IdentityOf(victim_, MonotonicMicros() + builder::kDay));
  Send(Numbered(victim_.Commit({}, Tick())), kHonest);
  Send(Numbered(
           victim_.Commit({Write::Create(paths.left, Note("left")), Write::Create(paths.root, Note("root")),
                           Write::Create(paths.right, Note("right"))},
                          Tick())),
       kHonest);
  const std::string frame = Numbered(victim_.Commit({Write::Create(paths.added, Note("added"))}, Tick()));
  const Table table = TurnEveryBit(frame, {frame, Numbered(Next(victim_, "d"))});
  Print("#commit", frame, table);

  // Not signed, and nothing hangs on them: `seq` is the relay's own number, `time` is informal, the rest is
  // deprecated.
  EXPECT_THAT(FieldsWith(table, Fate::kHarmless),
              testing::ElementsAre("blobs", "rebase", "seq", "time", "tooBig"));
  // Not signed, but compared with what we hold: a relay that lies here makes a delay (the next event waits
  // for a resync).
  EXPECT_THAT(FieldsWith(table, Fate::kDesynchronized), testing::ElementsAre("prevData", "since"));
  // Neither the blocks nor what the ops say of them can be changed without being noticed. (A rev that looks
  // old is not looked at.)
  for (const char* field : {"blocks", "commit", "ops", "repo", "rev"}) {
    for (const auto& [fate, count] : table.at(field)) {
      EXPECT_THAT(fate, testing::AnyOf(Fate::kDropped, Fate::kRefused,
                                       field == std::string("rev") ? Fate::kIgnored : Fate::kRefused))
          << field;
    }
  }
  // Of `time`, exactly: each of its 24 characters may be any other; only a high bit makes it no UTF-8 (and
  // the high bit of the head, or its length, no CBOR of this shape).
  EXPECT_GE(table.at("time").at(Fate::kHarmless), 24u * 7u);
  EXPECT_GE(table.at("time").at(Fate::kDropped), 24u);
  EXPECT_GT(Sum(table, Fate::kSkipped), 0u);
}

TEST_P(BitFlips, OfASync) {
  // The account made a commit that nobody showed us: contents unchanged, so the #sync moves our rev.
  victim_.Commit({}, Tick());
  const std::string frame = Numbered(victim_.Sync(now_));
  const Table table = TurnEveryBit(frame, {frame, Numbered(Next(victim_, "d"))});
  Print("#sync", frame, table);
  EXPECT_THAT(FieldsWith(table, Fate::kHarmless), testing::ElementsAre("seq", "time"));
  EXPECT_TRUE(FieldsWith(table, Fate::kDesynchronized).empty());
  for (const char* field : {"blocks", "did", "rev"}) {
    for (const auto& [fate, count] : table.at(field)) {
      EXPECT_THAT(fate, testing::AnyOf(Fate::kDropped, Fate::kRefused)) << field;
    }
  }
}

// Nothing in an #account is signed: whoever sends it can say what it likes. So it may hide, whomever it
// names, and nothing else.
TEST_P(BitFlips, OfAnAccountEventHideAtMost) {
  const MemoryTables before = store_.tables();
  builder::AccountMessage message;
  message.did = victim_.did();
  message.time = builder::FormatTime(now_);
  message.active = false;
  message.status = "takendown";
  const std::string frame = Numbered(message);
  size_t hidden = 0, others = 0, refused = 0, dropped = 0;
  std::string turned = frame;
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    turned[bit / 8] = static_cast<char>(frame[bit / 8] ^ (1 << (bit % 8)));
    store_.Set(before);
    dropped += Send(turned).action != StreamAction::kDeliver;
    const MemoryTables after = store_.tables();
    EXPECT_EQ(after.records, before.records) << "bit " << bit;
    refused += after.dead_letters.size();
    for (const auto& [did, repo] : after.repos) {
      const auto was = before.repos.find(did);
      if (was == before.repos.end()) {
        EXPECT_FALSE(repo.state.head.has_value());
        EXPECT_EQ(repo.state.sync_state, sync::SyncState::kUntracked);
        ++others;
        continue;
      }
      EXPECT_EQ(repo.state.sync_state, was->second.state.sync_state);
      EXPECT_EQ(repo.state.head->rev, was->second.state.head->rev);
      hidden += !repo.state.active;
    }
    turned[bit / 8] = frame[bit / 8];
  }
  EXPECT_GT(hidden, 0u);
  std::printf(
      "#account of %zu bytes, every bit: %zu hide the account, %zu name another, %zu refused, %zu dropped or "
      "skipped\n",
      frame.size(), hidden, others, refused, dropped);
}

TEST_P(BitFlips, OfAnIdentityEventCostALookUpAtMost) {
  builder::IdentityMessage message;
  message.did = victim_.did();
  message.time = builder::FormatTime(now_);
  message.handle = "vera.test";
  const std::string frame = Numbered(message);
  const std::vector<std::string> before = Facts();
  std::string turned = frame;
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    turned[bit / 8] = static_cast<char>(frame[bit / 8] ^ (1 << (bit % 8)));
    Send(turned);
    turned[bit / 8] = frame[bit / 8];
  }
  EXPECT_EQ(Facts(), before);
  ExpectGoesOn();
}

// The hash of a changed block gives it away before anything else. So here the CIDs follow the change: what is
// left to notice it is the signature, over every single bit of the commit object.
TEST_P(BitFlips, OfTheCommitObjectWithItsCidMadeToFit) {
  const builder::CommitMessage good = Draft();
  const std::vector<std::string> before = Facts();
  std::map<std::string_view, size_t> rejects;
  const std::string& block = good.blocks.front().data;
  for (size_t bit = 0; bit < block.size() * 8; ++bit) {
    builder::CommitMessage message = good;
    std::string& changed = message.blocks.front().data;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    message.commit = message.root = message.blocks.front().cid = cbor::Cid::OfBlock(AsBytes(changed));
    Send(Numbered(message));
    MemoryTables after = store_.tables();
    ASSERT_EQ(after.dead_letters.size(), 1u) << "bit " << bit;
    ASSERT_EQ(after.Facts(), before) << "bit " << bit;
    ++rejects[RejectName(after.dead_letters.front().reject)];
    after.dead_letters.clear();
    store_.Set(std::move(after));
  }
  std::printf("commit object of %zu bytes, every bit:", block.size());
  for (const auto& [name, count] : rejects)
    std::printf(" %zu %.*s", count, static_cast<int>(name.size()), name.data());
  std::printf("\n");
  EXPECT_GE(rejects["signature_mismatch"] + rejects["signature_high_s"], 64u * 8u);
  ExpectGoesOn();
}

// And the strongest one can be: the account's own host, which signs whatever it likes. Every bit of a tree
// node turned, all hashes and the signature made to fit. The rows of the ops are never wrong then either; at
// most the account waits.
TEST_P(BitFlips, OfATreeNodeSignedByTheAccountItself) {
  const builder::CommitMessage good = Draft();
  const MemoryTables before = store_.tables();
  size_t root = 0;
  while (!(good.blocks[root].cid == good.data)) ++root;
  std::map<std::string_view, size_t> rejects;
  for (size_t bit = 0; bit < good.blocks[root].data.size() * 8; ++bit) {
    builder::CommitMessage message = good;
    std::string& changed = message.blocks[root].data;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << (bit % 8)));
    message.data = message.blocks[root].cid = cbor::Cid::OfBlock(AsBytes(changed));
    builder::SignAgain(victim_.key(), &message);
    store_.Set(before);
    Send(Numbered(message));
    const MemoryTables after = store_.tables();
    ASSERT_EQ(after.records, before.records) << "bit " << bit;
    ASSERT_EQ(after.dead_letters.size(), 1u) << "bit " << bit;
    ++rejects[RejectName(after.dead_letters.front().reject)];
  }
  std::printf("tree node of %zu bytes, every bit, signed:", good.blocks[root].data.size());
  for (const auto& [name, count] : rejects)
    std::printf(" %zu %.*s", count, static_cast<int>(name.size()), name.data());
  std::printf("\n");
}

INSTANTIATE_TEST_SUITE_P(Curves, BitFlips, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         CurveName);

}  // namespace
}  // namespace penstock::test
