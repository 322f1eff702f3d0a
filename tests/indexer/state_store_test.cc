// What account synchronisation reads back, on connections of its own beside the writer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/status.h"
#include "indexer/readers.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/fault_proxy.h"
#include "tests/support/database/sql.h"

namespace penstock::test {
namespace {

using sync::SyncState;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class StateStoreTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    states_ = NewStates(url_);
  }
  std::unique_ptr<sync::StateStore> NewStates(const std::string& url) {
    StoreOptions options = Options();
    options.url = url;
    auto states = indexer::MakeStateStore(options);
    EXPECT_TRUE(states.ok()) << states.status();
    return *std::move(states);
  }
  sync::StoredAccount Load(std::string_view did) {
    sync::StoredAccount account;
    account.held_last = 99;  // what was there before is gone
    const absl::Status loaded = states_->LoadAccount(did, &account);
    EXPECT_TRUE(loaded.ok()) << loaded;
    return account;
  }
  std::vector<std::string> LoadHeld(std::string_view did, int64_t after, size_t max_bytes) {
    std::vector<sync::StoredHeldEvent> events;
    const absl::Status loaded = states_->LoadHeld(did, after, max_bytes, &events);
    EXPECT_TRUE(loaded.ok()) << loaded;
    std::vector<std::string> lines;
    for (const sync::StoredHeldEvent& event : events)
      lines.push_back(std::to_string(event.ordinal) + " " + event.source + " " + std::to_string(event.seq) +
                      " " + event.reason + " " + (event.gated ? "gated " : "") + event.frame + " " +
                      std::to_string(event.arrived_at % 1000));
    return lines;
  }

