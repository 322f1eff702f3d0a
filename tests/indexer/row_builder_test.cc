#include "indexer/row_builder.h"

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/firehose/allocation_count.h"
#include "tests/indexer/row_testing.h"

namespace penstock::indexer {
namespace {

using repo::Action;
using test::Array;
using test::CheckedCommitMaker;
using test::Item;
using test::kDid;
using test::kPost;
using test::Map;
using test::Post;
using test::Text;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::string_view kPath = "space.atbb.post/3mcjgkfmsr22b";

Filter Collections(std::vector<std::string> collections) {
  FilterOptions options;
  options.collections = std::move(collections);
  return Filter::Make(options).value();
}

class Rows : public testing::Test {
 protected:
  // The only row that `record` makes.
  const RecordRow& RowOf(const Item& record, std::string_view path = kPath) {
    change_.Clear();
    records_.emplace_back().Create(path, record).Build(&builder_, &change_);
    EXPECT_THAT(change_.records, SizeIs(1));
    return change_.records.front();
  }
  // "ok", "warn" or the name of the reject in the only dead letter.
  std::string Judge(const Item& record, std::string_view path = kPath) {
    const RecordRow& row = RowOf(record, path);
    if (row.validation != Validation::kInvalid) {
      EXPECT_THAT(change_.dead_letters, IsEmpty());
      EXPECT_FALSE(row.value.empty());
      return row.validation == Validation::kWarn ? "warn" : "ok";
    }
    EXPECT_THAT(change_.dead_letters, SizeIs(1));
    EXPECT_EQ(row.value, "") << "nothing is derived from what is not valid";
    EXPECT_EQ(row.created_at, "");
    EXPECT_FALSE(row.created_us);
    EXPECT_THAT(row.refs, IsEmpty());
    EXPECT_EQ(row.cid, cbor::Cid::OfBlock(AsBytes(record)).ToString());
    EXPECT_EQ(AsText(row.cbor), record) << "the bytes are the truth, also of what is wrong";
    return std::string(RejectName(change_.dead_letters.front().reject));
  }
  std::string JudgeField(std::string_view key, const Item& value) {
    return Judge(Post().With(std::string(key), value).Encode());
  }

  Filter everything_ = Filter::Everything();
  RowBuilder builder_{&everything_};
  ChangeSet change_;
  std::deque<CheckedCommitMaker> records_;
};

// ---- What a commit becomes

TEST_F(Rows, ACreateBecomesARowWithAllThatIsDerived) {
  const std::string subject = "at://did:web:bob.example/space.atbb.post/1";
  const Item record = Post("hi").With("subject", Text(subject)).Encode();
  CheckedCommitMaker commit;
  commit.Create(kPath, record).Build(&builder_, &change_);

  EXPECT_EQ(change_.kind, EventKind::kCommit);
  EXPECT_EQ(change_.seq, 1000);
  EXPECT_EQ(change_.did, kDid);
  EXPECT_EQ(change_.rev, test::kRev);
  EXPECT_EQ(change_.commit_cid, test::CidOf("commit").ToString());
  EXPECT_EQ(change_.verification, Verification::kCid);
  EXPECT_TRUE(change_.passed);
  EXPECT_THAT(change_.dead_letters, IsEmpty());
  ASSERT_THAT(change_.records, SizeIs(1));
  const RecordRow& row = change_.records[0];
  EXPECT_EQ(row.collection, "space.atbb.post");
  EXPECT_EQ(row.rkey, "3mcjgkfmsr22b");
  EXPECT_EQ(row.op, Action::kCreate);
  EXPECT_EQ(row.op_index, 0);
  EXPECT_EQ(row.cid, cbor::Cid::OfBlock(AsBytes(record)).ToString());
  EXPECT_EQ(AsText(row.cbor), record);
  EXPECT_EQ(row.value, R"({"text":"hi","$type":"space.atbb.post","subject":")" + subject +
                           R"(","createdAt":"2026-01-15T12:00:00.000Z"})");
  EXPECT_FALSE(row.value_lossy);
  EXPECT_EQ(row.validation, Validation::kUnknown) << "no schema was asked";
  EXPECT_EQ(row.created_at, "2026-01-15T12:00:00.000Z");
  EXPECT_EQ(row.created_us, 1768478400000000);
  ASSERT_THAT(row.refs, SizeIs(1));
  EXPECT_EQ(row.refs[0].path, "subject");
  EXPECT_EQ(row.refs[0].target_uri, subject);
}

