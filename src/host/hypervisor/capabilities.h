// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/capabilities.h - what one VMM can do, as far as callers choose by it.
#pragma once

namespace kata::hypervisor {

// What a VMM cannot do although nobody asks here first fails with kUnimplemented; nothing pretends
// to have succeeded.
struct Capabilities {
  // The ways to the agent: AgentChannel's alternatives.
  bool vsock = false;
  bool hybrid_vsock = false;
  bool virtio_serial = false;
  // Save() and Restore(); else there are no templates.
  bool save = false;
};

}  // namespace kata::hypervisor
