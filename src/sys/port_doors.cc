// SPDX-License-Identifier: Apache-2.0
#include "sys/port_doors.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/log.h"
#include "sys/sockets.h"

namespace kata::sys {

Result<void> BindToListen(int socket, const SocketAddress& at) {
  KATA_TRY(SetOption(socket, SOL_SOCKET, SO_REUSEADDR, 1));
  return Bind(socket, at);
}

Result<UniqueFd> PortDoors::Open(const SocketAddress& at) {
  constexpr int kBacklog = 512;
  UniqueFd socket = KATA_TRY(ways_.bind(at));
  if (::listen(socket.get(), kBacklog) != 0) return FailErrno("listen", at.Text());
  const int fd = socket.get();
  KATA_TRY(loop_.Add(fd, EPOLLIN, [this, fd](uint32_t) { OnCaller(fd); }));
  return socket;
}

void PortDoors::Keep(const std::vector<SocketAddress>& wanted) {
  const auto is_wanted = [&](const SocketAddress& at) {
    return std::ranges::find(wanted, at) != wanted.end();
  };
  for (auto door = doors_.begin(); door != doors_.end();) {
    if (is_wanted(door->first)) {
      ++door;
      continue;
    }
    loop_.Remove(door->second.get());
    door = doors_.erase(door);
  }
  std::erase_if(failed_, [&](const SocketAddress& at) { return !is_wanted(at); });
  for (const SocketAddress& at : wanted) {
    if (!doors_.contains(at)) OpenDoor(at);
  }
}

void PortDoors::TryAgain() {
  for (const SocketAddress& at : std::set(failed_)) OpenDoor(at);
}

void PortDoors::OpenDoor(const SocketAddress& at) {
  auto opened = Open(at);
  if (opened) {
    doors_.emplace(at, *std::move(opened));
    failed_.erase(at);
  } else if (failed_.insert(at).second && ways_.failed) {
    ways_.failed(at, opened.error());
  }
}

void PortDoors::OnCaller(int listener) {
  auto caller = Accept(listener);
  if (!caller || relays_.size() >= most_) return;
  const auto peer = PeerAddress(caller->get());
  const auto local = LocalAddress(caller->get());
  if (!peer || !local) return;
  auto there = ways_.connect(*peer, *local);
  if (!there) return;
  for (const int fd : {caller->get(), there->get()}) {
    LogIfFailed(SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1));
  }
  const auto place = relays_.emplace(relays_.end(), loop_, *std::move(caller), *std::move(there));
  place->Start([this, place] { relays_.erase(place); });
}

}  // namespace kata::sys
