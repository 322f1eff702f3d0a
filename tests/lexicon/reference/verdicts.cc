// Judges records from standard input and writes a verdict a line, for comparison with other implementations:
//
//   lexicon_verdicts FOLDER [--default] < records.ndjson
//
// A line in is {"collection": "…", "value": {…}}. A line out is "accept", "warn REJECT PATH", "refuse REJECT PATH",
// "unknown" (no lexicon for the collection), or "data REJECT" (no valid data, whatever the lexicon).

#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <string>

#include "base/status.h"
#include "cbor/json_in.h"
#include "cbor/record_data.h"
#include "lexicon/folder.h"
#include "lexicon/validator.h"

namespace penstock::lexicon {
namespace {

std::string NameOf(const absl::Status& status) {
  const auto reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : std::string(Message(status));
}

std::string LineOf(const Catalog& catalog, const boost::json::value& record, const Policy& policy) {
  const std::string collection(record.at("collection").as_string());
  const auto block = cbor::JsonToCbor(boost::json::serialize(record.at("value")));
  if (!block.ok()) return "data " + NameOf(block.status());
  const absl::Status data = cbor::CheckRecord(AsBytes(*block), collection, nullptr);
  if (!data.ok()) return "data " + NameOf(data);
  const Verdict verdict = ValidateRecord(catalog, collection, {}, AsBytes(*block), policy);
  if (!verdict.known) return "unknown";
  if (verdict.outcome == Outcome::kValid) return "accept";
  const Finding& finding = verdict.findings.back();
  return std::string(verdict.outcome == Outcome::kRefused ? "refuse " : "warn ")
      .append(RejectName(finding.reject))
      .append(" ")
      .append(finding.path);
}

int Run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: lexicon_verdicts FOLDER [--default] < records.ndjson\n");
    return 2;
  }
  const auto documents = LoadFolder(argv[1]);
  if (!documents.ok()) {
    std::fprintf(stderr, "%s\n", std::string(Message(documents.status())).c_str());
    return 1;
  }
  const auto catalog = Catalog::Build(*documents);
  if (!catalog.ok()) {
    std::fprintf(stderr, "%s\n", std::string(Message(catalog.status())).c_str());
    return 1;
  }
  const Policy policy = {.strict = !(argc > 2 && std::string_view(argv[2]) == "--default")};
  std::string line;
  while (std::getline(std::cin, line)) std::puts(LineOf(*catalog, boost::json::parse(line), policy).c_str());
  return 0;
}

}  // namespace
}  // namespace penstock::lexicon

int main(int argc, char** argv) { return penstock::lexicon::Run(argc, argv); }
