// SPDX-License-Identifier: Apache-2.0
//
// hypervisor/saved_vm.h - what a saved VM was made of: a VM that is to go on from there must be
// made of the same.
//
// MachineShape is plain data, for a manifest; SavedVm has the files as well, as they are at the
// moment of saving.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "host/hypervisor/vm_spec.h"
#include "sys/fd.h"

namespace kata::hypervisor {

struct DeviceShape {
  enum class Kind { kDisk, kNic };
  std::string id;
  Kind kind = Kind::kDisk;
  // Where it was plugged into the running VM. A device that was there from the start has neither,
  // but a SCSI disk its LUN.
  std::optional<uint32_t> port;
  std::optional<uint32_t> lun;
  bool plugged = false;  // it can be detached
  // Of a disk.
  Disk::Bus bus = Disk::Bus::kScsi;
  bool read_only = false;
  bool direct_io = false;
  std::string serial;
  // Of a NIC.
  std::array<uint8_t, 6> mac{};
  uint32_t queues = 0;  // pairs
  bool vhost = false;

  friend bool operator==(const DeviceShape&, const DeviceShape&) = default;
};

// Memory that was plugged into the running VM.
struct ModuleShape {
  uint32_t slot = 0;
  uint64_t address = 0;  // in the guest's memory
  uint32_t size_mib = 0;

  friend bool operator==(const ModuleShape&, const ModuleShape&) = default;
};

struct MachineShape {
  AcceleratorKind accelerator = AcceleratorKind::kTcg;
  bool vsock = false;  // the agent's channel; else virtio-serial
  uint32_t boot_mib = 0;
  uint32_t memory_slots = 0;
  uint32_t max_mib = 0;
  std::vector<ModuleShape> modules;
  uint32_t boot_vcpus = 0;
  uint32_t vcpus = 0;  // by the time that it was saved
  uint32_t max_vcpus = 0;
  uint32_t hotplug_ports = 0;
  bool free_page_reporting = false;
  bool debug_console = false;
  std::vector<DeviceShape> devices;  // in the order of VmSpec::devices, plugged ones behind

  friend bool operator==(const MachineShape&, const MachineShape&) = default;
};

// The machine of `spec` before anything has been plugged; its devices are left out.
MachineShape ShapeOf(const VmSpec& spec);
// Makes `spec` a VM to be restored, of that shape; memory, agent and devices are for the caller to
// add. What the shape says nothing of (program, its options, features of processors, confinement)
// stays: a shape may come from anywhere.
void GiveShape(const MachineShape& shape, VmSpec* spec);

// A part of the guest's memory; offsets in the file are those in the part.
struct SavedMemory {
  uint32_t size_mib = 0;
  sys::UniqueFd file;  // for reading
  // All that the guest wrote is in the file. Else the file is what the VM began with, and pages
  // that differ are in the VMM's private mapping of it.
  bool shared = true;
};

struct SavedVm {
  MachineShape shape;
  pid_t vmm = -1;
  std::vector<SavedMemory> memory;             // what it booted with, then each module of the shape
  std::map<std::string, sys::UniqueFd> disks;  // that can be written, by id, for reading
};

}  // namespace kata::hypervisor
