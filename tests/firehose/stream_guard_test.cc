#include "firehose/stream_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/status.h"
#include "fixtures/relay/frames.h"
#include "tests/firehose/recording_sink.h"
#include "tests/support/relay/event_frames.h"

namespace penstock::firehose {
namespace {

using fixtures::ErrorFrame;
using fixtures::InfoFrame;
using penstock::test::AccountFrame;
using penstock::test::IdentityFrame;
using penstock::test::PoisonFrameBytes;
using penstock::test::RecordedGap;
using penstock::test::RecordingSink;
using penstock::test::RejectedFrame;
using penstock::test::UnknownTypeFrame;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kSource[] = "relay.example";

// A guard, its sink and what it counted; messages go in one by one, deliveries go to the sink.
class StreamGuardTest : public testing::Test {
 protected:
  StreamVerdict Give(StreamGuard& guard, const std::string& message) {
    DeliveryPtr delivery = deliveries_.Take();
    delivery->buffer = buffers_.Take();
    delivery->buffer.Append(AsBytes(message));
    const StreamVerdict verdict = guard.OnMessage(delivery.get());
    if (verdict.action == StreamAction::kDeliver) {
      EXPECT_TRUE(sink_.Offer(kSource, &delivery));
    }
    return verdict;
  }
  StreamAction Act(StreamGuard& guard, const std::string& message) { return Give(guard, message).action; }

  std::vector<int64_t> Seqs() { return sink_.Seqs(kSource); }

