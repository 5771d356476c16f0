// SPDX-License-Identifier: Apache-2.0
//
// sys/packet_socket.h - datagrams with the addresses that they come from and were sent to.
//
// Basis: recvmsg(2), sendmsg(2); ip(7) IP_RECVORIGDSTADDR and IP_PKTINFO, ipv6(7)
// IPV6_RECVORIGDSTADDR, IPV6_RECVPKTINFO and IPV6_PKTINFO.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "base/result.h"
#include "sys/socket_address.h"

namespace kata::sys {

// Holds any datagram.
inline constexpr size_t kMostDatagram = 65536;

struct ReceivedPacket {
  size_t size = 0;
  std::optional<SocketAddress> from;
  std::optional<SocketAddress>
      to;  // where the socket was asked to say it; of PKTINFO without a port
};

// The next one, into `data`, which cuts it off. Does not wait: nothing where none is there.
std::optional<ReceivedPacket> ReceivePacket(int socket, std::span<char> data);

// Has a UDP socket say where what it gets was sent to.
Result<void> TellDestinations(int socket, int family);

// From this address of the namespace, and the socket's port. What there is no room for is lost.
void SendPacket(int socket, std::span<const char> data, const IpAddress& from,
                const SocketAddress& to);

}  // namespace kata::sys
