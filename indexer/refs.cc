#include "indexer/refs.h"

#include <charconv>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "crypto/sha256.h"
#include "repo/syntax.h"

namespace penstock::indexer {
namespace {

// The path of keys that leads to the value being read; grows and shrinks with the walk. Fixed in size, on the
// stack.
class Path {
 public:
  struct Mark {
    size_t size;
    bool cut;
  };

  Mark mark() const { return {size_, cut_}; }
  void Leave(Mark mark) {
    size_ = mark.size;
    cut_ = mark.cut;
  }

  void Enter(std::string_view key, bool top_level) {
    if (!top_level) Append(".");
    Append(key);
  }
  void Enter(uint64_t index) {
    char text[24] = {'['};  // 20 digits at most
    char* end = std::to_chars(text + 1, text + sizeof text - 1, index).ptr;
    *end++ = ']';
    Append(std::string_view(text, static_cast<size_t>(end - text)));
  }

  std::string_view text() const { return std::string_view(text_, size_); }

 private:
  // Once cut, nothing more is appended: a path with a hole would name another place.
  void Append(std::string_view part) {
    if (cut_) return;
    if (part.size() > sizeof text_ - size_) {
      cut_ = true;
      size_t room = sizeof text_ - size_;
      while (room > 0 && (static_cast<uint8_t>(part[room]) & 0xc0) == 0x80) --room;  // not within a character
      part = part.substr(0, room);
    }
    std::memcpy(text_ + size_, part.data(), part.size());
    size_ += part.size();
  }

  char text_[kMaxRefPathBytes];
  size_t size_ = 0;
  bool cut_ = false;
};

class Walk {
 public:
  Walk(Bytes record, Arena* arena, std::vector<RefRow>* refs)
      : reader_(record), arena_(arena), refs_(refs), limit_(refs->size() + kMaxRefs) {}

  // The record was checked before, so reads do not fail; if one does, the walk ends there. `depth` counts the
  // containers around the value.
  void Value(uint32_t depth) {
    switch (reader_.Peek()) {
      case cbor::Kind::kText: {
        std::string_view text;
        if (reader_.ReadText(&text)) Text(text, {});
        return;
      }
      case cbor::Kind::kArray:
        if (depth < cbor::kMaxRecordDepth) return Array(depth);
        break;
      case cbor::Kind::kMap:
        if (depth < cbor::kMaxRecordDepth) return Map(depth);
        break;
      default:
        break;
    }
    (void)reader_.Skip();
  }

  bool complete() const { return complete_; }

 private:
  void Array(uint32_t depth) {
    uint64_t count;
    if (!reader_.ReadArrayHeader(&count)) return;
    const Path::Mark here = path_.mark();
    for (uint64_t i = 0; i < count && reader_.ok(); ++i) {
      path_.Enter(i);
      Value(depth + 1);
      path_.Leave(here);
    }
  }

  void Map(uint32_t depth) {
    cbor::MapCursor map;
    if (!reader_.BeginMap(&map)) return;
    const Path::Mark here = path_.mark();
    // `cid` sorts before `uri` (same length, byte order), so a strong reference is known when its `uri`
    // comes.
    std::string_view key, cid;
    while (reader_.NextKey(&map, &key)) {
      const bool is_text = reader_.Peek() == cbor::Kind::kText;
      if (is_text && key == "uri" && !cid.empty()) {
        std::string_view uri;
        if (reader_.ReadText(&uri)) Text(uri, cid);
      } else if (is_text && key == "cid") {
        (void)reader_.ReadText(&cid);
      } else {
        path_.Enter(key, /*top_level=*/depth == 0);
        Value(depth + 1);
        path_.Leave(here);
      }
    }
  }

  // A row for `text`, if it is a reference.
  void Text(std::string_view text, std::string_view cid) {
    std::string_view did, collection;
    if (text.starts_with("at://")) {
      const std::optional<repo::AtUri> uri = repo::AtUri::Parse(text);
      if (!uri) return;
      if (uri->authority().starts_with("did:")) did = uri->authority();
      collection = uri->collection();
    } else if (text.starts_with("did:") && repo::Did::Parse(text)) {
      did = text;
    } else {
      return;
    }
    if (refs_->size() == limit_) {
      complete_ = false;
      return;
    }
    RefRow& row = refs_->emplace_back();
    row.path = arena_->Copy(path_.text());
    row.target_uri = arena_->Copy(text);
    row.target_cid = arena_->Copy(cid);
    // Parts of the text: the same parts of its copy.
    const auto in_copy = [&](std::string_view part) {
      if (part.empty()) return part;
      return row.target_uri.substr(static_cast<size_t>(part.data() - text.data()), part.size());
    };
    row.target_did = in_copy(did);
    row.target_collection = in_copy(collection);
    row.target_hash = TargetHash(text);
  }

  cbor::Reader reader_;
  Arena* const arena_;
  std::vector<RefRow>* const refs_;
  const size_t limit_;
  Path path_;
  bool complete_ = true;
};

}  // namespace

int64_t TargetHash(std::string_view target_uri) {
  const crypto::Sha256Digest digest = crypto::Sha256(AsBytes(target_uri));
  uint64_t hash = 0;
  for (size_t i = 0; i < sizeof hash; ++i) hash = hash << 8 | digest[i];
  return static_cast<int64_t>(hash);
}

bool FindRefs(Bytes record, Arena* arena, std::vector<RefRow>* refs) {
  Walk walk(record, arena, refs);
  walk.Value(0);
  return walk.complete();
}

}  // namespace penstock::indexer
