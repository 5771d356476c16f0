// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/vm_spec.h - a virtual machine as its owner wants it, in no VMM's language.
//
// Plain data. Descriptors inside are owned by the spec and move with it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sys/fd.h"

namespace kata::hypervisor {

// The guest's port on which the agent listens, over vsock of either kind.
inline constexpr uint32_t kAgentPort = 1024;
// The name of the agent's virtio-serial port, in /sys/class/virtio-ports/*/name of the guest.
inline constexpr char kAgentSerialPort[] = "org.kata-containers.agent.0";

enum class AcceleratorKind { kKvm, kTcg };

// How bytes reach the agent.
struct VsockChannel {
  uint32_t cid = 0;        // 3 or higher
  sys::UniqueFd vhost_fd;  // /dev/vhost-vsock with that CID set on it
};
struct VirtioSerialChannel {};
struct HybridVsockChannel {
  std::string path;  // unix socket that the VMM makes
};
using AgentChannel = std::variant<VirtioSerialChannel, VsockChannel, HybridVsockChannel>;

// A module of memory that a VM to be restored had been given while it ran.
struct MemoryModule {
  uint32_t slot = 0;
  uint64_t address = 0;
  uint32_t size_mib = 0;
  sys::UniqueFd file;  // of that size
};

struct Memory {
  uint32_t boot_mib = 256;  // at least 64
  // Room for Resize: 0 slots means that memory cannot grow.
  uint32_t hotplug_slots = 0;
  // Boot included; ignored without slots. At `boot_mib` memory cannot grow either.
  uint32_t max_mib = 0;
  // Other processes can map it, as vhost-user devices do. Required by VhostUserFs.
  bool shared = true;
  // A file of `boot_mib` to live in. If not `shared`, it is read and never written, and may serve
  // any number of VMs; so for those of `modules`. None: Start makes one in memory, for this VM
  // alone and shared in any case, or the VMM does where it is to be huge or preallocated.
  sys::UniqueFd file;
  std::vector<MemoryModule> modules;  // VmSpec::restored only
  bool huge_pages = false;
  bool preallocate = false;
};

struct Cpus {
  uint32_t boot = 1;
  uint32_t max = 1;            // at least `boot` and `plugged` together
  uint32_t plugged = 0;        // that a VM to be restored had been given while it ran
  std::string extra_features;  // as the VMM spells them, such as "pmu=off"; appended last
};

// A disk of the guest. `path` is opened by the driver, read-only when so asked, so a VMM never
// follows a name by itself; or `fd` is handed in, with the access mode that it needs.
struct Disk {
  enum class Bus { kScsi, kBlock };
  std::string id;  // letters, digits, '-', '_'; unique in this VM; at most 48 characters
  std::string path;
  sys::UniqueFd fd;
  bool read_only = false;
  Bus bus = Bus::kScsi;
  std::string serial;  // at most 20 characters
  bool direct_io = false;
  // Where a VM to be restored had it plugged while it ran: a LUN for kScsi, else a port. It can be
  // detached.
  std::optional<uint32_t> place = {};
};

// A vhost-user file system daemon that listens. `fd` is a connection to it, a unix stream socket;
// or `socket` is its path, where the VMM or its driver connects.
struct VhostUserFs {
  std::string id;
  std::string tag;  // 1..36 bytes, what the guest mounts
  sys::UniqueFd fd;
  std::string socket;
  uint32_t queue_size = 1024;
};

// A NIC on tap queues that are open already, one descriptor a queue pair. `tap` is the name of
// their interface in the VMM's network namespace, for a VMM that opens one by name.
struct Nic {
  std::string id;
  std::array<uint8_t, 6> mac{};
  std::string tap;
  std::vector<sys::UniqueFd> tap_fds;    // 1..16
  std::vector<sys::UniqueFd> vhost_fds;  // none, or one for each tap descriptor
  std::optional<uint32_t> place = {};    // as a disk's, a port
};

using Device = std::variant<Disk, VhostUserFs, Nic>;

struct VmSpec {
  std::string id;
  AcceleratorKind accelerator = AcceleratorKind::kTcg;
  std::string vmm_path;                     // the VMM's program
  std::vector<std::string> vmm_extra_args;  // appended to its command line as they are

  std::string kernel;
  std::string initrd;  // either this or `image`
  std::string image;   // a raw disk image; becomes the first virtio-blk disk, read-only
  std::vector<std::string> kernel_params;  // appended to those that the driver needs
  // How fast the guest's time stamp counter runs, where the VMM emulates it: the host's own
  // (host_clock.h). 0: the guest is to find out.
  uint32_t tsc_khz = 0;

  Cpus cpus;
  Memory memory;
  AgentChannel agent;
  std::vector<Device> devices;  // there from the start

  uint32_t hotplug_ports = 4;  // PCI devices that can be attached later, 0..16
  // Starts without a kernel and waits for Hypervisor::Restore. Devices that the saved VM did not
  // have come behind those that it had; the guest has to look for them.
  bool restored = false;
  bool free_page_reporting = true;  // memory that the guest frees goes back to the host
  bool seccomp = true;              // the VMM confines itself
  // The guest's whole boot log on an emulated serial port, from its first line; slower.
  bool debug_console = false;

  // Cgroup directories that the VMM joins before it executes, and a network namespace.
  std::vector<std::string> cgroup_dirs;
  sys::UniqueFd network_namespace;
  std::optional<int> oom_score_adj;
};

// Sizes that Resize works on; 0 means as it is.
struct Resources {
  uint32_t vcpus = 0;
  uint32_t memory_mib = 0;
};

// What a Resize has come to.
struct Resized {
  Resources now;
  std::string shortfall;  // why that is less than what was wanted, for people; empty where not
};

// Where the guest finds an attached device: one of these, the others are empty.
struct GuestAddress {
  // Slots from the root bus down, two hex digits each: "10/00".
  std::string pci_path;
  // "<target>:<lun>" of a disk.
  std::string scsi;
  // The disk's device node, "/dev/vdb", where it sits on no bus that has addresses.
  std::string node;
};

}  // namespace kata::hypervisor
