// SPDX-License-Identifier: Apache-2.0
//
// guest/agent/channel.h - the way from the host to the agent's server.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "sys/event_loop.h"
#include "sys/fd.h"
#include "ttrpc/server.h"

namespace kata::guest {

inline constexpr uint32_t kAgentPort = 1024;
inline constexpr std::string_view kAgentPortName = "org.kata-containers.agent.0";

struct VsockAddress {
  uint32_t cid;
  uint32_t port;
  friend bool operator==(const VsockAddress&, const VsockAddress&) = default;
};
struct VirtioPortAddress {
  std::string name;  // as the VMM named the port
  friend bool operator==(const VirtioPortAddress&, const VirtioPortAddress&) = default;
};
struct UnixAddress {
  std::string path;
  friend bool operator==(const UnixAddress&, const UnixAddress&) = default;
};
using Address = std::variant<VsockAddress, VirtioPortAddress, UnixAddress>;

// "vsock://<cid>:<port>" (cid -1: any), "virtio-serial://<port name>", "unix://<path>".
// Errors  kInvalidArgument
Result<Address> ParseAddress(std::string_view text);

// A virtio-serial port as a channel. The port has no connections: while nobody on the host has it
// open, it reads as ended and polls as hung up. The port is served whenever the host is there, and
// waited for without using the processor when it is not.
class VirtioPort {
 public:
  // Looks for the port during the first seconds of the guest's life.
  VirtioPort(sys::EventLoop& loop, ttrpc::Server& server, std::string name);
  VirtioPort(const VirtioPort&) = delete;
  VirtioPort& operator=(const VirtioPort&) = delete;
  ~VirtioPort();

 private:
  void Find();
  void AwaitHost();
  void Serve();

  sys::EventLoop& loop_;
  ttrpc::Server& server_;
  const std::string name_;
  // Stays open from connection to connection: closing the port makes the driver throw away what the
  // next client has sent already.
  sys::UniqueFd port_;
  std::chrono::milliseconds pause_{1};
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

class Channel {
 public:
  // Makes `server` reachable at `address`. An empty address means both ways that a VMM may offer:
  // vsock port 1024, where this kernel has vsock, and the port named kAgentPortName when it is
  // there.
  static Result<std::unique_ptr<Channel>> Open(sys::EventLoop& loop, ttrpc::Server& server,
                                               std::string_view address);

 private:
  std::unique_ptr<VirtioPort> port_;
};

}  // namespace kata::guest
