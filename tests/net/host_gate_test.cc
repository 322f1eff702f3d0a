// How hard a host may be pressed, on an io_context that the test turns by hand.

#include "net/host_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <string>
#include <vector>

namespace penstock::net {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using Outcome = HostGate::Outcome;

class HostGateTest : public testing::Test {
 protected:
  static HostGateOptions Free() {
    HostGateOptions options;
    options.per_second = 1e6;
    options.burst = 1e6;
    options.concurrency = 1000;
    options.total_concurrency = 1000;
    options.backoff_first = milliseconds(40);
    options.backoff_max = milliseconds(160);
    options.seed = 7;
    return options;
  }

  void Enter(HostGate& gate, const std::string& host) {
    gate.Enter(host, [this, host](const HostGate::Admission& admission) {
      if (admission.status.ok()) {
        admitted_.push_back(host);
      } else {
        EXPECT_TRUE(absl::IsUnavailable(admission.status));
        EXPECT_GT(admission.retry_after_us, 0);
        retry_after_ = microseconds(admission.retry_after_us);
        ++refused_;
      }
    });
    Turn();
  }
  void Turn() {
    io_.restart();
    io_.poll();
  }
  void TurnFor(milliseconds time) {
    io_.restart();
    io_.run_for(time);
  }
  void Fail(HostGate& gate, const std::string& host) {
    const size_t before = admitted_.size();
    Enter(gate, host);
    if (admitted_.size() > before) gate.Leave(host, Outcome::kFailed);
    Turn();
  }

  boost::asio::io_context io_;
  std::vector<std::string> admitted_;
  int refused_ = 0;
  microseconds retry_after_{};
};

TEST_F(HostGateTest, BurstThenRate) {
  HostGateOptions options = Free();
  options.per_second = 50;
  options.burst = 5;
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 20; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 5u);
  const auto begin = steady_clock::now();
  TurnFor(milliseconds(2000));  // returns when nothing is left to wait for
  EXPECT_EQ(admitted_.size(), 20u);
  const auto took = steady_clock::now() - begin;
  EXPECT_GE(took, milliseconds(280)) << "15 at 50 per second";
  EXPECT_LE(took, milliseconds(1500));
  EXPECT_EQ(gate.in_flight(), 20u);
}

TEST_F(HostGateTest, ConcurrencyOfOneAndOfAll) {
  HostGateOptions options = Free();
  options.concurrency = 2;
  options.total_concurrency = 3;
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 4; ++i) Enter(gate, "a");
  for (int i = 0; i < 4; ++i) Enter(gate, "b");
  EXPECT_THAT(admitted_, testing::ElementsAre("a", "a", "b"));
  gate.Leave("a", Outcome::kAnswered);
  EXPECT_EQ(admitted_.size(), 4u);
  EXPECT_EQ(admitted_.back(), "b") << "hosts take turns";
  for (int i = 0; i < 8; ++i) {
    gate.Leave("a", Outcome::kAnswered);
    gate.Leave("b", Outcome::kAnswered);
  }
  EXPECT_EQ(admitted_.size(), 8u);
  EXPECT_EQ(gate.in_flight(), 0u);
  EXPECT_EQ(gate.waiting(), 0u);
}

TEST_F(HostGateTest, QueuesAreBounded) {
  HostGateOptions options = Free();
  options.concurrency = 1;
  options.max_waiting = 3;
  options.total_waiting = 5;
  options.per_second = 2;
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 10; ++i) Enter(gate, "a");
  EXPECT_EQ(refused_, 6);
  EXPECT_GE(retry_after_, seconds(1)) << "what waits takes that long";
  for (int i = 0; i < 10; ++i) Enter(gate, "b");
  EXPECT_EQ(gate.waiting(), 5u);
}

TEST_F(HostGateTest, AHostThatIsDownFailsAtOnceAndIsProbed) {
  HostGateOptions options = Free();
  options.concurrency = 1;
  HostGate gate(io_.get_executor(), options);
  Fail(gate, "a");
  Fail(gate, "a");
  EXPECT_FALSE(gate.IsDown("a"));
  Enter(gate, "a");
  Enter(gate, "a");  // waits behind the one that is going to fail
  EXPECT_EQ(gate.waiting(), 1u);
  gate.Leave("a", Outcome::kFailed);
  Turn();
  EXPECT_TRUE(gate.IsDown("a"));
  EXPECT_FALSE(gate.IsDown("b"));
  EXPECT_EQ(refused_, 1) << "who waited is told";
  EXPECT_EQ(gate.waiting(), 0u);

  admitted_.clear();
  refused_ = 0;
  for (int i = 0; i < 5; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 0u);
  EXPECT_EQ(refused_, 5);
  EXPECT_LE(retry_after_, milliseconds(40));

  std::this_thread::sleep_for(milliseconds(50));
  for (int i = 0; i < 5; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 1u) << "one probe";
  gate.Leave("a", Outcome::kFailed);
  EXPECT_GE(gate.RetryAfter("a"), milliseconds(38)) << "half of the doubled ceiling at least";
  std::this_thread::sleep_for(milliseconds(90));
  Enter(gate, "a");
  gate.Leave("a", Outcome::kAnswered);
  EXPECT_FALSE(gate.IsDown("a"));
  admitted_.clear();
  for (int i = 0; i < 3; ++i) {
    Enter(gate, "a");
    gate.Leave("a", Outcome::kAnswered);
  }
  EXPECT_EQ(admitted_.size(), 3u);
}

