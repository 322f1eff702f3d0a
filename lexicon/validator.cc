#include "lexicon/validator.h"

#include <algorithm>

#include "absl/base/optimization.h"
#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "lexicon/graphemes.h"
#include "repo/syntax.h"

namespace penstock::lexicon {
namespace {

using cbor::Kind;
using cbor::MapCursor;
using cbor::Reader;

// Whom a broken rule refuses.
enum class Weight : uint8_t {
  kNote,    // nobody
  kStrict,  // who is strict
  kHard,    // everybody
};

// Where in the record we are: a chain up the stack, written out only for a finding.
struct Step {
  const Step* up = nullptr;
  std::string_view key;  // of an element of an array: null
  uint64_t index = 0;
  uint32_t depth = 0;  // containers around the value
};

// Keys are a stranger's text: a path holds so much of each, and so many bytes in all.
constexpr size_t kMaxPathKeyBytes = 64;
constexpr size_t kMaxPathBytes = 512;

// Cut where a character starts.
std::string_view Cut(std::string_view text, size_t size) {
  if (text.size() <= size) return text;
  while (size > 0 && (static_cast<uint8_t>(text[size]) & 0xc0) == 0x80) --size;
  return text.substr(0, size);
}

void AppendPath(const Step& step, std::string* path) {
  if (step.up != nullptr) AppendPath(*step.up, path);
  if (path->size() > kMaxPathBytes) return;
  if (step.key.data() == nullptr) {
    if (step.up != nullptr) path->append("[").append(std::to_string(step.index)).append("]");
    return;
  }
  if (!path->empty()) path->push_back('.');
  path->append(Cut(step.key, kMaxPathKeyBytes));
}

std::string_view KindName(Kind kind) {
  switch (kind) {
    case Kind::kUint:
    case Kind::kNegative:
      return "an integer";
    case Kind::kBytes:
      return "bytes";
    case Kind::kText:
      return "a text";
    case Kind::kArray:
      return "an array";
    case Kind::kMap:
      return "a map";
    case Kind::kLink:
      return "a link";
    case Kind::kBool:
      return "a boolean";
    case Kind::kNull:
      return "null";
    case Kind::kFloat:
      return "a float";
    case Kind::kEnd:
    case Kind::kInvalid:
      break;
  }
  return "nothing";
}

std::string Has(uint64_t count, std::string_view unit, std::string_view bound_name, uint64_t bound) {
  return std::string("has ")
      .append(std::to_string(count))
      .append(" ")
      .append(unit)
      .append(", at ")
      .append(bound_name)
      .append(" ")
      .append(std::to_string(bound));
}

// One record's walk along its schema. Members that read return false when the walk is over: refused, or the
// reader failed.
class Walk {
 public:
  Walk(const Catalog& catalog, const Policy& policy, Bytes block)
      : tables_(catalog.tables()), policy_(policy), reader_(block) {}

  Verdict Judge(const RecordSchema& schema, std::string_view rkey) {
    verdict_.known = true;
    soft_ = schema.confidence != Confidence::kPublished;
    const Step root;
    // $type is the collection: CheckRecord has seen to that.
    if (CheckKey(schema, rkey, root) && Value(tables_.nodes[schema.node].a, root)) {
      if (reader_.ok() && !reader_.AtEnd()) (void)reader_.Fail(Reject::kCborTrailingBytes);
    }
    if (!reader_.ok()) {
      // Not what a record is, whatever the lexicon's confidence.
      Keep({*reader_.error(), /*refuses=*/true, {}, "at byte " + std::to_string(reader_.offset())});
      verdict_.outcome = Outcome::kRefused;
    } else if (verdict_.outcome != Outcome::kRefused && verdict_.warnings > 0) {
      verdict_.outcome = Outcome::kWarnings;
    }
    return std::move(verdict_);
  }

 private:
  // ---- findings ----

  void Keep(Finding finding) {
    if (verdict_.findings.size() == kMaxFindings) verdict_.findings.pop_back();
    verdict_.findings.push_back(std::move(finding));
  }

  // True if the walk goes on. The value in question has been read or skipped.
  bool Report(Weight weight, Reject reject, const Step& at, std::string detail) {
    const bool refuses = !soft_ && (weight == Weight::kHard || (weight == Weight::kStrict && policy_.strict));
    if (!refuses && ++verdict_.warnings > kMaxFindings) return true;
    std::string path;
    AppendPath(at, &path);
    if (path.size() > kMaxPathBytes) path = std::string(Cut(path, kMaxPathBytes)) + "…";
    Keep({reject, refuses, std::move(path), std::move(detail)});
    if (refuses) verdict_.outcome = Outcome::kRefused;
    return !refuses;
  }

