#include "tests/cbor/random_item.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <set>

namespace penstock::test {

uint64_t SeedOfThisRun() {
  const char* set = std::getenv("PENSTOCK_SEED");
  return set != nullptr && *set != '\0' ? std::strtoull(set, nullptr, 10) : std::random_device{}();
}

std::string RandomItem::Make(bool drisl) {
  std::string out;
  Append(0, drisl, &out);
  return out;
}

// Small numbers and those beside a power of two, where heads change their length.
uint64_t RandomItem::Number() {
  if (Below(2) == 0) return Below(30);
  const uint64_t power = uint64_t{1} << Below(64);
  return power - 1 + Below(3);
}

std::string RandomItem::Text(size_t max_characters) {
  static constexpr std::string_view kCharacters[] = {"a",       "b",    "z", "\"", "\\", "\n",
                                                     {"\0", 1}, "\x7f", "é", "⽘", "😀"};
  std::string text;
  for (uint64_t n = Below(max_characters + 1); n > 0; --n) text += kCharacters[Below(std::size(kCharacters))];
  return text;
}

void RandomItem::Append(uint32_t depth, bool drisl, std::string* out) {
  cbor::Writer writer(out);
  switch (Below(depth < 8 ? 12 : 8)) {
    case 0:
    case 1: {
      const cbor::Integer integer{Below(2) == 1, Number()};
      int64_t value;
      if (!drisl && !integer.ToInt64(&value)) return writer.Int(0);
      return writer.Integer(integer);
    }
    case 2:
      return writer.Text(Text(40));
    case 3:
      return writer.ByteString(AsBytes(Text(40)));
    case 4:
      return writer.Bool(Below(2) == 1);
    case 5:
      return writer.Null();
    case 6: {
      const double value = std::bit_cast<double>(random_());
      if (!drisl || !writer.Float(value)) writer.Int(1);
      return;
    }
    case 7:
      return writer.Link(
          cbor::Cid::OfBlock(AsBytes(Text(3)), Below(2) == 0 ? cbor::kCodecRaw : cbor::kCodecDagCbor));
    case 8:
    case 9: {
      const uint64_t count = Below(Below(20) == 0 ? 300 : 5);
      writer.ArrayHeader(count);
      for (uint64_t i = 0; i < count; ++i) Append(depth + 1 + (count > 5 ? 8 : 0), drisl, out);
      return;
    }
    default: {
      std::set<std::string> keys;
      for (uint64_t n = Below(Below(20) == 0 ? 100 : 6); n > 0; --n) keys.insert(Text(n > 6 ? 8 : 2));
      cbor::MapWriter map;
      for (const std::string& key : keys) {
        std::string value;
        Append(depth + 1 + (keys.size() > 6 ? 8 : 0), drisl, &value);
        map.Key(key).Raw(AsBytes(value));
      }
      return map.Finish(out);
    }
  }
}

bool CopyItem(cbor::Reader& reader, std::string* out) {
  cbor::Writer writer(out);
  switch (reader.Peek()) {
    case cbor::Kind::kUint:
    case cbor::Kind::kNegative: {
      cbor::Integer value;
      if (!reader.ReadInteger(&value)) return false;
      writer.Integer(value);
      return true;
    }
    case cbor::Kind::kBytes: {
      Bytes value;
      if (!reader.ReadBytes(&value)) return false;
      writer.ByteString(value);
      return true;
    }
    case cbor::Kind::kText: {
      std::string_view value;
      if (!reader.ReadText(&value)) return false;
      writer.Text(value);
      return true;
    }
    case cbor::Kind::kArray: {
      uint64_t count;
      if (!reader.ReadArrayHeader(&count)) return false;
      writer.ArrayHeader(count);
      for (; count > 0; --count) {
        if (!CopyItem(reader, out)) return false;
      }
      return true;
    }
    case cbor::Kind::kMap: {
      cbor::MapCursor map;
      if (!reader.BeginMap(&map)) return false;
      writer.MapHeader(map.remaining);
      std::string_view key;
      while (reader.NextKey(&map, &key)) {
        writer.Text(key);
        if (!CopyItem(reader, out)) return false;
      }
      return reader.ok();
    }
    case cbor::Kind::kLink: {
      cbor::CidView value;
      if (!reader.ReadLink(&value)) return false;
      writer.Link(value);
      return true;
    }
    case cbor::Kind::kBool: {
      bool value;
      if (!reader.ReadBool(&value)) return false;
      writer.Bool(value);
      return true;
    }
    case cbor::Kind::kNull:
      if (!reader.ReadNull()) return false;
      writer.Null();
      return true;
    case cbor::Kind::kFloat: {
      double value;
      return reader.ReadFloat(&value) && writer.Float(value);
    }
    default:
      return reader.Skip();  // fails with the reason
  }
}

}  // namespace penstock::test
