// The subscription against a relay over real sockets: each test takes one way in which a stream can go wrong
// and checks that every event came once and in order, that the reason was counted under its name, and where
// the cursor stood.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "firehose/stream_guard.h"
#include "fixtures/relay/frames.h"
#include "fixtures/relay/relay.h"
#include "tests/firehose/live_stream.h"
#include "tests/support/relay/certificates.h"
#include "tests/support/relay/event_frames.h"

namespace penstock::firehose {
namespace {

using fixtures::ErrorFrame;
using fixtures::InfoFrame;
using fixtures::Relay;
using fixtures::RelayOptions;
using fixtures::RelayRequest;
using fixtures::RelayScript;
using fixtures::RelayStep;
using penstock::test::Eventually;
using penstock::test::FastOptions;
using penstock::test::IdentityFrame;
using penstock::test::LiveStream;
using penstock::test::PoisonFrameBytes;
using penstock::test::RecordedGap;
using penstock::test::TestAuthority;
using penstock::test::TestCertificate;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

std::unique_ptr<Relay> StartRelay(RelayOptions options = {}) {
  auto relay = Relay::Start(std::move(options));
  EXPECT_TRUE(relay.ok()) << relay.status();
  return *std::move(relay);
}

void AppendEvents(Relay& relay, int64_t from, int64_t to) {
  for (int64_t seq = from; seq <= to; ++seq) relay.Append(seq, IdentityFrame(seq));
}

std::vector<int64_t> Range(int64_t from, int64_t to) {
  std::vector<int64_t> range(static_cast<size_t>(to - from + 1));
  std::iota(range.begin(), range.end(), from);
  return range;
}

RelayScript Steps(std::vector<RelayStep> steps) {
  RelayScript script;
  script.steps = std::move(steps);
  return script;
}

RelayScript Refuse(int status, std::vector<std::pair<std::string, std::string>> headers = {},
                   std::string body = {}) {
  RelayScript script;
  script.http_status = status;
  script.headers = std::move(headers);
  script.body = std::move(body);
  return script;
}

std::string Repeat(size_t n) { return std::string(n, 'x'); }

// One relay with events 1 to 20, and a stream that starts with cursor 0 and so must get them all.
class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    relay_ = StartRelay();
    source_ = relay_->host();
    AppendEvents(*relay_, 1, 20);
    stream_.sink.SetCursor(source_, 0);
  }

  SubscriptionOptions Options() { return FastOptions({relay_->url()}); }

  // Starts if that has not been done, and expects that 1 to 20 arrive once each, in order.
  void ExpectEverything() {
    if (!started_) Start();
    EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
    EXPECT_TRUE(stream_.Stop().ok()) << *stream_.result();
    EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 20));
    EXPECT_EQ(stream_.sink.Position(source_), 20);
  }
  void Start() { Start(Options()); }
  void Start(SubscriptionOptions options) {
    started_ = true;
    stream_.Start(std::move(options));
  }

  // `fault` in the middle of the first connection is survived without loss, and counted as reconnect_<cause>.
  void ExpectSurvives(RelayStep fault, const std::string& cause) {
    relay_->Script(Steps({RelayStep::Frames(7), std::move(fault), RelayStep::Stall()}));
    ExpectEverything();
    EXPECT_EQ(Count("reconnect_" + cause), 1u);
    EXPECT_EQ(Count("connect_ok"), 2u);
    EXPECT_THAT(stream_.sink.gaps(), IsEmpty());
    EXPECT_THAT(stream_.sink.quarantine(), IsEmpty());
    const std::vector<RelayRequest> requests = relay_->requests();
    ASSERT_EQ(requests.size(), 2u);
    EXPECT_EQ(requests[0].cursor, 0);
    EXPECT_EQ(requests[1].cursor, 7);
  }
  uint64_t Count(const std::string& name) { return stream_.counters.Of(name); }

  std::unique_ptr<Relay> relay_;
  std::string source_;
  LiveStream stream_;
  bool started_ = false;
};

// --- The good day

TEST_F(SessionTest, DeliversWhatIsThereAndWhatComes) {
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  AppendEvents(*relay_, 21, 40);
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 40));

  EXPECT_TRUE(Eventually([&] { return stream_.status().last_seq == 40; }));
  const SubscriptionStatus status = stream_.status();
  EXPECT_EQ(status.host, source_);
  EXPECT_TRUE(status.connected);
  EXPECT_EQ(status.frames, 40u);
  EXPECT_EQ(status.reconnects, 0u);
  EXPECT_GT(status.last_frame_us, 0);
  EXPECT_TRUE(status.lag_us.has_value());

  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 40));
  EXPECT_FALSE(stream_.status().connected);
  const std::vector<RelayRequest> requests = relay_->requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].target, "/xrpc/com.atproto.sync.subscribeRepos?cursor=0");
  EXPECT_EQ(requests[0].host, source_);
  EXPECT_EQ(requests[0].user_agent, "penstock-test (nobody@example.com)");
  EXPECT_EQ(requests[0].extensions, "") << "no permessage-deflate";
  EXPECT_TRUE(Eventually([&] { return relay_->open_connections() == 0; })) << "closed properly";
  EXPECT_THAT(stream_.sink.gaps(), IsEmpty());
}

