// One behaviour suite for both stores.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "base/status.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

INSTANTIATE_TEST_SUITE_P(Store, StoreTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

// One writer per SQLite file, so only PostgreSQL has shards.
class ShardTest : public StoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, ShardTest, testing::Values("postgresql"),
                         [](const auto& param) { return param.param; });

constexpr std::string_view kPosts = "SELECT rkey, op, deleted, verification, rev FROM record ORDER BY rkey";

std::string Post(std::string_view rkey, std::string_view op, bool deleted, std::string_view verification,
                 int rev) {
  return std::string(rkey) + "|" + std::string(op) + (deleted ? "|1|" : "|0|") + std::string(verification) +
         "|" + Rev(rev);
}

TEST_P(StoreTest, StartsEmptyWithAnEpoch) {
  EXPECT_EQ(store_->dialect(), GetParam());
  EXPECT_EQ(store_->epoch(), 1);
  EXPECT_TRUE(store_->LoadCursors()->empty());
  EXPECT_TRUE(store_->LoadQuarantine()->empty());
  EXPECT_EQ(Value("SELECT count(*) FROM record"), "0");
}

TEST_P(StoreTest, WritesEveryColumnOfARecord) {
  const ApplyResult result =
      Apply(List{make_.Commit(kAlice, 1, {Create("a", R"({"text":"hi"})", {"at://x/y/z"})})});
  EXPECT_EQ(result.rows_written, 1u);
  EXPECT_EQ(result.rows_stale, 0u);
  EXPECT_THAT(
      Rows("SELECT did, collection, rkey, cid, rev, commit_cid, seq, source, op, deleted, verification, "
           "validation, "
           "value_lossy, cbor, created_at, created_us, indexed_at FROM record"),
      ElementsAre(
          std::string(kAlice) + "|space.atbb.post|a|bafya1|" + Rev(1) +
          "|bafycommit1|100|relay.example|create|0|full|ok|0|63626f72206f66207b2274657874223a226869227d|"
          "2025-01-01T00:00:00Z|1735689600000000|1700000000000000"));
  EXPECT_THAT(Rows("SELECT did, collection, rkey, ordinal, path, target_uri, target_cid, target_did, "
                   "target_collection, "
                   "target_hash FROM record_ref"),
              ElementsAre(std::string(kAlice) + "|space.atbb.post|a|0|reply.parent|at://x/y/z|bafytarget|" +
                          std::string(kBob) + "|space.atbb.post|-10"));
  EXPECT_THAT(Rows("SELECT did, rev, data, commit_cid, sync_state, active, status, baseline_rev, updated_at "
                   "FROM repo"),
              ElementsAre(std::string(kAlice) + "|-|-|-|-|1|-|-|1700000000000000"));
}

// ---- The guard

TEST_P(StoreTest, AGreaterRevReplacesALesserNeverTheOtherWayRound) {
  Apply(List{make_.Commit(kAlice, 5, {Create("a", "{}")})});
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 4, {Update("a", "{}")})}).rows_stale, 1u);
  EXPECT_THAT(Rows(kPosts), ElementsAre(Post("a", "create", false, "full", 5)));
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 6, {Update("a", "{}")})}).rows_written, 1u);
  EXPECT_THAT(Rows(kPosts), ElementsAre(Post("a", "update", false, "full", 6)));
}

TEST_P(StoreTest, TheGuardComparesClassThenRevThenProof) {
  const Verification kAll[] = {Verification::kCid, Verification::kSignature, Verification::kCommit,
                               Verification::kFull, Verification::kExport};
  int key = 0;
  for (const Verification stored : kAll) {
    for (const Verification coming : kAll) {
      for (const int coming_rev : {4, 5, 6}) {
        const std::string rkey = "k" + std::to_string(++key);
        Apply(List{make_.Commit(kAlice, 5, {Create(rkey, "{}")}, stored)});
        const ApplyResult result =
            Apply(List{make_.Commit(kAlice, coming_rev, {Update(rkey, "{}")}, coming)});
        const bool proves = indexer::IsProven(coming) && !indexer::IsProven(stored);
        const bool wins = IsStrong(coming) != IsStrong(stored)
                              ? IsStrong(coming)
                              : coming_rev > 5 || (coming_rev == 5 && proves);
        EXPECT_EQ(result.rows_written, wins ? 1u : 0u)
            << VerificationName(stored) << " 5, then " << VerificationName(coming) << " " << coming_rev;
        EXPECT_EQ(Value("SELECT op FROM record WHERE rkey = '" + rkey + "'"), wins ? "update" : "create");
      }
    }
  }
}