  std::unique_ptr<sync::StateStore> states_;
};
INSTANTIATE_TEST_SUITE_P(Store, StateStoreTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(StateStoreTest, AnAccountThatIsNowhereIsUnknown) {
  const sync::StoredAccount account = Load(kAlice);
  EXPECT_FALSE(account.known);
  EXPECT_EQ(account.state.sync_state, SyncState::kUntracked);
  EXPECT_FALSE(account.state.head.has_value());
  EXPECT_TRUE(account.state.active);
  EXPECT_THAT(account.account_seqs, IsEmpty());
  EXPECT_EQ(account.held_events, 0u);
  EXPECT_EQ(account.held_last, 0);
  EXPECT_EQ(account.identity, nullptr);
}

TEST_P(StateStoreTest, LoadsEverythingThatIsKeptOfAnAccount) {
  auto hidden = make_.Account(kAlice, false, "takendown");
  const int64_t first_seq = hidden->seq;
  make_.source = kPds;
  make_.seq = 7;
  Apply(List{std::move(hidden), make_.Account(kAlice, false, "deactivated"),
             make_.Chain(make_.Commit(kAlice, 3, {}), SyncState::kPartial, 3),
             make_.Held(kAlice, 4, 40, "four"), make_.Held(kAlice, 5, 50, "fifth"), make_.Held(kBob, 9, 90),
             make_.Identity(kAlice, "a.example")});
  const sync::StoredAccount account = Load(kAlice);
  EXPECT_TRUE(account.known);
  EXPECT_EQ(account.state.sync_state, SyncState::kPartial);
  ASSERT_TRUE(account.state.head.has_value());
  EXPECT_EQ(account.state.head->rev, Rev(3));
  EXPECT_EQ(account.state.head->data.ToString(), DataCid(3));
  EXPECT_EQ(account.state.head->commit.ToString(), CommitCid(3));
  EXPECT_FALSE(account.state.active);
  EXPECT_EQ(account.state.status, "deactivated");
  EXPECT_THAT(account.account_seqs,
              ElementsAre(Pair(std::string(kPds), 7), Pair(std::string(kRelay), first_seq)));
  EXPECT_EQ(account.held_events, 2u);
  EXPECT_EQ(account.held_bytes, 9u);
  EXPECT_EQ(account.held_last, 5);
  ASSERT_NE(account.identity, nullptr);
  EXPECT_EQ(account.identity->did, kAlice);
  EXPECT_EQ(account.identity->key->did_key(), kKey);
  EXPECT_EQ(account.identity->pds, "https://pds.example");
  EXPECT_EQ(account.identity->handle, "a.example");
  EXPECT_EQ(account.identity->handle_state, identity::HandleState::kUnchecked);
  EXPECT_THAT(account.identity->document, HasSubstr(std::string(kAlice)));
  EXPECT_EQ(account.identity->fetched_us, 1'700'000'000'000'000);
  EXPECT_EQ(account.identity->asked_us, 0);
  // Held before anything else is known of it.
  const sync::StoredAccount bob = Load(kBob);
  EXPECT_FALSE(bob.known);
  EXPECT_EQ(bob.held_events, 1u);
}

TEST_P(StateStoreTest, APurgedIdentityAndOneThatSaysNothingAreNone) {
  Apply(List{make_.Identity(kAlice), make_.Identity(kBob), make_.Identity(kCarol), make_.Purged(kAlice)});
  EXPECT_EQ(Load(kAlice).identity, nullptr);
  RunSql(url_, "UPDATE identity SET did_key = 'did:key:zNonsense' WHERE did = '" + std::string(kBob) + "'");
  EXPECT_EQ(Load(kBob).identity, nullptr);
  RunSql(url_, "UPDATE identity SET did_key = NULL, fault = 'did_tombstoned' WHERE did = '" +
                   std::string(kCarol) + "'");
  ASSERT_NE(Load(kCarol).identity, nullptr);
  EXPECT_EQ(Load(kCarol).identity->fault, Reject::kDidTombstoned);
  EXPECT_FALSE(Load(kCarol).identity->key.has_value());
  RunSql(url_, "UPDATE identity SET fault = 'a_word_of_tomorrow' WHERE did = '" + std::string(kCarol) + "'");
  EXPECT_EQ(Load(kCarol).identity, nullptr);
}

TEST_P(StateStoreTest, AStateThatWeNeverWriteIsDataLoss) {
  Apply(List{make_.Chain(make_.Commit(kAlice, 3, {}), SyncState::kPartial, 3)});
  sync::StoredAccount account;
  RunSql(url_, "UPDATE repo SET data = 'no cid'");
  EXPECT_EQ(states_->LoadAccount(kAlice, &account).code(), absl::StatusCode::kDataLoss);
  RunSql(url_, "UPDATE repo SET rev = NULL, sync_state = 'confused'");
  EXPECT_EQ(states_->LoadAccount(kAlice, &account).code(), absl::StatusCode::kDataLoss);
  EXPECT_FALSE(Load(kBob).known);
}

TEST_P(StateStoreTest, HeldEventsComeInOrderUpToTheirBytes) {
  std::vector<ChangeSetPtr> changes;
  for (int i = 9; i >= 1; --i)
    changes.push_back(make_.Held(kAlice, i, 1000 - i, std::string("x") + char('0' + i)));
  changes.push_back(make_.Held(kBob, 1, 5));
  Apply(changes);
  EXPECT_THAT(LoadHeld(kAlice, 0, 5),
              ElementsAre("1 relay.example 999 identity x1 1", "2 relay.example 998 identity gated x2 2",
                          "3 relay.example 997 identity x3 3"));
  EXPECT_THAT(LoadHeld(kAlice, 3, 4),
              ElementsAre("4 relay.example 996 identity gated x4 4", "5 relay.example 995 identity x5 5"));
  EXPECT_THAT(LoadHeld(kAlice, 7, 0), ElementsAre("8 relay.example 992 identity gated x8 8"));
  EXPECT_EQ(LoadHeld(kAlice, 0, 1'000'000).size(), 9u);
  EXPECT_THAT(LoadHeld(kAlice, 9, 1'000'000), IsEmpty());
  EXPECT_THAT(LoadHeld(kCarol, 0, 1'000'000), IsEmpty());
  const std::string bytes("\x00\xff\x80", 3);
  Apply(List{make_.Held(kCarol, 1, 1, bytes)});
  EXPECT_THAT(LoadHeld(kCarol, 0, 1), ElementsAre("1 relay.example 1 identity " + bytes + " 1"));
}

TEST_P(StateStoreTest, ListsHeldAndTrackedAccounts) {
  const auto held = [&] {
    std::vector<std::string> lines;
    const absl::Status status = states_->ForEachHeldAccount([&](const sync::HeldAccount& account) {
      lines.push_back(account.did + " " + std::to_string(account.events) + " " +
                      std::to_string(account.bytes) + " " + std::to_string(account.last) + " " +
                      std::string(SyncStateName(account.sync_state)));
    });
    EXPECT_TRUE(status.ok()) << status;
    return lines;
  };
  const auto tracked = [&] {
    std::vector<std::string> dids;
    const absl::Status status =
        states_->ForEachTracked([&](std::string_view did) { dids.emplace_back(did); });
    EXPECT_TRUE(status.ok()) << status;
    return dids;
  };
  EXPECT_THAT(held(), IsEmpty());
  EXPECT_THAT(tracked(), IsEmpty());
  Apply(List{make_.Held(kAlice, 1, 1, "abc"), make_.Held(kAlice, 7, 2, "de"), make_.Held(kCarol, 2, 3, "f"),
             make_.Chain(make_.Commit(kAlice, 1, {}), SyncState::kDesynchronized, 0, "chain_broken"),
             make_.Chain(make_.Commit(kBob, 1, {}), SyncState::kSynchronized, 1),
             make_.Commit("did:plc:untracked", 1, {Create("a", "{}")})});
  EXPECT_THAT(held(),
              ElementsAre(std::string(kAlice) + " 2 5 7 desynchronized", std::string(kCarol) + " 1 1 2 "));
  EXPECT_THAT(tracked(), ElementsAre(kAlice, kBob));
}

TEST_P(StateStoreTest, SeesWhatIsCommittedWhileTheWriterIsAtWork) {
  // Head and held events are written together, so no reader may ever see them apart, nor anything go back.
  constexpr int kCommits = 300;
  std::atomic<bool> done = false;
  std::vector<std::thread> readers;
  std::atomic<int> reads = 0;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      const std::unique_ptr<sync::StateStore> states = NewStates(url_);
      std::string last;
      for (bool over = false; !over;) {
        over = done;
        sync::StoredAccount account;
        const absl::Status loaded = states->LoadAccount(kAlice, &account);
        ASSERT_TRUE(loaded.ok()) << loaded;
        if (!account.state.head) continue;
        EXPECT_GE(account.state.head->rev, last);
        last = account.state.head->rev;
        EXPECT_EQ(Rev(static_cast<int>(account.held_last)), last);
        EXPECT_EQ(account.held_events, 1u);
        ++reads;
      }
      EXPECT_EQ(last, Rev(kCommits));
    });
  }
  for (int i = 1; i <= kCommits; ++i) {
    auto change = make_.Chain(make_.Held(kAlice, i, i), SyncState::kPartial, i);
    change->held_done = indexer::HeldDone{change->did, i - 1};
    Apply(List{std::move(change)});
    // Ours too, at once.
    EXPECT_EQ(Load(kAlice).held_last, i);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(reads, 10);
}

