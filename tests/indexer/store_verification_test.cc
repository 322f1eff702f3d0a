// What verification asks both stores to remember: chain states, held events, identities, proofs, relaxations
// and levels.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/status.h"
#include "indexer/schema.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using sync::SyncState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class StoreVerificationTest : public StoreTest {
 protected:
  std::unique_ptr<Store> OpenAt(std::optional<Verification> level) {
    StoreOptions options = Options();
    options.verify = level;
    std::unique_ptr<Store> store = NewStore(options);
    const absl::Status opened = store->Open();
    EXPECT_TRUE(opened.ok()) << opened;
    return store;
  }
  // A rule that somebody added: rows of `table` with `column` = 'bad' are refused.
  void RefuseBad(const std::string& table, const std::string& column) {
    RunSql(url_, postgres() ? "ALTER TABLE " + table + " ADD CHECK (" + column + " <> 'bad')"
                            : "CREATE TRIGGER bad_" + table + " BEFORE INSERT ON " + table + " WHEN NEW." +
                                  column + " = 'bad' BEGIN SELECT RAISE(ABORT, 'no'); END");
  }
};
INSTANTIATE_TEST_SUITE_P(Store, StoreVerificationTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

constexpr std::string_view kRepos =
    "SELECT did, sync_state, rev, data, commit_cid, reason, active FROM repo ORDER BY did";
constexpr std::string_view kHeldRows =
    "SELECT did, source, seq, ordinal, gated FROM held_event ORDER BY did, ordinal";
constexpr std::string_view kProofs =
    "SELECT rkey, rev, commit_cid, did_key, proof FROM record_proof ORDER BY rkey";

std::string RepoLine(std::string_view did, std::string_view state, int head, std::string_view reason,
                     std::string_view active = "1") {
  std::string line(did);
  line.append("|").append(state).append("|");
  line.append(head == 0 ? "-|-|-" : Rev(head) + "|" + DataCid(head) + "|" + CommitCid(head));
  return line.append("|").append(reason).append("|").append(active);
}

std::string HeldLine(std::string_view did, int64_t seq, int64_t ordinal) {
  return std::string(did) + "|relay.example|" + std::to_string(seq) + "|" + std::to_string(ordinal) + "|" +
         (ordinal % 2 == 0 ? "1" : "0");
}

// ---- Chain states

TEST_P(StoreVerificationTest, AChainStateIsKeptWithItsRows) {
  Apply(List{make_.Chain(make_.Commit(kAlice, 1, {Create("a", "{}")}), SyncState::kPartial, 1)});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "partial", 1, "-")));
  Apply(List{make_.Chain(make_.Commit(kAlice, 2, {}), SyncState::kSynchronized, 2)});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "synchronized", 2, "-")));
  // Without a head: what was verified last stays.
  Apply(List{make_.Chain(make_.Commit(kAlice, 9, {}), SyncState::kDesynchronized, 0, "chain_broken")});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "desynchronized", 2, "chain_broken")));
}

TEST_P(StoreVerificationTest, WithinABatchTheLastStateAndTheLastHeadWin) {
  Apply(List{make_.Chain(make_.Commit(kAlice, 1, {Create("a", "{}")}), SyncState::kPartial, 1),
             make_.Chain(make_.Commit(kAlice, 2, {}), SyncState::kSynchronized, 2),
             make_.Chain(make_.Commit(kAlice, 7, {}), SyncState::kDesynchronized, 0, "chain_broken"),
             make_.Chain(make_.Commit(kBob, 1, {}), SyncState::kDesynchronized, 0, "held_overflow"),
             make_.Chain(make_.Commit(kBob, 3, {}), SyncState::kSynchronized, 3)});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "desynchronized", 2, "chain_broken"),
                                        RepoLine(kBob, "synchronized", 3, "-")));
}

