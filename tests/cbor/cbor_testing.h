#pragma once

// The vocabulary of the cbor tests.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/encoding.h"
#include "base/status.h"

namespace penstock::test {

// Bytes from hex; blanks may group them. A typing error in a test ends it.
inline std::vector<uint8_t> Hex(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (c != ' ' && c != '\n') digits.push_back(c);
  }
  auto bytes = FromHex(digits);
  if (!bytes) std::abort();
  return *std::move(bytes);
}

// "ok", the name of the Reject, or the status in words: what tests compare, so that right for the wrong
// reason is wrong.
inline std::string Outcome(const absl::Status& status) {
  if (status.ok()) return "ok";
  const auto reject = RejectOf(status);
  return reject ? std::string(RejectName(*reject)) : status.ToString();
}

// The 36 bytes of a blessed CID, in hex, with a digest that needs no hashing.
inline constexpr char kDataCidHex[] =
    "01711220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
inline constexpr char kRawCidHex[] =
    "01551220 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

// The same as an item: tag 42 around 00 || CID.
inline std::string DataLinkHex() { return std::string("d82a582500") + kDataCidHex; }
inline std::string RawLinkHex() { return std::string("d82a582500") + kRawCidHex; }

}  // namespace penstock::test