TEST_P(StateStoreTest, AReaderThatStaysDoesNotStopTheWriter) {
  std::vector<ChangeSetPtr> changes;
  for (int i = 0; i < 50; ++i)
    changes.push_back(
        make_.Chain(make_.Commit("did:plc:a" + std::to_string(i), 1, {}), SyncState::kPartial, 1));
  Apply(changes);
  int seen = 0;
  const absl::Status status = states_->ForEachTracked([&](std::string_view) {
    // In the middle of a read.
    if (++seen == 10) Apply(List{make_.Chain(make_.Commit(kBob, 1, {}), SyncState::kPartial, 1)});
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(seen, 50);
  EXPECT_TRUE(Load(kBob).known);
}

TEST_P(StateStoreTest, AStoreThatIsNotThereMayComeYet) {
  const std::string url = NewDatabase();
  states_ = NewStates(url);
  sync::StoredAccount account;
  const absl::Status early = states_->LoadAccount(kAlice, &account);
  EXPECT_EQ(early.code(), postgres() ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kUnavailable)
      << early;
  store_->Close();
  url_ = url;
  store_ = OpenStore();
  EXPECT_FALSE(Load(kAlice).known);
}

TEST_P(StateStoreTest, ASchemaThatItDoesNotKnowIsRefused) {
  store_->Close();
  RunSql(url_, "INSERT INTO schema_migration (version, name, applied_at) VALUES (9999, 'x', 1)");
  sync::StoredAccount account;
  const absl::Status refused = states_->LoadAccount(kAlice, &account);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(Message(refused)), HasSubstr("9999"));
  RunSql(url_, "DELETE FROM schema_migration WHERE version > 1");
  EXPECT_THAT(std::string(Message(states_->LoadAccount(kAlice, &account))), HasSubstr("older"));
}

TEST_P(StateStoreTest, WritesNothing) {
  Apply(List{make_.Chain(make_.Held(kAlice, 1, 1), SyncState::kPartial, 1)});
  Load(kAlice);
  // With the writer gone a reader works on, and leaves the lease alone.
  store_->Close();
  EXPECT_TRUE(Load(kAlice).known);
  store_ = OpenStore("second");
  EXPECT_EQ(store_->epoch(), 2);
}

class PostgresStateStoreTest : public StateStoreTest {};
INSTANTIATE_TEST_SUITE_P(Store, PostgresStateStoreTest, testing::Values("postgresql"),
                         [](const auto& param) { return param.param; });

TEST_P(PostgresStateStoreTest, ReconnectsAfterALostConnection) {
  Apply(List{make_.Chain(make_.Held(kAlice, 1, 1), SyncState::kPartial, 1)});
  std::string why_not;
  FaultProxy proxy(PostgresCluster::Shared(&why_not)->socket_path());
  states_ = NewStates(PostgresCluster::Through(url_, proxy.port()));
  EXPECT_TRUE(Load(kAlice).known);
  proxy.CutAll();
  sync::StoredAccount account;
  EXPECT_EQ(states_->LoadAccount(kAlice, &account).code(), absl::StatusCode::kUnavailable);
  EXPECT_TRUE(Load(kAlice).known);
  proxy.Refuse(true);
  proxy.CutAll();
  std::vector<sync::StoredHeldEvent> events;
  EXPECT_EQ(states_->LoadHeld(kAlice, 0, 1, &events).code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(states_->LoadHeld(kAlice, 0, 1, &events).code(), absl::StatusCode::kUnavailable);
  proxy.Refuse(false);
  EXPECT_EQ(LoadHeld(kAlice, 0, 1).size(), 1u);
  EXPECT_EQ(
      RunSqlValue(url_,
                  "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'penstock reader 0/1' "
                  "AND datname = current_database()"),
      "1");
}

TEST_P(PostgresStateStoreTest, AsksOnceForAnAccount) {
  std::string why_not;
  FaultProxy proxy(PostgresCluster::Shared(&why_not)->socket_path());
  states_ = NewStates(PostgresCluster::Through(url_, proxy.port()));
  Load(kAlice);
  proxy.Delay(std::chrono::milliseconds(20));
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 10; ++i) Load(kAlice);
  // A way there and back costs two delays.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(10 * 20 * 3));
}

}  // namespace
}  // namespace penstock::test
