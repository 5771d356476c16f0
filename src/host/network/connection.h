// SPDX-License-Identifier: Apache-2.0
//
// host/network/connection.h - the tap between an interface of a namespace and a machine's NIC.
//
// A tap is gone with its last descriptor. What is made on the interface itself (the hook for what
// comes in, or a macvtap) is not, so the caller writes it down first, and takes it away with
// Disconnect. The functions are given a netlink socket of the namespace; they may be called from
// any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/network/endpoints.h"
#include "host/network/model.h"
#include "sys/fd.h"
#include "sys/netlink_socket.h"

namespace kata::network {

struct Tap {
  std::string name;
  int link = 0;
  std::vector<sys::UniqueFd> fds;  // one a queue; the machine's
};

// A tap that waits for an endpoint, in the namespace `ns`, up.
// Errors  kAlreadyExists  the name is taken; else those of sys::MakeTap
Result<Tap> MakeSpareTap(int ns, sys::NetlinkSocket& socket, const std::string& name,
                         uint32_t queues);

// Whether a spare tap can serve the endpoint.
bool TakesSpareTap(Model model, const Endpoint& endpoint);

// A tap for this endpoint alone: a spare one, a macvtap on it, or, where the endpoint is a tap that
// its maker left to us, that one.
Result<Tap> MakeTapFor(Model model, int ns, sys::NetlinkSocket& socket, const Endpoint& endpoint,
                       const std::string& name, uint32_t queues);

// Whether Connect can connect the endpoint, asked before the connection is written down: what is
// written down counts as ours, and is taken away.
// Errors  kFailedPrecondition  the interface has a hook for incoming frames, of somebody else
Result<void> CheckFree(Model model, sys::NetlinkSocket& socket, const Endpoint& endpoint);

// Lets frames pass between `endpoint` and `tap`. After an error nothing of it is left.
// Errors  kFailedPrecondition  the interface has a hook for incoming frames, of somebody else
//         kNotFound            the interface has gone
Result<void> Connect(Model model, sys::NetlinkSocket& socket, const Endpoint& endpoint,
                     const Tap& tap);

// What is left of a connection once the machine has gone, or when it shall end. Only of one that
// was made: Disconnect cannot tell our hook from another one.
struct Connection {
  std::string interface;
  int link = 0;  // its index: another interface may have the name by now
  std::string tap;
  Model model = Model::kTcFilter;

  friend bool operator==(const Connection&, const Connection&) = default;
};
// Leaves the interface as it was. What is gone already is success.
Result<void> Disconnect(sys::NetlinkSocket& socket, const Connection& connection);

}  // namespace kata::network