TEST_P(StoreTest, ADeleteLeavesATombstoneThatALateUpsertCannotRevive) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", R"({"x":1})", {"at://x/y/z"})})});
  Apply(List{make_.Commit(kAlice, 3, {Delete("a")})});
  EXPECT_THAT(Rows("SELECT op, deleted, cid, cbor, value, created_at, rev FROM record"),
              ElementsAre("delete|1|-|-|-|-|" + Rev(3)));
  EXPECT_EQ(Value("SELECT count(*) FROM record_ref"), "0");
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 2, {Update("a", "{}")})}).rows_stale, 1u);
  EXPECT_EQ(Value("SELECT deleted FROM record"), "1");
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 4, {Create("a", "{}")})}).rows_written, 1u);
  EXPECT_EQ(Value("SELECT deleted FROM record"), "0");
}

TEST_P(StoreTest, ADeleteOfAnUnknownKeyLeavesATombstoneToo) {
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 3, {Delete("a")})}).rows_written, 1u);
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 2, {Create("a", "{}")})}).rows_stale, 1u);
  EXPECT_EQ(Value("SELECT deleted FROM record"), "1");
}

TEST_P(StoreTest, TheSameBatchAgainChangesNothing) {
  const auto changes =
      List{make_.Commit(kAlice, 1, {Create("a", "{}", {"at://1"}), Create("b", "{}")}),
           make_.Account(kAlice, false, "deactivated"), make_.DeadLetter(kBob, 2, Reject::kRecordFloat, "x"),
           make_.Commit(kBob, 9, {Delete("c")})};
  Apply(changes, {{std::string(kRelay), 103}});
  const auto before = Contents(*store_);
  const std::string indexed = Value("SELECT max(indexed_at) FROM record");
  clock_.Advance(1'000'000);
  const ApplyResult again = Apply(changes, {{std::string(kRelay), 103}});
  EXPECT_EQ(again.rows_written, 0u);
  EXPECT_EQ(again.rows_stale, 3u);
  EXPECT_EQ(Contents(*store_), before);
  EXPECT_EQ(Value("SELECT max(indexed_at) FROM record"), indexed);
  EXPECT_EQ(Value("SELECT max(updated_at) FROM repo"), indexed);
}

TEST_P(StoreTest, ABatchActsAsItsChangesOneByOne) {
  const auto changes = List{make_.Account(kAlice, true),
                            make_.Commit(kAlice, 2, {Create("a", "{}", {"at://old"}), Create("b", "{}")}),
                            make_.Commit(kAlice, 1, {Create("a", "{}")}),
                            make_.Commit(kAlice, 3, {Update("a", "{}", {"at://new", "at://new2"})}),
                            make_.Commit(kAlice, 4, {Delete("b")}, Verification::kCid),
                            make_.Account(kAlice, false, "takendown"),
                            make_.Commit(kBob, 1, {Create("a", "{}")}, Verification::kCid),
                            make_.Account(kBob, true),
                            make_.Commit(kBob, 1, {Update("a", "{}")}, Verification::kCommit),
                            make_.Account(kCarol, false, "deleted"),
                            make_.Account(kCarol, true),
                            make_.DeadLetter(kCarol, 0, Reject::kRecordFloat, "first")};
  const ApplyResult result = Apply(changes);
  EXPECT_EQ(result.rows_written, 3u);
  EXPECT_EQ(result.rows_merged, 4u);
  const auto together = Contents(*store_);

  url_ = NewDatabase();
  const std::unique_ptr<Store> second = OpenStore();
  for (const ChangeSetPtr& change : changes) {
    ApplyResult ignored;
    ASSERT_TRUE(second->Apply({std::span(&change, 1), {}}, &ignored).ok());
  }
  EXPECT_EQ(Contents(*second), together);
  EXPECT_THAT(Rows(kPosts),
              ElementsAre(Post("a", "update", false, "full", 3), Post("a", "update", false, "commit", 1),
                          Post("b", "create", false, "full", 2)));
}

TEST_P(StoreTest, ReferencesFollowTheRowThatWon) {
  constexpr std::string_view kRefs =
      "SELECT rkey, ordinal, target_uri FROM record_ref ORDER BY rkey, ordinal";
  Apply(List{make_.Commit(
      kAlice, 5, {Create("a", "{}", {"at://1", "at://2", "at://3"}), Create("b", "{}", {"at://b"})})});
  // One loses, one wins, in the same batch.
  Apply(List{make_.Commit(kAlice, 4, {Update("a", "{}", {"at://late"})}),
             make_.Commit(kAlice, 6, {Update("b", "{}", {"at://b2"})})});
  EXPECT_THAT(Rows(kRefs), ElementsAre("a|0|at://1", "a|1|at://2", "a|2|at://3", "b|0|at://b2"));
  Apply(List{make_.Commit(kAlice, 7, {Update("a", "{}", {"at://4"}), Update("b", "{}")})});
  EXPECT_THAT(Rows(kRefs), ElementsAre("a|0|at://4"));
}

// ---- Accounts

