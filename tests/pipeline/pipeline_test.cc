// The threads between a source and an output, with an output that misbehaves on demand. What must hold: every event that
// the filter wants is written exactly once and, per account, in order; the cursor never passes one that is not written.

#include "pipeline/pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "base/status.h"
#include "cbor/writer.h"

namespace penstock::pipeline {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kSource[] = "relay.test";

// 24 base32 characters that differ by `n`.
std::string DidOf(int n) {
  std::string did = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
  for (size_t i = 0; i < 6; ++i, n /= 26) did[8 + i] = static_cast<char>('a' + n % 26);
  return did;
}

std::string AccountFrame(int64_t seq, const std::string& did, bool active) {
  std::string out;
  cbor::MapWriter map;
  map.Key("t").Text("#account");
  map.Key("op").Int(1);
  map.Finish(&out);
  map.Key("seq").Int(seq);
  map.Key("did").Text(did);
  map.Key("time").Text("2026-01-15T12:00:00.000Z");
  map.Key("active").Bool(active);
  map.Finish(&out);
  return out;
}

// Remembers what was written; every behaviour that a store can show is a switch.
class FakeOutput final : public Output {
 public:
  struct Written {
    int64_t seq;
    std::string did;
    bool active;
  };

  absl::Status Apply(const indexer::Batch& batch, indexer::ApplyResult* result) override {
    std::unique_lock lock(mutex_);
    ++calls_;
    released_.wait(lock, [&] { return !held_; });
    if (fail_next_ > 0) {
      --fail_next_;
      return UnavailableError("the database is restarting");
    }
    if (!fatal_.ok()) return fatal_;
    for (const auto& change : batch.changes) {
      for (const auto& gap : change->gaps) gaps_.push_back(std::string(gap.reason));
      for (const auto& row : change->quarantine) quarantined_.push_back(std::string(row.frame_sha256));
      for (const auto& letter : change->dead_letters) letters_.push_back(std::string(RejectName(letter.reject)));
      if (change->account) written_.push_back({change->seq, std::string(change->did), change->account->active});
    }
    for (const auto& cursor : batch.cursors) {
      EXPECT_GT(cursor.position, cursors_[cursor.source]) << "a cursor went back";
      cursors_[cursor.source] = cursor.position;
      if (check_cursor_) check_cursor_(cursor.position, written_);
    }
    result->rows_written += batch.changes.size();
    return absl::OkStatus();
  }

  void Hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    released_.notify_all();
  }
  void FailNext(int times) {
    std::lock_guard lock(mutex_);
    fail_next_ = times;
  }
  void FailForGood(absl::Status status) {
    std::lock_guard lock(mutex_);
    fatal_ = std::move(status);
  }
  void CheckCursor(std::function<void(int64_t, const std::vector<Written>&)> check) { check_cursor_ = std::move(check); }

  // After Finish.
  std::vector<Written> written_;
  std::vector<std::string> gaps_, quarantined_, letters_;
  std::map<std::string, int64_t> cursors_;
  int calls_ = 0;

 private:
  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  int fail_next_ = 0;
  absl::Status fatal_;
  std::function<void(int64_t, const std::vector<Written>&)> check_cursor_;
};

class PipelineTest : public testing::Test {
 protected:
  PipelineTest() {
    options_.filter = &filter_;
    options_.verify = indexer::Verification::kCid;  // the level without accounts; chains have tests of their own
    options_.clock = &clock_;
    options_.counters = &counters_;
    options_.batch_age_us = 2'000;
    options_.cursor_interval_us = 5'000;
    options_.retry_min_us = 1'000;
    options_.retry_max_us = 4'000;
  }

  void Start(std::optional<int64_t> cursor = std::nullopt, const std::vector<indexer::StoredQuarantine>& quarantine = {}) {
    pipeline_ = std::make_unique<Pipeline>(options_, &output_);
    pipeline_->AddSource(kSource, cursor, quarantine);
    ASSERT_TRUE(pipeline_->Start([this] { failures_.fetch_add(1); }).ok());
  }

