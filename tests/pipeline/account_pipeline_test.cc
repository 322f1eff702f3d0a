// The pipeline at level `full`: chains, what waits, what is refused, and what a restart finds.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "fixtures/builder/faults.h"
#include "tests/pipeline/account_pipeline.h"

namespace penstock::pipeline {
namespace {

using builder::CommitFault;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_P(AccountPipeline, FollowsAChainAcrossARestart) {
  Account ann = Make(1);
  Start();
  Offer(ann.Commit({}, ++now_));  // not wanted: nothing matches, and nobody follows it yet
  Offer(Message(ann, "a"));
  Offer(Message(ann, "b"));
  Restart();
  EXPECT_EQ(State(ann), "partial") << "its first commit was not ours to see";
  Offer(Message(ann, "c"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|commit", "b|full", "c|full"));
  EXPECT_EQ(Value("SELECT rev FROM repo"), ann.rev());
  EXPECT_EQ(Value("SELECT data FROM repo"), ann.data().ToString());
}

TEST_P(AccountPipeline, FollowsCommitsThatMatchNothingOnceItFollowsTheAccount) {
  Account ann = Make(1);
  Account ben = Make(2);
  Start();
  const auto other = [&](Account& account, const char* rkey) {
    now_ += kSecond;
    builder::Item record = builder::Item::Map({{"$type", "test.other.thing"}});
    Offer(account.Commit({Write::Create(std::string("test.other.thing/") + rkey, record)}, now_));
  };
  Offer(Message(ann, "a"));
  other(ann, "x");
  other(ben, "x");
  other(ann, "y");
  Offer(Message(ann, "b"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full"));
  EXPECT_EQ(State(ann), "synchronized") << "its first commit is the whole repository";
  EXPECT_THAT(Rows("SELECT did FROM repo WHERE did = '" + ben.did() + "'"), IsEmpty());
}

TEST_P(AccountPipeline, WhoIsNotKnownWaitsAndTheOthersGoOn) {
  Account ann = Make(1, /*known=*/false);
  Account ben = Make(2);
  resolver_.SetHold(true);
  Start();
  Offer(Message(ann, "a"));
  Offer(Message(ben, "a"));
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Settled()) << "the cursor passes what is durably held";
  EXPECT_EQ(Held(), 2u);
  EXPECT_THAT(Keys(ann), IsEmpty());
  EXPECT_THAT(Keys(ben), ElementsAre("a|full"));
  EXPECT_THAT(Rows("SELECT seq, reason FROM held_event ORDER BY ordinal"), ElementsAre("1|identity", "3|identity"));
  resolver_.SetHold(false);
  ASSERT_TRUE(Eventually([&] { return Held() == 0; }));
  Offer(Message(ann, "c"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full", "c|full"));
  EXPECT_THAT(Rows("SELECT seq FROM held_event"), IsEmpty());
  EXPECT_EQ(resolver_.asked(), 1u) << "one question for all that wait";
  EXPECT_EQ(Value("SELECT count(*) FROM identity WHERE did = '" + ann.did() + "'"), "1") << "the answer is kept";
}

TEST_P(AccountPipeline, KeepsWhatBecomesKnownOfAHandle) {
  Account ann = Make(1, /*known=*/false);
  Account ben = Make(2, /*known=*/false);
  const auto checked = [](const Account& account) {
    identity::Identity identity = *test::IdentityOf(account, MonotonicMicros());
    identity.handle_state = identity::HandleState::kValid;
    return std::make_shared<const identity::Identity>(std::move(identity));
  };
  const auto handle = [this](const Account& account) {
    return Value("SELECT handle, handle_state, purged FROM identity WHERE did = '" + account.did() + "'");
  };
  Start();
  const std::function<void(const identity::IdentityPtr&)> keep = pipeline_->IdentityKeeper();
  Offer(Message(ann, "a"));
  Offer(Message(ben, "a"));
  ASSERT_TRUE(Settled());
  const identity::IdentityPtr valid = checked(ann);
  resolver_.Know(ann.did(), valid);
  keep(valid);
  // Of one that the resolver has forgotten meanwhile nothing is kept: it was purged, or asked for anew.
  resolver_.Know(ben.did(), nullptr);
  keep(checked(ben));
  ASSERT_TRUE(Eventually([&] { return handle(ann).starts_with("a1.test|valid|"); }));
  OfferIdentity(ann);
  keep(valid);
  Stop();
  EXPECT_THAT(handle(ann), testing::StartsWith("a1.test|valid|")) << "the row stays,";
  EXPECT_EQ(Value("SELECT count(*) FROM identity WHERE did = '" + ann.did() + "' AND purged"), "1") << "and is not used again";
  EXPECT_THAT(handle(ben), testing::StartsWith("a2.test|unchecked|"));
  keep(valid);  // nobody is there any more: that is allowed
}

TEST_P(AccountPipeline, ADirectoryThatIsDownCostsNothingButTime) {
  resolver_.SetDown(true);
  std::vector<Account> people;
  for (uint64_t i = 0; i < 50; ++i) people.push_back(Make(100 + i, /*known=*/false));
  Start();
  for (const char* rkey : {"a", "b", "c"}) {
    for (Account& person : people) Offer(Message(person, rkey));
  }
  ASSERT_TRUE(Settled());
  Restart();
  EXPECT_EQ(Held(), 150u);
  EXPECT_EQ(Value("SELECT count(*) FROM record"), "0") << "nothing unverified is indexed";
  for (Account& person : people) Offer(Message(person, "d"));
  resolver_.SetDown(false);
  ASSERT_TRUE(Eventually([&] { return Held() == 0; })) << Held();
  Stop();
  for (Account& person : people) EXPECT_THAT(Keys(person), ElementsAre("a|full", "b|full", "c|full", "d|full"));
  EXPECT_EQ(Value("SELECT count(*) FROM held_event"), "0");
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter"), "0");
}

TEST_P(AccountPipeline, TooMuchOfOneAccountDesynchronizesThatOneAlone) {
  options_.held.account_events = 3;
  Account ann = Make(1, /*known=*/false);
  Account ben = Make(2, /*known=*/false);
  resolver_.SetDown(true);
  Start();
  for (const char* rkey : {"a", "b", "c", "d", "e"}) Offer(Message(ann, rkey));
  Offer(Message(ben, "a"));
  ASSERT_TRUE(Settled());
  EXPECT_EQ(State(ann), "desynchronized");
  EXPECT_EQ(Value("SELECT reason FROM repo"), "held_overflow");
  EXPECT_EQ(counters_.Of(Reject::kHeldOverflow), 1u);
  EXPECT_EQ(counters_.Of("held_dropped"), 4u);
  EXPECT_EQ(Held(), 2u) << "what came after, and the other's";
  resolver_.SetDown(false);
  ASSERT_TRUE(Eventually([&] { return !Keys(ben).empty(); }));
  Stop();
  EXPECT_THAT(Keys(ben), ElementsAre("a|full"));
  EXPECT_THAT(Keys(ann), IsEmpty());
}

TEST_P(AccountPipeline, TotalBoundsHoldToo) {
  options_.held.total_events = 5;
  resolver_.SetDown(true);
  std::vector<Account> people;
  for (uint64_t i = 0; i < 8; ++i) people.push_back(Make(100 + i, /*known=*/false));
  Start();
  for (Account& person : people) Offer(Message(person, "a"));
  ASSERT_TRUE(Settled());
  EXPECT_EQ(Held(), 5u);
  EXPECT_EQ(Value("SELECT count(*) FROM repo WHERE sync_state = 'desynchronized'"), "3");
}

TEST_P(AccountPipeline, ABrokenChainKeepsTheRowsAndHoldsTheRest) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  Message(ann, "missed");
  Offer(Message(ann, "c"));
  Offer(Message(ann, "d"));
  ASSERT_TRUE(Settled());
  EXPECT_EQ(State(ann), "desynchronized");
  EXPECT_EQ(Value("SELECT reason FROM repo"), "chain_broken");
  EXPECT_THAT(Keys(ann), ElementsAre("a|full"));
  Restart();
  Offer(Message(ann, "e"));
  Stop();
  EXPECT_THAT(Rows("SELECT seq, reason FROM held_event ORDER BY ordinal"),
              ElementsAre("2|desynchronized", "3|desynchronized", "4|desynchronized"));
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter"), "0");
}

TEST_P(AccountPipeline, ForgeriesCostTheirOwnAccountADelayAndNothingElse) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  for (int i = 0; i < 20; ++i) {
    CommitMessage forged = ann.Draft({Write::Create(std::string(kNote) + "/x", MakeNote("x"))}, now_ + kSecond);
    builder::Spoil(CommitFault::kForeignSignature, ann, &forged);
    Offer(forged);
    resolver_.Serve(ann.did(), test::IdentityOf(ann, MonotonicMicros()));
  }
  ASSERT_TRUE(Eventually([&] { return Held() == 0; }));
  Offer(Message(ann, "b"));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full"));
  EXPECT_EQ(State(ann), "synchronized");
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter WHERE reject = 'signature_mismatch'"), "20");
  EXPECT_THAT(Value("SELECT state_met FROM dead_letter LIMIT 1"), HasSubstr(ann.key().DidKey()));
}

TEST_P(AccountPipeline, AForgedFirstSightLeavesNoTrace) {
  Account ann = Make(1);
  CommitMessage forged = ann.Draft({Write::Create(std::string(kNote) + "/x", MakeNote("x"))}, now_ + kSecond);
  builder::Spoil(CommitFault::kForeignSignature, ann, &forged);
  Start();
  Offer(forged);
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([&] { return pipeline_->stats().tracked == 0; })) << "it is not followed";
  EXPECT_EQ(Value("SELECT count(*) FROM repo"), "0");
}

TEST_P(AccountPipeline, ARotatedKeyIsAskedForOnce) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  ann.RotateKey();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Eventually([&] { return resolver_.refreshed() >= 1; }));
  resolver_.Serve(ann.did(), test::IdentityOf(ann, MonotonicMicros()));
  Offer(Message(ann, "c"));
  ASSERT_TRUE(Settled());
  Stop();
  // Served before the rotation was known, the first answer was as old as the event: the event was refused, or judged by the new
  // key, but never by the old one.
  for (const std::string& row : Rows("SELECT rkey FROM record")) EXPECT_TRUE(row == "a" || row == "b" || row == "c");
  EXPECT_EQ(Rows("SELECT rkey FROM record WHERE rkey = 'a'").size(), 1u);
}

TEST_P(AccountPipeline, IdentityEventsPurgeTheKey) {
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  ann.RotateKey();
  resolver_.Serve(ann.did(), test::IdentityOf(ann, MonotonicMicros()));
  OfferIdentity(ann);
  Offer(Message(ann, "b"));
  ASSERT_TRUE(Eventually([&] { return Keys(ann).size() == 2; }));
  Stop();
  EXPECT_EQ(resolver_.purged(), 1u);
  EXPECT_EQ(resolver_.refreshed(), 0u);
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full"));
}

TEST_P(AccountPipeline, ASilentAccountIsIgnoredUnlessItsHostSaysOtherwise) {
  Account ann = Make(1);
  options_.host_status = &status_;
  status_.answer.status = UnavailableError("nobody there");
  Start();
  Offer(Message(ann, "a"));
  OfferAccount(ann, false);
  CommitMessage b = Message(ann, "b");
  Offer(b);
  ASSERT_TRUE(Settled());
  ASSERT_TRUE(Eventually([&] { return counters_.Of("account_inactive") == 1; }));
  EXPECT_EQ(status_.asked, 1);
  EXPECT_EQ(status_.last_origin, "https://pds.lantern.test") << "the account's own host knows best";
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "0");
  // Later its host says that it is active: the #account was false, or its undoing was missed.
  status_.answer = {absl::OkStatus(), true, ""};
  options_.status_interval_us = 0;
  Restart();
  Offer(b);
  Offer(Message(ann, "c"));
  ASSERT_TRUE(Eventually([&] { return Keys(ann).size() == 3; }));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full", "c|full"));
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "3");
}

