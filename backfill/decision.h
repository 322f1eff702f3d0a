#pragma once

// What is to be done when a service starts, or while it runs, decided from durable marks (docs/backfill.md has the table): a rule
// of the filter is covered if its run is done, and only then; a gap is closed when its run is done. Pure.

#include <string>
#include <string_view>
#include <vector>

#include "sync/backfill.h"

namespace penstock::backfill {

struct Decision {
  std::vector<std::string> open_filter_runs;   // rules that no run has covered: begin
  std::vector<int64_t> resume;                 // open runs of any kind: go on
  std::vector<int64_t> cancel;                 // filter runs whose rule is not in the filter any more (open or done), and open
                                               // gap runs whose gap is not open as it was (it was closed, or it widened)
  std::vector<sync::OpenGap> open_gap_runs;    // open gaps without an open run
  // Rules that only a run covers which is about to be cancelled, because the filter was narrowed. They are to be given a done
  // run of their own first; until that is there, the broader one stays.
  struct Inherited {
    std::string rule, from;
  };
  std::vector<Inherited> inherit;
  std::string reason;                          // for the log: "nothing to do", "catch up: 2 gaps", "full: 3 rules", …
};

// Whether everything that `rule` includes is included by `broader`, too: an NSID, "prefix.*", "*", each perhaps with a mask of
// operations (":create,update"), where a mask covers only the same mask.
bool RuleCovers(std::string_view broader, std::string_view rule);

// `rules`: what the filter includes, as written ("space.atbb.*"). A rule is covered by a done run of itself or of a broader one
// ("*", a shorter prefix); one that stands beside a broader rule goes with that. `runs`: all runs of kinds filter and gap, ended
// ones too, read before `gaps`. Both must have been read: who could not read them has nothing to decide from.
Decision Decide(const std::vector<std::string>& rules, const std::vector<sync::BackfillRun>& runs,
                const std::vector<sync::OpenGap>& gaps);

}  // namespace penstock::backfill
