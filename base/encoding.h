#pragma once

// Text forms of bytes: hex, base32 (RFC 4648 lower case, no padding: CIDs), base58btc (keys), base64 in both alphabets.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace penstock {

std::string ToHex(Bytes bytes);
// Accepts both cases; nullopt on an odd length or another character.
std::optional<std::vector<uint8_t>> FromHex(std::string_view text);

// Appends, so that hot paths can reuse one buffer.
void AppendBase32(Bytes bytes, std::string* out);
std::string ToBase32(Bytes bytes);
// Strict: lower case only, a possible length, zero padding bits. Nullopt otherwise.
std::optional<std::vector<uint8_t>> FromBase32(std::string_view text);

// The alphabet of Bitcoin; each leading zero byte is a '1'. Work grows with the square of the length: bound it first.
std::string ToBase58(Bytes bytes);
// Nullopt on another character.
std::optional<std::vector<uint8_t>> FromBase58(std::string_view text);

// Without `=` padding, as atproto JSON writes $bytes.
void AppendBase64(Bytes bytes, std::string* out);
std::string ToBase64(Bytes bytes);
// As atproto JSON reads $bytes (protocol 7.2): padding optional (but right when there), leftover bits ignored.
std::optional<std::vector<uint8_t>> FromBase64(std::string_view text);

// The URL-safe alphabet (RFC 4648 section 5), without padding: signatures of did:plc operations.
std::string ToBase64Url(Bytes bytes);
// Strict: no padding characters, a possible length, zero padding bits. Nullopt otherwise.
std::optional<std::vector<uint8_t>> FromBase64Url(std::string_view text);

}  // namespace penstock