TEST_F(Rows, ADeleteIsARowWithNothingButItsPlace) {
  CheckedCommitMaker commit;
  commit.Delete(kPath).Build(&builder_, &change_);
  ASSERT_THAT(change_.records, SizeIs(1));
  const RecordRow& row = change_.records[0];
  EXPECT_EQ(row.op, Action::kDelete);
  EXPECT_EQ(row.collection, "space.atbb.post");
  EXPECT_EQ(row.rkey, "3mcjgkfmsr22b");
  EXPECT_EQ(row.cid, "");
  EXPECT_THAT(row.cbor, IsEmpty());
  EXPECT_EQ(row.value, "");
  EXPECT_EQ(row.validation, Validation::kUnknown);
}

TEST_F(Rows, OnlyWantedOpsBecomeRowsInTheOrderOfTheCommit) {
  const Filter filter = Collections({"space.atbb.*", "-space.atbb.reaction"});
  RowBuilder builder(&filter);
  CheckedCommitMaker commit;
  commit.Create("app.bsky.feed.post/a", "not even looked at")
      .Update("space.atbb.post/b", Post().Encode())
      .Create("space.atbb.reaction/c", "nor this")
      .Delete("space.atbb.post/d")
      .Build(&builder, &change_);
  ASSERT_THAT(change_.records, ElementsAre(Field(&RecordRow::rkey, "b"), Field(&RecordRow::rkey, "d")));
  EXPECT_EQ(change_.records[0].op, Action::kUpdate);
  EXPECT_EQ(change_.records[0].op_index, 1);
  EXPECT_EQ(change_.records[1].op_index, 3);
  EXPECT_THAT(change_.dead_letters, IsEmpty());
}

TEST_F(Rows, ACommitThatNobodyWantsLeavesNothing) {
  FilterOptions options;
  options.collections = {"*"};
  options.exclude_dids = {std::string(kDid)};
  const Filter filter = Filter::Make(options).value();
  RowBuilder builder(&filter);
  CheckedCommitMaker commit;
  commit.Create(kPath, Post().Encode()).Build(&builder, &change_);
  EXPECT_THAT(change_.records, IsEmpty());
  EXPECT_THAT(change_.dead_letters, IsEmpty());
  EXPECT_FALSE(change_.passed);
}

TEST_F(Rows, NothingPointsIntoTheFrame) {
  {
    CheckedCommitMaker commit;
    commit.Create(kPath, Post("kept").With("s", Text("did:web:a.example")).Encode())
        .Create("space.atbb.post/bad", "\xff")
        .Build(&builder_, &change_, std::string("a frame that goes away"));
  }
  // Under AddressSanitizer a view of what is gone would be found here.
  ASSERT_THAT(change_.records, SizeIs(2));
  EXPECT_THAT(change_.records[0].value, HasSubstr("kept"));
  EXPECT_EQ(change_.records[0].refs[0].target_did, "did:web:a.example");
  EXPECT_EQ(change_.records[1].rkey, "bad");
  EXPECT_EQ(AsText(change_.dead_letters[0].frame), "a frame that goes away");
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z")");
}

// ---- Records that are odd, and good

