#include "cbor/record_data.h"

#include <gtest/gtest.h>

#include "cbor/writer.h"
#include "tests/cbor/cbor_testing.h"

namespace penstock::cbor {
namespace {

using test::Hex;
using test::Outcome;

constexpr char kCollection[] = "space.atbb.post";

// {"x": <value in hex>, "$type": "space.atbb.post"}
std::string RecordWith(std::string_view value_hex) {
  MapWriter map;
  map.Key("$type").Text(kCollection);
  map.Key("x").Raw(Hex(value_hex));
  std::string block;
  map.Finish(&block);
  return block;
}

std::string Check(std::string_view block, RecordReport* report = nullptr,
                  std::string_view collection = kCollection) {
  return Outcome(CheckRecord(AsBytes(block), collection, report));
}

std::string CheckValue(std::string_view value_hex) { return Check(RecordWith(value_hex)); }

struct BlobParts {
  std::string ref = test::RawLinkHex();
  std::string mime_type = "69 696d6167652f706e67";  // "image/png"
  std::string size = "18 64";
};

// A record that holds one blob of these parts; an empty part leaves its key out.
std::string CheckBlob(const BlobParts& parts, std::string_view extra_key = {}) {
  MapWriter blob;
  blob.Key("$type").Text("blob");
  if (!parts.ref.empty()) blob.Key("ref").Raw(Hex(parts.ref));
  if (!parts.mime_type.empty()) blob.Key("mimeType").Raw(Hex(parts.mime_type));
  if (!parts.size.empty()) blob.Key("size").Raw(Hex(parts.size));
  if (!extra_key.empty()) blob.Key(extra_key).Int(1);
  std::string item;
  blob.Finish(&item);
  return CheckValue(ToHex(AsBytes(item)));
}

TEST(RecordData, AGoodRecordIsReported) {
  const std::string block = RecordWith("82 01 f6");
  RecordReport report;
  EXPECT_EQ(Check(block, &report), "ok");
  EXPECT_EQ(report.type, kCollection);
  EXPECT_GE(report.type.data(), block.data());
  EXPECT_LT(report.type.data(), block.data() + block.size());
  EXPECT_FALSE(report.empty_key);
  EXPECT_FALSE(report.has_nul);
  EXPECT_EQ(Check(block), "ok") << "without a report";
}

TEST(RecordData, TypeIsTheCollection) {
  const std::string block = RecordWith("00");
  EXPECT_EQ(Check(block, nullptr, "space.atbb.forum"), "record_type_mismatch");
  EXPECT_EQ(Check(block, nullptr, ""), "ok") << "nothing to compare with";
  EXPECT_EQ(Check("\xa0"), "record_bad_type") << "absent";
  EXPECT_EQ(Check(AsText(Hex("a1 65 2474797065 60"))), "record_bad_type") << "empty";
  EXPECT_EQ(Check(AsText(Hex("a1 65 2474797065 18 7b"))), "record_bad_type") << "a number";
  EXPECT_EQ(Check(AsText(Hex("a1 65 2474797065 f6"))), "record_bad_type") << "null";
  EXPECT_EQ(Check(AsText(Hex("a1 65 2474797065 f7"))), "cbor_unsupported_simple") << "not CBOR comes first";
  EXPECT_EQ(Check(AsText(Hex("a1 65 2474797065"))), "cbor_truncated");
}

TEST(RecordData, NestedTypesAreTextsToo) {
  EXPECT_EQ(CheckValue("a1 65 2474797065 61 61"), "ok");
  EXPECT_EQ(CheckValue("a1 65 2474797065 60"), "record_bad_type");
  EXPECT_EQ(CheckValue("a1 65 2474797065 01"), "record_bad_type");
}

TEST(RecordData, TheTopIsAMap) {
  EXPECT_EQ(Check("\x80"), "record_not_a_map");
  EXPECT_EQ(Check("\x61"
                  "a"),
            "record_not_a_map");
  EXPECT_EQ(Check("\xf7"), "cbor_unsupported_simple") << "no item at all comes first";
  EXPECT_EQ(Check(""), "cbor_truncated");
}

TEST(RecordData, ExactlyOneStrictItem) {
  EXPECT_EQ(Check(RecordWith("00") + '\0'), "cbor_trailing_bytes");
  EXPECT_EQ(CheckValue("18 01"), "cbor_non_minimal");
  EXPECT_EQ(CheckValue("61 ff"), "cbor_bad_utf8");
  EXPECT_EQ(CheckValue("a2 61 62 00 61 61 00"), "cbor_map_key_order");
  EXPECT_EQ(CheckValue("c2 41 01"), "cbor_unsupported_tag");
  EXPECT_EQ(CheckValue("d82a 41 00"), "cbor_bad_link");
  EXPECT_EQ(CheckValue("f9 3c00"), "cbor_unsupported_float");
}

TEST(RecordData, EveryTruncationIsRefused) {
  const std::string block = RecordWith("a3 61 61 01 61 62 83 60 40 f5 61 63" + test::DataLinkHex());
  ASSERT_EQ(Check(block), "ok");
  for (size_t size = 0; size < block.size(); ++size) {
    EXPECT_NE(Check(block.substr(0, size)), "ok") << "cut at " << size;
  }
}

TEST(RecordData, NoFloats) {
  EXPECT_EQ(CheckValue("fb 3ff8000000000000"), "record_float");
  EXPECT_EQ(CheckValue("fb 3ff0000000000000"), "record_float") << "not even 1.0";
  EXPECT_EQ(CheckValue("81 a1 61 61 fb 3ff0000000000000"), "record_float");
  EXPECT_EQ(CheckValue("fb 8000000000000000"), "cbor_unsupported_float") << "-0.0 is no DRISL to begin with";
}

TEST(RecordData, IntegersFit64Bits) {
  EXPECT_EQ(CheckValue("1b 7fffffffffffffff"), "ok");
  EXPECT_EQ(CheckValue("3b 7fffffffffffffff"), "ok");
  EXPECT_EQ(CheckValue("1b 8000000000000000"), "record_integer_range");
  EXPECT_EQ(CheckValue("3b 8000000000000000"), "record_integer_range");
  EXPECT_EQ(CheckValue("a1 64 73697a65 1b ffffffffffffffff"), "record_integer_range") << "also as a `size`";
}

TEST(RecordData, ErrorsNameTheOffset) {
  // a2 61 'x' <value at 3>
  EXPECT_EQ(Message(CheckRecord(AsBytes(RecordWith("fb 3ff8000000000000")), kCollection, nullptr)),
            "record_float: at byte 3");
  EXPECT_EQ(Message(CheckRecord(AsBytes(RecordWith("82 00 1b ffffffffffffffff")), kCollection, nullptr)),
            "record_integer_range: at byte 5");
}

TEST(RecordData, DepthIsBounded) {
  const auto nested = [](size_t lists) {
    std::string hex;
    for (size_t i = 0; i + 1 < lists; ++i) hex += "81";
    return CheckValue(hex + "80");
  };
  EXPECT_EQ(nested(kMaxRecordDepth - 1), "ok");  // the record is the first container
  EXPECT_EQ(nested(kMaxRecordDepth), "record_too_deep");
  std::string maps;
  for (uint32_t i = 0; i < kMaxRecordDepth; ++i) maps += "a160";
  EXPECT_EQ(CheckValue(maps + "00"), "record_too_deep");
}

TEST(RecordData, SizeIsTheCallersLimit) {
  std::string text_item;
  Writer(&text_item).Text(std::string(2000, 'a'));
  const std::string block = RecordWith(ToHex(AsBytes(text_item)));
  EXPECT_EQ(Outcome(CheckRecord(AsBytes(block), kCollection, nullptr, block.size())), "ok");
  EXPECT_EQ(Outcome(CheckRecord(AsBytes(block), kCollection, nullptr, block.size() - 1)), "record_too_large");
  EXPECT_EQ(Check(std::string(kMaxRecordBytes + 1, '\0')), "record_too_large");
}

TEST(RecordData, EmptyKeysAndNulAreReportedNotRefused) {
  RecordReport report;
  EXPECT_EQ(Check(RecordWith("a1 60 00"), &report), "ok");
  EXPECT_TRUE(report.empty_key);
  EXPECT_FALSE(report.has_nul);
  report = {};
  EXPECT_EQ(Check(RecordWith("81 62 61 00"), &report), "ok");
  EXPECT_FALSE(report.empty_key);
  EXPECT_TRUE(report.has_nul) << "in a text";
  report = {};
  EXPECT_EQ(Check(RecordWith("a1 61 00 01"), &report), "ok");
  EXPECT_TRUE(report.has_nul) << "in a key";
  report = {};
  EXPECT_EQ(Check(RecordWith("a1 68 6d696d6554797065 61 00"), &report), "ok");
  EXPECT_TRUE(report.has_nul) << "in a mimeType";
}

TEST(RecordData, ABadRecordLeavesTheReportAlone) {
  RecordReport report;
  report.type = "before";
  EXPECT_EQ(Check(RecordWith("a1 60 f7"), &report), "cbor_unsupported_simple");
  EXPECT_EQ(report.type, "before");
  EXPECT_FALSE(report.empty_key);
}

TEST(RecordData, BlobsAreWellFormed) {
  EXPECT_EQ(CheckBlob({}), "ok");
  EXPECT_EQ(CheckBlob({}, "alt"), "ok") << "other keys are kept and ignored";
  EXPECT_EQ(CheckBlob({.size = "00"}), "ok") << "the empty blob";
  EXPECT_EQ(CheckBlob({.size = "20"}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.size = "63 313030"}), "record_bad_blob") << "a text";
  EXPECT_EQ(CheckBlob({.size = ""}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.ref = ""}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.ref = "61 61"}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.ref = test::DataLinkHex()}), "ok") << "not raw: the vectors have it";
  EXPECT_EQ(CheckBlob({.mime_type = ""}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.mime_type = "60"}), "record_bad_blob");
  EXPECT_EQ(CheckBlob({.mime_type = "01"}), "record_bad_blob");
}

