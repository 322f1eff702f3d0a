#pragma once

// Which listings find which accounts: the pure half of the finder. A rule of the filter names collections by a pattern, an
// exact NSID, "prefix.*" (everything below, at any depth) or "*"; hosts know less than that (docs/backfill.md has the table).

#include <string>
#include <string_view>
#include <vector>

#include "backfill/finder.h"
#include "sync/backfill.h"

namespace penstock::backfill {

// The pattern of a rule: what stands before its mask of operations.
std::string_view PatternOf(std::string_view rule);
// Whether all that `pattern` matches is matched by `broader`.
bool PatternCovers(std::string_view broader, std::string_view pattern);

// Patterns as a listing carries them in its argument, separated by spaces. None: everything.
std::vector<std::string_view> SplitPatterns(std::string_view argument);
// Without duplicates, in their order; empty if one of them is "*".
std::string JoinPatterns(const std::vector<std::string>& rules);
bool MatchesPatterns(const std::vector<std::string_view>& patterns, std::string_view collection);

// "host[:port]" of an origin, in lower case: what sources are called.
std::string HostOf(std::string_view origin);
// Null if it is none of them.
const FinderHost* FindHost(const FinderOptions& options, std::string_view origin);

// What closes a gap: our accounts compared with what their hosts say ("compare"), and whoever is new there. At the host that
// the gap's source names; if it is not followed any more, at those that are. `run` is left 0, as in ListingsForRule.
std::vector<sync::Listing> ListingsForGap(const sync::OpenGap& gap, const FinderOptions& options);

// Where to look instead of a listing that its host does not serve; empty if there is nothing left.
std::vector<sync::Listing> FallbackFor(const sync::Listing& listing, const FinderOptions& options);

}  // namespace penstock::backfill
