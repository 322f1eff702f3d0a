#include "repo/mst_node.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/status.h"
#include "cbor/reader.h"
#include "crypto/sha256.h"

namespace penstock::repo {
namespace {

// The next key is `name`. Keys come in one order only, and none is optional, so a node is read as a sequence:
// who compares with the names in their order need not compare the keys with each other.
bool ExpectKey(cbor::Reader& reader, char name) {
  std::string_view key;
  if (!reader.ReadText(&key)) return false;
  return (key.size() == 1 && key.front() == name) || reader.Fail(Reject::kMstBadNode);
}

// A link to a subtree, or null: then `*cid` is empty.
bool ReadSubtree(cbor::Reader& reader, cbor::CidView* cid) {
  *cid = cbor::CidView();
  if (reader.Peek() == cbor::Kind::kNull) return reader.ReadNull();
  if (!reader.ReadLink(cid)) return false;
  return cid->IsBlessedData() || reader.Fail(Reject::kMstBadLink);
}

bool BeginFixedMap(cbor::Reader& reader, uint64_t pairs) {
  cbor::MapCursor map;
  if (!reader.BeginMap(&map)) return false;
  return map.remaining == pairs || reader.Fail(Reject::kMstBadNode);
}

bool ReadEntry(cbor::Reader& reader, MstEntry* entry) {
  Bytes suffix;
  cbor::Integer prefix;
  if (!BeginFixedMap(reader, 4)) return false;
  if (!ExpectKey(reader, 'k') || !reader.ReadBytes(&suffix)) return false;
  if (!ExpectKey(reader, 'p') || !reader.ReadInteger(&prefix)) return false;
  if (prefix.negative) return reader.Fail(Reject::kMstBadNode);
  if (!ExpectKey(reader, 't') || !ReadSubtree(reader, &entry->right)) return false;
  if (!ExpectKey(reader, 'v') || !reader.ReadLink(&entry->value)) return false;
  entry->prefix = prefix.value;
  entry->suffix = AsText(suffix);
  return true;
}

bool ReadNode(cbor::Reader& reader, cbor::CidView* left, std::vector<MstEntry>* entries) {
  uint64_t count;
  if (!BeginFixedMap(reader, 2)) return false;
  if (!ExpectKey(reader, 'e') || !reader.ReadArrayHeader(&count)) return false;
  // Not reserved by `count`: memory follows the bytes that are really there.
  for (uint64_t i = 0; i < count; ++i) {
    MstEntry entry;
    if (!ReadEntry(reader, &entry)) return false;
    entries->push_back(entry);
  }
  if (!ExpectKey(reader, 'l') || !ReadSubtree(reader, left)) return false;
  return reader.AtEnd() || reader.Fail(Reject::kCborTrailingBytes);
}

// Takes `size` bytes off `*rest` if they are `expected`.
template <size_t size>
bool TakeLiteral(Bytes* rest, const uint8_t (&expected)[size]) {
  if (rest->size() < size || std::memcmp(rest->data(), expected, size) != 0) return false;
  *rest = rest->subspan(size);
  return true;
}

// A head of major type `major` whose argument is below 256, in its shortest form.
bool TakeShortHead(Bytes* rest, uint8_t major, size_t* argument) {
  if (rest->size() < 2) return false;
  const size_t info = (*rest)[0] ^ (major << 5);
  if (info < 24) {
    *argument = info;
    *rest = rest->subspan(1);
    return true;
  }
  if (info != 24 || (*rest)[1] < 24) return false;
  *argument = (*rest)[1];
  *rest = rest->subspan(2);
  return true;
}

bool TakeUsualLink(Bytes* rest, cbor::CidView* cid) {
  if (!TakeLiteral(rest, {0xd8, 0x2a, 0x58, 0x25, 0x00})) return false;
  if (rest->size() < cbor::kBlessedCidSize) return false;
  if (!cbor::CidView::ParseBlessed(rest->data(), cid) || !cid->IsBlessedData()) return false;
  *rest = rest->subspan(cbor::kBlessedCidSize);
  return true;
}

bool TakeUsualSubtree(Bytes* rest, cbor::CidView* cid) {
  if (TakeLiteral(rest, {0xf6})) {
    *cid = cbor::CidView();
    return true;
  }
  return TakeUsualLink(rest, cid);
}

// The node as practically all are, matched by its fixed bytes: a third of the time that the reader takes, and
// a frame of the network has dozens of entries. False for any other node, good or bad: then ReadNode decides,
// so that there is one place that knows why a node is refused.
bool TakeUsualNode(Bytes rest, cbor::CidView* left, std::vector<MstEntry>* entries) {
  size_t count;
  if (!TakeLiteral(&rest, {0xa2, 0x61, 'e'}) || !TakeShortHead(&rest, 4, &count)) return false;
  for (size_t i = 0; i < count; ++i) {
    MstEntry& entry = entries->emplace_back();
    size_t size, prefix;
    if (!TakeLiteral(&rest, {0xa4, 0x61, 'k'}) || !TakeShortHead(&rest, 2, &size)) return false;
    if (size > rest.size()) return false;
    entry.suffix = AsText(rest.first(size));
    rest = rest.subspan(size);
    if (!TakeLiteral(&rest, {0x61, 'p'}) || !TakeShortHead(&rest, 0, &prefix)) return false;
    entry.prefix = prefix;
    if (!TakeLiteral(&rest, {0x61, 't'}) || !TakeUsualSubtree(&rest, &entry.right)) return false;
    if (!TakeLiteral(&rest, {0x61, 'v'}) || !TakeUsualLink(&rest, &entry.value)) return false;
  }
  return TakeLiteral(&rest, {0x61, 'l'}) && TakeUsualSubtree(&rest, left) && rest.empty();
}

// Writes a head of CBOR at `*at` and moves it on.
void PutHead(uint8_t major, uint64_t argument, char** at) {
  const uint8_t type = static_cast<uint8_t>(major << 5);
  if (argument < 24) {
    *(*at)++ = static_cast<char>(type | argument);
    return;
  }
  const int width = argument <= 0xff ? 0 : argument <= 0xffff ? 1 : argument <= 0xffffffff ? 2 : 3;
  *(*at)++ = static_cast<char>(type | (24 + width));
  for (int shift = 8 * ((1 << width) - 1); shift >= 0; shift -= 8) {
    *(*at)++ = static_cast<char>(argument >> shift);
  }
}

template <size_t size>
void PutLiteral(const char (&text)[size], char** at) {
  std::memcpy(*at, text, size - 1);
  *at += size - 1;
}

constexpr size_t kMaxHead = 9;
constexpr size_t kMaxLink = 2 + kMaxHead + 1 + cbor::kMaxCidSize;

// A link, or null for an empty CID.
void PutLink(const cbor::CidView& cid, char** at) {
  if (cid.empty()) {
    PutLiteral("\xf6", at);
    return;
  }
  const Bytes bytes = cid.bytes();
  PutLiteral("\xd8\x2a", at);
  PutHead(2, bytes.size() + 1, at);
  *(*at)++ = '\0';
  std::memcpy(*at, bytes.data(), bytes.size());
  *at += bytes.size();
}

}  // namespace

int KeyHeight(std::string_view key) {
  const crypto::Sha256Digest digest = crypto::Sha256(AsBytes(key));
  int bits = 0;
  for (const uint8_t byte : digest) {
    bits += std::countl_zero(byte);
    if (byte != 0) break;
  }
  return bits / 2;
}

absl::Status DecodeMstNode(Bytes block, cbor::CidView* left, std::vector<MstEntry>* entries) {
  const size_t before = entries->size();
  if (TakeUsualNode(block, left, entries)) return absl::OkStatus();
  entries->resize(before);  // what the attempt has left
  cbor::Reader reader(block);
  if (ReadNode(reader, left, entries)) return absl::OkStatus();
  // A field of another type is not a fault of the encoding: it makes this item no node.
  if (reader.error() == Reject::kCborUnexpectedType) {
    return RejectError(Reject::kMstBadNode, "wrong type " + std::string(Message(reader.status())));
  }
  return reader.status();
}

absl::Status MstNode::Decode(Bytes block) {
  entries.clear();
  return DecodeMstNode(block, &left, &entries);
}

size_t CommonPrefix(std::string_view a, std::string_view b) {
  const size_t size = std::min(a.size(), b.size());
  size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    uint64_t x, y;
    std::memcpy(&x, a.data() + at, 8);
    std::memcpy(&y, b.data() + at, 8);
    if (x != y) break;
  }
  while (at < size && a[at] == b[at]) ++at;
  return at;
}

