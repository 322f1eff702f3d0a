#include "tests/attack/attack.h"

namespace penstock::test {

using testing::ElementsAre;
using testing::HasSubstr;

namespace {

std::vector<std::string> Without(std::vector<std::string> facts, std::string_view prefix) {
  std::erase_if(facts, [prefix](const std::string& fact) { return fact.starts_with(prefix); });
  return facts;
}

}  // namespace

Attack::Attack()
    : victim_({.seed = 7, .handle = "vera.test", .curve = GetParam()}),
      other_({.seed = 8, .handle = "otto.test", .curve = GetParam()}) {
  options_.filter = &filter_;
  options_.clock = &clock_;
  options_.counters = &counters_;
  options_.resolver = &resolver_;
}

void Attack::SetUp() {
  consumer_ = std::make_unique<InlineConsumer>(options_, &store_);
  for (builder::Account* account : {&victim_, &other_}) {
    // Known from long ago; whoever asks again is answered by what holds now.
    resolver_.Know(account->did(), IdentityOf(*account));
    resolver_.Serve(account->did(), IdentityOf(*account, MonotonicMicros() + builder::kDay));
    Send(Numbered(account->Commit({}, Tick())), kHonest);
    for (const char* rkey : {"a", "b", "c"}) Send(Numbered(Next(*account, rkey)), kHonest);
  }
  ASSERT_EQ(store_.tables().Visible().size(), 6u);
  ASSERT_TRUE(store_.tables().dead_letters.empty());
}

firehose::StreamVerdict Attack::Send(std::string_view bytes, std::string_view source) {
  return consumer_->Run({{source, bytes}}).front();
}

std::vector<std::string> Attack::FactsOf(const builder::Account& account) const {
  std::vector<std::string> facts = Facts();
  std::erase_if(facts,
                [&](const std::string& fact) { return fact.find(account.did()) == std::string::npos; });
  return facts;
}

void Attack::ExpectRefused(std::string_view bytes, Reject why, Cost cost) {
  const MemoryTables before = store_.tables();
  EXPECT_EQ(Send(bytes).action, firehose::StreamAction::kDeliver);
  const MemoryTables after = store_.tables();
  ASSERT_EQ(after.dead_letters.size(), before.dead_letters.size() + 1) << "nothing was refused";
  EXPECT_EQ(RejectName(after.dead_letters.back().reject), RejectName(why))
      << after.dead_letters.back().detail;
  EXPECT_EQ(after.records, before.records);
  if (cost == Cost::kNothing) {
    EXPECT_EQ(after.Facts(), before.Facts());
    return;
  }
  EXPECT_EQ(Without(after.Facts(), "repo " + victim_.did()),
            Without(before.Facts(), "repo " + victim_.did()));
  EXPECT_EQ(after.repos.at(victim_.did()).state.sync_state, sync::SyncState::kDesynchronized);
  EXPECT_EQ(after.repos.at(victim_.did()).reason, RejectName(why));
}

void Attack::ExpectIgnored(std::string_view bytes, std::string_view counter) {
  const MemoryTables before = store_.tables();
  const uint64_t count = counters_.Of(counter);
  Send(bytes);
  const MemoryTables after = store_.tables();
  EXPECT_EQ(after.Facts(), before.Facts());
  EXPECT_EQ(after.dead_letters.size(), before.dead_letters.size());
  if (!counter.empty()) {
    EXPECT_EQ(counters_.Of(counter), count + 1) << counter;
  }
}

void Attack::ExpectGoesOn(bool was_away) {
  for (builder::Account* account : {&victim_, &other_}) {
    const std::string rkey = "next" + std::to_string(++notes_);
    const builder::CommitMessage message = Next(*account, rkey);
    Send(Numbered(message), kHonest);
    EXPECT_THAT(FactsOf(*account), Contains(AllOf(HasSubstr("/" + rkey + " "), HasSubstr(message.rev + " "),
                                                  HasSubstr(" full"))));
    const std::string state = was_away && account == &victim_ ? " partial " : " synchronized ";
    EXPECT_THAT(FactsOf(*account),
                Contains(AllOf(testing::StartsWith("repo "), HasSubstr(state),
                               HasSubstr(message.rev), HasSubstr(message.data.ToString()))));
  }
}

void Attack::ExpectDelayed() {
  const auto records = store_.tables().records;
  Send(Numbered(Next(victim_, "next" + std::to_string(++notes_))), kHonest);
  EXPECT_EQ(store_.tables().records, records);
  EXPECT_THAT(FactsOf(victim_), Contains(AllOf(testing::StartsWith("held "), HasSubstr("desynchronized"))));
  const std::string rkey = "next" + std::to_string(++notes_);
  Send(Numbered(Next(other_, rkey)), kHonest);
  EXPECT_THAT(FactsOf(other_), Contains(AllOf(HasSubstr("/" + rkey + " "), HasSubstr(" full"))));
}

}  // namespace penstock::test