TEST(Session, WithoutACursorItStartsLiveAndSaysSo) {
  auto relay = StartRelay();
  AppendEvents(*relay, 1, 5);
  LiveStream stream;
  stream.Start(FastOptions({relay->url()}));
  ASSERT_TRUE(stream.WaitForCount("connect_ok", 1));
  ASSERT_EQ(relay->requests().at(0).target, "/xrpc/com.atproto.sync.subscribeRepos")
      << "which is not cursor=0";
  AppendEvents(*relay, 6, 8);
  EXPECT_TRUE(stream.sink.WaitForSeq(relay->host(), 8));
  EXPECT_TRUE(stream.Stop().ok());
  const std::vector<int64_t> seqs = stream.sink.Seqs(relay->host());
  EXPECT_EQ(seqs, Range(seqs.front(), 8));
  EXPECT_THAT(stream.sink.gaps(), ElementsAre(RecordedGap{std::nullopt, seqs.front(), "no_cursor"}));
}

TEST_F(SessionTest, FragmentsArePutTogether) {
  relay_->Script(Steps({RelayStep::Fragments(10)}));
  ExpectEverything();
  EXPECT_EQ(Count("connect_ok"), 1u);
}

TEST_F(SessionTest, ATrickleIsAStream) {
  relay_->Script(Steps({RelayStep::Trickle(10)}));
  ExpectEverything();
  EXPECT_EQ(Count("connect_ok"), 1u);
}

TEST_F(SessionTest, AMessageOfExactlyTheLimitPasses) {
  const size_t plain = IdentityFrame(21).size();
  std::string frame = IdentityFrame(21, penstock::test::kTestDid, kMaxFrameBytes - plain - 20);
  frame = IdentityFrame(21, penstock::test::kTestDid,
                        kMaxFrameBytes - plain - 20 + (kMaxFrameBytes - frame.size()));
  ASSERT_EQ(frame.size(), kMaxFrameBytes);
  relay_->Append(21, frame);
  relay_->Append(22, IdentityFrame(22));
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 22));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 22));
  EXPECT_EQ(Count("connect_ok"), 1u);
}

// --- Connections that end

TEST_F(SessionTest, SurvivesADroppedConnection) { ExpectSurvives(RelayStep::Drop(), "reset"); }
TEST_F(SessionTest, SurvivesAClose) {
  ExpectSurvives(RelayStep::Close(1001), "closed");
  EXPECT_TRUE(stream_.LogHas("code 1001"));
}
TEST_F(SessionTest, SurvivesBytesThatAreNoWebSocket) {
  ExpectSurvives(RelayStep::Raw(std::string(20, '\xff')), "protocol");
}
TEST_F(SessionTest, SurvivesACompressedMessageThatNobodyAgreedOn) {
  ExpectSurvives(RelayStep::Raw(std::string("\xc2\x03\x01\x02\x03", 5)), "protocol");
}
TEST_F(SessionTest, SurvivesAMaskedServerMessage) {
  ExpectSurvives(RelayStep::Raw(std::string("\x82\x81\x01\x02\x03\x04\x05", 7)), "protocol");
}
TEST_F(SessionTest, SurvivesTextThatIsNotUtf8) {
  ExpectSurvives(RelayStep::Raw(std::string("\x81\x02\xff\xfe", 4)), "protocol");
}
TEST_F(SessionTest, SurvivesARelayThatDiesInAMessage) {
  relay_->Script(Steps(
      {RelayStep::Frames(7), RelayStep::Raw(std::string("\x82\x7e\x10\x00half", 8)), RelayStep::Drop()}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_reset"), 1u);
}
TEST_F(SessionTest, SurvivesManyDrops) {
  for (int i = 0; i < 9; ++i) relay_->Script(Steps({RelayStep::Frames(2), RelayStep::Drop()}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_reset"), 9u);
  EXPECT_EQ(Count("failover"), 0u);
}

TEST_F(SessionTest, SurvivesARelayThatDiesAndComesBack) {
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  const uint16_t port = relay_->port();
  relay_.reset();
  EXPECT_TRUE(stream_.WaitForCount("reconnect_connect", 2));
  RelayOptions again;
  again.port = port;
  relay_ = StartRelay(again);
  AppendEvents(*relay_, 1, 30);
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 30));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 30));
  EXPECT_GT(stream_.status().reconnects, 2u);
}