TEST_P(StoreTest, AnAccountEventHidesAndShowsItsRows) {
  constexpr std::string_view kVisible = "SELECT did, rkey FROM visible_record ORDER BY did, rkey";
  auto invalid = make_.Commit(kBob, 1, {Create("x", "")});
  invalid->records[0].validation = Validation::kInvalid;
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}"), Create("b", "{}")}),
             make_.Commit(kAlice, 2, {Delete("b")}), make_.Commit(kBob, 1, {Create("a", "{}")}),
             std::move(invalid)});
  const std::string alice = std::string(kAlice) + "|a", bob = std::string(kBob) + "|a";
  EXPECT_THAT(Rows(kVisible), ElementsAre(alice, bob));
  Apply(List{make_.Account(kAlice, false, "deactivated")});
  EXPECT_THAT(Rows(kVisible), ElementsAre(bob));
  EXPECT_THAT(Rows("SELECT active, status FROM repo WHERE did = '" + std::string(kAlice) + "'"),
              ElementsAre("0|deactivated"));
  Apply(List{make_.Account(kAlice, true)});
  EXPECT_THAT(Rows(kVisible), ElementsAre(alice, bob));
}

TEST_P(StoreTest, AnOldAccountEventOfTheSameSourceIsIgnored) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})});
  make_.seq = 200;
  const auto hide = List{make_.Account(kAlice, false, "takendown")};
  const auto show = List{make_.Account(kAlice, true)};
  Apply(hide);
  Apply(show);
  Apply(hide);
  EXPECT_EQ(Value("SELECT active FROM repo"), "1");
  EXPECT_THAT(Rows("SELECT source, account_seq FROM repo_source"), ElementsAre("relay.example|201"));
  // Another source counts for itself.
  make_.source = kPds;
  make_.seq = 7;
  Apply(List{make_.Account(kAlice, false, "deactivated")});
  EXPECT_EQ(Value("SELECT active FROM repo"), "0");
  EXPECT_THAT(Rows("SELECT source, account_seq FROM repo_source ORDER BY source"),
              ElementsAre("pds.example|7", "relay.example|201"));
}

TEST_P(StoreTest, ThatAnUnknownAccountIsActiveWritesNothing) {
  Apply(List{make_.Account(kCarol, true)});
  EXPECT_EQ(Value("SELECT count(*) FROM repo"), "0");
  EXPECT_EQ(Value("SELECT count(*) FROM repo_source"), "0");
  Apply(List{make_.Account(kCarol, false, "suspended")});
  EXPECT_THAT(Rows("SELECT did, active, status FROM repo"), ElementsAre("did:web:carol.example|0|suspended"));
  // Rows of an account that is hidden stay hidden.
  Apply(List{make_.Commit(kCarol, 1, {Create("a", "{}")})});
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "0");
  Apply(List{make_.Account(kCarol, true)});
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "1");
}

// ---- Notes: dead letters, gaps, quarantine

TEST_P(StoreTest, ADeadLetterAgainOnlyGetsANewTime) {
  const auto letters = List{make_.DeadLetter(kAlice, 3, Reject::kRecordFloat, "at 12")};
  Apply(letters);
  clock_.Advance(5);
  Apply(letters);
  EXPECT_THAT(Rows("SELECT source, seq, op, did, collection, rkey, reject, detail, frame, state_met, "
                   "attempts, first_at, last_at "
                   "FROM dead_letter"),
              ElementsAre("relay.example|100|3|" + std::string(kAlice) +
                          "|space.atbb.post|bad|record_float|at "
                          "12|746865206672616d65|-|1|1700000000000000|1700000000000005"));
}

TEST_P(StoreTest, TheSameDeadLetterTwiceInABatchIsOne) {
  auto first = make_.DeadLetter(kAlice, 3, Reject::kRecordFloat, "a");
  make_.seq = first->seq;
  auto second = make_.DeadLetter(kAlice, 3, Reject::kRecordFloat, "a");
  Apply(List{std::move(first), std::move(second)});
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter"), "1");
}

