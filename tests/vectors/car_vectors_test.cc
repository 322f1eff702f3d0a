// go-car, ipld-car, atproto-ts: CAR files of others.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>

#include "base/encoding.h"
#include "base/status.h"
#include "car/block_index.h"
#include "car/reader.h"
#include "car/writer.h"
#include "tests/support/shared_data.h"

namespace penstock::car {
namespace {

namespace fs = std::filesystem;

// What a file is: how reading it ends, and what was found on the way.
struct Seen {
  std::string outcome;  // "ok", or the name of the Reject
  uint64_t roots = 0;
  std::vector<Block> blocks;
  std::vector<size_t> offsets;  // where each section starts
};

std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : std::string(Message(status));
}

Seen Read(Bytes car) {
  Seen seen;
  Reader reader(car);
  const absl::Status header = reader.ReadHeader();
  seen.roots = reader.root_count();
  if (header.ok()) {
    Block block;
    for (size_t at = reader.offset(); reader.Next(&block); at = reader.offset()) {
      seen.blocks.push_back(block);
      seen.offsets.push_back(at);
    }
  }
  seen.outcome = Outcome(header.ok() ? reader.status() : header);
  return seen;
}

TEST(CarVectors, GoCar) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const std::map<std::string, std::string> expected = {
      {"badheaderlength.car", "car_truncated"},
      {"sample-corrupt-pragma.car", "car_truncated"},
      {"sample-v1.car", "ok"},
      {"sample-v1-with-zero-len-section2.car", "car_zero_length_section"},
  };
  size_t ran = 0;
  for (const auto& entry : fs::directory_iterator(*folder / "go-car")) {
    if (entry.path().extension() != ".car") continue;
    const std::string name = entry.path().filename().string();
    const std::vector<uint8_t> bytes = test::ReadFileBytes(entry.path());
    const Seen seen = Read(bytes);
    BlockIndex index;
    const std::string indexed = Outcome(index.Load(bytes));
    std::printf("go-car/%s: %s, %zu blocks, indexed: %s\n", name.c_str(), seen.outcome.c_str(),
                seen.blocks.size(), indexed.c_str());
    ++ran;
    // A good container, none of whose blocks is of a kind that can be checked.
    if (name == "sample-v1.car") {
      EXPECT_GT(seen.blocks.size(), 0u);
      EXPECT_EQ(index.unverifiable(), seen.blocks.size());
      EXPECT_TRUE(index.blocks().empty());
      EXPECT_FALSE(index.Find(index.root()).has_value());
    }
    if (name.find("v2") != std::string::npos) {
      EXPECT_EQ(seen.outcome, "car_bad_version") << name;
    }
    const auto expect = expected.find(name);
    if (expect == expected.end()) continue;
    EXPECT_EQ(seen.outcome, expect->second) << name;
    EXPECT_EQ(indexed, expect->second) << name;
  }
  EXPECT_GE(ran, 4u);
  std::printf("go-car: %zu files\n", ran);
}

TEST(CarVectors, IpldCar) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const std::vector<uint8_t> bytes = test::ReadFileBytes(*folder / "ipld-car/carv1-basic.car");
  const boost::json::value described =
      boost::json::parse(test::ReadFileText(*folder / "ipld-car/carv1-basic.json"));
  const auto text = [](const boost::json::value& cid) { return std::string(cid.at("/").as_string()); };

  const Seen seen = Read(bytes);
  ASSERT_EQ(seen.outcome, "ok");
  EXPECT_EQ(seen.roots, described.at("header").at("roots").as_array().size());
  const boost::json::array& blocks = described.at("blocks").as_array();
  ASSERT_EQ(seen.blocks.size(), blocks.size());
  size_t version_0 = 0, blessed = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    EXPECT_EQ(seen.blocks[i].cid.ToString(), text(blocks[i].at("cid"))) << "block " << i;
    EXPECT_EQ(seen.blocks[i].data.size(), blocks[i].at("blockLength").to_number<size_t>()) << "block " << i;
    EXPECT_EQ(static_cast<size_t>(seen.blocks[i].data.data() - bytes.data()),
              blocks[i].at("blockOffset").to_number<size_t>());
    EXPECT_EQ(seen.offsets[i], blocks[i].at("offset").to_number<size_t>()) << "block " << i;
    EXPECT_TRUE(cbor::BlockMatches(seen.blocks[i].cid, seen.blocks[i].data)) << "block " << i;
    version_0 += seen.blocks[i].cid.version() == 0;
    blessed += seen.blocks[i].cid.IsBlessed();
  }
  EXPECT_EQ(version_0, 3u);
  BlockIndex index;
  ASSERT_EQ(Outcome(index.Load(bytes)), "ok");
  EXPECT_EQ(index.root().ToString(), text(described.at("header").at("roots").at(0)));
  EXPECT_EQ(index.blocks().size(), blessed);
  EXPECT_EQ(index.unverifiable(), blocks.size() - blessed);
  std::printf("ipld-car/carv1-basic: %zu blocks\n", blocks.size());
}

TEST(CarVectors, AtprotoTs) {
  const auto folder = test::VectorsFolder();
  if (!folder) GTEST_SKIP() << "no vectors: set PENSTOCK_VECTORS";
  const boost::json::value fixtures =
      boost::json::parse(test::ReadFileText(*folder / "atproto-ts/car-file-fixtures.json"));
  const auto bytes_of = [](const boost::json::value& value) {
    return *FromBase64(std::string_view(value.as_string()));
  };
  size_t blocks = 0;
  for (const boost::json::value& fixture : fixtures.as_array()) {
    const cbor::Cid root = *cbor::Cid::FromString(std::string_view(fixture.at("root").as_string()));
    const std::vector<uint8_t> car = bytes_of(fixture.at("car"));
    BlockIndex index;
    ASSERT_EQ(Outcome(index.Load(car)), "ok");
    EXPECT_EQ(index.root(), root.view());
    std::string written;
    Writer writer(&written);
    writer.Header(std::span(&root, 1));
    for (const boost::json::value& block : fixture.at("blocks").as_array()) {
      const cbor::Cid cid = *cbor::Cid::FromString(std::string_view(block.at("cid").as_string()));
      const std::vector<uint8_t> data = bytes_of(block.at("bytes"));
      const std::optional<Bytes> found = index.Find(cid.view());
      ASSERT_TRUE(found.has_value()) << cid.ToString();
      EXPECT_TRUE(Equal(*found, data)) << cid.ToString();
      writer.Block(cid.view(), data);
      ++blocks;
    }
    EXPECT_TRUE(Equal(AsBytes(written), car)) << "encoding gives the same bytes";
  }
  EXPECT_GT(blocks, 0u);
  std::printf("atproto-ts/car-file-fixtures: %zu files, %zu blocks\n", fixtures.as_array().size(), blocks);
}

}  // namespace
}  // namespace penstock::car