// --- Liveness

TEST_F(SessionTest, AQuietRelayThatAnswersPingsIsLeftAlone) {
  relay_->Script(Steps({RelayStep::Frames(5), RelayStep::Pause(milliseconds(1500))}));
  SubscriptionOptions options = Options();
  options.ping_interval = milliseconds(60);
  options.idle_timeout = milliseconds(500);
  Start(options);
  ExpectEverything();
  EXPECT_EQ(Count("connect_ok"), 1u);
  EXPECT_EQ(Count("reconnect_idle"), 0u);
  EXPECT_GE(relay_->pings(), 3u);
}

TEST_F(SessionTest, ARelayThatAnswersNothingIsLeft) {
  RelayScript deaf = Steps({RelayStep::Frames(5), RelayStep::Stall()});
  deaf.answer_pings = false;
  relay_->Script(deaf);
  SubscriptionOptions options = Options();
  options.ping_interval = milliseconds(60);
  options.idle_timeout = milliseconds(500);
  Start(options);
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_idle"), 1u);
  EXPECT_EQ(Count("connect_ok"), 2u);
  EXPECT_EQ(relay_->requests().at(1).cursor, 5);
}

TEST_F(SessionTest, OurOwnWaitingIsNotTheRelaysSilence) {
  SubscriptionOptions options = Options();
  options.ping_interval = milliseconds(60);
  options.idle_timeout = milliseconds(300);
  stream_.sink.RefuseOffers(-1);
  Start(options);
  EXPECT_TRUE(stream_.sink.WaitForOffers(1));
  std::this_thread::sleep_for(milliseconds(1000));
  stream_.sink.RefuseOffers(0);
  ExpectEverything();
  EXPECT_EQ(Count("connect_ok"), 1u);
  EXPECT_EQ(Count("reconnect_idle"), 0u);
  EXPECT_EQ(Count("backpressure"), 1u);
}

TEST_F(SessionTest, AFullSinkStopsTheReading) {
  for (int64_t seq = 21; seq <= 60; ++seq)
    relay_->Append(seq, IdentityFrame(seq, penstock::test::kTestDid, 1'000'000));
  stream_.sink.RefuseOffers(-1);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForOffers(20));
  EXPECT_LE(stream_.status().frames, 1u) << "nothing is read while one waits";
  stream_.sink.RefuseOffers(0);
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 60));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 60));
}

// --- Messages that are no frames

TEST_F(SessionTest, SurvivesGarbage) { ExpectSurvives(RelayStep::Message("\xff garbage"), "framing"); }
TEST_F(SessionTest, SurvivesAnEmptyMessage) { ExpectSurvives(RelayStep::Message(""), "framing"); }
TEST_F(SessionTest, SurvivesAFrameWithTrailingBytes) {
  ExpectSurvives(RelayStep::Message(IdentityFrame(99) + "x"), "framing");
  EXPECT_EQ(stream_.counters.Of(Reject::kFrameTrailingBytes), 1u);
}
TEST_F(SessionTest, SurvivesText) {
  ExpectSurvives(RelayStep::Text("{\"error\": \"hello\"}"), "framing");
  EXPECT_EQ(stream_.counters.Of(Reject::kFrameText), 1u);
}
TEST_F(SessionTest, SurvivesAMessageThatIsTooLarge) {
  ExpectSurvives(RelayStep::Message(Repeat(kMaxFrameBytes + 1)), "framing");
  EXPECT_EQ(stream_.counters.Of(Reject::kFrameTooLarge), 1u);
}
TEST_F(SessionTest, SurvivesAMessageThatClaimsToBeEndless) {
  // A length of 2^62 bytes: nothing may be reserved for it.
  relay_->Script(Steps({RelayStep::Frames(7), RelayStep::Raw(std::string("\x82\x7f\x40\0\0\0\0\0\0\0", 10)),
                        RelayStep::Raw(Repeat(100'000)), RelayStep::Drop()}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_reset"), 1u);
}

TEST_F(SessionTest, APoisonFrameIsQuarantinedAndTheRestArrives) {
  relay_->Append(21, PoisonFrameBytes(21));
  AppendEvents(*relay_, 22, 25);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 25));
  EXPECT_TRUE(stream_.Stop().ok());
  std::vector<int64_t> expected = Range(1, 20);
  for (int64_t seq : Range(22, 25)) expected.push_back(seq);
  EXPECT_EQ(stream_.sink.Seqs(source_), expected);
  EXPECT_EQ(Count("reconnect_framing"), 2u);
  EXPECT_EQ(Count("quarantined"), 1u);
  ASSERT_EQ(stream_.sink.quarantine().size(), 1u);
  EXPECT_EQ(stream_.sink.quarantine()[0].first, 20);
  EXPECT_THAT(stream_.sink.gaps(), ElementsAre(RecordedGap{20, 22, "quarantined_frame"}));
}

TEST_F(SessionTest, APoisonMessageThatIsTooLargeIsReadOver) {
  relay_->Append(21, Repeat(2 * kMaxFrameBytes));
  AppendEvents(*relay_, 22, 25);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 25));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_).size(), 24u);
  EXPECT_EQ(Count("reconnect_framing"), 2u);
  EXPECT_THAT(stream_.sink.quarantine(), ElementsAre(std::pair<int64_t, Reject>(20, Reject::kFrameTooLarge)));
  EXPECT_THAT(stream_.sink.gaps(), ElementsAre(RecordedGap{20, 22, "quarantined_frame"}));
}

