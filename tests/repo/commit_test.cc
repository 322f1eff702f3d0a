#include "repo/commit.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/repo/tree_testing.h"

namespace penstock::repo {
namespace {

using test::CommitBlock;
using test::Outcome;

const cbor::Cid kData = cbor::Cid::OfBlock(AsBytes("data"));

// The fields of a good commit, to be changed one at a time: each value is one encoded item.
std::map<std::string, std::string> GoodFields() {
  const auto item = [](const std::function<void(cbor::Writer&)>& write) {
    std::string out;
    cbor::Writer writer(&out);
    write(writer);
    return out;
  };
  return {
      {"did", item([](auto& w) { w.Text("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"); })},
      {"rev", item([](auto& w) { w.Text("3jzfcijpj2z2a"); })},
      {"sig", item([](auto& w) { w.ByteString(AsBytes("signature")); })},
      {"data", item([](auto& w) { w.Link(kData); })},
      {"prev", item([](auto& w) { w.Null(); })},
      {"version", item([](auto& w) { w.Int(3); })},
  };
}

std::string Encode(const std::map<std::string, std::string>& fields) {
  cbor::MapWriter map;
  for (const auto& [key, item] : fields) map.Key(key).Raw(AsBytes(item));
  std::string out;
  map.Finish(&out);
  return out;
}

std::string Outcome3(const std::string& block) { return Outcome(DecodeCommit(AsBytes(block)).status()); }
std::string Outcome2(const std::string& block) {
  return Outcome(DecodeCommit(AsBytes(block), CommitVersions::kAlsoV2).status());
}

TEST(Commit, GivesItsFields) {
  const std::string block = Encode(GoodFields());
  const auto commit = DecodeCommit(AsBytes(block));
  ASSERT_TRUE(commit.ok());
  EXPECT_EQ(commit->did.text(), "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa");
  EXPECT_EQ(commit->rev, "3jzfcijpj2z2a");
  EXPECT_EQ(commit->data, kData.view());
  EXPECT_TRUE(commit->prev.empty());
  EXPECT_EQ(AsText(commit->sig), "signature");
  EXPECT_EQ(commit->version, 3);
}

TEST(Commit, PrevMayBeALinkAndUnknownFieldsMayBeThere) {
  auto fields = GoodFields();
  fields["prev"] = fields["data"];
  fields["another"] = "\x81\xf6";
  fields["z"] = "\x01";
  const std::string block = Encode(fields);
  const auto commit = DecodeCommit(AsBytes(block));
  ASSERT_TRUE(commit.ok());
  EXPECT_EQ(commit->prev, kData.view());
}

TEST(Commit, EveryFieldIsNeeded) {
  for (const auto& [key, item] : GoodFields()) {
    auto fields = GoodFields();
    fields.erase(key);
    EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_object") << key;
  }
}

TEST(Commit, EveryFieldHasItsType) {
  for (const auto& [key, item] : GoodFields()) {
    for (const std::string& other : {std::string("\xf5"), std::string("\x80"), std::string("\xa0")}) {
      auto fields = GoodFields();
      fields[key] = other;
      EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_object") << key;
    }
    auto fields = GoodFields();
    fields[key] = "\xf6";
    EXPECT_EQ(Outcome3(Encode(fields)), key == "prev" ? "ok" : "commit_bad_object") << key;
  }
}

TEST(Commit, ValuesAreChecked) {
  auto fields = GoodFields();
  fields["did"] =
      "\x63"
      "did";
  EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_object");
  fields = GoodFields();
  fields["rev"] = "\x60";
  EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_object");
  fields = GoodFields();
  fields["data"].clear();
  cbor::Writer(&fields["data"]).Link(cbor::Cid::OfBlock(AsBytes("raw"), cbor::kCodecRaw));
  EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_object");
}

TEST(Commit, Versions) {
  for (const std::string& version :
       {std::string("\x00", 1), std::string("\x01"), std::string("\x02"), std::string("\x04"),
        std::string("\x22"), std::string("\x1b\xff\xff\xff\xff\xff\xff\xff\xff")}) {
    auto fields = GoodFields();
    fields["version"] = version;
    EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_version");
    EXPECT_EQ(Outcome2(Encode(fields)), version == "\x02" ? "ok" : "commit_bad_version");
  }
}

TEST(Commit, Version2MayLackARev) {
  auto fields = GoodFields();
  fields["version"] = "\x02";
  fields.erase("rev");
  EXPECT_EQ(Outcome2(Encode(fields)), "ok");
  EXPECT_EQ(Outcome3(Encode(fields)), "commit_bad_version");
  fields["rev"] =
      "\x63"
      "bad";
  EXPECT_EQ(Outcome2(Encode(fields)), "commit_bad_object");
}

TEST(Commit, MustBeOneStrictMap) {
  const std::string good = Encode(GoodFields());
  EXPECT_EQ(Outcome3(good + '\0'), "cbor_trailing_bytes");
  EXPECT_EQ(Outcome3(""), "cbor_truncated");
  EXPECT_EQ(Outcome3("\x80"), "commit_bad_object");
  for (size_t size = 1; size < good.size(); ++size) {
    EXPECT_EQ(Outcome3(good.substr(0, size)), "cbor_truncated") << "cut at " << size;
  }
  // "sig" before "rev": the order of another encoder.
  std::string swapped = good;
  std::swap(swapped[swapped.find("crev") + 1], swapped[swapped.find("csig") + 1]);
  EXPECT_NE(Outcome3(swapped), "ok");
}

}  // namespace
}  // namespace penstock::repo
