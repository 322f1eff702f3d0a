#include "indexer/refs.h"

#include <string>
#include <string_view>
#include <vector>

#include "cbor/record_data.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/indexer/row_testing.h"

namespace penstock::indexer {
namespace {

using test::Array;
using test::Item;
using test::Map;
using test::Text;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kCid = "bafyreihkzdvr4edbu3etluf2pryolyq7ynw6hitiq5qcg7ju5m5wjkle4q";
constexpr std::string_view kAuthor = "did:plc:aliceaaaaaaaaaaaaaaaaaaa";

std::string PostUri(std::string_view rkey) {
  return "at://" + std::string(kAuthor) + "/space.atbb.post/" + std::string(rkey);
}

Item StrongRef(std::string_view uri, std::string_view cid = kCid) {
  return Map{{"uri", Text(uri)}, {"cid", Text(cid)}}.Encode();
}

// The references of a record, each as "path target", and " @cid" where one is pinned.
class Refs : public testing::Test {
 protected:
  const std::vector<RefRow>& Find(const Item& record) {
    rows_.clear();
    complete_ = FindRefs(AsBytes(record), &arena_, &rows_);
    return rows_;
  }
  std::vector<std::string> Lines(const Map& record) {
    std::vector<std::string> lines;
    for (const RefRow& row : Find(record.Encode())) {
      std::string line = std::string(row.path) + " " + std::string(row.target_uri);
      if (!row.target_cid.empty()) line += " @" + std::string(row.target_cid);
      lines.push_back(line);
    }
    return lines;
  }

