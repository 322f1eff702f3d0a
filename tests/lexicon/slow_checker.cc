#include "tests/lexicon/slow_checker.h"

#include <algorithm>
#include <boost/json.hpp>

#include "base/encoding.h"
#include "lexicon/graphemes.h"

namespace penstock::lexicon::test {
namespace {

namespace json = boost::json;
constexpr Outcome kValid = Outcome::kValid, kWarn = Outcome::kWarnings, kRefuse = Outcome::kRefused;

Outcome Worse(Outcome a, Outcome b) { return std::max(a, b); }
Outcome RefuseUnless(bool good) { return good ? kValid : kRefuse; }

bool Has(const json::value& value, std::string_view key) {
  return value.is_object() && value.as_object().contains(json::string_view(key.data(), key.size()));
}
bool IsLink(const json::value& value) { return Has(value, "$link"); }
bool IsBytes(const json::value& value) { return Has(value, "$bytes"); }
bool IsMap(const json::value& value) { return value.is_object() && !IsLink(value) && !IsBytes(value); }
std::string TypeOf(const json::value& map) {
  return Has(map, "$type") ? std::string(map.at("$type").as_string()) : std::string();
}

template <typename T>
bool Within(T value, const std::optional<T>& least, const std::optional<T>& most) {
  return (!least || value >= *least) && (!most || value <= *most);
}
template <typename T>
bool Lists(const std::vector<T>& list, const T& value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

}  // namespace

Outcome SlowChecker::Check(std::string_view nsid, const json::value& record) const {
  const Target target = Resolve(std::string(nsid) + "#main");
  Outcome outcome = Value(*target.document, target.schema->items.front(), record);
  if (target.document->confidence != Confidence::kPublished) outcome = std::min(outcome, kWarn);
  return outcome;
}

SlowChecker::Target SlowChecker::Resolve(const std::string& reference) const {
  for (const Document& document : documents_) {
    for (const Definition& definition : document.definitions) {
      if (document.nsid + "#" + definition.name == reference) return {&document, &definition.schema};
    }
  }
  return {};
}

Outcome SlowChecker::Reference(const std::string& reference, const json::value& value) const {
  const Target target = Resolve(reference);
  if (target.schema == nullptr) return policy_.mode == Mode::kRequired ? kRefuse : Strict();
  const Outcome outcome = Value(*target.document, *target.schema, value);
  return target.document->confidence == Confidence::kPublished ? outcome : std::min(outcome, kWarn);
}

Outcome SlowChecker::Value(const Document& document, const Schema& schema, const json::value& value) const {
  switch (schema.type) {
    case Type::kBoolean:
      return RefuseUnless(value.is_bool() && (!schema.bool_const || value.as_bool() == *schema.bool_const));
    case Type::kInteger:
      return RefuseUnless(value.is_int64() && Within(value.as_int64(), schema.minimum, schema.maximum) &&
                          (schema.int_enum.empty() || Lists(schema.int_enum, value.as_int64())) &&
                          (!schema.int_const || value.as_int64() == *schema.int_const));
    case Type::kString:
      return value.is_string() ? String(schema, std::string_view(value.as_string())) : kRefuse;
    case Type::kBytes: {
      if (!IsBytes(value)) return kRefuse;
      const auto bytes = FromBase64(std::string_view(value.at("$bytes").as_string()));
      return RefuseUnless(Within<uint64_t>(bytes->size(), schema.min_length, schema.max_length));
    }
    case Type::kCidLink:
      return RefuseUnless(IsLink(value));
    case Type::kBlob:
      return Blob(schema, value);
    case Type::kArray: {
      if (!value.is_array()) return kRefuse;
      Outcome outcome =
          RefuseUnless(Within<uint64_t>(value.as_array().size(), schema.min_length, schema.max_length));
      for (const json::value& item : value.as_array())
        outcome = Worse(outcome, Value(document, schema.items.front(), item));
      return outcome;
    }
    case Type::kObject:
      return Object(document, schema, value);
    case Type::kRef:
      return Reference(schema.refs.front(), value);
    case Type::kUnion:
      return Union(schema, value);
    case Type::kUnknown:
      if (value.is_array()) return kWarn;
      return RefuseUnless(IsMap(value) && TypeOf(value) != "blob");
    case Type::kRecord:
      if (!IsMap(value) || TypeOf(value) != document.nsid) return kRefuse;
      return Value(document, schema.items.front(), value);
    default:
      return kRefuse;
  }
}

Outcome SlowChecker::Object(const Document& document, const Schema& schema, const json::value& value) const {
  if (!IsMap(value)) return kRefuse;
  Outcome outcome = kValid;
  for (const Property& property : schema.properties) {
    const Schema* actual = &property.schema;
    if (actual->type == Type::kRef) {
      if (const Target target = Resolve(actual->refs.front()); target.schema != nullptr)
        actual = target.schema;
    }
    const json::value* const field = value.as_object().if_contains(property.name);
    if (field == nullptr) {
      if (property.required) outcome = Worse(outcome, actual->has_default ? kWarn : kRefuse);
    } else if (!(field->is_null() && property.nullable)) {
      outcome = Worse(outcome, Value(document, property.schema, *field));
    }
  }
  return outcome;
}

Outcome SlowChecker::String(const Schema& schema, std::string_view text) const {
  Outcome outcome = kValid;
  if (schema.max_length && text.size() > *schema.max_length) outcome = Worse(outcome, Strict());
  if (schema.min_length && text.size() < *schema.min_length) outcome = kRefuse;
  const size_t graphemes = CountGraphemes(text, text.size());
  if (schema.max_graphemes && graphemes > *schema.max_graphemes) outcome = Worse(outcome, Strict());
  if (schema.min_graphemes && graphemes < *schema.min_graphemes) outcome = kRefuse;
  if (schema.format) {
    const FormatVerdict verdict = CheckFormat(*schema.format, text);
    outcome = Worse(outcome, verdict == FormatVerdict::kGood        ? kValid
                             : verdict == FormatVerdict::kTolerated ? kWarn
                             : verdict == FormatVerdict::kDoubtful  ? Strict()
                                                                    : kRefuse);
  }
  const std::string value(text);
  if (!schema.string_enum.empty() && !Lists(schema.string_enum, value)) outcome = kRefuse;
  if (schema.string_const && *schema.string_const != value) outcome = kRefuse;
  const bool closed = schema.string_const || !schema.string_enum.empty();
  if (!closed && !schema.known_values.empty() && !Lists(schema.known_values, value))
    outcome = Worse(outcome, kWarn);
  return outcome;
}

Outcome SlowChecker::Union(const Schema& schema, const json::value& value) const {
  if (!IsMap(value)) return kRefuse;
  std::string type = TypeOf(value);
  if (type.empty() || type == "blob") return kRefuse;
  const std::string reference = type.find('#') == std::string::npos ? type + "#main" : type;
  if (Lists(schema.refs, reference)) return Reference(reference, value);
  if (schema.closed) return kRefuse;
  return std::count(type.begin(), type.end(), '#') > 1 ? Strict() : kValid;
}

Outcome SlowChecker::Blob(const Schema& schema, const json::value& value) const {
  if (!IsMap(value)) return kRefuse;
  if (TypeOf(value) != "blob") {
    const json::object& map = value.as_object();
    const bool legacy =
        map.size() == 2 && Has(value, "cid") && Has(value, "mimeType") && map.at("cid").is_string() &&
        map.at("mimeType").is_string() &&
        CheckFormat(Format::kCid, std::string_view(map.at("cid").as_string())) == FormatVerdict::kGood;
    return legacy ? kWarn : kRefuse;
  }
  const std::string mime(value.at("mimeType").as_string());
  bool accepted = schema.accept.empty();
  for (const std::string& pattern : schema.accept) {
    accepted |= pattern == "*/*" || pattern == mime ||
                (pattern.ends_with("/*") && mime.starts_with(pattern.substr(0, pattern.size() - 1)));
  }
  return RefuseUnless(accepted && static_cast<uint64_t>(value.at("size").as_int64()) <=
                                      schema.max_size.value_or(UINT64_MAX));
}

}  // namespace penstock::lexicon::test
