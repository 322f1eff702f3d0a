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
  std::vector<int64_t> cancel;                 // filter runs whose rule is not in the filter any more (open or done)
  std::vector<sync::OpenGap> open_gap_runs;    // open gaps without an open run
  std::string reason;                          // for the log: "nothing to do", "catch up: 2 gaps", "full: 3 rules", …
};

// `rules`: what the filter includes, as written ("space.atbb.*"). A rule is covered by a done run of itself or of a broader one
// ("*", a shorter prefix). `runs`: all runs of kinds filter and gap, ended ones too.
Decision Decide(const std::vector<std::string>& rules, const std::vector<sync::BackfillRun>& runs,
                const std::vector<sync::OpenGap>& gaps);

}  // namespace penstock::backfill
