// SPDX-License-Identifier: Apache-2.0
//
// host/network/egress_program.h - an egress policy as BPF programs for the hooks of a tap.
//
// They look at frames as the kernel's traffic control has them (cls_bpf, direct action). One judges
// what a guest sends; the other one notes who has opened a TCP connection to the guest, who may be
// answered. Pure.
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "egress/policy.h"

namespace kata::network {

struct EgressMaps {
  int flows = -1;   // BPF_MAP_TYPE_LRU_HASH of kEgressFlowSize bytes and one
  int counts = -1;  // BPF_MAP_TYPE_ARRAY of two numbers of 64 bits, see below
};
inline constexpr uint32_t kEgressFlowSize = 36;
// Places in `counts`.
inline constexpr uint32_t kDeniedPackets = 0;
inline constexpr uint32_t kDeniedConnections = 1;  // first segments of TCP among those

struct EgressOptions {
  // The stand-ins for the loopback of the host (two_namespaces.h) are judged as that loopback.
  bool stand_ins = false;
};

// Answers TC_ACT_SHOT for what is denied, and for what cannot be judged: what is neither IPv4, IPv6
// nor ARP, behind more than one VLAN tag in the frame (from a tap, the kernel has taken one out),
// cut off, or with a route of its own (IPv4 options but router alert, IPv6 routing headers).
// TC_ACT_UNSPEC, so that the next filter is asked, for the rest, neighbour and listener discovery
// of IPv6 among it.
Result<std::vector<bpf_insn>> JudgeEgress(const egress::Policy& policy,
                                          const EgressOptions& options, const EgressMaps& maps);
// Always TC_ACT_UNSPEC.
Result<std::vector<bpf_insn>> NoteIngress(const EgressOptions& options, const EgressMaps& maps);

}  // namespace kata::network
