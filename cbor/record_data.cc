#include "cbor/record_data.h"

#include <cstring>
#include <string>

#include "base/status.h"

namespace penstock::cbor {
namespace {

bool HasNul(std::string_view text) { return std::memchr(text.data(), '\0', text.size()) != nullptr; }

// Walks one record. The first failure stays in the reader.
class RecordWalk {
 public:
  explicit RecordWalk(Bytes block) : reader_(block) {}

  bool Data() {
    if (reader_.Peek() != Kind::kMap) {
      return reader_.Skip() &&
             reader_.Fail(Reject::kRecordNotAMap, 0);  // what is not even CBOR is refused as that
    }
    return Map(/*depth=*/0, &report_.type) && (reader_.AtEnd() || reader_.Fail(Reject::kCborTrailingBytes));
  }

  bool Record(std::string_view collection) {
    if (!Data()) return false;
    if (report_.type.empty()) return reader_.Fail(Reject::kRecordBadType, 0);
    if (!collection.empty() && report_.type != collection)
      return reader_.Fail(Reject::kRecordTypeMismatch, 0);
    return true;
  }

  const RecordReport& report() const { return report_; }
  absl::Status status() const { return reader_.status(); }

 private:
  // What was met of a map's well-known keys.
  struct BlobFields {
    bool ref = false, mime_type = false, size = false;
    bool all() const { return ref && mime_type && size; }
  };

  // `depth` counts the containers around the item.
  bool Item(uint32_t depth) {
    switch (reader_.Peek()) {
      case Kind::kText: {
        std::string_view text;
        return Text(&text);
      }
      case Kind::kUint:
      case Kind::kNegative: {
        int64_t value;
        return Int(&value);
      }
      case Kind::kArray:
        return Array(depth);
      case Kind::kMap: {
        std::string_view type;
        return Map(depth, &type);
      }
      case Kind::kFloat: {
        const size_t at = reader_.offset();
        double value;
        return reader_.ReadFloat(&value) && reader_.Fail(Reject::kRecordFloat, at);
      }
      case Kind::kLink: {
        CidView cid;
        return Link(&cid);
      }
      default:
        return reader_.Skip();  // bytes, booleans, null; and what is no CBOR
    }
  }

  bool Text(std::string_view* text) {
    if (!reader_.ReadText(text)) return false;
    report_.has_nul |= HasNul(*text);
    return true;
  }

  bool Int(int64_t* value) {
    const size_t at = reader_.offset();
    Integer integer;
    if (!reader_.ReadInteger(&integer)) return false;
    return integer.ToInt64(value) || reader_.Fail(Reject::kRecordIntegerRange, at);
  }

  bool Link(CidView* cid) {
    const size_t at = reader_.offset();
    return reader_.ReadLink(cid) && (cid->IsDataOrRaw() || reader_.Fail(Reject::kCidUnsupported, at));
  }

  bool Array(uint32_t depth) {
    if (depth == kMaxRecordDepth) return reader_.Fail(Reject::kRecordTooDeep);
    uint64_t count;
    if (!reader_.ReadArrayHeader(&count)) return false;
    for (; count > 0; --count) {
      if (!Item(depth + 1)) return false;
    }
    return true;
  }

  // `*type` gets the map's $type, or stays empty without one.
  bool Map(uint32_t depth, std::string_view* type) {
    if (depth == kMaxRecordDepth) return reader_.Fail(Reject::kRecordTooDeep);
    const size_t at = reader_.offset();
    MapCursor map;
    if (!reader_.BeginMap(&map)) return false;
    BlobFields blob;
    std::string_view key;
    while (reader_.NextKey(&map, &key)) {
      report_.empty_key |= key.empty();
      report_.has_nul |= HasNul(key);
      if (!Value(key, depth + 1, type, &blob)) return false;
    }
    if (!reader_.ok()) return false;
    if (*type == "blob" && !blob.all()) return reader_.Fail(Reject::kRecordBadBlob, at);
    return true;
  }

  // The value of `key`. Whether a map is a blob is only known once its $type has passed, and `ref` and `size`
  // sort before that, so their fitness is noted for every map.
  bool Value(std::string_view key, uint32_t depth, std::string_view* type, BlobFields* blob) {
    const Kind kind = reader_.Peek();
    if (key == "$type") {
      const size_t at = reader_.offset();
      if (kind != Kind::kText) return reader_.Skip() && reader_.Fail(Reject::kRecordBadType, at);
      return Text(type) && (!type->empty() || reader_.Fail(Reject::kRecordBadType, at));
    }
    if (key == "ref" && kind == Kind::kLink) {
      // Blobs are raw bytes, and should be linked to as such. The interop vectors and other implementations take a
      // link to dag-cbor all the same, so a record with one is no worse for it.
      CidView cid;
      blob->ref = true;
      return Link(&cid);
    }
    if (key == "size" && (kind == Kind::kUint || kind == Kind::kNegative)) {
      int64_t size;
      if (!Int(&size)) return false;
      blob->size = size >= 0;
      return true;
    }
    if (key == "mimeType" && kind == Kind::kText) {
      std::string_view mime_type;
      if (!Text(&mime_type)) return false;
      blob->mime_type = !mime_type.empty();
      return true;
    }
    return Item(depth);
  }

  Reader reader_;
  RecordReport report_;
};

}  // namespace

absl::Status CheckRecord(Bytes block, std::string_view collection, RecordReport* report, size_t max_bytes) {
  if (block.size() > max_bytes) {
    return RejectError(Reject::kRecordTooLarge, std::to_string(block.size()) + " bytes");
  }
  RecordWalk walk(block);
  if (!walk.Record(collection)) return walk.status();
  if (report != nullptr) *report = walk.report();
  return absl::OkStatus();
}

absl::Status CheckData(Bytes item, RecordReport* report) {
  RecordWalk walk(item);
  if (!walk.Data()) return walk.status();
  if (report != nullptr) *report = walk.report();
  return absl::OkStatus();
}

}  // namespace penstock::cbor
