// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/capabilities.h - what one VMM can do on this host.
#pragma once

namespace kata::hypervisor {

// Callers choose by these; a call for something that is false here fails with kUnimplemented and
// never pretends to have succeeded.
struct Capabilities {
  bool virtiofs = false;       // Device VhostUserFs, cold and hot
  bool block_hotplug = false;  // Attach(Disk)
  bool nic_hotplug = false;    // Attach(Nic)
  bool cpu_resize = false;     // Resize() adds vCPUs
  bool memory_resize = false;  // Resize() adds memory
  bool pause = false;
  bool snapshot = false;
  bool copy_on_write_restore = false;
  bool vsock = false;         // AgentChannel::kVsock
  bool hybrid_vsock = false;  // AgentChannel::kHybridVsock
  bool virtio_serial = false;
};

}  // namespace kata::hypervisor
