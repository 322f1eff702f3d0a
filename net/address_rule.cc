#include "net/address_rule.h"

#include <array>
#include <cstdint>

namespace penstock::net {
namespace {

struct Block {
  uint32_t network;
  int bits;
};

constexpr uint32_t Ip(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
  return a << 24 | b << 16 | c << 8 | d;
}

// IANA IPv4 Special-Purpose Address Registry, everything that is not globally reachable, and class D and E.
constexpr std::array kNotPublic = {
    Block{Ip(0, 0, 0, 0), 8},      Block{Ip(10, 0, 0, 0), 8},     Block{Ip(100, 64, 0, 0), 10},
    Block{Ip(127, 0, 0, 0), 8},    Block{Ip(169, 254, 0, 0), 16}, Block{Ip(172, 16, 0, 0), 12},
    Block{Ip(192, 0, 0, 0), 24},   Block{Ip(192, 0, 2, 0), 24},   Block{Ip(192, 88, 99, 0), 24},
    Block{Ip(192, 168, 0, 0), 16}, Block{Ip(198, 18, 0, 0), 15},  Block{Ip(198, 51, 100, 0), 24},
    Block{Ip(203, 0, 113, 0), 24}, Block{Ip(224, 0, 0, 0), 4},    Block{Ip(240, 0, 0, 0), 4},
};

bool IsPublicV4(uint32_t address) {
  for (const Block& block : kNotPublic) {
    if (address >> (32 - block.bits) == block.network >> (32 - block.bits)) return false;
  }
  return true;
}

}  // namespace

bool IsPublicAddress(const boost::asio::ip::address& address) {
  if (address.is_v4()) return IsPublicV4(address.to_v4().to_uint());
  const auto b = address.to_v6().to_bytes();
  const auto word = [&b](size_t at) { return static_cast<uint32_t>(b[at]) << 8 | b[at + 1]; };
  const auto v4_at = [&b](size_t at) { return Ip(b[at], b[at + 1], b[at + 2], b[at + 3]); };
  bool zero_until_10 = true;
  for (size_t i = 0; i < 10; ++i) zero_until_10 = zero_until_10 && b[i] == 0;
  // ::, ::1, IPv4-compatible and IPv4-mapped: what the IPv4 address in it is, and :: and ::1 are 0/8.
  if (zero_until_10 && (word(10) == 0 || word(10) == 0xffff)) return IsPublicV4(v4_at(12));
  if (word(0) == 0x2002) return IsPublicV4(v4_at(2));  // 6to4
  if (word(0) == 0x0064 && word(2) == 0xff9b)
    return word(4) == 0 && IsPublicV4(v4_at(12));  // NAT64; 64:ff9b:1::/48 is local
  if (word(0) == 0x2001 && (word(2) == 0x0db8 || word(2) < 0x0200))
    return false;                // documentation, Teredo and the like
  return (b[0] & 0xe0) == 0x20;  // 2000::/3 is all that is routed globally
}

}  // namespace penstock::net
