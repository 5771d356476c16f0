// SPDX-License-Identifier: Apache-2.0
//
// qemu/devices.h - how QEMU spells the devices of a VmSpec, the same on the command line and over
// QMP. Pure, but for OpenDevice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"
#include "host/hypervisor/saved_vm.h"
#include "host/hypervisor/vm_spec.h"

namespace kata::hypervisor::qemu {

// Where things sit on the root bus. 0x1f is the chipset's.
inline constexpr uint32_t kSerialSlot = 0x01;
inline constexpr uint32_t kRngSlot = 0x02;
inline constexpr uint32_t kScsiSlot = 0x03;
inline constexpr uint32_t kBalloonSlot = 0x04;
inline constexpr uint32_t kVsockSlot = 0x05;
inline constexpr uint32_t kPanicSlot = 0x06;
inline constexpr uint32_t kFirstColdSlot = 0x07;  // devices of VmSpec::devices, upwards
inline constexpr uint32_t kFirstPortSlot = 0x0f;  // root ports for hotplug, upwards
inline constexpr uint32_t kMaxColdPciDevices = kFirstPortSlot - kFirstColdSlot;
inline constexpr uint32_t kMaxHotplugPorts = 16;
inline constexpr uint32_t kMaxLun = 255;

// A PCI place: "pcie.0" with a slot, or a root port "rp<n>" with slot 0.
struct PciPlace {
  std::string bus;
  uint32_t slot = 0;
};
PciPlace ColdPlace(uint32_t index);
PciPlace PortPlace(uint32_t port);
// "0f/00" for the device in port 0.
std::string PortPciPath(uint32_t port);

const std::string& DeviceId(const Device& device);
// Whether it is a disk that has a LUN; all others have a PCI place.
bool IsScsi(const Device& device);
// Where a running VM had it plugged; nothing for one that is there from the start.
std::optional<uint32_t> PlaceOf(const Device& device);
// What a manifest says of a disk or NIC, but its place.
DeviceShape ShapeOf(const Device& device);

// Opens what a device names by path: QEMU gets descriptors, with exactly the access that is asked
// for, and follows no name by itself.
// Errors  kNotFound, kPermissionDenied, kUnavailable (nobody listens); the message names the device
Result<void> OpenDevice(Device& device, Deadline deadline);

// Errors  kInvalidArgument  an id, tag, serial or number of queues that QEMU would refuse or
//                           misread; the message names it
Result<void> ValidateDevice(const Device& device);
Result<void> ValidateId(std::string_view what, std::string_view id);

// The id of the QEMU object behind a device: "drive-", "char-" or "net-" and its id.
std::string BackendId(const Device& device);

// Whether QEMU has to treat the descriptor as a block device.
bool IsBlockDevice(int fd);
// Arguments of blockdev-add. `file_name` is the image, "/dev/fdset/<n>" as a rule.
nlohmann::json BlockNode(const Disk& disk, const std::string& file_name, bool host_device);
// Arguments of netdev_add; `fds` and `vhost_fds` are numbers or getfd names joined by ':'.
nlohmann::json NetBackend(const Nic& nic, const std::string& fds, const std::string& vhost_fds);
// Arguments of device_add. A SCSI disk sits at `lun`, all else at `place`.
nlohmann::json FrontEnd(const Device& device, const PciPlace& place, uint32_t lun);

}  // namespace kata::hypervisor::qemu
