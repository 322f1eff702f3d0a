// A directory that means harm, against the whole consumer: pipeline, resolver and sockets. Whatever it does,
// nothing is indexed that the account's key did not prove, accounts whose key is known go on, and once it
// behaves again the rest follows in order.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/faults.h"
#include "indexer/filter.h"
#include "pipeline/pipeline.h"
#include "tests/identity/resolver/resolver_fixture.h"
#include "tests/support/pipeline/memory_store.h"

namespace penstock::test {
namespace {

using builder::Account;
using builder::CommitMessage;
using builder::Item;
using builder::Write;
using fixtures::DirectoryReply;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using Manner = DirectoryReply::Manner;

constexpr char kRelay[] = "relay.test";
constexpr char kNote[] = "test.lantern.note";

class DirectoryAttack : public ResolverFixture {
 protected:
  DirectoryAttack() : victim_(Register(1)), other_(Register(2)) {
    options_.lookup_timeout = milliseconds(300);
    options_.refresh_interval =
        milliseconds(20);  // minutes in earnest: that is the delay which an attack can cost
    clock_.Set(builder::kFixtureEpoch + builder::kHour);
    line_options_.filter = &filter_;
    line_options_.clock = &clock_;
    line_options_.counters = &counters_;
    line_options_.batch_age_us = 1'000;
    line_options_.ask_again_min_us = 5'000;
    line_options_.ask_again_max_us = 20'000;
    line_options_.state_store = [this] { return store_.MakeReader(); };
  }
  ~DirectoryAttack() override {
    if (line_) {
      EXPECT_TRUE(line_->Finish(10'000'000).ok());
    }
  }

  // The service begins, and gets to know the other account while the directory still behaves.
  void Start() {
    line_options_.resolver = &Resolver();
    line_ = std::make_unique<pipeline::Pipeline>(line_options_, &store_);
    line_->AddSource(kRelay, std::nullopt);
    ASSERT_TRUE(line_->Start().ok());
    Offer(other_.Commit({}, Tick()));
    Offer(Next(other_, "a"));
    ASSERT_TRUE(Eventually([&] { return Keys(other_).size() == 1; }));
  }
  int64_t Tick() { return now_ += builder::kSecond; }
  CommitMessage Next(Account& account, const std::string& rkey) {
    const Item note = Item::Map({{"$type", kNote}, {"text", rkey}});
    return account.Commit({Write::Create(std::string(kNote) + "/" + rkey, note)}, Tick());
  }
  void Offer(CommitMessage message) {
    message.seq = ++seq_;
    const std::string bytes = builder::Encode(message);
    firehose::DeliveryPtr delivery = line_->deliveries().Take();
    delivery->buffer = line_->buffers().Take();
    delivery->buffer.Append(AsBytes(bytes));
    delivery->buffer.arrival_us = clock_.NowMicros();
    ASSERT_TRUE(firehose::DecodeFrame(delivery->buffer.bytes(), &delivery->frame).ok());
    while (!line_->sink().Offer(kRelay, &delivery)) std::this_thread::sleep_for(milliseconds(1));
  }
  // "rkey level" of the account's rows.
  std::vector<std::string> Keys(const Account& account) const {
    std::vector<std::string> keys;
    for (const std::string& row : store_.tables().Visible()) {
      if (row.starts_with(account.did())) keys.push_back(row.substr(row.rfind('/') + 1));
    }
    return keys;
  }
  static size_t Memory() {
    std::ifstream statm("/proc/self/statm");
    size_t total = 0, resident = 0;
    statm >> total >> resident;
    return resident * 4096;
  }

