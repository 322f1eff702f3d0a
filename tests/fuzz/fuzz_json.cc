// JSON out and in. The input is tried as CBOR: what comes out as JSON must come back byte for byte. And as
// JSON: what is accepted must be one strict item, and the same item again after another round.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "cbor/json_in.h"
#include "cbor/json_out.h"
#include "cbor/reader.h"
#include "cbor/record_data.h"
#include "cbor/second_opinion.h"

namespace {

using penstock::AsBytes;
using penstock::Bytes;
namespace cbor = penstock::cbor;

void Require(bool truth, const char* what, std::string_view json = {}) {
  if (truth) return;
  std::fprintf(stderr, "%s\n%s\n", what, std::string(json).c_str());
  std::abort();
}

// True if a map of the item may have a key that JSON takes for a link or bytes (cbor/json_out.h says why that
// is lost).
bool MayHoldReservedKey(Bytes item) {
  cbor::LenientReader reader(item);
  cbor::LenientItem head;
  while (reader.Next(&head) == cbor::LenientReader::Result::kItem) {
    const std::string_view text = penstock::AsText(head.content);
    if (head.kind == cbor::LenientKind::kText && (text == "$link" || text == "$bytes")) return true;
  }
  return false;
}

void RequireRoundTrip(Bytes item) {
  std::string json;
  Require(cbor::AppendJson(item, {}, &json).ok(), "a good item has no JSON");
  const auto back = cbor::JsonToCbor(json, {}, cbor::DataModel::kDrisl);
  Require(back.ok(), "our JSON does not read back", json);
  Require(penstock::Equal(AsBytes(*back), item), "our JSON reads back as another item", json);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  const bool is_item = cbor::CheckItem(input).ok();
  std::string json = "kept";
  bool lossy = false;
  Require(cbor::AppendJson(input, {.replace_nul = true}, &json, &lossy).ok() == is_item,
          "reader and JSON disagree");
  Require(json.starts_with("kept"), "the buffer's text is gone");
  if (!is_item) Require(json == "kept", "a refused item left something behind");
  // A backslash of the text is escaped itself, so this can only be an escaped U+0000 when there was none.
  const bool has_backslash = penstock::AsText(input).find('\\') != std::string_view::npos;
  Require(has_backslash || json.find("\\u0000") == std::string::npos, "U+0000 was not replaced", json);
  if (is_item && !MayHoldReservedKey(input)) RequireRoundTrip(input);

  const std::string_view text = penstock::AsText(input);
  if (const auto item = cbor::JsonToCbor(text, {}, cbor::DataModel::kDrisl); item.ok()) {
    Require(cbor::CheckItem(AsBytes(*item)).ok(), "JSON became something that is no strict item", text);
    RequireRoundTrip(AsBytes(*item));
  }
  if (const auto item = cbor::JsonToCbor(text); item.ok()) {
    Require(cbor::CheckData(AsBytes(*item), nullptr).ok(), "JSON became something that is no atproto data",
            text);
    RequireRoundTrip(AsBytes(*item));
  }
  return 0;
}
