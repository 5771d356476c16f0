// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/port_mirror.h - ports of the containers' namespace that are also the host's,
// and the other way round.
//
// A guest that uses a namespace of the host by sockets has the ports that listen there, and gives
// its own. The host connects with a port of the guest's loopback by an address that stands for it
// (sys/loopback_stand_ins.h), at which the agent listens, too. TCP only.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/listeners.h"
#include "sys/port_doors.h"
#include "sys/socket_address.h"

namespace kata::guest {

class PortMirror {
 public:
  using Wanted = std::function<bool()>;
  using Told = std::move_only_function<void(const std::vector<sys::SocketAddress>&)>;

  explicit PortMirror(sys::EventLoop& loop);
  PortMirror(const PortMirror&) = delete;
  PortMirror& operator=(const PortMirror&) = delete;
  ~PortMirror();

  // In the containers' namespace `ns`. Again: does nothing.
  Result<void> Begin(int ns);

  // Calls `told` with what listens there as soon as that is not `known`, unless by then it is no
  // longer wanted. One waits at a time: a later one takes the place.
  void Next(std::vector<sys::SocketAddress> known, Wanted wanted, Told told);

  // Listens at these, and at no others, for the host. What a container has is left out.
  void KeepForHost(const std::vector<sys::SocketAddress>& listeners);

 private:
  template <class Make>
  auto Inside(Make make) const -> decltype(make());
  Result<sys::UniqueFd> Listen(const sys::SocketAddress& at) const;
  Result<sys::UniqueFd> Connect(const sys::SocketAddress& to) const;
  void Look();
  void OpenGates(const std::vector<sys::SocketAddress>& listeners);

  sys::EventLoop& loop_;
  sys::UniqueFd own_;
  sys::UniqueFd inside_;
  std::optional<sys::ListenerTable> table_;
  sys::PortDoors services_;                        // lead to the host
  sys::PortDoors gates_;                           // lead to the loopback here
  std::map<uint16_t, sys::SocketAddress> behind_;  // the gates
  std::vector<sys::SocketAddress> known_;
  Wanted wanted_;
  Told told_;
  std::optional<sys::EventLoop::TimerId> timer_;
};

}  // namespace kata::guest
