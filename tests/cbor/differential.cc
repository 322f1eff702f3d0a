#include "tests/cbor/differential.h"

#include <bit>

#include "base/encoding.h"
#include "cbor/reader.h"
#include "cbor/second_opinion.h"

namespace penstock::test {
namespace {

using cbor::Kind;
using cbor::LenientItem;
using cbor::LenientKind;
using cbor::LenientReader;

// One word for each head: what both sides are brought to.
void Say(std::string_view what, uint64_t argument, std::string* out) {
  out->append(what).append(std::to_string(argument)).push_back(' ');
}
void Say(std::string_view what, Bytes content, std::string* out) {
  out->append(what).append(ToHex(content)).push_back(' ');
}

// `depth` counts the containers around the item; Skip bounds them too.
bool StrictSays(cbor::Reader& reader, uint32_t depth, std::string* out) {
  const bool container = reader.Peek() == Kind::kArray || reader.Peek() == Kind::kMap;
  if (container && depth == cbor::kMaxDepth) return reader.Fail(Reject::kCborTooDeep);
  switch (reader.Peek()) {
    case Kind::kUint:
    case Kind::kNegative: {
      cbor::Integer value;
      if (!reader.ReadInteger(&value)) return false;
      Say(value.negative ? "negative" : "uint", value.value, out);
      return true;
    }
    case Kind::kBytes: {
      Bytes value;
      if (!reader.ReadBytes(&value)) return false;
      Say("bytes:", value, out);
      return true;
    }
    case Kind::kText: {
      std::string_view value;
      if (!reader.ReadText(&value)) return false;
      Say("text:", AsBytes(value), out);
      return true;
    }
    case Kind::kArray: {
      uint64_t count;
      if (!reader.ReadArrayHeader(&count)) return false;
      Say("array", count, out);
      for (; count > 0; --count) {
        if (!StrictSays(reader, depth + 1, out)) return false;
      }
      return true;
    }
    case Kind::kMap: {
      cbor::MapCursor map;
      if (!reader.BeginMap(&map)) return false;
      Say("map", map.remaining, out);
      std::string_view key;
      while (reader.NextKey(&map, &key)) {
        Say("text:", AsBytes(key), out);
        if (!StrictSays(reader, depth + 1, out)) return false;
      }
      return reader.ok();
    }
    case Kind::kLink: {
      cbor::CidView value;
      if (!reader.ReadLink(&value)) return false;
      Say("tag", 42, out);
      Say("bytes:00", value.bytes(), out);
      return true;
    }
    case Kind::kBool: {
      bool value;
      if (!reader.ReadBool(&value)) return false;
      Say("bool", value ? 1 : 0, out);
      return true;
    }
    case Kind::kNull:
      if (!reader.ReadNull()) return false;
      out->append("null ");
      return true;
    case Kind::kFloat: {
      double value;
      if (!reader.ReadFloat(&value)) return false;
      Say("float", std::bit_cast<uint64_t>(value), out);
      return true;
    }
    default:
      return reader.Skip();
  }
}

void LenientSays(const LenientItem& item, std::string* out) {
  switch (item.kind) {
    case LenientKind::kUint:
      return Say("uint", item.argument, out);
    case LenientKind::kNegative:
      return Say("negative", item.argument, out);
    case LenientKind::kBytes:
      return Say("bytes:", item.content, out);
    case LenientKind::kText:
      return Say("text:", item.content, out);
    case LenientKind::kArray:
      return Say("array", item.argument, out);
    case LenientKind::kMap:
      return Say("map", item.argument, out);
    case LenientKind::kTag:
      return Say("tag", item.argument, out);
    case LenientKind::kBool:
      return Say("bool", item.argument, out);
    case LenientKind::kNull:
      out->append("null ");
      return;
    case LenientKind::kFloat:
      return item.head_size == 9 ? Say("float", std::bit_cast<uint64_t>(item.number), out)
                                 : Say("short float", 0, out);
    default:
      out->append("something that strict has no word for ");
  }
}

}  // namespace

std::string Disagreement(Bytes item, bool* compared) {
  const bool accepted = cbor::CheckItem(item).ok();
  if (compared != nullptr) *compared = accepted;
  std::string strict;
  cbor::Reader reader(item);
  const bool read = StrictSays(reader, 0, &strict) && reader.AtEnd();
  if (read != accepted) return "Skip and the single reads judge differently";
  if (!accepted) return "";
  std::string lenient;
  LenientReader opinion(item);
  LenientItem next;
  LenientReader::Result result;
  while ((result = opinion.Next(&next)) == LenientReader::Result::kItem) LenientSays(next, &lenient);
  if (result != LenientReader::Result::kEnd) return "libcbor does not get to the end";
  if (strict != lenient) return "strict: " + strict + "\nlibcbor: " + lenient;
  return "";
}

}  // namespace penstock::test