TEST_F(Rows, AnEmptyKeyIsIndexedWithAWarning) {
  EXPECT_EQ(JudgeField("", test::Int(1)), "warn");
  EXPECT_EQ(JudgeField("a", Map{{"", Text("x")}}.Encode()), "warn");
  EXPECT_THAT(std::string(change_.records[0].value), HasSubstr(R"({"":"x"})"));
}

TEST_F(Rows, NulIsReplacedInTheValueOnly) {
  const Item record = Post(std::string_view("a\0b", 3)).Encode();
  const RecordRow& row = RowOf(record);
  EXPECT_EQ(row.validation, Validation::kWarn);
  EXPECT_TRUE(row.value_lossy);
  EXPECT_THAT(std::string(row.value), HasSubstr("a\xef\xbf\xbd"
                                                "b"));
  EXPECT_EQ(row.value.find('\0'), std::string_view::npos);
  EXPECT_EQ(AsText(row.cbor), record);
  EXPECT_EQ(JudgeField(std::string_view("k\0", 2), test::Int(1)), "warn") << "in a key as well";
  EXPECT_TRUE(change_.records[0].value_lossy);
}

TEST_F(Rows, AReplacementCharacterOfItsOwnIsNoLoss) {
  EXPECT_EQ(Judge(Post("\xef\xbf\xbd").Encode()), "ok");
  EXPECT_FALSE(change_.records[0].value_lossy);
}

