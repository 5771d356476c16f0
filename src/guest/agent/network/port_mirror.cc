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
                {.bind = [this](const sys::Listener& at) { return Listen(at); },
                 .connect =
                     [this](const sys::Listener& at, const sys::SocketAddress&,
                            const sys::SocketAddress&) {
                       return Connect({.protocol = at.protocol,
                                       .at = {.address = *sys::IpAddress::Parse(sys::kHostLoopback),
                                              .port = through_.at(at)}});
                     },
                 .failed = {}},
                kMostConnections),
      gates_(loop,
             {.bind = [this](const sys::Listener& at) { return Listen(at); },
              .connect = [this](const sys::Listener& at, const sys::SocketAddress&,
                                const sys::SocketAddress&) -> Result<sys::UniqueFd> {
                auto listener = behind_.Behind(at.protocol, at.at.port);
                if (!listener) return Fail(Code::kNotFound, "it has gone");
                listener->at.address = listener->at.address.LoopbackIfAny();
                return Connect(*listener);
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

Result<sys::UniqueFd> PortMirror::Listen(const sys::Listener& at) const {
  return Inside([&] { return sys::BindDoor(at); });
}

Result<sys::UniqueFd> PortMirror::Connect(const sys::Listener& to) const {
  const int type = to.protocol == sys::Protocol::kTcp ? SOCK_STREAM : SOCK_DGRAM;
  sys::UniqueFd socket =
      KATA_TRY(Inside([&] { return sys::MakeIpSocket(to.at.address.family, type); }));
  auto connected = sys::Connect(socket.get(), to.at);
  if (!connected && connected.error().error_number() != EINPROGRESS) {
    return std::unexpected(std::move(connected).error());
  }
  return socket;
}

void PortMirror::KeepForHost(const std::vector<sys::ReachedListener>& listeners) {
  std::vector<sys::Listener> wanted;
  through_.clear();
  for (const sys::ReachedListener& each : listeners) {
    wanted.push_back(each.listener);
    through_[each.listener] = each.through != 0 ? each.through : each.listener.at.port;
  }
  services_.Keep(wanted);
}

void PortMirror::Next(std::vector<sys::ReachedListener> known, Wanted wanted, Told told) {
  known_ = std::move(known);
  wanted_ = std::move(wanted);
  told_ = std::move(told);
  if (!timer_) Look();
}

void PortMirror::Look() {
  timer_.reset();
  if (!told_ || !wanted_()) return;
  std::vector<sys::Listener> listeners = table_->Read();
  std::erase_if(listeners, [&](const sys::Listener& each) {
    return services_.Has(each) || gates_.Has(each) || left_out_.contains(each);
  });
  std::vector<sys::ReachedListener> now = Reach(listeners);
  if (now != known_) {
    known_ = now;
    std::exchange(told_, nullptr)(now);
  }
  // Also for what comes soon after: who was told asks again at once.
  timer_ = loop_.RunAfter(kLook, [this] { Look(); });
}

std::vector<sys::ReachedListener> PortMirror::Reach(const std::vector<sys::Listener>& listeners) {
  std::vector<sys::ReachedListener> reached;
  std::vector<sys::Listener> need;
  std::set<sys::StandInPorts::Port> taken;
  for (const sys::Listener& each : listeners) {
    const sys::IpAddress& address = each.at.address;
    if (address.IsAny()) taken.emplace(each.protocol, each.at.port);
    // One that listens everywhere does so at the stand-in, too, but of UDP it may answer from
    // another address.
    if (address.IsLoopback() || (address.IsAny() && each.protocol == sys::Protocol::kUdp)) {
      need.push_back(each);
    } else {
      reached.push_back({.listener = each});
    }
  }
  std::vector<sys::Listener> gates;
  for (const sys::ReachedListener& each : behind_.Assign(need, taken)) {
    gates.push_back(
        {.protocol = each.listener.protocol,
         .at = {.address = *sys::IpAddress::Parse(sys::kGuestLoopback), .port = each.through}});
    reached.push_back(each);
  }
  gates_.Keep(gates);
  gates_.TryAgain();
  std::ranges::sort(reached);
  return reached;
}

}  // namespace kata::guest
