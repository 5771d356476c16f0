// SPDX-License-Identifier: Apache-2.0
#include "host/network/udp_translator.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "sys/packet_socket.h"

namespace kata::network {
namespace {

// Moved before others get their turn.
constexpr int kMostDatagrams = 64;

}  // namespace

Result<sys::UniqueFd> UdpTranslator::ConnectInner(const sys::SocketAddress& own,
                                                  const sys::SocketAddress& guest) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(own.address.family, SOCK_DGRAM));
  KATA_TRY(sys::SetTransparent(socket.get(), own.address.family));
  KATA_TRY(sys::SetOption(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  KATA_TRY(sys::Bind(socket.get(), own));
  KATA_TRY(sys::Connect(socket.get(), guest));
  return socket;
}

Result<sys::UniqueFd> UdpTranslator::MakeInner(int family) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(family, SOCK_DGRAM));
  KATA_TRY(sys::SetTransparent(socket.get(), family));
  KATA_TRY(sys::TellDestinations(socket.get(), family));
  sys::SocketAddress any;
  any.address.family = family;
  KATA_TRY(sys::Bind(socket.get(), any));
  return socket;
}

UdpTranslator::UdpTranslator(sys::EventLoop& loop, const TwoNamespaces& namespaces,
                             UdpSockets sockets, const Services& services, SayByDoor say_by_door,
                             size_t most)
    : loop_(loop),
      namespaces_(namespaces),
      sockets_(std::move(sockets)),
      services_(services),
      say_by_door_(std::move(say_by_door)),
      pairs_(loop, most) {}

UdpTranslator::~UdpTranslator() {
  for (const int fd : {sockets_.socket4.get(), sockets_.socket6.get()}) {
    if (fd >= 0) loop_.Remove(fd);
  }
}

Result<void> UdpTranslator::Start() {
  for (const int fd : {sockets_.socket4.get(), sockets_.socket6.get()}) {
    if (fd < 0) continue;
    KATA_TRY(loop_.Add(fd, EPOLLIN, [this, fd](uint32_t) { OnNew(fd); }));
  }
  return {};
}

void UdpTranslator::OnNew(int socket) {
  std::array<char, sys::kMostDatagram> room;
  for (int turn = 0; turn < kMostDatagrams; ++turn) {
    const auto datagram = sys::ReceivePacket(socket, room);
    if (!datagram) return;
    if (!datagram->from || !datagram->to || datagram->to->port == 0) continue;
    const auto to = OuterAddress(sys::Protocol::kUdp, *datagram->to, services_);
    if (!to) continue;
    const auto data = std::span(room).first(datagram->size);
    const sys::DatagramRelay::Key key{*datagram->from, *datagram->to};
    // Several may have come before there was a pair.
    if (!pairs_.Has(key)) {
      if (*to == *datagram->to && say_by_door_(*datagram->from, *to, data)) continue;
      if (!Make(key, *to)) continue;
    }
    pairs_.Send(key, data);
  }
}

Result<void> UdpTranslator::Make(const sys::DatagramRelay::Key& key, const sys::SocketAddress& to) {
  sys::UniqueFd outer = KATA_TRY(sys::MakeIpSocket(to.address.family, SOCK_DGRAM));
  KATA_TRY(sys::Connect(outer.get(), to));
  sys::UniqueFd inner =
      KATA_TRY(namespaces_.Inside([&] { return ConnectInner(key.second, key.first); }));
  pairs_.Add(key, {.own = std::move(inner)}, std::move(outer));
  return {};
}

}  // namespace kata::network