  // The directory answers every question for the victim so, and gives no answer by that: its events wait, the
  // other account goes on; and when the directory behaves again everything is proven, in order.
  void ExpectWaits(const char* what, const std::function<void()>& misbehave) {
    SCOPED_TRACE(what);
    Start();
    const size_t memory = Memory();
    misbehave();
    Offer(victim_.Commit({}, Tick()));
    Offer(Next(victim_, "a"));
    Offer(Next(victim_, "b"));
    Offer(Next(other_, "b"));
    Offer(Next(other_, "c"));
    ASSERT_TRUE(Eventually([&] { return Keys(other_).size() == 3; })) << "the others go on";
    ASSERT_TRUE(Eventually([&] { return counters_.Of("identity_unavailable") >= 2; }))
        << "it was asked, again and again";
    EXPECT_THAT(Keys(victim_), IsEmpty()) << "nothing unverified is indexed";
    EXPECT_EQ(line_->stats().held_events, 3u);
    const size_t grown = Memory() > memory ? Memory() - memory : 0;
    EXPECT_LT(grown, 64u << 20);
    std::printf("%-44s 3 events held, %llu questions without an answer, %zu KB grown, %llu KB sent to us\n",
                what, static_cast<unsigned long long>(counters_.Of("identity_unavailable")), grown / 1024,
                static_cast<unsigned long long>(directory_->bytes_sent() / 1024));
    directory_->Behave();
    directory_->SetDown(false);
    directory_->SetReply("/" + victim_.did(), DirectoryReply::Of(200, victim_.DidDocument()));
    ASSERT_TRUE(Eventually([&] { return Keys(victim_).size() == 2; }));
    Offer(Next(victim_, "c"));
    ASSERT_TRUE(Eventually([&] { return Keys(victim_).size() == 3; }));
    EXPECT_THAT(Keys(victim_), ElementsAre("a full", "b full", "c full"));
    EXPECT_THAT(Keys(other_), ElementsAre("a full", "b full", "c full"));
    EXPECT_THAT(store_.tables().Rejects(), IsEmpty());
  }
  void ExpectWaits(const char* what, const DirectoryReply& reply) {
    ExpectWaits(what, [&] { directory_->Misbehave(reply); });
  }

  // The directory gives an answer by which nothing can be verified: what came meanwhile is refused for `why`.
  // With the right answer the account's next commit anchors it.
  void ExpectRefused(const char* what, Reject why, const std::function<void()>& misbehave) {
    SCOPED_TRACE(what);
    Start();
    misbehave();
    Offer(victim_.Commit({}, Tick()));
    Offer(Next(victim_, "a"));
    Offer(Next(other_, "b"));
    ASSERT_TRUE(
        Eventually([&] { return Keys(other_).size() == 2 && store_.tables().dead_letters.size() == 2; }));
    EXPECT_THAT(store_.tables().Rejects(), ElementsAre(why, why));
    EXPECT_THAT(Keys(victim_), IsEmpty());
    EXPECT_FALSE(store_.tables().repos.contains(victim_.did())) << "nothing is kept of it";
    directory_->SetReply("/" + victim_.did(), DirectoryReply::Of(200, victim_.DidDocument()));
    Offer(Next(victim_, "b"));
    ASSERT_TRUE(Eventually([&] { return Keys(victim_).size() == 1; }));
    EXPECT_THAT(Keys(victim_), ElementsAre("b commit"));
    std::printf("%-44s 2 events refused (%s), then anchored\n", what, std::string(RejectName(why)).c_str());
  }
  std::function<void()> Serves(DirectoryReply reply) {
    return [this, reply] { directory_->SetReply("/" + victim_.did(), reply); };
  }