  ABSL_ATTRIBUTE_NOINLINE bool WrongKind(const Step& at, std::string_view wanted) {
    const Kind kind = reader_.Peek();
    if (!reader_.Skip()) return false;
    return Report(Weight::kHard, Reject::kLexiconType, at,
                  std::string("is ").append(KindName(kind)).append(", must be ").append(wanted));
  }

  bool Is(Kind kind) const { return ABSL_PREDICT_TRUE(reader_.Peek() == kind); }

  // ---- values ----

  bool CheckKey(const RecordSchema& schema, std::string_view rkey, const Step& at) {
    if (rkey.empty()) return true;
    bool good = true;
    std::string_view wanted;
    switch (schema.key) {
      case KeyType::kAny:
        good = repo::RecordKey::Parse(rkey).has_value();
        wanted = "a record key";
        break;
      case KeyType::kTid:
        good = repo::Tid::Parse(rkey).has_value();
        wanted = "a TID";
        break;
      case KeyType::kNsid:
        good = repo::Nsid::Parse(rkey).has_value();
        wanted = "an NSID";
        break;
      case KeyType::kLiteral:
        good = rkey == schema.key_literal;
        wanted = schema.key_literal;
        break;
    }
    if (ABSL_PREDICT_TRUE(good)) return true;
    return Report(Weight::kStrict, Reject::kLexiconRecordKey, at,
                  std::string("the record's key must be ").append(wanted));
  }

  bool Value(uint32_t index, const Step& at) {
    const Node& node = tables_.nodes[index];
    if (ABSL_PREDICT_TRUE(node.soft == soft_ || soft_)) return Value(node, at);
    soft_ = true;
    const bool go_on = Value(node, at);
    soft_ = false;
    return go_on;
  }

  bool Value(const Node& node, const Step& at) {
    switch (node.op) {
      case Op::kString:
        return String(tables_.strings[node.a], at);
      case Op::kObject:
        return Object(node, at);
      case Op::kArray:
        return Array(node, at);
      case Op::kInteger:
        return Integer(tables_.integers[node.a], at);
      case Op::kUnion:
        return Union(node, at);
      case Op::kBoolean:
        return Boolean(node, at);
      case Op::kBytes:
        return ByteString(node, at);
      case Op::kCidLink: {
        cbor::CidView cid;
        return Is(Kind::kLink) ? reader_.ReadLink(&cid) : WrongKind(at, "a link");
      }
      case Op::kBlob:
        return Blob(tables_.blobs[node.a], at);
      case Op::kUnknown:
        return Unknown(at);
      case Op::kRecord:
        return Record(node, at);
      case Op::kUnresolved:
        return Unresolved(tables_.Text(tables_.texts[node.a]), at);
      case Op::kNothing:
        return reader_.Skip() && Report(Weight::kHard, Reject::kLexiconType, at,
                                        "must be absent: its schema describes no data");
    }
    return false;
  }

  bool Boolean(const Node& node, const Step& at) {
    if (!Is(Kind::kBool)) return WrongKind(at, "a boolean");
    bool truth;
    if (!reader_.ReadBool(&truth)) return false;
    if (ABSL_PREDICT_TRUE(node.a == 0 || truth == (node.a == 2))) return true;
    return Report(Weight::kHard, Reject::kLexiconValue, at, truth ? "must be false" : "must be true");
  }

  bool Integer(const IntegerRule& rule, const Step& at) {
    if (!Is(Kind::kUint) && !Is(Kind::kNegative)) return WrongKind(at, "an integer");
    int64_t value;
    if (!reader_.ReadInt64(&value)) return false;
    if (ABSL_PREDICT_FALSE(value < rule.minimum || value > rule.maximum)) {
      return Report(Weight::kHard, Reject::kLexiconRange, at,
                    std::to_string(value) + " is not within " + std::to_string(rule.minimum) + " and " +
                        std::to_string(rule.maximum));
    }
    if (rule.values == 0) return true;
    const auto first = tables_.numbers.begin() + rule.first_value;
    if (std::binary_search(first, first + rule.values, value)) return true;
    return Report(Weight::kHard, Reject::kLexiconValue, at,
                  std::to_string(value) + " is none of the values listed");
  }

