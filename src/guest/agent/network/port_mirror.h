// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/network/port_mirror.h - ports of the containers' namespace that are also the host's,
// and the other way round.
//
// A guest that uses a namespace of the host by sockets has the ports that listen there, and gives
// its own, of TCP and UDP. The host reaches a listener of the guest's loopback by a gate of the
// agent's, at the address that stands for it (sys/loopback_stand_ins.h).
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/listeners.h"
#include "sys/loopback_stand_ins.h"
#include "sys/port_doors.h"
#include "sys/socket_address.h"

namespace kata::guest {

class PortMirror {
 public:
  using Wanted = std::function<bool()>;
  using Told = std::move_only_function<void(const std::vector<sys::ReachedListener>&)>;

  explicit PortMirror(sys::EventLoop& loop);
  PortMirror(const PortMirror&) = delete;
  PortMirror& operator=(const PortMirror&) = delete;
  ~PortMirror();

  // In the containers' namespace `ns`. Again: does nothing.
  Result<void> Begin(int ns);

  // Calls `told` with what listens there as soon as that is not `known`, unless by then it is no
  // longer wanted. One waits at a time: a later one takes the place.
  void Next(std::vector<sys::ReachedListener> known, Wanted wanted, Told told);

  // Listens at these, and at no others, for the host. What a container has is left out.
  void KeepForHost(const std::vector<sys::ReachedListener>& listeners);

  // Is another part of the agent's, and nothing of the containers'.
  void LeaveOut(const sys::Listener& listener) { left_out_.insert(listener); }

 private:
  template <class Make>
  auto Inside(Make make) const -> decltype(make());
  Result<sys::UniqueFd> Listen(const sys::Listener& at) const;
  Result<sys::UniqueFd> Connect(const sys::Listener& to) const;
  void Look();
  // With gates for those that need one.
  std::vector<sys::ReachedListener> Reach(const std::vector<sys::Listener>& listeners);

  sys::EventLoop& loop_;
  sys::UniqueFd own_;
  sys::UniqueFd inside_;
  std::optional<sys::ListenerTable> table_;
  sys::PortDoors services_;                    // lead to the host
  std::map<sys::Listener, uint16_t> through_;  // where to
  sys::PortDoors gates_;                       // lead to the loopback here
  sys::StandInPorts behind_;                   // where to
  std::set<sys::Listener> left_out_;
  std::vector<sys::ReachedListener> known_;
  Wanted wanted_;
  Told told_;
  std::optional<sys::EventLoop::TimerId> timer_;
};

}  // namespace kata::guest