TEST_F(SessionTest, PoisonTextIsReadOverToo) {
  for (int i = 0; i < 3; ++i) relay_->Script(Steps({RelayStep::Text("hello")}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_framing"), 2u);
  EXPECT_THAT(stream_.sink.quarantine(), ElementsAre(std::pair<int64_t, Reject>(0, Reject::kFrameText)));
}

// --- What the relay says about the stream

TEST_F(SessionTest, ComesBackAfterConsumerTooSlow) {
  relay_->Script(Steps({RelayStep::Frames(7), RelayStep::Message(ErrorFrame("ConsumerTooSlow", "hurry")),
                        RelayStep::Close(1008)}));
  ExpectEverything();
  EXPECT_EQ(Count("error_frame_consumer_too_slow"), 1u);
  EXPECT_EQ(Count("reconnect_consumer_too_slow"), 1u);
  EXPECT_EQ(relay_->requests().at(1).cursor, 7);
}

TEST_F(SessionTest, ComesBackAfterAnUnknownErrorFrame) {
  relay_->Script(Steps(
      {RelayStep::Frames(7), RelayStep::Message(ErrorFrame("Maintenance", "soon")), RelayStep::Drop()}));
  ExpectEverything();
  EXPECT_EQ(Count("error_frame_other"), 1u);
  EXPECT_EQ(Count("reconnect_error_frame"), 1u);
  EXPECT_TRUE(stream_.LogHas("error frame Maintenance: soon"));
}

TEST_F(SessionTest, AFutureCursorStopsAndIsKept) {
  stream_.sink.SetCursor(source_, 1000);
  Start();
  ASSERT_TRUE(stream_.WaitForEnd());
  EXPECT_TRUE(absl::IsFailedPrecondition(*stream_.result())) << *stream_.result();
  EXPECT_THAT(std::string(stream_.result()->message()), HasSubstr("1000"));
  EXPECT_EQ(Count("error_frame_future_cursor"), 1u);
  EXPECT_EQ(stream_.sink.Position(source_), 1000);
  EXPECT_EQ(relay_->connections(), 1u) << "never asked again";
}

TEST(Session, AFutureCursorThatNobodyDeclaresStopsToo) {
  RelayOptions silent;
  silent.declare_future = false;
  auto relay = StartRelay(silent);
  AppendEvents(*relay, 1, 20);
  LiveStream stream;
  stream.sink.SetCursor(relay->host(), 1000);
  stream.Start(FastOptions({relay->url()}));
  ASSERT_TRUE(stream.WaitForEnd());
  EXPECT_TRUE(absl::IsFailedPrecondition(*stream.result()));
  EXPECT_EQ(stream.counters.Of("suspected_future_cursor"), 1u);
  EXPECT_THAT(stream.sink.Seqs(relay->host()), IsEmpty());
  EXPECT_EQ(stream.sink.Position(relay->host()), 1000);
}

TEST_F(SessionTest, AnOutdatedCursorOpensAGapAndGoesOn) {
  stream_.sink.SetCursor(source_, 3);
  relay_->ForgetBefore(10);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(10, 20));
  EXPECT_EQ(Count("info_outdated_cursor"), 1u);
  EXPECT_THAT(stream_.sink.gaps(), ElementsAre(RecordedGap{3, 10, "outdated_cursor"}));
}

TEST(Session, AnOutdatedCursorThatNobodyDeclaresIsSuspected) {
  RelayOptions silent;
  silent.declare_outdated = false;
  auto relay = StartRelay(silent);
  AppendEvents(*relay, 1, 20);
  relay->ForgetBefore(10);
  LiveStream stream;
  stream.sink.SetCursor(relay->host(), 3);
  stream.Start(FastOptions({relay->url()}));
  EXPECT_TRUE(stream.sink.WaitForSeq(relay->host(), 20));
  EXPECT_TRUE(stream.Stop().ok());
  EXPECT_EQ(stream.sink.Seqs(relay->host()), Range(10, 20));
  EXPECT_THAT(stream.sink.gaps(), ElementsAre(RecordedGap{3, 10, "suspected_outdated_cursor"}));
}

TEST_F(SessionTest, LeavesARelayWhoseSeqsDoNotIncrease) {
  std::vector<RelayStep> steps = {RelayStep::Frames(7)};
  for (int i = 0; i < StreamGuard::kMaxNotIncreasing; ++i)
    steps.push_back(RelayStep::Message(IdentityFrame(3)));
  steps.push_back(RelayStep::Stall());
  relay_->Script(Steps(std::move(steps)));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_seq_not_increasing"), 1u);
  EXPECT_EQ(stream_.counters.Of(Reject::kEventSeqNotIncreasing),
            static_cast<uint64_t>(StreamGuard::kMaxNotIncreasing));
}

TEST_F(SessionTest, TheCursorsOwnEventIsDroppedInSilence) {
  relay_->Script(Steps({RelayStep::Frames(7), RelayStep::Drop()}));
  relay_->Script(
      Steps({RelayStep::Message(IdentityFrame(7))}));  // from the cursor on, inclusive, as ES has it
  ExpectEverything();
  EXPECT_EQ(Count("frames_duplicate"), 1u);
  EXPECT_EQ(stream_.counters.Of(Reject::kEventSeqNotIncreasing), 0u);
}

// --- Upgrades that are refused

TEST_F(SessionTest, BacksOffOnServerErrors) {
  for (int status : {500, 502, 503, 504}) {
    relay_->Script(Refuse(status, {{"Content-Type", "text/html"}}, "<html>" + Repeat(300'000) + "</html>"));
  }
  ExpectEverything();
  for (int status : {500, 502, 503, 504}) EXPECT_EQ(Count("http_" + std::to_string(status)), 1u) << status;
  EXPECT_EQ(Count("reconnect_http"), 4u);
  EXPECT_TRUE(stream_.LogHas("status 502"));
}

TEST_F(SessionTest, HonoursRetryAfter) {
  relay_->Script(Refuse(429, {{"Retry-After", "1"}}, "{\"error\": \"RateLimitExceeded\"}"));
  const auto begin = std::chrono::steady_clock::now();
  ExpectEverything();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(1000));
  EXPECT_EQ(Count("http_429"), 1u);
}

TEST_F(SessionTest, BelievesRetryAfterOnlySoFar) {
  relay_->Script(Refuse(503, {{"Retry-After", "99999999999999999999"}}));
  relay_->Script(Refuse(503, {{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}}));
  relay_->Script(Refuse(503, {{"Retry-After", "whenever"}}));
  SubscriptionOptions options = Options();
  options.max_retry_after = milliseconds(50);
  Start(options);
  ExpectEverything();
  EXPECT_EQ(Count("http_503"), 3u);
}

TEST_F(SessionTest, WaitsLongerAfterARefusalThatIsNoPassingTrouble) {
  SubscriptionOptions options = Options();
  options.refused_pause = milliseconds(300);
  relay_->Script(Refuse(404));
  const auto begin = std::chrono::steady_clock::now();
  Start(options);
  ExpectEverything();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(300));
  EXPECT_EQ(Count("http_404"), 1u);
}

TEST_F(SessionTest, DoesNotLoopOnAnAnswerForGood) {
  relay_->Script(Refuse(501));
  Start();
  ASSERT_TRUE(stream_.WaitForEnd());
  EXPECT_TRUE(absl::IsFailedPrecondition(*stream_.result())) << *stream_.result();
  EXPECT_EQ(relay_->connections(), 1u);
  EXPECT_EQ(Count("http_501"), 1u);
}

TEST_F(SessionTest, RefusedHostsAreLeftForTheNext) {
  for (int status : {400, 401, 403, 404, 405, 426, 501}) {
    auto bad = StartRelay();
    bad->Script(Refuse(status));
    LiveStream stream;
    stream.sink.SetCursor(source_, 0);
    SubscriptionOptions options = FastOptions({bad->url(), relay_->url()});
    options.refused_pause = std::chrono::seconds(60);
    stream.Start(options);
    EXPECT_TRUE(stream.sink.WaitForSeq(source_, 20)) << status;
    EXPECT_TRUE(stream.Stop().ok());
    EXPECT_EQ(bad->connections(), 1u) << status;
    EXPECT_EQ(stream.counters.Of("failover"), 1u);
    EXPECT_EQ(stream.sink.Seqs(source_), Range(1, 20));
  }
}

// --- Redirects

TEST_F(SessionTest, FollowsARedirectWithinTheHost) {
  auto front = StartRelay();
  front->Script(
      Refuse(307, {{"Location", relay_->url() + "/xrpc/com.atproto.sync.subscribeRepos?cursor=0"}}));
  stream_.sink.SetCursor(front->host(), 0);
  stream_.Start(FastOptions({front->url()}));
  EXPECT_TRUE(stream_.sink.WaitForSeq(front->host(), 20)) << "the source keeps its name";
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(Count("http_307"), 1u);
  EXPECT_EQ(Count("connect_ok"), 1u);
}

TEST_F(SessionTest, FollowsNoRedirectToAPrivateAddress) {
  const std::string elsewhere = "://localhost:" + std::to_string(relay_->port()) + "/";
  auto front = StartRelay();
  front->Script(Refuse(302, {{"Location", "ws" + elsewhere}}));
  front->Script(Refuse(302, {{"Location", "wss" + elsewhere}}));
  stream_.sink.SetCursor(front->host(), 0);
  stream_.Start(FastOptions({front->url()}));
  EXPECT_TRUE(stream_.WaitForCount("reconnect_redirect", 2));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(relay_->connections(), 0u);
  EXPECT_TRUE(stream_.LogHas("no public address"));
}

TEST_F(SessionTest, FollowsARedirectAnywhereIfTheTestSaysSo) {
  auto front = StartRelay();
  front->Script(
      Refuse(301, {{"Location", "ws://localhost:" + std::to_string(relay_->port()) + "/x?cursor=0"}}));
  stream_.sink.SetCursor(front->host(), 0);
  SubscriptionOptions options = FastOptions({front->url()});
  options.allow_private_redirects = true;
  stream_.Start(options);
  EXPECT_TRUE(stream_.sink.WaitForSeq(front->host(), 20));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(relay_->requests().at(0).target, "/x?cursor=0");
}

TEST_F(SessionTest, GivesUpOnACircleOfRedirects) {
  for (int i = 0; i < 4; ++i) relay_->Script(Refuse(308, {{"Location", "/again"}}));
  ExpectEverything();
  EXPECT_EQ(Count("http_308"), 4u);
  EXPECT_EQ(Count("reconnect_redirect"), 1u);
}

TEST_F(SessionTest, ARedirectToNowhereIsARefusal) {
  relay_->Script(Refuse(302, {{"Location", "gopher://x/"}}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_redirect"), 1u);
}

// --- Hosts that cannot be reached

TEST_F(SessionTest, AHalfOpenHostIsLeftForTheNext) {
  auto dead = StartRelay();
  RelayScript half_open;
  half_open.half_open = true;
  for (int i = 0; i < 3; ++i) dead->Script(half_open);
  SubscriptionOptions options = FastOptions({dead->url(), relay_->url()});
  options.upgrade_timeout = milliseconds(100);
  Start(options);
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_handshake"), 3u);
  EXPECT_EQ(Count("failover"), 1u);
}

TEST_F(SessionTest, ANameThatDoesNotExistIsLeftForTheNext) {
  Start(FastOptions({"ws://nowhere.invalid", relay_->url()}));
  ExpectEverything();
  EXPECT_EQ(Count("reconnect_dns"), 3u);
}

TEST_F(SessionTest, ASwitchToAHostWithoutACursorIsAGap) {
  auto first = StartRelay();
  AppendEvents(*first, 100, 105);
  for (int i = 0; i < 4; ++i) first->Script(Refuse(503));
  stream_.sink.SetCursor(first->host(), 99);  // followed in an earlier run
  auto second = StartRelay();
  stream_.Start(FastOptions({first->url(), second->url()}));
  ASSERT_TRUE(stream_.WaitForCount("connect_ok", 1));
  second->Append(7, IdentityFrame(7));
  EXPECT_TRUE(stream_.sink.WaitForSeq(second->host(), 7));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_THAT(stream_.sink.gaps(), ElementsAre(RecordedGap{std::nullopt, 7, "relay_switch"}));
  EXPECT_EQ(stream_.sink.Position(first->host()), 99) << "a seq of one host means nothing on another";
  EXPECT_EQ(stream_.status().host, second->host());
}

TEST_F(SessionTest, EachHostHasItsOwnCursor) {
  auto second = StartRelay();
  AppendEvents(*second, 500, 510);
  stream_.sink.SetCursor(second->host(), 504);
  relay_->Script(Steps({RelayStep::Frames(20), RelayStep::Drop()}));
  for (int i = 0; i < 3; ++i) relay_->Script(Refuse(503));
  Start(FastOptions({relay_->url(), second->url()}));
  EXPECT_TRUE(stream_.sink.WaitForSeq(second->host(), 510));
  for (int i = 0; i < 3; ++i) second->Script(Refuse(503));
  AppendEvents(*relay_, 21, 25);
  second->DropAll();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 25)) << "and back, where we were";
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 25));
  EXPECT_EQ(stream_.sink.Seqs(second->host()), Range(505, 510));
  EXPECT_THAT(stream_.sink.gaps(), IsEmpty());
  EXPECT_EQ(Count("failover"), 2u);
}

