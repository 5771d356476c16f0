// SPDX-License-Identifier: Apache-2.0
//
// host/machine/socket_path.h - a network namespace that a machine uses by sockets, not by frames.
//
// The machine itself lives in another one, the inner, in which its frames end
// (host/network/translator.h). Not safe from several threads.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "host/agent/agent_client.h"
#include "host/machine/port_sharing.h"
#include "host/network/endpoints.h"
#include "host/network/translator.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "sys/netlink_socket.h"

namespace kata::sandbox {

class SocketPath {
 public:
  // `socket` is of the namespace `ns`, which is bound at `path`.
  SocketPath(std::string path, sys::UniqueFd ns, sys::NetlinkSocket socket)
      : path_(std::move(path)), ns_(std::move(ns)), socket_(std::move(socket)) {}
  SocketPath(const SocketPath&) = delete;
  SocketPath& operator=(const SocketPath&) = delete;
  ~SocketPath() { End(); }

  int ns() const { return ns_.get(); }
  // What the guest is to have of it.
  Result<network::NamespaceView> Look();

  // Has the frames of the machine's tap with this index end, unless some do already. `socket` is of
  // the inner namespace.
  Result<void> Begin(int inner, sys::NetlinkSocket& socket, int tap,
                     const network::Endpoint& endpoint, const egress::Policy& policy);
  // Tells the guest and the namespace of each other's ports from now on, where frames end. They
  // outlive End(). Again: does nothing.
  void SharePorts(agent::AgentClient& agent, sys::EventLoop& loop);
  // The tap is to go. Not on the loop's thread. Idempotent.
  void End();

 private:
  const std::string path_;
  const sys::UniqueFd ns_;
  sys::NetlinkSocket socket_;
  std::optional<sys::MacAddress> mac_;  // in the guest
  std::unique_ptr<network::Translator> translator_;
  std::shared_ptr<PortSharing> ports_;
};

}  // namespace kata::sandbox