  Arena arena_;
  std::vector<RefRow> rows_;
  bool complete_ = false;
};

TEST_F(Refs, AStrongReferenceIsOneRowAtTheMapsPath) {
  const Item reply =
      Map{{"root", StrongRef(PostUri("root"))}, {"parent", StrongRef(PostUri("parent"))}}.Encode();
  const std::string pinned = " @" + std::string(kCid);
  EXPECT_THAT(
      Lines({{"$type", Text("space.atbb.post")}, {"reply", reply}}),
      ElementsAre("reply.root " + PostUri("root") + pinned, "reply.parent " + PostUri("parent") + pinned));
}

TEST_F(Refs, ATextThatIsAUriOrADidIsARowAtItsOwnPath) {
  EXPECT_THAT(
      Lines({{"subject", Text(kAuthor)}, {"list", Text(PostUri("x"))}, {"text", Text("see did:plc:alice")}}),
      ElementsAre("list " + PostUri("x"), "subject " + std::string(kAuthor)));
}

TEST_F(Refs, ElementsOfArraysAreCounted) {
  const Item items =
      Array({Text("nothing"), Text(PostUri("b")), Map{{"did", Text("did:web:a.example")}}.Encode(),
             Array({StrongRef(PostUri("c"))})});
  EXPECT_THAT(Lines({{"embed", Map{{"items", items}}.Encode()}}),
              ElementsAre("embed.items[1] " + PostUri("b"), "embed.items[2].did did:web:a.example",
                          "embed.items[3][0] " + PostUri("c") + " @" + std::string(kCid)));
}

TEST_F(Refs, TheTargetIsTakenApart) {
  const Map record = {{"a", Text(PostUri("x"))},
                      {"b", Text("at://alice.example/space.atbb.post/x")},
                      {"c", Text("at://did:web:b.example")},
                      {"d", Text("did:key:zQ3sh")}};
  const auto& rows = Find(record.Encode());
  ASSERT_THAT(rows, SizeIs(4));
  EXPECT_EQ(rows[0].target_did, kAuthor);
  EXPECT_EQ(rows[0].target_collection, "space.atbb.post");
  EXPECT_EQ(rows[1].target_did, "") << "a handle is no DID";
  EXPECT_EQ(rows[1].target_collection, "space.atbb.post");
  EXPECT_EQ(rows[2].target_did, "did:web:b.example");
  EXPECT_EQ(rows[2].target_collection, "");
  EXPECT_EQ(rows[3].target_did, "did:key:zQ3sh") << "any method: a reference is stored as it came";
  for (const RefRow& row : rows) EXPECT_EQ(row.target_hash, TargetHash(row.target_uri));
}

TEST_F(Refs, TheHashIsTheFirstEightBytesOfSha256BigEndian) {
  // printf did:plc:ewvi7nxzyoun6zhxrhs64oiz | sha256sum
  EXPECT_EQ(TargetHash(""), static_cast<int64_t>(0xe3b0c44298fc1c14));
  EXPECT_EQ(TargetHash("abc"), static_cast<int64_t>(0xba7816bf8f01cfea));
}

TEST_F(Refs, WhatIsNoReferenceStaysOut) {
  const Map blob = {
      {"$type", Text("blob")}, {"ref", test::Link("x")}, {"mimeType", Text("a/b")}, {"size", test::Int(1)}};
  EXPECT_THAT(Lines({{"blob", blob.Encode()},
                     {"link", test::Link("x")},
                     {"bytes", test::ByteString("did:plc:aliceaaaaaaaaaaaaaaaaaaa")},
                     {"web", Text("https://a.example/at://b")},
                     {"half", Text("at://")},
                     {"tail", Text(PostUri("x") + "/")},
                     {"query", Text(PostUri("x") + "?a=b")},
                     {"fragment", Text(PostUri("x") + "#/a")},
                     {"did", Text("did:plc")},
                     {"Did", Text("DID:plc:abc")},
                     {"number", test::Int(7)},
                     {"did:web:key.example", Text("a key is no value")}}),
              IsEmpty());
}

TEST_F(Refs, AUriWithoutATextCidIsAnOrdinaryReference) {
  EXPECT_THAT(Lines({{"a", Map{{"uri", Text(PostUri("x"))}}.Encode()},
                     {"b", Map{{"uri", Text(PostUri("x"))}, {"cid", test::Link("x")}}.Encode()},
                     {"c", Map{{"uri", Text(PostUri("x"))}, {"cid", Text("")}}.Encode()}}),
              ElementsAre("a.uri " + PostUri("x"), "b.uri " + PostUri("x"), "c.uri " + PostUri("x")));
}

TEST_F(Refs, TheCidOfAStrongReferenceStaysAsItCame) {
  EXPECT_THAT(Lines({{"subject", StrongRef("did:web:a.example", "no cid at all")}}),
              ElementsAre("subject did:web:a.example @no cid at all"));
  EXPECT_THAT(Lines({{"subject", StrongRef("https://a.example")}}), IsEmpty());
}

TEST_F(Refs, ARecordThatIsAStrongReferenceItselfHasTheEmptyPath) {
  EXPECT_THAT(Lines({{"$type", Text("a.b.c")}, {"uri", Text("did:web:a.example")}, {"cid", Text("bafy")}}),
              ElementsAre(" did:web:a.example @bafy"));
}

TEST_F(Refs, AnEmptyKeyIsAnEmptySegment) {
  EXPECT_THAT(Lines({{"", Map{{"", Text("did:web:a.example")}, {"a", Text("did:web:b.example")}}.Encode()}}),
              ElementsAre(". did:web:a.example", ".a did:web:b.example"));
}

TEST_F(Refs, TheNumberOfReferencesIsBounded) {
  std::vector<Item> many(kMaxRefs, Text("did:web:a.example"));
  EXPECT_THAT(Find(Map{{"many", Array(many)}}.Encode()), SizeIs(kMaxRefs));
  EXPECT_TRUE(complete_);
  many.push_back(Text("did:web:a.example"));
  EXPECT_THAT(Find(Map{{"many", Array(many)}}.Encode()), SizeIs(kMaxRefs));
  EXPECT_FALSE(complete_);
}

TEST_F(Refs, ALongPathIsCutAtACharactersBorder) {
  for (size_t before : {0u, 1u, 2u, 3u}) {
    std::string key(kMaxRefPathBytes - 5, 'k');
    key += std::string(before, 'k');
    for (int i = 0; i < 10; ++i) key += "€";  // three bytes
    const Item inner = Map{{"uri", Text("did:web:a.example")}}.Encode();
    const auto& rows = Find(Map{{key, inner}, {"z", Text("did:web:b.example")}}.Encode());
    ASSERT_THAT(rows, SizeIs(2));
    EXPECT_EQ(rows[0].path, "z");
    EXPECT_LE(rows[1].path.size(), kMaxRefPathBytes);
    EXPECT_GT(rows[1].path.size(), kMaxRefPathBytes - 3);
    EXPECT_TRUE(cbor::IsValidUtf8(AsBytes(rows[1].path)));
    EXPECT_TRUE(key.starts_with(rows[1].path)) << "nothing after the cut";
  }
}

TEST_F(Refs, AfterACutThePathIsWholeAgain) {
  const std::string key(kMaxRefPathBytes + 1, 'k');
  const Map first = {{"m", Text("did:web:a.example")}, {key, Text("did:web:b.example")}};
  const Map second = {{"n", Text("did:web:c.example")}};
  const Map record = {{"a", first.Encode()}, {"ab", second.Encode()}};
  const auto& rows = Find(record.Encode());
  ASSERT_THAT(rows, SizeIs(3));
  EXPECT_EQ(rows[0].path, "a.m");
  EXPECT_EQ(rows[1].path, "a." + key.substr(0, kMaxRefPathBytes - 2));
  EXPECT_EQ(rows[2].path, "ab.n");
}

TEST_F(Refs, HostileLengthOfPathsTimesReferencesStaysSmall) {
  // One key of 8 KiB above a thousand references.
  const std::vector<Item> many(kMaxRefs, Text("did:a:b"));
  EXPECT_THAT(Find(Map{{std::string(8192, 'k'), Array(many)}}.Encode()), SizeIs(kMaxRefs));
  EXPECT_LT(arena_.bytes(), kMaxRefs * (kMaxRefPathBytes + 16));
}

TEST_F(Refs, DeepNestingIsWalkedAsFarAsARecordMayGo) {
  const auto nested = [](uint32_t depth) {  // `depth` arrays around one reference
    Item item = Text("did:web:a.example");
    for (uint32_t i = 0; i < depth; ++i) item = Array({item});
    return Map{{"a", item}}.Encode();
  };
  EXPECT_THAT(Find(nested(cbor::kMaxRecordDepth - 1)), SizeIs(1));
  EXPECT_THAT(Find(nested(cbor::kMaxRecordDepth)), IsEmpty());
  EXPECT_THAT(Find(nested(10'000)), IsEmpty()) << "whatever the bytes are, the stack is safe";
}

}  // namespace
}  // namespace penstock::indexer