// --- Backoff

TEST_F(SessionTest, AConnectionAloneIsNoProgress) {
  for (int i = 0; i < 1000; ++i) relay_->Script(Steps({RelayStep::Drop()}));
  SubscriptionOptions options = Options();
  options.backoff_first = milliseconds(20);
  options.backoff_max = std::chrono::seconds(10);
  Start(options);
  std::this_thread::sleep_for(milliseconds(700));
  EXPECT_TRUE(stream_.Stop().ok());
  // Ceilings of 20, 40, 80, 160, 320, 640 ms: had they fallen back at each connect, there would be some 70.
  EXPECT_LE(relay_->connections(), 20u);
  EXPECT_GE(relay_->connections(), 2u);
}

TEST_F(SessionTest, ARelayThatAlwaysFindsUsTooSlowIsNotAskedInATightLoop) {
  for (int64_t seq = 21; seq <= 1000; ++seq) relay_->Append(seq, IdentityFrame(seq));
  for (int i = 0; i < 1000; ++i) {
    relay_->Script(
        Steps({RelayStep::Frames(1), RelayStep::Message(ErrorFrame("ConsumerTooSlow")), RelayStep::Drop()}));
  }
  SubscriptionOptions options = Options();
  options.backoff_first = milliseconds(100);
  options.backoff_max = milliseconds(100);
  Start(options);
  std::this_thread::sleep_for(milliseconds(600));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_LE(relay_->connections(), 13u);
}

