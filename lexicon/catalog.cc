#include "lexicon/catalog.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"

namespace penstock::lexicon {
namespace {

// Of nodes, texts and properties: 32-bit indexes hold far more, so only a file made for it comes near.
constexpr size_t kMaxEntries = 4'000'000;
constexpr size_t kMaxTextBytes = 256 << 20;

constexpr std::string_view kMain = "#main";

uint32_t Bound(const std::optional<uint64_t>& bound, uint32_t absent) {
  if (!bound) return absent;
  return static_cast<uint32_t>(std::min<uint64_t>(*bound, kNoBound));
}

// As $type is written: "x#main" is "x".
std::string_view TypeText(std::string_view target) {
  if (target.ends_with(kMain)) target.remove_suffix(kMain.size());
  return target;
}

bool DescribesData(Type type) { return type < Type::kParams || type == Type::kRecord; }

absl::Status Error(const Document& document, const Schema& schema, std::string_view what) {
  return InvalidInputError(
      std::string(document.file).append(": ").append(schema.path).append(": ").append(what));
}

}  // namespace

class CatalogBuilder {
 public:
  absl::StatusOr<Catalog> Build(std::span<const Document> documents) {
    RETURN_IF_ERROR(NameDefinitions(documents));
    for (const Document& document : documents) {
      document_ = &document;
      for (const Definition& definition : document.definitions) {
        const uint32_t node = definitions_.find(Target(document, definition))->second.node;
        RETURN_IF_ERROR(Fill(definition.schema, node));
        if (definition.schema.type == Type::kRecord) {
          catalog_.records_[document.nsid] = {node, definition.schema.key, definition.schema.key_literal,
                                              document.confidence};
        }
        if (tables().nodes.size() + tables().texts.size() + tables().properties.size() > kMaxEntries ||
            tables().text.size() > kMaxTextBytes) {
          return InvalidInputError(document.file + ": the lexicons together are larger than can be compiled");
        }
      }
    }
    return std::move(catalog_);
  }

 private:
  struct Named {
    uint32_t node;
    const Schema* schema;
  };

  static std::string Target(const Document& document, const Definition& definition) {
    return document.nsid + "#" + definition.name;
  }

  Tables& tables() { return catalog_.tables_; }

  // Gives every definition its node before any is filled, so that schemas may refer to each other and to
  // themselves.
  absl::Status NameDefinitions(std::span<const Document> documents) {
    absl::flat_hash_map<std::string, const Document*> by_nsid;
    for (const Document& document : documents) {
      const auto [other, fresh] = by_nsid.try_emplace(document.nsid, &document);
      if (!fresh) {
        return InvalidInputError(document.file + ": id: \"" + document.nsid + "\" is also the id of " +
                                 other->second->file + ": keep one of them");
      }
      for (const Definition& definition : document.definitions) {
        definitions_[Target(document, definition)] = {NewNode(document), &definition.schema};
      }
    }
    return absl::OkStatus();
  }

  uint32_t NewNode(const Document& document) {
    tables().nodes.push_back({.soft = document.confidence != Confidence::kPublished});
    return static_cast<uint32_t>(tables().nodes.size() - 1);
  }

  TextRef AddText(std::string_view text) {
    const TextRef ref = {static_cast<uint32_t>(tables().text.size()), static_cast<uint32_t>(text.size())};
    tables().text.append(text);
    return ref;
  }

  TextList AddTexts(std::vector<std::string> texts, bool sorted) {
    if (sorted)
      std::sort(texts.begin(), texts.end(),
                [](const auto& a, const auto& b) { return KeyComesBefore(a, b); });
    const TextList list = {static_cast<uint32_t>(tables().texts.size()), static_cast<uint32_t>(texts.size())};
    for (const std::string& text : texts) tables().texts.push_back(AddText(text));
    return list;
  }

  // The node of a property, of items or of a record's body: a new one, or the definition's that it refers to.
  absl::StatusOr<uint32_t> NodeOf(const Schema& schema) {
    if (schema.type == Type::kRef) return Resolve(schema, schema.refs.front(), /*variant=*/false);
    const uint32_t node = NewNode(*document_);
    RETURN_IF_ERROR(Fill(schema, node));
    return node;
  }

