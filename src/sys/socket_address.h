// SPDX-License-Identifier: Apache-2.0
//
// sys/socket_address.h - an IP address with a port, as a value and as the kernel has it.
//
// Basis: ip(7), ipv6(7).
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "sys/fd.h"
#include "sys/ip_address.h"

namespace kata::sys {

struct SocketAddress {
  IpAddress address;
  uint16_t port = 0;

  // Absent for another family.
  static std::optional<SocketAddress> From(const sockaddr_storage& kernel);
  sockaddr_storage ToKernel(socklen_t* size) const;
  std::string Text() const;  // "10.0.0.1:80", "[fd00::1]:80"

  friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
};

Result<SocketAddress> LocalAddress(int socket);
Result<SocketAddress> PeerAddress(int socket);
Result<void> Bind(int socket, const SocketAddress& address);
// kUnavailable with EINPROGRESS from a socket that does not wait.
Result<void> Connect(int socket, const SocketAddress& address);
Result<void> SetOption(int socket, int level, int option, int value);

// A close-on-exec socket that does not wait. `type` is SOCK_STREAM or SOCK_DGRAM; an IPv6 one has
// nothing to do with IPv4.
Result<UniqueFd> MakeIpSocket(int family, int type);
// Lets it have addresses that are not the host's own.
Result<void> SetTransparent(int socket, int family);

}  // namespace kata::sys
