#include "car/reader.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/encoding.h"
#include "tests/car/car_testing.h"

namespace penstock::car {
namespace {

using test::BlockSection;
using test::CarHeader;
using test::CarOf;
using test::CidOf;
using test::Outcome;
using test::Section;

std::string Hex(std::string_view hex) {
  const auto bytes = FromHex(hex);
  EXPECT_TRUE(bytes.has_value()) << hex;
  return std::string(AsText(*bytes));
}

std::string HeaderOutcome(std::string_view car) {
  Reader reader(AsBytes(car));
  return Outcome(reader.ReadHeader());
}

// Reads all of it.
std::string ReadOutcome(std::string_view car, std::vector<Block>* blocks = nullptr) {
  Reader reader(AsBytes(car));
  if (absl::Status status = reader.ReadHeader(); !status.ok()) return Outcome(status);
  Block block;
  while (reader.Next(&block)) {
    if (blocks != nullptr) blocks->push_back(block);
  }
  EXPECT_FALSE(reader.Next(&block)) << "the end, or the error, sticks";
  return Outcome(reader.status());
}

TEST(CarReader, GivesRootAndBlocksInFileOrder) {
  const std::string car = CarOf({"first", "second", ""});
  Reader reader(AsBytes(car));
  ASSERT_EQ(Outcome(reader.ReadHeader()), "ok");
  EXPECT_EQ(reader.root(), CidOf("first").view());
  EXPECT_EQ(reader.root_count(), 1u);
  std::vector<Block> blocks;
  ASSERT_EQ(ReadOutcome(car, &blocks), "ok");
  ASSERT_EQ(blocks.size(), 3u);
  EXPECT_EQ(AsText(blocks[0].data), "first");
  EXPECT_EQ(AsText(blocks[1].data), "second");
  EXPECT_TRUE(blocks[1].cid == CidOf("second").view());
  EXPECT_TRUE(blocks[2].data.empty());
}

TEST(CarReader, ViewsPointIntoTheInput) {
  const std::string car = CarOf({"first"});
  std::vector<Block> blocks;
  ASSERT_EQ(ReadOutcome(car, &blocks), "ok");
  EXPECT_EQ(reinterpret_cast<const char*>(blocks[0].data.data()), car.data() + car.size() - 5);
}

TEST(CarReader, FurtherRootsAreCountedAndIgnored) {
  const std::string car = CarHeader({CidOf("a"), CidOf("b")});
  Reader reader(AsBytes(car));
  ASSERT_EQ(Outcome(reader.ReadHeader()), "ok");
  EXPECT_EQ(reader.root(), CidOf("a").view());
  EXPECT_EQ(reader.root_count(), 2u);
}

TEST(CarReader, EveryTruncationIsRefusedOrEndsAtASection) {
  const std::string car = CarOf({"first", "second", std::string(300, 'x')});
  // Where a cut leaves a shorter, but whole, file.
  std::vector<size_t> ends;
  Reader whole(AsBytes(car));
  ASSERT_EQ(Outcome(whole.ReadHeader()), "ok");
  ends.push_back(whole.offset());
  for (Block block; whole.Next(&block);) ends.push_back(whole.offset());
  ASSERT_EQ(ends.size(), 4u);
  for (size_t size = 0; size <= car.size(); ++size) {
    const bool at_end = std::find(ends.begin(), ends.end(), size) != ends.end();
    EXPECT_EQ(ReadOutcome(std::string_view(car).substr(0, size)), at_end ? "ok" : "car_truncated")
        << "cut at " << size;
  }
}

TEST(CarReader, RefusesTrailingBytes) {
  EXPECT_EQ(ReadOutcome(CarOf({"a"}) + "\x05"), "car_truncated");
  EXPECT_EQ(ReadOutcome(CarOf({"a"}) + std::string(1, '\0')), "car_zero_length_section");
}

TEST(CarReader, ErrorSaysWhereTheSectionStarts) {
  const std::string car = CarOf({"a"});
  const std::string bad = car + Section("not a cid");
  Reader reader(AsBytes(bad));
  ASSERT_EQ(Outcome(reader.ReadHeader()), "ok");
  Block block;
  while (reader.Next(&block)) {
  }
  EXPECT_EQ(reader.offset(), car.size());
  EXPECT_NE(Message(reader.status()).find(std::to_string(car.size())), std::string_view::npos);
}

TEST(CarReader, Varints) {
  const std::string header = CarHeader({CidOf("a")});
  // A length that is longer than it needs to be, in the header and in a section.
  EXPECT_EQ(HeaderOutcome(std::string("\xba\x00", 2) + header.substr(1)), "car_bad_varint");
  EXPECT_EQ(ReadOutcome(header + std::string("\xa4\x80\x00", 3)), "car_bad_varint");
  EXPECT_EQ(ReadOutcome(header + std::string("\x80\x00", 2)), "car_bad_varint");
  // Ten bytes: more than 63 bits.
  EXPECT_EQ(ReadOutcome(header + "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "car_bad_varint");
  EXPECT_EQ(ReadOutcome(header + "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "car_bad_varint");
  // Nine bytes are the most there can be; nothing is that long. Cut within the varint.
  EXPECT_EQ(ReadOutcome(header + "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "car_truncated");
  EXPECT_EQ(ReadOutcome(header + "\xff\xff"), "car_truncated");
  EXPECT_EQ(HeaderOutcome(""), "car_truncated");
  EXPECT_EQ(HeaderOutcome("\xff\xff\xff\xff\xff\xff\xff\xff\x7f"), "car_truncated");
}

TEST(CarReader, SectionsMustHoldACid) {
  const std::string header = CarHeader({CidOf("a")});
  EXPECT_EQ(ReadOutcome(header + Section("x")), "car_bad_cid");
  // A CID that its section cuts short, though the file goes on.
  const std::string cid(AsText(CidOf("a").bytes()));
  EXPECT_EQ(ReadOutcome(header + Section(35, cid + "a")), "car_bad_cid");
  // A digest of more than 100 bytes, declared or real.
  EXPECT_EQ(ReadOutcome(header + Section(std::string("\x01\x71\x13\xff\x01", 5) + std::string(255, 'x'))),
            "car_bad_cid");
  // A CIDv0 and an identity CID are CIDs; whether they are of use is for others to say.
  const std::string foreign = header + Section("\x12\x20" + std::string(32, 'd') + "data") +
                              Section(std::string("\x01\x55\x00\x03", 4) + "abcdata");
  std::vector<Block> blocks;
  EXPECT_EQ(ReadOutcome(foreign, &blocks), "ok");
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(AsText(blocks[0].data), "data");
  EXPECT_EQ(AsText(blocks[1].data), "data");
}

struct HeaderCase {
  const char* name;
  const char* hex;  // of the header item
  const char* expect;
};

class CarHeaderCases : public testing::TestWithParam<HeaderCase> {};

TEST_P(CarHeaderCases, Outcome) { EXPECT_EQ(HeaderOutcome(Section(Hex(GetParam().hex))), GetParam().expect); }

constexpr char kRoots[] = "65726f6f7473";        // "roots"
constexpr char kVersion[] = "6776657273696f6e";  // "version"
// clang-format off
INSTANTIATE_TEST_SUITE_P(All, CarHeaderCases, testing::ValuesIn(std::vector<HeaderCase>{
  {"Empty", "", "car_bad_header"},
  {"NotAMap", "80", "car_bad_header"},
  {"EmptyMap", "a0", "car_bad_header"},
  {"OnlyRoots", "a165726f6f747380", "car_bad_header"},
  {"OnlyVersion", "a16776657273696f6e01", "car_bad_header"},
  {"Pragma2", "a16776657273696f6e02", "car_bad_version"},
  {"VersionZero", "a265726f6f7473806776657273696f6e00", "car_bad_version"},
  {"VersionNegative", "a265726f6f7473806776657273696f6e20", "car_bad_version"},
  {"VersionText", "a265726f6f7473806776657273696f6e6131", "car_bad_header"},
  {"NoRoots", "a265726f6f7473806776657273696f6e01", "car_no_roots"},
  {"RootsNull", "a265726f6f7473f66776657273696f6e01", "car_bad_header"},
  {"RootIsText", "a265726f6f74738161616776657273696f6e01", "car_bad_header"},
  {"KeyOrder", "a26776657273696f6e0165726f6f747380", "car_bad_header"},
  {"KeyTwice", "a36776657273696f6e016776657273696f6e0165726f6f747380", "car_bad_header"},
  {"TrailingBytes", "a265726f6f7473806776657273696f6e0100", "car_bad_header"},
  {"RootsDeclareTooMuch", "a265726f6f74739bffffffffffffffff6776657273696f6e01", "car_bad_header"},
  {"Indefinite", "bf65726f6f7473806776657273696f6e01ff", "car_bad_header"},
}), [](const auto& test_case) { return std::string(test_case.param.name); });
// clang-format on

TEST(CarReader, UnknownHeaderKeysAreIgnored) {
  // {"a": [1], "roots": [cid], "version": 1}
  const std::string link = "d82a582500" + ToHex(CidOf("a").bytes());
  const std::string item = std::string("a3") + "6161" + "8101" + kRoots + "81" + link + kVersion + "01";
  EXPECT_EQ(HeaderOutcome(Section(Hex(item))), "ok");
}

TEST(CarWriter, GivesTheBytesOfTheSpecification) {
  std::string car;
  Writer writer(&car);
  const cbor::Cid cid = CidOf("a");
  writer.Header(std::span(&cid, 1));
  writer.Block(cid.view(), AsBytes("a"));
  const std::string link = "d82a582500" + ToHex(cid.bytes());
  EXPECT_EQ(ToHex(AsBytes(car)), std::string("3a") + "a2" + kRoots + "81" + link + kVersion + "01" + "25" +
                                     ToHex(cid.bytes()) + "61");
}

TEST(CarWriter, WritesLongSections) {
  const std::string long_block(20'000, 'x');
  std::vector<Block> blocks;
  const std::string car = CarOf({long_block, "short"});
  ASSERT_EQ(ReadOutcome(car, &blocks), "ok");
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(AsText(blocks[0].data), long_block);
}

}  // namespace
}  // namespace penstock::car
