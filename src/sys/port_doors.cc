// SPDX-License-Identifier: Apache-2.0
#include "sys/port_doors.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include "base/log.h"
#include "sys/packet_socket.h"
#include "sys/sockets.h"

namespace kata::sys {
namespace {

// Looked at before others get their turn.
constexpr int kMostAtADoor = 64;

}  // namespace

Result<void> BindToListen(int socket, const SocketAddress& at) {
  KATA_TRY(SetOption(socket, SOL_SOCKET, SO_REUSEADDR, 1));
  return Bind(socket, at);
}

Result<UniqueFd> BindDoor(const Listener& at) {
  const int family = at.at.address.family;
  if (at.protocol == Protocol::kTcp) {
    UniqueFd socket = KATA_TRY(MakeIpSocket(family, SOCK_STREAM));
    KATA_TRY(BindToListen(socket.get(), at.at));
    return socket;
  }
  // Of two that may be bound there, one would get nothing.
  UniqueFd socket = KATA_TRY(MakeIpSocket(family, SOCK_DGRAM));
  KATA_TRY(TellDestinations(socket.get(), family));
  KATA_TRY(Bind(socket.get(), at.at));
  return socket;
}

Result<UniqueFd> PortDoors::Open(const Listener& at) {
  constexpr int kBacklog = 512;
  UniqueFd socket = KATA_TRY(ways_.bind(at));
  const int fd = socket.get();
  if (at.protocol == Protocol::kUdp) {
    KATA_TRY(loop_.Add(fd, EPOLLIN, [this, at, fd](uint32_t) { OnDatagrams(at, fd); }));
    return socket;
  }
  if (::listen(fd, kBacklog) != 0) return FailErrno("listen", at.Text());
  KATA_TRY(loop_.Add(fd, EPOLLIN, [this, at, fd](uint32_t) { OnCaller(at, fd); }));
  return socket;
}

void PortDoors::Keep(const std::vector<Listener>& wanted) {
  const std::set<Listener> all(wanted.begin(), wanted.end());
  const auto is_wanted = [&](const Listener& at) { return all.contains(at); };
  for (auto door = doors_.begin(); door != doors_.end();) {
    if (is_wanted(door->first)) {
      ++door;
      continue;
    }
    datagrams_.ForgetDoor(door->second.get());
    loop_.Remove(door->second.get());
    door = doors_.erase(door);
  }
  std::erase_if(failed_, [&](const Listener& at) { return !is_wanted(at); });
  for (const Listener& at : all) {
    if (!doors_.contains(at)) OpenDoor(at);
  }
}

void PortDoors::TryAgain() {
  for (const Listener& at : std::set(failed_)) OpenDoor(at);
}

void PortDoors::OpenDoor(const Listener& at) {
  auto opened = Open(at);
  if (opened) {
    doors_.emplace(at, *std::move(opened));
    failed_.erase(at);
  } else if (failed_.insert(at).second && ways_.failed) {
    ways_.failed(at, opened.error());
  }
}

void PortDoors::OnCaller(const Listener& at, int door) {
  auto caller = Accept(door);
  if (!caller || relays_.size() >= most_) return;
  const auto peer = PeerAddress(caller->get());
  const auto local = LocalAddress(caller->get());
  if (!peer || !local) return;
  auto there = ways_.connect(at, *peer, *local);
  if (!there) return;
  for (const int fd : {caller->get(), there->get()}) {
    LogIfFailed(SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1));
  }
  const auto place = relays_.emplace(relays_.end(), loop_, *std::move(caller), *std::move(there));
  place->Start([this, place] { relays_.erase(place); });
}

bool PortDoors::MakePair(const Listener& at, int door, const DatagramRelay::Key& key) {
  if (datagrams_.Has(key)) return true;
  auto there = ways_.connect(at, key.first, key.second);
  if (!there) return false;
  datagrams_.Add(key, {.own = {}, .door = door}, *std::move(there));
  return true;
}

void PortDoors::OnDatagrams(const Listener& at, int door) {
  std::array<char, kMostDatagram> room;
  for (int turn = 0; turn < kMostAtADoor; ++turn) {
    const auto packet = ReceivePacket(door, room);
    if (!packet) return;
    if (!packet->from || !packet->to) continue;
    const DatagramRelay::Key key{*packet->from, *packet->to};
    if (MakePair(at, door, key)) datagrams_.Send(key, std::span(room).first(packet->size));
  }
}

bool PortDoors::SendFrom(const SocketAddress& local, const SocketAddress& peer,
                         std::span<const char> data) {
  SocketAddress any = local;
  any.address.bytes = {};
  for (const SocketAddress& at : {local, any}) {
    const Listener listener{.protocol = Protocol::kUdp, .at = at};
    const auto door = doors_.find(listener);
    if (door == doors_.end()) continue;
    if (!MakePair(listener, door->second.get(), {peer, local})) return false;
    SendPacket(door->second.get(), data, local.address, peer);
    return true;
  }
  return false;
}

}  // namespace kata::sys