TEST_F(HostGateTest, AnAbandonedProbeMakesRoomForTheNext) {
  HostGate gate(io_.get_executor(), Free());
  for (int i = 0; i < 3; ++i) Fail(gate, "a");
  std::this_thread::sleep_for(milliseconds(50));
  admitted_.clear();
  Enter(gate, "a");
  gate.Leave("a", Outcome::kAbandoned);
  Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 2u);
}

TEST_F(HostGateTest, AnswersInBetweenKeepItUp) {
  HostGate gate(io_.get_executor(), Free());
  for (int i = 0; i < 10; ++i) {
    Fail(gate, "a");
    Fail(gate, "a");
    Enter(gate, "a");
    gate.Leave("a", Outcome::kAnswered);
  }
  EXPECT_EQ(refused_, 0);
}

TEST_F(HostGateTest, LeavesAHostAloneThatAsksForIt) {
  HostGateOptions options = Free();
  options.concurrency = 1;
  options.max_pause = milliseconds(100);
  HostGate gate(io_.get_executor(), options);
  Enter(gate, "a");
  Enter(gate, "a");
  gate.Leave("a", Outcome::kAnswered, seconds(3600));
  Turn();
  EXPECT_EQ(refused_, 1);
  EXPECT_TRUE(gate.IsDown("a"));
  EXPECT_LE(gate.RetryAfter("a"), milliseconds(100)) << "nobody is believed for ever";
  Enter(gate, "a");
  EXPECT_EQ(refused_, 2);
  std::this_thread::sleep_for(milliseconds(110));
  EXPECT_FALSE(gate.IsDown("a"));
  Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 2u);
}

// --- What hosts say of their limits

// How many get in within `time`, each leaving at once with the same answer.
class AdaptiveGateTest : public HostGateTest {
 protected:
  static HostGateOptions Rated(double per_second, double burst) {
    HostGateOptions options = Free();
    options.per_second = per_second;
    options.burst = burst;
    options.pause_after_limit = milliseconds(20);
    return options;
  }
  static RateLimit Exceeded() {
    RateLimit limit;
    limit.exceeded = true;
    return limit;
  }
  // One request, which is answered so as soon as it had its turn.
  void AnsweredWith(HostGate& gate, const RateLimit& limit) {
    if (gate.waiting() == 0) Enter(gate, "a");
    while (gate.in_flight() == 0) TurnFor(milliseconds(1));
    gate.Leave("a", Outcome::kAnswered, {}, limit);
  }
  size_t AdmittedWithin(HostGate& gate, milliseconds time, const RateLimit& limit = {}) {
    admitted_.clear();
    const auto end = steady_clock::now() + time;
    while (steady_clock::now() < end) {
      const size_t before = admitted_.size();
      if (gate.waiting() == 0) Enter(gate, "a");
      for (size_t i = before; i < admitted_.size(); ++i) gate.Leave("a", Outcome::kAnswered, {}, limit);
      TurnFor(milliseconds(1));
      while (gate.in_flight() > 0) gate.Leave("a", Outcome::kAnswered, {}, limit);
    }
    return admitted_.size();
  }
};

TEST_F(AdaptiveGateTest, HalvesTheRateOfAHostThatOnlySaysTooMuch) {
  HostGateOptions options = Rated(400, 40);
  options.recovery = 0;
  HostGate gate(io_.get_executor(), options);
  AdmittedWithin(gate, milliseconds(200));  // takes the burst
  for (int i = 0; i < 3; ++i) {
    AnsweredWith(gate, Exceeded());
    EXPECT_TRUE(gate.IsDown("a")) << "left alone for a moment";
    std::this_thread::sleep_for(milliseconds(25));
  }
  const size_t slow = AdmittedWithin(gate, milliseconds(400));
  EXPECT_LE(slow, 5u + 20 + 10) << "an eighth: 5 at once, then 50 per second";
  EXPECT_GE(slow, 10u);
}

TEST_F(AdaptiveGateTest, SeveralAtOnceAreOneSign) {
  HostGateOptions options = Rated(400, 40);
  options.recovery = 0;
  options.pause_after_limit = milliseconds(100);
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 20; ++i) Enter(gate, "a");
  for (int i = 0; i < 20; ++i) gate.Leave("a", Outcome::kAnswered, {}, Exceeded());
  std::this_thread::sleep_for(milliseconds(110));
  EXPECT_GE(AdmittedWithin(gate, milliseconds(200)), 30u) << "half, and not a millionth";
}