  absl::StatusOr<uint32_t> Resolve(const Schema& schema, const std::string& target, bool variant) {
    const auto found = definitions_.find(target);
    if (found == definitions_.end()) {
      catalog_.unresolved_.push_back({document_->file, schema.path, target});
      const uint32_t node = NewNode(*document_);
      const TextRef name = AddText(target);
      tables().texts.push_back(name);
      tables().nodes[node].op = Op::kUnresolved;
      tables().nodes[node].a = static_cast<uint32_t>(tables().texts.size() - 1);
      return node;
    }
    const Type type = found->second.schema->type;
    if (!DescribesData(type)) {
      return Error(
          *document_, schema,
          "refers to \"" + target + "\", a " + std::string(TypeName(type)) + ", which describes no data");
    }
    if (variant && type != Type::kObject && type != Type::kRecord) {
      return Error(*document_, schema,
                   "lists \"" + target + "\", a " + std::string(TypeName(type)) +
                       ", as a variant: only objects and records have a $type to tell them by");
    }
    return found->second.node;
  }

  // Depth is that of the schema, which ParseDocument bounds: references are not followed.
  absl::Status Fill(const Schema& schema, uint32_t index) {
    Node node = tables().nodes[index];
    switch (schema.type) {
      case Type::kBoolean:
        node.op = Op::kBoolean;
        node.a = !schema.bool_const ? 0 : *schema.bool_const ? 2 : 1;
        break;
      case Type::kInteger:
        node.op = Op::kInteger;
        node.a = AddInteger(schema);
        break;
      case Type::kString:
        node.op = Op::kString;
        node.a = AddString(schema);
        break;
      case Type::kBytes:
        node.op = Op::kBytes;
        node.a = Bound(schema.min_length, 0);
        node.b = Bound(schema.max_length, kNoBound);
        break;
      case Type::kCidLink:
        node.op = Op::kCidLink;
        break;
      case Type::kBlob:
        node.op = Op::kBlob;
        node.a = static_cast<uint32_t>(tables().blobs.size());
        tables().blobs.push_back({schema.max_size.value_or(std::numeric_limits<uint64_t>::max()),
                                  AddTexts(schema.accept, /*sorted=*/false)});
        break;
      case Type::kArray: {
        node.op = Op::kArray;
        node.a = Bound(schema.min_length, 0);
        node.b = Bound(schema.max_length, kNoBound);
        ASSIGN_OR_RETURN(node.c, NodeOf(schema.items.front()));
        break;
      }
      case Type::kObject:
        node.op = Op::kObject;
        RETURN_IF_ERROR(AddProperties(schema, &node));
        break;
      case Type::kUnion:
        node.op = Op::kUnion;
        node.c = schema.closed ? 1 : 0;
        RETURN_IF_ERROR(AddVariants(schema, &node));
        break;
      case Type::kUnknown:
        node.op = Op::kUnknown;
        break;
      case Type::kRecord: {
        node.op = Op::kRecord;
        ASSIGN_OR_RETURN(node.a, NodeOf(schema.items.front()));
        tables().texts.push_back(AddText(document_->nsid));
        node.b = static_cast<uint32_t>(tables().texts.size() - 1);
        break;
      }
      case Type::kParams:
      case Type::kToken:
      case Type::kRef:
      case Type::kQuery:
      case Type::kProcedure:
      case Type::kSubscription:
      case Type::kPermissionSet:
        node.op = Op::kNothing;
        break;
    }
    tables().nodes[index] = node;
    return absl::OkStatus();
  }

  uint32_t AddInteger(const Schema& schema) {
    IntegerRule rule;
    rule.minimum = schema.minimum.value_or(rule.minimum);
    rule.maximum = schema.maximum.value_or(rule.maximum);
    std::vector<int64_t> values = schema.int_enum;
    // A constant is an enum of one; with both, what is in both.
    if (schema.int_const) {
      const bool listed =
          values.empty() || std::find(values.begin(), values.end(), *schema.int_const) != values.end();
      values.assign(1, *schema.int_const);
      if (!listed) rule.minimum = 1, rule.maximum = 0;  // nothing passes
    }
    std::sort(values.begin(), values.end());
    rule.first_value = static_cast<uint32_t>(tables().numbers.size());
    rule.values = static_cast<uint32_t>(values.size());
    tables().numbers.insert(tables().numbers.end(), values.begin(), values.end());
    tables().integers.push_back(rule);
    return static_cast<uint32_t>(tables().integers.size() - 1);
  }