TEST_P(StoreVerificationTest, AStateWrittenAgainChangesNothing) {
  const auto changes = List{make_.Chain(make_.Commit(kAlice, 1, {}), SyncState::kSynchronized, 1)};
  Apply(changes);
  const std::string updated = Value("SELECT updated_at FROM repo");
  clock_.Advance(1'000'000);
  Apply(changes);
  EXPECT_EQ(Value("SELECT updated_at FROM repo"), updated);
  Apply(List{make_.Chain(make_.Commit(kAlice, 1, {}), SyncState::kInProgress)});
  EXPECT_NE(Value("SELECT updated_at FROM repo"), updated);
}

TEST_P(StoreVerificationTest, TheChainAndTheStatusShareARow) {
  Apply(List{make_.Account(kAlice, false, "takendown"),
             make_.Chain(make_.Commit(kAlice, 1, {}), SyncState::kPartial, 1)});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "partial", 1, "-", "0")));
  // That an account is active is worth its row once there is one, also if it is made in the same batch.
  Apply(List{make_.Chain(make_.Commit(kBob, 1, {}), SyncState::kPartial, 1), make_.Account(kBob, true)});
  EXPECT_EQ(Value("SELECT count(*) FROM repo_source WHERE did = '" + std::string(kBob) + "'"), "1");
}

TEST_P(StoreVerificationTest, AnAccountsRowIsMadeOnceWhoeverNeedsItFirst) {
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}),
             make_.Chain(make_.Commit(kAlice, 2, {Create("b", "{}")}), SyncState::kPartial, 2)});
  Apply(List{make_.Commit(kAlice, 3, {Create("c", "{}")})});
  EXPECT_THAT(Rows(kRepos), ElementsAre(RepoLine(kAlice, "partial", 2, "-")));
}

// ---- Held events

TEST_P(StoreVerificationTest, AHeldEventStaysUntilItIsDone) {
  Apply(List{make_.Held(kAlice, 1, 501, std::string("\x00\xff frame", 8))}, {{std::string(kRelay), 501}});
  EXPECT_THAT(
      Rows("SELECT did, source, seq, ordinal, reason, gated, frame, arrived_at FROM held_event"),
      ElementsAre(std::string(kAlice) + "|relay.example|501|1|identity|0|00ff206672616d65|1700000000000001"));
  // The same event again, with another number: the first stays.
  Apply(List{make_.Held(kAlice, 2, 501, "other")});
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 501, 1)));
  Apply(List{make_.Held(kAlice, 3, 502), make_.Held(kBob, 1, 503)});
  Apply(List{make_.HeldDone(kAlice, 2)});
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 502, 3), HeldLine(kBob, 503, 1)));
  Apply(List{make_.HeldDone(kAlice, 100), make_.HeldDone(kBob, 0)});
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kBob, 503, 1)));
}

TEST_P(StoreVerificationTest, HeldAndDoneInOneBatchLeaveNothing) {
  Apply(List{make_.Held(kAlice, 1, 501)});
  Apply(List{make_.Held(kAlice, 2, 502), make_.Held(kBob, 1, 503), make_.Held(kAlice, 3, 504),
             make_.HeldDone(kAlice, 2), make_.Held(kAlice, 4, 505)});
  EXPECT_THAT(Rows(kHeldRows),
              ElementsAre(HeldLine(kAlice, 504, 3), HeldLine(kAlice, 505, 4), HeldLine(kBob, 503, 1)));
}

TEST_P(StoreVerificationTest, AnEventThatIsDoneMayBeHeldAnew) {
  Apply(List{make_.Held(kAlice, 1, 501), make_.HeldDone(kAlice, 1), make_.Held(kAlice, 2, 501)});
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 501, 2)));
  // Also in one change set: what it holds is never lost to what it has done.
  auto both = make_.Held(kAlice, 3, 501);
  both->held.push_back(both->held[0]);
  both->held[1].seq = 502;
  both->held[1].ordinal = 1;  // done
  both->held_done = indexer::HeldDone{both->did, 2};
  Apply(List{std::move(both)});
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 501, 3)));
}

