// Frames that are made to cost: declared lengths, nesting, masses of tiny or equal blocks. The work is
// bounded by the bytes that really came, and so is the memory. What each of them cost is printed; nothing
// here depends on how fast the machine is.

#include <sys/resource.h>

#include <chrono>
#include <cstdio>

#include "car/writer.h"
#include "cbor/writer.h"
#include "firehose/frame_buffer.h"
#include "tests/attack/attack.h"
#include "tests/repo/tree_testing.h"

namespace penstock::test {
namespace {

using builder::Block;
using builder::CommitMessage;
using builder::Item;
using builder::Write;

// The largest the process has ever been, bytes.
size_t PeakMemory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

// One frame may make the consumer grow by so much: a few times the largest frame, for its buffers, the index
// over its blocks, and its dead letter. A declared length that was believed would go far beyond.
constexpr size_t kMayGrow = 96 * 1024 * 1024;

std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
  return out;
}

class Bomb : public Attack {
 protected:
  // The victim's next commit with these bytes for blocks.
  std::string FrameWithBlocks(std::string_view car) { return FrameWithBlocks(Draft(), car); }
  std::string FrameWithBlocks(const CommitMessage& good, std::string_view car) {
    cbor::MapWriter map;
    cbor::MapWriter op;
    std::string ops = "\x81", header = Encoded(good).substr(0, HeaderSize(good)), body;
    op.Key("action").Text("create");
    op.Key("path").Text(good.ops[0].path);
    op.Key("cid").Link(*good.ops[0].cid);
    op.Finish(&ops);
    map.Key("seq").Int(++seq_);
    map.Key("repo").Text(good.did);
    map.Key("commit").Link(good.commit);
    map.Key("rev").Text(good.rev);
    map.Key("since").Text(*good.since);
    map.Key("prevData").Link(*good.prev_data);
    map.Key("time").Text(good.time);
    map.Key("blocks").ByteString(AsBytes(car));
    map.Key("ops").Raw(AsBytes(ops));
    map.Finish(&body);
    return header + body;
  }
  static std::string Encoded(CommitMessage message) {
    message.seq = 1;
    return builder::Encode(message);
  }
  static size_t HeaderSize(const CommitMessage& message) {
    const std::string frame = Encoded(message);
    cbor::Reader reader(AsBytes(frame));
    EXPECT_TRUE(reader.Skip());
    return reader.offset();
  }
  // A commit frame with one more field, of any bytes.
  std::string FrameWithField(std::string_view value) {
    std::string frame = Encoded(Draft());
    // The body's map has 12 pairs; a field with the longest name comes last.
    const size_t head = HeaderSize(Draft());
    EXPECT_EQ(frame[head], '\xac');
    frame[head] = '\xad';
    return frame + "\x6dunknown-field" + std::string(value);
  }
  static std::string CarHeader(const cbor::Cid& root) {
    std::string car;
    car::Writer(&car).Header(std::span(&root, 1));
    return car;
  }

  // Sends it, prints what it cost, and checks that memory stays within bounds.
  template <typename Check>
  void Measure(const char* what, const std::string& frame, const Check& check) {
    SCOPED_TRACE(what);
    const size_t before = PeakMemory();
    const auto begin = std::chrono::steady_clock::now();
    check(frame);
    const double ns =
        std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin).count();
    const size_t grown = PeakMemory() - before;
    std::printf("%-52s %9zu bytes: %8.2f ms, %7.1f ns a byte, peak memory + %zu KB\n", what, frame.size(),
                ns / 1e6, ns / static_cast<double>(frame.size()), grown / 1024);
    EXPECT_LT(grown, kMayGrow);
  }
  void Refused(const char* what, const std::string& frame, Reject why, Cost cost = Cost::kNothing) {
    Measure(what, frame, [&](const std::string& bytes) { ExpectRefused(bytes, why, cost); });
  }
  void Dropped(const char* what, const std::string& frame, Reject why) {
    Measure(what, frame, [&](const std::string& bytes) {
      const std::vector<std::string> facts = Facts();
      const uint64_t count = counters_.Of(why);
      const firehose::StreamVerdict verdict = Send(bytes);
      EXPECT_EQ(verdict.action, firehose::StreamAction::kReconnect);
      EXPECT_EQ(verdict.cause, "framing");
      EXPECT_EQ(counters_.Of(why), count + 1);
      EXPECT_EQ(Facts(), facts);
    });
  }
};