  FrameBufferPool buffers_;
  DeliveryRecycler deliveries_{4};
  RecordingSink sink_;
  Counters counters_;
  std::vector<std::string> lines_;
  Logger log_ = [this](LogLevel, std::string line) { lines_.push_back(std::move(line)); };
  StreamGuard live_{kSource, StreamGuard::Mode::kLive, &sink_, &counters_, log_};
  StreamGuard file_{kSource, StreamGuard::Mode::kFile, &sink_, &counters_, log_};
};

TEST_F(StreamGuardTest, DeliversWhatFollowsTheCursor) {
  live_.Start(10);
  EXPECT_EQ(Act(live_, IdentityFrame(11)), StreamAction::kDeliver);
  EXPECT_EQ(Act(live_, AccountFrame(15)), StreamAction::kDeliver);  // gaps within a connection are normal
  EXPECT_THAT(Seqs(), ElementsAre(11, 15));
  EXPECT_THAT(sink_.gaps(), IsEmpty());
  EXPECT_EQ(live_.position(), 15);
}

TEST_F(StreamGuardTest, DropsTheCursorsOwnEventInSilence) {
  live_.Start(10);
  EXPECT_EQ(Act(live_, IdentityFrame(10)), StreamAction::kSkip);
  EXPECT_EQ(Act(live_, IdentityFrame(14)), StreamAction::kDeliver);
  EXPECT_THAT(Seqs(), ElementsAre(14));
  EXPECT_THAT(sink_.gaps(), IsEmpty()) << "the server still had the cursor's event: nothing was lost";
  EXPECT_EQ(counters_.Of("frames_duplicate"), 1u);
  EXPECT_EQ(counters_.Of(Reject::kEventSeqNotIncreasing), 0u);
}

TEST_F(StreamGuardTest, SkipsASeqThatDoesNotIncrease) {
  live_.Start(std::nullopt);
  EXPECT_EQ(Act(live_, IdentityFrame(5)), StreamAction::kDeliver);
  EXPECT_EQ(Act(live_, IdentityFrame(5)), StreamAction::kSkip);
  EXPECT_EQ(Act(live_, IdentityFrame(3)), StreamAction::kSkip);
  EXPECT_EQ(Act(live_, IdentityFrame(6)), StreamAction::kDeliver);
  EXPECT_EQ(counters_.Of(Reject::kEventSeqNotIncreasing), 2u);
  EXPECT_THAT(Seqs(), ElementsAre(5, 6));
}

TEST_F(StreamGuardTest, DropsTheConnectionAfterSeveralInARow) {
  live_.Start(std::nullopt);
  Give(live_, IdentityFrame(100));
  for (int round = 0; round < 2; ++round) {  // a good one in between starts the count anew
    for (int i = 1; i < StreamGuard::kMaxNotIncreasing; ++i)
      EXPECT_EQ(Act(live_, IdentityFrame(i)), StreamAction::kSkip);
    if (round == 0) {
      EXPECT_EQ(Act(live_, IdentityFrame(101)), StreamAction::kDeliver);
    }
  }
  const StreamVerdict last = Give(live_, IdentityFrame(50));
  EXPECT_EQ(last.action, StreamAction::kReconnect);
  EXPECT_EQ(last.cause, "seq_not_increasing");
  EXPECT_EQ(live_.position(), 101);
}

TEST_F(StreamGuardTest, StopsWhenTheFirstEventLiesBeforeTheCursor) {
  live_.Start(1000);
  const StreamVerdict verdict = Give(live_, IdentityFrame(3));
  EXPECT_EQ(verdict.action, StreamAction::kStop);
  EXPECT_EQ(verdict.cause, "suspected_future_cursor");
  EXPECT_EQ(counters_.Of("suspected_future_cursor"), 1u);
  EXPECT_EQ(live_.position(), 1000) << "never reset a cursor";
  EXPECT_THAT(Seqs(), IsEmpty());
}

TEST_F(StreamGuardTest, StopsOnFutureCursor) {
  live_.Start(1000);
  const StreamVerdict verdict = Give(live_, ErrorFrame("FutureCursor", "Cursor in the future."));
  EXPECT_EQ(verdict.action, StreamAction::kStop);
  EXPECT_EQ(verdict.cause, "future_cursor");
  EXPECT_EQ(counters_.Of("error_frame_future_cursor"), 1u);
  EXPECT_EQ(live_.position(), 1000);
}

TEST_F(StreamGuardTest, ReconnectsOnOtherErrorFrames) {
  live_.Start(7);
  EXPECT_EQ(Give(live_, ErrorFrame("ConsumerTooSlow")).cause, "consumer_too_slow");
  EXPECT_EQ(Give(live_, ErrorFrame("Strange\nName", "a\x1b[31mb")).cause, "error_frame");
  EXPECT_EQ(counters_.Of("error_frame_consumer_too_slow"), 1u);
  EXPECT_EQ(counters_.Of("error_frame_other"), 1u);
  EXPECT_EQ(lines_.back(), "relay.example: error frame Strange?Name: a?[31mb");
}

TEST_F(StreamGuardTest, OutdatedCursorOpensAGapToTheNextEvent) {
  live_.Start(100);
  EXPECT_EQ(Act(live_, InfoFrame("OutdatedCursor", "too old")), StreamAction::kSkip);
  EXPECT_THAT(sink_.gaps(), IsEmpty()) << "its end is not known yet";
  EXPECT_EQ(live_.position(), 100) << "#info never changes the cursor";
  EXPECT_EQ(Act(live_, IdentityFrame(500)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), ElementsAre(RecordedGap{100, 500, "outdated_cursor"}));
  EXPECT_EQ(Act(live_, IdentityFrame(502)), StreamAction::kDeliver);
  EXPECT_EQ(sink_.gaps().size(), 1u);
  EXPECT_EQ(counters_.Of("info_outdated_cursor"), 1u);
  EXPECT_EQ(counters_.Of("gap_outdated_cursor"), 1u);
}

TEST_F(StreamGuardTest, OutdatedCursorWithoutACursorLosesNothing) {
  live_.Start(std::nullopt);
  Give(live_, InfoFrame("OutdatedCursor"));
  Give(live_, IdentityFrame(500));
  EXPECT_THAT(sink_.gaps(), IsEmpty());
}

TEST_F(StreamGuardTest, SuspectsAnOutdatedCursorThatNobodyDeclared) {
  live_.Start(100);
  EXPECT_EQ(Act(live_, IdentityFrame(500)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), ElementsAre(RecordedGap{100, 500, "suspected_outdated_cursor"}));
}

TEST_F(StreamGuardTest, CursorZeroIsAWishNotAPlace) {
  live_.Start(0);
  EXPECT_EQ(Act(live_, IdentityFrame(500)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), IsEmpty());
}

TEST_F(StreamGuardTest, AStartWithoutACursorIsAGapIfTheCallerSaysSo) {
  live_.Start(std::nullopt, "relay_switch", "from a.example");
  EXPECT_EQ(Act(live_, InfoFrame("Hello")), StreamAction::kSkip);
  EXPECT_EQ(Act(live_, IdentityFrame(77)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), ElementsAre(RecordedGap{std::nullopt, 77, "relay_switch"}));
  EXPECT_EQ(counters_.Of("info_other"), 1u);
}

TEST_F(StreamGuardTest, UnknownTypesMoveThePosition) {
  live_.Start(10);
  EXPECT_EQ(Act(live_, UnknownTypeFrame(11)), StreamAction::kDeliver);
  EXPECT_EQ(live_.position(), 11);
  EXPECT_EQ(counters_.Of("frames_ignored"), 1u);
  EXPECT_EQ(sink_.Position(kSource), 11);
}

TEST_F(StreamGuardTest, RefusedEventsAreDeliveredForTheDeadLetters) {
  live_.Start(10);
  EXPECT_EQ(Act(live_, RejectedFrame(11)), StreamAction::kDeliver);
  EXPECT_EQ(live_.position(), 11);
}

TEST_F(StreamGuardTest, APoisonFrameIsQuarantinedAtTheThirdMeeting) {
  const std::string poison = PoisonFrameBytes(11);
  for (int attempt = 1; attempt < StreamGuard::kPoisonAttempts; ++attempt) {
    live_.Start(10);
    const StreamVerdict verdict = Give(live_, poison);
    EXPECT_EQ(verdict.action, StreamAction::kReconnect);
    EXPECT_EQ(verdict.cause, "framing");
    EXPECT_THAT(sink_.quarantine(), IsEmpty());
  }
  live_.Start(10);
  EXPECT_EQ(Act(live_, poison), StreamAction::kSkip);
  EXPECT_EQ(sink_.quarantine().size(), 1u);
  EXPECT_EQ(sink_.quarantine()[0].first, 10);
  EXPECT_EQ(counters_.Of("quarantined"), 1u);
  EXPECT_EQ(Act(live_, IdentityFrame(12)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), ElementsAre(RecordedGap{10, 12, "quarantined_frame"}))
      << "and no suspicion besides";

  live_.Start(10);  // as after a restart from the durable cursor: skipped at once
  EXPECT_EQ(Act(live_, poison), StreamAction::kSkip);
  EXPECT_EQ(counters_.Of("quarantine_skipped"), 1u);
}

TEST_F(StreamGuardTest, ASecondPoisonFrameGetsItsOwnAttempts) {
  const std::string first = PoisonFrameBytes(11), second = PoisonFrameBytes(12);
  std::vector<StreamAction> seconds;
  for (int connection = 0; connection < 5; ++connection) {
    live_.Start(10);
    if (Act(live_, first) != StreamAction::kSkip) continue;
    seconds.push_back(Act(live_, second));
  }
  EXPECT_THAT(seconds, ElementsAre(StreamAction::kReconnect, StreamAction::kReconnect, StreamAction::kSkip));
  EXPECT_EQ(counters_.Of("quarantined"), 2u);
}

TEST_F(StreamGuardTest, ProgressForgetsAFramingErrorElsewhere) {
  for (int64_t cursor : {10, 20, 30, 40}) {
    live_.Start(cursor);
    EXPECT_EQ(Act(live_, PoisonFrameBytes(cursor + 1)), StreamAction::kReconnect);
  }
  EXPECT_THAT(sink_.quarantine(), IsEmpty());
}

TEST_F(StreamGuardTest, FramingErrorsOfTheTransportCountTheSame) {
  for (int i = 0; i < 2; ++i) {
    live_.Start(10);
    EXPECT_EQ(live_.OnFramingError(RejectError(Reject::kFrameText), AsBytes("hello")).action,
              StreamAction::kReconnect);
  }
  live_.Start(10);
  EXPECT_EQ(live_.OnFramingError(RejectError(Reject::kFrameText), AsBytes("hello")).action,
            StreamAction::kSkip);
  EXPECT_EQ(counters_.Of(Reject::kFrameText), 3u);
  EXPECT_THAT(sink_.quarantine(), ElementsAre(std::pair<int64_t, Reject>(10, Reject::kFrameText)));
}

TEST_F(StreamGuardTest, AFileIsReadToItsEnd) {
  file_.Start(std::nullopt);
  EXPECT_EQ(Act(file_, IdentityFrame(1)), StreamAction::kDeliver);
  EXPECT_EQ(Act(file_, PoisonFrameBytes(2)), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(3)), StreamAction::kDeliver);
  EXPECT_EQ(Act(file_, ErrorFrame("ConsumerTooSlow")), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, ErrorFrame("FutureCursor")), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, InfoFrame("OutdatedCursor")), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(9)), StreamAction::kDeliver);
  for (int i = 0; i < 2 * StreamGuard::kMaxNotIncreasing; ++i)
    EXPECT_EQ(Act(file_, IdentityFrame(4)), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(10)), StreamAction::kDeliver);
  EXPECT_THAT(Seqs(), ElementsAre(1, 3, 9, 10));
  EXPECT_THAT(sink_.gaps(),
              ElementsAre(RecordedGap{1, 3, "quarantined_frame"}, RecordedGap{3, 9, "outdated_cursor"}));
  EXPECT_EQ(sink_.quarantine().size(), 1u);
}

TEST_F(StreamGuardTest, AFileResumedSkipsWhatTheCursorCovers) {
  file_.Start(5);
  EXPECT_EQ(Act(file_, IdentityFrame(1)), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, InfoFrame("OutdatedCursor")), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(3)), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(5)), StreamAction::kSkip);
  EXPECT_EQ(Act(file_, IdentityFrame(8)), StreamAction::kDeliver);
  EXPECT_THAT(sink_.gaps(), IsEmpty()) << "it was opened when that stretch was processed";
  EXPECT_EQ(counters_.Of("frames_duplicate"), 3u);
  EXPECT_EQ(counters_.Of(Reject::kEventSeqNotIncreasing), 0u);
}

TEST_F(StreamGuardTest, APeerCannotFillTheLog) {
  live_.Start(std::nullopt);
  for (int i = 0; i < 1000; ++i) Give(live_, InfoFrame("Hello", std::string(100'000, 'x')));
  EXPECT_EQ(lines_.size(), static_cast<size_t>(StreamGuard::kMaxRepeatedLines));
  EXPECT_LT(lines_[0].size(), 400u);
  EXPECT_EQ(counters_.Of("info_other"), 1000u);
}

}  // namespace
}  // namespace penstock::firehose
