// Commits that are not what their account wrote: by the wrong hand, with other contents, at the wrong place
// in the chain. Each is refused for its own reason; what an attacker without the account's key sends costs
// nothing, what the account's own host makes of its own account costs that account a resync.

#include <openssl/ecdsa.h>

#include <map>

#include "tests/attack/attack.h"

namespace penstock::test {
namespace {

using builder::CommitFault;
using builder::CommitMessage;
using builder::Curve;
using builder::SigningKey;
using builder::Write;
using testing::Contains;
using testing::HasSubstr;

SigningKey Forger(Curve curve) { return SigningKey::FromSeed(curve, AsBytes("a forger")); }

class CommitAttack : public Attack {
 protected:
  std::string Signature(const CommitMessage& message) const {
    const std::string& block = message.blocks.front().data;
    return block.substr(block.find("csig\x58\x40") + 6, 64);
  }
  builder::Block& RecordOf(CommitMessage* message, const cbor::Cid& cid) const {
    for (builder::Block& block : message->blocks) {
      if (block.cid == cid) return block;
    }
    ADD_FAILURE() << "no such block";
    return message->blocks.front();
  }
};

// ---- the wrong hand ----

TEST_P(CommitAttack, AnotherKeyOfTheSameCurve) {
  CommitMessage forged = Draft();
  builder::SignAgain(Forger(GetParam()), &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

TEST_P(CommitAttack, AKeyOfTheOtherCurve) {
  CommitMessage forged = Draft();
  builder::SignAgain(Forger(GetParam() == Curve::kK256 ? Curve::kP256 : Curve::kK256), &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

TEST_P(CommitAttack, TheKeyOfAnotherAccount) {
  CommitMessage forged = Draft();
  builder::SignAgain(other_.key(), &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

TEST_P(CommitAttack, AnotherAccountsWholeCommitUnderThisName) {
  CommitMessage stolen = other_.Draft({Write::Create(NotePath("x"), Note("x"))}, now_ + builder::kSecond);
  stolen.did = victim_.did();
  ExpectRefused(Numbered(stolen), Reject::kCommitDidMismatch);
  ExpectGoesOn();
}

TEST_P(CommitAttack, AKeyThatWasTakenOutOfService) {
  const SigningKey old = victim_.key();
  victim_.RotateKey();
  resolver_.Serve(victim_.did(), IdentityOf(victim_, MonotonicMicros() + builder::kDay));
  Send(Numbered(Next(victim_, "d")), kHonest);  // one refresh shows the new key
  EXPECT_EQ(resolver_.refreshed(), 1u);
  CommitMessage forged = Draft();
  builder::SignAgain(old, &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

TEST_P(CommitAttack, TheOtherSignatureOverTheSameBytes) {
  CommitMessage forged = Draft();
  builder::Spoil(CommitFault::kHighS, victim_, &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureHighS);
  ExpectGoesOn();
}

TEST_P(CommitAttack, SignaturesOfAnyOtherLength) {
  CommitMessage message = Draft();
  const std::string good = Signature(message);
  std::string der;  // as most libraries write it
  {
    const auto bytes = AsBytes(good);
    ECDSA_SIG* signature = ECDSA_SIG_new();
    ECDSA_SIG_set0(signature, BN_bin2bn(bytes.data(), 32, nullptr),
                   BN_bin2bn(bytes.data() + 32, 32, nullptr));
    unsigned char* out = nullptr;
    const int size = i2d_ECDSA_SIG(signature, &out);
    der.assign(out, out + size);
    OPENSSL_free(out);
    ECDSA_SIG_free(signature);
  }
  for (const std::string& signature : {good + '\0', good + '\x1b', good.substr(0, 63), std::string(),
                                       good + good, der, std::string(10'000, 's')}) {
    CommitMessage forged = message;
    builder::ReplaceSignature(AsBytes(signature), &forged);
    ExpectRefused(Numbered(forged), Reject::kSignatureLength);
  }
  ExpectGoesOn();
}

TEST_P(CommitAttack, SignaturesOfNumbersThatAreNone) {
  CommitMessage message = Draft();
  const std::string good = Signature(message), zero(32, '\0'), ones(32, '\xff');
  const std::string one = std::string(31, '\0') + '\1';
  for (const std::string& signature :
       {zero + zero, good.substr(0, 32) + zero, zero + good.substr(32), one + one, ones + good.substr(32),
        good.substr(0, 32) + ones, ones + ones}) {
    CommitMessage forged = message;
    builder::ReplaceSignature(AsBytes(signature), &forged);
    ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  }
  ExpectGoesOn();
}

TEST_P(CommitAttack, ASignatureOfAnEarlierCommit) {
  const CommitMessage earlier = Next(victim_, "d");
  Send(Numbered(earlier), kHonest);
  CommitMessage forged = Draft();
  builder::ReplaceSignature(AsBytes(Signature(earlier)), &forged);
  ExpectRefused(Numbered(forged), Reject::kSignatureMismatch);
  ExpectGoesOn();
}

// ---- other contents, by somebody without the key ----

TEST_P(CommitAttack, ARecordInPlaceOfAnother) {
  {
    CommitMessage forged = Draft();  // other bytes under the CID
    RecordOf(&forged, *forged.ops[0].cid).data = Note("forged").bytes();
    ExpectRefused(Numbered(forged), Reject::kCarBlockCidMismatch);
  }
  const builder::Item other = Note("forged");
  const cbor::Cid cid = cbor::Cid::OfBlock(AsBytes(other.bytes()));
  {
    CommitMessage forged = Draft();  // another block in its place
    RecordOf(&forged, *forged.ops[0].cid) = {cid, other.bytes()};
    ExpectRefused(Numbered(forged), Reject::kCommitMissingRecord);
  }
  {
    CommitMessage forged = Draft();  // and the op names it
    RecordOf(&forged, *forged.ops[0].cid) = {cid, other.bytes()};
    forged.ops[0].cid = cid;
    ExpectRefused(Numbered(forged), Reject::kCommitOpNotInTree);
  }
  {
    CommitMessage forged = Draft();  // two records of one commit change places
    forged.ops.push_back({repo::Action::kCreate, NotePath("b"), forged.ops[0].cid, std::nullopt});
    ExpectRefused(Numbered(forged), Reject::kCommitOpNotInTree);
  }
  ExpectGoesOn();
}

// What names the ops is not signed, so it can be changed on the way. It never makes a row: the tree must hold
// it, and what they say must be all that changed. But that the account did write something here is proven, so
// it counts as behind.
TEST_P(CommitAttack, AnOpThatIsHidden) {
  CommitMessage message =
      victim_.Draft({Write::Create(NotePath("x"), Note("x")), Write::Create(NotePath("y"), Note("y"))},
                    now_ + builder::kSecond);
  message.ops.pop_back();
  ExpectRefused(Numbered(message), Reject::kCommitPrevDataMismatch, Cost::kDelay);
  ExpectDelayed();
}

TEST_P(CommitAttack, ACommitWhoseOpsAreAllHidden) {
  CommitMessage message = Draft();
  message.ops.clear();
  ExpectRefused(Numbered(message), Reject::kCommitPrevDataMismatch, Cost::kDelay);
  ExpectDelayed();
}

TEST_P(CommitAttack, AnOpThatIsInvented) {
  const cbor::Cid some = cbor::Cid::OfBlock(AsBytes(Note("a").bytes()));
  {
    CommitMessage forged = Draft();  // a create of what the tree has not
    builder::Spoil(CommitFault::kPhantomCreate, victim_, &forged);
    ExpectRefused(Numbered(forged), Reject::kCommitOpNotInTree);
  }
  {
    CommitMessage forged = Draft();  // a delete of what the tree still has
    forged.ops.push_back({repo::Action::kDelete, NotePath("a"), std::nullopt, some});
    ExpectRefused(Numbered(forged), Reject::kCommitOpStillInTree);
  }
  {
    CommitMessage forged = Draft();  // the same op twice
    builder::Spoil(CommitFault::kDuplicatePath, victim_, &forged);
    ExpectRefused(Numbered(forged), Reject::kCommitDuplicatePath);
  }
  ExpectGoesOn();
  {
    CommitMessage forged = Draft();  // a delete of what never was
    forged.ops.push_back({repo::Action::kDelete, NotePath("never"), std::nullopt, some});
    ExpectRefused(Numbered(forged), Reject::kCommitPrevDataMismatch, Cost::kDelay);
  }
  ExpectDelayed();
}

TEST_P(CommitAttack, AnotherActionThanTheOneThatWasDone) {
  const MemoryTables before = store_.tables();
  {
    CommitMessage forged = Draft();  // a create called an update of something
    forged.ops[0].action = repo::Action::kUpdate;
    forged.ops[0].prev = cbor::Cid::OfBlock(AsBytes("what was there"));
    ExpectRefused(Numbered(forged), Reject::kCommitPrevDataMismatch, Cost::kDelay);
    store_.Set(before);
  }
  {
    CommitMessage forged = Draft();  // … of it does not say what
    forged.ops[0].action = repo::Action::kUpdate;
    ExpectRefused(Numbered(forged), Reject::kCommitOpWithoutPrev, Cost::kDelay);
    store_.Set(before);
  }
  {
    CommitMessage forged = victim_.Draft({Write::Update(NotePath("a"), Note("a2"))}, now_ + builder::kSecond);
    forged.ops[0].action = repo::Action::kCreate;  // an update called a create
    forged.ops[0].prev.reset();
    ExpectRefused(Numbered(forged), Reject::kCommitPrevDataMismatch, Cost::kDelay);
    store_.Set(before);
  }
  {
    CommitMessage forged = victim_.Draft({Write::Update(NotePath("a"), Note("a2"))}, now_ + builder::kSecond);
    forged.ops[0].prev = cbor::Cid::OfBlock(AsBytes("something else"));  // an update of another version
    ExpectRefused(Numbered(forged), Reject::kCommitPrevDataMismatch, Cost::kDelay);
    store_.Set(before);
  }
  {
    CommitMessage forged = victim_.Draft({Write::Delete(NotePath("a"))}, now_ + builder::kSecond);
    forged.ops[0].prev = cbor::Cid::OfBlock(AsBytes("something else"));  // a delete of another version
    ExpectRefused(Numbered(forged), Reject::kCommitPrevDataMismatch, Cost::kDelay);
    store_.Set(before);
  }
  {
    CommitMessage forged = Draft();  // a create called a delete
    builder::Spoil(CommitFault::kPhantomDelete, victim_, &forged);
    ExpectRefused(Numbered(forged), Reject::kCommitOpStillInTree);
  }
  ExpectGoesOn();
}

TEST_P(CommitAttack, PathsThatAreNone) {
  for (const std::string& path : {std::string("no-slash"), NotePath("a/b"), NotePath(".."), NotePath(""),
                                  std::string("/a"), NotePath("sp ace"), NotePath(std::string(513, 'a')),
                                  NotePath("caf\xc3\xa9"), std::string("../../etc/passwd")}) {
    CommitMessage forged = Draft();
    forged.ops[0].path = path;
    ExpectRefused(Numbered(forged), Reject::kSyntaxRepoPath);
  }
  ExpectGoesOn();
}

// ---- the wrong place in the chain ----

TEST_P(CommitAttack, LiesAboutTheTreeBefore) {
  const MemoryTables before = store_.tables();
  CommitMessage wrong = Draft();
  builder::Spoil(CommitFault::kPrevDataWrong, victim_, &wrong);
  ExpectRefused(Numbered(wrong), Reject::kCommitPrevDataMismatch, Cost::kDelay);
  store_.Set(before);
  CommitMessage none = Draft();
  none.prev_data.reset();
  ExpectRefused(Numbered(none), Reject::kCommitPrevDataMissing, Cost::kDelay);
  store_.Set(before);
  CommitMessage first = Draft();  // as if it were the account's first
  first.prev_data.reset();
  first.since.reset();
  Send(Numbered(first));
  EXPECT_EQ(store_.tables().records, before.records);
  EXPECT_EQ(store_.tables().dead_letters.size(), 1u);
  store_.Set(before);
  CommitMessage own = Draft();  // its own tree: as if nothing had changed
  own.prev_data = own.data;
  ExpectRefused(Numbered(own), Reject::kCommitPrevDataMismatch, Cost::kDelay);
  ExpectDelayed();
}

// What a relay keeps back leaves a hole, and the hole is seen at the next commit.
TEST_P(CommitAttack, ACommitThatIsKeptBack) {
  Next(victim_, "kept back");
  const auto records = store_.tables().records;
  Send(Numbered(Next(victim_, "d")));
  EXPECT_EQ(store_.tables().records, records);
  EXPECT_EQ(store_.tables().repos.at(victim_.did()).reason, "chain_broken");
  ExpectDelayed();
}

TEST_P(CommitAttack, AnotherSinceThanOurs) {
  CommitMessage message = Draft();
  builder::Spoil(CommitFault::kSinceWrong, victim_, &message);
  Send(Numbered(message));
  EXPECT_EQ(store_.tables().repos.at(victim_.did()).reason, "chain_broken");
  ExpectDelayed();
}

TEST_P(CommitAttack, ReplayedCommitsAreOldNews) {
  std::vector<std::string> sent;
  for (const char* rkey : {"d", "e", "f"}) {
    sent.push_back(Numbered(Next(victim_, rkey)));
    Send(sent.back(), kHonest);
  }
  const size_t asked = resolver_.asked();
  for (int round = 0; round < 5; ++round) {
    for (const std::string& message : sent) ExpectIgnored(message, "stale_rev");
  }
  EXPECT_EQ(resolver_.asked(), asked);
  ExpectGoesOn();
}

// A fork by the account's own key: another commit of the rev that we hold, or of an older one. We do not go
// back.
TEST_P(CommitAttack, AForkOfThePast) {
  CommitMessage fork = Draft("fork");
  fork.rev = victim_.rev();
  builder::SignAgain(victim_.key(), &fork);
  ExpectIgnored(Numbered(fork), "stale_rev");
  fork.rev = builder::FormatTid(builder::kFixtureEpoch - builder::kDay, 7);
  builder::SignAgain(victim_.key(), &fork);
  ExpectIgnored(Numbered(fork), "stale_rev");
  ExpectGoesOn();
}

// One commit from the future would make every honest one after it stale.
TEST_P(CommitAttack, ARevOfTheFuture) {
  CommitMessage message = Draft();
  builder::Spoil(CommitFault::kFutureRev, victim_, &message);
  ExpectRefused(Numbered(message), Reject::kCommitFutureRev);
  CommitMessage later = Draft();
  later.rev = builder::FormatTid(clock_.NowMicros() + 5 * builder::kMinute + 1, 0);
  builder::SignAgain(victim_.key(), &later);
  ExpectRefused(Numbered(later), Reject::kCommitFutureRev);
  ExpectGoesOn();
}

// Thousands of forgeries of one account: each is refused by the key that is known to be new enough.
TEST_P(CommitAttack, AFloodOfForgeriesAsksOnce) {
  CommitMessage forged = Draft();
  builder::SignAgain(Forger(GetParam()), &forged);
  std::vector<std::string> messages;
  std::vector<Arrival> arrivals;
  for (int i = 0; i < 500; ++i) messages.push_back(Numbered(forged));
  for (const std::string& message : messages) arrivals.push_back({kAttacker, message});
  const std::vector<std::string> before = Facts();
  consumer_->Run(arrivals);
  EXPECT_EQ(Facts(), before);
  EXPECT_EQ(store_.tables().dead_letters.size(), 500u);
  EXPECT_LE(resolver_.refreshed(), 1u);
  ExpectGoesOn();
}

// An account that nobody knows, made up by the attacker: nothing is kept of it but the refusal.
TEST_P(CommitAttack, AnAccountThatDoesNotExist) {
  builder::Account nobody({.seed = 99, .handle = "nobody.test", .curve = GetParam()});
  resolver_.Serve(nobody.did(),
                  FaultyIdentity(nobody.did(), Reject::kDidNotFound, MonotonicMicros() + builder::kDay));
  ExpectRefused(Numbered(Next(nobody, "a")), Reject::kDidNotFound);
  EXPECT_FALSE(store_.tables().repos.contains(nobody.did()));
  EXPECT_FALSE(store_.tables().identities.contains(nobody.did()));
  ExpectGoesOn();
}

// A document without a key, or with one of a kind that atproto does not use, verifies nothing; it is no way
// around.
TEST_P(CommitAttack, AnAccountWithoutAKey) {
  builder::Account keyless({.seed = 98, .handle = "keyless.test", .curve = GetParam()});
  for (const Reject fault : {Reject::kDidNoKey, Reject::kDidTombstoned, Reject::kDidDocumentInvalid}) {
    resolver_.Know(keyless.did(), nullptr);
    resolver_.Serve(keyless.did(), FaultyIdentity(keyless.did(), fault, MonotonicMicros() + builder::kDay));
    ExpectRefused(Numbered(Next(keyless, RejectName(fault).data())), fault);
  }
  ExpectGoesOn();
}

INSTANTIATE_TEST_SUITE_P(Curves, CommitAttack, testing::Values(Curve::kK256, Curve::kP256), CurveName);

}  // namespace
}  // namespace penstock::test