TEST_P(Bomb, LengthsThatAreNotThere) {
  const std::string header = CarHeader(Draft().commit);
  Refused("CAR header of 2^60 bytes", FrameWithBlocks(Varint(uint64_t{1} << 60) + header),
          Reject::kCarTruncated);
  Refused("CAR section of 2^60 bytes",
          FrameWithBlocks(header + Varint(uint64_t{1} << 60) + std::string(100, 'x')), Reject::kCarTruncated);
  Refused("CAR section a byte too long", FrameWithBlocks(header + Varint(101) + std::string(100, 'x')),
          Reject::kCarTruncated);
  Refused("CAR varint without an end", FrameWithBlocks(header + std::string(100, '\xff')),
          Reject::kCarBadVarint);
  Refused("CAR varint with leading zeros", FrameWithBlocks(header + std::string("\x80\x80\x00", 3)),
          Reject::kCarBadVarint);
  Refused("CAR section of no bytes", FrameWithBlocks(header + std::string(1000, '\0')),
          Reject::kCarZeroLengthSection);
  Refused("CAR of no bytes", FrameWithBlocks(""), Reject::kCarTruncated);
  for (const char major : {'\x5b', '\x7b', '\x9b', '\xbb'}) {
    Dropped("unknown field that declares 2^64 - 1", FrameWithField(major + std::string(8, '\xff')),
            Reject::kCborTruncated);
  }
  ExpectGoesOn();
}

TEST_P(Bomb, MassesOfBlocks) {
  const CommitMessage good = Draft();
  {
    // As many different blocks as there is room for, each of one to three bytes, in front of a good commit:
    // legal (blocks that nothing links to are ignored), and still taken. It costs a hash for each.
    CommitMessage message = good;
    const size_t own = builder::EncodeCar(message.root, message.blocks).size();
    for (uint32_t i = 0; own + message.blocks.size() * 41 < 2'000'000 - 41; ++i) {
      std::string data = {static_cast<char>(i), static_cast<char>(i >> 8), static_cast<char>(i >> 16)};
      const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(data));
      message.blocks.push_back({cid, std::move(data)});
    }
    CommitMessage forged = message;
    builder::SignAgain(other_.key(), &forged);
    Refused("49,000 tiny blocks, forged", Numbered(forged), Reject::kSignatureMismatch);
  }
  {
    CommitMessage message = good;
    const Block last = message.blocks.back();
    const size_t section = 2 + last.cid.view().bytes().size() + last.data.size();
    message.blocks.insert(message.blocks.end(),
                          (2'000'000 - builder::EncodeCar(message.root, message.blocks).size()) / section,
                          last);
    CommitMessage forged = message;
    builder::SignAgain(other_.key(), &forged);
    Refused("2 MB of one block again and again, forged", Numbered(forged), Reject::kSignatureMismatch);
  }
  {
    std::string car;
    const std::vector<cbor::Cid> roots(48'000, good.commit);
    car::Writer(&car).Header(roots);
    Refused("48,000 roots", FrameWithBlocks(good, car), Reject::kCarMissingBlock);
  }
  {
    CommitMessage message = good;
    const std::string big(2'000'001, 'b');
    message.blocks.push_back({cbor::Cid::OfBlock(AsBytes(big)), big});
    Refused("blocks of more than 2 MB", Numbered(message), Reject::kCommitBlocksTooLarge);
  }
  {
    const std::string frame(firehose::kMaxFrameBytes + 1, '\0');
    Dropped("a frame of more than 5 MB", frame, Reject::kFrameTooLarge);
  }
  {
    CommitMessage message = good;
    for (int i = 0; i < 30'000; ++i) {
      message.ops.push_back(
          {repo::Action::kCreate, NotePath(std::to_string(i)), good.ops[0].cid, std::nullopt});
    }
    Refused("30,001 ops", Numbered(message), Reject::kCommitTooManyOps);
  }
  ExpectGoesOn();
}

