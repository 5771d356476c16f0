// SPDX-License-Identifier: Apache-2.0
//
// host/machine/loopback_door.h - has the loopback of a pod's network namespace lead into the guest.
//
// Programs of a pod listen in the guest, and whoever forwards a port of the pod (containerd,
// CRI-O) connects to the loopback of the namespace on the host. Every TCP connection to 127.0.0.1
// and ::1 there, at whatever port, is accepted here and carried by calls to the agent to who
// listens at that port of the loopback in the guest; where nobody does, it is reset. Nothing is
// looked for and nothing is carried before somebody connects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "sys/event_loop.h"
#include "sys/fd.h"

namespace kata::sandbox {

class LoopbackDoor : public std::enable_shared_from_this<LoopbackDoor> {
 public:
  // More connections at a time are reset.
  static constexpr size_t kMost = 256;

  // Of the namespace `ns`. `agent` and `loop` outlive Stop().
  // Errors  kUnimplemented  as SteerLoopback
  static Result<std::shared_ptr<LoopbackDoor>> Start(int ns, agent::AgentClient& agent,
                                                     sys::EventLoop& loop);
  ~LoopbackDoor();
  // From another thread than the loop's; nothing of it runs afterwards.
  void Stop();

 private:
  struct Sockets {
    sys::UniqueFd listener4;
    sys::UniqueFd listener6;  // may be missing
    sys::UniqueFd steering;
  };
  struct Connection;

  LoopbackDoor(Sockets sockets, agent::AgentClient& agent, sys::EventLoop& loop);
  static Result<Sockets> MakeSockets(int ns);
  void Accept(int listener);
  void Admit(sys::UniqueFd socket);
  void OnOpened(uint64_t id, const Result<void>& opened);
  Result<void> Carry(uint64_t id, Connection& connection);
  void WatchBreak(uint64_t id, Connection& connection);
  // A side has said all.
  void OnEnd(uint64_t id, bool Connection::* side);
  void EndSoon(uint64_t id);
  void End(uint64_t id);

  const Sockets sockets_;
  agent::AgentClient& agent_;
  sys::EventLoop& loop_;
  // All of the loop's.
  std::map<uint64_t, std::unique_ptr<Connection>> connections_;
  uint64_t next_id_ = 1;
  bool stopped_ = false;
};

}  // namespace kata::sandbox
