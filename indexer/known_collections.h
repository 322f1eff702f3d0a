#pragma once

// The collections that this program knows by name: those of its lexicons and projections. Listings by collection take no
// prefixes, so a rule such as "space.atbb.*" is expanded into these (docs/backfill.md). Data, and the only such list.

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::indexer {

// Sorted. Record types alone: a lexicon of definitions, of a query or of a procedure names no collection.
inline constexpr std::array kKnownCollections = std::to_array<std::string_view>({
    "com.huddle.booking",
    "com.huddle.bookingRequest",
    "com.huddle.slotOffer",
    "community.lexicon.calendar.event",
    "community.lexicon.calendar.rsvp",
    "sh.tangled.feed.reaction",
    "sh.tangled.feed.star",
    "sh.tangled.knot",
    "sh.tangled.knot.member",
    "sh.tangled.repo",
    "sh.tangled.repo.collaborator",
    "sh.tangled.repo.issue",
    "sh.tangled.repo.issue.comment",
    "sh.tangled.repo.pull",
    "sh.tangled.repo.pull.comment",
    "sh.tangled.spindle",
    "sh.tangled.spindle.member",
    "space.atbb.forum.board",
    "space.atbb.forum.category",
    "space.atbb.forum.forum",
    "space.atbb.forum.role",
    "space.atbb.forum.theme",
    "space.atbb.forum.themePolicy",
    "space.atbb.membership",
    "space.atbb.modAction",
    "space.atbb.post",
    "space.atbb.reaction",
});

// The same, as those take it who keep it.
inline std::vector<std::string> KnownCollections() { return {kKnownCollections.begin(), kKnownCollections.end()}; }

}  // namespace penstock::indexer