TEST_P(StoreVerificationTest, HeldEventsKeepTheirOrderInAnyBatch) {
  // A duplicate that straddles what is done: whatever the batches, the result is that of one by one.
  const auto changes = List{make_.Held(kAlice, 3, 501), make_.Held(kAlice, 6, 501), make_.HeldDone(kAlice, 5),
                            make_.Held(kAlice, 7, 502)};
  Apply(changes);
  const auto together = Contents(*store_);
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 502, 7)));
  url_ = NewDatabase();
  store_->Close();
  store_ = OpenStore();
  ApplyTo(*store_, List{make_.Held(kAlice, 3, 501)});
  make_.seq = 100;
  ApplyTo(*store_, List{make_.Held(kAlice, 6, 501), make_.HeldDone(kAlice, 5), make_.Held(kAlice, 7, 502)});
  EXPECT_EQ(Contents(*store_)["held_event"], together.at("held_event"));
}

// ---- Identities

TEST_P(StoreVerificationTest, AnIdentityIsKeptAndPurgedInOrder) {
  constexpr std::string_view kIdentities = "SELECT did, handle, purged FROM identity ORDER BY did";
  const std::string alice(kAlice);
  Apply(List{make_.Purged(kAlice)});
  EXPECT_THAT(Rows(kIdentities), IsEmpty());
  Apply(List{make_.Identity(kAlice, "a.example")});
  EXPECT_THAT(
      Rows("SELECT did, fault, did_key, pds, handle, handle_state, document, fetched_at, purged FROM "
           "identity"),
      ElementsAre(alice + "|-|" + std::string(kKey) + "|https://pds.example|a.example|unchecked|{\"id\":\"" +
                  alice + "\"}|1700000000000000|0"));
  Apply(List{make_.Identity(kAlice, "b.example"), make_.Purged(kAlice)});
  EXPECT_THAT(Rows(kIdentities), ElementsAre(alice + "|b.example|1"));
  Apply(List{make_.Purged(kAlice), make_.Identity(kAlice, "c.example"), make_.Identity(kAlice, "d.example")});
  EXPECT_THAT(Rows(kIdentities), ElementsAre(alice + "|d.example|0"));
  Apply(List{make_.Purged(kAlice), make_.Purged(kBob)});
  EXPECT_THAT(Rows(kIdentities), ElementsAre(alice + "|d.example|1"));
}

TEST_P(StoreVerificationTest, AnIdentityWithoutAKeySaysWhy) {
  auto change = make_.Control();
  auto identity = std::make_shared<identity::Identity>();
  identity->did = kBob;
  identity->fault = Reject::kDidTombstoned;
  identity->document = std::string("nul \0 and \xff", 11);
  change->identity = std::move(identity);
  Apply(List{std::move(change)});
  EXPECT_THAT(Rows("SELECT did, fault, did_key, pds, handle, document FROM identity"),
              ElementsAre(std::string(kBob) + "|did_tombstoned|-|-|-|nul \xEF\xBF\xBD and \xEF\xBF\xBD"));
}

// ---- Proofs and relaxations

TEST_P(StoreVerificationTest, AProofFollowsTheRowThatWon) {
  const auto line = [&](const std::string& rkey, int rev) {
    std::string proof = "proof of bafy" + rkey + std::to_string(rev), hex;
    for (const char c : proof) hex += "0123456789abcdef"[c >> 4 & 15], hex += "0123456789abcdef"[c & 15];
    return rkey + "|" + Rev(rev) + "|bafycommit" + std::to_string(rev) + "|" + std::string(kKey) + "|" + hex;
  };
  Apply(
      List{make_.Proven(make_.Commit(kAlice, 5, {Create("a", "{}"), Create("b", "{}"), Create("c", "{}")}))});
  EXPECT_THAT(Rows(kProofs), ElementsAre(line("a", 5), line("b", 5), line("c", 5)));
  // One loses, one wins, one comes without a proof, one is gone.
  Apply(List{make_.Proven(make_.Commit(kAlice, 4, {Update("a", "{}")})),
             make_.Proven(make_.Commit(kAlice, 6, {Update("b", "{}")})),
             make_.Commit(kAlice, 7, {Update("c", "{}")})});
  EXPECT_THAT(Rows(kProofs), ElementsAre(line("a", 5), line("b", 6)));
  Apply(List{make_.Proven(make_.Commit(kAlice, 8, {Delete("b")}))});
  EXPECT_THAT(Rows(kProofs), ElementsAre(line("a", 5)));
  // The same row again: without its proof it keeps it, with it it may get it.
  Apply(List{make_.Commit(kAlice, 5, {Create("a", "{}")}),
             make_.Proven(make_.Commit(kAlice, 7, {Update("c", "{}")}))});
  EXPECT_THAT(Rows(kProofs), ElementsAre(line("a", 5), line("c", 7)));
}