// --- TLS

class TlsTest : public testing::Test {
 protected:
  // A relay with a certificate for `names`, and a stream that trusts our authority and follows it as `host`.
  void Start(const std::vector<std::string>& names, const std::string& host, bool expired = false) {
    const TestCertificate certificate = authority_.Issue(names, expired);
    RelayOptions tls;
    tls.certificate_pem = certificate.certificate_pem;
    tls.private_key_pem = certificate.private_key_pem;
    relay_ = StartRelay(tls);
    AppendEvents(*relay_, 1, 20);
    source_ = host + ":" + std::to_string(relay_->port());
    stream_.sink.SetCursor(source_, 0);
    SubscriptionOptions options = FastOptions({"wss://" + source_});
    options.ca_file = ca_file_;
    stream_.Start(options);
  }
  void ExpectRefused() {
    EXPECT_TRUE(stream_.WaitForCount("reconnect_tls", 2));
    EXPECT_TRUE(stream_.Stop().ok());
    EXPECT_THAT(stream_.sink.Seqs(source_), IsEmpty());
    EXPECT_EQ(stream_.counters.Of("connect_ok"), 0u);
    EXPECT_THAT(relay_->requests(), IsEmpty()) << "nothing was said to a peer that proved nothing";
  }

  TestAuthority authority_;
  std::string ca_file_ = authority_.file();
  std::unique_ptr<Relay> relay_;
  std::string source_;
  LiveStream stream_;
};

