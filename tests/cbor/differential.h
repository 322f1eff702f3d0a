#pragma once

// Our strict reader against libcbor's decoder, which shares no code with it.

#include <string>

#include "base/bytes.h"

namespace penstock::test {

// What the two disagree on for `item`, in words; empty when they do not. Where strict accepts, libcbor must
// find the same heads, values and contents in the same order, and end at the same byte. What strict refuses
// is not compared: that is what strict is for. `*compared`, when given, tells whether there was something to
// compare.
std::string Disagreement(Bytes item, bool* compared = nullptr);

}  // namespace penstock::test
