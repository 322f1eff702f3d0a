// The program is killed at every step of a task, or a call fails there: whatever the step, the next program brings the account to
// its end, and it is done once.

#include "tests/backfill/coordinator_testing.h"

namespace penstock::backfill {
namespace {

using builder::kMinute;
using sync::RunKind;
using testing::Contains;
using testing::HasSubstr;

class CoordinatorFaultTest : public CoordinatorFixture {
 protected:
  void SetUp() override {
    CoordinatorFixture::SetUp();
    if (IsSkipped()) return;
    coordinator_options_.queue_unsettled = false;  // what is not brought to its end by its own task shows
  }

  struct Scene {
    std::function<void(Account&)> prepare = [](Account&) {};        // before the task is queued
    std::function<void(Account&)> heal = [](Account&) {};           // before the program begins again
    std::function<void(Account&)> check;                            // at the end
    int notes = 3;
    size_t steps_at_least = 0;
  };

  void KillAtEveryStep(const Scene& scene) {
    for (uint64_t step = 1;; ++step) {
      SCOPED_TRACE("killed at step " + std::to_string(step));
      tag_ = step;
      Account ann = Resident(step, pds_, scene.notes);
      Begin();
      scene.prepare(ann);
      fault_.KillAt(step);
      Want({&ann});
      ASSERT_TRUE(Eventually([&] { return fault_.killed() || Ended(ann); })) << Task(ann);
      const bool killed = fault_.killed();
      EndAll();
      fault_.KillAt(0);
      if (!killed) {
        EXPECT_GT(step, scene.steps_at_least);
        return;
      }
      scene.heal(ann);
      Begin();
      ASSERT_TRUE(Eventually([&] {
        if (Ended(ann)) return true;
        if (coordinator_->stats().idle) clock_.Advance(kMinute);
        return false;
      })) << Task(ann);
      scene.check(ann);
      EndAll();
    }
  }

  void FailAtEveryStep(const Scene& scene) {
    failures_.clear();
    Begin();
    for (uint64_t step = 1;; ++step) {
      SCOPED_TRACE("step " + std::to_string(step) + " failed");
      Account ann = Resident(100 + step, pds_, scene.notes);
      scene.prepare(ann);
      fault_.FailAt(step);
      Want({&ann}, RunKind::kManual);
      bool healed = false;
      ASSERT_TRUE(Eventually([&] {
        if (Ended(ann)) return true;
        if (!healed && fault_.steps() >= step) {
          healed = true;
          scene.heal(ann);
        }
        if (coordinator_->stats().idle) clock_.Advance(kMinute);
        return false;
      })) << Task(ann);
      const bool failed = fault_.steps() >= step;
      fault_.FailAt(0);
      EXPECT_TRUE(Failures().empty()) << Failures()[0];
      if (!failed) {
        EXPECT_GT(step, scene.steps_at_least);
        return;
      }
      ASSERT_TRUE(Eventually([&] { return coordinator_->stats().idle; }));
      scene.check(ann);
    }
  }

  bool Ended(const Account& account) { return TaskState(account) == "done"; }
  // Whole, and its chain goes on.
  void ExpectWholeAndLive(Account& account) {
    ASSERT_TRUE(Eventually([&] { return Value(StateSql(account)) == "synchronized " + account.rev(); }));
    ExpectWhole(account);
    paths_[account.did()].insert(std::string(kNote) + "/live");
    Offer(Message(account, "live"));
    ASSERT_TRUE(Settled());
    ASSERT_TRUE(Eventually([&] { return Value(StateSql(account)) == "synchronized " + account.rev(); }));
    ExpectWhole(account);
  }
  static std::string StateSql(const Account& account) {
    return "SELECT sync_state || ' ' || rev FROM repo WHERE did = '" + account.did() + "'";
  }