TEST_F(TlsTest, FollowsARelayThatProvesItsName) {
  Start({"DNS:localhost"}, "localhost");
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 20));
  EXPECT_EQ(relay_->requests().at(0).server_name, "localhost");
}
TEST_F(TlsTest, FollowsARelayThatProvesItsAddress) {
  Start({"IP:127.0.0.1"}, "127.0.0.1");
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(relay_->requests().at(0).server_name, "") << "SNI carries no addresses";
}
TEST_F(TlsTest, SurvivesADropUnderTls) {
  Start({"DNS:localhost"}, "localhost");
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  relay_->DropAll();
  AppendEvents(*relay_, 21, 30);
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 30));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 30));
  EXPECT_EQ(stream_.counters.Of("reconnect_reset"), 1u);
}
TEST_F(TlsTest, RefusesAnotherHostsCertificate) {
  Start({"DNS:other.example"}, "localhost");
  ExpectRefused();
}
TEST_F(TlsTest, RefusesAnExpiredCertificate) {
  Start({"DNS:localhost"}, "localhost", /*expired=*/true);
  ExpectRefused();
}
TEST_F(TlsTest, RefusesAnUnknownAuthority) {
  const TestAuthority other;
  ca_file_ = other.file();
  Start({"DNS:localhost"}, "localhost");
  ExpectRefused();
}
TEST_F(TlsTest, RefusesWhatTheSystemDoesNotTrust) {
  ca_file_.clear();
  Start({"DNS:localhost"}, "localhost");
  ExpectRefused();
}

