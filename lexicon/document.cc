#include "lexicon/document.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/stream_parser.hpp>
#include <boost/json/value.hpp>

#include "base/status.h"
#include "lexicon/json_place.h"
#include "lexicon/schema_reader.h"
#include "repo/syntax.h"

namespace penstock::lexicon {
namespace {

namespace json = boost::json;

// "LINE:COLUMN" of a byte, both from 1.
std::string LineAndColumn(std::string_view text, size_t at) {
  const std::string_view before = text.substr(0, at);
  const size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return std::to_string(std::count(before.begin(), before.end(), '\n') + 1) + ":" +
         std::to_string(at - line_start + 1);
}

absl::StatusOr<json::value> ParseJson(std::string_view file, std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDocumentDepth;
  json::stream_parser parser({}, options);
  json::error_code ec;
  const size_t consumed = parser.write_some(text.data(), text.size(), ec);
  if (!ec && consumed < text.size()) ec = json::error::extra_data;
  if (!ec) parser.finish(ec);
  if (!ec) return parser.release();
  std::string message(file);
  message.append(":").append(LineAndColumn(text, consumed)).append(": ");
  if (ec == json::error::too_deep) {
    message.append("is nested deeper than ").append(std::to_string(kMaxDocumentDepth)).append(" levels");
  } else if (ec == json::error::extra_data) {
    message.append("the document ended before this: a file holds one JSON object");
  } else if (ec == json::error::incomplete) {
    message.append("the file ends in the middle of its JSON: is a closing brace missing?");
  } else {
    message.append("is no JSON from here: ").append(ec.message());
  }
  return InvalidInputError(message);
}

absl::Status ReadConfidence(const Place& root, const json::object& object, Confidence* confidence) {
  std::optional<std::string> name;
  RETURN_IF_ERROR(ReadText(root, object, "confidence", &name));
  if (!name || *name == "published" || *name == "published-facts") {
    *confidence = Confidence::kPublished;
  } else if (*name == "reconstructed") {
    *confidence = Confidence::kReconstructed;
  } else if (*name == "inferred") {
    *confidence = Confidence::kInferred;
  } else {
    return root.Key("confidence")
        .Error("\"" + *name + "\" is no confidence: write \"published\", \"reconstructed\" or \"inferred\"");
  }
  return absl::OkStatus();
}

absl::Status ReadHead(const Place& root, const json::object& object, Document* document) {
  const json::value* const version = object.if_contains("lexicon");
  if (version == nullptr) return root.Error("has no \"lexicon\": write \"lexicon\": 1");
  const int64_t* const number = version->if_int64();
  if (number == nullptr || *number != 1)
    return root.Key("lexicon").Error("must be 1, the one version of the language that there is");
  std::optional<std::string> id, description;
  RETURN_IF_ERROR(ReadText(root, object, "id", &id));
  if (!id) return root.Error("has no \"id\": write its NSID");
  if (!repo::Nsid::Parse(*id))
    return root.Key("id").Error("\"" + *id + "\" is no NSID: write one such as \"com.example.post\"");
  document->nsid = std::move(*id);
  RETURN_IF_ERROR(ReadText(root, object, "description", &description));
  return ReadConfidence(root, object, &document->confidence);
}

absl::Status ReadDefinitions(const Place& root, const json::object& object, Document* document) {
  const json::object* definitions;
  RETURN_IF_ERROR(ReadObject(root, object, "defs", &definitions));
  if (definitions == nullptr) return root.Error("has no \"defs\": write \"defs\": {\"main\": …}");
  const Place place = root.Key("defs");
  if (definitions->empty()) return place.Error("is empty: define at least one thing");
  for (const auto& [key, value] : *definitions) {
    const std::string_view name = View(key);
    if (name.empty() || name.size() > kMaxNameBytes || name.find('#') != std::string_view::npos)
      return place.Error("\"" + std::string(name.substr(0, kMaxNameBytes)) +
                         "\" is no name of a definition: 1 to " + std::to_string(kMaxNameBytes) +
                         " bytes without #");
    Definition& definition = document->definitions.emplace_back();
    definition.name = name;
    RETURN_IF_ERROR(ReadSchema(place.Key(name), document->nsid, value,
                               name == "main" ? Position::kMain : Position::kDefinition, &definition.schema));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view ConfidenceName(Confidence confidence) {
  constexpr std::array<std::string_view, 3> kNames = {"published", "reconstructed", "inferred"};
  return kNames[static_cast<size_t>(confidence)];
}

absl::StatusOr<Document> ParseDocument(std::string_view file, std::string_view text) {
  const Place root(file);
  if (text.size() > kMaxDocumentBytes)
    return root.Error("has " + std::to_string(text.size()) + " bytes, a lexicon at most " +
                      std::to_string(kMaxDocumentBytes));
  ASSIGN_OR_RETURN(const json::value value, ParseJson(file, text));
  const json::object* object;
  RETURN_IF_ERROR(WantObject(root, value, &object));
  Document document;
  document.file = file;
  RETURN_IF_ERROR(ReadHead(root, *object, &document));
  RETURN_IF_ERROR(ReadDefinitions(root, *object, &document));
  return document;
}

}  // namespace penstock::lexicon
