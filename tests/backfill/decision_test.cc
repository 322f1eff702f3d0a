// What is to be done at start, from every state that the marks can be in.

#include "backfill/decision.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace penstock::backfill {
namespace {

using sync::BackfillRun;
using sync::OpenGap;
using sync::RunKind;
using sync::RunState;
using testing::ElementsAre;
using testing::IsEmpty;

using Rules = std::vector<std::string>;

BackfillRun MakeRun(int64_t id, RunKind kind, std::string subject, RunState state) {
  BackfillRun run;
  run.id = id;
  run.kind = kind;
  run.subject = std::move(subject);
  run.state = state;
  return run;
}
BackfillRun Filter(int64_t id, std::string rule, RunState state) {
  return MakeRun(id, RunKind::kFilter, std::move(rule), state);
}
OpenGap Gap(std::string source, int64_t opened_seq, int64_t opened_at = 7) {
  return {std::move(source), "0/1", opened_seq, "outdated_cursor", opened_at};
}
BackfillRun GapRun(int64_t id, const OpenGap& gap, RunState state) { return MakeRun(id, RunKind::kGap, gap.Text(), state); }

std::vector<std::string> Inherited(const Decision& decision) {
  std::vector<std::string> lines;
  for (const Decision::Inherited& rule : decision.inherit) lines.push_back(rule.rule + " from " + rule.from);
  return lines;
}
std::vector<std::string> Gaps(const Decision& decision) {
  std::vector<std::string> lines;
  for (const OpenGap& gap : decision.open_gap_runs) lines.push_back(gap.Text());
  return lines;
}

TEST(Decide, FullForAnEmptyStore) {
  const Decision decision = Decide({"space.atbb.*", "com.huddle.booking"}, {}, {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("space.atbb.*", "com.huddle.booking"));
  EXPECT_THAT(decision.resume, IsEmpty());
  EXPECT_THAT(decision.cancel, IsEmpty());
  EXPECT_THAT(Gaps(decision), IsEmpty());
  EXPECT_EQ(decision.reason, "full: 2 rules");
}

TEST(Decide, NothingToDoOnceEverythingIsCovered) {
  const Decision decision = Decide({"space.atbb.*"}, {Filter(1, "space.atbb.*", RunState::kDone)}, {});
  EXPECT_THAT(decision.open_filter_runs, IsEmpty());
  EXPECT_THAT(decision.resume, IsEmpty());
  EXPECT_THAT(decision.cancel, IsEmpty());
  EXPECT_EQ(decision.reason, "nothing to do");
}

TEST(Decide, CatchesUpWhenAGapIsOpen) {
  const Decision decision = Decide({"space.atbb.*"}, {Filter(1, "space.atbb.*", RunState::kDone)},
                                   {Gap("relay.example", 10), Gap("relay.example", 90)});
  EXPECT_THAT(decision.open_filter_runs, IsEmpty());
  EXPECT_THAT(Gaps(decision), ElementsAre(Gap("relay.example", 10).Text(), Gap("relay.example", 90).Text()));
  EXPECT_EQ(decision.reason, "catch up: 2 gaps");
}

// The reference system forgot a full run that was interrupted, because a cursor was there by then.
TEST(Decide, ResumesWhateverWasInterrupted) {
  const OpenGap gap = Gap("relay.example", 10);
  const Decision decision = Decide({"space.atbb.*"},
                                   {Filter(3, "space.atbb.*", RunState::kOpen), GapRun(4, gap, RunState::kOpen),
                                    MakeRun(5, RunKind::kManual, "dids", RunState::kOpen),
                                    MakeRun(6, RunKind::kResync, "", RunState::kOpen)},
                                   {gap});
  EXPECT_THAT(decision.resume, ElementsAre(3, 4, 5, 6));
  EXPECT_THAT(decision.open_filter_runs, IsEmpty());
  EXPECT_THAT(Gaps(decision), IsEmpty());
  EXPECT_THAT(decision.cancel, IsEmpty());
  EXPECT_EQ(decision.reason, "resume: 4 runs");
}

TEST(Decide, ACancelledRunCoversNothing) {
  const Decision decision = Decide({"space.atbb.*"}, {Filter(1, "space.atbb.*", RunState::kCancelled)}, {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("space.atbb.*"));
  EXPECT_THAT(decision.cancel, IsEmpty());
}

TEST(Decide, AnAddedRuleIsRunAlone) {
  const Decision decision =
      Decide({"space.atbb.*", "com.huddle.*"}, {Filter(1, "space.atbb.*", RunState::kDone)}, {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("com.huddle.*"));
  EXPECT_EQ(decision.reason, "full: 1 rule");
}

TEST(Decide, ARemovedRuleIsForgottenSoThatItIsRunAgain) {
  for (const RunState state : {RunState::kOpen, RunState::kDone}) {
    std::vector<BackfillRun> runs = {Filter(1, "space.atbb.*", RunState::kDone), Filter(2, "com.huddle.*", state)};
    Decision decision = Decide({"space.atbb.*"}, runs, {});
    EXPECT_THAT(decision.cancel, ElementsAre(2));
    EXPECT_THAT(decision.resume, IsEmpty()) << "what is cancelled does not go on";
    runs[1].state = RunState::kCancelled;
    decision = Decide({"space.atbb.*", "com.huddle.*"}, runs, {});
    EXPECT_THAT(decision.open_filter_runs, ElementsAre("com.huddle.*"));
    EXPECT_THAT(decision.cancel, IsEmpty());
  }
}

TEST(Decide, ABroaderRuleCoversNarrowerOnes) {
  for (const char* broader : {"*", "space.*", "space.atbb.*", "space.atbb.forum.*"}) {
    const Rules rules = {broader, "space.atbb.forum.board"};
    EXPECT_THAT(Decide(rules, {Filter(1, broader, RunState::kDone)}, {}).open_filter_runs, IsEmpty()) << broader;
    EXPECT_THAT(Decide(rules, {}, {}).open_filter_runs, ElementsAre(broader)) << "one run for both";
    EXPECT_THAT(Decide({rules[1], rules[0]}, {}, {}).open_filter_runs, ElementsAre(broader)) << "in any order";
  }
  EXPECT_THAT(Decide({"a.b.c", "a.b.c"}, {}, {}).open_filter_runs, ElementsAre("a.b.c")) << "the same one twice";
}

TEST(Decide, ANarrowerRuleCoversNoBroaderOne) {
  const Decision decision = Decide({"space.atbb.*"}, {Filter(1, "space.atbb.post", RunState::kDone)}, {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("space.atbb.*"));
  EXPECT_THAT(decision.cancel, ElementsAre(1));
}

// "space.atbb.*" becomes "space.atbb.post": what is covered stays covered, and nothing else does.
TEST(Decide, ANarrowedFilterInheritsWhatIsCovered) {
  std::vector<BackfillRun> runs = {Filter(1, "space.atbb.*", RunState::kDone)};
  Decision decision = Decide({"space.atbb.post"}, runs, {});
  EXPECT_THAT(decision.open_filter_runs, IsEmpty());
  EXPECT_THAT(Inherited(decision), ElementsAre("space.atbb.post from space.atbb.*"));
  EXPECT_THAT(decision.cancel, IsEmpty()) << "not before the narrower one has a mark of its own";
  EXPECT_EQ(decision.reason, "covered already: 1 narrower rule");

  runs.push_back(Filter(2, "space.atbb.post", RunState::kOpen));  // a crash in between
  decision = Decide({"space.atbb.post"}, runs, {});
  EXPECT_THAT(Inherited(decision), ElementsAre("space.atbb.post from space.atbb.*"));
  EXPECT_THAT(decision.cancel, IsEmpty());

  runs[1].state = RunState::kDone;
  decision = Decide({"space.atbb.post"}, runs, {});
  EXPECT_THAT(Inherited(decision), IsEmpty());
  EXPECT_THAT(decision.cancel, ElementsAre(1));

  runs[0].state = RunState::kCancelled;
  EXPECT_EQ(Decide({"space.atbb.post"}, runs, {}).reason, "nothing to do");
  EXPECT_THAT(Decide({"space.atbb.*"}, runs, {}).open_filter_runs, ElementsAre("space.atbb.*")) << "and wide again";
}

TEST(Decide, AnOpenBroaderRunThatLeftTheFilterCoversNothing) {
  const Decision decision = Decide({"space.atbb.post"}, {Filter(1, "space.atbb.*", RunState::kOpen)}, {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("space.atbb.post"));
  EXPECT_THAT(decision.cancel, ElementsAre(1));
}

TEST(Decide, AGapThatWasClosedBeforeIsRunAgainWhenItIsOpenAgain) {
  const OpenGap gap = Gap("relay.example", 10);
  EXPECT_THAT(Gaps(Decide({"*"}, {GapRun(1, gap, RunState::kDone)}, {gap})), ElementsAre(gap.Text()));
}

// It widened while its run was under way: that run has looked at accounts before the rest was lost.
TEST(Decide, AGapThatWidenedIsRunAnew) {
  const OpenGap before = Gap("relay.example", 10, 7), after = Gap("relay.example", 10, 8);
  const Decision decision =
      Decide({"*"}, {Filter(1, "*", RunState::kDone), GapRun(2, before, RunState::kOpen)}, {after});
  EXPECT_THAT(decision.cancel, ElementsAre(2));
  EXPECT_THAT(Gaps(decision), ElementsAre(after.Text()));
  EXPECT_EQ(decision.reason, "catch up: 1 gap, cancel: 1 run");
}

TEST(Decide, RunsOfOtherKindsAreNobodysMark) {
  const Decision decision = Decide({"space.atbb.*"},
                                   {MakeRun(1, RunKind::kManual, "space.atbb.*", RunState::kDone),
                                    MakeRun(2, RunKind::kResync, "space.atbb.*", RunState::kDone)},
                                   {});
  EXPECT_THAT(decision.open_filter_runs, ElementsAre("space.atbb.*"));
  EXPECT_THAT(decision.cancel, IsEmpty());
}

TEST(Decide, AMaskIsPartOfTheRule) {
  EXPECT_THAT(Decide({"a.b.c"}, {Filter(1, "a.b.c:create", RunState::kDone)}, {}).open_filter_runs, ElementsAre("a.b.c"));
  EXPECT_THAT(Inherited(Decide({"a.b.c:create"}, {Filter(1, "a.b.c", RunState::kDone)}, {})),
              ElementsAre("a.b.c:create from a.b.c"));
}

TEST(RuleCovers, Pairs) {
  struct Case {
    const char *broader, *rule;
    bool covers;
  };
  for (const Case& c : std::initializer_list<Case>{{"*", "*", true},
                                                   {"*", "a.b.*", true},
                                                   {"*", "a.b.c", true},
                                                   {"a.b.*", "*", false},
                                                   {"a.b.*", "a.b.*", true},
                                                   {"a.b.*", "a.b.c", true},
                                                   {"a.b.*", "a.b.c.d", true},
                                                   {"a.b.*", "a.b.c.*", true},
                                                   {"a.b.*", "a.b", false},
                                                   {"a.b.*", "a.bc", false},
                                                   {"a.b.*", "a.bc.d", false},
                                                   {"a.b.*", "a.*", false},
                                                   {"a.b.c", "a.b.*", false},
                                                   {"a.b.c", "a.b.c", true},
                                                   {"a.b.c", "a.b.c.d", false},
                                                   {"a.b.*:create", "a.b.c", false},
                                                   {"a.b.*:create", "a.b.c:create", true},
                                                   {"a.b.*:create", "a.b.c:update", false},
                                                   {"a.b.*", "a.b.c:update", true}}) {
    EXPECT_EQ(RuleCovers(c.broader, c.rule), c.covers) << c.broader << " " << c.rule;
  }
}

// Every combination of three rules in the filter or not, and of a run in each state: whatever is in the filter is afterwards
// covered by a mark or being worked at; nothing that is not is either; and decisions that are carried out come to rest.
TEST(Decide, EveryCombinationComesToRest) {
  const Rules all = {"a.*", "a.b.*", "a.b.c"};
  const int kStates = 4;  // none, open, done, cancelled
  int cases = 0;
  for (int in_filter = 0; in_filter < 8; ++in_filter) {
    for (int combination = 0; combination < kStates * kStates * kStates; ++combination) {
      ++cases;
      Rules rules;
      std::vector<BackfillRun> runs;
      int rest = combination;
      for (int i = 0; i < 3; ++i, rest /= kStates) {
        if (in_filter >> i & 1) rules.push_back(all[static_cast<size_t>(i)]);
        if (const int state = rest % kStates; state > 0) {
          runs.push_back(Filter(i + 1, all[static_cast<size_t>(i)], static_cast<RunState>(state - 1)));
        }
      }
      const std::vector<BackfillRun> before = runs;
      int rounds = 0;
      int64_t next_id = 10;
      std::set<std::string> fetched;  // rules whose accounts were really looked for
      for (;; ++rounds) {
        ASSERT_LT(rounds, 5);
        const Decision decision = Decide(rules, runs, {});
        if (decision.reason == "nothing to do") break;
        const auto open = [&](const std::string& rule) -> BackfillRun& {
          for (BackfillRun& run : runs) {
            if (run.subject == rule && run.state == RunState::kOpen) return run;
          }
          return runs.emplace_back(Filter(next_id++, rule, RunState::kOpen));
        };
        for (const Decision::Inherited& rule : decision.inherit) {
          EXPECT_TRUE(RuleCovers(rule.from, rule.rule));
          open(rule.rule).state = RunState::kDone;
        }
        for (const std::string& rule : decision.open_filter_runs) open(rule);
        for (const int64_t id : decision.cancel) {
          for (BackfillRun& run : runs) {
            if (run.id == id) run.state = RunState::kCancelled;
          }
        }
        for (BackfillRun& run : runs) {  // and what is open gets done
          if (run.state != RunState::kOpen) continue;
          run.state = RunState::kDone;
          fetched.insert(run.subject);
        }
      }
      for (const std::string& rule : rules) {
        const auto covers = [&](const BackfillRun& run) {
          return run.state == RunState::kDone && RuleCovers(run.subject, rule);
        };
        EXPECT_TRUE(std::any_of(runs.begin(), runs.end(), covers)) << rule;
        const bool was_covered = std::any_of(before.begin(), before.end(), covers);
        const bool was_fetched =
            std::any_of(fetched.begin(), fetched.end(), [&](const std::string& other) { return RuleCovers(other, rule); });
        EXPECT_TRUE(was_covered || was_fetched) << rule << " was never looked for";
      }
      for (const BackfillRun& run : runs) {
        const bool wanted = std::find(rules.begin(), rules.end(), run.subject) != rules.end();
        EXPECT_TRUE(wanted || run.state == RunState::kCancelled) << run.subject;
      }
    }
  }
  EXPECT_EQ(cases, 512);
}

}  // namespace
}  // namespace penstock::backfill