TEST_F(AdaptiveGateTest, ComesBackWithEachAnswerButNeverAboveItsOptions) {
  HostGateOptions options = Rated(200, 10);
  options.recovery = 0.05;
  options.least_per_second = 50;
  HostGate gate(io_.get_executor(), options);
  AdmittedWithin(gate, milliseconds(100));
  for (int i = 0; i < 10; ++i) {
    AnsweredWith(gate, Exceeded());
    std::this_thread::sleep_for(milliseconds(25));
  }
  const size_t at_first = AdmittedWithin(gate, milliseconds(100));
  EXPECT_GE(at_first, 3u) << "not below the least";
  EXPECT_LE(at_first, 18u);
  AdmittedWithin(gate, milliseconds(500));
  const size_t later = AdmittedWithin(gate, milliseconds(300));
  EXPECT_GE(later, 25u);
  EXPECT_LE(later, 80u) << "200 per second, and a burst of 10";
}

TEST_F(AdaptiveGateTest, AskedToWaitItIsNotSlowerAfterwards) {
  HostGate gate(io_.get_executor(), Rated(1000, 100));
  Enter(gate, "a");
  gate.Leave("a", Outcome::kAnswered, milliseconds(30), Exceeded());
  EXPECT_TRUE(gate.IsDown("a"));
  std::this_thread::sleep_for(milliseconds(35));
  EXPECT_GE(AdmittedWithin(gate, milliseconds(100)), 75u);
}

TEST_F(AdaptiveGateTest, NotMoreThanRemainUntilTheReset) {
  HostGate gate(io_.get_executor(), Free());
  RateLimit limit;
  limit.remaining = 5;
  limit.reset = milliseconds(150);
  Enter(gate, "a");
  gate.Leave("a", Outcome::kAnswered, {}, limit);
  admitted_.clear();
  for (int i = 0; i < 10; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 5u);
  EXPECT_EQ(refused_, 5);
  EXPECT_TRUE(gate.IsDown("a"));
  EXPECT_LE(retry_after_, milliseconds(150));
  // An answer that was overtaken gives nothing back.
  limit.remaining = 9;
  gate.Leave("a", Outcome::kAnswered, {}, limit);
  Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 5u);
  std::this_thread::sleep_for(milliseconds(170));
  Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 6u);
}

TEST_F(AdaptiveGateTest, RequestsUnderWayAreTakenFromWhatRemains) {
  HostGate gate(io_.get_executor(), Free());
  for (int i = 0; i < 4; ++i) Enter(gate, "a");
  RateLimit limit;
  limit.remaining = 5;
  limit.reset = seconds(60);
  gate.Leave("a", Outcome::kAnswered, {}, limit);
  for (int i = 0; i < 10; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 4u + 2) << "three are on their way already";
}

TEST_F(AdaptiveGateTest, NotFasterThanItsPolicy) {
  HostGate gate(io_.get_executor(), Rated(1000, 50));
  RateLimit limit;
  limit.per_second = 100;
  AdmittedWithin(gate, milliseconds(100), limit);
  EXPECT_LE(AdmittedWithin(gate, milliseconds(300), limit), 30u + 5 + 10);
}

TEST_F(AdaptiveGateTest, WhoseTurnIsFarOffIsTold) {
  HostGateOptions options = Rated(10, 2);
  options.max_wait = milliseconds(300);
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 10; ++i) Enter(gate, "a");
  EXPECT_EQ(admitted_.size(), 2u);
  EXPECT_EQ(gate.waiting(), 3u);
  EXPECT_EQ(refused_, 5);
  EXPECT_GT(retry_after_, milliseconds(300));
}

TEST_F(HostGateTest, ForgetsHostsBeforeItRunsOutOfThem) {
  HostGateOptions options = Free();
  options.max_hosts = 100;
  HostGate gate(io_.get_executor(), options);
  Enter(gate, "busy");
  for (int i = 0; i < 1000; ++i) {
    const std::string host = "h" + std::to_string(i);
    Enter(gate, host);
    gate.Leave(host, Outcome::kFailed);
  }
  EXPECT_EQ(refused_, 0);
  EXPECT_LE(gate.hosts(), 100u);
  gate.Leave("busy", Outcome::kAnswered);
  EXPECT_EQ(gate.in_flight(), 0u);
  for (int i = 0; i < 150; ++i) Enter(gate, "open" + std::to_string(i));
  EXPECT_GT(refused_, 0) << "all of them busy";
}

TEST_F(HostGateTest, StopRefusesAll) {
  HostGateOptions options = Free();
  options.concurrency = 1;
  HostGate gate(io_.get_executor(), options);
  for (int i = 0; i < 4; ++i) Enter(gate, "a");
  gate.Stop();
  Turn();
  EXPECT_EQ(refused_, 3);
  Enter(gate, "a");
  EXPECT_EQ(refused_, 4);
}

}  // namespace
}  // namespace penstock::net