TEST(RecordData, ABlobsHashMayBeOfAnotherKind) {
  // raw, BLAKE3 (0x1e)
  EXPECT_EQ(CheckBlob({.ref = "d82a 5825 00 01551e20" + ToHex(std::vector<uint8_t>(32, 7))}), "ok");
}

TEST(RecordData, LinksAreToDataOrRawBytes) {
  const std::string digest = ToHex(std::vector<uint8_t>(32, 7));
  EXPECT_EQ(CheckValue(test::DataLinkHex()), "ok");
  EXPECT_EQ(CheckValue(test::RawLinkHex()), "ok");
  EXPECT_EQ(CheckValue("d82a 5825 00 01711e20" + digest), "ok") << "BLAKE3";
  EXPECT_EQ(CheckValue("d82a 5823 00 1220" + digest), "cid_unsupported") << "CIDv0";
  EXPECT_EQ(CheckValue("81 d82a 5825 00 01701220" + digest), "cid_unsupported") << "dag-pb";
  EXPECT_EQ(CheckBlob({.ref = "d82a 5823 00 1220" + digest}), "cid_unsupported");
}

TEST(RecordData, MapsThatAreNoBlobsMayUseItsKeys) {
  EXPECT_EQ(CheckValue("a3 63 726566 01 64 73697a65 20 68 6d696d6554797065 f6"), "ok");
  // The legacy {cid, mimeType}.
  EXPECT_EQ(CheckValue("a2 63 636964 61 61 68 6d696d6554797065 69 696d6167652f706e67"), "ok");
}

}  // namespace
}  // namespace penstock::cbor
