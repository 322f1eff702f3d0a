#pragma once

// The string formats of Lexicon (protocol 7.4-7.7). The syntax is repo/syntax.h; here is what lies around it:
// texts that the specification refuses and the reference implementation (@atproto/lexicon, through which most
// records are written) lets pass, and one it is stricter about. Pure, thread-safe; allocates nothing.

#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock::lexicon {

enum class Format : uint8_t {
  kAtIdentifier,
  kAtUri,
  kCid,
  kDatetime,
  kDid,
  kHandle,
  kLanguage,
  kNsid,
  kRecordKey,
  kTid,
  kUri,
};

// "at-identifier", …; nullopt for a name that is no format.
std::optional<Format> FormatFromName(std::string_view name);
std::string_view FormatName(Format format);

enum class FormatVerdict : uint8_t {
  kGood,
  // Not the specification's syntax, but let pass by the reference implementation, so met in good records:
  //   datetime   no time zone, 24:00, second 60, a day that its month lacks, any number of digits after the
  //   point language   any case, and languages of 4 to 8 letters at-uri     with a fragment (#/…) uri a
  //   scheme of any letters, digits and _; text beyond ASCII; any length
  kTolerated,
  // The specification's syntax, but refused by the reference implementation: a `cid` of the right characters
  // that is no CID.
  kDoubtful,
  kBad,
};

FormatVerdict CheckFormat(Format format, std::string_view text);

}  // namespace penstock::lexicon
