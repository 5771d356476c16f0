// SPDX-License-Identifier: Apache-2.0
#include "sys/packet_socket.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstring>

#include <netinet/in.h>

namespace kata::sys {
namespace {

// cmsg(3) for an address of IPv6, and then some.
constexpr size_t kControlBytes = 128;

// What this one says of the address; nothing where it is about something else.
std::optional<SocketAddress> DestinationIn(const cmsghdr& header) {
  const bool v4 = header.cmsg_level == SOL_IP && header.cmsg_type == IP_ORIGDSTADDR;
  const bool v6 = header.cmsg_level == SOL_IPV6 && header.cmsg_type == IPV6_ORIGDSTADDR;
  if (v4 || v6) {
    sockaddr_storage address{};
    std::memcpy(&address, CMSG_DATA(&header), v4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    return SocketAddress::From(address);
  }
  if (header.cmsg_level != SOL_IPV6 || header.cmsg_type != IPV6_PKTINFO) return std::nullopt;
  in6_pktinfo info{};
  std::memcpy(&info, CMSG_DATA(&header), sizeof info);
  const char* const bytes = reinterpret_cast<const char*>(&info.ipi6_addr);
  return SocketAddress{.address = *IpAddress::FromBytes({bytes, sizeof info.ipi6_addr}), .port = 0};
}

}  // namespace

std::optional<ReceivedPacket> ReceivePacket(int socket, std::span<char> data) {
  sockaddr_storage from{};
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  iovec part{.iov_base = data.data(), .iov_len = data.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = ::recvmsg(socket, &message, MSG_DONTWAIT);
  if (size < 0) return std::nullopt;
  ReceivedPacket packet{
      .size = static_cast<size_t>(size), .from = SocketAddress::From(from), .to = {}};
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr && !packet.to;
       each = CMSG_NXTHDR(&message, each)) {
    packet.to = DestinationIn(*each);
  }
  return packet;
}

}  // namespace kata::sys
