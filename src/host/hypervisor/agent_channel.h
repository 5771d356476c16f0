// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/agent_channel.h - which way to the agent this host offers.
// Basis: vsock(7), linux/vhost.h.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "host/hypervisor/capabilities.h"
#include "host/hypervisor/vm_spec.h"

namespace kata::hypervisor {

// A context id that no other VM on this host has, held by the descriptor that comes with it.
// Errors  kNotFound, kPermissionDenied  no /dev/vhost-vsock, or not for us
Result<VsockChannel> AllocateVsock(const std::string& device = "/dev/vhost-vsock");

// `wanted` is "auto", "vsock" or "virtio-serial". "auto" takes vsock where the VMM and the host
// have it, the hybrid kind where only the VMM has it, else virtio-serial.
// Errors  kInvalidArgument  another word, or a kind that the VMM lacks
//         those of AllocateVsock for "vsock"
Result<AgentChannel> ChooseAgentChannel(std::string_view wanted, const Capabilities& vmm,
                                        const std::string& hybrid_path = {});

}  // namespace kata::hypervisor
