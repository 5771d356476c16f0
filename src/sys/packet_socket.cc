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

Result<void> TellDestinations(int socket, int family) {
  return family == AF_INET ? SetOption(socket, SOL_IP, IP_RECVORIGDSTADDR, 1)
                           : SetOption(socket, SOL_IPV6, IPV6_RECVORIGDSTADDR, 1);
}

void SendPacket(int socket, std::span<const char> data, const IpAddress& from,
                const SocketAddress& to) {
  socklen_t size = 0;
  sockaddr_storage address = to.ToKernel(&size);
  alignas(cmsghdr) std::array<char, kControlBytes> control{};
  iovec part{.iov_base = const_cast<char*>(data.data()), .iov_len = data.size()};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  const bool v4 = from.family == AF_INET;
  in_pktinfo info4{};
  in6_pktinfo info6{};
  std::memcpy(v4 ? static_cast<void*>(&info4.ipi_spec_dst) : &info6.ipi6_addr, from.bytes.data(),
              from.size());
  const size_t length = v4 ? sizeof info4 : sizeof info6;
  header->cmsg_level = v4 ? SOL_IP : SOL_IPV6;
  header->cmsg_type = v4 ? IP_PKTINFO : IPV6_PKTINFO;
  header->cmsg_len = CMSG_LEN(length);
  std::memcpy(CMSG_DATA(header), v4 ? static_cast<const void*>(&info4) : &info6, length);
  message.msg_controllen = CMSG_SPACE(length);
  (void)::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace kata::sys
