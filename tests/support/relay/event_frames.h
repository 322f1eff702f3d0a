#pragma once

// Small events for tests of the stream itself, whose content nobody proves. Written with cbor::Writer alone.

#include <cstdint>
#include <string>
#include <string_view>

namespace penstock::test {

inline constexpr std::string_view kTestDid = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

// #identity; `padding` makes the frame that many bytes longer (in an unknown field, which everybody must
// tolerate).
std::string IdentityFrame(int64_t seq, std::string_view did = kTestDid, size_t padding = 0);
// #account, active.
std::string AccountFrame(int64_t seq, std::string_view did = kTestDid);
// A type that nobody knows, with a seq.
std::string UnknownTypeFrame(int64_t seq);
// #account whose `did` is a number: good DRISL that breaks its schema.
std::string RejectedFrame(int64_t seq);
// Decodes as far as the header; its payload is no CBOR: a hard framing error.
std::string PoisonFrameBytes(int64_t seq);

}  // namespace penstock::test
