#pragma once

// What the tests of lexicon/ share: documents and records written as JSON.

#include <string>
#include <string_view>
#include <vector>

#include "lexicon/catalog.h"
#include "lexicon/validator.h"

namespace penstock::lexicon::test {

// The document, or the test program ends with the error.
Document Parsed(std::string_view json, std::string_view file = "test.json");
Catalog CatalogOf(const std::vector<std::string>& documents);
// A document "com.example.thing" (key: any) whose record has the properties (and more members of the object)
// given as JSON text: R"("properties": {"a": {"type": "integer"}})". `defs` are further definitions.
std::string ThingDocument(std::string_view object_members, std::string_view defs = {},
                          std::string_view confidence = "published");
// The block of a record; `members` are JSON members, `$type` is added.
std::string Record(std::string_view members, std::string_view nsid = "com.example.thing");

// "valid", or each finding as "REJECT PATH", warnings with a "~" in front: "~lexicon_length text".
std::string Summary(const Verdict& verdict);
std::string Judge(const Catalog& catalog, std::string_view members, const Policy& policy = {});

}  // namespace penstock::lexicon::test