TEST_P(StoreTest, AGapIsOpenedOnceAndMayWiden) {
  const auto gap = [&](std::optional<int64_t> from, std::optional<int64_t> to, std::string_view reason) {
    ChangeSetPtr change = make_.Control();
    change->gaps.push_back({from, to, reason, "detail"});
    return List{std::move(change)};
  };
  Apply(gap(10, 20, "outdated_cursor"));
  const std::string opened = Value("SELECT opened_at FROM gap");
  clock_.Advance(1'000);
  Apply(gap(10, 20, "outdated_cursor"));
  Apply(gap(10, 15, "outdated_cursor"));
  EXPECT_THAT(Rows("SELECT source, shard, opened_seq, reason, from_seq, to_seq, detail, opened_at, closed_at "
                   "FROM gap"),
              ElementsAre("relay.example|0/1|10|outdated_cursor|10|20|detail|" + opened + "|-"));
  RunSql(url_, "UPDATE gap SET closed_at = 1");
  Apply(gap(10, 20, "outdated_cursor"));
  EXPECT_EQ(Value("SELECT closed_at FROM gap"), "1");
  Apply(gap(10, 30, "outdated_cursor"));
  EXPECT_THAT(Rows("SELECT to_seq, closed_at FROM gap"), ElementsAre("30|-"));
  Apply(gap({}, 50, "unknown_start"));
  Apply(gap({}, {}, "operator"));
  EXPECT_THAT(Rows("SELECT opened_seq, from_seq, to_seq FROM gap ORDER BY opened_seq"),
              ElementsAre("0|-|-", "10|10|30", "50|-|50"));
}

TEST_P(StoreTest, QuarantineIsKeyedByPositionAndBytes) {
  const auto poison = [&](std::string_view sha) {
    ChangeSetPtr change = make_.Control();
    change->quarantine.push_back({44, Reject::kFrameBadHeader, "offset 0", AsBytes("\x01\x02\x03"), sha});
    return List{std::move(change)};
  };
  Apply(poison("aa"));
  Apply(poison("aa"));
  Apply(poison("bb"));
  EXPECT_THAT(Rows("SELECT source, position, frame_sha256, reject, detail, frame FROM quarantine ORDER BY "
                   "frame_sha256"),
              ElementsAre("relay.example|44|aa|frame_bad_header|offset 0|010203",
                          "relay.example|44|bb|frame_bad_header|offset 0|010203"));
  const auto loaded = store_->LoadQuarantine();
  ASSERT_EQ(loaded->size(), 2u);
  EXPECT_EQ((*loaded)[0].source, kRelay);
  EXPECT_EQ((*loaded)[0].position, 44);
  EXPECT_EQ((*loaded)[1].frame_sha256, "bb");
}

// ---- Cursors

TEST_P(StoreTest, ACursorNeverGoesBackButByAnOperatorsHand) {
  Apply({}, {{std::string(kRelay), 50}, {std::string(kPds), 7}});
  Apply({}, {{std::string(kRelay), 40}});
  const auto cursors = *store_->LoadCursors();
  ASSERT_EQ(cursors.size(), 2u);
  EXPECT_EQ(cursors[0].source, kPds);
  EXPECT_EQ(cursors[0].position, 7);
  EXPECT_EQ(cursors[1].position, 50);
  EXPECT_EQ(Value("SELECT DISTINCT epoch FROM stream_cursor"), "1");
  ASSERT_TRUE(store_->SetCursor(kRelay, 30).ok());
  EXPECT_EQ((*store_->LoadCursors())[1].position, 30);
  ASSERT_TRUE(store_->SetCursor(kPds, std::nullopt).ok());
  EXPECT_EQ(store_->LoadCursors()->size(), 1u);
}

TEST_P(StoreTest, ASourceWithoutCursorStartsItsNumbersAnew) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}), make_.Account(kAlice, false, "takendown")});
  ASSERT_TRUE(store_->SetCursor(kRelay, std::nullopt).ok());
  make_.seq = 1;
  Apply(List{make_.Account(kAlice, true)});
  EXPECT_EQ(Value("SELECT active FROM repo"), "1");
}

TEST_P(ShardTest, ShardsHaveLeasesCursorsAndGapsOfTheirOwn) {
  StoreOptions options = Options("second");
  options.shard = "1/2";
  const std::unique_ptr<Store> other = NewStore(options);
  ASSERT_TRUE(other->Open().ok());
  EXPECT_EQ(other->epoch(), 1);
  auto control = make_.Control();
  control->gaps.push_back({1, 2, "outdated_cursor", ""});
  const List changes{std::move(control)};
  Apply(changes, {{std::string(kRelay), 8}});
  ApplyTo(*other, changes, {{std::string(kRelay), 9}});
  EXPECT_EQ((*store_->LoadCursors())[0].position, 8);
  EXPECT_EQ((*other->LoadCursors())[0].position, 9);
  EXPECT_THAT(Rows("SELECT shard FROM gap ORDER BY shard"), ElementsAre("0/1", "1/2"));
}

// ---- The lease

TEST_P(StoreTest, ASecondInstanceIsToldWhoHoldsTheLease) {
  const std::unique_ptr<Store> second = NewStore(Options("second"));
  const absl::Status refused = second->Open();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("first, since 2023-11-14T22:13:20Z"));
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})});
}

TEST_P(StoreTest, ASuccessorStartsAtOnceWithTheNextEpoch) {
  store_->Close();
  store_->Close();
  const std::unique_ptr<Store> second = OpenStore("second");
  EXPECT_EQ(second->epoch(), 2);
  ApplyTo(*second, List{make_.Commit(kAlice, 1, {Create("a", "{}")})}, {{std::string(kRelay), 5}});
  EXPECT_THAT(RowsOf(*second, "SELECT shard, epoch, owner FROM lease"), ElementsAre("0/1|2|second"));
  EXPECT_THAT(RowsOf(*second, "SELECT epoch FROM stream_cursor"), ElementsAre("2"));
}

TEST_P(StoreTest, OpenWaitsForTheLease) {
  StoreOptions options = Options("second");
  options.lease_wait_us = 20'000'000;
  const std::unique_ptr<Store> second = NewStore(options);
  std::thread closer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    store_->Close();
  });
  const absl::Status opened = second->Open();
  closer.join();
  EXPECT_TRUE(opened.ok()) << opened;
  EXPECT_EQ(second->epoch(), 2);
}

