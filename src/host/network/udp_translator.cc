// SPDX-License-Identifier: Apache-2.0
#include "host/network/udp_translator.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <iterator>

#include <netinet/in.h>

#include "base/log.h"
#include "sys/packet_socket.h"

namespace kata::network {
namespace {

using std::chrono::seconds;

// As long as netfilter keeps a flow that both sides have spoken in.
constexpr auto kSilence = seconds(120);
constexpr auto kLookForSilent = seconds(10);
constexpr size_t kMostDatagram = 65536;
// Moved before others get their turn.
constexpr int kMostDatagrams = 64;
Result<sys::UniqueFd> ConnectInner(const sys::SocketAddress& own, const sys::SocketAddress& guest) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(own.address.family, SOCK_DGRAM));
  KATA_TRY(sys::SetTransparent(socket.get(), own.address.family));
  KATA_TRY(sys::SetOption(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1));
  KATA_TRY(sys::Bind(socket.get(), own));
  KATA_TRY(sys::Connect(socket.get(), guest));
  return socket;
}

}  // namespace

Result<sys::UniqueFd> UdpTranslator::MakeInner(int family) {
  sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(family, SOCK_DGRAM));
  KATA_TRY(sys::SetTransparent(socket.get(), family));
  if (family == AF_INET) {
    KATA_TRY(sys::SetOption(socket.get(), SOL_IP, IP_RECVORIGDSTADDR, 1));
  } else {
    KATA_TRY(sys::SetOption(socket.get(), SOL_IPV6, IPV6_RECVORIGDSTADDR, 1));
  }
  sys::SocketAddress any;
  any.address.family = family;
  KATA_TRY(sys::Bind(socket.get(), any));
  return socket;
}

UdpTranslator::UdpTranslator(sys::EventLoop& loop, const TwoNamespaces& namespaces,
                             UdpSockets sockets, bool loopback, size_t most)
    : loop_(loop),
      namespaces_(namespaces),
      sockets_(std::move(sockets)),
      loopback_(loopback),
      most_(most) {}

UdpTranslator::~UdpTranslator() {
  loop_.Cancel(timer_);
  for (const int fd : {sockets_.socket4.get(), sockets_.socket6.get()}) {
    if (fd >= 0) loop_.Remove(fd);
  }
  while (!pairs_.empty()) Forget(pairs_.begin());
}

Result<void> UdpTranslator::Start() {
  for (const int fd : {sockets_.socket4.get(), sockets_.socket6.get()}) {
    if (fd < 0) continue;
    KATA_TRY(loop_.Add(fd, EPOLLIN, [this, fd](uint32_t) { OnNew(fd); }));
  }
  return {};
}

void UdpTranslator::OnNew(int socket) {
  std::array<char, kMostDatagram> data;
  for (int turn = 0; turn < kMostDatagrams; ++turn) {
    const auto datagram = sys::ReceivePacket(socket, data);
    if (!datagram) return;
    if (!datagram->from || !datagram->to || datagram->to->port == 0) continue;
    const Key key{*datagram->from, *datagram->to};
    // Several may have come before there was a pair.
    const auto found = by_key_.find(key);
    auto pair = found != by_key_.end() ? Result<Place>(found->second) : Make(key);
    // What gets lost is sent again, by who wants that.
    if (pair) (void)::send((*pair)->outer.get(), data.data(), datagram->size, MSG_DONTWAIT);
  }
}

Result<UdpTranslator::Place> UdpTranslator::Make(const Key& key) {
  const sys::SocketAddress to = KATA_TRY(OuterAddress(key.second, loopback_));
  if (pairs_.size() >= most_) Forget(pairs_.begin());
  Pair made{.key = key, .outer = {}, .inner = {}, .used = sys::EventLoop::Clock::now()};
  made.outer = KATA_TRY(sys::MakeIpSocket(to.address.family, SOCK_DGRAM));
  KATA_TRY(sys::Connect(made.outer.get(), to));
  made.inner = KATA_TRY(namespaces_.Inside([&] { return ConnectInner(key.second, key.first); }));
  const int outer = made.outer.get();
  const int inner = made.inner.get();
  const Place place = pairs_.insert(pairs_.end(), std::move(made));
  by_key_[key] = place;
  LogIfFailed(loop_.Add(outer, EPOLLIN,
                        [this, place, outer, inner](uint32_t) { Move(place, outer, inner); }));
  LogIfFailed(loop_.Add(inner, EPOLLIN,
                        [this, place, outer, inner](uint32_t) { Move(place, inner, outer); }));
  if (pairs_.size() == 1) timer_ = loop_.RunAfter(kLookForSilent, [this] { ForgetSilent(); });
  return place;
}

void UdpTranslator::Move(Place pair, int from, int to) {
  std::array<char, kMostDatagram> data;
  pair->used = sys::EventLoop::Clock::now();
  pairs_.splice(pairs_.end(), pairs_, pair);
  for (int turn = 0; turn < kMostDatagrams; ++turn) {
    const ssize_t size = ::recv(from, data.data(), data.size(), MSG_DONTWAIT);
    if (size < 0) {
      // Nobody listens out there, which the guest is not told: it would be by ICMP.
      if (errno == ECONNREFUSED) continue;
      return;
    }
    (void)::send(to, data.data(), static_cast<size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
  }
}

void UdpTranslator::Forget(Place pair) {
  loop_.Remove(pair->outer.get());
  loop_.Remove(pair->inner.get());
  by_key_.erase(pair->key);
  pairs_.erase(pair);
}

void UdpTranslator::ForgetSilent() {
  const auto limit = sys::EventLoop::Clock::now() - kSilence;
  while (!pairs_.empty() && pairs_.front().used < limit) Forget(pairs_.begin());
  if (!pairs_.empty()) timer_ = loop_.RunAfter(kLookForSilent, [this] { ForgetSilent(); });
}

}  // namespace kata::network
