// SPDX-License-Identifier: Apache-2.0
//
// sys/packet_socket.h - datagrams with the addresses that they come from and were sent to.
//
// Basis: recvmsg(2); ip(7) IP_RECVORIGDSTADDR, ipv6(7) IPV6_RECVORIGDSTADDR and IPV6_RECVPKTINFO.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "sys/socket_address.h"

namespace kata::sys {

struct ReceivedPacket {
  size_t size = 0;
  std::optional<SocketAddress> from;
  std::optional<SocketAddress>
      to;  // where the socket was asked to say it; of PKTINFO without a port
};

// The next one, into `data`, which cuts it off. Does not wait: nothing where none is there.
std::optional<ReceivedPacket> ReceivePacket(int socket, std::span<char> data);

}  // namespace kata::sys
