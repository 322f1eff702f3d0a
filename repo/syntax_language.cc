// Language tags, RFC 5646 section 2.1: subtags between hyphens, each kind known by its length and characters,
// in this order:
//
//   language 2-3 letters, up to three extlangs of 3, script 4 letters, region 2 letters or 3 digits,
//   variants 5-8 (or 4 that start with a digit),
//   extensions: a singleton and 1 or more of 2-8; private use: "x" and 1 or more of 1-8
//
// or private use alone, or one of the irregular tags that are grandfathered in. (Languages of 4-8 letters
// are reserved in the RFC, and the interop vectors refuse them.)

#include <algorithm>
#include <array>

#include "repo/syntax.h"
#include "repo/syntax_chars.h"

namespace penstock::repo {
namespace {

using chars::All;
using chars::Is;

constexpr size_t kMaxLanguageBytes = 128;

// RFC 5646 section 2.1, "irregular" and "regular": those that the grammar above would not, or not rightly,
// produce.
constexpr std::array<std::string_view, 26> kGrandfathered = {
    "en-GB-oed", "i-ami",     "i-bnn",     "i-default",  "i-enochian",  "i-hak",  "i-klingon",
    "i-lux",     "i-mingo",   "i-navajo",  "i-pwn",      "i-tao",       "i-tay",  "i-tsu",
    "sgn-BE-FR", "sgn-BE-NL", "sgn-CH-DE", "art-lojban", "cel-gaulish", "no-bok", "no-nyn",
    "zh-guoyu",  "zh-hakka",  "zh-min",    "zh-min-nan", "zh-xiang",
};

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return chars::ToLower(x) == chars::ToLower(y);
         });
}

bool IsPrivateUseMark(std::string_view subtag) { return subtag == "x" || subtag == "X"; }
bool IsScript(std::string_view subtag) { return subtag.size() == 4 && All(subtag, chars::kAlpha); }
bool IsExtlang(std::string_view subtag) { return subtag.size() == 3 && All(subtag, chars::kAlpha); }
bool IsRegion(std::string_view subtag) {
  return (subtag.size() == 2 && All(subtag, chars::kAlpha)) ||
         (subtag.size() == 3 && All(subtag, chars::kDigit));
}
bool IsVariant(std::string_view subtag) {
  return (subtag.size() >= 5 && subtag.size() <= 8 && All(subtag, chars::kAlnum)) ||
         (subtag.size() == 4 && Is(subtag.front(), chars::kDigit) && All(subtag, chars::kAlnum));
}
bool IsSingleton(std::string_view subtag) {
  return subtag.size() == 1 && Is(subtag.front(), chars::kAlnum) && !IsPrivateUseMark(subtag);
}
bool IsSubtag(std::string_view subtag, size_t min_size) {
  return subtag.size() >= min_size && subtag.size() <= 8 && All(subtag, chars::kAlnum);
}

// The subtags of one tag. A tag of at most 128 bytes has at most 65, so they fit a fixed array.
class Subtags {
 public:
  explicit Subtags(std::string_view tag) {
    for (;;) {
      const size_t hyphen = tag.find('-');
      subtags_[count_++] = tag.substr(0, hyphen);
      if (hyphen == std::string_view::npos) break;
      tag.remove_prefix(hyphen + 1);
    }
  }
  bool AtEnd() const { return at_ == count_; }
  size_t at() const { return at_; }
  std::string_view operator[](size_t i) const { return subtags_[i]; }

  template <typename Predicate>
  bool Take(Predicate predicate) {
    if (AtEnd() || !predicate(subtags_[at_])) return false;
    ++at_;
    return true;
  }
  // At least one that fits, and all that follow and fit.
  template <typename Predicate>
  bool TakeSome(Predicate predicate) {
    if (!Take(predicate)) return false;
    while (Take(predicate)) {
    }
    return true;
  }

 private:
  std::array<std::string_view, kMaxLanguageBytes + 1> subtags_;
  size_t count_ = 0;
  size_t at_ = 0;
};

struct Shape {
  bool well_formed = false;
  bool repeats = false;  // a variant or an extension's singleton comes twice
};

// True if an earlier subtag in [first, last) equals the one at `last`.
bool ComesAgain(const Subtags& subtags, size_t first, size_t last) {
  for (size_t i = first; i < last; ++i) {
    if (EqualIgnoringCase(subtags[i], subtags[last])) return true;
  }
  return false;
}

Shape ShapeOf(std::string_view text) {
  Shape shape;
  if (text.empty() || text.size() > kMaxLanguageBytes) return shape;
  if (std::find(kGrandfathered.begin(), kGrandfathered.end(), text) != kGrandfathered.end()) {
    shape.well_formed = true;
    return shape;
  }
  Subtags subtags(text);
  if (!IsPrivateUseMark(subtags[0])) {
    // The interop vectors want the primary language in lower case ("JA" is refused), the rest in any.
    const std::string_view language = subtags[0];
    if (language.size() < 2 || language.size() > 3 || !All(language, chars::kLower)) return shape;
    (void)subtags.Take([](std::string_view) { return true; });
    for (int i = 0; i < 3 && subtags.Take(IsExtlang); ++i) {
    }
    (void)subtags.Take(IsScript);
    (void)subtags.Take(IsRegion);
    for (size_t first = subtags.at(), i = first; subtags.Take(IsVariant); ++i) {
      shape.repeats |= ComesAgain(subtags, first, i);
    }
    std::array<bool, 128> seen{};
    for (size_t i = subtags.at(); subtags.Take(IsSingleton); i = subtags.at()) {
      bool& mark = seen[static_cast<uint8_t>(chars::ToLower(subtags[i].front()))];
      shape.repeats |= mark;
      mark = true;
      if (!subtags.TakeSome([](std::string_view subtag) { return IsSubtag(subtag, 2); })) return shape;
    }
  }
  if (subtags.Take(IsPrivateUseMark)) {
    if (!subtags.TakeSome([](std::string_view subtag) { return IsSubtag(subtag, 1); })) return shape;
  }
  shape.well_formed = subtags.AtEnd();
  return shape;
}

}  // namespace

bool IsLanguageSyntax(std::string_view text) { return ShapeOf(text).well_formed; }

bool IsLanguage(std::string_view text) {
  const Shape shape = ShapeOf(text);
  return shape.well_formed && !shape.repeats;
}

}  // namespace penstock::repo
