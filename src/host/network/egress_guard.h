// SPDX-License-Identifier: Apache-2.0
//
// host/network/egress_guard.h - an egress policy at the host's end of a machine's NICs.
//
// Two programs at a tap's hooks, before all other filters: what they drop has not left the machine,
// whichever way its frames go from there. The kernel keeps them as long as the tap has its hooks,
// also after the shim's end.
// Basis: tc-bpf(8), kernel Documentation/networking/filter.rst.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "egress/policy.h"
#include "host/network/connection.h"
#include "host/network/egress_program.h"
#include "host/network/endpoints.h"
#include "host/network/model.h"
#include "sys/fd.h"
#include "sys/netlink_socket.h"

namespace kata::network {

class EgressGuard {
 public:
  // Errors  those of sys::MakeBpfMap
  static Result<EgressGuard> Make(egress::Policy policy, const EgressOptions& options);

  const egress::Policy& policy() const { return policy_; }

  // Whether the endpoint's machine end can be guarded.
  // Errors  kFailedPrecondition  it is a tap that somebody else made, whose hooks are his
  static Result<void> Check(const Endpoint& endpoint, Model model);

  // Guards a tap, or a macvtap where the model has such, before anything leads there.
  // Errors  kUnimplemented  the kernel lacks what it takes; the message says what
  Result<void> Put(sys::NetlinkSocket& socket, int tap, Model model) const;

 private:
  EgressGuard(egress::Policy policy, EgressOptions options, sys::UniqueFd flows)
      : policy_(std::move(policy)), options_(options), flows_(std::move(flows)) {}

  egress::Policy policy_;
  EgressOptions options_;
  sys::UniqueFd flows_;
};

// What was denied at a tap so far.
struct EgressCounts {
  uint64_t packets = 0;
  uint64_t connections = 0;  // first segments of TCP among those
};
// nullopt: the tap has no guard.
Result<std::optional<EgressCounts>> CountEgress(sys::NetlinkSocket& socket, int tap, Model model);

}  // namespace kata::network