TEST_P(StoreTest, AnotherEpochFencesEveryWrite) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})}, {{std::string(kRelay), 100}});
  RunSql(url_, "UPDATE lease SET epoch = epoch + 1, owner = 'second'");
  const auto before = Contents(*store_);
  const auto changes = List{make_.Commit(kAlice, 2, {Update("a", "{}")})};
  ApplyResult result;
  EXPECT_EQ(store_->Apply({changes, {{std::string(kRelay), 101}}}, &result).code(),
            absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->SetCursor(kRelay, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(Contents(*store_), before);
}

TEST_P(StoreTest, IsOfNoUseBeforeOpenAndAfterClose) {
  store_->Close();
  ApplyResult result;
  EXPECT_EQ(store_->Apply({}, &result).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(store_->SetCursor(kRelay, 1).code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(store_->Query("SELECT 1").ok());
  ASSERT_TRUE(store_->Open().ok());
  EXPECT_EQ(store_->epoch(), 2);
}

// ---- Rows that the database refuses

void RefuseRows(const std::string& url, bool postgres) {
  if (postgres) {
    RunSql(url, "ALTER TABLE record ADD CONSTRAINT no_spam CHECK (rkey NOT LIKE 'spam%')");
  } else {
    RunSql(url,
           "CREATE TRIGGER no_spam BEFORE INSERT ON record WHEN NEW.rkey LIKE 'spam%' "
           "BEGIN SELECT RAISE(ABORT, 'no_spam'); END");
  }
}

TEST_P(StoreTest, ARefusedRowBecomesADeadLetterAndAllAroundItIsWritten) {
  RefuseRows(url_, postgres());
  std::vector<ChangeSetPtr> changes;
  for (int i = 0; i < 20; ++i)
    changes.push_back(make_.Commit(kAlice, i + 1, {Create("r" + std::to_string(i), "{}", {"at://x"})}));
  changes.push_back(
      make_.Commit(kBob, 1, {Create("good1", "{}"), Create("spam", R"({"buy":1})"), Create("good2", "{}")}));
  changes.push_back(make_.Commit(kCarol, 1, {Create("spam", "{}")}));
  changes.push_back(make_.Account(kAlice, false, "deactivated"));
  changes.push_back(make_.DeadLetter(kBob, 0, Reject::kRecordFloat, "other"));
  const ApplyResult result = Apply(changes, {{std::string(kRelay), 123}});
  EXPECT_EQ(result.rows_written, 22u);
  EXPECT_EQ(result.rows_refused, 2u);
  EXPECT_EQ(counters_.Of(Reject::kStoreRefused), 2u);
  EXPECT_EQ(Value("SELECT count(*) FROM record"), "22");
  EXPECT_EQ(Value("SELECT count(*) FROM record_ref"), "20");
  EXPECT_THAT(Rows("SELECT did, active FROM repo ORDER BY did"),
              ElementsAre(std::string(kAlice) + "|0", std::string(kBob) + "|1"));
  EXPECT_EQ((*store_->LoadCursors())[0].position, 123);
  EXPECT_THAT(
      Rows("SELECT seq, op, did, collection, rkey, reject, frame FROM dead_letter ORDER BY seq"),
      ElementsAre("120|1|" + std::string(kBob) +
                      "|space.atbb.post|spam|store_refused|63626f72206f66207b22627579223a317d",
                  "121|0|did:web:carol.example|space.atbb.post|spam|store_refused|63626f72206f66207b7d",
                  "123|0|" + std::string(kBob) + "|space.atbb.post|bad|record_float|746865206672616d65"));
  const std::string detail = Value("SELECT detail FROM dead_letter WHERE seq = 120");
  EXPECT_THAT(detail, HasSubstr("no_spam"));
  EXPECT_THAT(detail, HasSubstr(postgres() ? "23514" : "1811"));
  EXPECT_THAT(detail, HasSubstr("rev " + Rev(1) + ", cid bafyspam1"));

  const auto before = Contents(*store_);
  const ApplyResult again = Apply(changes);
  EXPECT_EQ(again.rows_written, 0u);
  EXPECT_EQ(Contents(*store_), before);
}

TEST_P(StoreTest, WhenTheWinnerOfAMergeIsRefusedTheOtherRowStands) {
  if (!postgres()) {
    RunSql(url_,
           "CREATE TRIGGER no_two BEFORE INSERT ON record WHEN NEW.cid = 'bafya2' BEGIN SELECT RAISE(ABORT, "
           "'no'); END");
  } else {
    RunSql(url_, "ALTER TABLE record ADD CHECK (cid <> 'bafya2')");
  }
  const ApplyResult result =
      Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}), make_.Commit(kAlice, 2, {Update("a", "{}")})});
  EXPECT_EQ(result.rows_refused, 1u);
  EXPECT_THAT(Rows(kPosts), ElementsAre(Post("a", "create", false, "full", 1)));
}