TEST_F(Rows, IntegersOfSixtyFourBitsStayExact) {
  for (int64_t value : {int64_t{9007199254740991}, int64_t{-9007199254740991}, int64_t{9007199254740993},
                        std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    EXPECT_EQ(JudgeField("n", test::Int(value)), "ok");
    EXPECT_THAT(std::string(change_.records[0].value), HasSubstr("\"n\":" + std::to_string(value)));
  }
}

TEST_F(Rows, OtherOddShapesAreGood) {
  EXPECT_EQ(JudgeField("bytes", test::ByteString("")), "ok");
  EXPECT_THAT(std::string(change_.records[0].value), HasSubstr(R"({"$bytes":""})"));
  EXPECT_EQ(JudgeField("null", test::Null()), "ok");
  EXPECT_EQ(JudgeField("key with spaces", Array({})), "ok");
  EXPECT_EQ(JudgeField("é 🇪🇺", Map{}.Encode()), "ok");
  EXPECT_EQ(Judge(Map{{"$type", Text(kPost)}}.Encode()), "ok") << "nothing but its type";
}

TEST_F(Rows, RecordKeysOfEveryKindStayAsTheyAre) {
  for (const std::string& rkey :
       {std::string(512, 'k'), std::string("did:plc:ewvi7nxzyoun6zhxrhs64oiz"), std::string("~"),
        std::string("-"), std::string("A.b-c_d~e:f"), std::string("self")}) {
    EXPECT_EQ(Judge(Post().Encode(), "space.atbb.post/" + rkey), "ok");
    EXPECT_EQ(change_.records[0].rkey, rkey);
  }
}

TEST_F(Rows, TooManyReferencesAreCutWithAWarning) {
  EXPECT_EQ(JudgeField("many", Array(std::vector<Item>(kMaxRefs, Text("did:web:a.example")))), "ok");
  EXPECT_EQ(JudgeField("many", Array(std::vector<Item>(kMaxRefs + 1, Text("did:web:a.example")))), "warn");
  EXPECT_THAT(change_.records[0].refs, SizeIs(kMaxRefs));
}

// ---- The time that a record claims

TEST_F(Rows, CreatedAtIsKeptAsItCameAndParsedWhenItCanBe) {
  EXPECT_EQ(JudgeField("createdAt", Text("1985-04-12T23:20:50.123456789+01:00")), "ok");
  EXPECT_EQ(change_.records[0].created_at, "1985-04-12T23:20:50.123456789+01:00");
  EXPECT_EQ(change_.records[0].created_us, 482192450123456);
  for (const char* unparsable : {"yesterday", "", "2026-01-15T12:00:00", "2026-02-30T12:00:00Z"}) {
    EXPECT_EQ(JudgeField("createdAt", Text(unparsable)), "ok");
    EXPECT_EQ(change_.records[0].created_at, unparsable);
    EXPECT_FALSE(change_.records[0].created_us) << unparsable;
  }
}

TEST_F(Rows, CreatedAtNeverLeavesTheRangeOfADatabase) {
  for (const char* extreme : {"0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999-23:59"}) {
    EXPECT_EQ(JudgeField("createdAt", Text(extreme)), "ok");
    ASSERT_TRUE(change_.records[0].created_us) << extreme;
    EXPECT_LT(std::abs(*change_.records[0].created_us), 300'000'000'000'000'000);
  }
}

TEST_F(Rows, CreatedAtIsATextAtTheTopLevel) {
  for (const Item& other : {test::Int(1768478400), test::Null(), Array({Text("2026-01-15T12:00:00Z")})}) {
    EXPECT_EQ(JudgeField("createdAt", other), "ok");
    EXPECT_EQ(change_.records[0].created_at, "");
    EXPECT_FALSE(change_.records[0].created_us);
  }
  const Map without = Post().Without("createdAt");
  EXPECT_EQ(Judge(without.With("a", Map{{"createdAt", Text("2026-01-15T12:00:00Z")}}.Encode()).Encode()),
            "ok");
  EXPECT_EQ(change_.records[0].created_at, "");
  EXPECT_EQ(Judge(Post().With("aVeryLongKeyBehindIt", Array({})).Encode()), "ok");
  EXPECT_EQ(change_.records[0].created_at, "2026-01-15T12:00:00.000Z");
}

// ---- Records that are not valid data

TEST_F(Rows, WhatIsNotValidDataBecomesAnInvalidRowAndADeadLetter) {
  EXPECT_EQ(JudgeField("n", test::Float()), "record_float");
  EXPECT_EQ(JudgeField("n", Item("\x1b\x80\0\0\0\0\0\0\0", 9)), "record_integer_range");
  EXPECT_EQ(Judge(Post().With("$type", Text("space.atbb.forum")).Encode()), "record_type_mismatch");
  EXPECT_EQ(Judge(Post().With("$type", test::Int(1)).Encode()), "record_bad_type");
  EXPECT_EQ(Judge(Post().Without("$type").Encode()), "record_bad_type");
  EXPECT_EQ(JudgeField("image", Map{{"$type", Text("blob")}}.Encode()), "record_bad_blob");
  EXPECT_EQ(Judge(Array({})), "record_not_a_map");
  EXPECT_EQ(Judge(Post().Encode() + "\x01"), "cbor_trailing_bytes");
  EXPECT_EQ(Judge("\xbf\xff"), "cbor_indefinite");
}

TEST_F(Rows, ARecordAboveTheLimitOfACommitIsTooLarge) {
  const size_t overhead = Post().With("text", Text(std::string(100'000, 'x'))).Encode().size() - 100'000;
  EXPECT_EQ(Judge(Post().With("text", Text(std::string(1'000'000 - overhead, 'x'))).Encode()), "ok");
  EXPECT_EQ(Judge(Post().With("text", Text(std::string(1'000'001 - overhead, 'x'))).Encode()),
            "record_too_large");
}

TEST_F(Rows, ARecordWithACidThatCannotBeHashedIsUnverifiable) {
  CheckedCommitMaker commit;
  commit.CreateUnverifiable(kPath).Build(&builder_, &change_);
  ASSERT_THAT(change_.records, SizeIs(1));
  EXPECT_EQ(change_.records[0].validation, Validation::kInvalid) << "a version indexed before must disappear";
  EXPECT_TRUE(change_.records[0].cid.starts_with("bafkrei"));
  EXPECT_THAT(change_.records[0].cbor, IsEmpty());
  ASSERT_THAT(change_.dead_letters, SizeIs(1));
  EXPECT_EQ(change_.dead_letters[0].reject, Reject::kRecordUnverifiable);
}

// What came with a whole repository is judged and derived as what came live.
TEST_F(Rows, AnImportedRecordBecomesTheSameRow) {
  const std::string record = Post("hello").Encode();
  const RecordRow live = RowOf(record);
  ChangeSet imported;
  const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record));
  const repo::RepoOp op{Action::kCreate, kPath, kPost, "3mcjgkfmsr22b", cid.view(), {}};
  builder_.AddImported(op, 7, AsBytes(record), &imported);
  ASSERT_THAT(imported.records, SizeIs(1));
  const RecordRow& row = imported.records[0];
  EXPECT_EQ(row.cid, live.cid);
  EXPECT_EQ(row.value, live.value);
  EXPECT_TRUE(Equal(row.cbor, live.cbor));
  EXPECT_EQ(row.created_at, live.created_at);
  EXPECT_EQ(row.refs.size(), live.refs.size());
  EXPECT_EQ(row.validation, live.validation);
  EXPECT_EQ(row.op_index, 7);
  EXPECT_THAT(imported.dead_letters, IsEmpty());
  builder_.AddImported({Action::kDelete, kPath, kPost, "gone", {}, {}}, -2, {}, &imported);
  EXPECT_EQ(imported.records[1].op, Action::kDelete);
  EXPECT_THAT(imported.records[1].cbor, IsEmpty());
}

TEST_F(Rows, EachImportedRecordThatIsNoValidDataIsFiledWithItsBytes) {
  ChangeSet imported;
  for (int32_t index : {3, 5}) {
    const std::string record = Post().With("n", test::Int(index)).With("f", test::Float()).Encode();
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record));
    builder_.AddImported({Action::kCreate, kPath, kPost, "bad", cid.view(), {}}, index, AsBytes(record), &imported);
    EXPECT_EQ(imported.records.back().validation, Validation::kInvalid);
    const DeadLetterRow& letter = imported.dead_letters.back();
    EXPECT_EQ(letter.op, index);
    EXPECT_EQ(letter.reject, Reject::kRecordFloat);
    EXPECT_EQ(letter.collection, kPost);
    EXPECT_EQ(AsText(letter.frame), record);
  }
  EXPECT_THAT(imported.dead_letters, SizeIs(2));
}

TEST_F(Rows, AnImportedRecordMayHaveAMebibyte) {
  const size_t overhead = Post().With("text", Text(std::string(100'000, 'x'))).Encode().size() - 100'000;
  for (const size_t size : {size_t{1} << 20, (size_t{1} << 20) + 1}) {
    const std::string record = Post().With("text", Text(std::string(size - overhead, 'x'))).Encode();
    const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(record));
    ChangeSet imported;
    builder_.AddImported({Action::kCreate, kPath, kPost, "a", cid.view(), {}}, 0, AsBytes(record), &imported);
    EXPECT_EQ(imported.dead_letters.size(), size == size_t{1} << 20 ? 0u : 1u);
  }
}

TEST_F(Rows, ABadRecordDoesNotTouchTheOthersOfItsCommit) {
  CheckedCommitMaker commit;
  commit.Create("space.atbb.post/a", Post("a").Encode())
      .Create("space.atbb.post/b", Post().With("n", test::Float()).Encode())
      .Delete("space.atbb.post/c")
      .CreateUnverifiable("space.atbb.post/d")
      .Create("space.atbb.post/e", Post("e").Encode())
      .Build(&builder_, &change_);
  std::vector<std::string> rows;
  for (const RecordRow& row : change_.records) {
    rows.push_back(std::string(row.rkey) + " " + std::string(ValidationName(row.validation)));
  }
  EXPECT_THAT(rows, ElementsAre("a unknown", "b invalid", "c unknown", "d invalid", "e unknown"));
  ASSERT_THAT(change_.dead_letters, SizeIs(2));
  EXPECT_EQ(change_.dead_letters[0].op, 1);
  EXPECT_EQ(change_.dead_letters[0].collection, "space.atbb.post");
  EXPECT_EQ(change_.dead_letters[0].rkey, "b");
  EXPECT_EQ(change_.dead_letters[0].detail, "at byte 3") << "where; the name has a column of its own";
  EXPECT_EQ(change_.dead_letters[1].op, 3);
  EXPECT_TRUE(change_.passed);
}

TEST_F(Rows, TheFrameIsKeptOncePerEventAndBounded) {
  const std::string frame(kMaxDeadLetterFrame + 1, 'f');
  CheckedCommitMaker commit;
  commit.Create("space.atbb.post/a", "\xff")
      .Create("space.atbb.post/b", "\xff")
      .Build(&builder_, &change_, frame);
  ASSERT_THAT(change_.dead_letters, SizeIs(2));
  EXPECT_THAT(change_.dead_letters[0].frame, SizeIs(kMaxDeadLetterFrame));
  EXPECT_THAT(change_.dead_letters[1].frame, IsEmpty());
}

// ---- Accounts that are not indexed

TEST_F(Rows, AnAccountOfAnotherMethodIsRefusedAsAWhole) {
  for (const char* did : {"did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", "did:plc:short",
                          "did:web:a.example%3A8080", "did:web:a.example:path"}) {
    change_.Clear();
    CheckedCommitMaker commit(did);
    commit.Create(kPath, Post().Encode()).Delete("space.atbb.post/x").Build(&builder_, &change_);
    EXPECT_THAT(change_.records, IsEmpty()) << did;
    EXPECT_FALSE(change_.passed);
    ASSERT_THAT(change_.dead_letters, SizeIs(1));
    EXPECT_EQ(change_.dead_letters[0].op, -1);
    EXPECT_EQ(change_.dead_letters[0].reject, Reject::kUnsupportedDidMethod);
    EXPECT_EQ(change_.did, did);
    EXPECT_EQ(AsText(change_.dead_letters[0].frame), "raw frame");
  }
}

TEST_F(Rows, AnAccountOfAnotherMethodThatNobodyAskedForIsNoDeadLetter) {
  const Filter filter = Collections({"app.bsky.*"});
  RowBuilder builder(&filter);
  CheckedCommitMaker commit("did:key:abc");
  commit.Create(kPath, Post().Encode()).Build(&builder, &change_);
  EXPECT_THAT(change_.dead_letters, IsEmpty());
}

// ---- Other events

class Events : public Rows {
 protected:
  firehose::Frame Frame(firehose::FrameKind kind, std::string_view did = kDid) {
    firehose::Frame frame;
    frame.kind = kind;
    frame.seq = 77;
    frame.did = repo::Did::Parse(did).value();
    frame.time = test::kTime;
    return frame;
  }
};

TEST_F(Events, IdentityCarriesItsHandle) {
  firehose::Frame frame = Frame(firehose::FrameKind::kIdentity);
  frame.handle = "alice.test";
  builder_.BuildIdentity(frame, &change_);
  EXPECT_EQ(change_.kind, EventKind::kIdentity);
  EXPECT_EQ(change_.seq, 77);
  EXPECT_EQ(change_.did, kDid);
  EXPECT_TRUE(change_.passed);
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z","handle":"alice.test")");

  change_.Clear();
  frame.handle.reset();
  builder_.BuildIdentity(frame, &change_);
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z","handle":null)");
}

TEST_F(Events, AccountBecomesAnAccountRow) {
  firehose::Frame frame = Frame(firehose::FrameKind::kAccount);
  frame.active = false;
  frame.status = "takendown";
  builder_.BuildAccount(frame, &change_);
  EXPECT_EQ(change_.kind, EventKind::kAccount);
  ASSERT_TRUE(change_.account);
  EXPECT_FALSE(change_.account->active);
  EXPECT_EQ(change_.account->status, "takendown");
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z","active":false,"status":"takendown")");

  change_.Clear();
  frame.active = true;
  frame.status.reset();
  builder_.BuildAccount(frame, &change_);
  ASSERT_TRUE(change_.account);
  EXPECT_TRUE(change_.account->active);
  EXPECT_EQ(change_.account->status, "");
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z","active":true,"status":null)");
}

