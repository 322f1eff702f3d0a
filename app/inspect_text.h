#pragma once

// The words that the inspections share.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "cbor/cid.h"

namespace penstock::app {

// "name       value", a line.
void Line(std::string* out, std::string_view name, std::string_view value);

// "-" for an empty one.
std::string CidText(const cbor::CidView& cid);

// `text`, which may be any bytes of a stranger's, without what a terminal would take for a command: everything that is not
// printable ASCII as \xNN, and \ as \\.
std::string Printable(std::string_view text);

// "2025-09-01T08:00:39Z" of microseconds since the epoch.
std::string TimeText(int64_t micros);

// Says why, and what lenient CBOR is in `bytes` when that can be told. `sequence`: several items, as in a frame. Always false.
bool Refused(const absl::Status& status, Bytes bytes, std::string* out, bool sequence = false);

}  // namespace penstock::app