  Host pds_;
  uint64_t tag_ = 0;  // of the account's first notes
};

TEST_P(CoordinatorFaultTest, AnAccountInOneTransaction) {
  Scene scene;
  scene.check = [&](Account& ann) { ExpectWholeAndLive(ann); };
  scene.steps_at_least = 8;  // claim, coverage, prepare, begin, finish
  KillAtEveryStep(scene);
  if (!HasFatalFailure()) FailAtEveryStep(scene);
}

// Rows are there already: some stay, some are gone from the repository, and it comes in pieces.
TEST_P(CoordinatorFaultTest, ALargeAccountInPieces) {
  coordinator_options_.archive.rows_at_once = 6;
  coordinator_options_.archive.chunk_rows = 4;
  Scene scene;
  scene.notes = 12;
  scene.prepare = [&](Account& ann) {
    Want({&ann}, RunKind::kResync);
    ASSERT_TRUE(BecomesDone(ann));
    ASSERT_TRUE(Eventually([&] { return coordinator_->stats().idle; }));
    std::vector<Write> writes;
    for (int i = 0; i < 5; ++i) {
      writes.push_back(Write::Delete(std::string(kNote) + "/n" + std::to_string(tag_) + "-" + std::to_string(1000 + 2 * i)));
    }
    now_ += kSecond;
    ann.Commit(writes, now_);
    Publish(ann, 20, 7'000);
    pds_.Has(ann);
  };
  scene.check = [&](Account& ann) { ExpectWholeAndLive(ann); };
  scene.steps_at_least = 16;
  KillAtEveryStep(scene);
}

TEST_P(CoordinatorFaultTest, ABadArchive) {
  Scene scene;
  scene.prepare = [&](Account& ann) { pds_.Fails(HostingFault::FlipAt(ann.Export()->size() - 10).Of(ann.did())); };
  scene.heal = [&](Account&) { pds_.hosting().ClearFaults(); };
  scene.check = [&](Account& ann) { ExpectWholeAndLive(ann); };
  // Claim, coverage, prepare, abandon, outcome; it does not end by itself, so the loop ends when it is killed no more.
  for (uint64_t step = 1; step <= 8; ++step) {
    SCOPED_TRACE("killed at step " + std::to_string(step));
    Account ann = Resident(step, pds_, scene.notes);
    Begin();
    scene.prepare(ann);
    fault_.KillAt(step);
    Want({&ann});
    ASSERT_TRUE(Eventually([&] { return fault_.killed(); }));
    EndAll();
    EXPECT_EQ(Value("SELECT COUNT(*) FROM record WHERE did = '" + ann.did() + "'"), "0");
    const std::string task = Task(ann);
    EXPECT_EQ(task, step < 8 ? "running - 0" : "queued car_block_cid_mismatch 1");
    fault_.KillAt(0);
    scene.heal(ann);
    Begin();
    ASSERT_TRUE(BecomesDone(ann));
    scene.check(ann);
    EndAll();
  }
}

TEST_P(CoordinatorFaultTest, ASilentAccount) {
  Scene scene;
  scene.prepare = [&](Account& ann) { pds_.hosting().SetStatus("", ann.did(), false, "deactivated"); };
  scene.check = [&](Account& ann) {
    EXPECT_EQ(Task(ann), "done account_inactive 0");
    EXPECT_TRUE(Eventually([&] { return Status(ann) == "deactivated"; })) << Status(ann);
  };
  scene.steps_at_least = 6;
  KillAtEveryStep(scene);
}

// ---- Leases

TEST_P(CoordinatorFaultTest, WhatADeadProcessHeldIsTakenOverWhenItsLeaseIsOver) {
  Account ann = Resident(1, pds_);
  coordinator_options_.lease_us = 400'000;  // looked at four times as often
  Begin();
  EndCoordinator();
  Want({&ann});
  std::vector<sync::BackfillTask> tasks;
  ASSERT_TRUE(queue().Claim("elsewhere#7", clock_.NowMicros(), clock_.NowMicros() + kMinute, 10, &tasks).ok());
  ASSERT_EQ(tasks.size(), 1u);
  BeginCoordinator();
  std::this_thread::sleep_for(std::chrono::milliseconds(250));
  EXPECT_EQ(Task(ann), "running - 0") << "somebody else's";
  clock_.Advance(2 * kMinute);
  ASSERT_TRUE(Eventually([&] { return Ended(ann); }));
  ExpectWholeAndLive(ann);
}

TEST_P(CoordinatorFaultTest, ALeaseThatIsOverIsGivenUp) {
  Account ann = Resident(1, pds_, 60);
  coordinator_options_.lease_us = kMinute;
  const int slow = pds_.Fails(HostingFault::Slow(1'000));
  Begin();
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return coordinator_->stats().downloading == 1; }));
  // The machine slept.
  clock_.Advance(10 * kMinute);
  coordinator_->Wake();
  ASSERT_TRUE(Eventually([&] { return counters_.Of("backfill_lease_lost") == 1; }));
  pds_.hosting().RemoveFault(slow);
  ASSERT_TRUE(Eventually([&] { return Ended(ann); }));
  ExpectWholeAndLive(ann);
  EXPECT_EQ(Task(ann), "done - 0");
  EXPECT_EQ(coordinator_->stats().accounts, 1u);
}

// The answer to a claim is lost, and with it the names of what was claimed.
TEST_P(CoordinatorFaultTest, AClaimWhoseAnswerIsLost) {
  Account ann = Resident(1, pds_);
  Begin();
  fault_.FailAt(1);
  Want({&ann});
  ASSERT_TRUE(Eventually([&] { return Ended(ann); }));
  ExpectWholeAndLive(ann);
  EXPECT_THAT(Log(), Contains(HasSubstr("the queue is away")));
  EXPECT_THAT(Log(), Contains(HasSubstr("the queue is back")));
}

INSTANTIATE_TEST_SUITE_P(Databases, CoordinatorFaultTest, testing::Values("sqlite", "postgresql"),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace penstock::backfill
