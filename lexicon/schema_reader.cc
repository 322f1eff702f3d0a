#include "lexicon/schema_reader.h"

#include <algorithm>
#include <array>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <utility>

#include "base/status.h"
#include "repo/syntax.h"

namespace penstock::lexicon {
namespace {

namespace json = boost::json;

// Sets of types, one bit each.
constexpr uint32_t Bit(Type type) { return 1u << static_cast<unsigned>(type); }
constexpr uint32_t kConcrete = Bit(Type::kBoolean) | Bit(Type::kInteger) | Bit(Type::kString) |
                               Bit(Type::kBytes) | Bit(Type::kCidLink) | Bit(Type::kBlob) |
                               Bit(Type::kArray) | Bit(Type::kObject);
constexpr uint32_t kField = kConcrete | Bit(Type::kRef) | Bit(Type::kUnion) | Bit(Type::kUnknown);
constexpr uint32_t kPrimary = Bit(Type::kRecord) | Bit(Type::kQuery) | Bit(Type::kProcedure) |
                              Bit(Type::kSubscription) | Bit(Type::kPermissionSet);
constexpr uint32_t kParameter =
    Bit(Type::kBoolean) | Bit(Type::kInteger) | Bit(Type::kString) | Bit(Type::kUnknown);

struct Allowed {
  uint32_t types;
  std::string_view what;  // in the message: "a property"
};

// In the order of Position.
constexpr std::array<Allowed, 8> kAllowed = {{
    {kField, "a property"},
    {kField, "the items of an array"},
    {kConcrete | Bit(Type::kToken), "a definition"},
    {kConcrete | Bit(Type::kToken) | kPrimary, "the main definition"},
    {Bit(Type::kParams), "\"parameters\""},
    {Bit(Type::kObject), "the body of a record"},
    {Bit(Type::kObject) | Bit(Type::kRef) | Bit(Type::kUnion), "the schema of a body"},
    {Bit(Type::kUnion), "the schema of a message"},
}};

// In the order of Type.
constexpr std::array<std::string_view, 18> kTypeNames = {
    "boolean", "integer", "string", "bytes",     "cid-link",     "blob",
    "array",   "object",  "params", "token",     "ref",          "union",
    "unknown", "record",  "query",  "procedure", "subscription", "permission-set"};

std::string NamesOf(uint32_t types) {
  std::string names;
  for (size_t i = 0; i < kTypeNames.size(); ++i) {
    if ((types >> i & 1) == 0) continue;
    names.append(names.empty() ? "" : ", ").append(kTypeNames[i]);
  }
  return names;
}

std::string Quoted(std::string_view text) { return std::string("\"").append(text).append("\""); }

// Reads the members of one schema object.
class SchemaReader {
 public:
  SchemaReader(const Place& at, std::string_view nsid, const json::object& object, Schema* schema)
      : at_(at), nsid_(nsid), object_(object), schema_(*schema) {}

  absl::Status Read() {
    std::optional<std::string> description;
    RETURN_IF_ERROR(ReadText(at_, object_, "description", &description));
    switch (schema_.type) {
      case Type::kBoolean:
        return Boolean();
      case Type::kInteger:
        return Integer();
      case Type::kString:
        return String();
      case Type::kBytes:
        return Lengths();
      case Type::kBlob:
        return Blob();
      case Type::kArray:
        return Array();
      case Type::kObject:
        return Object(Position::kProperty);
      case Type::kParams:
        return Object(Position::kProperty);
      case Type::kRef:
        return Ref();
      case Type::kUnion:
        return Union();
      case Type::kRecord:
        return Record();
      case Type::kQuery:
      case Type::kProcedure:
      case Type::kSubscription:
        return Method();
      case Type::kPermissionSet:
        return PermissionSet();
      case Type::kCidLink:
      case Type::kToken:
      case Type::kUnknown:
        return absl::OkStatus();
    }
    return absl::OkStatus();
  }

 private:
  const json::value* Find(std::string_view key) const {
    return object_.if_contains(json::string_view(key.data(), key.size()));
  }