TEST_P(Bomb, Nesting) {
  const size_t deep = 4'900'000;
  Dropped("4.9 million nested lists in an unknown field", FrameWithField(std::string(deep, '\x81') + '\x80'),
          Reject::kCborTooDeep);
  std::string maps;
  for (size_t i = 0; i < deep / 2; ++i) maps += "\xa1\x60";
  Dropped("2.4 million nested maps in an unknown field", FrameWithField(maps + "\xa0"), Reject::kCborTooDeep);
  Dropped("nested tags", FrameWithField(std::string(1'000'000, '\xd8')), Reject::kCborUnsupportedTag);
  ExpectGoesOn();
}

// Records are the account's own and signed; what is wrong with one costs that one, and the chain goes on
// (protocol 7.1).
TEST_P(Bomb, RecordsMadeToCost) {
  const auto write = [&](const char* what, const std::string& rkey, const Item& record, const char* fate) {
    const std::string frame = Numbered(victim_.Commit({Write::Create(NotePath(rkey), record)}, Tick()));
    Measure(what, frame, [&](const std::string& bytes) {
      Send(bytes);
      const MemoryTables tables = store_.tables();
      EXPECT_EQ(tables.repos.at(victim_.did()).state.head->rev, victim_.rev()) << "the chain goes on";
      const bool refused = !tables.dead_letters.empty() && tables.dead_letters.back().seq == seq_;
      EXPECT_EQ(refused ? std::string(RejectName(tables.dead_letters.back().reject)) : "", fate);
    });
  };
  std::string nested = std::string(200'000, '\x81') + '\x80';
  write("a record of 200,000 nested lists", "nested", Item::Map({{"$type", kNote}, {"x", Item::Raw(nested)}}),
        "record_too_deep");
  std::vector<Item> links(20'000, Item(victim_.data()));
  write("a record of 20,000 links", "links", Item::Map({{"$type", kNote}, {"x", Item::List(links)}}), "");
  std::vector<Item> ones(400'000, Item(1));
  write("a record of 400,000 numbers", "numbers", Item::Map({{"$type", kNote}, {"x", Item::List(ones)}}),
        "cbor_too_many_elements");
  write("a record of 1.2 MB", "large", Item::Map({{"$type", kNote}, {"x", std::string(1'200'000, 'x')}}),
        "record_too_large");
  std::vector<Item> refs(4'000, Item::Map({{"uri", "at://" + other_.did() + "/" + kNote + "/a"},
                                           {"cid", victim_.data().ToString()}}));
  write("a record of 4,000 references", "refs", Item::Map({{"$type", kNote}, {"x", Item::List(refs)}}), "");
  ExpectGoesOn();
}

// Whatever the bytes are, they cost about as much as any others: random ones, in the places where an attacker
// may put them.
TEST_P(Bomb, Noise) {
  uint64_t state = 42;
  const auto noise = [&](size_t size) {
    std::string bytes;
    while (bytes.size() < size) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes.push_back(static_cast<char>(state >> 56));
    }
    return bytes;
  };
  const std::vector<std::string> before = Facts();
  for (int i = 0; i < 300; ++i) {
    Send(noise(1 + static_cast<size_t>(i) * 7));
    Send(FrameWithBlocks(noise(static_cast<size_t>(i) * 11)));
    Send(FrameWithBlocks(CarHeader(Draft().commit) + noise(static_cast<size_t>(i) * 11)));
    Send(FrameWithField(noise(static_cast<size_t>(i) * 3)));
  }
  EXPECT_EQ(Facts(), before);
  ExpectGoesOn();
}

INSTANTIATE_TEST_SUITE_P(Curves, Bomb, testing::Values(builder::Curve::kK256, builder::Curve::kP256),
                         CurveName);

}  // namespace
}  // namespace penstock::test
