// SPDX-License-Identifier: Apache-2.0
#include "guest/agent/network/port_mirror.h"

#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include <netinet/in.h>

#include "base/log.h"
#include "sys/files.h"
#include "sys/loopback_stand_ins.h"
#include "sys/netlink_socket.h"
#include "sys/rtnetlink.h"

namespace kata::guest {
namespace {

// The kernel does not tell of sockets that begin to listen.
constexpr auto kLook = std::chrono::milliseconds(50);
constexpr size_t kMostConnections = 4096;

// What stands for the loopback is taken for one's own.
Result<void> TakeStandIn() {
  auto socket = KATA_TRY(sys::NetlinkSocket::Open());
  sys::Route route;
  route.destination = *sys::IpPrefix::Parse(sys::kGuestLoopback);
  route.link = 1;  // the loopback's number in every namespace
  route.table = RT_TABLE_LOCAL;
  route.type = RTN_LOCAL;
  route.scope = RT_SCOPE_HOST;
  route.protocol = RTPROT_STATIC;
  return sys::AddRoute(socket, route);
}

}  // namespace

PortMirror::PortMirror(sys::EventLoop& loop)
    : loop_(loop),
      services_(loop,
                {.bind = [this](const sys::SocketAddress& at) { return Listen(at); },
                 .connect =
                     [this](const sys::SocketAddress&, const sys::SocketAddress& local) {
                       return Connect({.address = *sys::IpAddress::Parse(sys::kHostLoopback),
                                       .port = local.port});
                     },
                 .failed = {}},
                kMostConnections),
      gates_(loop,
             {.bind = [this](const sys::SocketAddress& at) { return Listen(at); },
              .connect = [this](const sys::SocketAddress&,
                                const sys::SocketAddress& local) -> Result<sys::UniqueFd> {
                const auto found = behind_.find(local.port);
                if (found == behind_.end()) return Fail(Code::kNotFound, "it has gone");
                return Connect(found->second);
              },
              .failed = {}},
             kMostConnections) {}

PortMirror::~PortMirror() {
  if (timer_) loop_.Cancel(*timer_);
}

template <class Make>
auto PortMirror::Inside(Make make) const -> decltype(make()) {
  if (::setns(inside_.get(), CLONE_NEWNET) != 0) return FailErrno("setns", "containers' network");
  auto made = make();
  if (::setns(own_.get(), CLONE_NEWNET) != 0) return FailErrno("setns", "own network");
  return made;
}

Result<void> PortMirror::Begin(int ns) {
  if (table_) return {};
  own_ = KATA_TRY(sys::Open("/proc/self/ns/net", O_RDONLY));
  inside_ = KATA_TRY(sys::Duplicate(ns));
  KATA_TRY(Inside(&TakeStandIn));
  table_ = KATA_TRY(Inside(&sys::ListenerTable::Open));
  return {};
}

Result<sys::UniqueFd> PortMirror::Listen(const sys::SocketAddress& at) const {
  return Inside([&]() -> Result<sys::UniqueFd> {
    sys::UniqueFd socket = KATA_TRY(sys::MakeIpSocket(at.address.family, SOCK_STREAM));
    KATA_TRY(sys::BindToListen(socket.get(), at));
    return socket;
  });
}

Result<sys::UniqueFd> PortMirror::Connect(const sys::SocketAddress& to) const {
  sys::UniqueFd socket =
      KATA_TRY(Inside([&] { return sys::MakeIpSocket(to.address.family, SOCK_STREAM); }));
  auto connected = sys::Connect(socket.get(), to);
  if (!connected && connected.error().error_number() != EINPROGRESS) {
    return std::unexpected(std::move(connected).error());
  }
  return socket;
}

void PortMirror::KeepForHost(const std::vector<sys::SocketAddress>& listeners) {
  services_.Keep(listeners);
}

void PortMirror::Next(std::vector<sys::SocketAddress> known, Wanted wanted, Told told) {
  known_ = std::move(known);
  wanted_ = std::move(wanted);
  told_ = std::move(told);
  if (!timer_) Look();
}

void PortMirror::Look() {
  timer_.reset();
  if (!told_ || !wanted_()) return;
  std::vector<sys::SocketAddress> now = table_->Read();
  std::erase_if(
      now, [&](const sys::SocketAddress& each) { return services_.Has(each) || gates_.Has(each); });
  OpenGates(now);
  if (now != known_) {
    known_ = now;
    std::exchange(told_, nullptr)(now);
  }
  // Also for what comes soon after: who was told asks again at once.
  timer_ = loop_.RunAfter(kLook, [this] { Look(); });
}

void PortMirror::OpenGates(const std::vector<sys::SocketAddress>& listeners) {
  std::map<uint16_t, sys::SocketAddress> behind;
  for (const sys::SocketAddress& each : listeners) {
    if (each.address.IsLoopback()) behind.try_emplace(each.port, each);
  }
  // One that listens everywhere does so there, too.
  for (const sys::SocketAddress& each : listeners) {
    if (each.address.IsAny()) behind.erase(each.port);
  }
  std::vector<sys::SocketAddress> gates;
  for (const auto& [port, address] : behind) {
    gates.push_back({.address = *sys::IpAddress::Parse(sys::kGuestLoopback), .port = port});
  }
  behind_ = std::move(behind);
  gates_.Keep(gates);
}

}  // namespace kata::guest