  absl::Status ConstOrDefault(bool has_const) {
    if (!has_const || !schema_.has_default) return absl::OkStatus();
    return at_.Error("has \"const\" and \"default\", which exclude each other: keep one of them");
  }

  template <typename T>
  absl::Status Ordered(const std::optional<T>& low, std::string_view low_name, const std::optional<T>& high,
                       std::string_view high_name) {
    if (!low || !high || *low <= *high) return absl::OkStatus();
    return at_.Key(low_name).Error("is " + std::to_string(*low) + ", above \"" + std::string(high_name) +
                                   "\" of " + std::to_string(*high) + ": nothing could pass");
  }

  // A list that is written must name something: an empty one lets nothing pass.
  absl::Status NotEmpty(std::string_view key, size_t size) {
    if (size > 0 || Find(key) == nullptr) return absl::OkStatus();
    return at_.Key(key).Error("is empty: list a value, or leave the key out");
  }

  absl::Status Boolean() {
    std::optional<bool> fallback;
    RETURN_IF_ERROR(ReadBool(at_, object_, "default", &fallback));
    RETURN_IF_ERROR(ReadBool(at_, object_, "const", &schema_.bool_const));
    schema_.has_default = fallback.has_value();
    return ConstOrDefault(schema_.bool_const.has_value());
  }

  absl::Status Integer() {
    std::optional<int64_t> fallback;
    RETURN_IF_ERROR(ReadInt(at_, object_, "default", &fallback));
    RETURN_IF_ERROR(ReadInt(at_, object_, "const", &schema_.int_const));
    RETURN_IF_ERROR(ReadInt(at_, object_, "minimum", &schema_.minimum));
    RETURN_IF_ERROR(ReadInt(at_, object_, "maximum", &schema_.maximum));
    RETURN_IF_ERROR(ReadInts(at_, object_, "enum", &schema_.int_enum));
    RETURN_IF_ERROR(NotEmpty("enum", schema_.int_enum.size()));
    RETURN_IF_ERROR(Ordered(schema_.minimum, "minimum", schema_.maximum, "maximum"));
    schema_.has_default = fallback.has_value();
    return ConstOrDefault(schema_.int_const.has_value());
  }

  absl::Status String() {
    std::optional<std::string> fallback, format;
    RETURN_IF_ERROR(ReadText(at_, object_, "default", &fallback));
    RETURN_IF_ERROR(ReadText(at_, object_, "const", &schema_.string_const));
    RETURN_IF_ERROR(ReadText(at_, object_, "format", &format));
    RETURN_IF_ERROR(ReadTexts(at_, object_, "enum", &schema_.string_enum));
    RETURN_IF_ERROR(NotEmpty("enum", schema_.string_enum.size()));
    RETURN_IF_ERROR(ReadTexts(at_, object_, "knownValues", &schema_.known_values));
    RETURN_IF_ERROR(Lengths());
    RETURN_IF_ERROR(ReadCount(at_, object_, "minGraphemes", &schema_.min_graphemes));
    RETURN_IF_ERROR(ReadCount(at_, object_, "maxGraphemes", &schema_.max_graphemes));
    RETURN_IF_ERROR(Ordered(schema_.min_graphemes, "minGraphemes", schema_.max_graphemes, "maxGraphemes"));
    if (format) {
      schema_.format = FormatFromName(*format);
      if (!schema_.format) {
        return at_.Key("format").Error(Quoted(*format) +
                                       " is no format: at-identifier, at-uri, cid, datetime, did, handle, "
                                       "language, nsid, record-key, tid or uri");
      }
    }
    schema_.has_default = fallback.has_value();
    return ConstOrDefault(schema_.string_const.has_value());
  }

  absl::Status Lengths() {
    RETURN_IF_ERROR(ReadCount(at_, object_, "minLength", &schema_.min_length));
    RETURN_IF_ERROR(ReadCount(at_, object_, "maxLength", &schema_.max_length));
    return Ordered(schema_.min_length, "minLength", schema_.max_length, "maxLength");
  }

