#pragma once

// Which addresses a name that somebody else chose may lead to (protocol 8.5). Pure.

#include <boost/asio/ip/address.hpp>

namespace penstock::net {

// False for loopback, private, shared (100.64/10), link-local, unique-local, multicast, broadcast,
// unspecified, reserved and documentation addresses, and for IPv6 forms that carry such an IPv4 address
// (mapped, compatible, NAT64, 6to4).
bool IsPublicAddress(const boost::asio::ip::address& address);

}  // namespace penstock::net