  bool String(const StringRule& rule, const Step& at) {
    if (!Is(Kind::kText)) return WrongKind(at, "a text");
    std::string_view text;
    if (!reader_.ReadText(&text)) return false;
    if (rule.format && !CheckFormatOf(*rule.format, text, at)) return false;
    if (ABSL_PREDICT_FALSE(text.size() > rule.max_bytes || text.size() < rule.min_bytes) &&
        !Length(text.size(), "bytes", rule.min_bytes, rule.max_bytes, Weight::kStrict, at)) {
      return false;
    }
    if ((text.size() > rule.max_graphemes || rule.min_graphemes > 0) && !Graphemes(rule, text, at))
      return false;
    if (rule.values.count == 0 && !rule.closed) return true;
    return OneOf(rule, text, at);
  }

  // No text has more graphemes than characters, and one that is not empty has one: only what lies between
  // must be counted.
  bool Graphemes(const StringRule& rule, std::string_view text, const Step& at) {
    if (rule.min_graphemes <= (text.empty() ? 0 : 1) && CountCharacters(text) <= rule.max_graphemes)
      return true;
    const size_t enough = rule.max_graphemes == kNoBound ? rule.min_graphemes : rule.max_graphemes;
    const size_t count = CountGraphemes(text, enough);
    if (count <= rule.max_graphemes && count >= rule.min_graphemes) return true;
    return Length(count > enough ? CountGraphemes(text, text.size()) : count, "graphemes", rule.min_graphemes,
                  rule.max_graphemes, Weight::kStrict, at);
  }

  bool CheckFormatOf(Format format, std::string_view text, const Step& at) {
    const FormatVerdict verdict = CheckFormat(format, text);
    if (ABSL_PREDICT_TRUE(verdict == FormatVerdict::kGood)) return true;
    const Weight weight = verdict == FormatVerdict::kBad        ? Weight::kHard
                          : verdict == FormatVerdict::kDoubtful ? Weight::kStrict
                                                                : Weight::kNote;
    const std::string_view how = verdict == FormatVerdict::kBad        ? "is no "
                                 : verdict == FormatVerdict::kDoubtful ? "has only the shape of a "
                                                                       : "is a loosely written ";
    return Report(weight, Reject::kLexiconFormat, at, std::string(how).append(FormatName(format)));
  }

  // `too_long` is the weight of too much; too little is always hard.
  bool Length(uint64_t count, std::string_view unit, uint32_t least, uint32_t most, Weight too_long,
              const Step& at) {
    if (count > most) {
      return Report(too_long, Reject::kLexiconLength, at, Has(count, unit, "most", most));
    }
    return Report(Weight::kHard, Reject::kLexiconLength, at, Has(count, unit, "least", least));
  }

  bool OneOf(const StringRule& rule, std::string_view text, const Step& at) {
    const auto first = tables_.texts.begin() + rule.values.first;
    const auto last = first + rule.values.count;
    const auto found = std::lower_bound(first, last, text, [this](TextRef ref, std::string_view wanted) {
      return KeyComesBefore(tables_.Text(ref), wanted);
    });
    if (ABSL_PREDICT_TRUE(found != last && tables_.Text(*found) == text)) return true;
    if (!rule.closed && !policy_.warn_unknown_values) return true;
    return Report(rule.closed ? Weight::kHard : Weight::kNote, Reject::kLexiconValue, at,
                  rule.closed ? "is none of the values listed" : "is none of the known values");
  }

  bool ByteString(const Node& node, const Step& at) {
    if (!Is(Kind::kBytes)) return WrongKind(at, "bytes");
    Bytes bytes;
    if (!reader_.ReadBytes(&bytes)) return false;
    if (ABSL_PREDICT_TRUE(bytes.size() >= node.a && bytes.size() <= node.b)) return true;
    return Length(bytes.size(), "bytes", node.a, node.b, Weight::kHard, at);
  }

  // Deeper data has not passed CheckRecord; the bound keeps the stack.
  bool Enter(const Step& at) {
    return ABSL_PREDICT_TRUE(at.depth < cbor::kMaxRecordDepth) || reader_.Fail(Reject::kRecordTooDeep);
  }

  bool Array(const Node& node, const Step& at) {
    if (!Is(Kind::kArray)) return WrongKind(at, "an array");
    if (!Enter(at)) return false;
    uint64_t count;
    if (!reader_.ReadArrayHeader(&count)) return false;
    if (ABSL_PREDICT_FALSE(count < node.a || count > node.b) &&
        !Length(count, "elements", node.a, node.b, Weight::kHard, at)) {
      return false;
    }
    Step step{&at, {}, 0, at.depth + 1};
    for (; step.index < count; ++step.index) {
      if (!Value(node.c, step)) return false;
    }
    return true;
  }