TEST_P(StoreVerificationTest, ProofsOfAnEarlierRunAreFoundAtStart) {
  Apply(List{make_.Proven(make_.Commit(kAlice, 5, {Create("a", "{}")}))});
  store_->Close();
  store_ = OpenStore();
  Apply(List{make_.Commit(kAlice, 6, {Update("a", "{}")})});
  EXPECT_THAT(Rows(kProofs), IsEmpty());
}

TEST_P(StoreVerificationTest, ARelaxationIsWrittenOnTheRowsItLetIn) {
  auto relaxed = make_.Commit(kAlice, 1, {Create("a", "{}")}, Verification::kSignature);
  relaxed->allowed = "legacy-commits";
  Apply(List{std::move(relaxed), make_.Commit(kBob, 1, {Create("b", "{}")})});
  EXPECT_THAT(Rows("SELECT rkey, verification, allowed FROM visible_record ORDER BY rkey"),
              ElementsAre("a|signature|legacy-commits", "b|full|-"));
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}, Verification::kExport)});
  EXPECT_EQ(Value("SELECT allowed FROM record WHERE rkey = 'a'"), "-");
}

TEST_P(StoreVerificationTest, ADeadLetterHoldsTheStateThatItMet) {
  auto letter = make_.DeadLetter(kAlice, -1, Reject::kChainBroken, "since");
  letter->dead_letters[0].state_met = R"({"rev":"3k","key":null})";
  Apply(List{std::move(letter)});
  if (postgres()) {
    EXPECT_EQ(Value("SELECT state_met->>'rev' FROM dead_letter"), "3k");
  } else {
    EXPECT_EQ(Value("SELECT state_met FROM dead_letter"), R"({"rev":"3k","key":null})");
  }
}

// ---- Refusals

TEST_P(StoreVerificationTest, ARefusedRowCostsNothingElseOfItsChangeSet) {
  RunSql(url_, postgres() ? "ALTER TABLE record ADD CHECK (rkey <> 'bad')"
                          : "CREATE TRIGGER bad BEFORE INSERT ON record WHEN NEW.rkey = 'bad' "
                            "BEGIN SELECT RAISE(ABORT, 'no'); END");
  Apply(List{make_.Held(kAlice, 1, 50)});
  auto change =
      make_.Chain(make_.Proven(make_.Commit(kAlice, 2, {Create("bad", "{}"), Create("good", "{}")})),
                  SyncState::kSynchronized, 2);
  auto other = make_.Held(kAlice, 2, 60);
  other->identity = make_.Identity(kAlice, "a.example")->identity;
  change->held_done = indexer::HeldDone{change->did, 1};
  const List changes{make_.Commit(kBob, 1, {Create("x", "{}")}), std::move(change), std::move(other)};
  const ApplyResult result = Apply(changes, {{std::string(kRelay), 200}});
  EXPECT_EQ(result.rows_refused, 1u);
  EXPECT_EQ(result.rows_written, 2u);
  EXPECT_EQ(Value(kRepos), RepoLine(kAlice, "synchronized", 2, "-"));
  EXPECT_THAT(Rows(kHeldRows), ElementsAre(HeldLine(kAlice, 60, 2)));
  EXPECT_EQ(Value("SELECT handle FROM identity"), "a.example");
  EXPECT_EQ(Value("SELECT rkey FROM record_proof"), "good");
  EXPECT_EQ((*store_->LoadCursors())[0].position, 200);
  const auto before = Contents(*store_);
  Apply(changes, {{std::string(kRelay), 200}});
  EXPECT_EQ(Contents(*store_), before);
}