TEST_F(SessionTest, TlsToAPlainServerFails) {
  stream_.Start(FastOptions({"wss://" + relay_->host()}));
  EXPECT_TRUE(stream_.WaitForCount("reconnect_tls", 1));
  EXPECT_TRUE(stream_.Stop().ok());
}

// --- Stopping

TEST_F(SessionTest, StopsWhileConnected) {
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 20));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_TRUE(Eventually([&] { return relay_->open_connections() == 0; }));
}

TEST_F(SessionTest, StopsInTimeWhenThePeerDoesNotAnswerTheClose) {
  RelayScript deaf = Steps({RelayStep::Frames(5), RelayStep::Stall()});
  deaf.answer_pings = false;
  relay_->Script(deaf);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 5));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST_F(SessionTest, StopsWhileDialling) {
  RelayScript half_open;
  half_open.half_open = true;
  relay_->Script(half_open);
  SubscriptionOptions options = Options();
  options.upgrade_timeout = std::chrono::minutes(5);
  Start(options);
  EXPECT_TRUE(Eventually([&] { return relay_->connections() == 1; }));
  EXPECT_TRUE(stream_.Stop().ok());
}

TEST_F(SessionTest, StopsWhileWaitingToTryAgain) {
  relay_->Script(Refuse(429, {{"Retry-After", "600"}}));
  Start();
  EXPECT_TRUE(stream_.WaitForCount("http_429", 1));
  EXPECT_TRUE(stream_.Stop().ok());
}

TEST_F(SessionTest, StopsWhileTheSinkIsFull) {
  stream_.sink.RefuseOffers(-1);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForOffers(3));
  EXPECT_TRUE(stream_.Stop().ok());
  EXPECT_EQ(stream_.sink.Position(source_), 0) << "what was not taken was not passed";
}

TEST_F(SessionTest, StopsAtOnceInABackgroundOfEvents) {
  AppendEvents(*relay_, 21, 20'000);
  Start();
  EXPECT_TRUE(stream_.sink.WaitForOffers(100));
  EXPECT_TRUE(stream_.Stop().ok());
  const std::vector<int64_t> seqs = stream_.sink.Seqs(source_);
  EXPECT_EQ(seqs, Range(1, static_cast<int64_t>(seqs.size())));
}

// --- Many sources

TEST_F(SessionTest, ASourceThatStopsLeavesTheOthersAlone) {
  auto second = StartRelay();
  AppendEvents(*second, 1, 20);
  stream_.sink.SetCursor(second->host(), 1000);  // in the future
  std::vector<SubscriptionOptions> all = {FastOptions({second->url()}), Options()};
  stream_.Start(std::move(all));
  ASSERT_TRUE(stream_.WaitForEnd(0));
  EXPECT_TRUE(absl::IsFailedPrecondition(*stream_.result(0)));
  EXPECT_THAT(std::string(stream_.result(0)->message()), StartsWith(second->host()));
  AppendEvents(*relay_, 21, 30);
  EXPECT_TRUE(stream_.sink.WaitForSeq(source_, 30));
  EXPECT_FALSE(stream_.result(1).has_value());
  stream_.End();
  EXPECT_TRUE(stream_.result(1)->ok());
  EXPECT_EQ(stream_.sink.Seqs(source_), Range(1, 30));
}

TEST(Session, RefusesNonsense) {
  for (const char* host : {"", "ftp://x", "wss://a:b@c"}) {
    LiveStream stream;
    stream.Start(FastOptions({host}));
    EXPECT_TRUE(absl::IsInvalidArgument(stream.Stop())) << host;
  }
  LiveStream none, no_file;
  none.Start(FastOptions({}));
  EXPECT_TRUE(absl::IsInvalidArgument(none.Stop()));
  SubscriptionOptions options = FastOptions({"relay.example"});
  options.ca_file = "does/not/exist.pem";
  no_file.Start(options);
  EXPECT_TRUE(absl::IsInvalidArgument(no_file.Stop()));
}

}  // namespace
}  // namespace penstock::firehose