  Account victim_, other_;
  indexer::Filter filter_ = indexer::Filter::Everything();
  MemoryStore store_;
  pipeline::PipelineOptions line_options_;
  std::unique_ptr<pipeline::Pipeline> line_;
  int64_t now_ = builder::kFixtureEpoch;
  int64_t seq_ = 0;
};

// ---- no answer ----

TEST_F(DirectoryAttack, Stalls) { ExpectWaits("stalls", DirectoryReply::Misbehave(Manner::kStall)); }

TEST_F(DirectoryAttack, ServesOneByteAtATime) {
  ExpectWaits("serves one byte at a time",
              DirectoryReply::Misbehave(Manner::kTrickle, victim_.DidDocument()));
}

TEST_F(DirectoryAttack, SendsAHundredMegabytes) {
  ExpectWaits("sends 100 MB", DirectoryReply::Misbehave(Manner::kEndlessBody, std::string(1000, '{')));
}

TEST_F(DirectoryAttack, SendsHeadersForEver) {
  ExpectWaits("sends headers for ever", DirectoryReply::Misbehave(Manner::kEndlessHeaders));
}

TEST_F(DirectoryAttack, ClosesInTheMiddle) {
  ExpectWaits("closes in the middle",
              DirectoryReply::Misbehave(Manner::kCloseMidBody, victim_.DidDocument()));
}

TEST_F(DirectoryAttack, ClosesWithoutAWord) {
  ExpectWaits("closes without a word", DirectoryReply::Misbehave(Manner::kDrop));
}

TEST_F(DirectoryAttack, AnswersWithGarbage) {
  ExpectWaits("answers with garbage",
              DirectoryReply::Misbehave(Manner::kGarbage, std::string("\0\xff\xfe garbage", 11)));
}

TEST_F(DirectoryAttack, IsDown) {
  ExpectWaits("is down", [&] { directory_->SetDown(true); });
}

TEST_F(DirectoryAttack, FailsWithAnErrorPage) {
  ExpectWaits("fails with an error page", DirectoryReply::Of(502, "<html>Bad Gateway</html>", "text/html"));
}

// ---- redirects ----

TEST_F(DirectoryAttack, RedirectsToPrivateAddresses) {
  // Where nothing private may be asked but the directory itself, which the operator has chosen.
  options_.http.allow_private_addresses = false;
  options_.http.gateway.clear();
  hosts_->SetDocument(victim_.did(), other_.DidDocument());
  ExpectWaits("redirects to a private address",
              DirectoryReply::Redirect(hosts_->url() + "/" + victim_.did()));
  EXPECT_EQ(hosts_->connections(), 0u) << "nobody went there";
}

TEST_F(DirectoryAttack, RedirectsToTheMetadataService) {
  options_.http.allow_private_addresses = false;
  options_.http.gateway.clear();
  ExpectWaits("redirects to 169.254.169.254",
              DirectoryReply::Redirect("http://169.254.169.254/latest/meta-data"));
}

TEST_F(DirectoryAttack, RedirectsInACircle) {
  ExpectWaits("redirects in a circle", DirectoryReply::Redirect("/" + victim_.did()));
}

// ---- lies ----

TEST_F(DirectoryAttack, ServesAnotherAccountsDocument) {
  ExpectRefused("serves another account's document", Reject::kDidDocumentInvalid,
                Serves(DirectoryReply::Of(200, other_.DidDocument())));
}

TEST_F(DirectoryAttack, ServesSomethingThatIsNoDocument) {
  ExpectRefused("serves something that is no document", Reject::kDidDocumentInvalid,
                Serves(DirectoryReply::Of(200, "[]")));
}

TEST_F(DirectoryAttack, ServesADocumentWithoutAKey) {
  ExpectRefused("serves a document without a key", Reject::kDidNoKey,
                Serves(DirectoryReply::Of(200, R"({"id":")" + victim_.did() + R"("})")));
}

TEST_F(DirectoryAttack, DeniesTheAccount) {
  ExpectRefused("denies the account", Reject::kDidNotFound, Serves(DirectoryReply::Of(404, "{}")));
}

TEST_F(DirectoryAttack, DeclaresTheAccountDead) {
  ExpectRefused("declares the account dead", Reject::kDidTombstoned, Serves(DirectoryReply::Of(410, "{}")));
}

// A document with the directory's own key: what is honest fails under it. (What the directory signs itself
// would pass: without the log, its word on the key is all there is; docs/verification.md.)
TEST_F(DirectoryAttack, InventsAKey) {
  Account forged = Register(1);
  forged.RotateKey();
  ExpectRefused("invents a key", Reject::kSignatureMismatch,
                Serves(DirectoryReply::Of(200, forged.DidDocument())));
}

// With --plc-audit not even that: the key must follow from the log that the DID is the hash of.
TEST_F(DirectoryAttack, InventsAKeyAndForgesACommitAgainstTheLog) {
  options_.plc_audit = true;
  directory_->SetAuditLog(victim_.did(), victim_.AuditLog());
  directory_->SetAuditLog(other_.did(), other_.AuditLog());
  Start();
  Account forged = Register(1);
  forged.RotateKey();
  directory_->SetDocument(victim_.did(), forged.DidDocument());
  Offer(forged.Commit({}, Tick()));
  Offer(Next(forged, "forged"));
  Offer(Next(other_, "b"));
  ASSERT_TRUE(
      Eventually([&] { return Keys(other_).size() == 2 && store_.tables().dead_letters.size() == 2; }));
  EXPECT_THAT(store_.tables().Rejects(),
              ElementsAre(Reject::kPlcDocumentMismatch, Reject::kPlcDocumentMismatch));
  EXPECT_THAT(Keys(victim_), IsEmpty());
  directory_->SetAccount(victim_);
  Offer(victim_.Commit({}, Tick()));
  Offer(Next(victim_, "a"));
  ASSERT_TRUE(Eventually([&] { return Keys(victim_).size() == 1; }));
  EXPECT_THAT(Keys(victim_), ElementsAre("a full"));
}

}  // namespace
}  // namespace penstock::test