TEST_P(StoreVerificationTest, EachPartThatIsRefusedIsALetterOfItsOwn) {
  RefuseBad("repo", "reason");
  RefuseBad("held_event", "reason");
  RefuseBad("identity", "handle");
  auto state =
      make_.Chain(make_.Commit(kAlice, 1, {Create("a", "{}")}), SyncState::kDesynchronized, 1, "bad");
  auto held = make_.Held(kAlice, 1, 900, "the frame");
  held->held[0].reason = "bad";
  held->held.push_back(held->held[0]);
  held->held[1].seq = 901;
  held->held[1].ordinal = 2;
  held->held[1].reason = "identity";
  const ApplyResult result =
      Apply(List{std::move(state), std::move(held), make_.Identity(kBob, "bad"), make_.Account(kBob, false)},
            {{std::string(kRelay), 103}});
  EXPECT_EQ(result.rows_written, 1u);
  EXPECT_EQ(result.rows_refused, 3u);
  EXPECT_EQ(Value("SELECT count(*) FROM record"), "1");
  EXPECT_THAT(Rows("SELECT did, active, sync_state FROM repo ORDER BY did"),
              ElementsAre(std::string(kAlice) + "|1|-", std::string(kBob) + "|0|-"));
  EXPECT_THAT(Rows("SELECT seq, reason FROM held_event"), ElementsAre("901|identity"));
  EXPECT_THAT(
      Rows("SELECT source, seq, op, did, reject, frame FROM dead_letter WHERE seq > 0 ORDER BY seq"),
      ElementsAre("relay.example|100|-1|" + std::string(kAlice) + "|store_refused|-",
                  "relay.example|900|-1|" + std::string(kAlice) + "|store_refused|746865206672616d65"));
  EXPECT_THAT(Value("SELECT detail FROM dead_letter WHERE seq = 100"), HasSubstr("chain state"));
  EXPECT_THAT(Value("SELECT detail FROM dead_letter WHERE seq = 900"), HasSubstr("held (bad)"));
  EXPECT_THAT(Value("SELECT detail FROM dead_letter WHERE seq = 0"), HasSubstr("identity"));
}

TEST_P(StoreVerificationTest, AStateThatIsNoJsonDoesNotCostTheLetter) {
  auto letter = make_.DeadLetter(kAlice, -1, Reject::kChainBroken, "since");
  letter->dead_letters[0].state_met = "{";
  Apply(List{std::move(letter)});
  // SQLite's JSON is text, whatever it says.
  EXPECT_EQ(Value("SELECT reject, state_met FROM dead_letter"),
            postgres() ? "chain_broken|-" : "chain_broken|{");
}

// ---- Levels

TEST_P(StoreVerificationTest, AStrongerLevelMarksTheAccountsOfWeakerRowsOnce) {
  store_->Close();
  store_ = OpenAt(Verification::kCid);
  EXPECT_EQ(Value("SELECT verify FROM lease"), "cid");
  auto relaxed = make_.Commit(kCarol, 1, {Create("c", "{}")}, Verification::kSignature);
  relaxed->allowed = "legacy-commits";
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")}, Verification::kCid),
             make_.Chain(make_.Commit(kBob, 1, {Create("b", "{}")}), SyncState::kSynchronized, 1),
             make_.Commit(kBob, 2, {Delete("bb")}, Verification::kSignature), std::move(relaxed)});
  const std::string alice = RepoLine(kAlice, "desynchronized", 0, "weaker_rows");
  const std::string bob = RepoLine(kBob, "desynchronized", 1, "weaker_rows");
  const std::string carol = RepoLine(kCarol, "-", 0, "-");

  store_->Close();
  store_ = OpenAt(std::nullopt);  // administration
  EXPECT_EQ(Value("SELECT verify FROM lease"), "cid");
  store_->Close();
  store_ = OpenAt(Verification::kSignature);
  EXPECT_EQ(Value("SELECT count(*) FROM repo WHERE reason IS NOT NULL"), "0");
  store_->Close();
  store_ = OpenAt(Verification::kFull);
  EXPECT_EQ(Value("SELECT verify FROM lease"), "full");
  EXPECT_THAT(Rows(kRepos), ElementsAre(alice, bob, carol));

  // Once it is known, nothing is looked through or marked again.
  Apply(List{make_.Chain(make_.Commit(kAlice, 2, {}), SyncState::kSynchronized, 2)});
  store_->Close();
  store_ = OpenAt(Verification::kFull);
  EXPECT_EQ(Value(kRepos), RepoLine(kAlice, "synchronized", 2, "-"));
  // A weaker run in between makes it unknown again.
  store_->Close();
  OpenAt(Verification::kCid)->Close();
  store_ = OpenAt(Verification::kFull);
  EXPECT_EQ(Value(kRepos), RepoLine(kAlice, "desynchronized", 2, "weaker_rows"));
}

