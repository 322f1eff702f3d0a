#pragma once

// The scene of every attack: a consumer at level `full` that follows two accounts, an attacker who owns a
// relay or a host, and an honest relay that goes on. What the attacker sends is made with the builder.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "fixtures/builder/faults.h"
#include "indexer/filter.h"
#include "tests/support/identity/scripted_resolver.h"
#include "tests/support/pipeline/inline_consumer.h"

namespace penstock::test {

inline constexpr char kNote[] = "test.lantern.note";
inline constexpr char kHonest[] = "relay.test";
inline constexpr char kAttacker[] = "attacker.test";

inline builder::Item Note(std::string_view text) {
  return builder::Item::Map({{"$type", kNote}, {"text", std::string(text)}});
}
inline std::string NotePath(std::string_view rkey) { return std::string(kNote) + "/" + std::string(rkey); }

// Says of every account what it is told to, at once.
class ScriptedStatus final : public sync::HostStatusAsker {
 public:
  void Ask(std::string_view, std::string_view, std::function<void(const sync::HostStatus&)> done) override {
    ++asked;
    done(answer);
  }
  sync::HostStatus answer;
  int asked = 0;
};

// What the attack comes to for the account it is made on.
enum class Cost {
  kNothing,  // as if it had not been
  kDelay,    // desynchronised: rows stay, its events wait for a resync
};

class Attack : public testing::TestWithParam<builder::Curve> {
 protected:
  Attack();

  // What is there when the attack begins: both accounts with a first commit and three notes, all of it
  // proven.
  void SetUp() override;

  // One message of one source, after which everything that can be judged has been judged.
  firehose::StreamVerdict Send(std::string_view bytes, std::string_view source = kAttacker);
  template <typename Message>
  std::string Numbered(Message message) {
    message.seq = ++seq_;
    return builder::Encode(message);
  }
  // The next moment on the accounts' clock.
  int64_t Tick() { return now_ += builder::kSecond; }
  // A commit of one new note: kept by the account, or (Draft) only thought of.
  builder::CommitMessage Next(builder::Account& account, const std::string& rkey) {
    return account.Commit({builder::Write::Create(NotePath(rkey), Note(rkey))}, Tick());
  }
  builder::CommitMessage Draft(const std::string& rkey = "x") {
    return victim_.Draft({builder::Write::Create(NotePath(rkey), Note(rkey))}, now_ + builder::kSecond);
  }

  // Sends it and checks that it is refused as a whole for `why`, at that price.
  void ExpectRefused(std::string_view bytes, Reject why, Cost cost = Cost::kNothing);
  // Sends it and checks that nothing changes, with nobody alarmed: counted as `counter`, if that is given.
  void ExpectIgnored(std::string_view bytes, std::string_view counter = {});
  // The honest relay brings the victim's and the other account's next commit: both continue their chains. `was_away`: the victim was
  // hidden for a while, so that its chain counts as whole again once its repository was fetched.
  void ExpectGoesOn(bool was_away = false);
  // The victim is desynchronised: its rows are as before, its next commit waits; the other account goes on.
  void ExpectDelayed();

  std::vector<std::string> Facts() const { return store_.tables().Facts(); }
  std::vector<std::string> FactsOf(const builder::Account& account) const;

  FixedClock clock_{builder::kFixtureEpoch + builder::kHour};
  indexer::Filter filter_ = indexer::Filter::Everything();
  Counters counters_;
  ScriptedResolver resolver_;
  ScriptedStatus status_;
  pipeline::PipelineOptions options_;
  MemoryStore store_;
  std::unique_ptr<InlineConsumer> consumer_;
  int64_t now_ = builder::kFixtureEpoch;
  int64_t seq_ = 0;
  int notes_ = 0;
  builder::Account victim_, other_;
};

inline std::string CurveName(const testing::TestParamInfo<builder::Curve>& info) {
  return info.param == builder::Curve::kK256 ? "K256" : "P256";
}

}  // namespace penstock::test
