#include "repo/mst_node.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/status.h"
#include "cbor/reader.h"
#include "cbor/writer.h"
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

void WriteSubtree(cbor::Writer& writer, const cbor::CidView& cid) {
  if (cid.empty()) {
    writer.Null();
  } else {
    writer.Link(cid);
  }
}

void WriteEntry(cbor::Writer& writer, const MstEntry& entry) {
  writer.MapHeader(4);
  writer.Text("k");
  writer.ByteString(AsBytes(entry.suffix));
  writer.Text("p");
  writer.Integer(cbor::Integer{false, entry.prefix});
  writer.Text("t");
  WriteSubtree(writer, entry.right);
  writer.Text("v");
  writer.Link(entry.value);
}

void WriteNodeStart(cbor::Writer& writer, size_t entries) {
  writer.MapHeader(2);
  writer.Text("e");
  writer.ArrayHeader(entries);
}

void WriteNodeEnd(cbor::Writer& writer, const cbor::CidView& left) {
  writer.Text("l");
  WriteSubtree(writer, left);
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

void EncodeMstNode(const cbor::CidView& left, std::span<const MstKeyEntry> entries, std::string* out) {
  cbor::Writer writer(out);
  WriteNodeStart(writer, entries.size());
  std::string_view last;
  for (const MstKeyEntry& entry : entries) {
    const auto differ = std::mismatch(last.begin(), last.end(), entry.key.begin(), entry.key.end());
    const size_t shared = static_cast<size_t>(differ.first - last.begin());
    WriteEntry(writer, MstEntry{shared, entry.key.substr(shared), entry.value, entry.right});
    last = entry.key;
  }
  WriteNodeEnd(writer, left);
}

void EncodeMstNode(const MstNode& node, std::string* out) {
  cbor::Writer writer(out);
  WriteNodeStart(writer, node.entries.size());
  for (const MstEntry& entry : node.entries) WriteEntry(writer, entry);
  WriteNodeEnd(writer, node.left);
}

}  // namespace penstock::repo
