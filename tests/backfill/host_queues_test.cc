// Who is fetched next.

#include "backfill/host_queues.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace penstock::backfill {
namespace {

using testing::ElementsAre;

class HostQueuesTest : public testing::Test {
 protected:
  // Those that may begin now, as "host/key", in their order.
  std::vector<std::string> Begin(size_t limit = 100) {
    std::vector<std::string> begun;
    while (begun.size() < limit) {
      const auto turn = queues_.Next(is_busy_);
      if (!turn) break;
      begun.push_back(turn->host + "/" + turn->key);
    }
    return begun;
  }
  std::set<std::string> busy_;
  HostQueues::IsBusy is_busy_ = [this](const std::string& host) { return busy_.contains(host); };
  HostQueues queues_{2};
};

TEST_F(HostQueuesTest, HostsTakeTurns) {
  for (const char* key : {"1", "2", "3", "4", "5"}) queues_.Add("a", key);
  queues_.Add("b", "6");
  queues_.Add("c", "7");
  EXPECT_THAT(Begin(), ElementsAre("a/1", "b/6", "c/7", "a/2")) << "and two of one host at most";
  EXPECT_EQ(queues_.waiting(), 3u);
  EXPECT_EQ(queues_.under_way(), 4u);
  EXPECT_THAT(Begin(), ElementsAre());
  queues_.Done("a");
  EXPECT_THAT(Begin(), ElementsAre("a/3"));
  queues_.Done("b");
  EXPECT_THAT(Begin(), ElementsAre());
  EXPECT_EQ(queues_.UnderWayAt("a"), 2u);
  EXPECT_EQ(queues_.UnderWayAt("b"), 0u);
}

TEST_F(HostQueuesTest, ABusyHostKeepsItsOwnWaiting) {
  for (const char* key : {"1", "2"}) queues_.Add("dead", key);
  for (const char* key : {"3", "4"}) queues_.Add("good", key);
  busy_ = {"dead"};
  EXPECT_THAT(Begin(), ElementsAre("good/3", "good/4"));
  busy_.clear();
  EXPECT_THAT(Begin(), ElementsAre("dead/1", "dead/2")) << "in the order in which they came";
}

TEST_F(HostQueuesTest, ATurnThatCouldNotBeTakenIsNotLost) {
  for (const char* key : {"1", "2", "3"}) queues_.Add("a", key);
  for (const char* key : {"4", "5", "6"}) queues_.Add("b", key);
  busy_ = {"a"};
  EXPECT_THAT(Begin(1), ElementsAre("b/4"));
  busy_.clear();
  EXPECT_THAT(Begin(2), ElementsAre("a/1", "b/5"));
}

TEST_F(HostQueuesTest, TakesBackWhatABusyHostKeeps) {
  for (const char* key : {"1", "2", "3", "4"}) queues_.Add("dead", key);
  for (const char* key : {"5", "6"}) queues_.Add("down", key);
  queues_.Add("good", "7");
  busy_ = {"dead", "down"};
  std::vector<std::string> taken;
  for (const auto& turn : queues_.TakeBack(is_busy_, 5)) taken.push_back(turn.host + "/" + turn.key);
  EXPECT_THAT(taken, ElementsAre("dead/4", "dead/3", "dead/2", "dead/1", "down/6"));
  EXPECT_EQ(queues_.waiting(), 2u);
  EXPECT_THAT(Begin(), ElementsAre("good/7"));
  busy_.clear();
  EXPECT_THAT(Begin(), ElementsAre("down/5"));
  queues_.Add("dead", "8");
  EXPECT_THAT(Begin(), ElementsAre("dead/8")) << "forgotten, and back again";
  EXPECT_TRUE(queues_.TakeAll().empty());
}

TEST_F(HostQueuesTest, StrayEndsAreNothing) {
  queues_.Done("nobody");
  queues_.Add("a", "1");
  queues_.Done("a");
  EXPECT_THAT(Begin(), ElementsAre("a/1"));
  queues_.Done("a");
  queues_.Done("a");
  EXPECT_EQ(queues_.under_way(), 0u);
}

// Whatever happens in whatever order: nobody is lost, nobody begins twice, no host is busy with more than two.
TEST_F(HostQueuesTest, KeepsItsPromisesUnderRandomTraffic) {
  const uint32_t seed = 20250901;
  std::mt19937 random(seed);
  std::map<std::string, size_t> under_way;
  std::multiset<std::string> waiting;
  int next = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::string host(1, static_cast<char>('a' + random() % 8));
    switch (random() % 5) {
      case 0:
      case 1: {
        const std::string key = std::to_string(next++);
        queues_.Add(host, key);
        waiting.insert(host + key);
        break;
      }
      case 2:
        if (const auto turn = queues_.Next(is_busy_)) {
          ASSERT_EQ(waiting.erase(turn->host + turn->key), 1u) << "seed " << seed;
          ASSERT_FALSE(busy_.contains(turn->host));
          ASSERT_LE(++under_way[turn->host], 2u);
        }
        break;
      case 3:
        if (under_way[host] > 0) {
          queues_.Done(host);
          --under_way[host];
        }
        break;
      case 4:
        if (!busy_.erase(host)) busy_.insert(host);
        if (random() % 20 == 0) {
          for (const auto& turn : queues_.TakeBack(is_busy_, 3)) ASSERT_EQ(waiting.erase(turn.host + turn.key), 1u);
        }
        break;
    }
    ASSERT_EQ(queues_.waiting(), waiting.size()) << "seed " << seed << ", step " << step;
  }
  for (const auto& turn : queues_.TakeAll()) ASSERT_EQ(waiting.erase(turn.host + turn.key), 1u);
  EXPECT_TRUE(waiting.empty());
}

}  // namespace
}  // namespace penstock::backfill
