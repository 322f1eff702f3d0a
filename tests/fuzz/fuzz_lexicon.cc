// Lexicon documents, and records against a fixed catalog.
//
// The first byte chooses. 'D': the rest is a document. What is accepted must compile, and judge a few records
// without harm. Anything else: the rest is a record, as CBOR, judged under every policy; strictness and
// confidence may only move a verdict one way.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cbor/json_in.h"
#include "cbor/record_data.h"
#include "lexicon/catalog.h"
#include "lexicon/validator.h"

namespace {

using penstock::AsBytes;
using penstock::Bytes;
using namespace penstock::lexicon;

void Require(bool truth, const char* what) {
  if (truth) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Every type and constraint, and references that lead back to where they start.
constexpr std::string_view kEverything =
    R"({"lexicon": 1, "id": "com.example.thing", "confidence": "CONFIDENCE",
  "defs": {
    "main": {"type": "record", "key": "tid", "record": {"type": "object", "required": ["i"], "nullable": ["n"],
      "properties": {
        "i": {"type": "integer", "minimum": -3, "maximum": 9}, "n": {"type": "integer", "enum": [1, 5]},
        "b": {"type": "boolean", "const": true}, "t": {"type": "string", "minLength": 1, "maxLength": 9,
          "minGraphemes": 1, "maxGraphemes": 4}, "e": {"type": "string", "enum": ["a", "bb"]},
        "k": {"type": "string", "knownValues": ["a"]}, "y": {"type": "bytes", "maxLength": 4},
        "l": {"type": "cid-link"}, "f": {"type": "blob", "accept": ["image/*"], "maxSize": 100},
        "a": {"type": "array", "items": {"type": "union", "refs": ["#part", "#main"]}, "maxLength": 5},
        "u": {"type": "union", "closed": true, "refs": ["#part", "#tree"]}, "x": {"type": "unknown"},
        "r": {"type": "ref", "ref": "#tree"}, "g": {"type": "ref", "ref": "com.example.gone"},
        "s": {"type": "array", "items": {"type": "ref", "ref": "#formats"}}}}},
    "part": {"type": "object", "required": ["p"], "properties": {"p": {"type": "string", "default": "x"}}},
    "tree": {"type": "object", "properties": {"kids": {"type": "array", "items": {"type": "ref", "ref": "#tree"}}}},
    "formats": {"type": "object", "properties": {
      "a": {"type": "string", "format": "at-identifier"}, "b": {"type": "string", "format": "at-uri"},
      "c": {"type": "string", "format": "cid"}, "d": {"type": "string", "format": "datetime"},
      "e": {"type": "string", "format": "did"}, "f": {"type": "string", "format": "handle"},
      "g": {"type": "string", "format": "language"}, "h": {"type": "string", "format": "nsid"},
      "i": {"type": "string", "format": "record-key"}, "j": {"type": "string", "format": "tid"},
      "k": {"type": "string", "format": "uri"}}}}})";

Catalog CatalogWith(std::string_view confidence) {
  std::string json(kEverything);
  const std::string_view word = "CONFIDENCE";
  json.replace(json.find(word), word.size(), confidence);
  auto document = ParseDocument("fuzz", json);
  Require(document.ok(), "the fixed document is refused");
  const std::vector<Document> documents = {*std::move(document)};
  auto catalog = Catalog::Build(documents);
  Require(catalog.ok(), "the fixed document does not compile");
  return *std::move(catalog);
}

void TryRecord(Bytes block) {
  static const Catalog published = CatalogWith("published"), inferred = CatalogWith("inferred");
  constexpr std::string_view kNsid = "com.example.thing";
  const auto judge = [&](const Catalog& catalog, bool strict) {
    return ValidateRecord(catalog, kNsid, "key", block, {.strict = strict});
  };
  const Verdict mild = judge(published, false), strict = judge(published, true),
                reading = judge(inferred, true);
  for (const Verdict* verdict : {&mild, &strict, &reading}) {
    Require((verdict->outcome == Outcome::kValid) == verdict->findings.empty(),
            "findings and outcome disagree");
    Require(verdict->findings.size() <= kMaxFindings, "too many findings");
    Require(
        (verdict->refusal() != nullptr) == (!verdict->findings.empty() && verdict->findings.back().refuses),
        "the refusal is not the last finding");
  }
  if (mild.outcome == Outcome::kRefused) Require(strict.outcome == Outcome::kRefused, "strict is milder");
  Require((mild.outcome == Outcome::kValid) == (strict.outcome == Outcome::kValid),
          "strict changes what is valid");
  const bool is_data = penstock::cbor::CheckRecord(block, {}, nullptr).ok();
  if (is_data) Require(reading.outcome != Outcome::kRefused, "a reading of a lexicon refuses");
  if (is_data)
    Require((reading.outcome == Outcome::kValid) == (strict.outcome == Outcome::kValid), "confidence hides");
}

void TryDocument(std::string_view json) {
  auto document = ParseDocument("fuzz", json);
  if (!document.ok()) {
    Require(penstock::Message(document.status()).starts_with("fuzz:"), "an error without its file");
    return;
  }
  const std::string nsid = document->nsid;
  const std::vector<Document> documents = {*std::move(document)};
  const auto catalog = Catalog::Build(documents);
  if (!catalog.ok()) return;
  for (const std::string_view members :
       {"", R"(, "a": 1, "text": "x", "b": [{}], "c": {"$type": "a.b.c"})"}) {
    const auto block = penstock::cbor::JsonToCbor(
        std::string(R"({"$type": ")").append(nsid).append("\"").append(members).append("}"));
    if (block.ok()) (void)ValidateRecord(*catalog, nsid, "self", AsBytes(*block), {.strict = true});
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const Bytes rest(data + 1, size - 1);
  if (data[0] == 'D') {
    TryDocument(penstock::AsText(rest));
  } else {
    TryRecord(rest);
  }
  return 0;
}