TEST_F(Events, SyncNamesTheCommitThatItBrought) {
  firehose::Frame frame = Frame(firehose::FrameKind::kSync);
  frame.rev = test::kRev;
  repo::CommitObject commit;
  const cbor::Cid data = test::CidOf("data"), root = test::CidOf("root");
  commit.data = data.view();
  builder_.BuildSync(frame, commit, root.view(), &change_);
  EXPECT_EQ(change_.kind, EventKind::kSync);
  EXPECT_EQ(change_.rev, test::kRev);
  EXPECT_EQ(change_.commit_cid, root.ToString());
  EXPECT_EQ(change_.event_json, R"("time":"2026-01-15T12:00:00.000Z","data":")" + data.ToString() + "\"");
  EXPECT_THAT(change_.records, IsEmpty());
}

TEST_F(Events, TheTextsOfAPeerAreEscaped) {
  firehose::Frame frame = Frame(firehose::FrameKind::kAccount);
  frame.time = "no \"time\"\n";
  frame.status = "\\";
  builder_.BuildAccount(frame, &change_);
  EXPECT_EQ(change_.event_json, R"("time":"no \"time\"\n","active":false,"status":"\\")");
}

TEST_F(Events, AnAccountThatNobodyWantsLeavesNothing) {
  FilterOptions options;
  options.collections = {"*"};
  options.dids = {"did:web:bob.example"};
  const Filter filter = Filter::Make(options).value();
  RowBuilder builder(&filter);
  builder.BuildAccount(Frame(firehose::FrameKind::kAccount), &change_);
  EXPECT_FALSE(change_.account);
  EXPECT_FALSE(change_.passed);
  EXPECT_THAT(change_.dead_letters, IsEmpty());
}

