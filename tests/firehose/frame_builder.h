#pragma once

// A small vocabulary for frames in tests: items are encoded CBOR, payloads are maps of them that can be bent
// field by field.

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "cbor/cid.h"
#include "cbor/writer.h"

namespace penstock::test {

inline constexpr std::string_view kDid = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
inline constexpr std::string_view kRev = "3mchgnqhak22b";
inline constexpr std::string_view kSince = "3mchglxa6s22b";
inline constexpr std::string_view kTime = "2026-01-15T12:00:00.000Z";

// One encoded item.
using Item = std::string;

inline Item Int(int64_t value) {
  Item out;
  cbor::Writer(&out).Int(value);
  return out;
}
inline Item Text(std::string_view text) {
  Item out;
  cbor::Writer(&out).Text(text);
  return out;
}
inline Item ByteString(std::string_view bytes) {
  Item out;
  cbor::Writer(&out).ByteString(AsBytes(bytes));
  return out;
}
inline Item Bool(bool value) { return value ? "\xf5" : "\xf4"; }
inline Item Null() { return "\xf6"; }
inline Item Float() { return Item("\xfb\x3f\xf8\0\0\0\0\0\0", 9); }  // 1.5

// A blessed CID, told apart by its seed.
inline cbor::Cid CidOf(std::string_view seed) { return cbor::Cid::OfBlock(AsBytes(seed)); }
inline Item Link(std::string_view seed) {
  Item out;
  cbor::Writer(&out).Link(CidOf(seed));
  return out;
}

inline Item Array(const std::vector<Item>& items) {
  Item out;
  cbor::Writer(&out).ArrayHeader(items.size());
  for (const Item& item : items) out += item;
  return out;
}

// A map under construction, written in canonical order.
class Map {
 public:
  Map() = default;
  Map(std::initializer_list<std::pair<const std::string, Item>> fields) : fields_(fields) {}

  Map With(const std::string& key, Item item) const {
    Map map = *this;
    map.fields_[key] = std::move(item);
    return map;
  }
  Map Without(const std::string& key) const {
    Map map = *this;
    map.fields_.erase(key);
    return map;
  }
  Item Encode() const {
    cbor::MapWriter writer;
    for (const auto& [key, item] : fields_) writer.Key(key).Raw(AsBytes(item));
    Item out;
    writer.Finish(&out);
    return out;
  }

 private:
  std::map<std::string, Item> fields_;
};

inline Item Header(std::string_view type) { return Map{{"t", Text(type)}, {"op", Int(1)}}.Encode(); }

// A whole message.
inline std::string Message(std::string_view type, const Map& payload) {
  return Header(type) + payload.Encode();
}

inline Map CreateOp(std::string_view path = "space.atbb.post/3mcjgkfmsr22b") {
  return {{"action", Text("create")}, {"path", Text(path)}, {"cid", Link("record")}};
}
inline Map UpdateOp(std::string_view path = "space.atbb.post/self") {
  return {{"action", Text("update")}, {"path", Text(path)}, {"cid", Link("new")}, {"prev", Link("old")}};
}
inline Map DeleteOp(std::string_view path = "space.atbb.post/gone") {
  return {{"action", Text("delete")}, {"path", Text(path)}, {"cid", Null()}, {"prev", Link("old")}};
}

// Complete payloads, all fields as a current PDS sends them.
inline Map CommitPayload(const std::vector<Item>& ops = {CreateOp().Encode()}) {
  return {{"seq", Int(1000)},      {"rebase", Bool(false)},          {"tooBig", Bool(false)},
          {"repo", Text(kDid)},    {"commit", Link("commit")},       {"rev", Text(kRev)},
          {"since", Text(kSince)}, {"blocks", ByteString("blocks")}, {"ops", Array(ops)},
          {"blobs", Array({})},    {"prevData", Link("data")},       {"time", Text(kTime)}};
}
inline Map SyncPayload() {
  return {{"seq", Int(1001)},
          {"did", Text(kDid)},
          {"blocks", ByteString("blocks")},
          {"rev", Text(kRev)},
          {"time", Text(kTime)}};
}
inline Map IdentityPayload() {
  return {{"seq", Int(1002)}, {"did", Text(kDid)}, {"time", Text(kTime)}, {"handle", Text("alice.test")}};
}
inline Map AccountPayload() {
  return {{"seq", Int(1003)},
          {"did", Text(kDid)},
          {"time", Text(kTime)},
          {"active", Bool(false)},
          {"status", Text("takendown")}};
}
inline Map InfoPayload() { return {{"name", Text("OutdatedCursor")}, {"message", Text("too old")}}; }
inline std::string ErrorMessage() {
  return Map{{"op", Int(-1)}}.Encode() +
         Map{{"error", Text("FutureCursor")}, {"message", Text("Cursor in the future.")}}.Encode();
}

}  // namespace penstock::test
