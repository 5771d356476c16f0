// SPDX-License-Identifier: Apache-2.0
#include "host/monitor/listen.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <netinet/in.h>

#include "sys/files.h"
#include "sys/socket_address.h"
#include "sys/sockets.h"

namespace kata::monitor {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kBacklog = 64;

Result<Listener> ListenAtPath(const std::string& path) {
  Listener listener{.address = std::string(kUnix) + path, .path = path};
  auto socket = sys::ListenUnix(path, 0600);
  if (!socket && socket.error().code() == Code::kAlreadyExists) {
    if (sys::ConnectUnix(path, Deadline::After(std::chrono::seconds(1)))) {
      return Fail(Code::kAlreadyExists, fmt::format("somebody listens on \"{}\" already", path));
    }
    KATA_TRY(sys::RemoveFile(path));
    socket = sys::ListenUnix(path, 0600);
  }
  listener.socket = KATA_TRY(std::move(socket));
  return listener;
}

Result<sys::UniqueFd> ListenAt(const addrinfo& place, const std::string& address) {
  sys::UniqueFd socket(::socket(place.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return FailErrno("socket");
  KATA_TRY(sys::SetOption(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  // Every address is that of both families.
  if (place.ai_family == AF_INET6) {
    KATA_TRY(sys::SetOption(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0));
  }
  if (::bind(socket.get(), place.ai_addr, place.ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return FailErrno("listen", address);
  }
  return socket;
}

Result<Listener> ListenAtPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return Fail(Code::kInvalidArgument,
                fmt::format("\"{}\" is neither HOST:PORT nor unix:PATH", address));
  }
  std::string host = address.substr(0, colon);
  const std::string port = address.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  const bool all = host.empty();
  if (all) host = "::";
  const addrinfo hints{.ai_flags = AI_PASSIVE | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); failed != 0) {
    return Fail(Code::kInvalidArgument,
                fmt::format("listen at \"{}\": {}", address, ::gai_strerror(failed)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> places(found, ::freeaddrinfo);
  auto socket = ListenAt(*places, address);
  if (!socket && all && socket.error().error_number() == EAFNOSUPPORT) {
    return ListenAtPort("0.0.0.0:" + port);
  }
  Listener listener{.socket = KATA_TRY(std::move(socket))};
  listener.address = KATA_TRY(sys::LocalAddress(listener.socket.get())).Text();
  return listener;
}

}  // namespace

Result<Listener> Listen(const std::string& address) {
  Listener listener =
      KATA_TRY(address.starts_with(kUnix) ? ListenAtPath(address.substr(kUnix.size()))
                                          : ListenAtPort(address));
  KATA_TRY(sys::SetNonBlocking(listener.socket.get()));
  return listener;
}

}  // namespace kata::monitor
