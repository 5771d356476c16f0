// SPDX-License-Identifier: Apache-2.0
#include "sys/socket_address.h"

#include <cstring>

#include <fmt/format.h>
#include <netinet/in.h>

namespace kata::sys {
namespace {

using GetName = int (*)(int, sockaddr*, socklen_t*);

Result<SocketAddress> Ask(int socket, GetName get, const char* what) {
  sockaddr_storage kernel{};
  socklen_t size = sizeof kernel;
  if (get(socket, reinterpret_cast<sockaddr*>(&kernel), &size) != 0) return FailErrno(what);
  auto address = SocketAddress::From(kernel);
  if (!address) return Fail(Code::kInvalidArgument, fmt::format("{}: no IP socket", what));
  return *address;
}

}  // namespace

std::optional<SocketAddress> SocketAddress::From(const sockaddr_storage& kernel) {
  SocketAddress address;
  address.address.family = kernel.ss_family;
  if (kernel.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &kernel, sizeof v4);
    std::memcpy(address.address.bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
    address.port = ntohs(v4.sin_port);
    return address;
  }
  if (kernel.ss_family != AF_INET6) return std::nullopt;
  sockaddr_in6 v6{};
  std::memcpy(&v6, &kernel, sizeof v6);
  std::memcpy(address.address.bytes.data(), &v6.sin6_addr, sizeof v6.sin6_addr);
  address.port = ntohs(v6.sin6_port);
  return address;
}

sockaddr_storage SocketAddress::ToKernel(socklen_t* size) const {
  sockaddr_storage kernel{};
  if (address.family == AF_INET) {
    sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, address.bytes.data(), sizeof v4.sin_addr);
    std::memcpy(&kernel, &v4, sizeof v4);
    *size = sizeof v4;
    return kernel;
  }
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(port);
  std::memcpy(&v6.sin6_addr, address.bytes.data(), sizeof v6.sin6_addr);
  std::memcpy(&kernel, &v6, sizeof v6);
  *size = sizeof v6;
  return kernel;
}

std::string SocketAddress::Text() const {
  return address.family == AF_INET ? fmt::format("{}:{}", address.Text(), port)
                                   : fmt::format("[{}]:{}", address.Text(), port);
}

Result<SocketAddress> LocalAddress(int socket) {
  return Ask(socket, &::getsockname, "getsockname");
}
Result<SocketAddress> PeerAddress(int socket) { return Ask(socket, &::getpeername, "getpeername"); }

Result<void> Bind(int socket, const SocketAddress& address) {
  socklen_t size = 0;
  const sockaddr_storage kernel = address.ToKernel(&size);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&kernel), size) != 0) {
    return FailErrno("bind", address.Text());
  }
  return {};
}

Result<void> Connect(int socket, const SocketAddress& address) {
  socklen_t size = 0;
  const sockaddr_storage kernel = address.ToKernel(&size);
  if (::connect(socket, reinterpret_cast<const sockaddr*>(&kernel), size) != 0) {
    return FailErrno("connect", address.Text());
  }
  return {};
}

Result<void> SetOption(int socket, int level, int option, int value) {
  if (::setsockopt(socket, level, option, &value, sizeof value) != 0) {
    return FailErrno("setsockopt", fmt::format("{}/{}", level, option));
  }
  return {};
}

Result<UniqueFd> MakeIpSocket(int family, int type) {
  UniqueFd fd(::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return FailErrno("socket");
  if (family == AF_INET6) KATA_TRY(SetOption(fd.get(), SOL_IPV6, IPV6_V6ONLY, 1));
  return fd;
}

Result<void> SetTransparent(int socket, int family) {
  if (family == AF_INET) return SetOption(socket, SOL_IP, IP_TRANSPARENT, 1);
  return SetOption(socket, SOL_IPV6, IPV6_TRANSPARENT, 1);
}

}  // namespace kata::sys