  // Both the map's keys and the properties ascend by length and bytes: one pass over the two.
  bool Object(const Node& node, const Step& at) {
    if (!Is(Kind::kMap)) return WrongKind(at, "a map");
    if (!Enter(at)) return false;
    MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    const PropertyRule* rule = tables_.properties.data() + node.a;
    const PropertyRule* const last = rule + node.b;
    std::string_view key;
    while (reader_.NextKey(&map, &key)) {
      std::string_view name;
      while (rule != last && KeyComesBefore(name = tables_.Text(rule->name), key)) {
        if (!Absent(*rule, name, at)) return false;
        ++rule;
      }
      if (rule == last || name != key) {
        if (!reader_.Skip()) return false;  // a field that the schema does not know
        continue;
      }
      const Step step{&at, key, 0, at.depth + 1};
      if (rule->nullable && reader_.Peek() == Kind::kNull) {
        if (!reader_.ReadNull()) return false;
      } else if (!Value(rule->node, step)) {
        return false;
      }
      ++rule;
    }
    if (!reader_.ok()) return false;
    for (; rule != last; ++rule) {
      if (!Absent(*rule, tables_.Text(rule->name), at)) return false;
    }
    return true;
  }

  bool Absent(const PropertyRule& rule, std::string_view name, const Step& at) {
    if (ABSL_PREDICT_TRUE(!rule.required)) return true;
    return Report(rule.has_default ? Weight::kNote : Weight::kHard, Reject::kLexiconMissing,
                  Step{&at, name, 0, at.depth + 1},
                  rule.has_default ? "is absent, and has a default" : "is absent");
  }

  // The $type of the map that comes next; empty without one. The map is not consumed.
  std::string_view PeekType() const {
    Reader ahead = reader_;
    MapCursor map;
    if (!ahead.BeginMap(&map)) return {};
    std::string_view key, type;
    while (ahead.NextKey(&map, &key)) {
      if (key == "$type")
        return ahead.Peek() == Kind::kText && ahead.ReadText(&type) ? type : std::string_view();
      if (KeyComesBefore("$type", key) || !ahead.Skip()) break;
    }
    return {};
  }

  bool Union(const Node& node, const Step& at) {
    if (!Is(Kind::kMap)) return WrongKind(at, "a map with a $type");
    std::string_view type = PeekType();
    if (type.empty() || type == "blob") {
      return reader_.Skip() &&
             Report(Weight::kHard, Reject::kLexiconUnion, at,
                    type.empty() ? "has no $type" : "is a blob, must be one of the variants");
    }
    if (type.ends_with("#main")) type.remove_suffix(5);
    const Variant* const first = tables_.variants.data() + node.a;
    const Variant* const last = first + node.b;
    const Variant* const found =
        std::lower_bound(first, last, type, [this](const Variant& v, std::string_view wanted) {
          return KeyComesBefore(tables_.Text(v.name), wanted);
        });
    if (found != last && tables_.Text(found->name) == type) return Value(found->node, at);
    if (!reader_.Skip()) return false;
    if (node.c != 0) {
      return Report(Weight::kHard, Reject::kLexiconUnion, at, "has a $type that is none of the variants");
    }
    if (ABSL_PREDICT_TRUE(std::count(type.begin(), type.end(), '#') <= 1)) return true;
    return Report(Weight::kStrict, Reject::kLexiconUnion, at, "has a $type with more than one #");
  }

  bool Record(const Node& node, const Step& at) {
    const std::string_view nsid = tables_.Text(tables_.texts[node.b]);
    if (Is(Kind::kMap) && PeekType() != nsid) {
      return reader_.Skip() && Report(Weight::kHard, Reject::kLexiconUnion, at,
                                      std::string("must have the $type ").append(nsid));
    }
    return Value(node.a, at);
  }

  bool Unknown(const Step& at) {
    if (reader_.Peek() == Kind::kArray) {
      return reader_.Skip() && Report(Weight::kNote, Reject::kLexiconType, at, "is an array, must be a map");
    }
    if (!Is(Kind::kMap)) return WrongKind(at, "a map");
    const bool is_blob = PeekType() == "blob";
    if (!reader_.Skip()) return false;
    return !is_blob ||
           Report(Weight::kHard, Reject::kLexiconType, at, "is a blob, must be a map of another kind");
  }