TEST_P(StoreTest, ARefusalReplacesTheCauseOfAnEarlierLetterOfTheSameOp) {
  RefuseRows(url_, postgres());
  auto change = make_.Commit(kAlice, 1, {Create("spam", "{}")});
  indexer::DeadLetterRow letter;
  letter.op = 0;
  letter.reject = Reject::kRecordFloat;
  change->dead_letters.push_back(letter);
  Apply(List{std::move(change)});
  // The refusal is written first here, and the invalid record's own letter finds it there.
  EXPECT_EQ(Value("SELECT reject FROM dead_letter"), "store_refused");
}

TEST_P(StoreTest, AnAccountStatusThatIsRefusedBecomesADeadLetter) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})});
  RunSql(url_, postgres() ? "ALTER TABLE repo ADD CHECK (status <> 'odd')"
                          : "CREATE TRIGGER odd BEFORE INSERT ON repo WHEN NEW.status = 'odd' BEGIN SELECT "
                            "RAISE(ABORT, 'no'); END");
  const ApplyResult result =
      Apply(List{make_.Account(kAlice, false, "odd"), make_.Commit(kAlice, 2, {Create("b", "{}")})});
  EXPECT_EQ(result.rows_refused, 1u);
  EXPECT_EQ(result.rows_written, 1u);
  EXPECT_THAT(Rows("SELECT seq, op, did, reject FROM dead_letter"),
              ElementsAre("101|-1|" + std::string(kAlice) + "|store_refused"));
  EXPECT_EQ(Value("SELECT active FROM repo"), "1");
}

TEST_P(StoreTest, ADatabaseThatTakesNoDeadLettersStopsUs) {
  RefuseRows(url_, postgres());
  RunSql(url_, postgres()
                   ? "ALTER TABLE dead_letter ADD CHECK (op < 0)"
                   : "CREATE TRIGGER none BEFORE INSERT ON dead_letter BEGIN SELECT RAISE(ABORT, 'no'); END");
  const auto before = Contents(*store_);
  const auto changes = List{make_.Commit(kAlice, 1, {Create("spam", "{}"), Create("good", "{}")})};
  ApplyResult result;
  EXPECT_EQ(store_->Apply({changes, {{std::string(kRelay), 1}}}, &result).code(),
            absl::StatusCode::kInternal);
  EXPECT_EQ(Contents(*store_), before);
}

// ---- Values

TEST_P(StoreTest, TextBytesAndNumbersComeBackAsTheyWere) {
  const std::string cbor("\x00\x01\xff\xa1\x00", 5);
  auto change = make_.Commit(kAlice, 1,
                             {Create("a",
                                     "{\"nul\":\"a\xEF\xBF\xBD"
                                     "b\",\"n\":[9223372036854775807,-9223372036854775808],"
                                     "\"s\":\"'\\\"\\\\ \xF0\x9F\xA6\x8B \xE2\x80\xAE\"}")});
  change->records[0].cbor = AsBytes(cbor);
  change->records[0].value_lossy = true;
  change->records[0].created_at = std::string_view("2025\0x", 6);
  change->records[0].created_us = std::nullopt;
  change->seq = INT64_MAX;
  Apply(List{std::move(change)});
  EXPECT_EQ(Value("SELECT cbor FROM record"), "0001ffa100");
  EXPECT_EQ(Value("SELECT value_lossy, created_at, created_us, seq FROM record"),
            "1|2025\xEF\xBF\xBDx|-|9223372036854775807");
  if (postgres()) {
    EXPECT_EQ(Value("SELECT value->>'nul', value->'n', value->>'s' FROM record"),
              "a\xEF\xBF\xBD"
              "b|[9223372036854775807, -9223372036854775808]|'\"\\ \xF0\x9F\xA6\x8B \xE2\x80\xAE");
  } else {
    EXPECT_EQ(Value("SELECT value->>'nul', value->'n', value->>'s' FROM record"),
              "a\xEF\xBF\xBD"
              "b|[9223372036854775807,-9223372036854775808]|'\"\\ \xF0\x9F\xA6\x8B \xE2\x80\xAE");
  }
}

TEST_P(StoreTest, WordsThatQuoteAPeerAreCleanedForBothDatabases) {
  auto change =
      make_.DeadLetter(kAlice, 0, Reject::kCborBadUtf8, std::string_view("cut \xF0\x9F\x00 \xFF end", 13));
  Apply(List{std::move(change)});
  EXPECT_EQ(Value("SELECT detail FROM dead_letter"),
            "cut \xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD \xEF\xBF\xBD end");
}

TEST_P(StoreTest, KeysAreComparedByteByByte) {
  Apply(List{make_.Commit(
      kAlice, 1,
      {Create("b", "{}"), Create("B", "{}"), Create("a", "{}"), Create("_", "{}"), Create("~", "{}")})});
  EXPECT_THAT(Rows("SELECT rkey FROM record ORDER BY rkey"), ElementsAre("B", "_", "a", "b", "~"));
}