TEST_F(Events, AnAccountOfAnotherMethodNeverGetsARow) {
  builder_.BuildAccount(Frame(firehose::FrameKind::kAccount, "did:key:abc"), &change_);
  EXPECT_FALSE(change_.account);
  EXPECT_FALSE(change_.passed);
  ASSERT_THAT(change_.dead_letters, SizeIs(1));
  EXPECT_EQ(change_.dead_letters[0].reject, Reject::kUnsupportedDidMethod);
}

TEST_F(Events, ARefusedEventIsADeadLetterWithItsFrame) {
  firehose::Frame frame = Frame(firehose::FrameKind::kCommit);
  frame.rev = test::kRev;
  const std::string raw(kMaxDeadLetterFrame + 10, 'r');
  builder_.BuildRefused(frame, AsBytes(raw), RejectError(Reject::kCarTruncated, "offset 12"), &change_);
  EXPECT_FALSE(change_.passed);
  EXPECT_EQ(change_.kind, EventKind::kCommit);
  EXPECT_EQ(change_.seq, 77);
  EXPECT_EQ(change_.did, kDid);
  EXPECT_EQ(change_.rev, test::kRev);
  ASSERT_THAT(change_.dead_letters, SizeIs(1));
  const DeadLetterRow& letter = change_.dead_letters[0];
  EXPECT_EQ(letter.op, -1);
  EXPECT_EQ(letter.reject, Reject::kCarTruncated);
  EXPECT_EQ(letter.detail, "offset 12");
  EXPECT_THAT(letter.frame, SizeIs(kMaxDeadLetterFrame));
}