TEST_P(AccountPipeline, EventsFromBeforeAnAccountWentSilentAreJudgedAsOfThen) {
  Account ann = Make(1, /*known=*/false);
  resolver_.SetHold(true);
  Start();
  Offer(Message(ann, "a"));
  OfferAccount(ann, false);
  ASSERT_TRUE(Settled());
  EXPECT_EQ(Value("SELECT count(*) FROM held_event"), "1");
  EXPECT_EQ(Value("SELECT count(*) FROM repo WHERE NOT active"), "1") << "hiding does not wait";
  resolver_.SetHold(false);
  ASSERT_TRUE(Eventually([&] { return Held() == 0; }));
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full"));
  EXPECT_EQ(Value("SELECT count(*) FROM visible_record"), "0");
}

TEST_P(AccountPipeline, APdsIsBelievedAboutItsOwnAccountsOnly) {
  pds_sources_ = true;  // named relay.test and other.test, while the documents say pds.lantern.test
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  OfferAccount(ann, false);
  ASSERT_TRUE(Eventually([&] { return Held() > 0 || Durable() == seq_; }));
  resolver_.Serve(ann.did(), test::IdentityOf(ann, MonotonicMicros() + 1'000'000));
  ASSERT_TRUE(Eventually([&] { return Held() == 0; }));
  Stop();
  EXPECT_THAT(Keys(ann), IsEmpty());
  EXPECT_EQ(Value("SELECT count(*) FROM repo WHERE NOT active"), "0");
  EXPECT_EQ(Value("SELECT count(*) FROM dead_letter WHERE reject = 'account_wrong_host'"), "2");
}