TEST_P(StoreTest, TakesMoreRowsThanOneStatementHolds) {
  std::vector<TestRow> rows;
  for (int i = 0; i < 2500; ++i) rows.push_back(Create("r" + std::to_string(i), "{}", {"at://1", "at://2"}));
  std::vector<ChangeSetPtr> changes = List{make_.Commit(kAlice, 1, rows)};
  for (int i = 0; i < 1200; ++i)
    changes.push_back(make_.Account("did:plc:x" + std::to_string(i), false, "deleted"));
  for (int i = 0; i < 1200; ++i) changes.push_back(make_.DeadLetter(kBob, 0, Reject::kRecordFloat, "x"));
  for (int i = 0; i < 1200; ++i)
    changes.push_back(
        make_.Commit("did:plc:y" + std::to_string(i), 1, {Create("a", std::string(3000, ' ') + "{}")}));
  EXPECT_EQ(Apply(changes).rows_written, 3700u);
  EXPECT_EQ(Value("SELECT count(*) FROM record_ref"), "5000");
  EXPECT_EQ(Value("SELECT count(*) FROM repo"), "2401");
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter"), "1200");
  // Half of it again, newer.
  rows.erase(rows.begin() + 1250, rows.end());
  EXPECT_EQ(Apply(List{make_.Commit(kAlice, 2, rows)}).rows_written, 1250u);
  EXPECT_EQ(Value("SELECT count(*) FROM record_ref"), "5000");
}

TEST_P(StoreTest, AHugeRowIsWritten) {
  const std::string json = "{\"text\":\"" + std::string(3 << 20, 'x') + "\"}";
  Apply(List{make_.Commit(kAlice, 1, {Create("a", json), Create("b", "{}")}),
             make_.Commit(kBob, 1, {Create("c", json)})});
  EXPECT_EQ(Value("SELECT max(length(cbor)) FROM record"), std::to_string(json.size() + 8));
}

TEST_P(StoreTest, QueryOnlyReads) {
  EXPECT_FALSE(store_->Query("DELETE FROM lease").ok());
  EXPECT_FALSE(store_->Query("SELECT 1; SELECT 2").ok());
  EXPECT_FALSE(store_->Query("no sql").ok());
  EXPECT_EQ(Value("SELECT count(*) FROM lease"), "1");
  const auto table = store_->Query("SELECT 1 AS one, NULL AS no_value, 'x' AS text");
  EXPECT_THAT(table->columns, ElementsAre("one", "no_value", "text"));
  EXPECT_EQ(table->rows[0][1], std::nullopt);
}

// ---- The schema

TEST_P(StoreTest, ASchemaNewerThanTheProgramIsRefused) {
  store_->Close();
  RunSql(url_,
         "INSERT INTO schema_migration (version, name, applied_at) VALUES (9999, 'from the future', 1)");
  const absl::Status refused = store_->Open();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("9999"));
  // And the lease is free again.
  RunSql(url_, "DELETE FROM schema_migration WHERE version = 9999");
  EXPECT_TRUE(store_->Open().ok());
}

TEST_P(StoreTest, MigrationsRunOnceAndAreRemembered) {
  store_->Close();
  clock_.Advance(1'000'000);
  ASSERT_TRUE(store_->Open().ok());
  EXPECT_THAT(Rows("SELECT version, name, applied_at FROM schema_migration ORDER BY version"),
              ElementsAre("1|base tables|1700000000000000", "2|verification|1700000000000000",
                          "3|backfill|1700000000000000"));
}

TEST_P(StoreTest, AMigrationThatFailsLeavesNothingBehind) {
  store_->Close();
  url_ = NewDatabase();
  if (url_.starts_with("sqlite:")) std::ofstream(url_.substr(7)).flush();
  RunSql(url_, "CREATE TABLE dead_letter (in_the_way INTEGER)");
  const std::unique_ptr<Store> store = NewStore(Options());
  EXPECT_FALSE(store->Open().ok());
  EXPECT_EQ(
      RunSqlValue(url_, postgres() ? "SELECT count(*) FROM pg_tables WHERE schemaname = current_schema()"
                                   : "SELECT count(*) FROM sqlite_schema WHERE type = 'table'"),
      "1");
  RunSql(url_, "DROP TABLE dead_letter");
  EXPECT_TRUE(store->Open().ok());
}

// ---- Both stores side by side

