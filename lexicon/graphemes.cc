#include "lexicon/graphemes.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace penstock::lexicon {
namespace {

// Indic_Conjunct_Break=Linker: the viramas of the six scripts that GB9c speaks of.
bool IsLinker(int32_t c) {
  return c == 0x094d || c == 0x09cd || c == 0x0acd || c == 0x0b4d || c == 0x0c4d || c == 0x0d4d;
}

// Indic_Conjunct_Break=Consonant, as ranges.
constexpr std::array<std::array<int32_t, 2>, 25> kConsonants = {{
    {0x0915, 0x0939}, {0x0958, 0x095f}, {0x0978, 0x097f}, {0x0995, 0x09a8}, {0x09aa, 0x09b0},
    {0x09b2, 0x09b2}, {0x09b6, 0x09b9}, {0x09dc, 0x09dd}, {0x09df, 0x09df}, {0x09f0, 0x09f1},
    {0x0a95, 0x0aa8}, {0x0aaa, 0x0ab0}, {0x0ab2, 0x0ab3}, {0x0ab5, 0x0ab9}, {0x0af9, 0x0af9},
    {0x0b15, 0x0b28}, {0x0b2a, 0x0b30}, {0x0b32, 0x0b33}, {0x0b35, 0x0b39}, {0x0b5c, 0x0b5d},
    {0x0b5f, 0x0b5f}, {0x0b71, 0x0b71}, {0x0c15, 0x0c28}, {0x0c2a, 0x0c39}, {0x0c58, 0x0c5a},
}};
constexpr std::array<int32_t, 2> kMalayalam = {0x0d15, 0x0d3a};

bool IsConsonant(int32_t c) {
  if (c < 0x0915 || c > kMalayalam[1]) return false;
  if (c >= kMalayalam[0]) return true;
  return std::any_of(kConsonants.begin(), kConsonants.end(),
                     [c](const auto& range) { return c >= range[0] && c <= range[1]; });
}

bool IsPlain(int32_t c) { return c >= 0x20 && c < 0x7f; }

// Where in a conjunct the last character stood.
enum class Conjunct { kNone, kConsonant, kLinked };

Conjunct Advance(Conjunct before, int32_t c) {
  if (IsConsonant(c)) return Conjunct::kConsonant;
  if (before == Conjunct::kNone) return before;
  if (IsLinker(c)) return Conjunct::kLinked;
  // Marks that extend a consonant stand between it and its virama, or behind that, without ending the
  // conjunct.
  const auto boundclass = utf8proc_get_property(c)->boundclass;
  const bool extends = boundclass == UTF8PROC_BOUNDCLASS_EXTEND || boundclass == UTF8PROC_BOUNDCLASS_ZWJ;
  return extends && c != 0x200c ? before : Conjunct::kNone;  // U+200C keeps the two apart
}

}  // namespace

size_t CountCharacters(std::string_view text) {
  size_t count = 0;
  for (const char c : text) count += (static_cast<uint8_t>(c) & 0xc0) != 0x80;  // not a continuation
  return count;
}

size_t CountGraphemes(std::string_view text, size_t enough) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  const auto* const end = at + text.size();
  size_t count = 0;
  utf8proc_int32_t before = -1, state = 0;
  Conjunct conjunct = Conjunct::kNone;
  while (at < end && count <= enough) {
    if (IsPlain(before) && IsPlain(*at)) {  // two of them never join
      before = *at++;
      state = 0;
      conjunct = Conjunct::kNone;
      ++count;
      continue;
    }
    utf8proc_int32_t c;
    const utf8proc_ssize_t size = utf8proc_iterate(at, end - at, &c);
    if (size <= 0) return count + static_cast<size_t>(end - at);  // no UTF-8; the reader lets none through
    at += size;
    const bool breaks = before < 0 || utf8proc_grapheme_break_stateful(before, c, &state);
    if (breaks && !(conjunct == Conjunct::kLinked && IsConsonant(c))) ++count;
    conjunct = Advance(conjunct, c);
    before = c;
  }
  return count;
}

}  // namespace penstock::lexicon
