// The pipe between the thread that receives a body and the one that reads it: order, bounds, ends, and no wake-up lost.

#include "net/body_pipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "base/status.h"
#include "net/xrpc_answers.h"

namespace penstock::net {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int64_t kLong = 20'000'000, kShort = 20'000;  // microseconds

bool Read(BodyPipe& pipe, std::string* piece, int64_t timeout_us = kLong) {
  bool timed_out = false;
  const bool read = pipe.Read(piece, timeout_us, &timed_out);
  EXPECT_FALSE(timed_out);
  return read;
}

bool Write(BodyPipe& pipe, std::string piece, std::function<void()> when_room = [] {}) {
  const bool taken = pipe.Write(&piece, std::move(when_room));
  EXPECT_EQ(piece.empty(), taken);
  return taken;
}

TEST(BodyPipe, ReadsWhatWasWrittenThenTheEnd) {
  BodyPipe pipe;
  EXPECT_TRUE(Write(pipe, std::string(60'000, 'a')));
  EXPECT_TRUE(Write(pipe, std::string(60'000, 'b')));
  pipe.End({UnavailableError("cut_off"), "Why", 17}, "https://pds.lantern.test");
  std::string all, piece;
  while (Read(pipe, &piece)) all += piece;
  EXPECT_EQ(all, std::string(60'000, 'a') + std::string(60'000, 'b'));
  EXPECT_TRUE(absl::IsUnavailable(pipe.outcome().status));
  EXPECT_EQ(pipe.outcome().error, "Why");
  EXPECT_EQ(pipe.outcome().retry_after_us, 17);
  EXPECT_EQ(pipe.origin(), "https://pds.lantern.test");
  EXPECT_FALSE(Read(pipe, &piece)) << "it stays at its end";
  pipe.Cancel();
  EXPECT_FALSE(Read(pipe, &piece));
  EXPECT_TRUE(absl::IsUnavailable(pipe.outcome().status)) << "and the end does not change any more";
}

TEST(BodyPipe, SaysThatNothingCame) {
  BodyPipe pipe;
  std::string piece;
  bool timed_out = false;
  const auto begin = steady_clock::now();
  EXPECT_FALSE(pipe.Read(&piece, kShort, &timed_out));
  EXPECT_TRUE(timed_out);
  EXPECT_GE(steady_clock::now() - begin, std::chrono::microseconds(kShort));
  Write(pipe, "late");
  EXPECT_TRUE(pipe.Read(&piece, kShort, &timed_out));
  EXPECT_FALSE(timed_out);
  EXPECT_EQ(piece, "late");
}

TEST(BodyPipe, JoinsShortPieces) {
  BodyPipe pipe;
  for (int i = 0; i < 1000; ++i) Write(pipe, "x");
  std::string piece;
  EXPECT_TRUE(Read(pipe, &piece));
  EXPECT_EQ(piece.size(), 1000u);
}

TEST(BodyPipe, AFullPipeTakesNothingAndSaysWhenThereIsRoom) {
  BodyPipe pipe(250'000);
  int calls = 0;
  const auto count = [&] { ++calls; };
  EXPECT_TRUE(Write(pipe, std::string(100'000, 'a'), count));
  EXPECT_TRUE(Write(pipe, std::string(100'000, 'b'), count));
  EXPECT_FALSE(Write(pipe, std::string(100'000, 'c'), count));
  std::string piece;
  EXPECT_TRUE(Read(pipe, &piece));
  EXPECT_EQ(calls, 1) << "200,000 of 250,000";
  EXPECT_TRUE(Read(pipe, &piece));
  EXPECT_EQ(calls, 1) << "once";
  EXPECT_TRUE(Write(pipe, std::string(100'000, 'c'), count));
  EXPECT_TRUE(Read(pipe, &piece));
  EXPECT_EQ(piece, std::string(100'000, 'c'));
  EXPECT_EQ(calls, 1);
}

TEST(BodyPipe, APieceLongerThanThePipeGoesThroughAlone) {
  BodyPipe pipe(10);
  int calls = 0;
  EXPECT_TRUE(Write(pipe, std::string(100'000, 'a')));
  EXPECT_FALSE(Write(pipe, std::string(100'000, 'b'), [&] { ++calls; }));
  std::string piece;
  EXPECT_TRUE(Read(pipe, &piece));
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(Write(pipe, std::string(100'000, 'b')));
}

TEST(BodyPipe, CancellingWakesBothSides) {
  BodyPipe pipe(10);
  int room = 0, cancelled = 0;
  pipe.OnCancel([&] { ++cancelled; });
  Write(pipe, "123456789");
  EXPECT_FALSE(Write(pipe, "more", [&] { ++room; }));
  pipe.Cancel();
  pipe.Cancel();
  EXPECT_EQ(room, 1);
  EXPECT_EQ(cancelled, 1);
  EXPECT_TRUE(pipe.cancelled());
  std::string piece;
  EXPECT_FALSE(Read(pipe, &piece)) << "what is left is not wanted";
  EXPECT_TRUE(absl::IsCancelled(pipe.outcome().status));
  EXPECT_TRUE(Write(pipe, std::string(100, 'x'))) << "taken, and thrown away";
  pipe.OnCancel([&] { ++cancelled; });
  EXPECT_EQ(cancelled, 2) << "at once";
  pipe.End({}, "https://pds.lantern.test");
  EXPECT_FALSE(Read(pipe, &piece));
  EXPECT_TRUE(absl::IsCancelled(pipe.outcome().status));
}

TEST(BodyPipe, AReaderThatSleepsIsWoken) {
  for (const bool cancel : {false, true}) {
    BodyPipe pipe;
    std::thread other([&] {
      std::this_thread::sleep_for(milliseconds(20));
      if (cancel) {
        pipe.Cancel();
      } else {
        pipe.End({}, "https://pds.lantern.test");
      }
    });
    std::string piece;
    EXPECT_FALSE(Read(pipe, &piece));
    EXPECT_EQ(absl::IsCancelled(pipe.outcome().status), cancel);
    other.join();
  }
}

TEST(BodyPipe, CallsNobodyBackAfterItsEnd) {
  BodyPipe pipe(10);
  int calls = 0;
  pipe.OnCancel([&] { ++calls; });
  Write(pipe, "123456789");
  EXPECT_FALSE(Write(pipe, "more", [&] { ++calls; }));
  pipe.End({}, "https://pds.lantern.test");
  std::string piece;
  EXPECT_TRUE(Read(pipe, &piece));
  pipe.Cancel();
  EXPECT_EQ(calls, 0);
}

// What an io thread is to the pipe's sender: it sleeps until somebody posts.
class Sender {
 public:
  void Wake() {
    std::lock_guard lock(mutex_);
    ++posted_;
    changed_.notify_one();
  }
  // False when nobody woke it for a long time.
  bool Sleep() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return posted_ > 0; })) return false;
    --posted_;
    return true;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int posted_ = 0;
};

TEST(BodyPipe, NoWakeUpIsLost) {
  const uint32_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 40; ++round) {
    BodyPipe pipe(1 + random() % 300'000);
    const size_t total = 1 + random() % 3'000'000;
    const uint32_t sender_seed = random();
    std::thread sending([&] {
      std::mt19937 sizes(sender_seed);
      Sender sender;
      size_t sent = 0;
      while (sent < total) {
        std::string piece(std::min<size_t>(total - sent, 1 + sizes() % 100'000), static_cast<char>('a' + sent % 26));
        sent += piece.size();
        while (!pipe.Write(&piece, [&] { sender.Wake(); })) ASSERT_TRUE(sender.Sleep());
      }
      pipe.End({}, "https://pds.lantern.test");
    });
    size_t read = 0;
    std::string piece;
    while (Read(pipe, &piece)) read += piece.size();
    sending.join();
    ASSERT_EQ(read, total) << "round " << round;
    ASSERT_TRUE(pipe.outcome().status.ok());
  }
}

TEST(BodyPipe, CancelFromAnywhereAtAnyTime) {
  std::mt19937 random(std::random_device{}());
  for (int round = 0; round < 200; ++round) {
    BodyPipe pipe(100'000);
    std::atomic<bool> told{false};
    std::thread sending([&] {
      Sender sender;
      pipe.OnCancel([&] { told = true; });
      for (int i = 0; i < 1000 && !pipe.cancelled(); ++i) {
        std::string piece(10'000, 'x');
        while (!pipe.Write(&piece, [&] { sender.Wake(); })) ASSERT_TRUE(sender.Sleep());
      }
      pipe.End({}, "https://pds.lantern.test");
    });
    const auto after = std::chrono::microseconds(random() % 2000);
    std::thread cancelling([&] {
      std::this_thread::sleep_for(after);
      pipe.Cancel();
    });
    std::string piece;
    while (Read(pipe, &piece)) continue;
    const bool cancelled = absl::IsCancelled(pipe.outcome().status);
    cancelling.join();
    sending.join();
    EXPECT_TRUE(cancelled ? told.load() : pipe.outcome().status.ok());
  }
}

}  // namespace
}  // namespace penstock::net
