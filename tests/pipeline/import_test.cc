// Whole repositories on their way in (pipeline/import_port.h): what the account's live events do meanwhile, and what is left of an
// import that ends early.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <utility>

#include "base/status.h"
#include "tests/pipeline/account_pipeline.h"

namespace penstock::pipeline {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ImportTest : public AccountPipeline {
 protected:
  // Where the account stands after `message`, which is its newest.
  static sync::Head HeadOf(Account& account, const CommitMessage& message) {
    return {account.rev(), account.data(), message.commit};
  }
  ImportPort& port() { return *pipeline_->imports(); }
  // The last part of an import of one note.
  indexer::ChangeSetPtr Part(const Account& account, const sync::Head& head, std::initializer_list<const char*> rkeys) {
    indexer::ChangeSetPtr change = port().NewChange();
    Arena& arena = change->arena;
    change->source = "getRepo:pds.test";
    change->did = arena.Copy(account.did());
    change->rev = arena.Copy(head.rev);
    change->commit_cid = arena.Copy(head.commit.ToString());
    change->verification = indexer::Verification::kExport;
    for (const char* rkey : rkeys) {
      indexer::RecordRow row;
      row.collection = kNote;
      row.rkey = rkey;
      const builder::Item note = MakeNote(rkey);
      row.cid = arena.Copy(cbor::Cid::OfBlock(AsBytes(note.bytes())).ToString());
      row.cbor = arena.Copy(AsBytes(note.bytes()));
      row.value = "{}";
      change->records.push_back(row);
    }
    indexer::ImportRow import;
    import.rev = change->rev;
    import.host = "https://pds.test";
    change->import = import;
    return change;
  }
  void Import(Account& account, const sync::Head& head, std::initializer_list<const char*> rkeys) {
    ASSERT_TRUE(port().Prepare(account.did()).ok());
    bool current = false;
    ASSERT_TRUE(port().Begin(account.did(), head, false, &current).ok());
    ASSERT_TRUE(port().Finish(account.did(), head, true, Part(account, head, rkeys)).ok());
  }
};

TEST_P(ImportTest, EventsOfAnAccountThatIsFetchedWaitAndGoOn) {
  Account ann = Make(1);
  Start();
  const sync::Head head = HeadOf(ann, Message(ann, "a"));
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  now_ += kSecond;
  const builder::Item other = builder::Item::Map({{"$type", "test.other.thing"}});
  Offer(ann.Commit({Write::Create("test.other.thing/x", other)}, now_));  // matches nothing, and is a link of the chain
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Eventually([this] { return Held() == 2; }));
  EXPECT_THAT(Keys(ann), IsEmpty());
  bool current = true;
  ASSERT_TRUE(port().Begin(ann.did(), head, false, &current).ok());
  EXPECT_FALSE(current);
  ASSERT_TRUE(port().Finish(ann.did(), head, true, Part(ann, head, {"a"})).ok());
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([this] { return Held() == 0; }));
  Offer(Message(ann, "c"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|export", "b|full", "c|full"));
  EXPECT_EQ(State(ann), "synchronized");
  EXPECT_EQ(Value("SELECT baseline_rev FROM repo"), head.rev);
  EXPECT_EQ(Value("SELECT source FROM record WHERE rkey = 'a'"), "getRepo:pds.test");
}

TEST_P(ImportTest, AWholeChainGoesOnUntilTheRowsAreCompared) {
  Account ann = Make(1);
  Start();
  (void)Message(ann, "a");  // before our time
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Settled());
  EXPECT_EQ(State(ann), "partial");
  const absl::StatusOr<AccountView> view = port().Prepare(ann.did());
  ASSERT_TRUE(view.ok());
  EXPECT_TRUE(view->known);
  EXPECT_EQ(view->state.sync_state, sync::SyncState::kPartial);
  CommitMessage newest = Message(ann, "c");
  const sync::Head head = HeadOf(ann, newest);
  Offer(std::move(newest));
  ASSERT_TRUE(Settled()) << "nothing waits while the archive comes";
  bool current = false;
  ASSERT_TRUE(port().Begin(ann.did(), head, false, &current).ok());
  EXPECT_TRUE(current);
  EXPECT_THAT(Keys(ann), ElementsAre("b|commit", "c|full")) << "all that came before can be read";
  Offer(Message(ann, "d"));
  ASSERT_TRUE(Eventually([this] { return Held() == 1; }));
  ASSERT_TRUE(port().Finish(ann.did(), head, true, Part(ann, head, {"a", "b"})).ok());
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|export", "b|export", "c|full", "d|full"));
  EXPECT_EQ(State(ann), "synchronized");
}