// ---- Migration

TEST_P(StoreVerificationTest, AStoreOfTheFirstVersionIsTakenOver) {
  store_->Close();
  url_ = NewDatabase();
  if (url_.starts_with("sqlite:")) std::ofstream(url_.substr(7)).flush();
  using indexer::Dialect;
  const Dialect dialect = postgres() ? Dialect::kPostgres : Dialect::kSqlite;
  RunSql(url_, indexer::CreateMigrationTableSql(dialect));
  for (const std::string& sql : indexer::RenderMigration(indexer::Migrations()[0], dialect))
    RunSql(url_, sql);
  RunSql(url_,
         "INSERT INTO schema_migration (version, name, applied_at) VALUES (1, 'base tables', 5);"
         "INSERT INTO record (did, collection, rkey, rev, source, op, deleted, verification, validation, "
         "value_lossy, indexed_at) VALUES ('did:plc:old', 'a.b.c', 'x', '3k', 's', 'create', FALSE, 'cid', "
         "'ok', "
         "FALSE, 1);"
         "INSERT INTO repo (did, active, updated_at) VALUES ('did:plc:old', TRUE, 1);"
         "INSERT INTO stream_cursor VALUES ('relay.example', '0/1', 77, 3, 1);"
         "INSERT INTO lease VALUES ('0/1', 3, 'before', 1, 1);"
         // Somebody's own view upon ours stays in PostgreSQL, and stands in no way in SQLite.
         "CREATE VIEW mine AS SELECT did, rkey FROM visible_record");
  store_ = OpenAt(Verification::kFull);
  EXPECT_EQ(store_->epoch(), 4);
  EXPECT_EQ((*store_->LoadCursors())[0].position, 77);
  EXPECT_THAT(Rows("SELECT version, name FROM schema_migration ORDER BY version"),
              ElementsAre("1|base tables", "2|verification", "3|backfill"));
  EXPECT_THAT(Rows("SELECT did, rkey, verification, allowed FROM visible_record"),
              ElementsAre("did:plc:old|x|cid|-"));
  EXPECT_THAT(Rows("SELECT * FROM mine"), ElementsAre("did:plc:old|x"));
  EXPECT_THAT(Rows("SELECT did, sync_state, reason FROM repo"),
              ElementsAre("did:plc:old|desynchronized|weaker_rows"));
  Apply(List{make_.Commit(kAlice, 1, {Create("a", "{}")})});
}

// ---- docs/schema.md

TEST_P(StoreVerificationTest, EveryColumnIsDocumented) {
  std::ifstream file("docs/schema.md");
  std::stringstream text;
  text << file.rdbuf();
  const std::string docs = text.str();
  const auto columns =
      Rows(postgres() ? "SELECT table_name, column_name FROM information_schema.columns WHERE "
                        "table_schema = current_schema()"
                      : "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c "
                        "WHERE t.type IN ('table', 'view')");
  EXPECT_GT(columns.size(), 100u);
  for (const std::string& line : columns) {
    const std::string table = line.substr(0, line.find('|')), column = line.substr(line.find('|') + 1);
    const size_t begin = docs.find("\n## " + table + "\n");
    ASSERT_NE(begin, docs.npos) << table;
    if (table == "visible_record") continue;  // "the columns of record"
    const std::string section = docs.substr(begin, docs.find("\n## ", begin + 1) - begin);
    EXPECT_THAT(section, HasSubstr("`" + column + "`")) << table;
  }
}

}  // namespace
}  // namespace penstock::test
