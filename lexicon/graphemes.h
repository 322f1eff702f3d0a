#pragma once

// User-perceived characters (extended grapheme clusters, UAX 29): the unit of maxGraphemes. Tables of Unicode
// 15 from utf8proc, and rule GB9c of Unicode 15.1 (an Indic conjunct is one) on top, which the reference
// implementation counts by.

#include <cstddef>
#include <string_view>

namespace penstock::lexicon {

// The number of graphemes in `text`, valid UTF-8; stops counting beyond `enough`. Allocates nothing. Some 4
// ns a byte where it is not plain ASCII: a text has at most as many graphemes as characters, and as many
// characters as bytes, so a caller with an upper bound can mostly do without.
size_t CountGraphemes(std::string_view text, size_t enough);

// Characters of Unicode in valid UTF-8.
size_t CountCharacters(std::string_view text);

}  // namespace penstock::lexicon
