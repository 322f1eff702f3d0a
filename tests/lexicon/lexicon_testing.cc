#include "tests/lexicon/lexicon_testing.h"

#include <cstdio>
#include <cstdlib>

#include "base/status.h"
#include "cbor/json_in.h"

namespace penstock::lexicon::test {
namespace {

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (value.ok()) return *std::move(value);
  std::fprintf(stderr, "%s\n", std::string(Message(value.status())).c_str());
  std::abort();
}

}  // namespace

Document Parsed(std::string_view json, std::string_view file) { return OrDie(ParseDocument(file, json)); }

Catalog CatalogOf(const std::vector<std::string>& documents) {
  std::vector<Document> parsed;
  for (const std::string& json : documents) parsed.push_back(Parsed(json));
  return OrDie(Catalog::Build(parsed));
}

std::string ThingDocument(std::string_view object_members, std::string_view defs,
                          std::string_view confidence) {
  return std::string(R"({"lexicon": 1, "id": "com.example.thing", "confidence": ")")
      .append(confidence)
      .append(R"(", "defs": {"main": {"type": "record", "key": "any", "record": {"type": "object", )")
      .append(object_members)
      .append("}}")
      .append(defs.empty() ? "" : ", ")
      .append(defs)
      .append("}}");
}

std::string Record(std::string_view members, std::string_view nsid) {
  return OrDie(cbor::JsonToCbor(std::string(R"({"$type": ")")
                                    .append(nsid)
                                    .append(members.empty() ? "\"" : "\", ")
                                    .append(members)
                                    .append("}")));
}

std::string Summary(const Verdict& verdict) {
  std::string text;
  for (const Finding& finding : verdict.findings) {
    text.append(text.empty() ? "" : ", ").append(finding.refuses ? "" : "~");
    text.append(RejectName(finding.reject)).append(finding.path.empty() ? "" : " ").append(finding.path);
  }
  return text.empty() ? "valid" : text;
}

std::string Judge(const Catalog& catalog, std::string_view members, const Policy& policy) {
  return Summary(ValidateRecord(catalog, "com.example.thing", "key", AsBytes(Record(members)), policy));
}

}  // namespace penstock::lexicon::test