TEST_F(Events, ARefusalWithoutWordsHasNoDetail) {
  builder_.BuildRefused(Frame(firehose::FrameKind::kSync), {}, RejectError(Reject::kCarNoRoots), &change_);
  EXPECT_EQ(change_.kind, EventKind::kSync);
  EXPECT_EQ(change_.dead_letters.at(0).detail, "");
  EXPECT_THAT(change_.dead_letters[0].frame, IsEmpty());
}

TEST_F(Events, ABrokenMessageKeepsTheKindThatItsTypeClaims) {
  const std::pair<const char*, EventKind> kinds[] = {{"#commit", EventKind::kCommit},
                                                     {"#sync", EventKind::kSync},
                                                     {"#identity", EventKind::kIdentity},
                                                     {"#account", EventKind::kAccount}};
  for (const auto& [type, kind] : kinds) {
    change_.Clear();
    firehose::Frame frame;  // so broken that neither seq nor DID could be read
    frame.kind = firehose::FrameKind::kRejected;
    frame.type = type;
    builder_.BuildRefused(frame, {}, RejectError(Reject::kEventMissingField, "seq"), &change_);
    EXPECT_EQ(change_.kind, kind);
    EXPECT_EQ(change_.did, "");
    EXPECT_EQ(change_.seq, 0);
  }
}