TEST_P(ImportTest, HealsABrokenChain) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  (void)Message(ann, "b");   // lost
  Offer(Message(ann, "c"));  // does not continue
  CommitMessage newest = Message(ann, "d");
  const sync::Head head = HeadOf(ann, newest);
  Offer(std::move(newest));
  ASSERT_TRUE(Eventually([&] { return State(ann) == "desynchronized" && Held() == 2; }));
  Import(ann, head, {"b", "c", "d"});
  Offer(Message(ann, "e"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|export", "c|export", "d|export", "e|full"));
  EXPECT_EQ(State(ann), "synchronized");
  EXPECT_EQ(Value("SELECT count(*) FROM held_event"), "0");
}

TEST_P(ImportTest, AnOlderRepositoryChangesNothing) {
  Account ann = Make(1);
  Start();
  CommitMessage first = Message(ann, "a");
  const sync::Head old = HeadOf(ann, first);
  Offer(std::move(first));
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  bool current = false;
  absl::Status begun = port().Begin(ann.did(), old, false, &current);
  EXPECT_TRUE(absl::IsFailedPrecondition(begun));
  EXPECT_EQ(penstock::Message(begun), "stale_export");
  // Our rev, but another tree.
  sync::Head forged = old;
  forged.rev = ann.rev();
  ASSERT_TRUE(port().Prepare(ann.did()).ok()) << "it ended";
  EXPECT_EQ(RejectOf(port().Begin(ann.did(), forged, false, &current)), Reject::kChainConflict);
  Offer(Message(ann, "c"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full", "c|full"));
}

TEST_P(ImportTest, WhatComesOfNothingLeavesEverythingAsItWas) {
  Account ann = Make(1);
  Account ben = Make(2);
  Start();
  (void)Message(ann, "a");
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(port().Prepare(ann.did()).status()));
  ASSERT_TRUE(port().Prepare(ben.did()).ok());
  Offer(Message(ann, "b"));
  now_ += kSecond;
  Offer(ben.Commit({}, now_));
  ASSERT_TRUE(Eventually([this] { return Held() == 2; }));
  ASSERT_TRUE(port().Abandon(ann.did()).ok());
  ASSERT_TRUE(port().Abandon(ben.did()).ok());
  ASSERT_TRUE(Settled());
  EXPECT_TRUE(Eventually([this] { return pipeline_->stats().tracked == 1; })) << "ben is nobody of ours";
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("b|commit"));
  EXPECT_EQ(State(ann), "partial");
  EXPECT_EQ(State(ben), "no row");
}

TEST_P(ImportTest, AnAccountWithoutAnythingWantedIsForgotten) {
  Account ben = Make(1);
  Start();
  now_ += kSecond;
  const sync::Head head = HeadOf(ben, ben.Commit({}, now_));
  ASSERT_TRUE(port().Prepare(ben.did()).ok());
  bool current = false;
  ASSERT_TRUE(port().Begin(ben.did(), head, false, &current).ok());
  ASSERT_TRUE(port().Finish(ben.did(), head, false, Part(ben, head, {})).ok());
  EXPECT_EQ(pipeline_->stats().tracked, 0u);
  Stop();
  EXPECT_EQ(State(ben), "no row");
}

TEST_P(ImportTest, ALongImportIsDurablyInProgress) {
  Account ann = Make(1);
  Start();
  const sync::Head head = HeadOf(ann, Message(ann, "a"));
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  bool current = false;
  ASSERT_TRUE(port().Begin(ann.did(), head, true, &current).ok());
  EXPECT_EQ(State(ann), "in_progress");
  indexer::ChangeSetPtr part = Part(ann, head, {"a"});
  part->import.reset();
  ASSERT_TRUE(port().Write(std::move(part)).ok());
  ASSERT_TRUE(port().WaitDurable().ok());
  EXPECT_THAT(Keys(ann), ElementsAre("a|export"));
  ASSERT_TRUE(port().Abandon(ann.did()).ok());
  ASSERT_TRUE(Eventually([&] { return State(ann) == "desynchronized"; }));
  EXPECT_EQ(Value("SELECT reason FROM repo"), "resync_interrupted");
}

TEST_P(ImportTest, ARestartInTheMiddleLosesNoEvent) {
  Account ann = Make(1);
  Start();
  (void)Message(ann, "a");
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Settled()) << "it is durably held";
  Restart();
  ASSERT_TRUE(Eventually([this] { return Held() == 0; }));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("b|commit"));
}