  bool Offer(const std::string& bytes) {
    firehose::DeliveryPtr delivery = pipeline_->deliveries().Take();
    delivery->buffer = pipeline_->buffers().Take();
    delivery->buffer.Append(AsBytes(bytes));
    const absl::Status status = firehose::DecodeFrame(delivery->buffer.bytes(), &delivery->frame);
    EXPECT_TRUE(status.ok()) << status;
    return pipeline_->sink().Offer(kSource, &delivery);
  }
  void Deliver(const std::string& bytes) {
    while (!Offer(bytes)) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  absl::Status Finish(int64_t timeout_us = 10'000'000) { return pipeline_->Finish(timeout_us); }

  indexer::Filter filter_ = indexer::Filter::Everything();
  FixedClock clock_{1'768'478'400'000'000};
  Counters counters_;
  PipelineOptions options_;
  FakeOutput output_;
  std::unique_ptr<Pipeline> pipeline_;
  std::atomic<int> failures_{0};
};

TEST_F(PipelineTest, WritesEveryEventOnceAndOneAccountInOrder) {
  options_.workers = 4;
  options_.batch_rows = 7;
  output_.CheckCursor([](int64_t cursor, const std::vector<FakeOutput::Written>& written) {
    size_t at_or_below = 0;
    for (const auto& event : written) at_or_below += event.seq <= cursor;
    EXPECT_EQ(at_or_below, static_cast<size_t>(cursor)) << "the cursor passed an event that is not written";
  });
  Start();
  constexpr int kEvents = 3000, kAccounts = 40;
  for (int i = 1; i <= kEvents; ++i) Deliver(AccountFrame(i, DidOf(i % kAccounts), i % 3 == 0));
  ASSERT_TRUE(Finish().ok());
  ASSERT_EQ(output_.written_.size(), static_cast<size_t>(kEvents));
  std::map<std::string, int64_t> last;
  for (const auto& event : output_.written_) {
    EXPECT_GT(event.seq, last[event.did]) << event.did;
    last[event.did] = event.seq;
  }
  EXPECT_EQ(output_.cursors_[kSource], kEvents);
}

TEST_F(PipelineTest, AFullPipelineTakesNothingMoreAndLosesNothing) {
  options_.workers = 2;
  options_.worker_queue_items = 8;
  options_.writer_queue_items = 8;
  options_.batch_rows = 4;
  Start();
  output_.Hold();
  int accepted = 0;
  // The bounds in sum: both worker queues, the writer's queue, a batch, and one item in each thread's hands.
  constexpr int kBound = 2 * 8 + 8 + 4 + 3;
  for (int attempts = 0; attempts < 2000 && accepted <= kBound; ++attempts) {
    if (Offer(AccountFrame(accepted + 1, DidOf(accepted), false))) {
      ++accepted;
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
  EXPECT_LE(accepted, kBound) << "the queues are not bounded";
  EXPECT_GE(accepted, 8);
  output_.Release();
  constexpr int kEvents = 200;
  for (int i = accepted + 1; i <= kEvents; ++i) Deliver(AccountFrame(i, DidOf(i), false));
  ASSERT_TRUE(Finish().ok());
  EXPECT_EQ(output_.written_.size(), static_cast<size_t>(kEvents));
  EXPECT_EQ(output_.cursors_[kSource], kEvents);
}

TEST_F(PipelineTest, AnUnavailableOutputIsWaitedFor) {
  Start();
  output_.FailNext(5);
  for (int i = 1; i <= 50; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  ASSERT_TRUE(Finish().ok());
  EXPECT_EQ(output_.written_.size(), 50u);
  EXPECT_EQ(counters_.Of("store_unavailable"), 5u);
  EXPECT_EQ(failures_.load(), 0);
}

TEST_F(PipelineTest, StoppingWhileTheOutputIsAwayEndsInTimeAndMovesNoCursor) {
  Start(/*cursor=*/100);
  output_.FailNext(1 << 30);
  for (int i = 101; i <= 120; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  const absl::Status status = Finish(/*timeout_us=*/50'000);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_TRUE(output_.written_.empty());
  EXPECT_TRUE(output_.cursors_.empty());
  EXPECT_EQ(pipeline_->sources()[0].durable, 100);
}

TEST_F(PipelineTest, AnErrorThatRetryingCannotCureStopsTheWriterAndTellsTheOwner) {
  Start();
  output_.FailForGood(FailedPreconditionError("the lease was taken over"));
  Deliver(AccountFrame(1, DidOf(1), true));
  while (failures_.load() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  // What still comes in is let go; its owner stops feeding.
  for (int i = 2; i <= 10; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  EXPECT_TRUE(absl::IsFailedPrecondition(Finish()));
  EXPECT_EQ(failures_.load(), 1);
  EXPECT_TRUE(output_.cursors_.empty());
}

TEST_F(PipelineTest, WhatTheFilterDropsStillMovesTheCursor) {
  auto filter = indexer::Filter::Make({.collections = {"*"}, .dids = {DidOf(7)}, .exclude_dids = {}, .actions = {}});
  ASSERT_TRUE(filter.ok());
  filter_ = *std::move(filter);
  Start();
  for (int i = 1; i <= 100; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  ASSERT_TRUE(Finish().ok());
  ASSERT_EQ(output_.written_.size(), 1u);
  EXPECT_EQ(output_.written_[0].seq, 7);
  EXPECT_EQ(output_.cursors_[kSource], 100);
  EXPECT_EQ(pipeline_->stats().frames, 100u);
  EXPECT_EQ(pipeline_->stats().matched, 1u);
}

TEST_F(PipelineTest, AGapAndAQuarantinedFrameAreDurableBeforeTheCursorPassesThem) {
  output_.CheckCursor([this](int64_t cursor, const std::vector<FakeOutput::Written>&) {
    if (cursor > 10) {
      EXPECT_EQ(output_.quarantined_.size(), 1u);
    }
    if (cursor > 20) {
      EXPECT_THAT(output_.gaps_, ElementsAre("outdated_cursor"));
    }
  });
  options_.batch_rows = 3;
  Start(/*cursor=*/5);
  for (int i = 6; i <= 10; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  const std::string poison = "\xff\xff";
  pipeline_->sink().Quarantine(kSource, {10, Reject::kFrameBadHeader, "at byte 0", AsBytes(poison)});
  EXPECT_TRUE(pipeline_->sink().IsQuarantined(kSource, 10, AsBytes(poison)));
  EXPECT_FALSE(pipeline_->sink().IsQuarantined(kSource, 11, AsBytes(poison)));
  for (int i = 11; i <= 20; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  pipeline_->sink().OpenGap(kSource, {20, 31, "outdated_cursor", "the relay said so"});
  for (int i = 31; i <= 40; ++i) Deliver(AccountFrame(i, DidOf(i), true));
  ASSERT_TRUE(Finish().ok());
  EXPECT_THAT(output_.gaps_, ElementsAre("outdated_cursor"));
  EXPECT_EQ(output_.quarantined_.size(), 1u);
  EXPECT_EQ(output_.cursors_[kSource], 40);
}

TEST_F(PipelineTest, AQuarantinedFrameIsKnownAgainAfterARestart) {
  const std::string poison = "\xff\xff";
  Start();
  pipeline_->sink().Quarantine(kSource, {3, Reject::kFrameBadHeader, "", AsBytes(poison)});
  ASSERT_TRUE(Finish().ok());
  ASSERT_EQ(output_.quarantined_.size(), 1u);
  const std::string digest = output_.quarantined_[0];
  Start(/*cursor=*/3, {{kSource, 3, digest}, {"another.test", 9, digest}});
  EXPECT_TRUE(pipeline_->sink().IsQuarantined(kSource, 3, AsBytes(poison)));
  EXPECT_FALSE(pipeline_->sink().IsQuarantined(kSource, 9, AsBytes(poison)));
  ASSERT_TRUE(Finish().ok());
}

TEST_F(PipelineTest, PositionIsTheHighestSeqReceivedElseTheCursorAndNoneIsNotZero) {
  Start();
  EXPECT_EQ(pipeline_->sink().Position(kSource), std::nullopt);
  Deliver(AccountFrame(9, DidOf(1), true));
  EXPECT_EQ(pipeline_->sink().Position(kSource), 9);
  ASSERT_TRUE(Finish().ok());
  Start(/*cursor=*/0);
  EXPECT_EQ(pipeline_->sink().Position(kSource), 0);
  ASSERT_TRUE(Finish().ok());
}

TEST_F(PipelineTest, ARefusedMessageIsADeadLetterUnderItsNameAndTheStreamGoesOn) {
  Start();
  std::string no_active;  // #account without its needed field
  cbor::MapWriter map;
  map.Key("t").Text("#account");
  map.Key("op").Int(1);
  map.Finish(&no_active);
  map.Key("seq").Int(2);
  map.Key("did").Text(DidOf(2));
  map.Key("time").Text("2026-01-15T12:00:00.000Z");
  map.Finish(&no_active);
  Deliver(AccountFrame(1, DidOf(1), true));
  Deliver(no_active);
  Deliver(AccountFrame(3, DidOf(3), true));
  ASSERT_TRUE(Finish().ok());
  EXPECT_THAT(output_.letters_, ElementsAre("event_missing_field"));
  EXPECT_EQ(counters_.Of(Reject::kEventMissingField), 1u);
  EXPECT_EQ(output_.written_.size(), 2u);
  EXPECT_EQ(output_.cursors_[kSource], 3);
}

}  // namespace
}  // namespace penstock::pipeline
