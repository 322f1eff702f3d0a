#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace penstock::cbor {

// True if `bytes` are well-formed UTF-8 (Unicode table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF).
bool IsValidUtf8(Bytes bytes);

}  // namespace penstock::cbor
