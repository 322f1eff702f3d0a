#include "car/stream_reader.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/car/car_testing.h"

namespace penstock::car {
namespace {

using test::BlockSection;
using test::CarHeader;
using test::CarOf;
using test::CidOf;
using test::Outcome;
using test::Section;

using Given = std::vector<std::pair<std::string, std::string>>;  // CID, data

// Feeds `car` in pieces of `piece` bytes. Each piece is gone after it was taken.
std::string Read(std::string_view car, size_t piece, Given* given = nullptr, const StreamLimits& limits = {},
                 StreamReader* reader = nullptr) {
  StreamReader own;
  if (reader == nullptr) reader = &own;
  reader->Reset(limits);
  Block block;
  while (!car.empty() && reader->status().ok()) {
    std::string bytes(car.substr(0, piece));
    car.remove_prefix(bytes.size());
    reader->Feed(AsBytes(bytes));
    while (reader->Next(&block)) {
      if (given != nullptr) given->emplace_back(block.cid.ToString(), AsText(block.data));
    }
    bytes.assign(bytes.size(), '?');
  }
  return Outcome(reader->Finish());
}

// What the reader of whole files says.
std::string ReadWhole(std::string_view car, Given* given) {
  Reader reader(AsBytes(car));
  if (absl::Status status = reader.ReadHeader(); !status.ok()) return Outcome(status);
  Block block;
  while (reader.Next(&block)) {
    if (!block.cid.IsBlessed()) continue;
    if (!cbor::BlockMatches(block.cid, block.data)) return "car_block_cid_mismatch";
    given->emplace_back(block.cid.ToString(), AsText(block.data));
  }
  return Outcome(reader.status());
}

TEST(StreamReader, PiecesOfAnySizeGiveTheSameBlocks) {
  std::string car = CarOf({"first", "second", "", std::string(300, 'x'), std::string(70'000, 'y')});
  car += BlockSection(cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw), "raw");
  Given expected;
  ASSERT_EQ(ReadWhole(car, &expected), "ok");
  ASSERT_EQ(expected.size(), 6u);
  for (const size_t piece : {1, 2, 3, 7, 36, 37, 38, 39, 64, 127, 128, 129, 1000, 65536, 1 << 20}) {
    Given given;
    EXPECT_EQ(Read(car, piece, &given), "ok") << piece;
    EXPECT_EQ(given, expected) << piece;
  }
}

TEST(StreamReader, ABlockComesWithItsLastByte) {
  const std::string car = CarOf({"first", "second"});
  StreamReader reader;
  Block block;
  size_t given = 0;
  for (size_t at = 0; at < car.size(); ++at) {
    reader.Feed(AsBytes(car).subspan(at, 1));
    while (reader.Next(&block)) {
      EXPECT_EQ(at, given == 0 ? car.size() - BlockSection(CidOf("second"), "second").size() - 1 : car.size() - 1);
      ++given;
    }
    EXPECT_EQ(reader.root().empty(), at + 1 < CarHeader({CidOf("first")}).size()) << at;
  }
  EXPECT_EQ(given, 2u);
  EXPECT_EQ(reader.root(), CidOf("first"));
  EXPECT_EQ(reader.bytes(), car.size());
  EXPECT_EQ(reader.blocks(), 2u);
  EXPECT_EQ(Outcome(reader.Finish()), "ok");
}

TEST(StreamReader, WholeSectionsAreNotCopied) {
  const std::string car = CarOf({"first"});
  StreamReader reader;
  reader.Feed(AsBytes(car));
  Block block;
  ASSERT_TRUE(reader.Next(&block));
  EXPECT_EQ(reinterpret_cast<const char*>(block.data.data()), car.data() + car.size() - 5);
}

TEST(StreamReader, EveryTruncationIsRefusedOrEndsAtASection) {
  const std::string car = CarOf({"first", "second", std::string(300, 'x')});
  for (size_t size = 0; size < car.size(); ++size) {
    Given expected;
    const std::string outcome = ReadWhole(std::string_view(car).substr(0, size), &expected);
    for (const size_t piece : {size_t{1}, size_t{5}, car.size()}) {
      Given given;
      EXPECT_EQ(Read(std::string_view(car).substr(0, size), piece, &given), outcome) << size;
      EXPECT_EQ(given, expected) << size;
    }
  }
}

TEST(StreamReader, EveryBitCountsAsInAWholeFile) {
  const std::string car = CarOf({"first", "second", std::string(200, 'x')});
  for (size_t bit = 0; bit < car.size() * 8; ++bit) {
    std::string changed = car;
    changed[bit / 8] = static_cast<char>(changed[bit / 8] ^ (1 << bit % 8));
    Given expected;
    std::string outcome = ReadWhole(changed, &expected);
    for (const size_t piece : {size_t{3}, car.size()}) {
      Given given;
      const std::string streamed = Read(changed, piece, &given);
      // A length beyond the limits is known to be wrong before the end of the file is.
      if (streamed != "car_section_too_long") {
        EXPECT_EQ(streamed, outcome) << bit;
      } else {
        EXPECT_EQ(outcome, "car_truncated") << bit;
      }
      EXPECT_EQ(given, expected) << bit;
    }
  }
}

// A length costs nothing until its bytes are there.
TEST(StreamReader, DeclaredLengthsTakeNoMemory) {
  const std::string header = CarHeader({CidOf("a")});
  StreamReader reader;
  for (const uint64_t length : {uint64_t{1} << 32, uint64_t{1} << 62, uint64_t{kMaxSectionBytes} + 1}) {
    for (const size_t piece : {size_t{1}, size_t{1000}}) {
      EXPECT_EQ(Read(header + Section(length, "x"), piece, nullptr, {}, &reader), "car_section_too_long");
      EXPECT_LT(reader.memory(), 1000u);
    }
  }
  EXPECT_EQ(Read(header + Section(kMaxSectionBytes, "x"), 1, nullptr, {}, &reader), "car_truncated");
  EXPECT_LT(reader.memory(), 1000u);
  EXPECT_EQ(Read(Section(kMaxHeaderBytes + 1, "x"), 1, nullptr, {}, &reader), "car_section_too_long");
  EXPECT_EQ(Read(Section(uint64_t{1} << 62, ""), 9, nullptr, {}, &reader), "car_section_too_long");
  EXPECT_EQ(Read(header + std::string(9, '\xff'), 1), "car_bad_varint");
  EXPECT_EQ(Read(header + std::string("\x80\x00", 2), 1), "car_bad_varint");
}

TEST(StreamReader, LimitsAreExact) {
  const std::string car = CarOf({"first", "second", "third"});
  StreamLimits limits;
  limits.max_bytes = car.size();
  limits.max_blocks = 3;
  limits.max_section_bytes = 36 + 6;
  EXPECT_EQ(Read(car, 10, nullptr, limits), "ok");
  StreamLimits less = limits;
  less.max_bytes--;
  EXPECT_EQ(Read(car, 10, nullptr, less), "car_too_large");
  less = limits;
  less.max_blocks--;
  EXPECT_EQ(Read(car, 10, nullptr, less), "car_too_many_blocks");
  less = limits;
  less.max_section_bytes--;
  EXPECT_EQ(Read(car, 10, nullptr, less), "car_section_too_long");
}

TEST(StreamReader, RepeatedBlocksCountAndUnverifiableOnesArePassedOver) {
  std::string car = CarOf({"first", "first"});
  std::string blake(36, 'h');
  blake.replace(0, 4, "\x01\x71\x1e\x20");
  car += Section(blake + "whatever");
  StreamReader reader;
  Given given;
  EXPECT_EQ(Read(car, 11, &given, {}, &reader), "ok");
  EXPECT_EQ(given.size(), 2u);
  EXPECT_EQ(reader.unverifiable(), 1u);
  EXPECT_EQ(Read(CarOf({"again"}), 11, &given, {}, &reader), "ok") << "reusable";
  EXPECT_EQ(reader.unverifiable(), 0u);
}

TEST(StreamReader, ErrorsStick) {
  const std::string car = CarOf({"first"}) + Section(0, "") + BlockSection(CidOf("second"), "second");
  StreamReader reader;
  reader.Feed(AsBytes(car));
  Block block;
  EXPECT_TRUE(reader.Next(&block));
  EXPECT_FALSE(reader.Next(&block));
  EXPECT_EQ(Outcome(reader.status()), "car_zero_length_section");
  reader.Feed(AsBytes(car));
  EXPECT_FALSE(reader.Next(&block));
  EXPECT_EQ(Outcome(reader.Finish()), "car_zero_length_section");
}

TEST(StreamReader, BlocksMustBeTakenBeforeTheNextPiece) {
  const std::string car = CarOf({"first", "second"});
  StreamReader reader;
  reader.Feed(AsBytes(car));
  reader.Feed(AsBytes(car));
  EXPECT_EQ(reader.status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace penstock::car
