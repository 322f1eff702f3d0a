#include "car/writer.h"

#include <cstdint>

#include "cbor/writer.h"

namespace penstock::car {
namespace {

void AppendVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(0x80 | (value & 0x7f)));
  out->push_back(static_cast<char>(value));
}

}  // namespace

void Writer::Header(std::span<const cbor::Cid> roots) {
  std::string header;
  cbor::Writer writer(&header);
  writer.MapHeader(2);
  writer.Text("roots");
  writer.ArrayHeader(roots.size());
  for (const cbor::Cid& root : roots) writer.Link(root);
  writer.Text("version");
  writer.Int(1);
  AppendVarint(header.size(), out_);
  out_->append(header);
}

void Writer::Block(const cbor::CidView& cid, Bytes data) {
  AppendVarint(cid.bytes().size() + data.size(), out_);
  out_->append(AsText(cid.bytes()));
  out_->append(AsText(data));
}

}  // namespace penstock::car