// ---- Memory

TEST_F(Rows, SteadyStateAllocatesNothing) {
  CheckedCommitMaker commit;
  const Item strong_ref =
      Map{{"uri", Text("at://did:web:a.example/a.b.c/d")}, {"cid", Text("bafy")}}.Encode();
  for (int i = 0; i < 5; ++i) {
    commit.Create("space.atbb.post/" + std::to_string(i),
                  Post(std::string(200, 'x')).With("reply", strong_ref).Encode());
  }
  commit.Delete("space.atbb.post/x");
  firehose::Frame account;
  account.kind = firehose::FrameKind::kAccount;
  account.did = commit.frame.did;
  account.time = test::kTime;
  account.status = "takendown";
  const auto round = [&] {
    change_.Clear();
    commit.Build(&builder_, &change_);
    const size_t rows = change_.records.size();
    change_.Clear();
    builder_.BuildAccount(account, &change_);
    return rows;
  };
  round();
  const uint64_t before = test::AllocationCount();
  size_t rows = 0;
  for (int i = 0; i < 100; ++i) rows += round();
  EXPECT_EQ(test::AllocationCount(), before);
  EXPECT_EQ(rows, 600u);
}

TEST_F(Rows, AClearedChangeSetIsAsNew) {
  CheckedCommitMaker commit;
  commit.Create(kPath, "\xff").Build(&builder_, &change_);
  change_.source = "relay.example";
  change_.ticket = 9;
  change_.arrival_us = 9;
  change_.account.emplace();
  change_.gaps.emplace_back();
  change_.quarantine.emplace_back();
  change_.Clear();
  const ChangeSet fresh;
  EXPECT_EQ(change_.source, fresh.source);
  EXPECT_EQ(change_.seq, fresh.seq);
  EXPECT_EQ(change_.ticket, fresh.ticket);
  EXPECT_EQ(change_.arrival_us, fresh.arrival_us);
  EXPECT_EQ(change_.did, "");
  EXPECT_EQ(change_.rev, "");
  EXPECT_EQ(change_.commit_cid, "");
  EXPECT_EQ(change_.event_json, "");
  EXPECT_FALSE(change_.passed);
  EXPECT_FALSE(change_.account);
  EXPECT_THAT(change_.records, IsEmpty());
  EXPECT_THAT(change_.dead_letters, IsEmpty());
  EXPECT_THAT(change_.gaps, IsEmpty());
  EXPECT_THAT(change_.quarantine, IsEmpty());
  EXPECT_EQ(change_.cost(), fresh.cost());
}

}  // namespace
}  // namespace penstock::indexer