  absl::Status Blob() {
    RETURN_IF_ERROR(ReadCount(at_, object_, "maxSize", &schema_.max_size));
    RETURN_IF_ERROR(ReadTexts(at_, object_, "accept", &schema_.accept));
    RETURN_IF_ERROR(NotEmpty("accept", schema_.accept.size()));
    const Place accept = at_.Key("accept");
    for (size_t i = 0; i < schema_.accept.size(); ++i) {
      const std::string& pattern = schema_.accept[i];
      const size_t slash = pattern.find('/');
      const size_t star = pattern.find('*');
      const bool good = slash != std::string::npos && slash > 0 && slash + 1 < pattern.size() &&
                        (star == std::string::npos || pattern == "*/*" || star + 1 == pattern.size()) &&
                        (star == std::string::npos || star == slash + 1 || pattern == "*/*");
      if (!good)
        return accept.Index(i).Error(Quoted(pattern) +
                                     " is no MIME type: write \"*/*\", \"image/*\" or \"image/png\"");
    }
    return absl::OkStatus();
  }

  absl::Status Array() {
    RETURN_IF_ERROR(Lengths());
    const json::value* const items = Find("items");
    if (items == nullptr) return at_.Error("has no \"items\": say what the array holds");
    return ReadSchema(at_.Key("items"), nsid_, *items, Position::kItems, &schema_.items.emplace_back());
  }

  absl::Status Object(Position position) {
    const json::object* properties;
    RETURN_IF_ERROR(ReadObject(at_, object_, "properties", &properties));
    if (properties != nullptr) {
      const Place place = at_.Key("properties");
      for (const auto& [key, value] : *properties) {
        const std::string_view name = View(key);
        if (name.empty() || name.size() > kMaxNameBytes)
          return place.Error("holds a name of " + std::to_string(name.size()) + " bytes: 1 to " +
                             std::to_string(kMaxNameBytes) + " may be");
        Property& property = schema_.properties.emplace_back();
        property.name = name;
        RETURN_IF_ERROR(ReadSchema(place.Key(name), nsid_, value, position, &property.schema));
        if (schema_.type == Type::kParams) RETURN_IF_ERROR(Parameter(place.Key(name), property.schema));
      }
    }
    RETURN_IF_ERROR(Mark("required", &Property::required));
    return Mark("nullable", &Property::nullable);
  }

  absl::Status Parameter(const Place& place, const Schema& schema) {
    const Schema& item = schema.type == Type::kArray ? schema.items.front() : schema;
    if ((Bit(item.type) & kParameter) != 0) return absl::OkStatus();
    return place.Error("a parameter must be a boolean, integer, string, unknown, or an array of these, is " +
                       std::string(TypeName(item.type)));
  }

  // Sets `flag` of every property that the list under `key` names.
  absl::Status Mark(std::string_view key, bool Property::*flag) {
    std::vector<std::string> names;
    RETURN_IF_ERROR(ReadTexts(at_, object_, key, &names));
    const Place place = at_.Key(key);
    // By name, so that a file with many of both takes no time that grows with their product.
    std::vector<Property*> by_name;
    for (Property& property : schema_.properties) by_name.push_back(&property);
    const auto before = [](const Property* a, const Property* b) { return a->name < b->name; };
    std::sort(by_name.begin(), by_name.end(), before);
    for (size_t i = 0; i < names.size(); ++i) {
      const auto found =
          std::lower_bound(by_name.begin(), by_name.end(), names[i],
                           [](const Property* p, const std::string& name) { return p->name < name; });
      if (found == by_name.end() || (*found)->name != names[i])
        return place.Index(i).Error(Quoted(names[i]) +
                                    " is not one of \"properties\": define it there, or take it out");
      (*found)->*flag = true;
    }
    return absl::OkStatus();
  }

