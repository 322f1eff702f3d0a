#pragma once

// The rules of lexicon/validator.h once more, the plain way: over JSON and the documents themselves, without
// tables, in no hurry. What the fast validator is compared with.

#include <boost/json/value.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lexicon/document.h"
#include "lexicon/validator.h"

namespace penstock::lexicon::test {

class SlowChecker {
 public:
  SlowChecker(const std::vector<Document>& documents, const Policy& policy)
      : documents_(documents), policy_(policy) {}

  // The outcome for a record of valid data. The record key is not looked at.
  Outcome Check(std::string_view nsid, const boost::json::value& record) const;

 private:
  struct Target {
    const Document* document = nullptr;
    const Schema* schema = nullptr;
  };
  Target Resolve(const std::string& reference) const;
  Outcome Value(const Document& document, const Schema& schema, const boost::json::value& value) const;
  Outcome Object(const Document& document, const Schema& schema, const boost::json::value& value) const;
  Outcome String(const Schema& schema, std::string_view text) const;
  Outcome Union(const Schema& schema, const boost::json::value& value) const;
  Outcome Blob(const Schema& schema, const boost::json::value& value) const;
  Outcome Reference(const std::string& reference, const boost::json::value& value) const;

  Outcome Strict() const { return policy_.strict ? Outcome::kRefused : Outcome::kWarnings; }

  const std::vector<Document>& documents_;
  const Policy policy_;
};

}  // namespace penstock::lexicon::test