  bool Unresolved(std::string_view target, const Step& at) {
    if (!reader_.Skip()) return false;
    return Report(policy_.mode == Mode::kRequired ? Weight::kHard : Weight::kStrict, Reject::kLexiconUnknown,
                  at, std::string("no lexicon here defines ").append(target));
  }

  // ---- blobs ----

  struct BlobFields {
    uint64_t pairs = 0;
    bool has_type = false, has_ref = false, has_size = false;
    int64_t size = 0;
    std::string_view mime_type, cid;
  };

  bool ReadBlob(BlobFields* blob) {
    MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    blob->pairs = map.remaining;
    std::string_view key, text;
    while (reader_.NextKey(&map, &key)) {
      const Kind kind = reader_.Peek();
      if (key == "$type" && kind == Kind::kText) {
        if (!reader_.ReadText(&text)) return false;
        blob->has_type = text == "blob";
      } else if (key == "ref" && kind == Kind::kLink) {
        blob->has_ref = reader_.Skip();
      } else if (key == "size" && kind == Kind::kUint) {
        blob->has_size = reader_.ReadInt64(&blob->size);
      } else if (key == "mimeType" && kind == Kind::kText) {
        if (!reader_.ReadText(&blob->mime_type)) return false;
      } else if (key == "cid" && kind == Kind::kText) {
        if (!reader_.ReadText(&blob->cid)) return false;
      } else if (!reader_.Skip()) {
        return false;
      }
    }
    return reader_.ok();
  }

  bool Blob(const BlobRule& rule, const Step& at) {
    if (!Is(Kind::kMap)) return WrongKind(at, "a blob");
    BlobFields blob;
    if (!ReadBlob(&blob)) return false;
    if (!(blob.has_type && blob.has_ref && blob.has_size && !blob.mime_type.empty())) {
      // Before 2023 a blob was {cid, mimeType}, without its size.
      const bool legacy = blob.pairs == 2 && !blob.has_type && blob.mime_type.data() != nullptr &&
                          CheckFormat(Format::kCid, blob.cid) == FormatVerdict::kGood;
      return Report(legacy ? Weight::kNote : Weight::kHard, Reject::kLexiconBlob, at,
                    legacy ? "is a blob of the old form" : "is a map, must be a blob");
    }
    if (!Accepts(rule.accept, blob.mime_type) &&
        !Report(Weight::kHard, Reject::kLexiconBlob, at, "is a blob of a type that is not accepted")) {
      return false;
    }
    if (ABSL_PREDICT_TRUE(static_cast<uint64_t>(blob.size) <= rule.max_size)) return true;
    return Report(Weight::kHard, Reject::kLexiconBlob, at,
                  Has(static_cast<uint64_t>(blob.size), "bytes", "most", rule.max_size));
  }

  bool Accepts(TextList patterns, std::string_view mime_type) const {
    if (patterns.count == 0) return true;
    for (uint32_t i = 0; i < patterns.count; ++i) {
      std::string_view pattern = tables_.Text(tables_.texts[patterns.first + i]);
      if (pattern == "*/*" || pattern == mime_type) return true;
      if (!pattern.ends_with("/*")) continue;
      pattern.remove_suffix(1);
      if (mime_type.starts_with(pattern)) return true;
    }
    return false;
  }

  const Tables& tables_;
  const Policy& policy_;
  Reader reader_;
  bool soft_ = false;  // findings here never refuse
  Verdict verdict_;
};

}  // namespace

Verdict ValidateRecord(const Catalog& catalog, std::string_view collection, std::string_view rkey,
                       Bytes block, const Policy& policy) {
  if (policy.mode == Mode::kNone) return {};
  return ValidateRecord(catalog, catalog.Find(collection), rkey, block, policy);
}

Verdict ValidateRecord(const Catalog& catalog, const RecordSchema* schema, std::string_view rkey, Bytes block,
                       const Policy& policy) {
  if (policy.mode == Mode::kNone) return {};
  if (schema != nullptr) return Walk(catalog, policy, block).Judge(*schema, rkey);
  Verdict verdict;
  if (policy.mode == Mode::kRequired) {
    verdict.outcome = Outcome::kRefused;
    verdict.findings.push_back(
        {Reject::kLexiconUnknown, /*refuses=*/true, {}, "no lexicon here describes this collection"});
  }
  return verdict;
}

}  // namespace penstock::lexicon