  // "nsid#name" for every way to write a reference.
  absl::Status Complete(const Place& place, std::string_view text) {
    const size_t hash = text.find('#');
    const std::string_view nsid = text.substr(0, hash);
    const std::string_view name =
        hash == std::string_view::npos ? std::string_view("main") : text.substr(hash + 1);
    const bool good = (nsid.empty() ? hash == 0 : repo::Nsid::Parse(nsid).has_value()) && !name.empty() &&
                      name.size() <= kMaxNameBytes && name.find('#') == std::string_view::npos;
    if (!good)
      return place.Error(Quoted(text) + " is no reference: write \"nsid\", \"nsid#name\" or \"#name\"");
    schema_.refs.push_back(std::string(nsid.empty() ? nsid_ : nsid).append("#").append(name));
    return absl::OkStatus();
  }

  absl::Status Ref() {
    std::optional<std::string> ref;
    RETURN_IF_ERROR(ReadText(at_, object_, "ref", &ref));
    if (!ref) return at_.Error("has no \"ref\": say what it refers to");
    return Complete(at_.Key("ref"), *ref);
  }

  absl::Status Union() {
    std::optional<bool> closed;
    RETURN_IF_ERROR(ReadBool(at_, object_, "closed", &closed));
    schema_.closed = closed.value_or(false);
    if (Find("refs") == nullptr) return at_.Error("has no \"refs\": list the variants, [] if none is known");
    std::vector<std::string> refs;
    RETURN_IF_ERROR(ReadTexts(at_, object_, "refs", &refs));
    if (schema_.closed && refs.empty())
      return at_.Key("refs").Error(
          "is empty in a closed union, which nothing could pass: list a variant, or open it");
    const Place place = at_.Key("refs");
    for (size_t i = 0; i < refs.size(); ++i) RETURN_IF_ERROR(Complete(place.Index(i), refs[i]));
    return absl::OkStatus();
  }

  absl::Status Record() {
    std::optional<std::string> key;
    RETURN_IF_ERROR(ReadText(at_, object_, "key", &key));
    constexpr std::string_view kLiteral = "literal:",
                               kChoice = "write \"tid\", \"nsid\", \"any\" or \"literal:…\"";
    if (!key) return at_.Error("has no \"key\": " + std::string(kChoice));
    if (*key == "tid") {
      schema_.key = KeyType::kTid;
    } else if (*key == "nsid") {
      schema_.key = KeyType::kNsid;
    } else if (key->starts_with(kLiteral)) {
      schema_.key = KeyType::kLiteral;
      schema_.key_literal = key->substr(kLiteral.size());
      if (!repo::RecordKey::Parse(schema_.key_literal))
        return at_.Key("key").Error(Quoted(schema_.key_literal) +
                                    " is no record key: letters, digits and . - _ ~ :");
    } else if (*key != "any") {
      return at_.Key("key").Error(Quoted(*key) + " is no kind of key: " + std::string(kChoice));
    }
    const json::value* const body = Find("record");
    if (body == nullptr) return at_.Error("has no \"record\": say what it holds, as an object");
    return ReadSchema(at_.Key("record"), nsid_, *body, Position::kRecordBody, &schema_.items.emplace_back());
  }

  // Queries, procedures and subscriptions: checked, and forgotten.
  absl::Status Method() {
    Schema forgotten;
    if (const json::value* const parameters = Find("parameters")) {
      RETURN_IF_ERROR(
          ReadSchema(at_.Key("parameters"), nsid_, *parameters, Position::kParameters, &forgotten));
    }
    for (const std::string_view key : {"input", "output"}) {
      const json::object* body;
      RETURN_IF_ERROR(ReadObject(at_, object_, key, &body));
      if (body == nullptr) continue;
      const Place place = at_.Key(key);
      if (key == "input" && schema_.type != Type::kProcedure)
        return place.Error("only a procedure has an input: make it one, or use \"parameters\"");
      std::optional<std::string> encoding;
      RETURN_IF_ERROR(ReadText(place, *body, "encoding", &encoding));
      if (!encoding || encoding->empty())
        return place.Error("has no \"encoding\": write a MIME type, such as \"application/json\"");
      RETURN_IF_ERROR(BodySchema(place, *body, Position::kBody));
    }
    const json::object* message;
    RETURN_IF_ERROR(ReadObject(at_, object_, "message", &message));
    if (message != nullptr) {
      const Place place = at_.Key("message");
      if (schema_.type != Type::kSubscription)
        return place.Error("only a subscription has messages: use \"output\"");
      if (!message->contains("schema"))
        return place.Error("has no \"schema\": write a union of the messages");
      RETURN_IF_ERROR(BodySchema(place, *message, Position::kMessage));
    }
    return Errors();
  }

