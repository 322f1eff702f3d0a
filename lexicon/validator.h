#pragma once

// Judges a record by the lexicon of its collection (protocol 9.2-9.4), straight over its CBOR: one pass, no
// document, nothing allocated for a record without findings. docs/lexicons.md tells operators what follows.
//
// Three outcomes. A finding is one rule that the record breaks, and refuses or warns by this table; `strict`
// is what @atproto/lexicon does, which is what most records went through when they were written.
//
//   rule broken                                                              default   strict
//   a value of another kind; a required field absent; null; range; too short refuse    refuse
//   enum, const; closed union; union without $type; blob type or size        refuse    refuse
//   format (FormatVerdict::kBad)                                             refuse    refuse
//   over-long text (maxLength, maxGraphemes of a string)                     warn      refuse
//   a `cid` that is only the shape of one (FormatVerdict::kDoubtful)         warn      refuse
//   record key of another kind                                               warn      refuse
//   a reference that leads to no definition here (in Mode::kRequired: refuse) warn      refuse
//   a $type with more than one #, in an open union                           warn      refuse
//   what the reference implementation lets pass: FormatVerdict::kTolerated,
//     a required field with a default, a legacy blob, a list as `unknown`    warn      warn
//   a value that knownValues does not list (Policy::warn_unknown_values)     warn      warn
//
// Whatever a reconstructed or inferred lexicon finds is a warning, in both columns.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/attributes.h"
#include "base/bytes.h"
#include "base/reject.h"
#include "lexicon/catalog.h"

namespace penstock::lexicon {

enum class Mode : uint8_t {
  kNone,        // lexicons are not asked
  kOptimistic,  // a collection without a schema passes; with one, the schema decides
  kRequired,    // a collection without a schema is refused, and so is a reference that leads nowhere
};

struct Policy {
  Mode mode = Mode::kOptimistic;
  bool strict = false;
  bool warn_unknown_values = true;
};

enum class Outcome : uint8_t { kValid, kWarnings, kRefused };

struct Finding {
  Reject reject = Reject::kLexiconType;
  bool refuses = false;
  std::string path;  // "reply.root.uri", "facets[3].features[0].uri"; empty: the record itself. Bounded.
  std::string
      detail;  // numbers and names of the schema, never the record's text: "has 312 graphemes, at most 300"
};

struct Verdict {
  Outcome outcome = Outcome::kValid;
  bool known = false;             // a schema was there and asked
  uint32_t warnings = 0;          // all of them; `findings` keeps the first few
  std::vector<Finding> findings;  // in the order met; a refusal is the last one

  // The one that refused; null unless the outcome is kRefused.
  const Finding* refusal() const { return outcome == Outcome::kRefused ? &findings.back() : nullptr; }
};

inline constexpr size_t kMaxFindings = 8;

// The verdict on one record. `block` has passed cbor::CheckRecord for `collection`; one that has not is
// judged safely, but not necessarily rightly. An empty `rkey` is not looked at.
//
// The first refusal ends the work, which is bounded by the size of the block times the unions around a value.
// Rejects: those of the group lexicon/ in base/reject.h, kRecordTooDeep, and those of cbor/reader.h.
Verdict ValidateRecord(const Catalog& catalog, std::string_view collection, std::string_view rkey,
                       Bytes block, const Policy& policy);

// The same, for a caller that has looked the schema up; null: there is none.
Verdict ValidateRecord(const Catalog& catalog, const RecordSchema* schema, std::string_view rkey, Bytes block,
                       const Policy& policy);

}  // namespace penstock::lexicon
