#pragma once

// Small words for tests that make CARs, good and bad.

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "car/writer.h"
#include "cbor/cid.h"

namespace penstock::test {

// "ok", or the name of the Reject: right for the wrong reason is wrong.
inline std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const std::optional<Reject> reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : std::string(Message(status));
}

inline cbor::Cid CidOf(std::string_view block) { return cbor::Cid::OfBlock(AsBytes(block)); }

// `length` as a varint, then `rest` as it is.
inline std::string Section(uint64_t length, std::string_view rest) {
  std::string out;
  for (; length >= 0x80; length >>= 7) out.push_back(static_cast<char>(0x80 | (length & 0x7f)));
  out.push_back(static_cast<char>(length));
  return out.append(rest);
}

// A section of exactly `bytes`.
inline std::string Section(std::string_view bytes) { return Section(bytes.size(), bytes); }

inline std::string BlockSection(const cbor::Cid& cid, std::string_view data) {
  return Section(std::string(AsText(cid.bytes())).append(data));
}

inline std::string CarHeader(const std::vector<cbor::Cid>& roots) {
  std::string out;
  car::Writer(&out).Header(roots);
  return out;
}

// A CAR of `blocks`, each under its own CID; the first one is the root.
inline std::string CarOf(std::initializer_list<std::string_view> blocks) {
  std::string out;
  car::Writer writer(&out);
  writer.Header(std::vector<cbor::Cid>{CidOf(*blocks.begin())});
  for (const std::string_view block : blocks) writer.Block(CidOf(block).view(), AsBytes(block));
  return out;
}

}  // namespace penstock::test
