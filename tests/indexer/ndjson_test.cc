#include "indexer/ndjson.h"

#include <string>
#include <string_view>

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "indexer/row_builder.h"
#include "tests/indexer/row_testing.h"

namespace penstock::indexer {
namespace {

using test::CheckedCommitMaker;
using test::CidOf;
using test::Item;
using test::kDid;
using test::Map;
using test::Text;
using testing::HasSubstr;

class Ndjson : public testing::Test {
 protected:
  std::string Lines() const {
    std::string out = "before\n";
    AppendNdjson(change_, &out);
    EXPECT_TRUE(out.starts_with("before\n"));
    return out.substr(7);
  }
  std::string Lines(CheckedCommitMaker& commit) {
    change_.Clear();
    commit.Build(&builder_, &change_);
    return Lines();
  }
  // How every line of a commit begins.
  static std::string Head() {
    return R"({"seq":1000,"type":"commit","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","rev":"3mchgnqhak22b","commit":")" +
           CidOf("commit").ToString() + R"(","time":"2026-01-15T12:00:00.000Z")";
  }

  Filter everything_ = Filter::Everything();
  RowBuilder builder_{&everything_};
  ChangeSet change_;
};

TEST_F(Ndjson, ALineForEachOp) {
  const Item record = Map{{"$type", Text("a.b.c")}, {"n", test::Int(1)}}.Encode();
  CheckedCommitMaker commit;
  commit.Create("a.b.c/x", record).Delete("a.b.c/y").Update("a.b.c/did:web:z", record);
  const std::string cid = cbor::Cid::OfBlock(AsBytes(record)).ToString();
  const std::string tail = cid + R"(","record":{"n":1,"$type":"a.b.c"},"verification":"cid"})" + "\n";
  const std::string created = R"(,"action":"create","collection":"a.b.c","rkey":"x","cid":")" + tail;
  const std::string updated = R"(,"action":"update","collection":"a.b.c","rkey":"did:web:z","cid":")" + tail;
  const std::string deleted = R"(,"action":"delete","collection":"a.b.c","rkey":"y","verification":"cid"})";
  EXPECT_EQ(Lines(commit), Head() + created + Head() + deleted + "\n" + Head() + updated);
}

TEST_F(Ndjson, RecordsAreExactWhereTheColumnCannotBe) {
  const Map record = {{"$type", Text("a.b.c")},
                      {"", test::Int(INT64_MIN)},
                      {"t", Text(std::string_view("a\0b", 3))},
                      {"b", test::ByteString("")}};
  CheckedCommitMaker commit;
  commit.Create("a.b.c/x", record.Encode());
  EXPECT_THAT(Lines(commit), HasSubstr(R"("record":{"":-9223372036854775808,"b":{"$bytes":""},)"
                                       R"("t":"a\u0000b","$type":"a.b.c"})"));
  EXPECT_TRUE(change_.records[0].value_lossy);
}

TEST_F(Ndjson, WhatIsNotValidDataHasNoLine) {
  CheckedCommitMaker commit;
  commit.Create("a.b.c/x", Map{{"$type", Text("a.b.c")}, {"f", test::Float()}}.Encode())
      .CreateUnverifiable("a.b.c/y");
  EXPECT_EQ(Lines(commit), "") << "and the commit is none without ops either";
  commit.Delete("a.b.c/z");
  EXPECT_EQ(Lines(commit),
            Head() + R"(,"action":"delete","collection":"a.b.c","rkey":"z","verification":"cid"})" + "\n");
}

TEST_F(Ndjson, ACommitWithoutOpsIsOneLineWhenEverythingIsWanted) {
  CheckedCommitMaker commit;
  EXPECT_EQ(Lines(commit), Head() + R"(,"action":null,"verification":"cid"})" + "\n");

  FilterOptions options;
  options.collections = {"a.b.*"};
  const Filter filter = Filter::Make(options).value();
  RowBuilder builder(&filter);
  change_.Clear();
  commit.Build(&builder, &change_);
  EXPECT_EQ(Lines(), "");
  change_.Clear();
  commit.Delete("other.b.c/x").Build(&builder, &change_);
  EXPECT_EQ(Lines(), "") << "nothing of it is wanted";
}

TEST_F(Ndjson, ARelaxationThatLetACommitInIsNamed) {
  CheckedCommitMaker commit;
  commit.Delete("a.b.c/x").Build(&builder_, &change_);
  change_.verification = Verification::kSignature;
  change_.allowed = "legacy-commits";
  const std::string tail = R"(,"verification":"signature","allowed":"legacy-commits"})"
                           "\n";
  EXPECT_EQ(Lines(), Head() + R"(,"action":"delete","collection":"a.b.c","rkey":"x")" + tail);
  change_.records.clear();
  EXPECT_EQ(Lines(), Head() + R"(,"action":null)" + tail);
}

TEST_F(Ndjson, OtherEventsCarryTheirOwnFields) {
  firehose::Frame frame;
  frame.seq = 9007199254740991;
  frame.did = repo::Did::Parse(kDid).value();
  frame.time = test::kTime;
  const std::string tail = R"(,"did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz","time":"2026-01-15T12:00:00.000Z")";

  frame.handle = "alice.test";
  builder_.BuildIdentity(frame, &change_);
  EXPECT_EQ(Lines(), R"({"seq":9007199254740991,"type":"identity")" + tail + ",\"handle\":\"alice.test\"}\n");

  change_.Clear();
  frame.status = "deactivated";
  builder_.BuildAccount(frame, &change_);
  EXPECT_EQ(Lines(), R"({"seq":9007199254740991,"type":"account")" + tail +
                         ",\"active\":false,\"status\":\"deactivated\"}\n");

  change_.Clear();
  frame.rev = test::kRev;
  repo::CommitObject commit;
  const cbor::Cid data = CidOf("data"), root = CidOf("root");
  commit.data = data.view();
  builder_.BuildSync(frame, commit, root.view(), &change_);
  EXPECT_EQ(Lines(), R"({"seq":9007199254740991,"type":"sync","did":"did:plc:ewvi7nxzyoun6zhxrhs64oiz",)"
                     R"("rev":"3mchgnqhak22b","commit":")" +
                         root.ToString() + R"(","time":"2026-01-15T12:00:00.000Z","data":")" +
                         data.ToString() + "\"}\n");
}

TEST_F(Ndjson, WhatDidNotPassHasNoLine) {
  CheckedCommitMaker commit("did:key:abc");
  commit.Delete("a.b.c/x");
  EXPECT_EQ(Lines(commit), "");

  change_.Clear();
  firehose::Frame frame;
  frame.kind = firehose::FrameKind::kCommit;
  frame.did = repo::Did::Parse(kDid).value();
  builder_.BuildRefused(frame, {}, RejectError(Reject::kCarNoRoots), &change_);
  EXPECT_EQ(Lines(), "");

  change_.Clear();
  change_.kind = EventKind::kControl;
  change_.gaps.emplace_back();
  EXPECT_EQ(Lines(), "");
}

}  // namespace
}  // namespace penstock::indexer