  uint32_t AddString(const Schema& schema) {
    StringRule rule;
    rule.min_bytes = Bound(schema.min_length, 0);
    rule.max_bytes = Bound(schema.max_length, kNoBound);
    rule.min_graphemes = Bound(schema.min_graphemes, 0);
    rule.max_graphemes = Bound(schema.max_graphemes, kNoBound);
    rule.format = schema.format;
    rule.closed = schema.string_const || !schema.string_enum.empty();
    if (schema.string_const) {
      const auto& values = schema.string_enum;
      const bool listed =
          values.empty() || std::find(values.begin(), values.end(), *schema.string_const) != values.end();
      rule.values = AddTexts(
          listed ? std::vector<std::string>{*schema.string_const} : std::vector<std::string>{}, true);
    } else {
      rule.values = AddTexts(rule.closed ? schema.string_enum : schema.known_values, true);
    }
    tables().strings.push_back(rule);
    return static_cast<uint32_t>(tables().strings.size() - 1);
  }

  bool HasDefault(const Schema& schema) const {
    if (schema.type != Type::kRef) return schema.has_default;
    const auto found = definitions_.find(schema.refs.front());
    return found != definitions_.end() && found->second.schema->has_default;
  }

  absl::Status AddProperties(const Schema& schema, Node* node) {
    std::vector<PropertyRule> rules;
    for (const Property& property : schema.properties) {
      PropertyRule& rule = rules.emplace_back();
      rule.name = AddText(property.name);
      rule.required = property.required;
      rule.nullable = property.nullable;
      rule.has_default = HasDefault(property.schema);
      ASSIGN_OR_RETURN(rule.node, NodeOf(property.schema));
    }
    const Tables& all = tables();
    std::sort(rules.begin(), rules.end(), [&all](const PropertyRule& a, const PropertyRule& b) {
      return KeyComesBefore(all.Text(a.name), all.Text(b.name));
    });
    node->a = static_cast<uint32_t>(tables().properties.size());
    node->b = static_cast<uint32_t>(rules.size());
    tables().properties.insert(tables().properties.end(), rules.begin(), rules.end());
    return absl::OkStatus();
  }

  absl::Status AddVariants(const Schema& schema, Node* node) {
    std::vector<Variant> variants;
    absl::flat_hash_set<std::string> seen;
    for (const std::string& target : schema.refs) {
      if (!seen.insert(target).second) continue;
      Variant& variant = variants.emplace_back();
      variant.name = AddText(TypeText(target));
      ASSIGN_OR_RETURN(variant.node, Resolve(schema, target, /*variant=*/true));
    }
    const Tables& all = tables();
    std::sort(variants.begin(), variants.end(), [&all](const Variant& a, const Variant& b) {
      return KeyComesBefore(all.Text(a.name), all.Text(b.name));
    });
    node->a = static_cast<uint32_t>(tables().variants.size());
    node->b = static_cast<uint32_t>(variants.size());
    tables().variants.insert(tables().variants.end(), variants.begin(), variants.end());
    return absl::OkStatus();
  }

  Catalog catalog_;
  absl::flat_hash_map<std::string, Named> definitions_;  // by "nsid#name"
  const Document* document_ = nullptr;                   // that is being compiled
};

std::string Catalog::Unresolved::Message() const {
  return file + ": " + path + ": refers to \"" + target +
         "\", which no lexicon here defines: add its file, or mend the name";
}

absl::StatusOr<Catalog> Catalog::Build(std::span<const Document> documents) {
  return CatalogBuilder().Build(documents);
}

const RecordSchema* Catalog::Find(std::string_view nsid) const {
  const auto found = records_.find(ToAbsl(nsid));
  return found == records_.end() ? nullptr : &found->second;
}

std::vector<std::string> Catalog::Collections() const {
  std::vector<std::string> names;
  for (const auto& [nsid, schema] : records_) names.push_back(nsid);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Document> Overlay(std::vector<Document> base, std::vector<Document> more) {
  absl::flat_hash_set<std::string> replaced;
  for (const Document& document : more) replaced.insert(document.nsid);
  std::erase_if(base, [&](const Document& document) { return replaced.contains(document.nsid); });
  for (Document& document : more) base.push_back(std::move(document));
  return base;
}

}  // namespace penstock::lexicon
