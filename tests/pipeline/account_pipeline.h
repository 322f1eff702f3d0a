#pragma once

// A pipeline at level `full`, over a real store and a resolver that answers when it is told to, and accounts that write through
// two sources of it. In both databases.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/status.h"
#include "fixtures/builder/account.h"
#include "fixtures/builder/fake_time.h"
#include "indexer/readers.h"
#include "pipeline/pipeline.h"
#include "tests/indexer/store_fixture.h"
#include "tests/support/database/sql.h"
#include "tests/support/identity/scripted_resolver.h"

namespace penstock::pipeline {

using builder::Account;
using builder::CommitMessage;
using builder::kFixtureEpoch;
using builder::kSecond;
using builder::Write;

inline constexpr char kRelay[] = "relay.test";
inline constexpr char kOther[] = "other.test";
inline constexpr char kNote[] = "test.lantern.note";

inline builder::Item MakeNote(std::string_view text) {
  return builder::Item::Map({{"$type", kNote}, {"text", std::string(text)}});
}

// Says of every account what it is told to.
class ScriptedStatus final : public sync::HostStatusAsker {
 public:
  void Ask(std::string_view origin, std::string_view, std::function<void(const sync::HostStatus&)> done) override {
    ++asked;
    last_origin = origin;
    done(answer);
  }
  sync::HostStatus answer;
  std::atomic<int> asked{0};
  std::string last_origin;
};

class AccountPipeline : public test::StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    clock_.Set(kFixtureEpoch + builder::kHour);
    filter_ = *indexer::Filter::Make({.collections = {"test.lantern.*"}, .dids = {}, .exclude_dids = {}, .actions = {}});
    options_.filter = &filter_;
    options_.clock = &clock_;
    options_.counters = &counters_;
    options_.resolver = &resolver_;
    options_.batch_age_us = 1'000;
    options_.cursor_interval_us = 5'000;
    options_.ask_again_min_us = 2'000;
    options_.ask_again_max_us = 20'000;
    options_.held.store_after_us = 10'000;
    options_.state_store = [this] { return *indexer::MakeStateStore(Options()); };
  }
  void TearDown() override { Stop(); }

  void Start() {
    cursors_ = *store_->LoadCursors();
    output_ = std::make_unique<StoreOutput>(store_.get());
    pipeline_ = std::make_unique<Pipeline>(options_, output_.get());
    for (const char* name : {kRelay, kOther}) {
      std::optional<int64_t> cursor;
      for (const auto& known : cursors_) {
        if (known.source == name) cursor = known.position;
      }
      SourceOptions source;
      source.origin = std::string("https://") + name;
      source.pds = pds_sources_;
      pipeline_->AddSource(name, cursor, {}, source);
    }
    ASSERT_TRUE(pipeline_->Start().ok());
  }
  void Stop() {
    if (!pipeline_) return;
    EXPECT_TRUE(pipeline_->Finish(10'000'000).ok());
    pipeline_.reset();
  }
  void Restart() {
    Stop();
    Start();
  }

  Account Make(uint64_t seed, bool known = true) {
    Account account({.seed = seed, .handle = "a" + std::to_string(seed) + ".test"});
    const identity::IdentityPtr identity = test::IdentityOf(account);
    if (known) resolver_.Know(account.did(), identity);
    resolver_.Serve(account.did(), test::IdentityOf(account, MonotonicMicros()));
    return account;
  }
  // A commit of one new note, as a frame with the next seq.
  CommitMessage Message(Account& account, const std::string& rkey) {
    now_ += kSecond;
    return account.Commit({Write::Create(std::string(kNote) + "/" + rkey, MakeNote(rkey))}, now_);
  }
  void Offer(CommitMessage message, const char* source = kRelay) {
    message.seq = ++seq_;
    OfferBytes(builder::Encode(message), source);
  }
  void OfferAccount(const Account& account, bool active, const char* source = kRelay) {
    builder::AccountMessage message;
    message.seq = ++seq_;
    message.did = account.did();
    message.time = builder::FormatTime(now_);
    message.active = active;
    if (!active) message.status = "deactivated";
    OfferBytes(builder::Encode(message), source);
  }
  void OfferIdentity(const Account& account) {
    builder::IdentityMessage message;
    message.seq = ++seq_;
    message.did = account.did();
    message.time = builder::FormatTime(now_);
    OfferBytes(builder::Encode(message), kRelay);
  }
  void OfferBytes(const std::string& bytes, const char* source) {
    firehose::DeliveryPtr delivery = pipeline_->deliveries().Take();
    delivery->buffer = pipeline_->buffers().Take();
    delivery->buffer.Append(AsBytes(bytes));
    delivery->buffer.arrival_us = clock_.NowMicros();
    ASSERT_TRUE(firehose::DecodeFrame(delivery->buffer.bytes(), &delivery->frame).ok());
    while (!pipeline_->sink().Offer(source, &delivery)) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

  template <typename Condition>
  bool Eventually(Condition condition) {
    for (int i = 0; i < 2000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return false;
  }
  std::optional<int64_t> Durable(const char* source = kRelay) {
    for (const auto& stats : pipeline_->sources()) {
      if (stats.name == source) return stats.durable;
    }
    return std::nullopt;
  }
  // All that was offered is settled.
  bool Settled() {
    return Eventually([this] { return Durable() == seq_; });
  }
  uint64_t Held() { return pipeline_->stats().held_events; }
  // Through a connection of its own: the store's belongs to the writer while the pipeline runs.
  std::vector<std::string> Rows(const std::string& sql) {
    std::vector<std::string> rows;
    for (const auto& row : test::RunSql(url_, sql).rows) {
      std::string& text = rows.emplace_back();
      for (size_t i = 0; i < row.size(); ++i) text.append(i > 0 ? "|" : "").append(row[i].value_or("-"));
    }
    return rows;
  }
  std::string Value(const std::string& sql) {
    const std::vector<std::string> rows = Rows(sql);
    return rows.empty() ? "no row" : rows[0];
  }
  std::vector<std::string> Keys(const Account& account) {
    return Rows("SELECT rkey, verification FROM record WHERE did = '" + account.did() + "' AND NOT deleted ORDER BY rkey");
  }
  std::string State(const Account& account) {
    return Value("SELECT sync_state FROM repo WHERE did = '" + account.did() + "'");
  }

  indexer::Filter filter_ = indexer::Filter::Everything();
  test::ScriptedResolver resolver_;
  ScriptedStatus status_;
  PipelineOptions options_;
  std::vector<indexer::SourceCursor> cursors_;
  std::unique_ptr<StoreOutput> output_;
  std::unique_ptr<Pipeline> pipeline_;
  int64_t now_ = kFixtureEpoch;
  int64_t seq_ = 0;
  bool pds_sources_ = false;
};

}  // namespace penstock::pipeline