TEST(StoreComparison, TheSameChangesMakeTheSameRowsInBoth) {
  std::string why_not;
  PostgresCluster* cluster = PostgresCluster::Shared(&why_not);
  if (cluster == nullptr) GTEST_SKIP() << why_not;
  const TempFolder folder;
  FixedClock clock(1'700'000'000'000'000);
  ChangeMaker make;
  std::vector<ChangeSetPtr> changes;
  uint32_t random = 20251;
  const auto next = [&](uint32_t below) {
    random = random * 1664525u + 1013904223u;
    return random / 65536 % below;
  };
  const std::string_view kDids[] = {kAlice, kBob, kCarol};
  std::map<std::string_view, int64_t> ordinals;
  for (int i = 0; i < 1500; ++i) {
    const std::string_view did = kDids[next(3)];
    make.source = next(2) == 0 ? kRelay : kPds;
    if (next(10) == 0) {
      changes.push_back(make.Account(did, next(2) == 0, "deactivated"));
      continue;
    }
    if (next(20) == 0) {
      changes.push_back(
          make.DeadLetter(did, static_cast<int32_t>(next(3)) - 1, Reject::kRecordFloat, "detail \xF0"));
      continue;
    }
    if (next(3) == 0) {
      int64_t& ordinal = ordinals[did];
      const uint32_t kind = next(12);
      if (kind < 7) changes.push_back(make.Held(did, ++ordinal, next(40)));
      if (kind == 7) changes.push_back(make.HeldDone(did, static_cast<int64_t>(next(9)) + ordinal - 7));
      if (kind == 8) {
        // Judged and held anew in one.
        changes.push_back(make.Held(did, ++ordinal, next(40)));
        changes.back()->held_done = indexer::HeldDone{changes.back()->did, ordinal - next(3)};
      }
      if (kind == 9) changes.push_back(make.Identity(did, "h" + std::to_string(i) + ".example"));
      if (kind == 10) changes.push_back(make.Purged(did));
      if (kind == 11) {
        changes.push_back(make.Identity(did, "both.example"));
        changes.back()->identity_purged = changes.back()->did;
      }
      continue;
    }
    std::vector<TestRow> rows;
    for (uint32_t row = 0; row <= next(3); ++row) {
      const std::string rkey = "k" + std::to_string(next(20)) + "." + std::to_string(row);
      const std::string json = "{\"n\":" + std::to_string(i) + ",\"text\":\"\xC3\xA9\\n\"}";
      rows.push_back(next(4) == 0 ? Delete(rkey)
                                  : Create(rkey, json, std::vector<std::string>(next(3), "at://" + rkey)));
    }
    const int rev = static_cast<int>(next(400)) + 1;
    ChangeSetPtr change = make.Commit(did, rev, rows, static_cast<Verification>(next(5)));
    // Whether there is a proof goes with the commit, not with the run.
    if (rev % 3 == 0) change = make.Proven(std::move(change));
    if (rev % 5 == 0) change->allowed = "legacy-commits";
    if (next(4) == 0)
      change = make.Chain(std::move(change), static_cast<sync::SyncState>(next(5)), next(2) == 0 ? rev : 0,
                          next(2) == 0 ? "chain_broken" : "");
    changes.push_back(std::move(change));
  }
  std::map<std::string, std::vector<std::string>> contents[2];
  for (int which = 0; which < 2; ++which) {
    StoreOptions options;
    options.url = which == 0 ? "sqlite:" + (folder.path() / "x.db").string() : cluster->CreateDatabase();
    options.clock = &clock;
    auto store = *indexer::MakeStore(options);
    ASSERT_TRUE(store->Open().ok());
    // Batches of different sizes in each: where they end must not matter.
    const size_t size = which == 0 ? 7 : 50;
    for (size_t at = 0; at < changes.size(); at += size) {
      ApplyResult result;
      const absl::Status applied =
          store->Apply({std::span(changes).subspan(at, std::min(size, changes.size() - at)),
                        {{std::string(kRelay), static_cast<int64_t>(at)}}},
                       &result);
      ASSERT_TRUE(applied.ok()) << applied;
    }
    contents[which] = Contents(*store);
  }
  contents[0].erase("stream_cursor");
  contents[1].erase("stream_cursor");
  EXPECT_GT(contents[0]["record"].size(), 50u);
  EXPECT_GT(contents[0]["record_proof"].size(), 10u);
  EXPECT_GT(contents[0]["held_event"].size(), 3u);
  EXPECT_EQ(contents[0]["identity"].size(), 3u);
  EXPECT_EQ(contents[0], contents[1]);
}

TEST(MakeStore, GoesByTheUrlsForm) {
  FixedClock clock(0);
  const auto kind = [&](std::string url) -> std::string {
    StoreOptions options;
    options.url = std::move(url);
    options.clock = &clock;
    const auto store = indexer::MakeStore(options);
    return store.ok() ? std::string((*store)->dialect()) : std::string(Message(store.status()));
  };
  EXPECT_EQ(kind("sqlite:/x/y.db"), "sqlite");
  EXPECT_EQ(kind("data/penstock.db"), "sqlite");
  EXPECT_EQ(kind("postgresql://user@host/db"), "postgresql");
  EXPECT_EQ(kind("postgres://host/db"), "postgresql");
  EXPECT_EQ(kind("host=/run dbname=x"), "postgresql");
  EXPECT_THAT(kind("mysql://host/db"), HasSubstr("no store of this kind"));
  EXPECT_THAT(kind(""), HasSubstr("needs a URL"));
  EXPECT_THAT(kind("sqlite:"), HasSubstr("needs a URL"));
}

}  // namespace
}  // namespace penstock::test
