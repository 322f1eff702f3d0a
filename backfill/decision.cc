#include "backfill/decision.h"

#include <algorithm>
#include <set>
#include <utility>

#include "backfill/find_rules.h"

namespace penstock::backfill {
namespace {

using sync::BackfillRun;
using sync::RunKind;
using sync::RunState;

std::string_view MaskOf(std::string_view rule) {
  const size_t colon = rule.find(':');
  return colon == std::string_view::npos ? std::string_view() : rule.substr(colon);
}

// "2 gaps", "1 gap".
std::string Count(size_t n, std::string_view noun) {
  return std::to_string(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

std::string ReasonOf(const Decision& decision) {
  std::vector<std::string> parts;
  if (!decision.open_filter_runs.empty()) {
    parts.push_back("full: " + Count(decision.open_filter_runs.size(), "rule"));
  }
  if (!decision.open_gap_runs.empty()) parts.push_back("catch up: " + Count(decision.open_gap_runs.size(), "gap"));
  if (!decision.resume.empty()) parts.push_back("resume: " + Count(decision.resume.size(), "run"));
  if (!decision.inherit.empty()) parts.push_back("covered already: " + Count(decision.inherit.size(), "narrower rule"));
  if (!decision.cancel.empty()) parts.push_back("cancel: " + Count(decision.cancel.size(), "run"));
  std::string reason;
  for (const std::string& part : parts) reason += (reason.empty() ? "" : ", ") + part;
  return reason.empty() ? "nothing to do" : reason;
}

// What the runs of one filter say.
class FilterRuns {
 public:
  FilterRuns(const std::vector<std::string>& rules, const std::vector<BackfillRun>& runs) : rules_(rules), runs_(runs) {}

  bool InFilter(std::string_view rule) const { return std::find(rules_.begin(), rules_.end(), rule) != rules_.end(); }

  // Another rule of the filter includes all that this one does: a run of that one covers both. Of two that say the same, the
  // first stands.
  bool StandsBesideBroader(size_t index) const {
    for (size_t i = 0; i < rules_.size(); ++i) {
      if (i == index || !RuleCovers(rules_[i], rules_[index])) continue;
      if (!RuleCovers(rules_[index], rules_[i]) || i < index) return true;
    }
    return false;
  }
  // Done, and of a rule that is in the filter now.
  bool Covered(std::string_view rule) const {
    return std::any_of(runs_.begin(), runs_.end(), [&](const BackfillRun& run) {
      return IsDone(run) && InFilter(run.subject) && RuleCovers(run.subject, rule);
    });
  }
  // Done, and of a rule that has left the filter; null if there is none.
  const BackfillRun* CoveredByFormer(std::string_view rule) const {
    for (const BackfillRun& run : runs_) {
      if (IsDone(run) && !InFilter(run.subject) && RuleCovers(run.subject, rule)) return &run;
    }
    return nullptr;
  }
  bool HasOpen(std::string_view rule) const {
    return std::any_of(runs_.begin(), runs_.end(), [&](const BackfillRun& run) {
      return run.kind == RunKind::kFilter && run.state == RunState::kOpen && run.subject == rule;
    });
  }

 private:
  static bool IsDone(const BackfillRun& run) { return run.kind == RunKind::kFilter && run.state == RunState::kDone; }

  const std::vector<std::string>& rules_;
  const std::vector<BackfillRun>& runs_;
};

}  // namespace

bool RuleCovers(std::string_view broader, std::string_view rule) {
  const std::string_view mask = MaskOf(broader);
  if (!mask.empty() && mask != MaskOf(rule)) return false;
  return PatternCovers(PatternOf(broader), PatternOf(rule));
}

Decision Decide(const std::vector<std::string>& rules, const std::vector<BackfillRun>& runs,
                const std::vector<sync::OpenGap>& gaps) {
  Decision decision;
  const FilterRuns filter(rules, runs);
  std::set<std::string_view> needed;  // rules that left the filter, but whose done run still says what is covered
  for (size_t i = 0; i < rules.size(); ++i) {
    const std::string& rule = rules[i];
    if (filter.StandsBesideBroader(i) || filter.Covered(rule)) continue;
    if (const BackfillRun* const former = filter.CoveredByFormer(rule)) {
      decision.inherit.push_back({rule, former->subject});
      needed.insert(former->subject);
    } else if (!filter.HasOpen(rule)) {
      decision.open_filter_runs.push_back(rule);
    }
  }

  std::set<std::string> open_gaps;
  for (const sync::OpenGap& gap : gaps) open_gaps.insert(gap.Text());
  std::set<std::string_view> gap_runs;
  for (const BackfillRun& run : runs) {
    const bool open = run.state == RunState::kOpen;
    bool unwanted = false;
    if (run.kind == RunKind::kFilter) {
      unwanted = (open || run.state == RunState::kDone) && !filter.InFilter(run.subject) && !needed.contains(run.subject);
    } else if (run.kind == RunKind::kGap && open) {
      unwanted = !open_gaps.contains(run.subject);
      gap_runs.insert(run.subject);
    }
    if (unwanted) {
      decision.cancel.push_back(run.id);
    } else if (open) {
      decision.resume.push_back(run.id);
    }
  }
  for (const sync::OpenGap& gap : gaps) {
    if (!gap_runs.contains(gap.Text())) decision.open_gap_runs.push_back(gap);
  }
  decision.reason = ReasonOf(decision);
  return decision;
}

}  // namespace penstock::backfill