  absl::Status BodySchema(const Place& place, const json::object& body, Position position) {
    const json::value* const schema = body.if_contains("schema");
    if (schema == nullptr) return absl::OkStatus();
    Schema forgotten;
    return ReadSchema(place.Key("schema"), nsid_, *schema, position, &forgotten);
  }

  absl::Status Errors() {
    const json::value* const errors = Find("errors");
    if (errors == nullptr) return absl::OkStatus();
    const Place place = at_.Key("errors");
    const json::array* const list = errors->if_array();
    if (list == nullptr) return place.Wants("a list of objects with a \"name\"", *errors);
    for (size_t i = 0; i < list->size(); ++i) {
      const Place item = place.Index(i);
      const json::object* error;
      RETURN_IF_ERROR(WantObject(item, (*list)[i], &error));
      std::optional<std::string> name;
      RETURN_IF_ERROR(ReadText(item, *error, "name", &name));
      if (!name || name->empty()) return item.Error("has no \"name\": name the error");
    }
    return absl::OkStatus();
  }

  absl::Status PermissionSet() {
    std::optional<std::string> text;
    RETURN_IF_ERROR(ReadText(at_, object_, "title", &text));
    RETURN_IF_ERROR(ReadText(at_, object_, "detail", &text));
    const json::value* const permissions = Find("permissions");
    const Place place = at_.Key("permissions");
    if (permissions == nullptr) return at_.Error("has no \"permissions\": list them");
    const json::array* const list = permissions->if_array();
    if (list == nullptr) return place.Wants("a list of objects of type \"permission\"", *permissions);
    for (size_t i = 0; i < list->size(); ++i) {
      const Place item = place.Index(i);
      const json::object* permission;
      RETURN_IF_ERROR(WantObject(item, (*list)[i], &permission));
      std::optional<std::string> type, resource;
      RETURN_IF_ERROR(ReadText(item, *permission, "type", &type));
      if (type != "permission") return item.Error("must have \"type\": \"permission\"");
      RETURN_IF_ERROR(ReadText(item, *permission, "resource", &resource));
      if (!resource || resource->empty())
        return item.Error("has no \"resource\": write \"repo\", \"rpc\" or another");
    }
    return absl::OkStatus();
  }

  const Place& at_;
  const std::string_view nsid_;
  const json::object& object_;
  Schema& schema_;
};

}  // namespace

std::string_view TypeName(Type type) { return kTypeNames[static_cast<size_t>(type)]; }

absl::Status ReadSchema(const Place& place, std::string_view nsid, const json::value& value,
                        Position position, Schema* schema) {
  const Allowed& allowed = kAllowed[static_cast<size_t>(position)];
  const json::object* object;
  RETURN_IF_ERROR(WantObject(place, value, &object));
  std::optional<std::string> name;
  RETURN_IF_ERROR(ReadText(place, *object, "type", &name));
  if (!name) return place.Error("has no \"type\": write one of " + NamesOf(allowed.types));
  const auto found = std::find(kTypeNames.begin(), kTypeNames.end(), *name);
  if (found == kTypeNames.end())
    return place.Key("type").Error(Quoted(*name) + " is no type: write one of " + NamesOf(allowed.types));
  schema->type = static_cast<Type>(found - kTypeNames.begin());
  if ((Bit(schema->type) & allowed.types) == 0) {
    std::string text = Quoted(*name).append(" cannot be ").append(allowed.what);
    if (position == Position::kDefinition && (Bit(schema->type) & kPrimary) != 0) {
      text += ": name the definition \"main\"";
    } else {
      text += ": write one of " + NamesOf(allowed.types);
    }
    return place.Key("type").Error(text);
  }
  schema->path = place.Path();
  return SchemaReader(place, nsid, *object, schema).Read();
}

}  // namespace penstock::lexicon