TEST_P(AccountPipeline, TwoSourcesOfOneAccountMakeOneChain) {
  Account ann = Make(1);
  Start();
  const CommitMessage a = Message(ann, "a"), b = Message(ann, "b"), c = Message(ann, "c");
  Offer(a, kRelay);
  Offer(b, kOther);
  Offer(b, kRelay);
  Offer(c, kOther);
  Offer(c, kRelay);
  Stop();
  EXPECT_THAT(Keys(ann), ElementsAre("a|full", "b|full", "c|full"));
  EXPECT_EQ(counters_.Of("stale_rev"), 2u);
}

TEST_P(AccountPipeline, KeepsProofsWhenAskedTo) {
  options_.keep_proofs = true;
  Account ann = Make(1);
  Start();
  Offer(Message(ann, "a"));
  Offer(Message(ann, "b"));
  Stop();
  EXPECT_THAT(Rows("SELECT rkey, did_key FROM record_proof ORDER BY rkey"),
              ElementsAre("a|" + ann.key().DidKey(), "b|" + ann.key().DidKey()));
}

TEST_P(AccountPipeline, SmallMemoryChangesNothing) {
  options_.accounts_in_memory = 16;
  options_.held.memory_bytes = 8'000;
  options_.workers = 2;
  std::vector<Account> people;
  for (uint64_t i = 0; i < 100; ++i) people.push_back(Make(100 + i, i % 3 != 0));
  Start();
  for (int round = 0; round < 4; ++round) {
    for (Account& person : people) Offer(Message(person, std::string(1, static_cast<char>('a' + round))));
  }
  ASSERT_TRUE(Eventually([&] { return Held() == 0 && pipeline_->stats().queued == 0; }));
  Stop();
  for (Account& person : people) EXPECT_THAT(Keys(person), ElementsAre("a|full", "b|full", "c|full", "d|full"));
}

INSTANTIATE_TEST_SUITE_P(Databases, AccountPipeline, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::pipeline