TEST_P(ImportTest, MoreEventsThanMayWaitMakeItDesynchronizedAgain) {
  options_.held.account_events = 2;
  Account ann = Make(1);
  Start();
  const sync::Head head = HeadOf(ann, Message(ann, "a"));
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  for (const char* rkey : {"b", "c", "d"}) Offer(Message(ann, rkey));
  ASSERT_TRUE(Settled());
  bool current = false;
  ASSERT_TRUE(port().Begin(ann.did(), head, false, &current).ok());
  ASSERT_TRUE(port().Finish(ann.did(), head, true, Part(ann, head, {"a"})).ok());
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|export"));
  EXPECT_EQ(State(ann), "desynchronized");
  EXPECT_EQ(Value("SELECT reason FROM repo"), "held_overflow");
}

TEST_P(ImportTest, WhoIsAwayIsRememberedAndFetchedWhenBack) {
  Account ann = Make(1);
  Start();
  (void)Message(ann, "a");
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  sync::HostStatus away;
  away.text = "deactivated";
  ASSERT_TRUE(port().SetStatus(ann.did(), away, nullptr).ok());
  ASSERT_TRUE(Eventually([&] { return State(ann) == "desynchronized"; }));
  EXPECT_EQ(Value("SELECT status FROM repo WHERE NOT active"), "deactivated");
  OfferAccount(ann, true);
  ASSERT_TRUE(Settled());
  Stop();
  EXPECT_EQ(Value("SELECT sync_state FROM repo WHERE active"), "desynchronized");
}

TEST_P(ImportTest, AWholeChainThatWasAwayIsPartial) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  OfferAccount(ann, false);
  ASSERT_TRUE(Settled());
  EXPECT_EQ(State(ann), "synchronized");
  OfferAccount(ann, true);
  ASSERT_TRUE(Settled());
  EXPECT_EQ(State(ann), "partial");
  Offer(Message(ann, "b"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full"));
}

TEST_P(ImportTest, APurgeTakesRowsAndHeadAway) {
  Account ann = Make(1);
  Start();
  for (const char* rkey : {"a", "b", "c"}) Offer(Message(ann, rkey));
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(port().Purge(ann.did(), 2).ok());
  ASSERT_TRUE(Eventually([&] { return Keys(ann).size() == 1; }));
  ASSERT_TRUE(port().Purge(ann.did(), 2).ok());
  Stop();
  EXPECT_THAT(Keys(ann), IsEmpty());
  EXPECT_THAT(Rows("SELECT sync_state, reason, rev, data, commit_cid, baseline_rev FROM repo"),
              ElementsAre("desynchronized|purged|-|-|-|-"));
  EXPECT_EQ(Value("SELECT count(*) FROM record_ref"), "0");
}

TEST_P(ImportTest, NobodyWaitsForAPipelineThatEnds) {
  Account ann = Make(1);
  Start();
  ASSERT_TRUE(port().Prepare(ann.did()).ok());
  EXPECT_TRUE(pipeline_->Finish(10'000'000).ok());
  EXPECT_TRUE(absl::IsCancelled(port().Abandon(ann.did())));
  EXPECT_TRUE(absl::IsCancelled(port().Write(port().NewChange())));
  EXPECT_TRUE(absl::IsCancelled(port().Prepare(ann.did()).status()));
  pipeline_.reset();
}

INSTANTIATE_TEST_SUITE_P(Databases, ImportTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

TEST(ImportWindow, LetsNoMoreInThanItHolds) {
  const auto window = std::make_shared<ImportWindow>(100);
  std::shared_ptr<void> whole = window->Acquire(1'000);  // larger than the window: alone
  std::atomic<bool> in{false};
  std::thread second([&] {
    const std::shared_ptr<void> credit = window->Acquire(50);
    in = credit != nullptr;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_FALSE(in);
  whole.reset();
  second.join();
  EXPECT_TRUE(in);
  whole = window->Acquire(100);
  std::thread third([&] { in = window->Acquire(1) != nullptr; });
  window->Close();
  third.join();
  EXPECT_FALSE(in);
}

}  // namespace
}  // namespace penstock::pipeline
