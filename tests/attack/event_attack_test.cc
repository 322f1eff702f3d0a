// #sync, #account and #identity by the wrong hand. A #sync is signed and judged like a commit. The other two
// are not signed at all: they may hide an account until its host has been asked, and never destroy anything.

#include "tests/attack/attack.h"

namespace penstock::test {
namespace {

using builder::AccountMessage;
using builder::Curve;
using builder::SigningKey;
using builder::SyncMessage;
using builder::Write;

class EventAttack : public Attack {
 protected:
  void SetUp() override {
    options_.host_status = &status_;
    status_.answer.status = absl::UnavailableError("nobody there");
    Attack::SetUp();
  }
  // The victim's #sync with another commit block in it.
  SyncMessage SyncOf(const builder::CommitFields& fields, const SigningKey& key) {
    SyncMessage message = victim_.Sync(Tick());
    message.rev = fields.rev;
    message.commit = builder::SignCommit(fields, key);
    return message;
  }
  builder::CommitFields Fields() {
    return {victim_.did(), builder::FormatTid(Tick(), 7), cbor::Cid::OfBlock(AsBytes("another tree"))};
  }
  AccountMessage Status(const builder::Account& account, bool active, std::string_view status) {
    AccountMessage message;
    message.did = account.did();
    message.time = builder::FormatTime(Tick());
    message.active = active;
    if (!status.empty()) message.status = status;
    return message;
  }
  bool Visible(const builder::Account& account) const {
    for (const std::string& row : store_.tables().Visible()) {
      if (row.starts_with(account.did())) return true;
    }
    return false;
  }
};

TEST_P(EventAttack, AForgedSync) {
  for (const SigningKey& key :
       {SigningKey::FromSeed(GetParam(), AsBytes("a forger")), other_.key(),
        SigningKey::FromSeed(GetParam() == Curve::kK256 ? Curve::kP256 : Curve::kK256, AsBytes("x"))}) {
    ExpectRefused(Numbered(SyncOf(Fields(), key)), Reject::kSignatureMismatch);
  }
  ExpectGoesOn();
}

TEST_P(EventAttack, ASyncOfAnotherAccount) {
  SyncMessage message = other_.Sync(Tick());
  message.did = victim_.did();
  ExpectRefused(Numbered(message), Reject::kCommitDidMismatch);
  ExpectGoesOn();
}

TEST_P(EventAttack, ASyncWhoseRevIsNotItsCommits) {
  SyncMessage message = victim_.Sync(Tick());
  message.rev = builder::FormatTid(now_, 7);
  ExpectRefused(Numbered(message), Reject::kCommitRevMismatch);
  ExpectGoesOn();
}

TEST_P(EventAttack, ASyncOfTheFuture) {
  builder::CommitFields fields = Fields();
  fields.rev = builder::FormatTid(clock_.NowMicros() + builder::kDay, 7);
  ExpectRefused(Numbered(SyncOf(fields, victim_.key())), Reject::kCommitFutureRev);
  ExpectGoesOn();
}

TEST_P(EventAttack, ReplayedSyncsAreOldNews) {
  const std::string old = Numbered(victim_.Sync(now_));
  Send(Numbered(Next(victim_, "d")), kHonest);
  ExpectIgnored(old, "stale_rev");
  const std::string present = Numbered(victim_.Sync(now_));
  ExpectIgnored(present);
  ExpectIgnored(present);
  ExpectGoesOn();
}

TEST_P(EventAttack, ASyncByAKeyThatWasTakenOutOfService) {
  const SigningKey old = victim_.key();
  victim_.RotateKey();
  resolver_.Serve(victim_.did(), IdentityOf(victim_, MonotonicMicros() + builder::kDay));
  Send(Numbered(Next(victim_, "d")), kHonest);  // one refresh shows the new key
  ExpectRefused(Numbered(SyncOf(Fields(), old)), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

TEST_P(EventAttack, ASyncWithoutACommitOrWithMuchElse) {
  SyncMessage message = victim_.Sync(Tick());
  message.commit.data = "\xa0";
  message.commit.cid = cbor::Cid::OfBlock(AsBytes(message.commit.data));
  ExpectRefused(Numbered(message), Reject::kCommitBadObject);
  message = victim_.Sync(Tick());
  message.commit.data.back() ^= 1;
  ExpectRefused(Numbered(message), Reject::kCarBlockCidMismatch);
  ExpectGoesOn();
}

// A true #sync with another tree says that we missed something: our rows stay, and wait for the resync.
TEST_P(EventAttack, ATrueSyncThatWeCannotFollow) {
  Next(victim_, "never seen");
  const auto records = store_.tables().records;
  Send(Numbered(victim_.Sync(now_)));
  EXPECT_EQ(store_.tables().records, records);
  EXPECT_EQ(store_.tables().repos.at(victim_.did()).reason, "chain_broken");
  ExpectDelayed();
}

// ---- nothing of it is signed ----

TEST_P(EventAttack, AForgedStatusHidesUntilTheHostHasBeenAsked) {
  const auto records = store_.tables().records;
  for (const char* status : {"deleted", "takendown", "deactivated", "suspended", "no such status", ""}) {
    SCOPED_TRACE(status);
    Send(Numbered(Status(victim_, false, status)));
    EXPECT_FALSE(Visible(victim_));
    EXPECT_TRUE(Visible(other_));
    EXPECT_EQ(store_.tables().records, records) << "hidden, not gone";
    EXPECT_EQ(store_.tables().repos.at(victim_.did()).state.head->rev, victim_.rev()) << "nor its chain";
  }
  // The account goes on writing, and its host says what is true.
  status_.answer = {absl::OkStatus(), true, ""};
  ExpectGoesOn(/*was_away=*/true);
  EXPECT_TRUE(Visible(victim_));
  EXPECT_EQ(status_.asked, 1);
  EXPECT_EQ(counters_.Of("status_corrected"), 1u);
}

// Nobody can be asked: the account stays silent, as its relay said last, and nothing is lost that a true
// #account does not bring back.
TEST_P(EventAttack, AForgedStatusThatNobodyCanCorrect) {
  Send(Numbered(Status(victim_, false, "deleted")));
  const auto records = store_.tables().records;
  const builder::CommitMessage missed = Next(victim_, "d");
  Send(Numbered(missed), kHonest);
  EXPECT_EQ(store_.tables().records, records);
  Send(Numbered(Status(victim_, true, "")), kHonest);
  EXPECT_TRUE(Visible(victim_));
  // What came meanwhile was ignored; the relay's next commit shows the hole.
  Send(Numbered(missed), kHonest);
  ExpectGoesOn(/*was_away=*/true);
}

TEST_P(EventAttack, AReplayedStatusIsOldNews) {
  AccountMessage gone = Status(victim_, false, "deactivated");
  gone.seq = ++seq_;
  AccountMessage back = Status(victim_, true, "");
  back.seq = ++seq_;
  Send(builder::Encode(gone), kHonest);
  Send(builder::Encode(back), kHonest);
  EXPECT_TRUE(Visible(victim_));
  const std::vector<std::string> before = Facts();
  Send(builder::Encode(gone), kHonest);  // the same source again, with the seq that it had
  EXPECT_EQ(Facts(), before);
  EXPECT_TRUE(Visible(victim_));
  ExpectGoesOn(/*was_away=*/true);
}

TEST_P(EventAttack, AFloodOfStatusesAsksTheHostOnceInAWhile) {
  status_.answer = {absl::OkStatus(), true, ""};
  std::vector<std::string> messages;
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 300; ++i) {
    messages.push_back(Numbered(Status(victim_, false, "takendown")));
    messages.push_back(Numbered(Next(victim_, "n" + std::to_string(i))));
  }
  for (const std::string& message : messages) arrivals.push_back({kAttacker, message});
  const auto records = store_.tables().records;
  consumer_->Run(arrivals);
  EXPECT_EQ(status_.asked, 1) << "asking is rate-limited per account";
  for (const auto& [key, record] : records) EXPECT_EQ(store_.tables().records.at(key), record);
  EXPECT_TRUE(store_.tables().dead_letters.empty());
}

// Two relays that say different things of an account: its host decides. Until it may be asked again, what
// hides counts.
TEST_P(EventAttack, TwoSourcesThatContradictEachOther) {
  status_.answer = {absl::OkStatus(), true, ""};
  const std::string active = Numbered(Status(victim_, true, "")),
                    gone = Numbered(Status(victim_, false, "deleted")),
                    gone_again = Numbered(Status(victim_, false, "deleted")),
                    active_again = Numbered(Status(victim_, true, ""));
  consumer_->Run({{kHonest, active},          // first word
                  {kAttacker, gone},          // contradicts: the host is asked, and corrects it
                  {kAttacker, gone_again},    // contradicts the host: hides, since it was just asked
                  {kHonest, active_again}});  // contradicts: nobody can say yet
  EXPECT_EQ(status_.asked, 1);
  EXPECT_EQ(counters_.Of("status_corrected"), 1u);
  EXPECT_EQ(counters_.Of("status_unconfirmed"), 1u);
  EXPECT_FALSE(Visible(victim_));
  EXPECT_TRUE(Visible(other_));
  // The account's next commit asks again, as soon as that is allowed.
  options_.status_interval_us = 0;
  consumer_ = std::make_unique<InlineConsumer>(options_, &store_);
  ExpectGoesOn(/*was_away=*/true);
  EXPECT_TRUE(Visible(victim_));
}

// A PDS is believed about its own accounts only, whatever it sends.
TEST_P(EventAttack, AnotherHostSpeaksForTheAccount) {
  pipeline::SourceOptions host;
  host.origin = "https://attacker.test";
  host.pds = true;
  consumer_->Describe(kAttacker, host);
  ExpectRefused(Numbered(Status(victim_, false, "deleted")), Reject::kAccountWrongHost);
  ExpectRefused(Numbered(victim_.Draft({Write::Create(NotePath("x"), Note("x"))}, now_ + builder::kSecond)),
                Reject::kAccountWrongHost);
  ExpectRefused(Numbered(victim_.Sync(Tick())), Reject::kAccountWrongHost);
  EXPECT_TRUE(Visible(victim_));
  ExpectGoesOn();
}

TEST_P(EventAttack, IdentityEventsOnlyMakeUsAskAgain) {
  const std::vector<std::string> before = Facts();
  builder::IdentityMessage message;
  message.did = victim_.did();
  message.time = builder::FormatTime(Tick());
  message.handle = "attacker.test";  // a hint that nobody takes
  for (int i = 0; i < 100; ++i) Send(Numbered(message));
  EXPECT_EQ(Facts(), before);
  const size_t asked = resolver_.asked();
  ExpectGoesOn();
  EXPECT_LE(resolver_.asked(), asked + 2) << "one question for each account, however often it was purged";
}

// Accounts that cannot exist, of methods that nobody resolves: nothing is kept of them.
TEST_P(EventAttack, AccountsOfMethodsThatNobodyResolves) {
  for (const char* did : {"did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", "did:example:abc"}) {
    AccountMessage message = Status(victim_, false, "deleted");
    message.did = did;
    Send(Numbered(message));
    EXPECT_FALSE(store_.tables().repos.contains(did));
  }
  ExpectGoesOn();
}

INSTANTIATE_TEST_SUITE_P(Curves, EventAttack, testing::Values(Curve::kK256, Curve::kP256), CurveName);

}  // namespace
}  // namespace penstock::test
