#pragma once

// The lexicons that the program brings along (fixtures/lexicons/, compiled in): space.atbb.*, com.huddle.*,
// sh.tangled.*, community.lexicon.calendar.* and what they refer to. fixtures/lexicons/SOURCE.md says what
// each rests on.

#include <vector>

#include "lexicon/document.h"

namespace penstock::lexicon {

// All of them, parsed, in the order of their paths. Their catalog has no unresolved references. Aborts if one
// is malformed: a test would have said so.
std::vector<Document> ShippedDocuments();

}  // namespace penstock::lexicon