void AppendMstEntryKey(uint64_t prefix, std::string_view suffix, std::string* block) {
  char before[3 + kMaxHead];
  char* at = before;
  PutLiteral("\xa4\x61k", &at);
  PutHead(2, suffix.size(), &at);
  block->append(before, at);
  block->append(suffix);
  char after[2 + kMaxHead];
  at = after;
  PutLiteral("\x61p", &at);
  PutHead(0, prefix, &at);
  block->append(after, at);
}

void AppendMstEntryLinks(const cbor::CidView& right, const cbor::CidView& value, std::string* block) {
  char links[4 + 2 * kMaxLink];
  char* at = links;
  PutLiteral("\x61t", &at);
  PutLink(right, &at);
  PutLiteral("\x61v", &at);
  PutLink(value, &at);
  block->append(links, at);
}

void AppendMstNodeEnd(const cbor::CidView& left, std::string* block) {
  char end[2 + kMaxLink];
  char* at = end;
  PutLiteral("\x61l", &at);
  PutLink(left, &at);
  block->append(end, at);
}

Bytes PutMstNodeHead(uint64_t entries, std::string* block) {
  char head[3 + kMaxHead];
  static_assert(sizeof head == kMstHeadRoom);
  char* at = head;
  PutLiteral(
      "\xa2\x61"
      "e",
      &at);
  PutHead(4, entries, &at);
  const size_t size = static_cast<size_t>(at - head);
  std::memcpy(block->data() + kMstHeadRoom - size, head, size);
  return AsBytes(*block).subspan(kMstHeadRoom - size);
}

void EncodeMstNode(const cbor::CidView& left, std::span<const MstKeyEntry> entries, std::string* out) {
  std::string block(kMstHeadRoom, '\0');
  std::string_view last;
  for (const MstKeyEntry& entry : entries) {
    const size_t shared = CommonPrefix(last, entry.key);
    AppendMstEntryKey(shared, entry.key.substr(shared), &block);
    AppendMstEntryLinks(entry.right, entry.value, &block);
    last = entry.key;
  }
  AppendMstNodeEnd(left, &block);
  out->append(AsText(PutMstNodeHead(entries.size(), &block)));
}

void EncodeMstNode(const MstNode& node, std::string* out) {
  std::string block(kMstHeadRoom, '\0');
  for (const MstEntry& entry : node.entries) {
    AppendMstEntryKey(entry.prefix, entry.suffix, &block);
    AppendMstEntryLinks(entry.right, entry.value, &block);
  }
  AppendMstNodeEnd(node.left, &block);
  out->append(AsText(PutMstNodeHead(node.entries.size(), &block)));
}

}  // namespace penstock::repo
